"""A Call and its answers between two hops."""

from __future__ import annotations

import pytest
from msgspec import Raw

from bridge.errors import BridgeError, ErrorCode
from bridge.ocpp.rpc import Call, CallError, Unanswered, UnopenedRequest, is_same


def test_our_own_refusals_are_no_longer_than_a_peer_reads() -> None:
    assert CallError.of("1", BridgeError(ErrorCode.NotSupported, "a" * 255)).description == "a" * 255
    assert CallError.of("1", BridgeError(ErrorCode.NotSupported, "a" * 60_000)).description == "a" * 254 + "…"


def test_no_answer_is_said_as_an_internal_error_where_there_is_no_other_way() -> None:
    assert Unanswered(unique_id="1", reason="gone").as_error() == CallError(
        unique_id="1", code="InternalError", description="gone"
    )


@pytest.mark.parametrize(
    ("payload", "other", "same"),
    [
        ('{"a":1,"b":[true]}', '{"a":1,"b":[true]}', True),
        ('{"a":1,"b":[true]}', '{ "b" : [ true ], "a": 1 }', True),
        ('{"a":"\\u00e9"}', '{"a":"é"}', True),
        ('{"a":1}', '{"a":true}', False),
        ('{"a":1}', '{"a":"1"}', False),
        ('{"a":[1,2]}', '{"a":[2,1]}', False),
        ('{"a":1}', "{}", False),
    ],
)
def test_the_form_of_a_payload_makes_no_other_call(payload: str, other: str, same: bool) -> None:
    one, two = (
        Call(unique_id="1", action="DataTransfer", payload=UnopenedRequest(raw=Raw(text.encode())))
        for text in (payload, other)
    )
    assert is_same(one, two) is same
