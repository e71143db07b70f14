"""The sessions of operators: how long they last, and how many there are."""

from __future__ import annotations

from bridge.admin import operator_sessions
from bridge.admin.operator_sessions import MOST_OF_ONE, OperatorSessions


class Clock:
    """Seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def used(sessions: OperatorSessions, key: str) -> None:
    """A request comes with the session."""
    session = sessions.find(key)
    assert session is not None
    sessions.use(session)


def test_a_session_ends_some_time_after_it_began() -> None:
    clock = Clock()
    sessions = OperatorSessions(100, 30, clock)
    key = sessions.begin("1", "ann", "operate")
    for _ in range(4):
        clock.now += 24
        used(sessions, key)
    session = sessions.find(key)
    assert session is not None and sessions.left(session) == 4 and sessions.next_end() == 4
    clock.now += 4
    assert sessions.find(key) is None


def test_a_session_ends_if_no_request_comes() -> None:
    clock = Clock()
    sessions = OperatorSessions(100, 30, clock)
    key = sessions.begin("1", "ann", "operate")
    clock.now += 20
    assert sessions.find(key) is not None  # to look for it is no request
    assert sessions.next_end() == 10
    used(sessions, key)
    assert sessions.next_end() == 30
    clock.now += 30
    assert sessions.find(key) is None and sessions.next_end() == 0
    sessions.forget_ended()
    assert len(sessions) == 0 and sessions.next_end() is None


def test_who_signs_out_has_no_session() -> None:
    sessions = OperatorSessions(100, 30)
    one, other = (sessions.begin("1", "ann", "read") for _ in range(2))
    sessions.end(one)
    sessions.end("unknown")
    assert sessions.find(one) is None and sessions.find(other) is not None
    sessions.clear()
    assert sessions.find(other) is None


def test_two_sessions_share_no_secret() -> None:
    sessions = OperatorSessions(100, 30)
    keys = [sessions.begin("1", "ann", "read") for _ in range(2)]
    found = [sessions.find(key) for key in keys]
    assert len({*keys, *(each.csrf for each in found if each is not None)}) == 4


def test_nobody_fills_the_table() -> None:
    """One operator has at most MOST_OF_ONE; of all, the one that was not used for the longest time goes."""
    clock = Clock()
    sessions = OperatorSessions(10_000, 10_000, clock)
    ben = sessions.begin("2", "ben", "read")
    keys = []
    for _ in range(MOST_OF_ONE + 1):
        clock.now += 1
        keys.append(sessions.begin("1", "ann", "read"))
    assert sessions.find(keys[0]) is None and sessions.find(ben) is not None
    assert len(sessions) == MOST_OF_ONE + 1
    clock.now += 1
    used(sessions, ben)
    for number in range(operator_sessions.MOST - len(sessions) + 1):
        clock.now += 1
        sessions.begin(f"other {number}", "other", "read")
    assert len(sessions) == operator_sessions.MOST
    assert sessions.find(keys[1]) is None and sessions.find(keys[2]) is not None and sessions.find(ben) is not None
