"""Long work in a thread leaves room for other threads, and nothing stays changed behind it."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading

import pytest

from bridge.net.large import aside
from bridge.net.tasks import short_turns


def settings() -> tuple[float, bool]:
    """How often threads are switched, and whether garbage is collected."""
    return sys.getswitchinterval(), gc.isenabled()


async def test_work_is_done_in_short_turns() -> None:
    before = settings()
    interval, collects = await aside(settings)
    assert interval < before[0] / 10
    assert not collects
    assert settings() == before


async def test_after_an_error_all_is_as_before() -> None:
    def fail() -> None:
        raise ValueError("as it should")

    before = settings()
    with pytest.raises(ValueError, match="as it should"):
        await aside(fail)
    assert settings() == before


def test_the_last_of_several_threads_restores_what_was() -> None:
    before = settings()
    inside, go_on = threading.Event(), threading.Event()

    def work() -> None:
        with short_turns:
            inside.set()
            go_on.wait(60)

    thread = threading.Thread(target=work)
    with short_turns:
        thread.start()
        assert inside.wait(60)
    assert settings() != before
    go_on.set()
    thread.join(60)
    assert settings() == before


async def test_who_collects_no_garbage_is_not_made_to() -> None:
    gc.disable()
    try:
        await aside(settings)
        assert not gc.isenabled()
    finally:
        gc.enable()


async def test_one_piece_of_work_comes_after_another() -> None:
    done: list[int] = []
    await asyncio.gather(*[aside(lambda number=number: done.append(number)) for number in range(5)])  # type: ignore[misc]
    assert done == [*range(5)]
