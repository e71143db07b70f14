"""`ocpp-bridge password`: what it prints is what the configuration takes."""

from __future__ import annotations

import io
import sys

import pytest

from bridge.access import passwords
from bridge.access.paths import may_be_token
from bridge.commands import cli


def entered(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("options", "data", "password"),
    [
        ([], b"secret\n", b"secret"),
        ([], b"secret\r\n", b"secret"),
        ([], b" \xff raw", b" \xff raw"),
        (["--hex"], b"00FF10\n", b"\x00\xff\x10"),
    ],
)
def test_a_hash(
    options: list[str],
    data: bytes,
    password: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    entered(monkeypatch, data)
    assert cli.main(["password", *options]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert passwords.matches(passwords.read(line.encode()), password)
    assert isinstance(passwords.read(line.encode()), passwords.Hash)


@pytest.mark.parametrize(("options", "data"), [([], b""), ([], b"\n"), (["--hex"], b"0x\n"), (["--hex"], b"\xff\n")])
def test_no_password(
    options: list[str], data: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entered(monkeypatch, data)
    assert cli.main(["password", *options]) == 2
    assert capsys.readouterr().out == ""


def test_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["password", "--token"]) == 0
    assert may_be_token(capsys.readouterr().out.strip())
