"""Choose the Calls of a trace to send again, and the answers to expect. Pure.

The transactionIds that the new Central System assigns replace the recorded ones in all later messages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Struct

from bridge.lab.trace.correlation import correlate
from bridge.ocpp.comparison import PlainAnswer
from bridge.recorder.trace_records import UP, Record, TraceError
from bridge.watching.masking import MASK


class ReplayStep(Struct, frozen=True, kw_only=True):
    """A Call of the Charge Point.

    Attributes:
        at: Seconds from the first Call.
        action: Action of the Call.
        payload: Payload of the Call.
        expected: The recorded answer, None if there was none.
    """

    at: float
    action: str
    payload: dict[str, Any]
    expected: PlainAnswer | None


class ReplayPlan(Struct, frozen=True, kw_only=True):
    """The replay of a trace.

    Attributes:
        identity: Identity of the Charge Point.
        steps: Calls of the Charge Point, in order.
        answers: Requests of the Central System and the Charge Point's answers to them, in order, by action.
        masked: Number of Calls with masked values.
    """

    identity: str
    steps: tuple[ReplayStep, ...]
    answers: dict[str, list[tuple[dict[str, Any], PlainAnswer]]]
    masked: int

    @property
    def commands(self) -> int:
        """Number of recorded answers of the Charge Point."""
        return sum(map(len, self.answers.values()))


def plan(trace: Sequence[Record], identity: str | None = None) -> ReplayPlan:
    """Return the plan to replay `trace`.

    Args:
        trace: Records of the trace.
        identity: Charge Point to replay; None if the trace has only one.

    Raises:
        TraceError: The trace has no Call of the Charge Point, or more than one Charge Point and `identity` is None.
    """
    found = list(dict.fromkeys(each.charge_point_id for each in trace if isinstance(each.charge_point_id, str)))
    if identity is None and len(found) > 1:
        raise TraceError(f"it is of {len(found)} Charge Points: say with --identity which")
    chosen = identity if identity is not None else found[0] if found else "CP-1"
    of_one = len(found) > 1
    records = [each for each in trace if not of_one or each.charge_point_id == chosen]
    view = correlate(records)
    answered = view.answers()
    steps: list[ReplayStep] = []
    answers: dict[str, list[tuple[dict[str, Any], PlainAnswer]]] = {}
    for index, record in enumerate(records):
        if record.message_type != "CALL" or not isinstance(record.action, str):
            continue
        told = _told(records[answered[index]]) if index in answered else None
        payload = record.payload if isinstance(record.payload, dict) else {}
        if record.direction == UP:
            steps.append(ReplayStep(at=record.at, action=record.action, payload=payload, expected=told))
        elif told is not None:
            answers.setdefault(record.action, []).append((payload, told))
    if not steps:
        raise TraceError(f"it holds no CALL of the Charge Point {chosen}" if of_one else "it holds no CALL to be sent")
    return ReplayPlan(
        identity=chosen, steps=_from_the_first(steps), answers=answers, masked=sum(map(_is_masked, steps))
    )


def _told(record: Record) -> PlainAnswer:
    if record.error is UNSET:
        return PlainAnswer(payload=record.payload if isinstance(record.payload, dict) else {})
    code, description = record.error.code, record.error.description
    return PlainAnswer(
        code=code if isinstance(code, str) else "GenericError",
        description=description if isinstance(description, str) else "",
    )


def _from_the_first(steps: Sequence[ReplayStep]) -> tuple[ReplayStep, ...]:
    begun = min(step.at for step in steps)
    return tuple(
        ReplayStep(at=step.at - begun, action=step.action, payload=step.payload, expected=step.expected)
        for step in steps
    )


def _is_masked(step: ReplayStep) -> bool:
    return MASK in _texts(step.payload)


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


class ReplayedTransactions:
    """The new transactionId for each recorded one."""

    def __init__(self) -> None:
        self._new: dict[int, int] = {}

    def learn(self, then: Any, now: Any) -> None:
        """Learn the new id from two answers to a StartTransaction: the recorded one `then` and the new one `now`."""
        match then, now:
            case {"transactionId": int(old)}, {"transactionId": int(new)}:
                self._new[old] = new

    def renewed(self, payload: Any) -> Any:
        """Return `payload` with the new ids."""
        if isinstance(payload, dict):
            return {name: self._of_field(name, value) for name, value in payload.items()}
        if isinstance(payload, list):
            return [self.renewed(inner) for inner in payload]
        return payload

    def _of_field(self, name: str, value: Any) -> Any:
        return (
            self._new.get(value, value) if name == "transactionId" and isinstance(value, int) else self.renewed(value)
        )


class RecordedCall:
    """The recorded answers of the Charge Point."""

    def __init__(self, answers: dict[str, list[tuple[dict[str, Any], PlainAnswer]]]) -> None:
        self._answers = {action: deque(told) for action, told in answers.items()}

    def actions(self) -> list[str]:
        """Return the actions with recorded answers."""
        return list(self._answers)

    def answer(self, action: str, request: Any) -> PlainAnswer:
        """Return the recorded answer to the same request, else the next recorded answer to `action`.

        An answer is returned once, except for the last one of an action. `action` must have a recorded answer.
        """
        known = self._answers[action]
        found = next((each for each in known if each[0] == request), known[0])
        if len(known) > 1:
            known.remove(found)
        return found[1]
