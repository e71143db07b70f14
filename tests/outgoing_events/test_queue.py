"""Which events are sent next, when, and which are dropped."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from bridge.outgoing_events.queue import DeliveryQueue, DropReason, QueueBounds, WaitingEvent

ROOM = QueueBounds(events=1000, octets=1_000_000, age=3600)


def event(
    number: int, charge_point: str = "a", *, at: float = 0.0, octets: int = 10, money: bool = False
) -> WaitingEvent:
    return WaitingEvent(number=number, charge_point=charge_point, at=at, octets=octets, money=money)


def queue(*events: WaitingEvent, bounds: QueueBounds = ROOM, at_once: int = 8) -> DeliveryQueue:
    """A queue with `events`, for which nothing was dropped."""
    made = DeliveryQueue(bounds, at_once)
    for each in events:
        assert made.put(each) == []
    return made


def fails(waiting: DeliveryQueue, number: int, now: float, *, refused: bool = False, pause: float = 0.0) -> None:
    """An attempt that fails, and chance takes nothing of the pause."""
    waiting.failed(number, now, refused=refused, chance=0.0, pause=pause)


def test_the_events_of_a_charge_point_go_one_after_the_other_and_those_of_others_beside_them() -> None:
    waiting = queue(event(1), event(2), event(3, "b"), event(4))
    assert waiting.take(0) == [1, 3]
    assert waiting.take(0) == [] and waiting.due() is None
    waiting.delivered(1)
    assert waiting.take(0) == [2]
    waiting.delivered(3)
    waiting.delivered(2)
    assert waiting.take(0) == [4]
    waiting.delivered(4)
    assert len(waiting) == 0 and waiting.octets == 0 and waiting.oldest is None


def test_no_more_are_under_way_than_may_be() -> None:
    waiting = queue(*(event(number, f"cp-{number}") for number in range(5)), at_once=2)
    assert waiting.take(0) == [0, 1]
    waiting.delivered(0)
    assert waiting.take(0) == [2]


def test_a_receiver_that_is_away_is_tried_with_one_event_after_pauses_that_double() -> None:
    waiting = queue(event(1), event(2, "b"), event(3, "c"))
    assert waiting.take(0) == [1, 2, 3]
    for number in (1, 2, 3):
        fails(waiting, number, 0)
    at = 0.0
    for pause in (1, 2, 4, 8, 16, 32, 60, 60):
        assert waiting.due() == at + pause
        assert waiting.take(at + pause - 0.1) == []
        at += pause
        (tried,) = waiting.take(at)
        fails(waiting, tried, at)
    (tried,) = waiting.take(at + 60)
    waiting.delivered(tried)
    assert len(waiting.take(at + 60)) == 2, "all follow the one that arrived"


def test_chance_takes_up_to_half_of_a_pause() -> None:
    waiting = queue(event(1))
    waiting.take(0)
    waiting.failed(1, 0, refused=False, chance=0.9)
    assert waiting.due() == 0.55


def test_a_receiver_that_asks_for_a_pause_gets_it() -> None:
    waiting = queue(event(1))
    waiting.take(0)
    fails(waiting, 1, 0, pause=30)
    assert waiting.due() == 30 and waiting.take(29) == [] and waiting.take(30) == [1]


def test_an_event_that_is_refused_stops_only_its_charge_point() -> None:
    waiting = queue(event(1), event(2), event(3, "b"))
    assert waiting.take(0) == [1, 3]
    fails(waiting, 1, 0, refused=True)
    waiting.delivered(3)
    waiting.put(event(4, "b"))
    assert waiting.take(0) == [4]
    waiting.delivered(4)
    assert waiting.take(0.5) == [] and waiting.due() == 1
    assert waiting.take(1) == [1]
    fails(waiting, 1, 1, refused=True)
    assert waiting.due() == 3, "the pause doubles"
    assert waiting.take(3) == [1]
    waiting.delivered(1)
    assert waiting.take(3) == [2]


def test_what_overflows_is_the_oldest_and_of_transactions_last() -> None:
    few = QueueBounds(events=3, octets=1000, age=3600)
    waiting = queue(event(1, money=True), event(2), event(3), bounds=few)
    assert waiting.put(event(4, money=True)) == [(2, DropReason.TOO_MANY)]
    assert waiting.put(event(5)) == [(3, DropReason.TOO_MANY)]
    assert waiting.put(event(6, money=True)) == [(5, DropReason.TOO_MANY)]
    assert waiting.put(event(7, money=True)) == [(1, DropReason.TOO_MANY)]
    assert waiting.numbers() == [4, 6, 7]


def test_what_is_too_large_in_all_is_dropped() -> None:
    waiting = queue(event(1, octets=60), event(2, octets=30), bounds=QueueBounds(events=9, octets=100, age=3600))
    assert waiting.put(event(3, octets=50)) == [(1, DropReason.TOO_LARGE)]
    assert waiting.octets == 80
    assert waiting.put(event(4, octets=101)) == [(4, DropReason.TOO_LARGE)], "it alone: nothing makes room for it"
    assert waiting.take(0) == [2]


def test_what_is_under_way_is_not_dropped() -> None:
    waiting = queue(event(1, at=0), event(2, at=0), bounds=QueueBounds(events=2, octets=1000, age=10))
    assert waiting.take(0) == [1]
    assert waiting.put(event(3, at=0)) == [(2, DropReason.TOO_MANY)]
    assert waiting.expired(11) == [(3, DropReason.TOO_OLD)]
    waiting.delivered(1)
    assert len(waiting) == 0


def test_what_is_too_old_is_dropped() -> None:
    waiting = queue(
        event(1, at=100), event(2, "b", at=101), event(3, at=102), bounds=QueueBounds(events=9, octets=1000, age=10)
    )
    assert waiting.expired(110) == []
    assert waiting.expired(111.5) == [(1, DropReason.TOO_OLD), (2, DropReason.TOO_OLD)]
    assert waiting.take(0) == [3]


def test_smaller_limits_drop_what_does_not_fit_any_more() -> None:
    waiting = queue(event(1), event(2), event(3))
    assert waiting.resize(QueueBounds(events=1, octets=1000, age=1)) == [
        (1, DropReason.TOO_MANY),
        (2, DropReason.TOO_MANY),
    ]


def test_a_receiver_with_other_settings_is_tried_at_once() -> None:
    waiting = queue(event(1), event(2, "b"), event(3, "c"))
    assert waiting.take(0) == [1, 2, 3]
    fails(waiting, 1, 0, refused=True)
    fails(waiting, 2, 0)
    waiting.interrupted()
    assert sorted(waiting.take(0)) == [1, 2, 3]


class Deliveries(RuleBasedStateMachine):
    """Whatever happens, in any order: nothing is lost, nothing overtakes, and nobody waits for ever."""

    under_way = Bundle("under_way")

    @initialize(events=st.integers(1, 6), octets=st.integers(20, 200), at_once=st.integers(1, 4))
    def begin(self, events: int, octets: int, at_once: int) -> None:
        self.at_once = at_once
        self.bounds = QueueBounds(events=events, octets=octets, age=50)
        self.queue = DeliveryQueue(self.bounds, at_once)
        self.now = 0.0
        self.number = 0
        self.waiting: dict[int, WaitingEvent] = {}
        self.out: set[int] = set()
        self.arrived: dict[str, list[int]] = {}

    @rule(charge_point=st.sampled_from("abc"), octets=st.integers(1, 60), money=st.booleans())
    def put(self, charge_point: str, octets: int, money: bool) -> None:
        self.number += 1
        made = event(self.number, charge_point, at=self.now, octets=octets, money=money)
        self.waiting[self.number] = made
        for number, _ in self.queue.put(made):
            assert number not in self.out
            dropped = self.waiting.pop(number)
            if octets > self.bounds.octets:
                assert number == made.number
                continue
            cheaper = [one for one in self.waiting.values() if not one.money and one.number not in self.out]
            assert not dropped.money or not cheaper, "a transaction was dropped before something else"

    @rule(target=under_way)
    def take(self) -> object:
        taken = self.queue.take(self.now)
        for number in taken:
            first = min(
                one.number for one in self.waiting.values() if one.charge_point == self.waiting[number].charge_point
            )
            assert number == first
        self.out |= set(taken)
        return multiple(*taken)

    @rule(number=consumes(under_way))
    def deliver(self, number: int) -> None:
        self.queue.delivered(number)
        self.out.discard(number)
        self.arrived.setdefault(self.waiting.pop(number).charge_point, []).append(number)

    @rule(
        number=consumes(under_way), refused=st.booleans(), chance=st.floats(0, 0.99), pause=st.sampled_from([0.0, 9.0])
    )
    def fail(self, number: int, refused: bool, chance: float, pause: float) -> None:
        self.queue.failed(number, self.now, refused=refused, chance=chance, pause=pause)
        self.out.discard(number)

    @rule(seconds=st.floats(0.1, 70))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for number, reason in self.queue.expired(self.now):
            assert reason is DropReason.TOO_OLD and self.now - self.waiting[number].at > 50
            del self.waiting[number]

    @invariant()
    def all_are_there(self) -> None:
        assert self.queue.numbers() == list(self.waiting)
        assert self.queue.octets == sum(one.octets for one in self.waiting.values())
        assert len(self.out) <= self.at_once
        parties = [self.waiting[number].charge_point for number in self.out]
        assert len(parties) == len(set(parties)), "two events of one Charge Point are under way"
        assert all(numbers == sorted(numbers) for numbers in self.arrived.values())
        if len(self.waiting) > len(self.out):
            fits = len(self.waiting) <= self.bounds.events and self.queue.octets <= self.bounds.octets
            assert fits

    @invariant()
    def it_goes_on(self) -> None:
        """If no event is under way and some wait, then there is a time at which one is taken."""
        if self.waiting and not self.out:
            due = self.queue.due()
            assert due is not None
            assert due <= self.now + 60


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
