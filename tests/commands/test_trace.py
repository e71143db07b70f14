"""`ocpp-bridge trace`: what was said, for a person, for a script, and to keep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.commands import asking, cli, trace
from bridge.commands.asking import AskingError, StreamEvent
from bridge.recorder.messages import Half, Message
from bridge.recorder.trace_records import read
from tests.lab.trace.samples import at, recorded

MESSAGE = Message(
    id=7,
    identity="CP [1]",
    at=at(1),
    ms=300.0,
    action="Authorize",
    sender="charge_point",
    outcome="error",
    unique_id="n",
    why="The Central System refused it.",
    summary="idTag ***",
    losses=2,
)


class Answering:
    """An admin API that knows two messages, of which one is forgotten meanwhile."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def get(self, path: str, **query: object) -> Any:
        self.asked.append((path, query))
        if path == "/messages/8":
            raise AskingError("it is not there", 404)
        if path == "/messages/7":
            return msgspec.json.decode(msgspec.json.encode(recorded()))
        return {"items": self._items(), "next": None}

    def pages(self, path: str, **query: object) -> Iterator[Any]:
        self.asked.append((path, query))
        return iter(self._items())

    def events(self, path: str = "/events", **query: object) -> Iterator[StreamEvent]:
        self.asked.append((path, query))
        yield StreamEvent(id="1", kind="gap", data={})
        link = {"identity": "CP [1]", "at": at(2), "what": "down", "party": "central_system", "reason": "away"}
        yield StreamEvent(id="2", kind="link", data=link)
        yield StreamEvent(id="3", kind="message", data=self._items()[1])

    def _items(self) -> list[Any]:
        last = msgspec.structs.replace(
            MESSAGE, id=8, action="Heartbeat", outcome="result", why=None, summary="", losses=0
        )
        return [msgspec.to_builtins(last), msgspec.to_builtins(MESSAGE)]


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Answering:
    answering = Answering()
    monkeypatch.setattr(asking, "reach", lambda *_: answering)
    return answering


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert cli.main(["trace", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_last_messages_oldest_first(gateway: Answering, capsys: pytest.CaptureFixture[str]) -> None:
    first, why, second = printed(capsys, "CP [1]")
    assert first.endswith("  CP [1]  CP -> CS  Authorize  idTag ***  error  2 lost  300 ms")
    assert why == "    The Central System refused it."
    assert second.endswith("  Heartbeat  300 ms")
    assert gateway.asked == [("/charge-points/CP%20%5B1%5D/messages", {"limit": 50})]


def test_all_since_then_for_a_script(gateway: Answering, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in printed(capsys, "--since", "2026-01-01T00:00:00Z", "--json")]
    assert [(line["id"], line["from"]) for line in lines] == [(7, "charge_point"), (8, "charge_point")]
    assert gateway.asked == [("/messages", {"since": "2026-01-01T00:00:00+00:00"})]


def test_what_happens_from_now_on(gateway: Answering, capsys: pytest.CaptureFixture[str]) -> None:
    *_, gap, link, message, why = printed(capsys, "CP [1]", "--follow")
    assert gap == "    (some of what happened was missed)"
    assert link.endswith("  CP [1]  link  central_system  down  away")
    assert message.endswith("300 ms") and why.startswith("    The")
    assert gateway.asked[-1] == ("/events", {"identity": "CP [[]1]"})


def test_a_trace_to_keep(gateway: Answering, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    assert printed(capsys, "--export", str(file), "--side", "both") == [f"{file}: 4 records of 1 messages"]
    records = read(file.read_bytes().splitlines())
    assert [(record.transport, record.message_type) for record in records] == [
        ("soap", "CALL"),
        ("json", "CALL"),
        ("json", "CALLRESULT"),
        ("soap", "CALLRESULT"),
    ]


def test_a_trace_says_how_many_calls_were_not_answered(
    gateway: Answering, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    silent = msgspec.json.decode(msgspec.json.encode(recorded(outcome="unanswered", why="No.", response=Half())))
    monkeypatch.setattr(gateway, "get", lambda path, **query: silent)
    assert cli.main(["trace", "--export", str(tmp_path / "t.jsonl")]) == 0
    assert capsys.readouterr().err == "2 CALLs got no answer: their `meta` says `answered: false` and why\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--since", "soon"], "argument --since: expected 90s, 10m, 2h, 7d or a moment"),
        (["--follow", "--export", "x"], "not allowed with argument"),
    ],
)
def test_bad_usage(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trace", *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_moments() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert trace.since("2h", now) == datetime(2026, 1, 1, 22, tzinfo=UTC)
    assert trace.since("2026-01-01T02:00:00+02:00") == datetime(2026, 1, 1, tzinfo=UTC)


HOSTILE = "\x1b[2J\x07\x9b31m\u202e\n2026-01-01 00:00:00  CP-1  forged"


def test_nothing_that_a_peer_wrote_reaches_the_terminal_as_it_is(
    gateway: Answering, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a message or a link, now or later, for a person or a script."""
    hostile = msgspec.structs.replace(
        MESSAGE, identity=HOSTILE, action=HOSTILE, why=HOSTILE, summary=HOSTILE, unique_id=HOSTILE
    )
    items = [msgspec.to_builtins(hostile)]
    link = {"identity": HOSTILE, "at": at(2), "what": "down", "party": "charge_point", "reason": HOSTILE}
    events = [StreamEvent(id="1", kind="link", data=link), StreamEvent(id="2", kind="message", data=items[0])]
    monkeypatch.setattr(gateway, "_items", lambda: items)
    monkeypatch.setattr(gateway, "events", lambda **query: iter(events))
    monkeypatch.setattr(gateway, "pages", lambda path, **query: iter(items))
    for arguments in (["--follow"], ["--json"], ["--json", "--follow"], ["--export", "-"]):
        assert cli.main(["trace", *arguments]) == 0
        out, err = capsys.readouterr()
        assert out and all(line.isprintable() for line in (out + err).split("\n"))
        assert not [line for line in out.splitlines() if line.startswith("2026-01-01 00:00:00")]


def test_only_its_owner_reads_an_exported_trace(gateway: Answering, tmp_path: Path) -> None:
    """Also where a file was that others could read."""
    for name in ("new", "old"):
        file = tmp_path / name
        if name == "old":
            file.write_text("much longer than what is written into it" * 1000)
            file.chmod(0o644)
        assert cli.main(["trace", "--export", str(file)]) == 0
        assert file.stat().st_mode & 0o777 == 0o600
        assert "much longer" not in file.read_text()
