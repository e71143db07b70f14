"""What of a trace is to be sent again, and what is to be expected. Pure.

The transactionIds that the new Central System gives take the place of the recorded ones, wherever they come up again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Struct

from bridge.masking import MASK
from bridge.trace.correlation import correlate
from bridge.trace.records import UP, Record, TraceError


class Told(Struct, frozen=True, kw_only=True):
    """An answer: a payload, or the `code` of a refusal with its description."""

    payload: Any = None
    code: str | None = None
    description: str = ""


class Step(Struct, frozen=True, kw_only=True):
    """A Call of the Charge Point, and how it was answered then; None: not at all. `at` is in seconds from the first."""

    at: float
    action: str
    payload: dict[str, Any]
    expected: Told | None


class Plan(Struct, frozen=True, kw_only=True):
    """`steps` in their order; `answers` are what the Charge Point answered, by the action, in their order; `masked`:
    how many Calls hold what was masked."""

    identity: str
    steps: tuple[Step, ...]
    answers: dict[str, list[tuple[dict[str, Any], Told]]]
    masked: int

    @property
    def commands(self) -> int:
        """How many answers of the Charge Point are known."""
        return sum(map(len, self.answers.values()))


def plan(trace: Sequence[Record], identity: str | None = None) -> Plan:
    """What is to be done. Raises TraceError if there is nothing, or of more than one Charge Point."""
    found = list(dict.fromkeys(each.charge_point_id for each in trace if isinstance(each.charge_point_id, str)))
    if identity is None and len(found) > 1:
        raise TraceError(f"it is of {len(found)} Charge Points: say with --identity which")
    chosen = identity if identity is not None else found[0] if found else "CP-1"
    of_one = len(found) > 1
    records = [each for each in trace if not of_one or each.charge_point_id == chosen]
    view = correlate(records)
    answered = view.answers()
    steps: list[Step] = []
    answers: dict[str, list[tuple[dict[str, Any], Told]]] = {}
    for index, record in enumerate(records):
        if record.message_type != "CALL" or not isinstance(record.action, str):
            continue
        told = _told(records[answered[index]]) if index in answered else None
        payload = record.payload if isinstance(record.payload, dict) else {}
        if record.direction == UP:
            steps.append(Step(at=record.at, action=record.action, payload=payload, expected=told))
        elif told is not None:
            answers.setdefault(record.action, []).append((payload, told))
    if not steps:
        raise TraceError(f"it holds no CALL of the Charge Point {chosen}" if of_one else "it holds no CALL to be sent")
    return Plan(identity=chosen, steps=_from_the_first(steps), answers=answers, masked=sum(map(_is_masked, steps)))


def _told(record: Record) -> Told:
    if record.error is UNSET:
        return Told(payload=record.payload if isinstance(record.payload, dict) else {})
    code, description = record.error.code, record.error.description
    return Told(
        code=code if isinstance(code, str) else "GenericError",
        description=description if isinstance(description, str) else "",
    )


def _from_the_first(steps: Sequence[Step]) -> tuple[Step, ...]:
    begun = min(step.at for step in steps)
    return tuple(
        Step(at=step.at - begun, action=step.action, payload=step.payload, expected=step.expected) for step in steps
    )


def _is_masked(step: Step) -> bool:
    return MASK in _texts(step.payload)


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


class Transactions:
    """The new id for each recorded one."""

    def __init__(self) -> None:
        self._new: dict[int, int] = {}

    def learn(self, then: Any, now: Any) -> None:
        """A StartTransaction was answered with `then` when it was recorded, and with `now` this time."""
        match then, now:
            case {"transactionId": int(old)}, {"transactionId": int(new)}:
                self._new[old] = new

    def renewed(self, payload: Any) -> Any:
        """`payload` with the new ids."""
        if isinstance(payload, dict):
            return {name: self._of_field(name, value) for name, value in payload.items()}
        if isinstance(payload, list):
            return [self.renewed(inner) for inner in payload]
        return payload

    def _of_field(self, name: str, value: Any) -> Any:
        return (
            self._new.get(value, value) if name == "transactionId" and isinstance(value, int) else self.renewed(value)
        )


class Recorded:
    """What the Charge Point answered then: the answer to the same request first, else the next one of its action."""

    def __init__(self, answers: dict[str, list[tuple[dict[str, Any], Told]]]) -> None:
        self._answers = {action: deque(told) for action, told in answers.items()}

    def actions(self) -> list[str]:
        """Those that are known."""
        return list(self._answers)

    def answer(self, action: str, request: Any) -> Told:
        """To a Call of an action that is known. The last one is given again and again."""
        known = self._answers[action]
        found = next((each for each in known if each[0] == request), known[0])
        if len(known) > 1:
            known.remove(found)
        return found[1]
