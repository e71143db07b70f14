"""Check the outcome of a step: compare what was sent with what arrived, on both sides. Pure.

Payloads are compared as plain data. Two times are equal when they are the same point in time, two numbers when they
have the same value, in any spelling. Other texts are equal when every character is equal.
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

from bridge.lab.demo.scenario import ExpectedRefusal, ScenarioStep
from bridge.lab.simulators.wire import CallRefused, Payload, WireMessage

Outcome: TypeAlias = Payload | Exception
"""The payload of an answer, or the exception in place of an answer: CallRefused for a refusal."""

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9]{2}:[0-9]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A request as the far side received it, and the far side's answer."""

    request: Payload
    answer: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """The outcome of one step.

    Attributes:
        arrives: The payload that the far side must receive.
        outcome: The answer that the calling party received.
        taken: Each request that the far side received.
        violations: Each breach of the specification by either side, as the simulators reported it.
        losses: The fields of the losses that the gateway logged.
        messages: The messages of the step, in the order in which they were seen.
        not_before: The earliest time of the first message at the Central System, in seconds of `time.perf_counter`.
            A triggered message must follow the answer to the command that triggers it.
    """

    arrives: Payload
    outcome: Outcome
    taken: Sequence[Taken] = ()
    violations: Sequence[str] = ()
    losses: Sequence[str] = ()
    messages: Sequence[WireMessage] = ()
    not_before: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFailure:
    """The expected outcome, and the outcome that came instead."""

    expected: str
    came: str


def failure_of(step: ScenarioStep, played: Played) -> CheckFailure | None:
    """Return the first outcome in `played` that differs from the one that `step` expects, or None."""
    return next(_failures(step, played), None)


def _failures(step: ScenarioStep, played: Played) -> Iterator[CheckFailure]:
    if step.refusal is None:
        yield from _without_answer(played.outcome)
    else:
        yield from _wrongly_refused(step.refusal, played.outcome)
    yield from _arrived(step, played)
    if step.refusal is None:
        yield from _answered(step, played)
    if any(message.at < played.not_before for message in played.messages if message.party == "central_system"):
        yield CheckFailure(expected="the answer to the command, then what it triggers", came="them the other way round")
    for violation in played.violations:
        yield CheckFailure(expected="messages that the specification allows", came=violation)
    one_side = step.unsent or step.inferred
    sides, expected = (1, "a request and an answer") if one_side else (2, "a request and an answer on both sides")
    if len(played.messages) != 2 * sides:
        yield CheckFailure(expected=expected, came=f"{len(played.messages)} messages")
    if Counter(played.losses) != Counter(step.losses):
        yield CheckFailure(expected=f"losses: {_listed(step.losses)}", came=_listed(played.losses))


def _without_answer(outcome: Outcome) -> Iterator[CheckFailure]:
    if isinstance(outcome, Exception):
        yield CheckFailure(expected="an answer", came=described(outcome))


def _wrongly_refused(refusal: ExpectedRefusal, outcome: Outcome) -> Iterator[CheckFailure]:
    if not isinstance(outcome, CallRefused):
        yield CheckFailure(expected=f"a refusal, {refusal.arrives}", came=described(outcome))
        return
    if str(outcome) != refusal.arrives:
        yield CheckFailure(expected=refusal.arrives, came=str(outcome))
    yield from _difference("details", refusal.holds, _details(outcome), whole=True)


def _details(refused: CallRefused) -> Payload:
    """Return the details of a CALLERROR. For a Fault, return the details of the CALLERROR that its Detail holds."""
    if not refused.body:
        return refused.details
    root = etree.fromstring(refused.body.encode())
    text = root.findtext(".//{*}Detail//{*}callError/{*}details") or "{}"
    details: Payload = json.loads(text)
    return details


def _listed(losses: Sequence[str]) -> str:
    return ", ".join(sorted(losses)) or "none"


def _arrived(step: ScenarioStep, played: Played) -> Iterator[CheckFailure]:
    if step.unsent and played.taken:
        yield CheckFailure(expected="no request at the far side", came=f"{len(played.taken)} of it")
    if not step.unsent and len(played.taken) != 1:
        yield CheckFailure(expected="the request, once, at the far side", came=f"{len(played.taken)} of it")
    for taken in played.taken:
        yield from _difference("request", played.arrives, taken.request, whole=True)


def _answered(step: ScenarioStep, played: Played) -> Iterator[CheckFailure]:
    assert not isinstance(played.outcome, Exception)
    for taken in played.taken:
        if isinstance(taken.answer, Exception):
            yield CheckFailure(expected=f"the refusal, {taken.answer}", came=described(played.outcome))
        elif step.given is not None:
            yield from _difference("answer given", step.given, taken.answer, whole=False)
        else:
            yield from _difference("answer", taken.answer, played.outcome, whole=True)
    yield from _difference("answer", step.answer, played.outcome, whole=False)


def _difference(where: str, wanted: Any, came: Any, *, whole: bool) -> Iterator[CheckFailure]:
    """Yield each difference between `wanted` and `came`.

    Args:
        where: The path of the two values, for the text of a difference.
        wanted: The expected value.
        came: The value that came.
        whole: False allows fields in `came` that `wanted` lacks.
    """
    if isinstance(wanted, dict) and isinstance(came, dict):
        for name in wanted | came if whole else wanted:
            yield from _difference(f"{where}.{name}", wanted.get(name), came.get(name), whole=whole)
    elif isinstance(wanted, list) and isinstance(came, list) and len(wanted) == len(came):
        for index, (one, other) in enumerate(zip(wanted, came, strict=True)):
            yield from _difference(f"{where}[{index}]", one, other, whole=whole)
    elif normal(wanted) != normal(came):
        yield CheckFailure(expected=f"{where} = {described(wanted)}", came=f"{where} = {described(came)}")


def normal(value: Any) -> Any:
    """Return `value` in the form in which values are compared."""
    if isinstance(value, bool):
        return bool, value  # Python compares True and 1 as equal
    if isinstance(value, int | float | Decimal):
        return Decimal(str(value))
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except ValueError:
            return value
    return value


def described(value: object) -> str:
    """Return a text for a reader: plain data as JSON, an exception as its text."""
    if isinstance(value, CallRefused):
        return f"a refusal, {value}"
    if isinstance(value, Exception):
        return f"{type(value).__name__}: {value}"
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)
