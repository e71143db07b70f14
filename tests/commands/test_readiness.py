"""`readiness`, against a running gateway."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from bridge.app import Gateway
from bridge.commands.cli import main
from tests.admin.test_readiness import charge, compared, differ


async def said(gateway: Gateway, folder: Path, *arguments: str) -> int:
    """The exit code of the command against the gateway."""
    host, port = gateway.admin_address
    token = folder / "token"
    token.write_bytes(gateway.admin_token or b"")
    where = ("--url", f"http://{host}:{port}", "--token-file", str(token))
    return await asyncio.to_thread(main, ["readiness", *arguments, *where])


async def test_not_ready_and_why_then_ready(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with compared("CP 1", "CP 2") as (gateway, _):
        charge(gateway, "CP 1", 1, 2, 3)
        differ(gateway, "CP 2")
        assert await said(gateway, tmp_path, "new") == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == (
            "new: not ready: 1 of 2 Charge Points are not ready "
            "(1 of 2 Charge Points are ready, after 3 sessions each; 3 sessions in 1 day)"
        )
        tables = "\n".join(lines[1:]).split("\n\n")
        actions, examples, charge_points = ([row.split() for row in each.strip().splitlines()] for each in tables)
        assert actions[0] == ["ACTION", "COMPARED", "DIFFER", "FIELDS"]
        assert actions[1][:3] == ["Authorize", "1", "1"]
        assert examples[1][:5] == ["Authorize", "idTagInfo.status", "'Accepted'", "'Invalid'", "CP"]
        assert [row[2] for row in charge_points[1:]] == ["yes", "no"]
        assert " ".join(charge_points[2]).endswith("since Authorize idTagInfo.status was 'Accepted' and here 'Invalid'")
        assert await said(gateway, tmp_path, "new", "--ready") == 1
        assert "CP 2 " not in capsys.readouterr().out.partition("WHY NOT")[2]
        assert await said(gateway, tmp_path, "new", "cp 1") == 0
        assert capsys.readouterr().out.startswith("new: ready (1 of 1 Charge Points are ready")
        assert await said(gateway, tmp_path, "new", "--not-ready", "--json") == 1
        told = json.loads(capsys.readouterr().out)
        assert [each["identity"] for each in told["items"]] == ["CP 2"] and told["next"] is None


async def test_nobody_is_not_ready(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with compared() as (gateway, _):
        assert await said(gateway, tmp_path, "new") == 1
        told = capsys.readouterr()
        assert told.out.startswith("new: not ready: no Charge Point whose Calls it gets was heard of")
        assert told.err == "no Charge Point to list\n"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("nowhere",), 1, "no Central System of the configuration is called 'nowhere'"),
        (("main",), 1, "the Central System 'main' is a shadow in no route"),
        ((), 2, "the following arguments are required: NAME"),
        (("new", "--ready", "--not-ready"), 2, "not allowed with argument"),
    ],
)
async def test_what_cannot_be(
    arguments: tuple[str, ...], code: int, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with compared() as (gateway, _):
        assert await said(gateway, tmp_path, *arguments) == code
        told = capsys.readouterr().err
        assert text in told and "Traceback" not in told and told.count("\n") == 1
