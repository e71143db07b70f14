"""Command `simulate`: run a simulated Charge Point or Central System, and print each message sent or received.

A fleet of Charge Points prints only what went wrong, and how many messages it sent.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from bridge.commands.signals import until_stopped
from bridge.commands.terminal import say
from bridge.config import Listen
from bridge.config.listeners import cannot_listen
from bridge.lab.demo.fleet import FLEET_RATE, DemoFleet, FleetAddresses
from bridge.lab.demo.screen import message_lines, plain
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.script import DEFAULT_SCRIPTS, ScriptError, Step, read_script, run_script
from bridge.lab.simulators.soap_central_system import SoapCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import WireMessage
from bridge.net import descriptors
from bridge.ocpps.wsdl import folder_of
from bridge.watching import logs

_HEARTBEAT = "Heartbeat\n"
_EVERY = 60.0
# Seconds between two messages of a Charge Point of a fleet, and between two lines about the fleet.
_FLEET_EVERY, _FLEET_TOLD_EVERY = 2.0, 10.0
_PAUSE = 5.0
"""Seconds from the end of a connection to the attempt to reconnect, and between two attempts."""


class ShownCredentials(Struct, frozen=True, kw_only=True):
    """The credentials of a simulated Charge Point, and the authority that it trusts.

    Attributes:
        ca: PEM file with the authorities of the gateway's certificate; None for those of the system.
        certificate: PEM file with the Charge Point's certificate, its chain and its key; None shows none.
        password_file: File with the password for HTTP Basic, whose user is the identity; None shows none.
    """

    ca: Path | None = None
    certificate: Path | None = None
    password_file: Path | None = None

    def password(self) -> bytes | None:
        """Return the password, without the newline at its end. Raises OSError."""
        return None if self.password_file is None else self.password_file.read_bytes().rstrip(b"\r\n")

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context, None for the default one. Raises OSError, which names the option."""
        if self.ca is None and self.certificate is None:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise OSError(error.errno, f"--ca: {self.ca}: {_words(error)}") from error
        if self.certificate is not None:
            try:
                context.load_cert_chain(self.certificate, password=_no_passphrase)
            except (OSError, ValueError) as error:
                raise OSError(None, f"--certificate: {self.certificate}: {_words(error)}") from error
        return context


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "not the certificate and its key as text (PEM)"
    return getattr(error, "strerror", None) or str(error)


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase, which nobody types here")


def charge_point(
    *,
    protocol: str,
    url: str,
    identity: str,
    listen: Listen,
    script: Path | None,
    shown: ShownCredentials,
    count: int | None,
) -> int:
    """Run a simulated Charge Point. Without `script`, it runs a session and then sends Heartbeats until stopped.

    Args:
        protocol: OCPP version and transport.
        url: URL of the Central System or gateway.
        identity: ChargeBoxIdentity.
        listen: Address for commands, with OCPP-S only.
        script: File with the requests to send.
        shown: What the Charge Point shows to the gateway.
        count: Number of Charge Points of a fleet, whose identities end in their number; None for one Charge Point.

    Returns:
        0 if every request of the script was answered, 1 if not, 2 for an invalid script.

    Raises:
        OSError: A file cannot be read, the port is in use, or no WebSocket to `url` can be opened.
    """
    try:
        text = DEFAULT_SCRIPTS[protocol] if script is None else script.read_text("utf-8")
        steps = read_script(text, str(script))
    except (ScriptError, UnicodeDecodeError) as error:
        print(error if isinstance(error, ScriptError) else f"{script}: {error}", file=sys.stderr)
        return 2
    logs.setup("text", "error", sys.stderr)
    password, tls, stay = shown.password(), shown.tls(), script is None

    def made(name: str, observe: Callable[[WireMessage], None] | None) -> SoapChargePoint | JsonChargePoint:
        if protocol == "ocpp1.6j":
            return JsonChargePoint(url=url, identity=name, observe=observe, password=password, tls=tls)
        return SoapChargePoint(
            url=url,
            identity=name,
            wsdl=_wsdl_of(protocol),
            protocol=protocol,
            host=listen.host,
            port=listen.port,
            observe=observe,
            password=password,
            tls=tls,
        )

    if count is not None:
        from bridge.commands.fleet import SimulatedFleet

        fleet = SimulatedFleet([made(name, None) for name in identities(identity, count)], steps, stay=stay)
        return asyncio.run(until_stopped(fleet.run()))
    simulated = made(identity, _print_message)
    if isinstance(simulated, JsonChargePoint):
        return asyncio.run(until_stopped(_connect_and_live(simulated, steps, stay=stay)))
    return asyncio.run(until_stopped(_listen_and_live(simulated, listen, steps, stay=stay)))


def identities(identity: str, count: int) -> list[str]:
    """Return the identities of a fleet: `identity`, a hyphen and a number with as many digits as `count` has."""
    digits = len(str(count))
    return [f"{identity}-{number:0{digits}}" for number in range(1, count + 1)]


async def _listen_and_live(simulated: SoapChargePoint, listen: Listen, steps: Sequence[Step], *, stay: bool) -> int:
    simulated.violations = _Spoken()
    await _start(simulated, listen)
    say(f"{simulated.identity}: calls {simulated.url}, takes commands at {simulated.callback_url}")
    return await _live(simulated, steps, functools.partial(asyncio.sleep, _EVERY) if stay else None)


async def _connect_and_live(simulated: JsonChargePoint, steps: Sequence[Step], *, stay: bool) -> int:
    simulated.violations = _Spoken()
    try:
        await simulated.start()
    except OSError as error:
        raise OSError(error.errno, f"--url: cannot connect to {simulated.endpoint}: {error}") from error
    say(f"{simulated.identity}: connected to {simulated.endpoint}")
    return await _live(simulated, steps, functools.partial(stay_connected, simulated, say) if stay else None)


async def _live(
    simulated: SoapChargePoint | JsonChargePoint, steps: Sequence[Step], rest: Callable[[], Awaitable[None]] | None
) -> int:
    """Run the steps; then, if `rest` is given, send Heartbeats for ever and await `rest` before each."""
    try:
        well = await run_script(simulated, steps, say)
        while rest is not None:
            await rest()
            await run_script(simulated, read_script(_HEARTBEAT, ""), say)
    finally:
        await simulated.stop()
    return 0 if well else 1


async def stay_connected(
    simulated: JsonChargePoint, say: Callable[[str], None], *, every: float = _EVERY, pause: float = _PAUSE
) -> None:
    """Wait until the next Heartbeat is due. If the connection ends, wait until it is open again.

    Args:
        simulated: The Charge Point.
        say: Called with a sentence when the connection ends, and when it cannot be opened.
        every: Seconds between two Heartbeats.
        pause: Seconds from the end of a connection to the attempt to reconnect, and between two attempts.
    """
    try:
        await simulated.wait_closed(every)
    except TimeoutError:
        return
    say(f"the connection ended: {simulated.close_code} {simulated.close_reason}".rstrip())
    while simulated.close_code is not None:
        await asyncio.sleep(pause)
        try:
            await simulated.start()
        except OSError as error:
            say(f"no connection: {error}")


def fleet(*, size: int, soap_url: str, websocket_url: str, host: str) -> int:
    """Run a fleet of simulated Charge Points until stopped. It tries again while there is no gateway.

    Args:
        size: The number of Charge Points.
        soap_url: URL of the gateway's CentralSystemService.
        websocket_url: URL that the identities of JSON Charge Points are appended to.
        host: IP address or name where SOAP Charge Points take commands, at free ports.

    Returns:
        0 when stopped.
    """
    logs.setup("text", "error", sys.stderr)
    descriptors.raise_limit()
    addresses = FleetAddresses(soap=soap_url, websocket=websocket_url, host=host)
    charging = DemoFleet(size, addresses, None, say=say, every=max(_FLEET_EVERY, size / FLEET_RATE))
    return asyncio.run(until_stopped(_charge(charging)))


async def _charge(charging: DemoFleet) -> int:
    async with charging.alive():
        while True:
            await asyncio.sleep(_FLEET_TOLD_EVERY)
            say(charging.summary())


def central_system(*, protocol: str, listen: Listen) -> int:
    """Run a simulated Central System until stopped. Raises OSError if the port is in use."""
    logs.setup("text", "error", sys.stderr)
    if protocol == "ocpp1.6j":
        over_json = JsonCentralSystem(host=listen.host, port=listen.port, observe=_print_message)
        return asyncio.run(until_stopped(_answer(over_json, listen)))
    over_soap = SoapCentralSystem(
        wsdl=_wsdl_of(protocol), host=listen.host, port=listen.port, protocol=protocol, observe=_print_message
    )
    return asyncio.run(until_stopped(_answer(over_soap, listen)))


def _wsdl_of(protocol: str) -> Path:
    """Return the folder of the WSDLs of an OCPP-S protocol, such as ocpp1.5s."""
    return folder_of(protocol.removeprefix("ocpp").removesuffix("s"))


async def _answer(simulated: SoapCentralSystem | JsonCentralSystem, listen: Listen) -> int:
    simulated.violations = _Spoken()
    await _start(simulated, listen)
    try:
        url = simulated.url if isinstance(simulated, SoapCentralSystem) else f"{simulated.url}/IDENTITY"
        say(f"Charge Points are expected at {url}; Ctrl-C ends this")
        await asyncio.Event().wait()
    finally:
        await simulated.stop()
    return 0


async def _start(simulated: SoapChargePoint | SoapCentralSystem | JsonCentralSystem, listen: Listen) -> None:
    try:
        await simulated.start()
    except OSError as error:
        raise cannot_listen("--listen", listen, error) from error


class _Spoken(list[str]):
    """A list of violations of the specification, which prints each violation that is added."""

    def append(self, violation: str) -> None:
        """Add a violation and print it on standard error."""
        super().append(violation)
        say(f"not as the specification has it: {violation}", sys.stderr)


def _print_message(message: WireMessage) -> None:
    say(f"{datetime.now().astimezone():%H:%M:%S} {message.direction} {message.action}")
    for line in message_lines(message, plain):
        say(line)
