"""What was sent, recorded and told during a siege, and what that adds up to.

Each message of a Charge Point has a number of its own, which stands in its meter value. A Central System records a
message in its journal before it answers; the journal outlives `kill -9`.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path

KEEPS_ITS_ID = frozenset({"StartTransaction", "StopTransaction"})
"""Their repetitions go out under the UniqueId of the first (delivery.md D5)."""


class Verdict(StrEnum):
    """What a Charge Point was told of one attempt."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    FAILED = "failed"  # the link did; the Charge Point keeps the message


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One attempt of a Charge Point. A frame that is sent twice under one UniqueId is one attempt."""

    identity: str
    number: int
    action: str
    unique_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One answer that a Charge Point got. `transaction` is the transactionId in the answer to a StartTransaction."""

    identity: str
    number: int
    action: str
    unique_id: str
    verdict: Verdict
    transaction: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One message in the journal of a Central System, by the UniqueId or MessageID that it arrived under."""

    identity: str
    number: int
    action: str
    unique_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The first seven must be 0.

    lost            told delivered, and not recorded
    doubled         a StartTransaction or StopTransaction that was recorded under a second UniqueId
    multiplied      recorded more often than the Charge Point sent it
    answered_twice  an answer to a UniqueId that had one
    misled          told refused: no Central System of a siege refuses anything
    strangers       told the transactionId of another message
    unsettled       sent, and at the end neither told delivered nor refused
    again           recorded again under the same UniqueId, and sent again for that
    again_renamed   a MeterValues that was recorded again under another UniqueId, and sent again for that
    """

    lost: int = 0
    doubled: int = 0
    multiplied: int = 0
    answered_twice: int = 0
    misled: int = 0
    strangers: int = 0
    unsettled: int = 0
    again: int = 0
    again_renamed: int = 0
    attempts: int = 0
    failures: int = 0
    delivered: int = 0

    @property
    def faults(self) -> dict[str, int]:
        """Those that must be 0 and are not."""
        return {field.name: count for field in fields(self)[:7] if (count := getattr(self, field.name))}

    def __str__(self) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in asdict(self).items())


def transaction_of(identity: str, number: int) -> int:
    """The transactionId that a Central System gives to the StartTransaction `number` of `identity` ("S 12")."""
    kind, _, index = identity.partition(" ")
    return (int(index) + 1000 * (kind == "J")) * 100_000 + number


def count(sent: Iterable[Sent], told: Iterable[Told], recorded: Iterable[Recorded]) -> Counts:
    """What a siege comes to.

    Args:
        sent: Each attempt of each Charge Point.
        told: Each answer that a Charge Point got.
        recorded: The journals of all Central Systems, all their runs included.
    """
    attempts = Counter((attempt.identity, attempt.number) for attempt in sent)
    traffic_log: dict[tuple[str, int], list[Recorded]] = defaultdict(list)
    for entry in recorded:
        traffic_log[entry.identity, entry.number].append(entry)
    ended: dict[tuple[str, int], Told] = {}
    answers: Counter[tuple[str, str]] = Counter()
    misled = strangers = failures = 0
    for answer in told:
        failures += answer.verdict is Verdict.FAILED
        if answer.verdict is Verdict.FAILED:
            continue
        answers[answer.identity, answer.unique_id] += 1
        misled += answer.verdict is Verdict.REFUSED
        message = answer.identity, answer.number
        ended.setdefault(message, answer)
        if answer.verdict is Verdict.DELIVERED and answer.action == "StartTransaction":
            strangers += answer.transaction != transaction_of(*message)
    doubled = multiplied = again = again_renamed = 0
    for message, entries in traffic_log.items():
        ids = len({entry.unique_id for entry in entries})
        again += len(entries) - ids
        if entries[0].action in KEEPS_ITS_ID:
            doubled += ids - 1
        else:
            again_renamed += ids - 1
        multiplied += max(0, len(entries) - attempts[message])
    return Counts(
        lost=sum(
            answer.verdict is Verdict.DELIVERED and message not in traffic_log for message, answer in ended.items()
        ),
        doubled=doubled,
        multiplied=multiplied,
        answered_twice=sum(times - 1 for times in answers.values()),
        misled=misled,
        strangers=strangers,
        unsettled=sum(message not in ended for message in attempts),
        again=again,
        again_renamed=again_renamed,
        attempts=attempts.total(),
        failures=failures,
        delivered=sum(answer.verdict is Verdict.DELIVERED for answer in ended.values()),
    )


class Journal:
    """A file that a Central System appends to: what was written is kept when its process is killed."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def record(self, entry: Recorded) -> None:
        """Write `entry`, in one piece."""
        os.write(self._descriptor, json.dumps(asdict(entry)).encode() + b"\n")


def read_journal(file: Path) -> list[Recorded]:
    """All that is in `file`; nothing if there is none yet."""
    if not file.exists():
        return []
    return [Recorded(**json.loads(line)) for line in file.read_text().splitlines()]
