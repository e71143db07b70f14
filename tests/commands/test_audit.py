"""`ocpp-bridge audit`: what operators did, for a person, for a script, and to keep."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.commands import asking, audit, cli


def entry(number: int, **changes: str) -> dict[str, Any]:
    plain = {"at": f"2026-01-02T03:04:0{number}.000Z", "identity": "CP 1", "who": "10.0.0.1 desk", "what": "move"}
    return {"id": number, "outcome": "done", "detail": "main -> other"} | plain | changes


class Answering:
    """An admin API with two entries."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.items = [entry(2, identity="=cmd()", what="call Reset", detail=""), entry(1)]

    def get(self, path: str, **query: object) -> Any:
        self.asked.append((path, query))
        return {"items": self.items, "next": "more"}

    def pages(self, path: str, **query: object) -> Iterator[Any]:
        self.asked.append((path, query))
        return iter(self.items)


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Answering:
    answering = Answering()
    monkeypatch.setattr(asking, "reach", lambda where, environ: answering)
    monkeypatch.setenv("TZ", "UTC")
    return answering


def test_the_last_entries_oldest_first(gateway: Answering, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("CP 1  10.0.0.1 desk  move main -> other  done")
    assert second.endswith("=cmd()  10.0.0.1 desk  call Reset  done")
    ((path, query),) = gateway.asked
    assert path == "/audit" and query["limit"] == 50 and query["since"] is None


def test_a_filter_and_lines_for_a_script(gateway: Answering, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--who", "*desk", "--what", "move*", "--since", "2026-01-01T00:00Z", "--until", "2026-02-01T00:00Z"]
    assert cli.main(["audit", "CP*", "--json", *arguments]) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == [1, 2]
    ((_, query),) = gateway.asked
    assert query == {
        "identity": "CP*",
        "who": "*desk",
        "what": "move*",
        "since": "2026-01-01T00:00:00+00:00",
        "until": "2026-02-01T00:00:00+00:00",
    }


def test_a_table_for_a_spreadsheet_runs_nothing_there(
    gateway: Answering, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "audit.csv"
    assert cli.main(["audit", "--export", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: 2 entries\n"
    second, first = csv.DictReader(io.StringIO(file.read_bytes().decode(), newline=""))
    assert (second["identity"], first["identity"], first["detail"]) == ("'=cmd()", "CP 1", "main -> other")
    assert file.stat().st_mode & 0o077 == 0


def test_lines_of_json_to_keep(gateway: Answering, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    file = tmp_path / "audit.jsonl"
    assert cli.main(["audit", "--export", str(file)]) == 0
    assert [json.loads(line) for line in file.read_text().splitlines()] == gateway.items
    capsysbinary.readouterr()
    assert cli.main(["audit", "--export", "-"]) == 0
    assert capsysbinary.readouterr().out == file.read_bytes()


def test_nothing_that_a_peer_wrote_reaches_the_terminal_as_it_is(
    gateway: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.items = [entry(1, identity="CP\x1b[2J\n\u202e")]
    assert cli.main(["audit"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "CP\\x1b[2J\\n\\u202e" in line


def test_no_gateway(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", "--url", "http://127.0.0.1:1", "--token-file", "/dev/null"]) == 1
    assert "no ocpp-bridge answers at http://127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["--since", "--until"])
def test_bad_usage(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", name, "yesterday"]) == 2
    assert name in capsys.readouterr().err


def test_a_line_has_what_a_person_wants_to_know() -> None:
    assert audit.line(entry(1)).count("  ") == 4
