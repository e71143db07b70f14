"""What arrived at a Central System and what Charge Points were told while a part of a cluster broke, and what that adds
up to. The messages are those of a siege."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tests.attacks.siege_ledger import KEEPS_ITS_ID, Recorded, Sent, Told, count


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A message at the Central System, at unix time `at`. `sender` is the process of the bridge that sent it: "b.2"."""

    recorded: Recorded
    sender: str
    at: float = 0.0


GOING_AWAY = 1001
"""The code with which a process closes the connection of a Charge Point that it has handed over, or lost."""


@dataclass(slots=True, kw_only=True)
class Connected:
    """A connection to the Central System for a Charge Point, made by the process `sender` at unix time `at`.

    `code` is what it was closed with.
    """

    identity: str
    sender: str
    at: float
    code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultCounts:
    """The first six must be 0.

    lost            told delivered, and not at the Central System; or never told anything
    doubled         a StartTransaction or StopTransaction that arrived under a second UniqueId
    answered_twice  an answer to a UniqueId that had one
    misled          told refused, or told the transactionId of another message
    sent_twice      a StartTransaction or StopTransaction that one process sent more often than the Charge Point did,
                    while it had the Charge Point: in between, no other process connected for it, and then this one anew
    renamed         a MeterValues that arrived under more UniqueIds than the Charge Point made attempts
    copies          arrived again under the same UniqueId
    delivered       messages
    """

    lost: int = 0
    doubled: int = 0
    answered_twice: int = 0
    misled: int = 0
    sent_twice: int = 0
    renamed: int = 0
    copies: int = 0
    delivered: int = 0

    @property
    def faults(self) -> dict[str, int]:
        """Those that must be 0 and are not."""
        names = ("lost", "doubled", "answered_twice", "misled", "sent_twice", "renamed")
        return {name: number for name in names if (number := getattr(self, name))}


def counted(
    sent: Sequence[Sent], told: Sequence[Told], arrivals: Sequence[Arrival], connections: Sequence[Connected] = ()
) -> FaultCounts:
    """Count what has become of messages, when all that were sent should have been told.

    Args:
        sent: Each attempt of each Charge Point.
        told: Each answer that a Charge Point got.
        arrivals: All that arrived at the Central System.
        connections: All connections to the Central System.
    """
    counts = count(sent, told, [arrival.recorded for arrival in arrivals])
    attempts = Counter((attempt.identity, attempt.number) for attempt in sent)
    by_message: dict[tuple[str, int], list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        by_message[arrival.recorded.identity, arrival.recorded.number].append(arrival)
    terms = _terms(connections)
    renamed = sent_twice = copies = 0
    for message, found in by_message.items():
        ids = len({arrival.recorded.unique_id for arrival in found})
        begun = terms.get(message[0], {})
        times = Counter(
            (arrival.recorded.unique_id, arrival.sender, bisect_right(begun.get(arrival.sender, []), arrival.at))
            for arrival in found
        )
        copies += len(found) - ids
        if found[0].recorded.action in KEEPS_ITS_ID:
            sent_twice += sum(max(0, number - attempts[message]) for number in times.values())
        else:
            renamed += max(0, ids - attempts[message])
    return FaultCounts(
        lost=counts.lost + counts.unsettled,
        doubled=counts.doubled,
        answered_twice=counts.answered_twice,
        misled=counts.misled + counts.strangers,
        sent_twice=sent_twice,
        copies=copies,
        renamed=renamed,
        delivered=counts.delivered,
    )


def _terms(connections: Sequence[Connected]) -> dict[str, dict[str, list[float]]]:
    """Return when each process connected for a Charge Point that it has anew.

    Another process had connected for it in between, or this one has closed its connection because it had lost the
    Charge Point. Whoever had it meanwhile need not have connected.
    """
    last: dict[str, Connected] = {}
    terms: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for made in sorted(connections, key=lambda made: made.at):
        before = last.get(made.identity)
        if before is not None and (before.sender != made.sender or before.code == GOING_AWAY):
            terms[made.identity][made.sender].append(made.at)
        last[made.identity] = made
    return terms
