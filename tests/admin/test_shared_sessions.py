"""The sessions that several processes share, at a real nats-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bridge.admin import shared_sessions
from bridge.admin.operator_sessions import MOST_OF_ONE, OperatorSession, digest_of
from bridge.admin.shared_sessions import SharedSessions
from bridge.cluster.session_stream import SessionStream
from bridge.cluster.shared_stream import SharedStream
from bridge.cluster.stream_forms import StoredSession
from bridge.errors import Unavailable
from tests.cluster.servers import nats_at, node
from tests.e2e.stage import AT_MOST
from tests.outgoing_events.receivers import eventually


class Values(SessionStream):
    """What is in the stream, at a time that only a test moves.

    Attributes:
        time: The time that all processes have.
        held: While it is cleared, what was read is not told.
        reads: The number of readings that were begun.
        answered: The number of those that have an answer.
        silent: Whether nobody answers.
    """

    time: ClassVar[list[float]] = [1_700_000_000.0]

    def __init__(self, stream: SharedStream) -> None:
        super().__init__(stream, timeout=AT_MOST)
        self.held = asyncio.Event()
        self.held.set()
        self.silent = False
        self.reads = self.answered = 0

    @property
    def now(self) -> float:
        return self.time[0]

    async def read(self, name: str) -> StoredSession | None:
        self.reads += 1
        if self.silent:
            raise Unavailable("nobody answers")
        found = await super().read(name)
        self.answered += 1
        await self.held.wait()
        return found

    async def changes(self, after: int) -> list[StoredSession]:
        if self.silent:
            raise Unavailable("nobody answers")
        return await super().changes(after)


class Process:
    """One of several processes. `ended` counts how often it was told that a session has ended."""

    def __init__(
        self, stream: SharedStream, *, binding: str = "one", every: float = 0.02, patience: float = 60
    ) -> None:
        self.values = Values(stream)
        self.ended, self.may_act = 0, True
        self.sessions = SharedSessions(
            self.values,
            binding=binding,
            lasts=1000,
            idle=100,
            ended=self._count,
            may_act=lambda: self.may_act,
            every=every,
            patience=patience,
        )

    def _count(self) -> None:
        self.ended += 1

    async def begin(self, subject: str = "1") -> str:
        return await self.sessions.begin(subject, "ann", "read")

    async def asked(self, key: str) -> OperatorSession | None:
        """What a request with the key finds."""
        await self.sessions.refresh(key)
        return self.sessions.known.find(key)

    async def used(self, key: str) -> None:
        """A request comes with the session, and the others know."""
        session = await self.asked(key)
        assert session is not None
        self.sessions.use(session)
        await eventually(lambda: all("noting" not in each.get_name() for each in self.sessions._tasks._running))


@asynccontextmanager
async def processes(folder: Path, **options: Any) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes."""
    Values.time = [1_700_000_000.0]
    with nats_at(folder) as server:
        async with node(server.url, "a") as a, node(server.url, "b") as b:
            both = Process(a.stream, **options), Process(b.stream, **options)
            yield both
            for each in both:
                await each.sessions.close()


async def test_a_session_is_the_same_at_all_processes(tmp_path: Path) -> None:
    async with processes(tmp_path) as (a, b):
        key = await a.begin()
        one, other = a.sessions.known.find(key), await b.asked(key)
        assert one is not None and other is not None
        assert (one.subject, one.name, one.role, one.csrf) == (other.subject, other.name, other.role, other.csrf)
        assert len(one.csrf) == 43 and one.csrf != key
        assert await b.asked(await b.begin()) is not other
        for nobody in ("", "x" * 43, "x" * 10_000, key[:-1]):
            assert await b.asked(nobody) is None
        await b.sessions.end(key)
        assert await a.asked(key) is None and await b.asked(key) is None


async def test_a_process_learns_that_a_session_has_ended_elsewhere(tmp_path: Path) -> None:
    async with processes(tmp_path) as (a, b):
        first, second = await a.begin(), await a.begin()
        assert await b.asked(second) and await b.asked(first)
        await a.sessions.end(first)
        await eventually(lambda: b.ended == 1)
        assert b.sessions.known.find(first) is None and b.sessions.known.find(second) is not None


async def test_what_was_read_before_the_end_and_told_after_it_lasts_only_for_a_moment(tmp_path: Path) -> None:
    async with processes(tmp_path) as (a, b):
        key = await a.begin()
        other = await a.begin()
        assert await b.asked(other)
        b.values.held.clear()
        reading = asyncio.ensure_future(b.asked(key))
        await eventually(lambda: b.values.answered == 2)
        await a.sessions.end(key)
        third = await a.begin()
        await eventually(lambda: b.sessions._after > 3)
        b.values.held.set()
        await reading
        await eventually(lambda: b.sessions.known.find(key) is None)
        assert await b.asked(third) is not None


async def test_a_request_at_one_process_counts_at_all(tmp_path: Path) -> None:
    async with processes(tmp_path) as (a, b):
        key = await a.begin()
        await b.asked(key)
        for _ in range(9):
            Values.time[0] += 90
            await b.used(key)
            # The other process, at which nothing is asked, knows as well: its live streams go on.
            await eventually(lambda: (seen := a.sessions.known.find(key)) and seen.used == Values.time[0])
        assert a.ended == 0 and await a.asked(key) is not None
        Values.time[0] += 100
        assert await a.asked(key) is None and await b.asked(key) is None
        assert await b.asked(await b.begin()) is not None


async def test_a_session_ends_some_time_after_it_began(tmp_path: Path) -> None:
    async with processes(tmp_path) as (a, b):
        key = await a.begin()
        for number in range(20):
            Values.time[0] += 50
            assert ((await b.asked(key)) is None) is (number == 19)
            if number < 19:
                await b.used(key)
        await eventually(lambda: b.ended == 1 and len(b.sessions.known) == 0)


@pytest.mark.parametrize("known", [True, False])
async def test_a_session_whose_time_is_over_is_not_known_again(tmp_path: Path, known: bool) -> None:
    async with processes(tmp_path) as (a, b):
        key = await a.begin()
        if known:
            assert await b.asked(key) is not None
        Values.time[0] += 100
        # As long as the stream still has it.
        await eventually(lambda: len(b.sessions.known) == 0)
        for _ in range(3):
            assert await b.asked(key) is None and len(b.sessions.known) == 0
        assert b.ended == known


async def test_the_use_of_a_session_that_was_ended_does_not_bring_it_back(tmp_path: Path) -> None:
    async with processes(tmp_path, every=10_000) as (a, b):
        key = await a.begin()
        session = await b.asked(key)
        assert session is not None
        Values.time[0] += 50
        await a.sessions.end(key)
        b.sessions.use(session)
        await eventually(lambda: b.sessions.known.find(key) is None)
        assert await a.asked(key) is None and await b.asked(key) is None


async def test_requests_soon_after_each_other_are_noted_once(tmp_path: Path) -> None:
    async with processes(tmp_path) as (a, b):
        key = await a.begin()
        begun = await b.values.changes(0)
        for _ in range(9):
            Values.time[0] += 1
            await a.used(key)
        assert await b.values.changes(0) == begun
        Values.time[0] += 1
        await a.used(key)
        assert [each.sequence for each in await b.values.changes(0)] == [begun[0].sequence + 1]


async def test_nobody_fills_the_stream(tmp_path: Path) -> None:
    async with processes(tmp_path) as (a, b):
        ben = await a.begin("2")
        keys = []
        for number in range(MOST_OF_ONE + 1):
            Values.time[0] += 1
            keys.append(await (a, b)[number % 2].begin())
        assert await a.asked(keys[0]) is None and await b.asked(keys[0]) is None
        assert await b.asked(keys[1]) is not None and await b.asked(ben) is not None
        lasting = [each for each in await a.values.changes(0) if each.body]
        assert len(lasting) == MOST_OF_ONE + 1


async def test_another_configuration_has_other_sessions(tmp_path: Path) -> None:
    async with processes(tmp_path) as (a, b):
        other = Process(b.values._stream, binding="two")
        key, theirs = await a.begin(), await other.begin()
        assert await other.asked(key) is None and await a.asked(theirs) is None
        unknown = await other.begin()
        await other.sessions.clear()
        assert await other.asked(theirs) is None and await other.asked(unknown) is None
        assert await a.asked(key) is not None
        await other.sessions.close()


async def test_what_another_version_has_written_is_no_session(tmp_path: Path) -> None:
    async with processes(tmp_path) as (a, b):
        for number, body in enumerate((b"{", b"[]", b'{"subject": "1"}', b"\xff")):
            assert await a.values.write(digest_of(f"{number}"), body, after=0, lives=60)
            assert await b.asked(f"{number}") is None
        assert await b.asked(await b.begin()) is not None


async def test_without_an_answer_a_request_is_neither_accepted_nor_refused(tmp_path: Path) -> None:
    async with processes(tmp_path, patience=0.1) as (a, b):
        key = await a.begin()
        assert await b.asked(key)
        b.values.silent = True
        with pytest.raises(Unavailable):
            await b.sessions.refresh(key)
        await eventually(lambda: b.ended == 1)  # its live streams end
        with pytest.raises(Unavailable):
            await b.sessions.refresh(key)
        b.values.silent = False
        assert await b.asked(key) is not None


async def test_a_process_that_is_cut_off_accepts_nothing_although_a_server_answers_it(tmp_path: Path) -> None:
    """It may be cut off together with a server, which does not know either what has ended."""
    async with processes(tmp_path, patience=0.1) as (a, b):
        key = await a.begin()
        assert await b.asked(key)
        b.may_act = False
        await eventually(lambda: b.ended == 1)
        with pytest.raises(Unavailable):
            await b.sessions.refresh(key)
        b.may_act = True
        assert await b.asked(key) is not None


async def test_strangers_wait_for_each_other_and_not_who_has_signed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_sessions, "_MOST_WAITING", 6)
    async with processes(tmp_path) as (a, b):
        key = await a.begin()
        assert await b.asked(key)
        b.values.held.clear()
        before = b.values.reads
        strangers = [asyncio.ensure_future(b.asked(f"{number}")) for number in range(6)]
        await eventually(lambda: b.values.reads == before + 4)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(b.asked("one more"), AT_MOST)
        known = asyncio.ensure_future(b.asked(key))
        await eventually(lambda: b.values.reads == before + 5)
        b.values.held.set()
        assert await known is not None and not any(await asyncio.gather(*strangers))
