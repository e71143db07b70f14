"""What is wrong with `[admin.oidc]`, and what stands open."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config import cautions, exposed
from bridge.config.changes import needs_restart
from tests.config import Files

GOOD = {
    "issuer": '"https://login.example.com/realms/ops"',
    "client_id": '"ocpp-bridge"',
    "client_secret": '"a secret of 24 characters"',
    "public_url": '"https://ocpp.example.com"',
    "operate": '["operators"]',
}


def text(more: dict[str, str] | None = None, admin: str = "") -> str:
    """The table in TOML. A key with an empty value is left out."""
    lines = [f"{key} = {value}" for key, value in (GOOD | (more or {})).items() if value]
    return "\n".join(["[admin]", admin, "[admin.oidc]", *lines])


def test_what_it_is_without_more(files: Files) -> None:
    settings = files.load(text())
    assert settings.admin.oidc is not None
    assert settings.admin.oidc.scopes == ("openid", "profile", "email")
    assert (settings.admin.oidc.session_hours, settings.admin.oidc.idle_hours) == (10, 1)
    assert "a secret" not in repr(settings)
    assert [line for line in (*exposed(settings), *cautions(settings)) if "oidc" in line] == []


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"issuer": ""}, "issuer: missing"),
        ({"issuer": '"login.example.com"'}, "issuer: expected an address that begins with http:// or https://"),
        ({"issuer": '"https://login.example.com/?a=b"'}, "issuer: the address has a query, which"),
        ({"client_id": ""}, "client_id: missing"),
        ({"client_id": '" a"'}, "client_id: expected a text without blanks around it or control characters"),
        ({"client_secret": '""'}, "client_secret: is empty"),
        ({"client_secret_file": '"nothing"', "client_secret": ""}, "client_secret_file: the file cannot be read"),
        ({"public_url": '"https://ocpp.example.com/console"'}, "public_url: expected an origin"),
        ({"public_url": '"https://OCPP.example.com"'}, "public_url: expected an origin"),
        ({"public_url": '"https://ocpp.example.com:443"'}, "public_url: expected an origin"),
        ({"public_url": '"ftp://ocpp.example.com"'}, "public_url: expected an address that begins with"),
        ({"name": '"a\\u0007"'}, "name: expected a text without blanks around it or control characters"),
        ({"scopes": '["email"]'}, "scopes: lacks openid, without which a provider gives no ID token"),
        ({"scopes": '["openid", "a b"]'}, "scopes[1]: expected a word without blanks, quotes and backslashes"),
        ({"role_claim": '""'}, "role_claim: expected the name of a claim"),
        ({"operate": ""}, "operate: missing, and read too: nobody could have a role"),
        ({"operate": '[" "]'}, "operate[0]: is blank"),
        ({"read": '["operators"]'}, 'read: "operators" is in operate too'),
        ({"session_hours": "0"}, "session_hours: expected more than 0 and at most 8760, got the integer 0"),
        ({"session_hours": "2", "idle_hours": "3"}, "idle_hours: is more than session_hours"),
        ({"issuers": '"x"'}, "issuers: unknown key, did you mean issuer?"),
    ],
)
def test_what_cannot_work(files: Files, keys: dict[str, str], complaint: str) -> None:
    (found,) = files.complaints(text(keys))
    assert found.startswith(f"conf.toml: admin.oidc.{complaint}")


@pytest.mark.parametrize(
    ("keys", "admin", "said"),
    [
        ({"issuer": '"http://login.example.com"'}, "", "issuer: is reached over http: who can change"),
        ({"issuer": '"http://127.0.0.1:8180"'}, "", None),
        ({"public_url": '"http://ocpp.example.com"'}, "", "public_url: is reached over http: who sees"),
        ({"public_url": '"http://localhost:8081"'}, "", None),
        ({"public_url": ""}, "", None),
        ({"public_url": ""}, 'listen = "0.0.0.0:8081"', "public_url: is not set: only a browser on this machine"),
        ({"client_secret": '"short"'}, "", "client_secret: has fewer than 16 characters, and can be guessed"),
    ],
)
def test_what_is_said_of_it(files: Files, keys: dict[str, str], admin: str, said: str | None) -> None:
    settings = files.load(text(keys, admin))
    found = [line for line in (*exposed(settings), *cautions(settings)) if "oidc" in line]
    assert len(found) == (said is not None)
    assert said is None or found[0].startswith(f"admin.oidc.{said}")


def test_a_secret_in_a_file_that_others_can_read(files: Files) -> None:
    path: Path = files.write("a secret of 24 characters\n", "secret")
    path.chmod(0o644)
    settings = files.load(text({"client_secret": "", "client_secret_file": f'"{path}"'}))
    assert any(line.startswith("admin.oidc.client_secret_file: the file can be read") for line in exposed(settings))


def test_a_change_needs_no_restart(files: Files) -> None:
    one, other, none = files.load(text()), files.load(text({"operate": '["others"]'})), files.load("")
    assert needs_restart(one, other) == needs_restart(one, none) == needs_restart(none, one) == []
