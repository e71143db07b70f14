"""What operators type, done: docs/get-started.md from its first line on, commands to a running bridge, and the demo."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.ports import free_port
from tests.site.pages import DOCS, README, ROOT, Block, blocks_of

# What a program that stays says when the next step can begin.
_READY = {"serve": "listener=admin", "central-system": "expected at", "charge-point": "received StopTransaction"}
_PATIENCE = 120
_DEFAULT_PORTS = (8080, 8081, 9000, 9100, 9101)


class Walk:
    """A folder in which the steps of the page are done, with free ports in the place of the default ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = {port: free_port() for port in _DEFAULT_PORTS}
        program = folder / "bin" / "ocpp-bridge"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bridge "$@"\n')
        program.chmod(0o755)
        listeners = {"SOAP": 8080, "ADMIN": 8081, "WEBSOCKET": 9000}
        ours = {name: value for name, value in os.environ.items() if not name.startswith("OCPP_BRIDGE")}
        self._environment = {
            **ours,
            **{f"OCPP_BRIDGE__{name}__LISTEN": f"127.0.0.1:{self._ports[port]}" for name, port in listeners.items()},
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }

    def here(self, text: str) -> str:
        """Return `text` with the ports of this walk."""
        for port, free in self._ports.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}")
        return text

    def run(self, line: str) -> str:
        """Run a line of shell that ends by itself. Returns what it printed."""
        done = subprocess.run(
            ["sh", "-c", self.here(line)],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE,
        )
        assert done.returncode == 0, f"{line}: {done.stdout}"
        return done.stdout

    @contextmanager
    def staying(self, line: str, ready: str) -> Iterator[subprocess.Popen[str]]:
        """Run a line of shell that stays, from the moment on when it has said `ready`. Yields the process."""
        process = subprocess.Popen(
            ["sh", "-c", f"exec {self.here(line)}"],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process:
            assert process.stdout is not None
            said = []
            for told in process.stdout:
                said.append(told)
                if ready in told:
                    break
            else:
                raise AssertionError(f"{line}: it ended before it said {ready!r}: {''.join(said)}")
            reading = threading.Thread(target=process.stdout.read)  # a program stops when nobody reads what it prints
            reading.start()
            try:
                yield process
            finally:
                process.terminate()
                reading.join()
        assert process.returncode == 0, line


def steps() -> list[Block]:
    """Return the blocks of the page before the part on real Charge Points."""
    page = DOCS / "get-started.md"
    end = page.read_text("utf-8").partition("## A real Charge Point")[0].count("\n")
    return [block for block in blocks_of(page) if block.line <= end]


def test_a_new_operator_gets_started(tmp_path: Path) -> None:
    walk = Walk(tmp_path)
    said: list[str] = []
    shown = 0
    with ExitStack() as held:
        for block in steps():
            if block.language == "toml":
                (tmp_path / "bridge.toml").write_text(walk.here(block.text))
            elif block.language == "text":
                assert all(line in "\n".join(said) for line in block.text.splitlines()), f"{block}: {said}"
                shown += 1
            else:
                lines = lines_of(block)
                kind = next((kind for kind in _READY if f" {kind} " in lines[0]), None)
                if kind is not None:
                    held.enter_context(walk.staying(lines[0], _READY[kind]))
                else:
                    said = [walk.run(line) for line in lines]
                    assert "CP-1" in said[0] or "sessions" not in lines[0]
    assert shown == 3


# What stands on the pages for what the tests have in its place.
_CENTRAL_SYSTEMS = {
    "wss://steve.example.com/steve/websocket/CentralSystemService": "ws://127.0.0.1:9100/ocpp",
    "wss://csms.example.com/ocpp": "ws://127.0.0.1:9101/ocpp",
    "ws://csms.example.com/ocpp": "ws://127.0.0.1:9101/ocpp",
}


def shown(page: str, word: str) -> Block:
    """Return the first block of a page that has `word` in it."""
    return next(block for block in blocks_of(DOCS / page) if word in block.text)


def locally(text: str) -> str:
    """Return `text` with the Central Systems that the tests simulate."""
    for url, local in _CENTRAL_SYSTEMS.items():
        text = text.replace(url, local)
    return text


def lines_of(block: Block) -> list[str]:
    """Return the commands of a block."""
    return block.text.replace("\\\n", " ").splitlines()


@contextmanager
def migrating(walk: Walk, *identities: str) -> Iterator[None]:
    """Run the bridge with the configuration of docs/migrate.md, both Central Systems, and Charge Points."""
    (walk.folder / "bridge.toml").write_text(walk.here(locally(shown("migrate.md", "[central_systems.new]").text)))
    central_system = "ocpp-bridge simulate central-system --protocol ocpp1.6j --listen 127.0.0.1"
    soap = "http://127.0.0.1:8080/services/CentralSystemService"
    with ExitStack() as held:
        for port in (9100, 9101):
            held.enter_context(walk.staying(f"{central_system}:{port}", _READY["central-system"]))
        held.enter_context(walk.staying("ocpp-bridge serve --config bridge.toml", _READY["serve"]))
        for identity in identities:
            charge_point = f"ocpp-bridge simulate charge-point --protocol ocpp1.6s --url {soap} --identity '{identity}'"
            held.enter_context(walk.staying(charge_point, _READY["charge-point"]))
        yield


def belongs_to(walk: Walk, identity: str) -> str:
    """Return the Central System of a Charge Point."""
    (one,) = json.loads(walk.run(f"ocpp-bridge sessions '{identity}' --json"))
    return str(one["central_system"])


def comes_to(walk: Walk, identity: str, central_system: str) -> None:
    """Wait until a Charge Point, whose transaction may be open, belongs to a Central System."""
    until = time.monotonic() + _PATIENCE
    while belongs_to(walk, identity) != central_system:
        assert time.monotonic() < until
        time.sleep(0.1)


# What the Charge Points of the guide do while the new Central System listens: a driver comes twenty times.
_SESSIONS = [
    'BootNotification {"chargePointVendor": "V", "chargePointModel": "M"}',
    *(
        [
            'Authorize {"idTag": "DRIVER-1"}',
            'StartTransaction {"connectorId": 1, "idTag": "DRIVER-1", "timestamp": "$now", "meterStart": 1}',
            'StopTransaction {"transactionId": "$transactionId", "timestamp": "$now", "meterStop": 2}',
        ]
        * 20
    ),
]
_GUIDED = ("RDAM-TEST-1", "RDAM-TEST-2")


def test_a_fleet_is_migrated_as_the_guide_says(tmp_path: Path) -> None:
    """Every block of docs/migrate.md, in its order: one Charge Point speaks SOAP, the other JSON."""
    walk, guide = Walk(tmp_path), iter(blocks_of(DOCS / "migrate.md"))
    (tmp_path / "sessions.txt").write_text("\n".join(_SESSIONS))
    (tmp_path / "first-twenty.csv").write_text("RDAM-TEST-1\n")
    central_system = "ocpp-bridge simulate central-system --protocol ocpp1.6j --listen 127.0.0.1"
    soap = "--protocol ocpp1.6s --url http://127.0.0.1:8080/services/CentralSystemService"
    charge_points = [f"ocpp-bridge simulate charge-point {soap} --identity RDAM-TEST-1"]
    charge_points += [
        "ocpp-bridge simulate charge-point --protocol ocpp1.6j --url ws://127.0.0.1:9000/ocpp --identity RDAM-TEST-2"
    ]

    def told(language: str, word: str) -> str:
        """Return the text of the next block, which is as expected."""
        block = next(guide)
        assert (block.language, word in block.text) == (language, True), block
        return block.text

    def configure(text: str) -> None:
        # The listeners of the guide are at the places of the walk; its public address is that of this machine.
        text = locally(text).replace("0.0.0.0", "127.0.0.1").replace("gateway.example.com", "127.0.0.1")
        (tmp_path / "bridge.toml").write_text(walk.here(text))

    with ExitStack() as held:
        for port in (9100, 9101):
            held.enter_context(walk.staying(f"{central_system}:{port}", _READY["central-system"]))
        # Step 1: the bridge comes in between, the Central System stays.
        configure(told("toml", "RDAM-TEST-*"))
        bridge = held.enter_context(walk.staying("ocpp-bridge serve --config bridge.toml", _READY["serve"]))
        for charge_point in charge_points:
            with walk.staying(charge_point, _READY["charge-point"]):
                pass
        assert [belongs_to(walk, identity) for identity in _GUIDED] == ["steve", "steve"]
        check, reload = told("sh", "reload").splitlines()
        assert reload == "systemctl reload ocpp-bridge"  # which sends SIGHUP
        # Step 2: the new Central System listens.
        configure(told("toml", '"shadow"'))
        assert "bridge.toml: ok" in walk.run(check)
        bridge.send_signal(signal.SIGHUP)
        ask, ready = told("sh", "readiness").strip(), told("text", "ready").strip()
        until_said(walk, f"{ask} || true", "new: not ready: 2 of 2 Charge Points are not ready")
        for charge_point in charge_points:
            walk.run(f"{charge_point} --script sessions.txt")
        until_said(walk, f"{ask} || true", f"{ready} (2 of 2 Charge Points are ready")
        assert "40 sessions" in walk.run(ask)  # exit code 0
        for charge_point in charge_points:
            held.enter_context(walk.staying(charge_point, _READY["charge-point"]))
        # Step 3: one Charge Point, and back; then a list, and the fleet, in waves; and back.
        assert '"to":"new"' in walk.run(told("sh", "curl -X PUT"))
        comes_to(walk, "RDAM-TEST-1", "new")
        walk.run(told("sh", "curl -X DELETE"))
        assert belongs_to(walk, "RDAM-TEST-1") == "steve"
        first, fleet, moves = told("sh", "ocpp-bridge move --file").splitlines()
        assert walk.run(first).startswith("move 1: 1 to new")
        comes_to(walk, "RDAM-TEST-1", "new")
        assert walk.run(fleet).startswith("move 2: 1 to new")
        until_said(walk, moves, "2  done")
        assert belongs_to(walk, "RDAM-TEST-2") == "new"
        walk.run(told("sh", "moves rollback 2"))
        until_said(walk, moves, "2  rolled back")
        assert [belongs_to(walk, identity) for identity in _GUIDED] == ["new", "steve"]
        # By the route.
        configure(told("toml", "this group has moved"))
        bridge.send_signal(signal.SIGHUP)
        comes_to(walk, "RDAM-TEST-2", "new")
    assert list(guide) == []


def until_said(walk: Walk, line: str, text: str) -> None:
    """Run a line again and again until it prints `text`."""
    until = time.monotonic() + _PATIENCE
    while text not in (said := walk.run(line)):
        assert time.monotonic() < until, said
        time.sleep(0.1)


def test_commands_to_a_running_bridge(tmp_path: Path) -> None:
    """Those of the pages on the API, on messages, on backups and on troubleshooting."""
    walk = Walk(tmp_path)
    with migrating(walk, "RDAM 123", "CP-1"):
        listed, called = map(walk.run, lines_of(shown("api.md", "curl")))
        assert '"identity":"RDAM 123"' in listed and '"payload":{"status":"Accepted"}' in called
        assert f"{walk.here('http://127.0.0.1:8081')}/#token=" in walk.run(shown("console.md", "token --address").text)
        check, sessions, trace, ready = map(walk.run, lines_of(shown("troubleshooting.md", "ocpp-bridge check")))
        assert check.startswith("bridge.toml: ok") and "RDAM 123" in sessions and "StopTransaction" in trace
        assert '"status": "ready"' in ready
        _, as_json, export = lines_of(shown("messages.md", "--export"))  # the first one stays, as it follows
        assert {json.loads(line)["identity"] for line in walk.run(as_json).splitlines()} == {"RDAM 123"}
        walk.run(export)
        replayed = walk.run(f"{locally(shown('messages.md', 'replay').text.strip())} || true")
        assert "StopTransaction" in replayed
        copy = tmp_path / "copy.db"
        backup = shown("operate.md", "ocpp-bridge backup").text.replace("/var/backups/bridge.db", str(copy))
        assert "copied to" in walk.run(backup)
    # Restored as docs/operate.md says.
    store = tmp_path / "var" / "ocpp-bridge.db"
    for suffix in ("-wal", "-shm"):
        store.with_name(store.name + suffix).unlink(missing_ok=True)
    copy.replace(store)
    with walk.staying("ocpp-bridge serve --config bridge.toml", _READY["serve"]):
        assert "RDAM 123" in walk.run("ocpp-bridge sessions")


def test_the_demo_prints_what_the_readme_shows() -> None:
    (excerpt,) = (block.text for block in blocks_of(README) if block.language == "text")
    demo = subprocess.run(
        [sys.executable, "-m", "bridge", "demo", "--once"], capture_output=True, text=True, timeout=_PATIENCE
    )
    assert demo.returncode == 0
    printed = [_constant(line) for line in demo.stdout.splitlines()]
    lines = [_constant(line) for line in excerpt.splitlines()]
    places = [printed.index(line) for line in lines]
    assert places == sorted(places)


def _constant(line: str) -> str:
    """Return a line without what differs from run to run: ids, ports, milliseconds and the space before them."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|uuid:[0-9a-f]{8}|127\.0\.0\.1:\d+| +\d+\.\d ms", "*", line).rstrip()
