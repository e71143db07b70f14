"""Nothing secret in anything that the process ever wrote: log, store, recorder, API, metrics, `repr`, error texts.

Secrets are planted wherever one can be, each a word of its own, in good traffic and in bad. Then all that was written
is searched for them, as they are and in base64.
"""

from __future__ import annotations

import asyncio
import json
import signal
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from bridge import config
from bridge.errors import ConfigurationError
from tests.e2e.processes import Bridge
from tests.e2e.stage import (
    AT,
    CP,
    CS,
    Connection,
    RawCentralSystem,
    answering,
    envelope,
    fault,
    listening,
    post,
)

_KINDS = (
    *("soap-password", "soap-upstream", "json-password", "relay-password", "url-token", "admin-token", "soap-system"),
    *("wrong-basic", "wrong-bearer", "wrong-token", "wrong-system"),
    *("changed-key", "changed-key-json", "relayed-key", "operator-key", "stored-key", "stored-key-relayed"),
    *("firmware", "diagnostics", "fault-text", "error-text", "broken-frame", "broken-envelope", "overlong-key"),
    *("wrong-type", "reload-unknown", "reload-syntax", "reload-url", "environment", "wifi"),
)


class Planted:
    """The secrets. `secret["x"]` is the one for x; all are different, and long enough to be nowhere by chance."""

    def __init__(self) -> None:
        self._values = {
            kind: f"zQ{index:02}xJvK7wPqLmN5tR8b{kind.replace('-', '')}" for index, kind in enumerate(_KINDS)
        }

    def __getitem__(self, kind: str) -> str:
        return self._values[kind]

    def found_in(self, data: bytes) -> set[str]:
        """The kinds of those that can be read in `data`."""
        return {kind for kind, value in self._values.items() if any(form in data for form in forms_of(value))}

    def url(self, kind: str) -> str:
        """An address with a password in it."""
        return f"ftp://station:{self[kind]}@files.example/upload"


def forms_of(secret: str) -> Iterator[bytes]:
    """How it may be written: as text of one octet or two, and in base64, wherever in it."""
    data = secret.encode()
    yield data
    yield secret.encode("utf-16-le")
    yield data.hex().encode()
    for before, shared in ((0, 0), (1, 2), (2, 3)):
        encoded = b64encode(bytes(before) + data)
        yield encoded[shared : (before + len(data)) * 8 // 6]


def test_how_secrets_are_found() -> None:
    planted = Planted()
    value = planted["firmware"]
    for data in (value, *(b64encode(f"{before}:{value}".encode()).decode() for before in ("a", "ab", "abc"))):
        assert planted.found_in(f"x {data} y".encode()) == {"firmware"}
    assert planted.found_in(b"nothing") == set()
    assert planted.found_in(value[:-4].encode()) == set()


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


# What is said.


def commands(secret: Planted, key: str) -> list[list[Any]]:
    """What a Central System sends; the last ones are bad."""

    def call(action: str, payload: Any) -> list[Any]:
        return [2, f"{action}-{len(calls)}", action, payload]

    calls: list[list[Any]] = []
    long = secret["overlong-key"] + "x" * 600
    for action, payload in (
        ("ChangeConfiguration", {"key": "AuthorizationKey", "value": secret[key]}),
        ("ChangeConfiguration", {"key": "WifiPassword", "value": secret["wifi"]}),
        ("GetConfiguration", {"key": ["AuthorizationKey"]}),
        ("UpdateFirmware", {"location": secret.url("firmware"), "retrieveDate": AT}),
        ("GetDiagnostics", {"location": secret.url("diagnostics")}),
        ("ChangeConfiguration", {"key": "AuthorizationKey", "value": long}),
        ("ChangeConfiguration", {"key": "AuthorizationKey", "value": [secret["wrong-type"]]}),
        ("ChangeConfiguration", {"value": secret["wrong-type"], "key": {"AuthorizationKey": 1}}),
        ("UpdateFirmware", {"location": secret.url("firmware"), "retrieveDate": secret.url("firmware")}),
        ("UpdateFirmware", {"location": [secret.url("firmware")], "retrieveDate": AT}),
        ("GetDiagnostics", {"location": secret.url("diagnostics"), "retries": secret.url("diagnostics")}),
    ):
        calls.append(call(action, payload))
    return calls


def broken(secret: Planted) -> list[str]:
    """Frames that are none."""
    inner = secret["broken-frame"]
    return [
        f'[2,"b1","ChangeConfiguration",{{"key":"AuthorizationKey","value":"{inner}"',
        f'[2,"b2","ChangeConfiguration",[{{"key":"AuthorizationKey","value":"{inner}"}}]]',
        f'[9,"b3","AuthorizationKey","{inner}"]',
        f'{{"AuthorizationKey":"{inner}"}}',
        f'[4,"b4","GenericError","{secret.url("broken-frame")}",{{"AuthorizationKey":"{inner}"}}]',
        f'[3,"b5",{{"configurationKey":[{{"key":"AuthorizationKey","readonly":false,"value":"{inner}"}}]}}]',
    ]


def setting(value: str) -> dict[str, Any]:
    return {"configurationKey": [{"key": "AuthorizationKey", "readonly": False, "value": value}]}


async def commanded(link: Connection, secret: Planted, key: str) -> set[str]:
    """Send all commands; how the answers began. A bad one may be left without an answer."""
    answers: set[str] = set()
    for call in commands(secret, key):
        answers.add(str((await link.ask(call))[0]))
    for frame in broken(secret):
        await link.send(frame)
    return answers


def posted(secret: Planted) -> Any:
    """What a SOAP Charge Point answers commands with."""
    value = secret["stored-key"]
    accepted = "<status>Accepted</status>"
    bodies = {
        "changeConfiguration": f'<changeConfigurationResponse xmlns="{CP}">{accepted}</changeConfigurationResponse>',
        "getConfiguration": f'<getConfigurationResponse xmlns="{CP}"><configurationKey><key>AuthorizationKey</key>'
        f"<readonly>false</readonly><value>{value}</value></configurationKey></getConfigurationResponse>",
        "updateFirmware": f'<updateFirmwareResponse xmlns="{CP}"/>',
        "getDiagnostics": fault("InternalError", f"cannot fetch {secret.url('fault-text')}"),
    }

    async def respond(data: bytes) -> Any:
        name = next(name for name in bodies if f"{name}Request".encode() in data)
        return await answering(bodies[name], status=500 if name == "getDiagnostics" else 200)(data)

    return respond


async def answered(link: Connection, secret: Planted) -> None:
    """A JSON Charge Point: takes every command, and says what it has."""
    while True:
        try:
            frame = json.loads(await link.text())
        except ValueError:  # between two JSON parties the broken ones are passed on too
            continue
        if not isinstance(frame, list) or frame[0] != 2:
            continue
        if frame[2] == "GetConfiguration":
            await link.send([3, frame[1], setting(secret["stored-key-relayed"])])
        elif frame[2] == "GetDiagnostics":
            text = f"cannot fetch {secret.url('error-text')}"
            await link.send([4, frame[1], "InternalError", text, {"location": secret.url("error-text")}])
        else:
            await link.send([3, frame[1], {"status": "Accepted"} if frame[2] == "ChangeConfiguration" else {}])


# The bridge.


def tables(folder: Path, secret: Planted, *, in_files: bool) -> str:
    """The configuration beyond what every one has."""

    def said(key: str, kind: str) -> str:
        if not in_files:
            return f'{key} = "{secret[kind]}"\n'
        (folder / "secrets" / kind).write_text(secret[kind])
        return f'{key}_file = "{folder}/secrets/{kind}"\n'

    return (
        "[charge_points.S-1]\n"
        + said("password", "soap-password")
        + said("central_system_password", "soap-upstream")
        + "[charge_points.J-1]\n"
        + said("password", "json-password")
        + "[charge_points.R-1]\n"
        + said("password", "relay-password")
        + "[charge_points.T-1]\n"
        + said("token", "url-token")
        + '[[routes]]\ncharge_point = "T-*"\ncentral_system = "soap"\nauthentication = "token"\n'
        + '[[routes]]\ncharge_point = "J-*"\ncentral_system = "soap"\n'
        + '[[routes]]\ncharge_point = "[RS]-*"\ncentral_system = "main"\n'
    )


@asynccontextmanager
async def bridge_of(folder: Path, secret: Planted, main: str, soap: str, log_format: str) -> AsyncIterator[Bridge]:
    """One at log level debug. With text logs its secrets stand in files, with JSON logs in its configuration and in
    the environment."""
    (folder / "secrets").mkdir()
    in_files = log_format == "text"
    systems: dict[str, dict[str, Any]] = {
        "main": {"url": main},
        "soap": {"url": soap, "protocol": "ocpp1.6s", "password": secret["soap-system"]},
    }
    bridge = Bridge(folder, systems, {"none": "main"})
    file = folder / "bridge.toml"
    file.write_text(file.read_text() + tables(folder, secret, in_files=in_files))
    environment = {"GATEWAY__LOG_LEVEL": "debug", "GATEWAY__LOG_FORMAT": log_format}
    if in_files:
        (folder / "secrets" / "admin-token").write_text(secret["admin-token"])
        environment["ADMIN__TOKEN_FILE"] = str(folder / "secrets" / "admin-token")
    else:
        environment["ADMIN__TOKEN"] = secret["admin-token"]
        environment["GATEWAY__MANAGE_AUTHORIZATION_KEY"] = "true"
    bridge.environment = {f"OCPP_BRIDGE__{name}": value for name, value in environment.items()}
    async with bridge:
        yield bridge


async def told(bridge: Bridge, secret: Planted) -> dict[str, bytes]:
    """All that the admin listener tells who has the token, every recorded message included; and who has not."""
    root = f"http://127.0.0.1:{bridge.admin_address[1]}"
    pages: dict[str, bytes] = {}
    async with aiohttp.ClientSession() as http:

        async def ask(method: str, path: str, *, token: str = secret["admin-token"], **options: Any) -> bytes:
            bearer = {"Authorization": f"Bearer {token}"}
            async with http.request(method, root + path, headers=bearer, **options) as response:
                head = "".join(f"{name}: {value}\n" for name, value in response.headers.items())
                pages[f"{method} {path} {len(pages)}"] = head.encode() + (body := await response.read())
                return body

        for path in ("/healthz", "/readyz", "/metrics", "/", *(f"/api/v1/{name}" for name in _PAGES)):
            await ask("GET", path)
            await ask("GET", path, token=secret["wrong-bearer"])
        for identity in ("S-1", "J-1", "R-1", "T-1", "nobody"):
            await ask("GET", f"/api/v1/charge-points/{identity}")
        for payload in _operator_calls(secret):
            call = {"action": "ChangeConfiguration", "payload": payload}
            await ask("POST", "/api/v1/charge-points/S-1/calls", json=call)
        stream = await http.get(f"{root}/api/v1/events", headers={"Authorization": f"Bearer {secret['admin-token']}"})
        await ask(
            "POST",
            "/api/v1/charge-points/S-1/calls",
            json={"action": "ChangeConfiguration", "payload": _operator_calls(secret)[0]},
        )
        recorded: list[Any] = []
        while "S-1" not in {message["identity"] for message in recorded if message["from"] == "operator"}:
            recorded = json.loads(await ask("GET", "/api/v1/messages?limit=1000"))["items"]
        for message in recorded:
            await ask("GET", f"/api/v1/messages/{message['id']}")
        await ask("GET", "/api/v1/audit")
        pages["events"] = await stream.content.readany()
        stream.close()
    return pages


_PAGES = ("charge-points", "routes", "central-systems", "audit", "actions", "addresses", "openapi.json")


def _operator_calls(secret: Planted) -> list[Any]:
    value = secret["operator-key"]
    good = {"key": "AuthorizationKey", "value": value}
    return [
        good,
        {"AuthorizationKey": value},
        {"key": "AuthorizationKey", "value": [value]},
        good | {"value": value * 20},
    ]


# Who speaks with it.


async def soap_charge_point(bridge: Bridge, secret: Planted, main: RawCentralSystem, url: str) -> None:
    """S-1: a SOAP Charge Point, its JSON Central System, and somebody who would like to be it."""
    right = {"Authorization": basic("S-1", secret["soap-password"])}
    wrong = {"Authorization": basic("S-1", secret["wrong-basic"])}
    security = f"<w:Security xmlns:w='urn:w'><w:Password>{secret['broken-envelope']}</w:Password></w:Security>"
    assert (await post(bridge, envelope(identity="S-1"), headers=wrong)).status != 200
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(post(bridge, envelope(identity="S-1", source=url, headers=security), headers=right))
        link = await main.connected()
        await link.serve()
    assert asked.result().status == 200
    assert await commanded(link, secret, "changed-key") == {"3", "4"}
    if "OCPP_BRIDGE__GATEWAY__MANAGE_AUTHORIZATION_KEY" in bridge.environment:
        right = {"Authorization": basic("S-1", secret["changed-key"])}
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(post(bridge, envelope(identity="S-1"), headers=right))
        while (frame := await link.receive())[0] != 2:
            pass
        await link.send([4, frame[1], "InternalError", f"see {secret.url('error-text')}", {}])
    assert asked.result().status == 500
    inner = f"<key>AuthorizationKey</key><value>{secret['broken-envelope']}</value>"
    for body in (
        f'<changeConfigurationRequest xmlns="{CP}">{inner}</changeConfigurationRequest>',
        f'<authorizeRequest xmlns="{CS}"><configurationKey>{inner}</configurationKey></authorizeRequest>',
        f'<heartbeatRequest xmlns="{CS}"><location>{secret.url("broken-envelope")}</location>',
    ):
        assert (await post(bridge, envelope(body, identity="S-1"), headers=right)).status != 200
    await post(bridge, envelope(identity="S-1", source=secret.url("broken-envelope")), headers=wrong)


async def json_charge_point(bridge: Bridge, secret: Planted) -> None:
    """J-1: a JSON Charge Point with a SOAP Central System; and somebody who would like to be either."""
    with pytest.raises(InvalidStatus):
        await connect(f"{bridge.websocket_url}/J-1", additional_headers=[shown("J-1", secret["wrong-basic"])])
    async with charge_point(f"{bridge.websocket_url}/J-1", shown("J-1", secret["json-password"])) as link:
        serving = asyncio.ensure_future(answered(link, secret))
        system = {"Authorization": basic("soap", secret["soap-system"])}
        for body in (
            f'<changeConfigurationRequest xmlns="{CP}"><key>AuthorizationKey</key>'
            f"<value>{secret['changed-key-json']}</value></changeConfigurationRequest>",
            f'<getConfigurationRequest xmlns="{CP}"/>',
            f'<updateFirmwareRequest xmlns="{CP}"><retrieveDate>{AT}</retrieveDate>'
            f"<location>{secret.url('firmware')}</location></updateFirmwareRequest>",
            f'<getDiagnosticsRequest xmlns="{CP}"><location>{secret.url("diagnostics")}</location>'
            "</getDiagnosticsRequest>",
            f'<changeConfigurationRequest xmlns="{CP}"><key>AuthorizationKey</key>'
            f"<value>{secret['overlong-key']}{'x' * 600}</value></changeConfigurationRequest>",
        ):
            for headers in (system, {"Authorization": basic("soap", secret["wrong-system"])}):
                await post(bridge, envelope(body, identity="J-1"), path=_COMMANDS, headers=headers)
        for frame in broken(secret):
            await link.send(frame)
        serving.cancel()


async def relayed_charge_point(bridge: Bridge, secret: Planted, main: RawCentralSystem) -> None:
    """R-1: between two JSON parties, what is said is only passed on."""
    async with charge_point(f"{bridge.websocket_url}/R-1", shown("R-1", secret["relay-password"])) as near:
        far = await main.connected()
        serving = asyncio.ensure_future(answered(near, secret))
        assert "3" in await commanded(far, secret, "relayed-key")
        serving.cancel()


async def charge_point_with_a_token(bridge: Bridge, secret: Planted) -> None:
    """T-1: what it shows stands in the address."""
    with pytest.raises(InvalidStatus):
        await connect(f"{bridge.websocket_url}/{secret['wrong-token']}/T-1")
    async with charge_point(f"{bridge.websocket_url}/{secret['url-token']}/T-1") as link:
        assert (await link.ask([2, "1", "Heartbeat", {}]))[0] == 3
    for token in ("url-token", "wrong-token"):
        for after in ("", "/T-1"):
            path = f"/services/CentralSystemService/{secret[token]}{after}"
            to = f"<a:To>http://bridge.example{path}</a:To>"
            answer = await post(bridge, envelope(identity="T-1", headers=to), path=path)
            assert (answer.status == 200) is (token == "url-token")


_COMMANDS = "/services/ChargePointService"


def shown(user: str, password: str) -> tuple[str, str]:
    return "Authorization", basic(user, password)


@asynccontextmanager
async def charge_point(url: str, *headers: tuple[str, str]) -> AsyncIterator[Connection]:
    """A JSON Charge Point that does nothing by itself."""
    spoken = [Subprotocol("ocpp1.6")]
    async with connect(url, subprotocols=spoken, additional_headers=list(headers), proxy=None) as websocket:
        yield Connection(websocket)


async def heartbeats(data: bytes) -> web.Response:
    """A SOAP Central System."""
    body = f'<heartbeatResponse xmlns="{CS}"><currentTime>{AT}</currentTime></heartbeatResponse>'
    return await answering(body)(data)


async def bad_configurations(bridge: Bridge, folder: Path, secret: Planted) -> list[str]:
    """Read again, none is taken over; what `check` says of each."""
    file = folder / "bridge.toml"
    good, complaints = file.read_text(), []
    for bad in (
        f'[charge_points.X]\npasswrd = "{secret["reload-unknown"]}"\n',
        f'[charge_points.X]\npassword = "{secret["reload-syntax"]}\n',
        f'[charge_points.X]\npassword = ["{secret["reload-syntax"]}"]\ntoken = {{ x = "{secret["reload-syntax"]}" }}\n',
        f'[charge_points.X]\npassword_file = "{secret["reload-syntax"]}"\n',
        f'[central_systems.x]\nurl = "ws://x:{secret["reload-url"]}@127.0.0.1:1/"\n',
        f'[charge_points.X]\ncallback_url = "{secret.url("reload-url")}"\n',
    ):
        file.write_text(good + bad)
        bridge.told(signal.SIGHUP)
        await bridge.says("configuration not taken over")
        with pytest.raises(ConfigurationError) as raised:
            config.load(file, {"OCPP_BRIDGE__ADMIN__TOKN": secret["environment"]})
        complaints += [str(raised.value), repr(raised.value)]
    file.write_text(good)
    return complaints


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_nothing_secret_is_in_anything_that_it_ever_wrote(log_format: str, tmp_path: Path) -> None:
    secret, written = Planted(), dict[str, bytes]()
    async with (
        RawCentralSystem() as main,
        listening(heartbeats) as soap,
        listening(posted(secret)) as point,
        bridge_of(tmp_path, secret, main.url, soap.url, log_format) as bridge,
    ):
        await soap_charge_point(bridge, secret, main, point.url)
        await json_charge_point(bridge, secret)
        await relayed_charge_point(bridge, secret, main)
        await charge_point_with_a_token(bridge, secret)
        written.update(await told(bridge, secret))
        arrived = b"".join(point.received) + str([request.headers for request in main.requests]).encode()
        assert secret.found_in(arrived) >= {"changed-key", "firmware", "diagnostics", "soap-upstream"}
        settings = config.load(tmp_path / "bridge.toml", bridge.environment)
        written["repr"] = (repr(settings) + str(settings)).encode()
        written["complaints"] = "\n".join(await bad_configurations(bridge, tmp_path, secret)).encode()
        bridge.told(signal.SIGTERM)
        assert await bridge.ended() == 0
        written["log"] = "".join(bridge.lines).encode()
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name != "bridge.toml" and file.parent.name != "secrets":
            written[str(file.relative_to(tmp_path))] = file.read_bytes()
    assert "bridge.db" in written and len(written) > 40
    leaks = {where: found for where, data in written.items() if (found := secret.found_in(data))}
    # manage_authorization_key has to keep the Charge Point's new one.
    assert leaks == ({} if log_format == "text" else {"bridge.db": {"changed-key"}})
