"""What a ChangeConfiguration and its answer say of AuthorizationKey."""

from __future__ import annotations

import pytest
from msgspec import Raw

from bridge.errors import ErrorCode
from bridge.gateway.new_key import is_taken, new_key, readings
from bridge.ocpp.enums import ConfigurationStatus
from bridge.ocpp.messages import ChangeConfigurationRequest, ChangeConfigurationResponse, HeartbeatRequest
from bridge.ocpp.rpc import CallError, CallResult, Unanswered, UnopenedRequest, UnopenedResponse

OCTETS = bytes(range(20))


def unopened(text: str) -> UnopenedRequest:
    return UnopenedRequest(raw=Raw(text.encode()))


def answered(text: str) -> CallResult:
    return CallResult(unique_id="1", payload=UnopenedResponse(raw=Raw(text.encode())))


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (ChangeConfigurationRequest(key="AuthorizationKey", value="x"), "x"),
        (ChangeConfigurationRequest(key=" authorizationKEY ", value=""), ""),
        (ChangeConfigurationRequest(key="HeartbeatInterval", value="x"), None),
        (unopened('{"key": "AuthorizationKey", "value": "x", "more": 1}'), "x"),
        (unopened('{"key": "AuthorizationKey", "value": 1}'), None),
        (unopened('{"key": "Authorization'), None),
        (unopened("[" * 10_000), None),
        (HeartbeatRequest(), None),
        (None, None),
    ],
)
def test_a_new_key(payload: object, value: str | None) -> None:
    assert new_key(payload) == value


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        *(
            (CallResult(unique_id="1", payload=ChangeConfigurationResponse(status=ConfigurationStatus(status))), taken)
            for status, taken in (
                ("Accepted", "at once"),
                ("RebootRequired", "after a reboot"),
                ("Rejected", "no"),
                ("NotSupported", "no"),
            )
        ),
        (answered('{"status":"accepted"}'), "at once"),
        (answered('{"status":1}'), "no"),
        (CallError(unique_id="1", code=ErrorCode.InternalError), "no"),
        (Unanswered(unique_id="1", reason="gone"), "unknown"),
        (None, "unknown"),
    ],
)
def test_whether_it_is_taken(answer: object, taken: str) -> None:
    assert is_taken(answer) == taken


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a password", (b"a password",)),
        (OCTETS.hex(), (OCTETS, OCTETS.hex().encode())),
        (OCTETS.hex().upper(), (OCTETS, OCTETS.hex().upper().encode())),
        ("abcd", (b"abcd", b"\xab\xcd")),
        ("abc", (b"abc",)),
        ("", (b"",)),
    ],
)
def test_readings(value: str, found: tuple[bytes, ...]) -> None:
    assert readings(value) == found
