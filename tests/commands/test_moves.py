"""`move` and `moves`, against a running gateway."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from bridge.commands.cli import main
from bridge.commands.moves import identities
from tests.e2e.test_moves import Fleet, fleet


async def said(all_: Fleet, folder: Path, *arguments: str) -> int:
    """The exit code of a command against the gateway."""
    host, port = all_.gateway.admin_address
    token = folder / "token"
    token.write_bytes(all_.gateway.admin_token or b"")
    where = ("--url", f"http://{host}:{port}", "--token-file", str(token))
    return await asyncio.to_thread(main, [*arguments, *where])


async def test_a_move_from_its_dry_run_to_its_rollback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with fleet() as all_:
        await all_.boot("CP-0", "CP-1", "XY-0")
        options = ("--to", "new", "--wave", "1", "--pause", "10m", "--stop-if", "errors>1%")
        assert await said(all_, tmp_path, "move", "CP-*", *options, "--dry-run") == 0
        assert capsys.readouterr() == ("CP-0\nCP-1\n", "2 would move to new\n")
        assert await said(all_, tmp_path, "move", "cp-*", *options) == 0
        assert capsys.readouterr().out == "move 1: 2 to new; `ocpp-bridge moves 1` shows how it goes\n"
        await all_.until_members(1, done=1)
        assert await said(all_, tmp_path, "moves", "pause", "1") == 0
        assert capsys.readouterr().out == "move 1: paused\n"
        assert await said(all_, tmp_path, "moves") == 0
        titles, row = capsys.readouterr().out.splitlines()
        assert titles.split() == [
            "ID",
            "STATE",
            "TO",
            "CHARGE",
            "POINTS",
            "ALL",
            "DONE",
            "WAITING",
            "FAILED",
            "REASON",
        ]
        assert row.split() == ["1", "paused", "new", "cp-*", "2", "1", "0", "0"]
        assert await said(all_, tmp_path, "moves", "1") == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert lines[-2:] == [["CP-0", "done", "its", "route's"], ["CP-1", "queued", "its", "route's"]]
        assert await said(all_, tmp_path, "moves", "1", "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        assert (shown["wave"], shown["pause"], shown["stop_if"]) == (1, 600, "errors>1%")
        assert await said(all_, tmp_path, "moves", "resume", "1") == 0
        assert await said(all_, tmp_path, "moves", "rollback", "1") == 0
        assert capsys.readouterr().out == "move 1: running\nmove 1: rolling back\n"
        await all_.until(1, "rolled_back")
        assert await all_.places("CP-0", "CP-1") == ["main", "main"]


async def test_a_list_of_identities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with fleet() as all_:
        listed = tmp_path / "list.csv"
        listed.write_text("identity,place\nCP-0,Rotterdam\n\n# not yet\nCP-1,Delft\nXY-1\n")
        assert await said(all_, tmp_path, "move", "CP-*", "--file", str(listed), "--to", "new", "--when", "now") == 0
        assert [one["identity"] for one in (await all_.until(1, "done"))["members"]] == ["CP-0", "CP-1"]
        assert await said(all_, tmp_path, "move", "no*", "--file", str(listed), "--to", "new") == 1
        assert capsys.readouterr().err.endswith("list.csv: no identity fits\n")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("move", "CP-*", "--to", "nowhere"), 1, "no Central System of the configuration is called 'nowhere'"),
        (("move", "CP-*", "--to", "new", "--stop-if", "1%"), 1, 'expected "errors>N"'),
        (("move", "CP-*", "--to", "new", "--pause", "soon"), 2, "expected 90, 90s, 10m or 2h, not 'soon'"),
        (("move", "--to", "new"), 2, "say which Charge Points"),
        (("move", "--to", "new", "--file", "/nonexistent/list.csv"), 1, "/nonexistent/list.csv: No such file"),
        (("moves", "7"), 1, "there is no move 7"),
        (("moves", "rollback"), 2, "expected a move's number"),
        (("moves", "undo", "7"), 2, "expected a move's number"),
    ],
)
async def test_what_cannot_be(
    arguments: tuple[str, ...], code: int, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with fleet() as all_:
        await all_.boot("CP-0")
        assert await said(all_, tmp_path, *arguments) == code
        told = capsys.readouterr().err
        assert text in told and "Traceback" not in told and told.count("\n") == 1


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"CP-\xff\n")
    with pytest.raises(OSError, match="no CSV file in UTF-8"):
        identities(tmp_path / "list.csv", None)


async def test_no_move(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with fleet() as all_:
        assert await said(all_, tmp_path, "moves") == 0
        assert capsys.readouterr() == ("", "no move\n")
