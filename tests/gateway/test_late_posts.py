"""POSTs whose Calls have timed out: how many there may be, and which is closed when there are more."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from bridge.gateway.transports import LatePosts, SoapTransport
from bridge.net.tasks import Tasks
from tests.e2e.stage import AT_MOST


class Way:
    """As much of a SoapTransport as is told of its POSTs that were closed."""

    def __init__(self) -> None:
        self.given_up_: list[str] = []

    def given_up(self, unique_id: str, reason: str) -> None:
        assert reason == "too many answers are late"
        self.given_up_.append(unique_id)


class Posts:
    """POSTs that nobody answers. `late` makes one that has timed out."""

    def __init__(self, posts: LatePosts, tasks: Tasks) -> None:
        self.posts = posts
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._tasks = tasks

    async def late(self, way: Way, unique_id: str, *, answer: asyncio.Event | None = None) -> None:
        post = self._tasks.spawn(_unanswered(answer or asyncio.Event()), name=unique_id)
        self.tasks[unique_id] = post
        self.posts.expect(cast(Any, way), unique_id, post, 0.0)
        await _turn()


async def _unanswered(answer: asyncio.Event) -> None:
    await answer.wait()


async def _turn() -> None:
    """Time for what is due now, and for what follows from it."""
    for _ in range(5):
        await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    await asyncio.sleep(0)


async def _with(posts: LatePosts, walk: Any) -> None:
    tasks = Tasks()
    try:
        await walk(Posts(posts, tasks))
    finally:
        await tasks.close()


async def test_the_fifth_of_a_charge_point_closes_its_oldest() -> None:
    async def walk(posts: Posts) -> None:
        one, other = Way(), Way()
        await posts.late(other, "other")
        for number in range(6):
            await posts.late(one, f"{number}")
        assert (one.given_up_, other.given_up_) == (["0", "1"], [])
        assert [name for name, post in posts.tasks.items() if post.cancelled()] == ["0", "1"]
        assert (len(posts.posts), posts.posts.closed) == (5, 2)

    await _with(LatePosts(), walk)


async def test_one_more_than_a_thousand_closes_the_oldest_of_all() -> None:
    async def walk(posts: Posts) -> None:
        transports = [Way() for _ in range(251)]
        for number in range(1000):
            await posts.late(transports[number // 4], f"{number}")
        assert (len(posts.posts), posts.posts.closed) == (1000, 0)
        await posts.late(transports[250], "1000")
        assert (len(posts.posts), posts.posts.closed) == (1000, 1)
        assert [way.given_up_ for way in transports if way.given_up_] == [["0"]]
        assert transports[0].given_up_ == ["0"]
        assert posts.tasks["0"].cancelled()

    await _with(LatePosts(), walk)


async def test_one_that_has_ended_makes_room() -> None:
    async def walk(posts: Posts) -> None:
        way, answer = Way(), asyncio.Event()
        await posts.late(way, "0", answer=answer)
        for number in range(1, 4):
            await posts.late(way, f"{number}")
        answer.set()
        await _turn()
        await posts.late(way, "4")
        assert (way.given_up_, len(posts.posts), posts.posts.closed) == ([], 4, 0)

    await _with(LatePosts(), walk)


async def test_one_that_was_answered_in_time_is_never_late() -> None:
    async def walk(posts: Posts) -> None:
        answer = asyncio.Event()
        answer.set()
        post = Tasks().spawn(_unanswered(answer), name="in time")
        posts.posts.expect(cast(SoapTransport, Way()), "in time", post, 0.01)
        await post
        await asyncio.sleep(0.02)
        assert (len(posts.posts), posts.posts.closed) == (0, 0)

    await _with(LatePosts(), walk)


async def test_a_drain_waits_for_them_and_not_longer_than_it_may() -> None:
    async def walk(posts: Posts) -> None:
        answer = asyncio.Event()
        await posts.late(Way(), "0", answer=answer)
        await posts.posts.drained(0.01)
        assert len(posts.posts) == 1
        await posts.posts.drained(-1.0)  # nothing is left of the drain
        assert len(posts.posts) == 1
        async with asyncio.timeout(AT_MOST), asyncio.TaskGroup() as group:
            group.create_task(posts.posts.drained(2 * AT_MOST))
            await _turn()
            answer.set()
        assert len(posts.posts) == 0

    await _with(LatePosts(), walk)
