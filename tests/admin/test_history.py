"""The last hour: what is counted in which minute, and percentiles beside those of all the numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.admin.history import MINUTES, AnswerTimes, TrafficHistory
from bridge.core.commands import Outcome, Report
from bridge.errors import ErrorCode, Why
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import HeartbeatRequest
from bridge.ocpp.rpc import Call
from bridge.watching.facts import CallEnded, Fact, HandshakeRefused, LinkOpened, MessageRefused, RequestsUnread

BEGIN = 1_767_312_000.0  # 2026-01-02T00:00:00Z
CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM


class Clock:
    """A clock that the test sets, and a fleet with as many open transactions as the test says."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.open = 0
        self.history = TrafficHistory(lambda: self.open, lambda: self.now)

    def at(self, minute: float, *facts: Fact) -> None:
        self.now = BEGIN + 60 * minute
        for fact in facts:
            self.history.see(fact)


def ended(
    outcome: Outcome = Outcome.RESULT,
    took: float = 0.02,
    *,
    sender: Party = CHARGE_POINT,
    own: bool = False,
    sent: float | None = 0.0,
    central_system: str = "main",
) -> CallEnded:
    call = Call(unique_id="1", action="Heartbeat", payload=HeartbeatRequest())
    report = Report(sender=sender, call=call, outcome=outcome, arrived=0.0, ended=took, sent=sent, own=own)
    return CallEnded("CP 1", report, central_system)


def test_each_minute_has_what_ended_in_it() -> None:
    clock = Clock()
    clock.at(0.5, ended(), ended(Outcome.ERROR), ended(Outcome.UNANSWERED, sender=CENTRAL_SYSTEM))
    clock.at(0.9, ended(own=True), LinkOpened("CP 1", CHARGE_POINT, "main"), ended(Outcome.REPEATED))
    assert clock.history.hour().first is None
    clock.open = 3
    clock.at(1.0)
    hour = clock.history.hour()
    assert (hour.first, hour.messages, hour.errors, hour.transactions) == ("2026-01-02T00:00:00.000Z", [4], [2], [3])
    assert hour.p50_ms == hour.p99_ms


def test_what_was_refused_is_an_error_as_well() -> None:
    clock = Clock()
    refused = MessageRefused(None, "192.0.2.1", ErrorCode.FormationViolation, "no XML", Why.MALFORMED)
    shaken = HandshakeRefused("CP 1", "192.0.2.1", 401, "no password", Why.WRONG_PASSWORD)
    unread = RequestsUnread("192.0.2.1", ErrorCode.GenericError, "too many", Why.TOO_MANY_MESSAGES, 5)
    clock.at(0.1, refused, shaken, unread)
    clock.at(1)
    assert (clock.history.hour().messages, clock.history.hour().errors) == ([7], [7])
    assert clock.history.hour().p50_ms == [None]


def test_a_minute_in_which_nothing_happens_is_there_too() -> None:
    clock = Clock()
    clock.at(0, ended())
    clock.at(3, ended(), ended())
    clock.at(4)
    hour = clock.history.hour()
    assert (hour.messages, hour.first) == ([1, 0, 0, 2], "2026-01-02T00:00:00.000Z")
    assert [value is None for value in hour.p99_ms] == [False, True, True, False]


def test_an_hour_is_kept_and_no_more() -> None:
    clock = Clock()
    for minute in range(200):
        clock.at(minute, *[ended()] * (minute % 7))
    hour = clock.history.hour()
    assert hour.messages == [minute % 7 for minute in range(139, 199)]
    assert hour.first == "2026-01-02T02:19:00.000Z"
    clock.at(10_000)
    assert clock.history.hour().messages == [0] * MINUTES


def test_a_clock_that_is_set_back_a_little_loses_nothing() -> None:
    clock = Clock()
    clock.at(5, ended())
    clock.at(4.99, ended())
    clock.at(6)
    assert clock.history.hour().messages[-1] == 2


def test_a_clock_that_is_set_back_far_begins_anew() -> None:
    clock = Clock()
    clock.at(30, ended())
    clock.at(2, ended())
    assert clock.history.hour().messages == []
    clock.at(3)
    assert clock.history.hour().messages == [2]


@given(st.lists(st.floats(0.0002, 90), min_size=1, max_size=200), st.sampled_from([0.5, 0.99]))
def test_percentiles_are_those_of_all_the_numbers_within_a_class(seconds: list[float], share: float) -> None:
    times = AnswerTimes()
    for each in seconds:
        times.add(each)
    ranked = sorted(seconds)
    exact = next(value for at, value in enumerate(ranked, start=1) if at >= share * len(ranked)) * 1000
    found = times.percentile(share)
    assert found is not None
    assert exact / 1.09 <= found <= exact * 1.09


def test_a_central_system_is_judged_by_its_last_five_minutes() -> None:
    clock = Clock()
    clock.at(0, ended(took=2.0), ended(took=0.5, central_system="other"))
    clock.at(1, *[ended(took=0.01)] * 3, ended(took=9.0, sender=CENTRAL_SYSTEM), ended(took=9.0, sent=None))
    main = clock.history.answer_times("main")
    assert main.total == 4
    half, most = main.percentile(0.5), main.percentile(0.99)
    assert half is not None and most is not None
    assert abs(half - 10) < 1 and abs(most - 2000) < 200
    assert clock.history.answer_times("other").total == 1
    clock.at(5)
    assert clock.history.answer_times("main").total == 4
    clock.at(6)
    assert clock.history.answer_times("main").total == 3
    clock.at(7)
    assert clock.history.answer_times("main").total == 0
    assert clock.history.answer_times("unheard of").percentile(0.5) is None
