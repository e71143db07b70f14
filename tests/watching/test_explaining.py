"""What an operator is told of what did not end well."""

from __future__ import annotations

import pytest

from bridge.core.commands import Drop, Outcome, Report
from bridge.errors import Why
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import HeartbeatRequest
from bridge.ocpp.rpc import Answer, Call, CallError, Unanswered
from bridge.watching import explaining

UP, DOWN = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM


def report(outcome: Outcome, answer: Answer | None = None, sender: Party = UP, sent: float | None = 2.0) -> Report:
    call = Call(unique_id="1", action="Heartbeat", payload=HeartbeatRequest())
    hop_id = None if sent is None else "h"
    return Report(
        sender=sender, call=call, outcome=outcome, arrived=1, ended=3, hop_id=hop_id, sent=sent, answer=answer
    )


def error(code: str) -> CallError:
    return CallError(unique_id="1", code=code, description="no")


SILENCE = Unanswered(unique_id="1", reason="the Central System did not answer (within 30 s)")


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (report(Outcome.REPEATED), "got the answer that was given before"),
        (report(Outcome.ABANDONED), "The Charge Point hung up before"),
        (report(Outcome.ERROR, error("NotImplemented")), "refused it: NotImplemented: no. It does not have this"),
        (
            report(Outcome.ERROR, error("FormationViolation")),
            "The Central System refused it: FormationViolation: no. C",
        ),
        (report(Outcome.ERROR, error("Whatever")), "Its own log says more."),
        (report(Outcome.ERROR, error("NotSupported"), sent=None), "The bridge refused it: NotSupported: no."),
        (report(Outcome.REFUSED, error("ProtocolError")), "The bridge refused it: ProtocolError: no."),
        (report(Outcome.UNANSWERED, SILENCE), "The Central System did not answer (within 30 s). It was reached, but"),
        (report(Outcome.UNANSWERED, SILENCE, sent=None), "Is it running, and does the url of its [central_systems]"),
        (report(Outcome.UNANSWERED, sender=DOWN), "The Charge Point did not answer. It was reached, but said nothing"),
        (report(Outcome.UNANSWERED, sender=DOWN, sent=None), "or at its callback_url"),
    ],
)
def test_a_call(ended: Report, words: str) -> None:
    assert words in (explaining.of_report(ended) or "")


def test_what_ended_well_needs_no_words() -> None:
    assert explaining.of_report(report(Outcome.RESULT)) is None


def test_every_refusal_has_an_advice() -> None:
    assert set(explaining.ADVICE) == set(Why)
    for why in Why:
        assert explaining.of_refusal(why, "it is so") == f"It is so. {explaining.ADVICE[why]}"


def test_a_dropped_answer() -> None:
    drop = Drop(party=DOWN, unique_id="1", reason="it answers no Call that is out")
    assert explaining.of_drop(drop).startswith("An answer of the Central System was dropped: It answers no Call that")


@pytest.mark.parametrize(
    ("text", "advised"),
    [("meterStart: required, and missing", False), ("x: does not exist, it is dropped (refused: strict)", True)],
)
def test_only_what_a_strict_route_refuses_has_advice_about_it(text: str, advised: bool) -> None:
    assert ('"tolerant" lets it pass' in explaining.of_refusal(Why.INVALID, text)) is advised
    refused = CallError(unique_id="1", code="TypeConstraintViolation", description=text)
    told = explaining.of_report(report(Outcome.REFUSED, refused)) or ""
    assert ('"tolerant" lets it pass' in told) is advised
