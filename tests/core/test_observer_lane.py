"""What is sent to an observer, and what follows from what it answers.

`sent` is the Call that must be out; `at` is the time in seconds.
"""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.links import SessionTerms, Status
from bridge.core.observed import ENDS
from bridge.core.observer_ids import ObserverId, ObserverIds
from bridge.core.observer_lane import (
    PATIENCE,
    Delivered,
    DialObserver,
    LaneCommand,
    LeaveObserver,
    NotDelivered,
    ObserverLane,
    SendIntroduction,
    SendQueued,
)
from bridge.core.observer_queue import LostReason, ObserverQueue
from bridge.ocpp.enums import AuthorizationStatus, RegistrationStatus
from bridge.ocpp.messages import (
    BootNotificationRequest,
    BootNotificationResponse,
    HeartbeatRequest,
    Request,
    Response,
    StartTransactionResponse,
    StatusNotificationResponse,
)
from bridge.ocpp.rpc import CallError, CallResult, Failure, Unanswered
from bridge.ocpp.types import IdTagInfo
from tests.core.test_observer_queue import HEARTBEAT, METERS, START, STATUS, STOP, message

BOOT = BootNotificationRequest(chargePointVendor="V", chargePointModel="M")
OTHER = HeartbeatRequest()  # stands for a StatusNotification
ACCEPTED = AuthorizationStatus.Accepted


class Observer:
    """The far side of a lane: what was sent to it, and what it answers."""

    def __init__(self, said: tuple[Request, ...] = (), *, posts: bool = False, most: int = 10_000) -> None:
        minted = count(1)
        self.at = 0.0
        self.may_send = True
        self.lane = ObserverLane(
            SessionTerms(reconnect_min=1.0, reconnect_max=8.0, spread=0.0),
            posts=posts,
            queue=ObserverQueue(most=most),
            ids=ObserverIds(),
            introduction=lambda: said,
            mint=lambda: f"own-{next(minted)}",
            chance=lambda: 0.0,
            may_send=lambda: self.may_send,
        )
        self.commands: list[LaneCommand] = []
        self.sent: list[str] = []
        """The UniqueIds that were sent, in order."""

    def tell(self, commands: list[LaneCommand]) -> list[LaneCommand]:
        self.commands += commands
        for command in commands:
            match command:
                case SendQueued(message=one):
                    self.sent.append(one.key)
                case SendIntroduction(unique_id=unique_id):
                    self.sent.append(unique_id)
        return commands

    def put(self, number: int, action: str = HEARTBEAT, *, on_disk: bool = True, **more: object) -> list[LaneCommand]:
        return self.tell(self.lane.put(message(number, action, **more), self.at, on_disk=on_disk))  # type: ignore[arg-type]

    def up(self) -> list[LaneCommand]:
        return self.tell(self.lane.link_up(self.at))

    def down(self) -> list[LaneCommand]:
        return self.tell(self.lane.link_down("it is gone", self.at))

    def answers(self, unique_id: str, payload: Response | None = None) -> list[LaneCommand]:
        answer = CallResult(unique_id=unique_id, payload=payload or StatusNotificationResponse())
        return self.tell(self.lane.answered(answer, self.at))

    def names(self, unique_id: str, number: int) -> list[LaneCommand]:
        """Answer a StartTransaction, whose row is on disk at once."""
        commands = self.answers(
            unique_id, StartTransactionResponse(transactionId=number, idTagInfo=IdTagInfo(status=ACCEPTED))
        )
        return commands + self.tell(self.lane.kept(self.at))

    def fails(self, unique_id: str, failure: Failure, pause: float | None = None) -> list[LaneCommand]:
        answer = Unanswered(unique_id=unique_id, reason="no", failure=failure, retry_after=pause)
        return self.tell(self.lane.answered(answer, self.at))

    def wait(self, seconds: float) -> list[LaneCommand]:
        """Let time pass, and the timer fire whenever it is due."""
        commands, until = list[LaneCommand](), self.at + seconds
        while (due := self.lane.due(self.at)) is not None and due <= until:
            self.at = max(self.at, due)
            commands += self.tell(self.lane.tick(self.at))
        self.at = until
        return commands

    def lost(self) -> list[tuple[int, LostReason]]:
        return [(each.message.number, each.reason) for each in self.commands if isinstance(each, NotDelivered)]


def dialled(*said: Request) -> Observer:
    """An observer whose connection is open, and has nothing to be told first."""
    far = Observer(said)
    far.tell(far.lane.comes_or_goes(0.0, present=True))
    far.up()
    return far


# Order.


def test_one_call_is_out_at_a_time_in_order() -> None:
    far = Observer()
    assert far.put(1) == [DialObserver()]
    assert far.put(2) == []
    far.up()
    assert far.sent == ["1"]
    assert far.answers("2") == [] and far.answers("other") == []
    (done, sending) = far.answers("1")
    assert isinstance(done, Delivered) and done.message.number == 1 and not done.wait
    assert sending == SendQueued(message=message(2), named=None)
    far.answers("2")
    assert len(far.lane.queue) == 0 and far.lane.due(far.at) is None


def test_what_ends_or_begins_a_transaction_waits_for_the_disk_both_ways() -> None:
    far = dialled()
    far.put(1, START, transaction=3, on_disk=False)
    far.put(2, METERS, transaction=3)
    assert far.sent == []
    far.tell(far.lane.ready(1, far.at))
    assert far.sent == ["1"]
    (done,) = far.answers(
        "1", StartTransactionResponse(transactionId=9, idTagInfo=IdTagInfo(status=AuthorizationStatus.Invalid))
    )
    assert isinstance(done, Delivered) and done.wait and done.row == ObserverId(number=3, named=9)
    assert far.wait(1000.0) == []
    assert far.tell(far.lane.kept(far.at)) == [SendQueued(message=message(2, METERS, transaction=3), named=9)]


def test_a_message_about_a_transaction_goes_with_the_number_of_the_observer_or_not_at_all() -> None:
    far = dialled()
    far.put(1, METERS, transaction=3)  # it began before the observer was there
    assert far.lost() == [(1, LostReason.NO_TRANSACTION_THERE)] and far.sent == []
    far.put(2, START, transaction=4)
    far.put(3, METERS, transaction=4)
    far.put(4, STOP, transaction=4)
    far.put(5, METERS, transaction=None)
    far.put(6, STOP, transaction=-1)
    far.put(7, STOP, transaction=0)
    far.tell(far.lane.answered(CallError(unique_id="2", code="InternalError"), far.at))  # it refuses
    assert far.lost()[1:] == [(3, LostReason.NO_TRANSACTION_THERE), (4, LostReason.NO_TRANSACTION_THERE)]
    for key in ("5", "6", "7"):
        assert far.sent[-1] == key
        far.answers(key)
    sendings = [each for each in far.commands if isinstance(each, SendQueued)]
    assert all(each.named is None for each in sendings)


def test_a_stop_that_is_answered_ends_the_transaction() -> None:
    far = dialled()
    far.put(1, START, transaction=3)
    far.names("1", 9)
    far.put(2, STOP, transaction=3)
    (done,) = far.answers("2")
    assert isinstance(done, Delivered) and done.row == ObserverId(number=3, named=9, ended=True) and not done.wait


# Connections.


def test_a_new_connection_begins_with_what_the_charge_point_last_said() -> None:
    far = Observer((BOOT, OTHER))
    far.tell(far.lane.comes_or_goes(0.0, present=True))
    far.put(1)
    far.up()
    boot = BootNotificationResponse(status=RegistrationStatus.Accepted, currentTime="2026-01-02T03:04:05Z", interval=1)
    assert far.sent == ["own-1"]
    far.answers("own-1", boot)
    assert far.sent == ["own-1", "own-2"]
    far.down()
    far.wait(1.0)
    far.up()
    far.answers("own-3", boot)
    far.answers("own-4")
    far.answers("1")
    far.put(2)
    assert far.sent == ["own-1", "own-2", "own-3", "own-4", "1", "2"]


def test_a_boot_that_waits_comes_in_place_of_the_last_one() -> None:
    far = Observer((BOOT, OTHER))
    far.put(1, "BootNotification")
    far.up()
    assert far.sent == ["1"]


@pytest.mark.parametrize(("interval", "pause"), [(0, 10.0), (60, 60.0), (100_000, 3600.0)])
@pytest.mark.parametrize("status", [RegistrationStatus.Pending, RegistrationStatus.Rejected])
def test_nothing_is_sent_before_its_boot_is_accepted(status: RegistrationStatus, interval: int, pause: float) -> None:
    far = Observer((BOOT, OTHER))
    far.put(1)
    far.up()
    answer = BootNotificationResponse(status=status, currentTime="2026-01-02T03:04:05Z", interval=interval)
    far.answers("own-1", answer)
    assert far.lane.trouble == f"it answers the BootNotification with {status.value}"
    assert far.wait(pause - 0.5) == []
    far.wait(1.0)
    assert far.sent == ["own-1", "own-2"]  # the BootNotification, again
    far.answers("own-2", structs_replace(answer, RegistrationStatus.Accepted))
    far.answers("own-3")
    assert far.sent[-1] == "1" and far.lane.trouble is None


def structs_replace(answer: BootNotificationResponse, status: RegistrationStatus) -> BootNotificationResponse:
    return BootNotificationResponse(status=status, currentTime=answer.currentTime, interval=answer.interval)


def test_a_call_that_was_out_is_sent_again_under_the_same_unique_id() -> None:
    far = dialled()
    far.put(1, START, transaction=3)
    for _ in range(10):
        far.down()
        far.wait(10.0)
        assert far.commands[-1] == DialObserver()
        far.up()
    assert set(far.sent) == {"1"} and len(far.sent) == 11 and far.lost() == []


def test_a_message_that_seems_to_break_the_connection_each_time_is_skipped() -> None:
    far = dialled()
    far.put(1, STATUS, connector=1)
    far.put(2)
    for _ in range(3):
        assert far.sent[-1] == "1"
        far.down()
        far.wait(10.0)
        far.up()
    assert far.lost() == [(1, LostReason.NO_ANSWER)] and far.sent[-1] == "2"


def test_an_observer_that_cannot_be_reached_is_dialled_again_with_growing_pauses() -> None:
    far = Observer()
    far.put(1)
    times = []
    for _ in range(5):
        far.down()
        before = far.at
        while far.commands[-1] != DialObserver() or far.lane.link.status is not Status.OPENING:
            far.wait(0.5)
        times.append(far.at - before)
    assert times == [1.0, 2.0, 4.0, 8.0, 8.0]
    assert len(far.lane.queue) == 1 and far.lane.trouble == "it is gone"


def test_the_connection_lasts_as_long_as_the_charge_point_is_there_or_something_waits() -> None:
    far = Observer()
    assert far.tell(far.lane.comes_or_goes(0.0, present=True)) == [DialObserver()]
    far.up()
    far.put(1)
    assert far.tell(far.lane.comes_or_goes(0.0, present=False)) == []
    *_, last = far.answers("1")
    assert isinstance(last, LeaveObserver) and far.lane.link.status is Status.DOWN
    assert far.put(2) == [DialObserver()]
    far.tell(far.lane.comes_or_goes(0.0, present=True))
    far.down()
    assert far.wait(2.0) == [DialObserver()]


def test_an_observer_that_gets_posts_is_tried_again_after_a_pause() -> None:
    far = Observer((BOOT,), posts=True)
    far.put(1)
    assert far.sent == ["own-1"]  # it may not know the Charge Point
    far.answers("own-1")
    far.fails("1", Failure.UNREACHABLE)
    assert far.wait(0.5) == []
    far.wait(1.0)
    far.answers("own-2")
    far.fails("1", Failure.OVERLOADED, pause=300.0)
    assert far.wait(299.0) == []
    far.wait(2.0)
    far.answers("own-3")
    far.answers("1")
    assert far.sent == ["own-1", "1", "own-2", "1", "own-3", "1"] and far.lost() == []


# No answer.


def test_without_an_answer_it_is_sent_once_more_and_skipped() -> None:
    far = dialled()
    far.put(1, STATUS, connector=1)
    far.put(2)
    far.wait(PATIENCE - 1.0)
    assert far.sent == ["1"]
    far.wait(2.0)
    assert far.sent == ["1", "1"]
    far.wait(PATIENCE)
    assert far.sent == ["1", "1", "2"] and far.lost() == [(1, LostReason.NO_ANSWER)]
    far.answers("2")
    assert far.lane.trouble is None


@pytest.mark.parametrize("action", sorted(ENDS))
@pytest.mark.parametrize("posts", [False, True])
def test_a_start_or_stop_without_an_answer_halts_the_queue(action: str, posts: bool) -> None:
    far = Observer(posts=posts)
    far.put(1, action, transaction=-1)
    far.put(2)
    far.up()
    for _ in range(2):
        if posts:
            far.fails("1", Failure.TIMEOUT)
        else:
            far.wait(PATIENCE + 1.0)
    assert (far.sent, far.lane.halted) == (["1", "1"], True) and far.lane.trouble is not None
    far.wait(590.0)
    assert far.sent == ["1", "1"]
    far.wait(20.0)
    assert far.sent == ["1", "1", "1"] and far.lane.halted
    far.answers("1")
    assert far.sent[-1] == "2" and far.lost() == [] and not far.lane.halted and far.lane.trouble is None


def test_a_late_answer_ends_the_halt() -> None:
    far = dialled()
    far.put(1, START, transaction=3)
    far.wait(2 * PATIENCE + 1.0)
    assert far.lane.halted
    far.names("1", 9)
    assert not far.lane.halted and far.lane.ids.named(3) == 9 and len(far.lane.queue) == 0


def test_a_new_connection_ends_the_pause_of_a_halt() -> None:
    far = dialled()
    far.put(1, STOP, transaction=-1)
    far.wait(2 * PATIENCE + 1.0)
    far.down()
    far.wait(5.0)
    far.up()
    assert far.sent == ["1", "1", "1"]


def test_an_answer_that_cannot_be_read_is_none() -> None:
    far = dialled()
    far.put(1)
    far.fails("1", Failure.MALFORMED_ANSWER)
    far.fails("1", Failure.MALFORMED_ANSWER)
    assert far.sent == ["1", "1"] and far.lost() == [(1, LostReason.NO_ANSWER)]


# What leaves without being sent.


def test_too_many_too_old_and_gone() -> None:
    far = Observer(most=2)
    far.put(1, START, transaction=3)
    far.put(2)
    far.put(3)
    assert far.lost() == [(2, LostReason.TOO_MANY)]
    far.tell(far.lane.shrink())
    assert far.lost()[1:] == [(3, LostReason.TOO_MANY)]
    assert far.lane.shrink() == []
    far.tell(far.lane.expire(1e9))
    assert far.lost()[2:] == [(1, LostReason.TOO_OLD)]
    # So that a later message is not sent with the number of an older transaction.
    assert far.commands[-1] == NotDelivered(
        message=message(1, START, transaction=3),
        reason=LostReason.TOO_OLD,
        row=ObserverId(number=3, named=None),
    )


def test_a_message_whose_content_is_gone_holds_nothing_up() -> None:
    far = dialled()
    far.put(1)
    far.put(2)
    far.tell(far.lane.unreadable(7, far.at))
    far.tell(far.lane.unreadable(1, far.at))
    assert far.lost() == [(1, LostReason.UNREADABLE)] and far.sent == ["1", "2"]


def test_what_an_earlier_process_left_comes_first() -> None:
    far = Observer()
    far.put(10)
    left = [message(1, STOP, transaction=3)]
    far.tell(far.lane.take_back(left, [ObserverId(number=3, named=9)], far.at))
    far.up()
    assert far.commands[-1] == SendQueued(message=left[0], named=9)


def test_other_settings_of_the_observer_begin_a_new_connection() -> None:
    far = dialled()
    far.put(1, START, transaction=3)
    assert far.tell(far.lane.moved(far.at, posts=True)) == [
        SendQueued(message=message(1, START, transaction=3), named=None)
    ]
    assert far.tell(far.lane.moved(far.at, posts=False)) == [DialObserver()]


EVENTS = ("start", "meter", "stop", "beat", "up", "down", "answer", "refuse", "late", "wait", "kept", "ready")


@settings(max_examples=300)
@given(st.lists(st.sampled_from(EVENTS), max_size=60), st.booleans())
def test_whatever_happens(events: list[str], posts: bool) -> None:
    """One Call is out; in order; no Start or Stop is lost; a transaction goes only under the observer's own number."""
    far, numbers, transaction, named = Observer(posts=posts), count(1), 0, count(1000)
    far.tell(far.lane.comes_or_goes(0.0, present=True))
    unready: list[int] = []
    for event in events:
        match event:
            case "start":
                transaction += 1
                unready.append(next(numbers))
                far.put(unready[-1], START, transaction=transaction, on_disk=False)
            case "meter" | "stop" if transaction:
                far.put(next(numbers), METERS if event == "meter" else STOP, transaction=transaction)
            case "beat":
                far.put(next(numbers))
            case "up" if not posts and far.lane.link.status is Status.OPENING:
                far.up()
            case "down":
                far.down()
            case "answer" | "refuse" | "late" if far.sent:
                key = far.sent[-1 if event != "late" else 0]
                first = far.lane.queue.first
                if event == "refuse":
                    far.tell(far.lane.answered(CallError(unique_id=key, code="GenericError"), far.at))
                elif first is not None and first.key == key and first.action == START:
                    far.names(key, next(named))
                else:
                    far.answers(key)
            case "wait":
                far.wait(125.0)
            case "kept":
                far.tell(far.lane.kept(far.at))
            case "ready" if unready:
                far.tell(far.lane.ready(unready.pop(0), far.at))
    for command in far.commands:
        if isinstance(command, SendQueued) and command.message.action in (METERS, STOP):
            assert command.named is not None and command.named >= 1000
        if isinstance(command, NotDelivered) and command.message.action in ENDS:
            assert command.message.action == STOP and command.reason is LostReason.NO_TRANSACTION_THERE
    order = list(dict.fromkeys(int(key) for key in far.sent))
    assert order == sorted(order)
    delivered = [each.message.number for each in far.commands if isinstance(each, Delivered)]
    assert delivered == sorted(set(delivered))
    # In the end everything is answered.
    for number in unready:
        far.tell(far.lane.ready(number, far.at))
    far.tell(far.lane.kept(far.at))
    for _ in range(400):
        if not len(far.lane.queue):
            break
        far.wait(700.0)
        if far.lane.link.status is Status.OPENING:
            far.up()
        first = far.lane.queue.first
        if first is not None and far.sent and far.sent[-1] == first.key:
            far.names(first.key, next(named)) if first.action == START else far.answers(first.key)
    assert len(far.lane.queue) == 0


@pytest.mark.parametrize("posts", [False, True])
def test_nothing_is_sent_while_another_process_may_have_the_charge_point(posts: bool) -> None:
    observer = Observer(posts=posts)
    observer.may_send = False
    observer.up()
    assert observer.put(1) == observer.put(2) == observer.wait(2 * PATIENCE) == []
    # A message about a transaction that is not named yet is not given up: its StartTransaction may be elsewhere.
    assert observer.put(3, STOP, transaction=5) == [] and len(observer.lane.queue) == 3
    observer.may_send = True
    observer.tell(observer.lane.go_on(observer.at))
    assert observer.sent == ["1"]
    observer.answers("1")
    assert observer.sent == ["1", "2"]


def test_no_connection_is_opened_meanwhile() -> None:
    observer = Observer()
    observer.may_send = False
    assert observer.put(1) == []
    observer.may_send = True
    assert observer.tell(observer.lane.go_on(observer.at)) == [DialObserver()]


def test_what_gets_no_answer_meanwhile_is_not_skipped() -> None:
    observer = Observer()
    observer.put(1)
    observer.up()
    assert observer.lane.busy
    observer.may_send = False
    assert observer.wait(5 * PATIENCE) == [] and not observer.lane.busy
    observer.may_send = True
    observer.tell(observer.lane.go_on(observer.at))
    assert observer.sent == ["1", "1"] and not observer.lost()


def test_what_could_not_be_sent_any_more_is_sent_later() -> None:
    observer = Observer()
    observer.put(1)
    observer.up()
    observer.lane.withheld(2)
    assert observer.lane.busy
    observer.lane.withheld(1)
    assert not observer.lane.busy and len(observer.lane.queue) == 1
    observer.tell(observer.lane.go_on(observer.at))
    assert observer.sent == ["1", "1"]


def test_it_is_busy_until_the_name_of_a_transaction_is_kept() -> None:
    observer = Observer()
    observer.put(1, START, transaction=5)
    observer.up()
    observer.answers("1", StartTransactionResponse(transactionId=7, idTagInfo=IdTagInfo(status=ACCEPTED)))
    assert observer.lane.busy
    observer.tell(observer.lane.kept(observer.at))
    assert not observer.lane.busy
