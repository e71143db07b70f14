"""A Call and its answers between two hops."""

from __future__ import annotations

from bridge.errors import BridgeError, ErrorCode
from bridge.ocpp.rpc import CallError, Unanswered


def test_our_own_refusals_are_no_longer_than_a_peer_reads() -> None:
    assert CallError.of("1", BridgeError(ErrorCode.NotSupported, "a" * 255)).description == "a" * 255
    assert CallError.of("1", BridgeError(ErrorCode.NotSupported, "a" * 60_000)).description == "a" * 254 + "…"


def test_no_answer_is_said_as_an_internal_error_where_there_is_no_other_way() -> None:
    assert Unanswered(unique_id="1", reason="gone").as_error() == CallError(
        unique_id="1", code="InternalError", description="gone"
    )
