"""The command line: exit codes, one clear sentence for what is wrong, and no traceback."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from bridge import __version__
from bridge.commands.cli import main
from bridge.distribution.build import commit
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.script import DEFAULT_SCRIPTS
from tests.authority import Authority
from tests.processes import running

ONE = ["simulate", "charge-point", "--protocol", "ocpp1.6j", "--identity", "A", "--url"]
BRIDGE = [sys.executable, "-m", "bridge"]
HEARTBEAT = b'[2, "17", "Heartbeat", {}]'


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration of this machine is read."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("OCPP_BRIDGE"):
            monkeypatch.delenv(name)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """What stands on standard input."""
    data = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
    return data


def configured(path: Path, text: str = "") -> Path:
    """A configuration file that listens at ports of the system's choice."""
    listeners = "".join(f'[{name}]\nlisten = "127.0.0.1:0"\n' for name in ("soap", "websocket", "admin"))
    path.write_text(listeners + text, "utf-8")
    return path


def lines_until(stream: IO[str] | None, word: str) -> Iterator[str]:
    """The lines that come, up to the one with `word` in it."""
    assert stream is not None
    for line in stream:
        yield line
        if word in line:
            return
    raise AssertionError(f"it ended without a word of {word!r}")


# Usage


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["session"], "invalid choice: 'session'"),
        (["demo", "--onc"], "unrecognized arguments: --onc"),
        (["translate"], "the following arguments are required: --to"),
        (["translate", "--to", "json", "--version", "2.0"], "'2.0' is unknown, expected 1.6, 1.5, 1.2"),
        (["translate", "--to", "soap", "--action", "hearbeat"], "no action of OCPP 1.6 is called 'hearbeat', did you"),
        (["translate", "--to", "soap", "--action", "?"], "no action of OCPP 1.6 is called '?'"),
        (["translate", "--to", "soap", "--identity", "a\nb"], "a ChargeBoxIdentity is 1 to 255 characters"),
        (["simulate"], "the following arguments are required: PARTY"),
        (
            ["simulate", "charge-point", "--protocol", "ocpp1.5j", "--url", "http://x/", "--identity", "A"],
            "'ocpp1.5j' is unknown, expected ocpp1.6s, ocpp1.5s, ocpp1.2s, ocpp1.6j",
        ),
        (["demo", "--protocol", "ocpp1.6j"], "'ocpp1.6j' is unknown, expected ocpp1.6s, ocpp1.5s, ocpp1.2s"),
        (
            ["simulate", "charge-point", "--protocol", "ocpp1.6s", "--url", "ws://x/", "--identity", "A"],
            "expected http://HOST[:PORT]/PATH, not 'ws://x/'",
        ),
        (
            ["simulate", "charge-point", "--protocol", "ocpp1.6s", "--url", "http://x:y/", "--identity", "A"],
            "expected http://HOST[:PORT]/PATH, not 'http://x:y/'",
        ),
        (
            ["simulate", "charge-point", "--listen", "0.0.0.0:1"],
            "0.0.0.0 is no address that a command can be sent to",
        ),
        (
            ["simulate", "charge-point", "--protocol", "ocpp1.6j", "--url", "http://x/", "--identity", "A"],
            "expected ws://HOST[:PORT]/PATH, not 'http://x/'",
        ),
        ([*ONE, "ws://x/", "--count", "0"], "a number from 1 to 10000 is expected, not '0'"),
        ([*ONE, "ws://x/", "--count", "many"], "a number from 1 to 10000 is expected, not 'many'"),
        ([*ONE, "ws://x/", "--count", "2", "--listen", "127.0.0.1:9"], "cannot share one port: say 0"),
        ([*ONE, "ws://x/", "--ca", "ca.pem"], "--ca: is of no use: the URL does not begin with wss:// or https://"),
        ([*ONE, "ws://x/", "--certificate", "c.pem"], "--certificate: is of no use"),
        (
            ["simulate", "central-system", "--protocol", "ocpp1.5j", "--listen", "x:1"],
            "'ocpp1.5j' is unknown, expected ocpp1.6j, ocpp1.6s, ocpp1.5s, ocpp1.2s",
        ),
        (["simulate", "central-system", "--listen", "x"], "HOST:PORT is expected, not 'x'"),
    ],
)
def test_bad_usage_is_one_sentence(argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ocpp-bridge")
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["serve", "check", "demo", "translate", "simulate", "call", "completion"])
def test_help_is_no_failure(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert command in capsys.readouterr().out
    assert main([command, "--help"]) == 0
    assert "sessions" not in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ocpp-bridge {__version__}, commit {commit() or 'unknown'}\n"


# check


def test_a_good_configuration_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "built-in defaults: ok, 1 central system, 1 route\n"
    routes = '[[routes]]\ncharge_point = "*"\ncentral_system = "a"\n' * 3
    path = configured(tmp_path / "b.toml", '[central_systems.a]\nurl = "ws://x"\n[central_systems.b]\nurl = "ws://y"\n')
    path.write_text(path.read_text("utf-8") + routes, "utf-8")
    assert main(["check", "--config", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: ok, 2 central systems, 3 routes\n"


def test_a_bad_configuration_is_told_a_complaint_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "b.toml"
    path.write_text('[soap]\nlisen = "x"\n[gateway]\ncall_timeout = "soon"\n', "utf-8")
    assert main(["check", "--config", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 2
    assert f"{path}: soap.lisen: unknown key, did you mean listen?" in err.splitlines()


def test_certificates_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authority = Authority(tmp_path)
    one, other = authority.issue("one", "one.example"), authority.issue("other", "other.example")
    (tmp_path / "junk.pem").write_text("junk")

    def check(certificate: str, key: str, ca: str) -> tuple[int, list[str]]:
        path = tmp_path / "b.toml"
        path.write_text(
            f'[soap.tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
            f'[central_systems.a]\nurl = "wss://x"\n[central_systems.a.tls]\nca = "{ca}"\n'
            '[[routes]]\ncharge_point = "*"\ncentral_system = "a"\n'
        )
        status = main(["check", "--config", str(path)])
        return status, capsys.readouterr().err.splitlines()

    junk = str(tmp_path / "junk.pem")
    assert check(one["certificate"], one["key"], authority.file) == (0, [])
    status, errors = check(one["certificate"], other["key"], junk)
    assert status == 2
    assert [line.partition(": ")[2] for line in errors] == [
        "soap.tls: certificate and key: mismatch: the key is not that of the certificate",
        "central_systems.a.tls: ca: no certificate as text (PEM) is in it",
    ]
    status, errors = check(junk, one["key"], one["certificate"])
    assert (status, len(errors)) == (2, 1)
    assert errors[0].endswith("soap.tls: certificate and key: not a certificate and its key as text (PEM)")


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_configuration_that_is_not_there_is_a_complaint(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--config", "nowhere.toml"]) == 2
    assert capsys.readouterr().err == "nowhere.toml: cannot be read: No such file or directory\n"


# translate


def test_a_file_or_standard_input_is_translated(
    tmp_path: Path, stdin: io.BytesIO, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "call.json").write_bytes(HEARTBEAT)
    assert main(["translate", "--to", "soap", "--identity", "RDAM 123", "call.json"]) == 0
    soap = capsys.readouterr().out
    assert soap.startswith("<?xml")
    assert ">RDAM 123</" in soap
    stdin.write(soap.encode())
    stdin.seek(0)
    assert main(["translate", "--to", "json"]) == 0
    assert capsys.readouterr().out == '[2,"17","Heartbeat",{}]\n'


def test_text_beyond_ascii_is_utf_8(stdin: io.BytesIO, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    sent = json.dumps([2, "17", "Authorize", {"idTag": "Zürich"}], ensure_ascii=False)
    result = subprocess.run(
        [*BRIDGE, "translate", "--to", "soap"],
        input=sent.encode(),
        capture_output=True,
        timeout=60,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert result.returncode == 0
    assert "<c:idTag>Zürich</c:idTag>" in result.stdout.decode()


def test_losses_go_to_standard_error(stdin: io.BytesIO, capsys: pytest.CaptureFixture[str]) -> None:
    stdin.write(b'[2, "17", "Heartbeat", {"a": 1, "b": 2}]')
    stdin.seek(0)
    assert main(["translate", "--to", "soap"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 2
    assert [line.partition(":")[0] for line in err.splitlines()] == ["HeartbeatRequest.a", "HeartbeatRequest.b"]


@pytest.mark.parametrize(
    ("to", "sent", "code", "sentence"),
    [
        ("json", b"no\nxml", 1, "standard input: not well-formed XML"),
        ("soap", b"[]", 1, "standard input: "),
        ("soap", b'[3, "17", {}]', 2, "standard input: a CALLRESULT does not name the action that it answers"),
    ],
)
def test_a_bad_message_is_one_sentence(
    to: str, sent: bytes, code: int, sentence: str, stdin: io.BytesIO, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin.write(sent)
    stdin.seek(0)
    assert main(["translate", "--to", to]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(sentence)
    assert err.count("\n") == 1


def test_options_reach_the_translation(stdin: io.BytesIO, capsys: pytest.CaptureFixture[str]) -> None:
    stdin.write(b'[3, "17", {"status": "Accepted", "x": 1}]')
    stdin.seek(0)
    command = ["translate", "--to", "soap", "--service", "charge-point", "--action", "DataTransfer"]
    assert main(command) == 0
    assert "urn://Ocpp/Cp/2015/10/" in capsys.readouterr().out
    stdin.seek(0)
    assert main([*command, "--strict"]) == 1
    assert capsys.readouterr().err.startswith("standard input: ")


def test_a_translation_into_an_older_version_tells_what_it_costs(
    stdin: io.BytesIO, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin.write(b'[2, "17", "StatusNotification", {"connectorId": 1, "status": "Charging", "errorCode": "NoError"}]')
    stdin.seek(0)
    assert main(["translate", "--to", "soap", "--version", "1.5"]) == 0
    there = capsys.readouterr()
    assert "urn://Ocpp/Cs/2012/06/" in there.out
    assert there.err.startswith("StatusNotificationRequest.status: ")
    stdin.seek(0)
    stdin.truncate()
    stdin.write(there.out.encode())
    stdin.seek(0)
    assert main(["translate", "--to", "json"]) == 0
    back = capsys.readouterr()
    assert '{"connectorId":1,"status":"Preparing","errorCode":"NoError"}' in back.out
    assert back.err.startswith("StatusNotificationRequest.status: Occupied becomes ")


def test_a_file_that_cannot_be_read_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["translate", "--to", "json", "nowhere.xml"]) == 1
    assert capsys.readouterr().err == "ocpp-bridge: nowhere.xml: No such file or directory\n"


# serve


def test_it_serves_reads_the_routes_again_and_stops(tmp_path: Path) -> None:
    path = configured(tmp_path / "b.toml")
    command = [*BRIDGE, "serve", "--config", str(path)]
    with running(command, stderr=subprocess.PIPE, encoding="utf-8") as served:
        started = list(lines_until(served.stderr, "listener=admin"))
        assert any("listening listener=soap address=127.0.0.1:" in line for line in started)
        path.write_text("[soap]\nlisen = 1\nport = 2\n", "utf-8")
        served.send_signal(signal.SIGHUP)
        assert "soap.lisen: unknown key" in list(lines_until(served.stderr, "not taken over"))[-1]
        assert "soap.port: unknown key" in list(lines_until(served.stderr, "not taken over"))[-1]
        configured(path)
        served.send_signal(signal.SIGHUP)
        list(lines_until(served.stderr, "routes read again"))
        served.send_signal(signal.SIGTERM)
        _, rest = served.communicate(timeout=30)
    assert served.returncode == 0
    assert "Traceback" not in rest


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        for argv, key in (
            (["serve"], "soap.listen"),
            (["simulate", "central-system", "--protocol", "ocpp1.6j", "--listen", listen], "--listen"),
            (
                [
                    *("simulate", "charge-point", "--protocol", "ocpp1.6s", "--url", "http://127.0.0.1:1/"),
                    *("--identity", "A", "--listen", listen),
                ],
                "--listen",
            ),
        ):
            result = subprocess.run(
                [*BRIDGE, *argv],
                capture_output=True,
                encoding="utf-8",
                timeout=60,
                env=os.environ | {"OCPP_BRIDGE__SOAP__LISTEN": listen},
            )
            assert result.returncode == 1
            assert result.stderr.startswith(f"ocpp-bridge: {key}: cannot listen at {listen}: ")
            assert result.stderr.count("\n") == 1


# simulate


@pytest.mark.parametrize("protocol", ["ocpp1.6s", "ocpp1.5s", "ocpp1.2s"])
def test_the_simulated_parties_talk_through_a_served_gateway(protocol: str, tmp_path: Path) -> None:
    """And with that, that a Central System may be told of in the configuration of `serve`."""
    central_system = [*BRIDGE, "simulate", "central-system", "--protocol", "ocpp1.6j", "--listen", "127.0.0.1:0"]
    with running(central_system, stdout=subprocess.PIPE, encoding="utf-8") as answers:
        url = next(lines_until(answers.stdout, "expected at")).split("expected at ")[1].partition("/IDENTITY")[0]
        route = f'[central_systems.a]\nurl = "{url}"\n[[routes]]\ncharge_point = "*"\ncentral_system = "a"\n'
        path = configured(tmp_path / "b.toml", route)
        serve = [*BRIDGE, "serve", "--config", str(path)]
        with running(serve, stderr=subprocess.PIPE, encoding="utf-8") as served:
            started = list(lines_until(served.stderr, "listener=admin"))
            address = next(line for line in started if "listener=soap" in line).split("address=")[1].strip()
            result = _charge_point(tmp_path, f"http://{address}/services/CentralSystemService", protocol)
            served.send_signal(signal.SIGINT)
            served.communicate(timeout=30)
        answers.send_signal(signal.SIGTERM)
        told, _ = answers.communicate(timeout=30)
    assert (result.returncode, served.returncode, answers.returncode) == (0, 0, 0)
    assert "SOAP request" in result.stdout
    assert 'BootNotification: {"status": "Accepted"' in result.stdout
    assert result.stderr == ""
    assert "JSON request" in told


@pytest.mark.parametrize(
    ("protocol", "word"), [("ocpp1.6s", "SOAP"), ("ocpp1.5s", "SOAP"), ("ocpp1.2s", "SOAP"), ("ocpp1.6j", "JSON")]
)
def test_the_simulated_parties_of_one_protocol_understand_each_other(protocol: str, word: str, tmp_path: Path) -> None:
    central_system = [*BRIDGE, "simulate", "central-system", "--protocol", protocol, "--listen", "127.0.0.1:0"]
    with running(central_system, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as answers:
        line = next(lines_until(answers.stdout, "expected at"))
        url = line.split("expected at ")[1].partition(";")[0].removesuffix("/IDENTITY")
        result = _charge_point(tmp_path, url, protocol)
        answers.send_signal(signal.SIGINT)
        told, complaints = answers.communicate(timeout=30)
    assert (result.returncode, result.stderr) == (0, "")
    assert (answers.returncode, complaints) == (0, "")
    assert f"{word} request" in result.stdout
    assert f"{word} request" in told
    assert 'StopTransaction: {"idTagInfo": {"status": "Accepted"}}' in result.stdout


def test_a_websocket_that_is_not_to_be_had_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    result = _charge_point(tmp_path, f"ws://127.0.0.1:{closed}/ocpp", "ocpp1.6j")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"ocpp-bridge: --url: cannot connect to ws://127.0.0.1:{closed}/ocpp/CP%201: ")
    assert result.stderr.count("\n") == 1


async def test_a_simulated_charge_point_connects_again() -> None:
    from bridge.commands import simulate

    known = {"A"}
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("no connection"):
            known.add("A")

    central = JsonCentralSystem(known=known)
    async with central, JsonChargePoint(url=central.url, identity="A") as charge_point:
        link = await central.wait_for("A")
        known.clear()
        await link.websocket.close(1013, "try again later")
        await simulate.stay_connected(charge_point, say, pause=0)
        await charge_point.call("Heartbeat", {})
    assert said == [
        "the connection ended: 1013 try again later",
        "no connection: the handshake was refused: HTTP 404, no such Charge Point here",
    ]


def _charge_point(folder: Path, url: str, protocol: str = "ocpp1.6s") -> subprocess.CompletedProcess[str]:
    script = folder / "script"
    script.write_text(DEFAULT_SCRIPTS[protocol], "utf-8")
    command = [*BRIDGE, "simulate", "charge-point", "--protocol", protocol, "--url", url, "--identity", "CP 1"]
    return subprocess.run(
        [*command, "--script", str(script)], capture_output=True, encoding="utf-8", timeout=60, check=False
    )


def test_a_session_that_goes_wrong_is_a_failure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    result = _charge_point(tmp_path, f"http://127.0.0.1:{closed}/")
    assert result.returncode == 1
    assert "BootNotification: no answer" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("script", "sentence"),
    [(b"wait long\n", "s:1: wait needs a number of seconds, not 'long'\n"), (b"\xff", "s: 'utf-8' codec can't")],
)
def test_a_script_that_cannot_be_run_is_bad_usage(
    script: bytes, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s").write_bytes(script)
    command = ["simulate", "charge-point", "--protocol", "ocpp1.6s", "--url", "http://x/", "--identity", "A"]
    assert main([*command, "--script", "s"]) == 2
    assert capsys.readouterr().err.startswith(sentence)


def test_a_simulated_charge_point_stays_until_ctrl_c() -> None:
    command = [*BRIDGE, "simulate", "charge-point", "--protocol", "ocpp1.6s", "--identity", "A"]
    with running(
        [*command, "--url", "http://127.0.0.1:1/"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as simulated:
        first = next(lines_until(simulated.stdout, "takes commands at"))
        assert first.startswith("A: calls http://127.0.0.1:1/, takes commands at http://127.0.0.1:")
        simulated.send_signal(signal.SIGINT)
        _, complaints = simulated.communicate(timeout=30)
    assert (simulated.returncode, complaints) == (0, "")


# Whatever happens


def test_an_interruption_is_a_clean_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.commands import demo, translate

    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", interrupted)
    monkeypatch.setattr(translate, "run", interrupted)
    assert main(["demo"]) == 0
    assert main(["translate", "--to", "json"]) == 1


def test_a_fault_of_ours_is_a_line_of_the_log() -> None:
    program = (
        "import sys; from bridge.commands import check, cli\n"
        "def fail(path, **_): raise RuntimeError('no\\nway')\n"
        "check.run = fail; sys.exit(cli.main(['check']))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", timeout=60)
    assert (result.returncode, result.stdout) == (1, "")
    assert "a fault of ocpp-bridge itself" in result.stderr
    assert "RuntimeError: no\\nway" in result.stderr
    assert result.stderr.count("\n") == 1
