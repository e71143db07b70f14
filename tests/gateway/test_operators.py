"""Who may use the admin API, under which configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config import Admin, AdminToken, Secret, SecretFile
from bridge.errors import ConfigurationError
from bridge.gateway.operators import Operators


def test_the_configured_token_is_enough(tmp_path: Path) -> None:
    valid = Operators(f"sqlite:///{tmp_path}/x.db").valid(Admin(token=Secret(b"mine\n")))
    assert [(each.name, each.token, each.role) for each in valid.credentials] == [("token", b"mine", "operate")]
    assert valid.own is None and list(tmp_path.iterdir()) == []


def test_without_one_it_is_the_file_beside_the_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    operators = Operators(f"sqlite:///{tmp_path}/x.db")
    own = operators.valid(Admin()).own
    assert own is not None and (tmp_path / "admin-token").read_bytes().strip() == own
    operators.report()
    assert [record.message for record in caplog.records] == ["a token for the admin API was made"]
    assert own.decode() not in caplog.text
    (tmp_path / "admin-token").write_text("another")
    assert operators.valid(Admin()).own == b"another"
    (tmp_path / "admin-token").unlink()
    assert operators.valid(Admin()).own not in (None, own, b"another")
    (tmp_path / "admin-token").write_text("")
    with pytest.raises(ConfigurationError, match="is blank"):
        operators.valid(Admin())


def test_what_cannot_be_kept_is_in_memory_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    for url, reason in (("memory:", "the store is in memory"), (f"sqlite:///{tmp_path}/file/x.db", "cannot be made")):
        caplog.clear()
        operators = Operators(url)
        assert operators.valid(Admin()).own == operators.valid(Admin()).own is not None
        operators.report()
        operators.report()
        (record,) = caplog.records
        assert record.levelname == "WARNING" and "in memory only" in record.message
        assert reason in str(record.__dict__)


def test_people_are_valid_besides(tmp_path: Path) -> None:
    people = (
        AdminToken(name="alice", file=SecretFile(b"a"), role="operate"),
        AdminToken(name="bob", file=SecretFile(b"b")),
    )
    valid = Operators(f"sqlite:///{tmp_path}/x.db").valid(Admin(tokens=people))
    assert [(each.name, each.role) for each in valid.credentials] == [
        ("token", "operate"),
        ("alice", "operate"),
        ("bob", "read"),
    ]
