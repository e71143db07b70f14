"""Keep what the comparison of shadows' answers shows, in memory and in the store. `core.readiness` decides.

Sessions and new differences are stored as they come. Counts of equal answers are stored with the next of those, and
when the bridge stops: a bridge that is killed may forget some of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator

import msgspec

from bridge.cluster.slots import slot_of
from bridge.core.readiness import ComparedAnswers, ComparisonHistory, DifferenceExample
from bridge.ocpp.comparison import Difference, PlainAnswer, plain
from bridge.store import ReadinessRecord, RecordStore
from bridge.watching.facts import ChargePointRemoved, Fact, ShadowAnswered
from bridge.watching.masking import MASK, masked
from bridge.watching.traffic_log import payload

# The differences of one answer that are counted singly, and the most characters of a field, a value and a request.
_MOST_DIFFERENCES, _LONGEST_FIELD, _LONGEST_VALUE, _LONGEST_REQUEST = 20, 100, 100, 300
# Charge Points that are examined before other work is served.
_SLICE = 100
# Seconds between two looks at the age of examples.
_FORGET_EVERY = 3600.0
_ID_TAGS = frozenset({"idtag", "parentidtag"})


class ShadowComparisons:
    """The histories of all Charge Points, by the name of the shadow and the casefolded identity.

    Args:
        store: Stores them.
        mask_id_tags: Whether idTags are masked in examples.
        max_age: Seconds for which an example is kept.
        known: Returns whether a Charge Point is known: the last answer may come after an operator has removed it.
        clock: Returns the time in unix seconds.
        shared: Whether this is a process of a cluster, which has the Charge Points of its slots. The store is read for
            each one when its history is needed, and `release` ends that.
    """

    def __init__(
        self,
        store: RecordStore,
        *,
        mask_id_tags: bool,
        max_age: float,
        known: Callable[[str], bool] = lambda identity: True,
        clock: Callable[[], float] = time.time,
        shared: bool = False,
    ) -> None:
        self._store = store
        self._mask_id_tags = mask_id_tags
        self._max_age = max_age
        self._known = known
        self._clock = clock
        self._shared = shared
        self._read: set[str] = set()  # the Charge Points for which the store was read, in a cluster
        self._histories: dict[str, dict[str, ComparisonHistory]] = {}
        self._unstored: dict[tuple[str, str], str] = {}  # the spelling of the identity
        self.read_again()

    def read_again(self) -> None:
        """Read the store, which may have found its file after the start. What is in memory is newer, and stays."""
        for record in () if self._shared else self._store.readiness():
            self._take(record)

    def _take(self, record: ReadinessRecord) -> None:
        try:
            history = msgspec.json.decode(record.content, type=ComparisonHistory)
        except msgspec.MsgspecError:
            return  # written by a version of the bridge with other types
        of_one = self._histories.setdefault(record.central_system, {})
        of_one.setdefault(record.identity.casefold(), history)

    def _read_once(self, folded: str) -> None:
        """Read the store for a Charge Point of a slot that this process has."""
        if self._shared and folded not in self._read:
            self._read.add(folded)
            for record in self._store.readiness_of(folded):
                self._take(record)

    def release(self, slots: Collection[int]) -> None:
        """Store what is not stored about the Charge Points of slots, which another process has from now on."""
        for name, folded in [one for one in self._unstored if slot_of(one[1]) in slots]:
            self._save(name, folded)
        for folded in [folded for folded in self._read if slot_of(folded) in slots]:
            self._read.discard(folded)
            for name in self._histories:
                self._drop(name, folded)

    def of(self, central_system: str, identity: str) -> ComparisonHistory | None:
        """Return the history of a Charge Point, None if no answer of this Central System was compared."""
        self._read_once(identity.casefold())
        return self._histories.get(central_system, {}).get(identity.casefold())

    def see(self, fact: Fact) -> None:
        """Take note of the answer of a shadow, and of a Charge Point that was removed."""
        match fact:
            case ShadowAnswered(identity) if self._known(identity):
                self._answered(fact)
            case ChargePointRemoved(identity):
                folded = identity.casefold()
                for name in self._histories:
                    self._drop(name, folded)

    def _drop(self, name: str, folded: str) -> None:
        self._histories[name].pop(folded, None)
        self._unstored.pop((name, folded), None)

    def _answered(self, fact: ShadowAnswered) -> None:
        now, folded = self._clock(), fact.identity.casefold()
        self._read_once(folded)
        histories = self._histories.setdefault(fact.central_system, {})
        history = histories.get(folded)
        if history is None:
            history = histories[folded] = ComparisonHistory.beginning(now)
        answers = ComparedAnswers(
            at=now,
            action=fact.action,
            # Those of other actions are not needed, and may be large.
            request=plain(fact.request) if fact.action == "StopTransaction" else None,
            main=PlainAnswer.of(fact.main),
            shadow=PlainAnswer.of(fact.shadow),
            examples=self._examples(fact, now),
        )
        self._unstored[fact.central_system, folded] = fact.identity
        if history.take(answers):
            self._save(fact.central_system, folded)

    def _examples(self, fact: ShadowAnswered, now: float) -> list[DifferenceExample]:
        if not fact.differences:
            return []
        request = self._masked(payload(fact.request))[:_LONGEST_REQUEST]
        return [
            DifferenceExample(
                at=now,
                action=fact.action[:_LONGEST_FIELD],
                field=difference.field[:_LONGEST_FIELD],
                main=self._value(difference, difference.expected),
                shadow=self._value(difference, difference.found),
                request=request,
            )
            for difference in fact.differences[:_MOST_DIFFERENCES]
        ]

    def _value(self, difference: Difference, text: str) -> str:
        if self._mask_id_tags and difference.field.rpartition(".")[2].lower() in _ID_TAGS and text != "absent":
            return MASK
        return self._masked(text)[:_LONGEST_VALUE]

    def _masked(self, text: str) -> str:
        octets = text.encode("utf-8", "backslashreplace")
        return masked(octets, id_tags=self._mask_id_tags).decode("utf-8", "replace")

    def _save(self, name: str, folded: str) -> None:
        identity = self._unstored.pop((name, folded))
        content = msgspec.json.encode(self._histories[name][folded])
        record = ReadinessRecord(
            identity=identity, kept_at=self._store.running_time, central_system=name, content=content
        )
        self._store.put(record)

    async def forget(self) -> None:
        """Forget what is too old, at the start and once in an hour. Runs until it is cancelled."""
        while True:
            now = self._clock()
            for number, record in enumerate(self._store.readiness() if self._shared else (), start=1):
                if number % _SLICE == 0:
                    await asyncio.sleep(0)
                if self._known(record.identity):
                    self._read_once(record.identity.casefold())
            for number, (name, folded, history) in enumerate(tuple(self._each()), start=1):
                if number % _SLICE == 0:
                    await asyncio.sleep(0)
                if now - history.last > ReadinessRecord.KEPT_FOR:  # as the store does
                    self._drop(name, folded)
                elif history.forget_examples(now - self._max_age) and self.of(name, folded) is history:
                    self._unstored.setdefault((name, folded), folded)
                    self._save(name, folded)
            await asyncio.sleep(_FORGET_EVERY)

    def _each(self) -> Iterator[tuple[str, str, ComparisonHistory]]:
        for name, histories in self._histories.items():
            for folded, history in histories.items():
                yield name, folded, history

    def close(self) -> None:
        """Store what is not stored."""
        for name, folded in tuple(self._unstored):
            self._save(name, folded)
