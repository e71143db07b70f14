"""Commands that ask a running gateway: where it is, what they are shown, and what they say when it will not."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from bridge.app import Gateway
from bridge.commands import asking, cli, sessions
from bridge.config import Admin, Listen, Secret
from bridge.core.state import STATES
from bridge.errors import ConfigurationError
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.e2e.stage import Backstage, charge_point, envelope, post, running, settings
from tests.ports import free_port

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def nothing_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OCPP_BRIDGE_ADMIN_URL", "OCPP_BRIDGE_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs a command line; the exit code, and what it said on standard output and error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return run


class Scene:
    """A gateway in another thread, whose token is `secret`, with the Charge Point CP 1."""

    def __init__(self) -> None:
        self.backstage = Backstage()
        self.gateway: Gateway
        self._held = AsyncExitStack()

    async def begin(self) -> None:
        central = await self._held.enter_async_context(JsonCentralSystem())
        told = settings(central.url)
        admin = Admin(listen=Listen("127.0.0.1", 0), token=Secret(b"secret"))
        self.gateway = await self._held.enter_async_context(running(msgspec.structs.replace(told, admin=admin)))
        self.point = await self._held.enter_async_context(charge_point(self.gateway, "CP 1"))
        await self.point.call("BootNotification", {"chargePointVendor": "v", "chargePointModel": "m"})

    async def end(self) -> None:
        await self._held.aclose()

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.gateway.admin_address)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    scene = Scene()
    with scene.backstage:
        scene.backstage.run(scene.begin())
        try:
            yield scene
        finally:
            scene.backstage.run(scene.end())


@pytest.fixture
def configured(scene: Scene, tmp_path: Path) -> Path:
    """A configuration that leads to the scene's gateway."""
    path = tmp_path / "bridge.toml"
    path.write_text(f"[admin]\nlisten = '127.0.0.1:{scene.gateway.admin_address[1]}'\ntoken = 'secret'\n")
    return path


def test_the_configuration_says_where_and_with_what(configured: Path, said: Said) -> None:
    code, out, _ = said("sessions", "--config", str(configured))
    title, one = out.splitlines()
    assert code == 0
    assert title.startswith("CHARGE POINT  STATE") and one.startswith("CP 1          up     soap 1.6  main")
    code, out, _ = said("sessions", "cp*", "--state", "up", "--json", "--config", str(configured))
    assert (code, [each["identity"] for each in json.loads(out)]) == (0, ["CP 1"])
    assert said("sessions", "nobody", "--config", str(configured)) == (0, "", "no Charge Point fits\n")


def test_the_environment_and_the_command_line_come_first(
    scene: Scene, said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    monkeypatch.setenv("OCPP_BRIDGE_ADMIN_URL", scene.url)
    assert said("sessions", "--token-file", str(token))[0] == 0
    monkeypatch.setenv("OCPP_BRIDGE_ADMIN_URL", f"http://127.0.0.1:{free_port()}")
    assert said("sessions", "--url", scene.url, "--token-file", str(token))[0] == 0


def test_a_token_is_missing_or_wrong(scene: Scene, said: Said, tmp_path: Path) -> None:
    code, out, err = said("sessions", "--url", scene.url)
    assert (code, out) == (1, "")
    where = "--token-file, admin.token_file in the configuration, or admin-token beside the store"
    assert err == f"ocpp-bridge: {scene.url}: it wants a token ({where})\n"
    token = tmp_path / "token"
    token.write_text("wrong")
    assert "the token is not one of those" in said("sessions", "--url", scene.url, "--token-file", str(token))[2]
    assert "No such file" in said("sessions", "--url", scene.url, "--token-file", "gone")[2]


def test_nothing_runs_there(said: Said) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    code, out, err = said("sessions", "--url", url)
    assert (code, out) == (1, "")
    assert err.startswith(f"ocpp-bridge: no ocpp-bridge answers at {url} (Connection refused): is it running")


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if "charge-points" in self.path else 404)
        self.end_headers()
        self.wfile.write(b"<html>a router</html>")

    def log_message(self, format: str, *args: Any) -> None: ...


def test_something_else_runs_there(said: Said) -> None:
    with HTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            assert "what answers is not JSON" in said("sessions", "--url", url)[2]
            with pytest.raises(asking.AskingError, match="HTTP 404 Not Found"):
                asking.AdminClient(url).get("/else")
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8081", "ftp://a", "http://", "http://a:0", "http://a?b", "http://u@a", "http://["]
)
def test_what_is_no_address(url: str, said: Said) -> None:
    code, _, err = said("sessions", "--url", url)
    assert code == 2 and "expected http://HOST:PORT" in err


def test_the_configured_token_goes_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "bridge.toml"
    path.write_text("[admin]\nlisten = '0.0.0.0:8081'\ntoken = 'secret'\n")

    def token(url: str | None) -> bytes | None:
        return asking.reach(asking.Where(url=url, config=path), {})._token

    assert asking.reach(asking.Where(config=path), {}).url == "http://127.0.0.1:8081"
    assert token(None) == b"secret"
    assert token("http://localhost:9999") == token("https://[::1]") == b"secret"
    assert token("http://192.0.2.1:8081") is None
    assert token("http://127.0.0.1.evil.example") is None
    with pytest.raises(ConfigurationError):
        asking.reach(asking.Where(config=tmp_path / "gone"), {})


# Commands.


def test_a_command_and_its_answer(configured: Path, said: Said) -> None:
    code, out, err = said("call", "CP 1", "Reset", '{"type": "Soft"}', "--config", str(configured))
    assert (code, json.loads(out), err) == (0, {"status": "Accepted"}, "")
    code, out, _ = said("call", "cp 1", "ClearCache", "--json", "--config", str(configured))
    answer = json.loads(out)
    assert (code, answer["outcome"], answer["payload"]) == (0, "result", {"status": "Accepted"})


def test_a_command_that_is_refused(configured: Path, said: Said, scene: Scene) -> None:
    behaviour = scene.point.behaviour.pop("UnlockConnector")
    code, out, err = said("call", "CP 1", "UnlockConnector", '{"connectorId": 1}', "--config", str(configured))
    scene.point.behaviour["UnlockConnector"] = behaviour
    assert (code, out) == (1, "") and err.startswith("ocpp-bridge call: the Charge Point answered Not")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("CP 1", "Reset", "{"), 2, "the payload is one JSON object"),
        (("CP 1", "Reset", "[]"), 2, "the payload is one JSON object"),
        (("CP 1", "Reset", '{"type": "Sofd"}'), 2, "type: Invalid enum value 'Sofd'"),
        (("CP 1", "Rset"), 2, "no action is called 'Rset', did you mean Reset?"),
        (("nobody", "ClearCache"), 1, "no Charge Point 'nobody' was ever here"),
        (("CP 1",), 2, "required: ACTION"),
    ],
)
def test_commands_that_are_not_sent(
    configured: Path, said: Said, arguments: tuple[str, ...], code: int, text: str
) -> None:
    came, out, err = said("call", *arguments, "--config", str(configured))
    assert (came, out) == (code, "") and text in err and err.count("\n") == 1


# The stream.


def test_events_and_all_pages(configured: Path, scene: Scene) -> None:
    gateway = asking.reach(asking.Where(config=configured), {})
    stream = gateway.events(identity="CP 9")
    Thread(target=_speak_until_heard, args=(scene, heard := asyncio.Event()), daemon=True).start()
    first = next(event for event in stream if event.kind == "message")
    heard.set()
    stream.close()  # type: ignore[attr-defined]
    assert (first.data["identity"], first.data["action"]) == ("CP 9", "Heartbeat")
    assert int(first.id) > 0
    identities = {each["identity"] for each in gateway.pages("/charge-points", limit=1)}
    assert identities == {"CP 1", "CP 9"}


def _speak_until_heard(scene: Scene, heard: asyncio.Event) -> None:
    while not heard.is_set():
        scene.backstage.run(_speak(scene))


async def _speak(scene: Scene) -> None:
    assert (await post(scene.gateway, envelope(identity="CP 9"))).status == 200


def test_a_stream_that_cannot_be_had() -> None:
    gateway = asking.AdminClient(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(asking.AskingError, match="is it running"):
        next(iter(gateway.events()))


# The table.


def summary(**changes: Any) -> dict[str, Any]:
    side = {"transport": "json", "version": "1.6", "state": "up"}
    told = {"identity": "CP 1", "charge_point": side, "central_side": side, "central_system": "main", "state": "up"}
    counts = dict.fromkeys(("transactions", "waiting", "calls", "errors"), 0)
    return told | counts | {"last_seen": "2026-01-01T00:00:00.000Z", "last_error": None} | changes


@pytest.mark.parametrize(
    ("at", "ago"),
    [("00:00:05", "5 s"), ("00:01:59", "119 s"), ("00:02:00", "2 min"), ("02:30:00", "2 h"), ("00:00:00", "0 s")],
)
def test_how_long_ago(at: str, ago: str) -> None:
    assert sessions.row_of(summary(), datetime.fromisoformat(f"2026-01-01T{at}+00:00"))[5] == ago


def test_a_table_that_fits() -> None:
    now = datetime(2026, 1, 3, tzinfo=UTC)
    told = [
        summary(last_error="x" * 200),
        summary(
            identity="A" * 50,
            state="never_seen",
            charge_point=None,
            central_system=None,
            central_side=None,
            last_seen=None,
        ),
        summary(identity="\x1b[31mred\n"),
    ]
    rows = [sessions.row_of(each, now) for each in told]
    for width in (80, 120, 200):
        lines = sessions.table(rows, width)
        assert max(map(len, lines)) <= width
    wide = sessions.table(rows, None)
    assert "x" * 200 in wide[1] and "A" * 50 in wide[2] and "never" in wide[2] and "never_seen" in wide[2]
    assert "\x1b" not in "".join(wide) and len(wide) == 4


# Completion.


def completed(script: str, *words: str) -> list[str]:
    """What bash offers for the last of `words`."""
    line = "ocpp-bridge", *words
    told = f"{script}\nCOMP_WORDS=({' '.join(map(repr, line))})\nCOMP_CWORD={len(line) - 1}\n"
    told += '_ocpp_bridge\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    done = subprocess.run(["bash", "-c", told], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_what_the_parser_knows(said: Said) -> None:
    code, script, _ = said("completion", "bash")
    assert code == 0
    assert completed(script, "se") == ["serve", "sessions"]
    assert completed(script, "sessions", "--state", "") == list(STATES)
    assert completed(script, "call", "CP", "Unl") == ["UnlockConnector"]
    assert completed(script, "simulate", "char") == ["charge-point"]
    assert "--identity" in completed(script, "simulate", "charge-point", "--")
    assert completed(script, "translate", "--to", "j") == ["json"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(said: Said, shell: str) -> None:
    code, script, _ = said("completion", shell)
    assert code == 0
    assert all(word in script for word in ("sessions", "stale", "UnlockConnector", "charge-point"))
    assert script.startswith({"zsh": "#compdef ocpp-bridge\n", "fish": "complete -c ocpp-bridge -f\n"}[shell])
