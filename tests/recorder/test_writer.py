"""How the thread that records makes room for the traffic, and what may wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.commands import Drop
from bridge.ocpp.actions import Party
from bridge.ocpp.wire import Octets
from bridge.recorder import rows
from bridge.recorder.database import Bounds, MessageDatabase
from bridge.recorder.writer import LONGEST_REST, SHORTEST_REST, MessageWriter, next_rest, waited
from bridge.watching.facts import AnswerDropped

CS = Party.CENTRAL_SYSTEM


def dropped(octets: int) -> AnswerDropped:
    return AnswerDropped("A", Drop(party=CS, unique_id="f", reason="late", came=Octets("json", 1.0, b"x" * octets)))


def opened(clock: Callable[[], float] = lambda: 1.0) -> MessageWriter:
    database = MessageDatabase(None, Bounds(messages=1000, age=60.0, octets=100_000_000))
    return MessageWriter(database, None, id_tags=True, clock=clock)


def test_while_the_process_is_busy_the_rests_become_long_and_then_short_again() -> None:
    rest = SHORTEST_REST
    for _ in range(10):
        rest = next_rest(rest, rest, rest)
    assert rest == LONGEST_REST
    for _ in range(10):
        rest = next_rest(rest, rest * 1.001, rest * 0.5)
    assert rest == SHORTEST_REST


def test_how_long_the_event_loop_waited_for_a_core(tmp_path: Path) -> None:
    told = tmp_path / "schedstat"
    told.write_text("5000000000 2500000000 7\n")
    assert waited(told) == 2.5
    told.write_text("0\n")
    assert waited(told) == 0.0 == waited(tmp_path / "none")


@given(rest=st.floats(SHORTEST_REST, LONGEST_REST), late=st.floats(0, 10), share=st.floats(0, 4))
def test_a_rest_has_bounds(rest: float, late: float, share: float) -> None:
    took = rest + late
    assert SHORTEST_REST <= next_rest(rest, took, took * share) <= LONGEST_REST


@given(st.lists(st.integers(0, 3000) | st.none(), max_size=60), st.integers(0, 20_000))
def test_what_waits_has_a_bound_and_what_does_not_fit_is_counted(steps: list[int | None], most: int) -> None:
    """None writes all that waits."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bridge.recorder.writer.MOST", most)
        patched.setattr("bridge.recorder.writer.TOGETHER", 1)
        writer = opened()
        kept = lost = waiting = 0
        for octets in steps:
            if octets is None:
                kept += len(writer._take())
                waiting = 0
                continue
            fact = dropped(octets)
            size = rows.noted(1, 1.0, fact).size
            fits = waiting + size <= most
            waiting += size * fits
            lost += not fits
            writer.put(fact)
            assert writer.unfit == lost
        assert kept + len(writer._queue) + writer.unfit == sum(octets is not None for octets in steps)


def test_the_event_loop_packs_few_large_messages_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It packs when many wait, and meanwhile it carries nothing."""
    monkeypatch.setattr("bridge.recorder.writer.TOGETHER", 4)
    monkeypatch.setattr("bridge.recorder.writer._AT_ONCE", 10_000)
    writer = opened()
    for octets in (20_000, 20_000, 1, 1):
        writer.put(dropped(octets))
    assert len(writer._queue) == 1
    writer.put(dropped(1))
    assert len(writer._queue) == 2
    writer.put(dropped(1))
    assert (len(writer._queue), writer.waiting) == (6, 6)


async def test_who_waits_is_served_though_more_comes() -> None:
    """A flush waits for what was put before it, and for nothing that comes behind."""
    writer = opened()
    writer.open()
    try:
        for _ in range(300):
            writer.put(dropped(10))
        flushed = asyncio.wrap_future(writer.flush())
        while not flushed.done():
            for _ in range(20):
                writer.put(dropped(10))
            await asyncio.sleep(0.001)
        assert len(writer._database.listed("1", [], 1000)) >= 300
    finally:
        writer.close()
    assert (writer.waiting, writer.lost) == (0, 0)


def test_a_fault_of_ours_loses_one_message(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def row_of(noted: rows.Noted, *, id_tags: bool) -> rows.Row:
        if noted.number == 1:
            raise KeyError("a fault")
        return real(noted, id_tags=id_tags)

    real = rows.row_of
    monkeypatch.setattr(rows, "row_of", row_of)
    writer = opened()
    for _ in range(3):
        writer.put(dropped(1))
    assert [row[0] for row in writer._take()] == [2, 3]
    assert writer.lost == 1 and "please report it" in caplog.text
