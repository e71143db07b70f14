"""HTTP Basic: user and password are bytes, and whatever is no Basic is nobody's."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.access.basic import Credentials


def basic(credentials: bytes) -> str:
    return f"Basic {b64encode(credentials).decode()}"


CREDENTIALS: dict[str, tuple[str | None, Credentials | None]] = {
    "none": (None, None),
    "empty": ("", None),
    "text": (basic(b"CP1:secret"), Credentials(b"CP1", b"secret")),
    "raw bytes": (basic(b"CP1:" + bytes(range(256))), Credentials(b"CP1", bytes(range(256)))),
    "a colon in the password": (basic(b"CP1:a:b"), Credentials(b"CP1", b"a:b")),
    "no password": (basic(b"CP1:"), Credentials(b"CP1", b"")),
    "another case": (basic(b"CP1:x").replace("Basic", "bASIC"), Credentials(b"CP1", b"x")),
    "more blanks": (basic(b"CP1:x").replace(" ", "   "), Credentials(b"CP1", b"x")),
    "no colon": (basic(b"CP1"), None),
    "not base64": ("Basic Q1Ax*Og==", None),
    "not ASCII": ("Basic é", None),
    "bearer": ("Bearer abc", None),
}


@pytest.mark.parametrize(("header", "credentials"), CREDENTIALS.values(), ids=CREDENTIALS)
def test_credentials_are_raw_bytes(header: str | None, credentials: Credentials | None) -> None:
    assert Credentials.read(header) == credentials


@given(st.binary().filter(lambda user: b":" not in user), st.binary())
def test_what_is_written_is_read(user: bytes, password: bytes) -> None:
    assert Credentials.read(basic(user + b":" + password)) == Credentials(user, password)


@given(st.text() | st.text().map(lambda text: f"Basic {text}") | st.binary().map(lambda d: f"Basic {d!r}"))
def test_any_header_is_credentials_or_nothing(header: str) -> None:
    found = Credentials.read(header)
    assert found is None or b":" not in found.user


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Credentials(b"CP1", b"secret"))
