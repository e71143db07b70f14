"""Whose credentials a Central System is shown: the Charge Point's own, the configured ones, what it sent itself."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import CentralSystem, Secret
from bridge.gateway.outgoing import header_fields

SHOWN = "Basic c2hvd246eA=="
COMMON: dict[str, Any] = {"outgoing_password": Secret(b"common")}
KEY: dict[str, Any] = {"outgoing_headers": {"X-Api-Key": Secret(b"k 1")}}
BEARER: dict[str, Any] = {"outgoing_headers": {"authorization": Secret(b"Bearer t")}}


def fields(password: bytes | None = None, shown: str = "", **table: Any) -> dict[str, str]:
    """The header fields, where no name is there twice."""
    found = header_fields("NL 1", CentralSystem(url="ws://h/", **table), password, shown)
    assert len({name.lower() for name, _ in found}) == len(found)
    return dict(found)


def basic(user: bytes, password: bytes) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(user + b':' + password).decode()}"}


@given(st.binary(min_size=1))
def test_the_charge_points_own_password_goes_first(password: bytes) -> None:
    """The user is its name there, and the password its raw octets."""
    for table in ({}, COMMON, COMMON | {"outgoing_username": "bridge"}, BEARER):
        assert fields(password, SHOWN, **table) == basic(b"NL 1", password)


def test_then_those_of_the_central_system() -> None:
    assert fields(None, SHOWN, **COMMON) == basic(b"NL 1", b"common")
    assert fields(None, SHOWN, **COMMON, outgoing_username="brücke") == basic("brücke".encode(), b"common")
    assert fields(None, SHOWN, **BEARER) == {"authorization": "Bearer t"}


def test_then_what_the_charge_point_itself_sent() -> None:
    assert fields(None, SHOWN) == {"Authorization": SHOWN}
    assert fields() == {}


@pytest.mark.parametrize("shown", ["Basic a\r\nX: y", "Basic \udcff", "Basic ü", "Basic \0"])
def test_what_no_header_can_hold_is_not_passed_on(shown: str) -> None:
    assert fields(None, shown) == {}


def test_other_headers_are_sent_beside_any_of_them() -> None:
    key = {"X-Api-Key": "k 1"}
    assert fields(**KEY) == key
    assert fields(b"own", SHOWN, **KEY) == key | basic(b"NL 1", b"own")
    assert fields(None, SHOWN, **KEY, **COMMON) == key | basic(b"NL 1", b"common")
    assert fields(None, SHOWN, **KEY) == key | {"Authorization": SHOWN}
