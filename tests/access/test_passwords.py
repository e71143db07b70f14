"""Passwords at rest."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.access import passwords
from bridge.access.passwords import Hash, Verified

SALT = b"0123456789abcdef"


@settings(deadline=None, max_examples=20)
@given(st.binary(), st.binary())
def test_a_hash_fits_its_password_alone(password: bytes, other: bytes) -> None:
    found = passwords.read(str(passwords.hashed(password, SALT, 2)).encode())
    assert isinstance(found, Hash)
    assert passwords.matches(found, password)
    assert passwords.matches(found, other) == (password == other)


def test_the_form_that_others_read() -> None:
    found = passwords.hashed(b"secret", SALT)
    scheme, *numbers, _, digest = str(found).split("$")
    assert (scheme, numbers) == ("scrypt", ["16384", "8", "1"])
    assert len(digest) == 44
    assert repr(found) == "Hash(***)"


def test_what_is_no_hash_is_the_password() -> None:
    assert passwords.read(b"secret$1") == b"secret$1"
    assert passwords.matches(b"secret", b"secret")
    assert not passwords.matches(b"secret", b"secret1")


GOOD = "MDEyMzQ1Njc4OWFiY2RlZg=="


@pytest.mark.parametrize(
    "broken",
    [
        "scrypt$",
        f"scrypt$16384$8$1${GOOD}",
        f"scrypt$16384$8$1${GOOD}$!",
        f"scrypt$x$8$1${GOOD}${GOOD}",
        f"scrypt$16383$8$1${GOOD}${GOOD}",
        f"scrypt$1$8$1${GOOD}${GOOD}",
        f"scrypt$1048576$8$1${GOOD}${GOOD}",
        f"scrypt$16384$8$9${GOOD}${GOOD}",
        f"scrypt$16384$0$1${GOOD}${GOOD}",
        f"scrypt$16384$8$1$YQ==${GOOD}",
        f"scrypt$16384$8$1${GOOD}$YQ==",
        "scrypt$é",
    ],
)
def test_a_broken_hash_is_no_password(broken: str) -> None:
    with pytest.raises(ValueError, match=r"scrypt|bounds"):
        passwords.read(broken.encode())


def test_what_was_verified_is_remembered_as_long_as_there_is_room() -> None:
    verified = Verified(b"key", most=2)
    one, other = passwords.hashed(b"a", SALT, 2), passwords.hashed(b"b", SALT, 2)
    assert not verified.knows(one, b"a")
    verified.remember(one, b"a")
    assert verified.knows(one, b"a")
    assert not verified.knows(one, b"b")
    assert not verified.knows(other, b"a")
    verified.remember(other, b"b")
    assert verified.knows(one, b"a")
    verified.remember(other, b"c")
    assert (len(verified), verified.knows(other, b"b"), verified.knows(one, b"a")) == (2, False, True)
