"""What `ocpp-bridge translate` reads, and what it tells: both are bounded."""

from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path

import pytest

from bridge.commands import translate
from bridge.commands.cli import main

CALL = b'[2,"1","Heartbeat",{}]'
TOO_LARGE = "is larger than 1048576 octets: that is no message\n"


def test_a_source_without_end(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["translate", "--to", "json", "/dev/zero"]) == 1
    assert capsys.readouterr() == ("", f"/dev/zero: {TOO_LARGE}")
    with Path("/dev/zero").open(encoding="latin-1") as zeros:
        monkeypatch.setattr(sys, "stdin", zeros)
        assert main(["translate", "--to", "json"]) == 1
    assert capsys.readouterr() == ("", f"standard input: {TOO_LARGE}")


def test_a_fifo_that_nobody_writes_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translate, "_PATIENCE", 0.01)
    os.mkfifo(tmp_path / "fifo")
    assert main(["translate", "--to", "json", str(tmp_path / "fifo")]) == 1
    assert capsys.readouterr().err == f"{tmp_path}/fifo: nothing came for 0.01 seconds\n"


def test_a_fifo_with_a_message(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=[CALL])
    writer.start()
    assert main(["translate", "--to", "soap", str(fifo)]) == 0
    writer.join()
    assert b"heartbeatRequest" in capsysbinary.readouterr().out


def test_losses_that_a_stranger_names(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty unknown fields, one of which would clear the screen."""
    fields = ",".join(f'"\\u001b[2J\\u202e{number}":1' for number in range(30))
    stdin = io.TextIOWrapper(io.BytesIO(f'[2,"1","Heartbeat",{{{fields}}}]'.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["translate", "--to", "soap"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert 1 < len(lines) <= 21
    assert all(line.isprintable() for line in lines)


def test_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["translate", "--to", "soap", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"ocpp-bridge: {tmp_path}: Is a directory\n"
