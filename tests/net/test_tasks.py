"""No task is lost, none outlives its owner, and no failure goes unsaid."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bridge.net.tasks import Background, Tasks


@pytest.fixture(autouse=True)
def _collected_alone() -> Iterator[None]:
    """Let the garbage collector visit only what the test makes: all that is there takes it a second in a long run."""
    gc.freeze()
    yield
    gc.unfreeze()


@asynccontextmanager
async def owned() -> AsyncIterator[Tasks]:
    """Tasks that are closed at the end; what the event loop complains of is a failure too."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    tasks = Tasks()
    yield tasks
    await tasks.close()
    gc.collect()
    assert complaints == []


async def forever() -> None:
    await asyncio.Event().wait()


async def test_it_runs_and_is_awaited() -> None:
    async def give() -> int:
        return 7

    async with owned() as tasks:
        task = tasks.spawn(give(), name="giving")
        assert (task.get_name(), len(tasks)) == ("giving", 1)
        assert await task == 7
        assert len(tasks) == 0


async def test_it_is_not_lost_to_the_garbage_collector() -> None:
    async with owned() as tasks:
        gate, done = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            await gate.wait()
            done.set()

        tasks.spawn(work(), name="working")
        await asyncio.sleep(0)
        gc.collect()
        gate.set()
        async with asyncio.timeout(5):
            await done.wait()


async def test_a_failure_is_logged_once_with_its_name_and_trace(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("broken")

    async with owned() as tasks:
        await asyncio.wait([tasks.spawn(fail(), name="link of RDAM 123")])
        assert len(tasks) == 0
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("bridge.tasks", logging.ERROR)
    assert record.getMessage() == "task link of RDAM 123 failed: ValueError('broken')"
    assert record.exc_info and isinstance(record.exc_info[1], ValueError)


async def test_whoever_awaits_a_failure_gets_it_too(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("broken")

    async with owned() as tasks:
        with pytest.raises(ValueError, match="broken"):
            await tasks.spawn(fail(), name="failing")
    assert len(caplog.records) == 1


async def test_closing_cancels_what_runs_and_waits_for_its_end(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def tidy_up() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            ended.append("tidied up")

    async with owned() as tasks:
        running = [tasks.spawn(tidy_up(), name="a"), tasks.spawn(forever(), name="b")]
        await asyncio.sleep(0)
        await tasks.close()
        assert all(task.cancelled() for task in running)
        assert (ended, len(tasks)) == (["tidied up"], 0)
    assert caplog.records == []


async def test_closing_survives_what_fails_on_its_way_out(caplog: pytest.LogCaptureFixture) -> None:
    async def fail_late() -> None:
        try:
            await forever()
        finally:
            raise OSError("already closed")

    async with owned() as tasks:
        tasks.spawn(fail_late(), name="closing badly")
        await asyncio.sleep(0)
        await tasks.close()
    assert [record.getMessage() for record in caplog.records] == [
        "task closing badly failed: OSError('already closed')"
    ]


async def test_a_task_that_closes_its_own_owner_finishes() -> None:
    ended: list[str] = []

    async with owned() as tasks:

        async def close() -> None:
            await tasks.close()
            ended.append("closer")

        other = tasks.spawn(forever(), name="other")
        await tasks.spawn(close(), name="closer")
        assert other.cancelled()
    assert ended == ["closer"]


async def test_closing_when_nothing_runs() -> None:
    async with owned() as tasks:
        await tasks.close()
        await tasks.close()
        assert len(tasks) == 0


async def test_work_for_which_nobody_waits_is_held_back_for_a_moment_and_not_without_end() -> None:
    background = Background()
    await background.wait()
    background.hold()
    async with owned() as tasks:
        waiting = tasks.spawn(background.wait(), name="waiting")
        await asyncio.sleep(0)
        assert not waiting.done()
        while not waiting.done():
            background.hold()
            await asyncio.sleep(0.01)


async def test_work_for_which_nobody_waits_rests_longer_after_charge_points_have_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    background, rests = Background(), list[float]()
    await background.make_way(0.02)

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        background._held_until = background._rests_until = 0.0

    monkeypatch.setattr(asyncio, "sleep", rest)
    await background.make_way(0.02)
    background.hold()
    await background.make_way(0.02)
    assert rests == pytest.approx([0.02, 0.06])


async def test_all_kinds_of_work_for_which_nobody_waits_rest_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    background, rests = Background(), list[float]()

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: 5.0)
    monkeypatch.setattr(asyncio, "sleep", rest)
    for spent in (0.02, 0.03, 4.0, 0.01):  # the third has waited for others
        await background.make_way(spent)
    assert rests == pytest.approx([0.02, 0.05, 0.3, 0.31])


@pytest.mark.parametrize(("late", "times"), [([0.0], 1), ([0.01, 0.0], 2), ([0.01] * 100, 100)])
async def test_work_for_which_nobody_waits_rests_on_while_the_event_loop_is_late(
    late: list[float], times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on in the end: the loop of a process that is never idle is always late."""
    background, rests, now = Background(), list[float](), 0.0

    async def rest(seconds: float) -> None:
        nonlocal now
        now += seconds + late[len(rests)]
        rests.append(seconds)

    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    monkeypatch.setattr(asyncio, "sleep", rest)
    await background.make_way(0.02)
    assert rests[:2] == pytest.approx([0.02, 0.1][: len(rests)])
    assert len(rests) <= times and sum(rests) <= 21 * 0.02 and (len(rests) > 1) == (times > 1)
