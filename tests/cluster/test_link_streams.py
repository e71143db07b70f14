"""Streams between nodes."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from pathlib import Path

import pytest

from bridge.cluster.errors import NodeAway, NodeRefused, NodeTimedOut, StreamEnded
from bridge.cluster.link_frames import PIECE
from bridge.cluster.link_streams import WINDOW, NodeStream, StreamEnd
from bridge.cluster.links import LinkTerms
from tests.cluster.nodes import later, nodes, until


class Keeping:
    """A handler that keeps its streams, and accepts them at once."""

    def __init__(self) -> None:
        self.streams: list[NodeStream] = []
        self.opened: list[tuple[str, bytes]] = []

    def __call__(self, node: str, payload: bytes, stream: NodeStream) -> None:
        self.opened.append((node, payload))
        self.streams.append(stream)


async def echo(node: str, payload: bytes, stream: NodeStream) -> None:
    stream.accept()
    async for frame in stream:
        await stream.send(frame)


async def test_frames_go_both_ways_in_order(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        b.on_stream("echo", echo)

        async def talk() -> None:
            stream = await a.open("b", "echo", b"", later())
            sizes = [0, 1, 30_000, PIECE, PIECE + 1, 1_000_000]
            frames: list[bytes | str] = [os.urandom(random.choice(sizes)) for _ in range(10)]
            frames += ["a text: é\n", "", b""] * 10
            random.shuffle(frames)

            async def send() -> None:
                for frame in frames:
                    await stream.send(frame)

            sending = asyncio.ensure_future(send())
            assert [await stream.recv() for _ in frames] == frames
            await sending
            stream.close()

        await asyncio.gather(*(talk() for _ in range(10)))
        (link,) = a._links.values()
        assert not link._streams
        await until(lambda: not any(accepted._streams for accepted in b._accepted))


async def test_a_close_comes_after_the_frames_before_it(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        keeping = Keeping()
        b.on_stream("keep", keeping)
        stream = await a.open("b", "keep", b"Charge Point 7", later())
        assert keeping.opened == [("a", b"Charge Point 7")]
        frames: list[bytes | str] = ["first", bytes(1_000_000), "last"]
        sending = [asyncio.ensure_future(stream.send(frame)) for frame in frames]
        await asyncio.sleep(0)
        stream.close(4001, "reason é" * 100)
        with pytest.raises(StreamEnded):
            stream.try_send("too late")
        other = keeping.streams[0]
        assert [frame async for frame in other] == frames
        await asyncio.gather(*sending)
        reason = ("reason é" * 100).encode()[:123].decode()
        assert await other.wait_closed() == StreamEnd(code=4001, reason=reason, by="peer")  # type: ignore[arg-type]
        assert await stream.wait_closed() == StreamEnd(code=4001, reason=reason, by="us")  # type: ignore[arg-type]
        with pytest.raises(StreamEnded, match="the stream was closed by peer with code 4001"):
            await other.send("too late")
        other.close(1000)  # does nothing
        assert other.closed is not None and other.closed.by == "peer"


async def test_a_receiver_takes_frames_at_once_and_leaves_others_for_later(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        keeping = Keeping()
        b.on_stream("keep", keeping)
        stream = await a.open("b", "keep", b"", later())
        (other,) = keeping.streams
        taken: list[bytes | str] = []

        def receive(frame: bytes | str) -> bool:
            if frame == "wait":
                return False
            taken.append(frame)
            return True

        await stream.send("early")
        await until(lambda: other._received)
        other.receiver = receive
        assert taken == ["early"]
        for frame in ("1", "2", "wait", "3"):
            await stream.send(frame)
        await until(lambda: len(other._received) == 2)
        assert taken == ["early", "1", "2"]
        assert [await other.recv(), await other.recv()] == ["wait", "3"]
        await stream.send("4")
        await until(lambda: taken[-1] == "4")


async def test_a_slow_reader_holds_up_nobody_else(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        keeping = Keeping()
        b.on_stream("keep", keeping)
        b.on_stream("echo", echo)
        b.on("echo", lambda node, payload: payload)
        slow = await a.open("b", "keep", b"", later())
        sent = 0
        while slow.try_send(bytes(1000)):
            sent += 1
        assert sent * 1000 < WINDOW + 1000
        waiting = asyncio.ensure_future(slow.send(b"at last"))
        given_up = asyncio.ensure_future(slow.send(b"never"))
        quick = await a.open("b", "echo", b"", later())
        for number in range(500):
            await quick.send(bytes(2000) + b"%d" % number)
            assert await quick.recv() == bytes(2000) + b"%d" % number
        assert await a.ask("b", "echo", b"too", later()) == b"too"
        assert not waiting.done()
        (other,) = keeping.streams
        assert len(other._received) == sent
        given_up.cancel()
        await asyncio.sleep(0)
        for _ in range(sent):
            assert await other.recv() == bytes(1000)
        await waiting
        assert await other.recv() == b"at last"
        await slow.send(b"more")
        assert await other.recv() == b"more"


async def test_frames_that_nobody_reads_end_with_a_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.cluster.link_streams._CLOSE_TIMEOUT", 0.1)
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        keeping = Keeping()
        b.on_stream("keep", keeping)
        stream = await a.open("b", "keep", b"", later())
        while stream.try_send(bytes(1000)):
            pass
        waiting = asyncio.ensure_future(stream.send(b"never"))
        await asyncio.sleep(0)
        stream.close(1001, "no patience")
        with pytest.raises(StreamEnded, match="by us with code 1001: no patience"):
            await waiting
        (other,) = keeping.streams
        assert (await other.wait_closed()).reason == "no patience"


async def test_many_streams_over_a_link_that_is_slow(tmp_path: Path) -> None:
    """What all of them send has a bound as well."""
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        keeping = Keeping()
        b.on_stream("keep", keeping)
        streams = await asyncio.gather(*(a.open("b", "keep", b"", later()) for _ in range(100)))
        (link,) = a._links.values()
        link.pause_writing()
        sending = [asyncio.ensure_future(stream.send(bytes(60_000))) for stream in streams]
        await asyncio.sleep(0.1)
        assert link._queue.size == 0
        assert not any(task.done() for task in sending)
        link.resume_writing()
        await asyncio.gather(*sending)
        for other in keeping.streams:
            assert await other.recv() == bytes(60_000)


async def test_errors_of_handlers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(node: str, payload: bytes, stream: NodeStream) -> None:
        raise NodeRefused("not_mine", "the slot 7 is not held here")

    def refuse_at_once(node: str, payload: bytes, stream: NodeStream) -> None:
        raise NodeRefused("not_mine", "at once")

    async def fail(node: str, payload: bytes, stream: NodeStream) -> None:
        raise ZeroDivisionError

    async def fail_later(node: str, payload: bytes, stream: NodeStream) -> None:
        await stream.send("hello")
        raise ZeroDivisionError

    async def receive_badly(node: str, payload: bytes, stream: NodeStream) -> None:
        def receive(frame: bytes | str) -> bool:
            raise ZeroDivisionError

        stream.receiver = receive

    with caplog.at_level(logging.ERROR, "bridge.cluster"):
        async with nodes(tmp_path) as all_nodes:
            a, b = await all_nodes.node("a"), await all_nodes.node("b")
            handlers = (refuse, refuse_at_once, fail, fail_later, receive_badly)
            for handler in handlers:
                b.on_stream(handler.__name__, handler)
            refused = {}
            for kind in ("refuse", "refuse_at_once", "fail", "nothing"):
                with pytest.raises(NodeRefused) as caught:
                    await a.open("b", kind, b"", later())
                refused[kind] = caught.value.code, caught.value.text
            assert refused == {
                "refuse": ("not_mine", "the slot 7 is not held here"),
                "refuse_at_once": ("not_mine", "at once"),
                "fail": ("internal_error", "the node 'b' failed at 'fail'"),
                "nothing": ("unknown_kind", "the node 'b' has no streams of 'nothing'"),
            }
            stream = await a.open("b", "fail_later", b"", later())
            assert [frame async for frame in stream] == ["hello"]
            assert (await stream.wait_closed()).code == 1011
            stream = await a.open("b", "receive_badly", b"", later())
            await stream.send("?")
            assert (await stream.wait_closed()).reason == "the receiver failed"
            (accepted,) = b._accepted
            assert not accepted._streams and not accepted._serving
    assert len([record for record in caplog.records if record.name == "bridge.cluster"]) == 3


async def test_an_opening_that_is_given_up(tmp_path: Path) -> None:
    ended: list[str] = []

    async def hesitate(node: str, payload: bytes, stream: NodeStream) -> None:
        stream.on_closed = lambda end: ended.append(end.reason)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        b.on_stream("hesitate", hesitate)
        b.on_stream("echo", echo)
        b.on("echo", lambda node, payload: payload)
        assert await a.ask("b", "echo", b"", later()) == b""
        with pytest.raises(NodeTimedOut) as caught:
            await a.open("b", "hesitate", b"", later(0.3))
        assert caught.value.written
        await until(lambda: sorted(ended) == ["cancelled", "the opener gave up"])
        for turns in range(20):  # in whichever turn of the event loop that happens
            opening = asyncio.ensure_future(a.open("b", "echo", b"", later()))
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                (await opening).close()
                raise asyncio.CancelledError
        (accepted,), (link,) = b._accepted, a._links.values()
        await until(lambda: not (accepted._streams or accepted._serving or link._streams or link._asked))


async def test_the_end_of_the_link_is_the_end_of_its_streams(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        keeping = Keeping()
        b.on_stream("keep", keeping)
        stream = await a.open("b", "keep", b"", later())
        ends: list[StreamEnd] = []
        (other,) = keeping.streams
        other.on_closed = ends.append
        await stream.send("read me first")
        await until(lambda: other._received)
        while stream.try_send(bytes(1000)):
            pass
        waiting = asyncio.ensure_future(stream.send(b"never"))
        await asyncio.sleep(0)
        await a.close()
        with pytest.raises(StreamEnded, match="by link with code 1006: the link to the node 'b' ended: this node"):
            await waiting
        await until(lambda: ends)
        assert (ends[0].code, ends[0].reason, ends[0].by) == (
            1006,
            "the link to the node 'a' ended: it closed the link",
            "link",
        )
        assert await other.recv() == "read me first"
        with pytest.raises(NodeAway):
            await a.open("b", "keep", b"", later())


async def test_a_frame_that_is_too_large(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a", terms=LinkTerms(max_message=1000)), await all_nodes.node("b")
        b.on_stream("echo", echo)
        stream = await a.open("b", "echo", b"", later())
        with pytest.raises(ValueError, match="a frame of 1001 octets, more than 1000"):
            await stream.send(bytes(1001))
        await stream.send(bytes(1000))
        assert await stream.recv() == bytes(1000)
