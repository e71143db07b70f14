"""Whether a step brought about what it was to: what was sent, what arrived, on both sides. Pure.

Payloads are compared as plain data: the same point in time and the same number are equal however they are written,
texts only letter by letter.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeAlias

from lxml import etree

from bridge.demo.scenario import Refusal, Step
from bridge.simulators.wire import Payload, Refused, WireMessage

Outcome: TypeAlias = Payload | Exception
"""The payload of an answer, or why there is none: Refused for a refusal."""

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9]{2}:[0-9]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A request as the far side took it, and its answer to it."""

    request: Payload
    answer: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """All that came of one step.

    sent        the payload of the Call
    arrives     the payload that the far side is to take
    outcome     what the party that asked was told
    taken       what the far side took, once for every time it was asked
    violations  of the specification, by either side, as the simulators noted them
    losses      the fields that the gateway logged a loss of
    messages    the step's own, in the order they were seen
    not_before  when the Central System may see the first of them: it must have seen the answer to the command that
                triggers them
    """

    arrives: Payload
    outcome: Outcome
    taken: Sequence[Taken] = ()
    violations: Sequence[str] = ()
    losses: Sequence[str] = ()
    messages: Sequence[WireMessage] = ()
    not_before: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What was expected, and what came instead."""

    expected: str
    came: str


def failure_of(step: Step, played: Played) -> Failure | None:
    """The first thing that is not as `step` has it, or None."""
    return next(_failures(step, played), None)


def _failures(step: Step, played: Played) -> Iterator[Failure]:
    if step.refusal is None:
        yield from _without_answer(played.outcome)
    else:
        yield from _wrongly_refused(step.refusal, played.outcome)
    yield from _arrived(step, played)
    if step.refusal is None:
        yield from _answered(step, played)
    if any(message.at < played.not_before for message in played.messages if message.party == "central_system"):
        yield Failure(expected="the answer to the command, then what it triggers", came="them the other way round")
    for violation in played.violations:
        yield Failure(expected="messages that the specification allows", came=violation)
    sides, expected = (1, "a request and an answer") if step.unsent else (2, "a request and an answer on both sides")
    if len(played.messages) != 2 * sides:
        yield Failure(expected=expected, came=f"{len(played.messages)} messages")
    if Counter(played.losses) != Counter(step.losses):
        yield Failure(expected=f"losses: {_listed(step.losses)}", came=_listed(played.losses))


def _without_answer(outcome: Outcome) -> Iterator[Failure]:
    if isinstance(outcome, Exception):
        yield Failure(expected="an answer", came=described(outcome))


def _wrongly_refused(refusal: Refusal, outcome: Outcome) -> Iterator[Failure]:
    if not isinstance(outcome, Refused):
        yield Failure(expected=f"a refusal, {refusal.arrives}", came=described(outcome))
        return
    if str(outcome) != refusal.arrives:
        yield Failure(expected=refusal.arrives, came=str(outcome))
    yield from _difference("details", refusal.holds, _details(outcome), whole=True)


def _details(refused: Refused) -> Payload:
    """Those of a CALLERROR; in a Fault, those of the CALLERROR that it stands for."""
    if not refused.body:
        return refused.details
    root = etree.fromstring(refused.body.encode())
    text = root.findtext(".//{*}Detail//{*}callError/{*}details") or "{}"
    details: Payload = json.loads(text)
    return details


def _listed(losses: Sequence[str]) -> str:
    return ", ".join(sorted(losses)) or "none"


def _arrived(step: Step, played: Played) -> Iterator[Failure]:
    if step.unsent and played.taken:
        yield Failure(expected="no request at the far side", came=f"{len(played.taken)} of it")
    if not step.unsent and len(played.taken) != 1:
        yield Failure(expected="the request, once, at the far side", came=f"{len(played.taken)} of it")
    for taken in played.taken:
        yield from _difference("request", played.arrives, taken.request, whole=True)


def _answered(step: Step, played: Played) -> Iterator[Failure]:
    assert not isinstance(played.outcome, Exception)
    for taken in played.taken:
        if isinstance(taken.answer, Exception):
            yield Failure(expected=f"the refusal, {taken.answer}", came=described(played.outcome))
        elif step.given is not None:
            yield from _difference("answer given", step.given, taken.answer, whole=False)
        else:
            yield from _difference("answer", taken.answer, played.outcome, whole=True)
    yield from _difference("answer", step.answer, played.outcome, whole=False)


def _difference(where: str, wanted: Any, came: Any, *, whole: bool) -> Iterator[Failure]:
    """Where the two differ. Unless they are compared as a `whole`, what is not wanted may be there."""
    if isinstance(wanted, dict) and isinstance(came, dict):
        for name in wanted | came if whole else wanted:
            yield from _difference(f"{where}.{name}", wanted.get(name), came.get(name), whole=whole)
    elif isinstance(wanted, list) and isinstance(came, list) and len(wanted) == len(came):
        for index, (one, other) in enumerate(zip(wanted, came, strict=True)):
            yield from _difference(f"{where}[{index}]", one, other, whole=whole)
    elif normal(wanted) != normal(came):
        yield Failure(expected=f"{where} = {described(wanted)}", came=f"{where} = {described(came)}")


def normal(value: Any) -> Any:
    """`value` in the one spelling that it is compared in."""
    if isinstance(value, bool):
        return bool, value  # Python takes True for 1
    if isinstance(value, int | float | Decimal):
        return Decimal(str(value))
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except ValueError:
            return value
    return value


def described(value: object) -> str:
    """For a person: plain data as JSON, an exception as what it says."""
    if isinstance(value, Refused):
        return f"a refusal, {value}"
    if isinstance(value, Exception):
        return f"{type(value).__name__}: {value}"
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)
