"""The table of docs/delivery.md: what a Charge Point gets in each case. `python -m tests.site` writes it.

Each case names the tests that show it over real sockets; those that speak of octets name their rows there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e import test_delivery as posts
from tests.e2e import test_late_answers as late
from tests.e2e import test_one_answer as answers
from tests.e2e import test_own_refusals as refusals
from tests.e2e import test_related_answers as related
from tests.e2e import test_replayed_boots as boots
from tests.e2e.test_delivery import GROUPS, Kind

_FAULT = "HTTP 503, Fault Receiver/InternalError"
_NO_ANSWER = "Start, Stop, MeterValues: no answer; others: CALLERROR InternalError"
GETS = {
    Kind.DELIVERED: ("the response", "the CALLRESULT"),
    Kind.REFUSED: ("the Fault", "the CALLERROR that says the same"),
    Kind.THIS_CALL: (_FAULT, _NO_ANSWER),
    Kind.UNREACHABLE: (_FAULT, "close 1013; HTTP 503 at the handshake until the back-off lets one in"),
}
"""What a SOAP and a JSON Charge Point get for each kind of answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One line of the table.

    what      what happens
    soap      what a SOAP Charge Point gets, "" for none of its business
    json      what a JSON Charge Point gets
    shown     the tests that show it
    groups    the rows of tests/e2e/test_delivery.py that are of this case
    """

    what: str
    soap: str
    json: str
    shown: tuple[Callable[..., Any], ...]
    groups: tuple[str, ...] = ()
    kind: Kind | None = None


def _posted(what: str, kind: Kind, *groups: str) -> Case:
    soap, json = GETS[kind]
    shown = (posts.test_what_a_soap_charge_point_gets, posts.test_what_a_json_charge_point_gets)
    return Case(what=what, soap=soap, json=json, shown=shown, groups=groups, kind=kind)


SECTIONS: dict[str, tuple[Case, ...]] = {
    "A SOAP Central System answers with": (
        _posted("the response, whatever the HTTP status but those below", Kind.DELIVERED, "delivered"),
        _posted("a Fault, whatever the HTTP status but those below", Kind.REFUSED, "refused"),
        _posted("HTTP 502, 503 or 504, whatever the body, a Fault included", Kind.UNREACHABLE, "away"),
        _posted("HTTP 408, 425 or 429, whatever the body; Retry-After is kept to", Kind.THIS_CALL, "not now"),
        _posted("HTTP 3xx, 401, 403, 404, 405 or 407, whatever the body", Kind.THIS_CALL, "elsewhere"),
        _posted("no envelope: nothing, HTML, text, JSON, whatever the status", Kind.THIS_CALL, "no envelope"),
        _posted(
            "half an envelope, neither response nor Fault, or a response without a required part",
            Kind.THIS_CALL,
            "no answer",
        ),
        _posted("the end of the connection, or a reset, before an answer", Kind.UNREACHABLE, "hung up"),
        Case(
            what="a refused connection",
            soap=_FAULT,
            json=GETS[Kind.UNREACHABLE][1],
            shown=(posts.test_a_refused_connection, posts.test_unreachable_is_kept_for_the_charge_point_that_saw_it),
        ),
        Case(
            what="the answer to another message (RelatesTo), on a connection that carried one",
            soap=_FAULT,
            json=_NO_ANSWER,
            shown=(related.test_a_foreign_answer_on_a_connection_that_carried_another_request,),
        ),
        Case(
            what="nothing within `gateway.call_timeout`",
            soap=f"{_FAULT}; a late verdict on a Start or Stop is kept for its repetition",
            json=f"{_NO_ANSWER}; a late verdict on a Start or Stop is kept for its repetition",
            shown=(
                late.test_nothing_within_call_timeout_is_a_link_failure_of_this_call,
                late.test_a_late_verdict_is_kept_for_the_repetition,
                late.test_a_json_charge_point_gets_the_late_verdict_too,
            ),
        ),
    ),
    "A JSON Central System": (
        Case(
            what="answers with a frame that cannot be read, but for its UniqueId",
            soap=_FAULT,
            json=_NO_ANSWER,
            shown=(answers.test_a_malformed_answer_of_a_central_system_ends_its_call,),
        ),
        Case(
            what="answers a StartTransaction without a transactionId",
            soap=_FAULT,
            json="that answer",
            shown=(
                answers.test_a_result_that_cannot_be_told_to_a_soap_charge_point_is_a_link_failure,
                answers.test_a_result_without_its_transaction_id_passes_between_two_that_speak_json,
            ),
        ),
        Case(
            what="answers SecurityError, for it wants a BootNotification on each connection",
            soap="the last BootNotification is sent again, then the message; while that may not be: " + _FAULT,
            json="the CALLERROR",
            shown=(
                boots.test_a_charge_point_that_never_boots_again_loses_nothing_in_ten_restarts,
                answers.test_a_security_error_passes_between_two_that_speak_json,
            ),
        ),
    ),
    "The bridge itself": (
        Case(
            what="is busy (`max_in_flight`, `waiting_per_charge_point`)",
            soap=f"{_FAULT}, Retry-After",
            json=_NO_ANSWER,
            shown=(
                refusals.test_too_many_in_flight_is_no_verdict_to_a_soap_charge_point,
                refusals.test_too_many_that_wait_is_no_verdict_to_a_soap_charge_point,
                refusals.test_busy_is_no_verdict_to_a_json_charge_point,
                refusals.test_too_many_that_wait_is_no_verdict_to_a_json_charge_point,
            ),
        ),
        Case(
            what="is shutting down",
            soap=f"{_FAULT}, Retry-After; Calls in flight are answered",
            json="close 1001 at once, or when its Calls in flight have ended; new Calls get no answer",
            shown=(
                refusals.test_a_soap_charge_point_is_told_to_come_back,
                refusals.test_an_idle_json_charge_point_is_closed_at_once_and_others_when_they_are_answered,
                refusals.test_an_idle_charge_point_of_a_json_central_system_is_closed_at_once_too,
            ),
        ),
    ),
    "The Charge Point": (
        Case(
            what="sends a frame again while its Call is in progress",
            soap="",
            json="one answer, for both",
            shown=(
                answers.test_a_frame_that_comes_again_gets_one_answer_from_a_soap_central_system,
                answers.test_a_frame_that_comes_again_gets_one_answer_from_a_json_central_system,
            ),
        ),
        Case(
            what="sends something else under the UniqueId of a Call in progress",
            soap="",
            json="CALLERROR ProtocolError",
            shown=(answers.test_a_unique_id_in_progress_with_something_else_is_a_protocol_error,),
        ),
        Case(
            what="POSTs a Fault",
            soap="HTTP 202 without a body",
            json="",
            shown=(answers.test_a_posted_fault_is_not_answered_with_a_fault,),
        ),
    ),
}


def kinds(groups: tuple[str, ...]) -> set[Kind]:
    """Those of the rows in `groups`."""
    return {row.kind for group in groups for row in GROUPS[group].values()}


def table() -> str:
    """Every case, section by section."""
    lines = []
    for section, cases in SECTIONS.items():
        lines += [f"| {section} | SOAP Charge Point | JSON Charge Point |", "|---|---|---|"]
        lines += [f"| {case.what} | {case.soap} | {case.json} |" for case in cases]
        lines.append("")
    return "\n".join(lines)
