"""`simulate`: one of the other parties, to point at any gateway; each message it sends or gets is printed."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path

from bridge import logs
from bridge.commands.signals import until_stopped
from bridge.config import Listen
from bridge.config.listeners import cannot_listen
from bridge.demo.screen import message_lines, plain
from bridge.ocpps.wsdl import folder_of
from bridge.simulators.json_central_system import JsonCentralSystem
from bridge.simulators.json_charge_point import JsonChargePoint
from bridge.simulators.script import DEFAULT_SCRIPTS, ScriptError, Step, read_script, run_script
from bridge.simulators.soap_central_system import SoapCentralSystem
from bridge.simulators.soap_charge_point import SoapChargePoint
from bridge.simulators.wire import WireMessage

_HEARTBEAT = "Heartbeat\n"
_EVERY = 60.0
_PAUSE = 5.0
"""Seconds from the end of a connection to the attempt to make it again, and between two attempts."""


def charge_point(*, protocol: str, url: str, identity: str, listen: Listen, script: Path | None) -> int:
    """With `script`: run it, 0 if every request was answered. Without: a session, then Heartbeats until stopped.

    `listen` is for OCPP-S only. Raises OSError when the script cannot be read, the port is taken, or a WebSocket to
    `url` is not to be had.
    """
    try:
        text = DEFAULT_SCRIPTS[protocol] if script is None else script.read_text("utf-8")
        steps = read_script(text, str(script))
    except (ScriptError, UnicodeDecodeError) as error:
        print(error if isinstance(error, ScriptError) else f"{script}: {error}", file=sys.stderr)
        return 2
    logs.setup("text", "error", sys.stderr)
    if protocol == "ocpp1.6j":
        connected = JsonChargePoint(url=url, identity=identity, observe=_print_message)
        work = _connect_and_live(connected, steps, stay=script is None)
    else:
        listening = SoapChargePoint(
            url=url,
            identity=identity,
            wsdl=folder_of(protocol.removeprefix("ocpp").removesuffix("s")),
            protocol=protocol,
            host=listen.host,
            port=listen.port,
            observe=_print_message,
        )
        work = _listen_and_live(listening, listen, steps, stay=script is None)
    return asyncio.run(until_stopped(work))


async def _listen_and_live(simulated: SoapChargePoint, listen: Listen, steps: Sequence[Step], *, stay: bool) -> int:
    simulated.violations = _Spoken()
    await _start(simulated, listen)
    _print(f"{simulated.identity}: calls {simulated.url}, takes commands at {simulated.callback_url}")
    return await _live(simulated, steps, functools.partial(asyncio.sleep, _EVERY) if stay else None)


async def _connect_and_live(simulated: JsonChargePoint, steps: Sequence[Step], *, stay: bool) -> int:
    simulated.violations = _Spoken()
    try:
        await simulated.start()
    except OSError as error:
        raise OSError(error.errno, f"--url: cannot connect to {simulated.endpoint}: {error}") from error
    _print(f"{simulated.identity}: connected to {simulated.endpoint}")
    return await _live(simulated, steps, functools.partial(_stay_connected, simulated) if stay else None)


async def _live(
    simulated: SoapChargePoint | JsonChargePoint, steps: Sequence[Step], rest: Callable[[], Awaitable[None]] | None
) -> int:
    """The steps; then, if there is a `rest` to take between them, Heartbeats for ever."""
    try:
        well = await run_script(simulated, steps, _print)
        while rest is not None:
            await rest()
            await run_script(simulated, read_script(_HEARTBEAT, ""), _print)
    finally:
        await simulated.stop()
    return 0 if well else 1


async def _stay_connected(simulated: JsonChargePoint) -> None:
    """Until the next Heartbeat is due, or a connection that ended is made again."""
    try:
        await simulated.wait_closed(_EVERY)
    except TimeoutError:
        return
    _print(f"the connection ended: {simulated.close_code} {simulated.close_reason}".rstrip())
    while simulated.close_code is not None:
        await asyncio.sleep(_PAUSE)
        try:
            await simulated.start()
        except OSError as error:
            _print(f"no connection: {error}")


def central_system(*, protocol: str, listen: Listen) -> int:
    """Answer every Charge Point until stopped. Raises OSError when the port is taken."""
    logs.setup("text", "error", sys.stderr)
    if protocol == "ocpp1.6j":
        over_json = JsonCentralSystem(host=listen.host, port=listen.port, observe=_print_message)
        return asyncio.run(until_stopped(_answer(over_json, listen)))
    over_soap = SoapCentralSystem(wsdl=folder_of("1.6"), host=listen.host, port=listen.port, observe=_print_message)
    return asyncio.run(until_stopped(_answer(over_soap, listen)))


async def _answer(simulated: SoapCentralSystem | JsonCentralSystem, listen: Listen) -> int:
    simulated.violations = _Spoken()
    await _start(simulated, listen)
    try:
        url = simulated.url if isinstance(simulated, SoapCentralSystem) else f"{simulated.url}/IDENTITY"
        _print(f"Charge Points are expected at {url}; Ctrl-C ends this")
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
    """Violations of the specification, each said when it is noted."""

    def append(self, violation: str) -> None:
        """Note it, and say so."""
        super().append(violation)
        print(f"not as the specification has it: {violation}", file=sys.stderr, flush=True)


def _print(line: str) -> None:
    print(line, flush=True)


def _print_message(message: WireMessage) -> None:
    _print(f"{datetime.now().astimezone():%H:%M:%S} {message.direction} {message.action}")
    for line in message_lines(message, plain):
        _print(line)
