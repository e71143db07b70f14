"""Match the answers of a trace to its Calls. Pure.

"An answer belongs to the latest earlier CALL with the same messageId, the opposite direction, and no answer yet; with
none it is an orphan; a CALL without an answer is unanswered."
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, Struct, UnsetType

from bridge.recorder.trace_records import SCHEMA_VERSION, Record


class MatchCounts(Struct, frozen=True, kw_only=True, rename="camel"):
    """Number of records in a trace, in total and by message type."""

    records: int
    calls: int
    call_results: int
    call_errors: int


class SeenIds(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A record of a trace, with the correlation of an answer to its Call.

    Attributes:
        index: Index of the record in the trace.
        message_type: Message type of the record.
        message_id: Message id of the record.
        action: Action of the record; for an answer without one, that of its Call.
        correlates_with: For an answer, the index of its Call.
    """

    index: int
    message_type: str
    message_id: str | UnsetType = UNSET
    action: str | UnsetType = UNSET
    correlates_with: int | UnsetType = UNSET


class View(Struct, frozen=True, kw_only=True, rename="camel"):
    """The correlation of a whole trace.

    Attributes:
        schema_version: Version of the format.
        counts: Number of records.
        records: All records.
        unanswered_calls: Indexes of Calls without an answer.
        orphan_responses: Indexes of answers without a Call.
    """

    schema_version: str = SCHEMA_VERSION
    counts: MatchCounts
    records: tuple[SeenIds, ...]
    unanswered_calls: tuple[int, ...]
    orphan_responses: tuple[int, ...]

    def answers(self) -> dict[int, int]:
        """Return the index of each answer, by the index of its Call."""
        return {seen.correlates_with: seen.index for seen in self.records if isinstance(seen.correlates_with, int)}


def correlate(records: Sequence[Record]) -> View:
    """Return the correlation of the trace `records`."""
    open_calls: dict[tuple[object, str], list[int]] = {}
    seen: list[SeenIds] = []
    for index, record in enumerate(records):
        call: int | UnsetType = UNSET
        if record.message_type == "CALL":
            open_calls.setdefault((record.message_id, record.direction), []).append(index)
        elif waiting := open_calls.get((record.message_id, _opposite(record))):
            call = waiting.pop()
        seen.append(_seen(index, record, None if call is UNSET else records[call], call))
    kinds = [record.message_type for record in records]
    answered = {each.correlates_with for each in seen}
    return View(
        counts=MatchCounts(
            records=len(records),
            calls=kinds.count("CALL"),
            call_results=kinds.count("CALLRESULT"),
            call_errors=kinds.count("CALLERROR"),
        ),
        records=tuple(seen),
        unanswered_calls=tuple(i for i, kind in enumerate(kinds) if kind == "CALL" and i not in answered),
        orphan_responses=tuple(
            each.index for each in seen if each.message_type != "CALL" and each.correlates_with is UNSET
        ),
    )


def _seen(index: int, record: Record, call: Record | None, place: int | UnsetType) -> SeenIds:
    action = record.action if record.action is not UNSET or call is None else call.action
    return SeenIds(
        index=index,
        message_type=record.message_type,
        message_id=record.message_id,
        action=action,
        correlates_with=place,
    )


def _opposite(record: Record) -> str:
    return "csms-to-cp" if record.direction == "cp-to-csms" else "cp-to-csms"
