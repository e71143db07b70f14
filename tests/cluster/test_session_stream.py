"""The sessions of operators at a real nats-server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge.cluster.session_stream import SessionStream
from bridge.cluster.stream_forms import StoredSession
from bridge.errors import Unavailable
from tests.cluster.servers import nats_at, node, nodes, three_servers
from tests.e2e.stage import AT_MOST


async def test_a_session_is_what_was_written_last(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with nodes(server.url, "a", "b") as (a, b):
            one, other = SessionStream(a.stream, timeout=AT_MOST), SessionStream(b.stream, timeout=AT_MOST)
            assert await one.read("ab12") is None
            sequence = await one.write("ab12", b"first", after=0, lives=60)
            assert sequence is not None
            assert await other.read("ab12") == StoredSession(name="ab12", sequence=sequence, body=b"first")
            assert await other.write("ab12", b"another", after=0, lives=60) is None
            later = await other.write("ab12", b"second", after=sequence, lives=60)
            assert later is not None
            assert await one.write("ab12", b"too late", after=sequence, lives=60) is None
            assert await one.read("ab12") == StoredSession(name="ab12", sequence=later, body=b"second")


async def test_a_session_that_was_ended_is_not_written_any_more(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with node(server.url) as a:
            sessions = SessionStream(a.stream, timeout=AT_MOST)
            sequence = await sessions.write("ab12", b"first", after=0, lives=60)
            assert sequence is not None
            await sessions.end("ab12")
            await sessions.end("ab12")
            assert await sessions.write("ab12", b"used", after=sequence, lives=60) is None
            found = await sessions.read("ab12")
            assert found is not None and found.body == b""


async def test_what_is_new_is_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.cluster.session_stream._PAGE", 2)
    with nats_at(tmp_path) as server:
        async with node(server.url) as a:
            sessions = SessionStream(a.stream, timeout=AT_MOST)
            assert await sessions.changes(0) == []
            written = [await sessions.write(f"{number}", b"x", after=0, lives=60) for number in range(5)]
            await sessions.end("1")
            found = await sessions.changes(0)
            assert [each.name for each in found] == ["0", "2", "3", "4", "1"] and found[-1].body == b""
            assert [each.name for each in await sessions.changes(written[3] or 0)] == ["4", "1"]
            assert await sessions.changes(found[-1].sequence) == []


async def test_the_servers_forget_a_session_whose_time_is_over(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with node(server.url) as a:
            sessions = SessionStream(a.stream, timeout=AT_MOST)
            assert await sessions.write("ab12", b"x", after=0, lives=0.5)
            async with asyncio.timeout(AT_MOST):
                while await sessions.read("ab12") is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)


async def test_without_a_server_nothing_is_known(tmp_path: Path) -> None:
    with nats_at(tmp_path) as server:
        async with node(server.url) as a:
            sessions = SessionStream(a.stream, timeout=0.5)
            server.kill()
            for asked in (
                sessions.read("ab12"),
                sessions.write("ab12", b"x", after=0, lives=60),
                sessions.end("ab12"),
                sessions.changes(0),
            ):
                with pytest.raises(Unavailable):
                    await asked


async def test_any_server_may_be_asked_for_a_session_that_was_ended_at_another(tmp_path: Path) -> None:
    """The leader answers, whichever server the process is connected to."""
    with three_servers(tmp_path) as servers:
        async with node([servers[0].url], "a") as a, node([servers[1].url], "b") as b, node([servers[2].url], "c") as c:
            streams = [SessionStream(each.stream, timeout=AT_MOST) for each in (a, b, c)]
            for number in range(30):
                name, by, asked = f"{number}", streams[number % 3], streams[(number + 1) % 3]
                assert await by.write(name, b"x", after=0, lives=60)
                begun = await asked.read(name)
                assert begun is not None and begun.body == b"x"
                await by.end(name)
                for each in streams:
                    over = await each.read(name)
                    assert over is not None and over.body == b""
