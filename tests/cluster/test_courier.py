"""Asks between nodes, over real sockets and between real processes."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from pathlib import Path

import pytest

from bridge.cluster.courier import Courier, NodePlace
from bridge.cluster.errors import NodeAway, NodeRefused, NodeTimedOut, RefusalCode
from bridge.cluster.hello import Hello, hello_frame
from bridge.cluster.link_frames import GREETING, HEAD, PIECE, FrameReader, FrameType, frame, named
from bridge.cluster.links import LinkTerms
from bridge.errors import BridgeError, ErrorCode
from tests.cluster.nodes import PATIENCE, later, name, node_process, nodes, until
from tests.process_states import freeze, frozen

LOG = "bridge.cluster"
# Seconds after which a peer that was stopped is found. One that is only slow says something in that time.
LEASE = 3.0


def echo(node: str, payload: bytes) -> bytes:
    return payload


class Hanging:
    """A handler that never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, node: str, payload: bytes) -> bytes:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return b""


async def answered(courier: Courier) -> bytes:
    """Ask the node "b" until it can be reached."""
    while True:
        try:
            return await courier.ask("b", "echo", b"again", later())
        except NodeAway:
            await asyncio.sleep(0.1)


# Answers.


async def test_two_nodes_ask_each_other_at_once(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")

        async def slowly(node: str, payload: bytes) -> bytes:
            await asyncio.sleep(random.random() / 50)
            return node.encode() + payload

        for courier in (a, b):
            courier.on("slowly", slowly)

        async def asks(courier: Courier, own: str, other: str) -> None:
            payloads = [str(number).encode() for number in range(300)]
            asked = [courier.ask(other, "slowly", payload, later()) for payload in payloads]
            assert await asyncio.gather(*asked) == [own.encode() + payload for payload in payloads]

        await asyncio.gather(asks(a, "a", "b"), asks(b, "b", "a"))
        assert repr(a) == "<courier of a, dialled ['b'], accepted 1>"


async def test_processes_ask_each_other_at_once(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a = await all_nodes.node("a")
        a.on("echo", echo)
        async with (
            node_process(all_nodes, "b", others=all_nodes.places),
            node_process(all_nodes, "c", others=all_nodes.places),
        ):
            payloads = [os.urandom(random.choice([0, 10, 3 * PIECE])) for _ in range(200)]
            asked = [a.ask("bc"[at % 2], "relay", payload, later()) for at, payload in enumerate(payloads)]
            assert await asyncio.gather(*asked) == payloads


async def test_a_node_can_ask_itself(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a = await all_nodes.node("a")
        a.on("echo", echo)
        assert await a.ask("a", "echo", b"me", later()) == b"me"


async def test_a_large_message_does_not_hold_up_a_small_one(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        b.on("echo", echo)
        large = os.urandom(15_000_000)
        asked = [asyncio.ensure_future(a.ask("b", "echo", large, later())) for _ in range(3)]
        await asyncio.sleep(0)
        for number in range(10):
            assert await a.ask("b", "echo", b"%d" % number, later()) == b"%d" % number
        assert not any(task.done() for task in asked)
        assert await asyncio.gather(*asked) == [large] * 3


async def test_a_handler_may_return_a_future(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        made: list[asyncio.Future[bytes]] = []

        def promise(node: str, payload: bytes) -> asyncio.Future[bytes]:
            made.append(asyncio.get_running_loop().create_future())
            return made[-1]

        b.on("promise", promise)
        asked = [asyncio.ensure_future(a.ask("b", "promise", b"", later())) for _ in range(5)]
        await until(lambda: len(made) == 5)
        made[3].set_result(b"kept")
        assert await asked[3] == b"kept"
        made[1].set_exception(NodeRefused("broken", "it was not kept"))
        with pytest.raises(NodeRefused, match="broken: it was not kept"):
            await asked[1]
        made[2].cancel()
        with pytest.raises(NodeRefused, match=RefusalCode.INTERNAL_ERROR):
            await asked[2]
        asked[4].cancel()
        await until(made[4].cancelled)
        await a.close()
        await until(made[0].cancelled)
        with pytest.raises(NodeAway):
            await asked[0]


# Errors.


async def test_errors_of_handlers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def known(node: str, payload: bytes) -> bytes:
        raise NodeRefused("not_mine", "the slot 7 is not held here")

    async def of_the_bridge(node: str, payload: bytes) -> bytes:
        raise BridgeError(ErrorCode.NotSupported, "no such operation")

    async def unexpected(node: str, payload: bytes) -> bytes:
        raise ZeroDivisionError("secret details")

    def at_once(node: str, payload: bytes) -> bytes:
        raise KeyError("secret details")

    async def cancelled(node: str, payload: bytes) -> bytes:
        raise asyncio.CancelledError

    def too_large(node: str, payload: bytes) -> bytes:
        return bytes(2_000_000)

    def long_code(node: str, payload: bytes) -> bytes:
        raise NodeRefused("é" * 200, "é" * 50_000)

    with caplog.at_level(logging.ERROR, LOG):
        async with nodes(tmp_path) as all_nodes:
            a = await all_nodes.node("a")
            b = await all_nodes.node("b", terms=LinkTerms(max_message=1_000_000))
            handlers = (known, of_the_bridge, unexpected, at_once, cancelled, too_large, long_code)
            for handler in handlers:
                b.on(handler.__name__, handler)
            refused = {}
            for kind in [*(handler.__name__ for handler in handlers), "nothing"]:
                with pytest.raises(NodeRefused) as caught:
                    await a.ask("b", kind, b"", later())
                refused[kind] = caught.value.code, caught.value.text
            assert refused.pop("long_code") == ("é" * 127, "é" * 32_640)
            assert refused == {
                "known": ("not_mine", "the slot 7 is not held here"),
                "of_the_bridge": ("NotSupported", "no such operation"),
                "unexpected": ("internal_error", "the node 'b' failed at 'unexpected'"),
                "at_once": ("internal_error", "the node 'b' failed at 'at_once'"),
                "cancelled": ("internal_error", "the node 'b' failed at 'cancelled'"),
                "too_large": ("internal_error", "the node 'b' failed at 'too_large'"),
                "nothing": ("unknown_kind", "the node 'b' answers no 'nothing'"),
            }
    logged = [record.getMessage() for record in caplog.records if record.name == LOG]
    assert len(logged) == 4
    assert logged[0] == (
        "the handler of 'unexpected', asked by the node a, failed: ZeroDivisionError('secret details')"
    )


async def test_a_payload_that_is_too_large(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a", terms=LinkTerms(max_message=1000)), await all_nodes.node("b")
        b.on("echo", echo)
        assert await a.ask("b", "echo", bytes(900), later()) == bytes(900)
        with pytest.raises(ValueError, match="a payload of 1000 octets for 'echo', more than fits into 1000"):
            await a.ask("b", "echo", bytes(1000), later())


async def test_more_asks_than_a_node_handles_at_once(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b", terms=LinkTerms(max_requests=3))
        hanging = Hanging()
        b.on("hang", hanging)
        asked = [asyncio.ensure_future(a.ask("b", "hang", b"", later())) for _ in range(4)]
        with pytest.raises(NodeRefused, match=RefusalCode.BUSY):
            await asked[3]
        for task in asked[:3]:
            task.cancel()


async def test_answers_that_nobody_reads_have_a_bound(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b", terms=LinkTerms(max_unsent=5_000_000))
        b.on("large", lambda node, payload: bytes(1_000_000))
        b.on("echo", echo)
        assert await a.ask("b", "echo", b"", later()) == b""
        asked = [a.ask("b", "large", b"", later()) for _ in range(100)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, NodeRefused)]
        assert {answer.code for answer in refused} == {"busy"}
        assert len(refused) + answers.count(bytes(1_000_000)) == 100
        assert await a.ask("b", "large", b"", later()) == bytes(1_000_000)


# Deadlines and cancellation.


async def test_a_deadline_cancels_the_handler(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        hanging = Hanging()
        b.on("hang", hanging)
        b.on("echo", echo)
        assert await a.ask("b", "echo", b"", later()) == b""
        with pytest.raises(NodeTimedOut, match="'b' did not answer 'hang' before the deadline") as caught:
            await a.ask("b", "hang", b"", later(0.5))
        assert caught.value.written
        await hanging.cancelled.wait()


async def test_a_cancelled_ask_cancels_the_handler(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        hanging = Hanging()
        b.on("hang", hanging)
        asked = asyncio.ensure_future(a.ask("b", "hang", b"", later()))
        await hanging.asked.wait()
        asked.cancel()
        await hanging.cancelled.wait()
        assert not [link for link in a._links.values() if link._asked]


async def test_a_large_ask_and_a_large_answer_that_are_cancelled_midway(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        b.on("echo", echo)
        b.on("large", lambda node, payload: bytes(16_000_000))
        assert await a.ask("b", "echo", b"", later()) == b""
        for turn in range(60):
            kind, payload = ("echo", bytes(8_000_000)) if turn % 2 else ("large", b"")
            asked = asyncio.ensure_future(a.ask("b", kind, payload, later()))
            for _ in range(turn // 2):
                await asyncio.sleep(0)
            asked.cancel()
            assert await a.ask("b", "echo", b"small", later()) == b"small"
        (link,) = a._links.values()
        (accepted,) = b._accepted
        await until(lambda: not (link._reader._parts or accepted._reader._parts or accepted._queue or link._queue))
        assert not link._asked and not accepted._running


async def test_a_deadline_that_has_passed_before(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        hanging = Hanging()
        b.on("hang", hanging)
        with pytest.raises(NodeTimedOut) as caught:
            await a.ask("b", "hang", b"", later(-1))
        assert not caught.value.written


# Nodes that are away.


@pytest.mark.parametrize("address", ["unix:{folder}/nobody", "tcp://127.0.0.1:1", "tcp://127.0.0.1", ""])
async def test_a_node_that_is_not_reachable(address: str, tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a = await all_nodes.node("a")
        if address:
            all_nodes.places["b"] = NodePlace(address=address.format(folder=tmp_path), incarnation="1")
        for _ in range(2):
            with pytest.raises(NodeAway, match="the node 'b' is away: ") as caught:
                await a.ask("b", "echo", b"", later())
            assert not caught.value.written


async def test_a_node_that_is_back_is_dialled_again(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a = await all_nodes.node("a")
        for incarnation in ("1", "2", "3"):
            b = await all_nodes.node(name("b", incarnation=incarnation))
            b.on("which", lambda node, payload, known=incarnation: known.encode())  # type: ignore[misc]
            assert await a.ask("b", "which", b"", later()) == incarnation.encode()
            await b.close()


async def test_a_process_that_is_killed(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a = await all_nodes.node("a")
        async with node_process(all_nodes, "b") as b:
            stream = await a.open("b", "echo", b"", later())
            asked = [asyncio.ensure_future(a.ask("b", "hang", b"", later())) for _ in range(10)]
            await b.said("hangs")
            await b.killed()
            for task in asked:
                with pytest.raises(NodeAway, match="closed the link") as caught:
                    await task
                assert caught.value.written
            end = await stream.wait_closed()
            assert (end.code, end.by) == (1006, "link")
        async with node_process(all_nodes, "b"):  # the file of its socket is still there
            assert await answered(a) == b"again"


async def test_a_process_that_is_stopped(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a = await all_nodes.node("a", terms=LinkTerms(lease=LEASE))
        async with node_process(all_nodes, "b") as b:
            stream = await a.open("b", "echo", b"", later())
            assert await a.ask("b", "echo", b"", later()) == b""
            with frozen(b.pid):
                asked = [asyncio.ensure_future(a.ask("b", "echo", b"?", later())) for _ in range(10)]
                for task in asked:
                    with pytest.raises(NodeAway, match="sent nothing for 3 s") as caught:
                        await task
                    assert caught.value.written
                end = await stream.wait_closed()
                assert (end.code, end.by) == (1006, "link")
                # The system accepts for it, but nobody greets.
                with pytest.raises(NodeAway, match="did not answer the greeting within 3 s") as caught:
                    await a.ask("b", "echo", b"?", later())
                assert not caught.value.written
            await b.said("stream closed by link")
            assert await answered(a) == b"again"


async def test_what_a_stopped_process_does_not_read_has_a_bound(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a = await all_nodes.node("a", terms=LinkTerms(max_unsent=5_000_000))
        async with node_process(all_nodes, "b") as b:
            assert await a.ask("b", "echo", b"", later()) == b""
            freeze(b.pid)
            asked: list[asyncio.Task[bytes]] = []
            while True:
                asked.append(asyncio.ensure_future(a.ask("b", "echo", bytes(50_000), later())))
                await asyncio.sleep(0)
                if asked[-1].done():
                    break
                assert len(asked) < 1000
            with pytest.raises(NodeAway, match="more than 5000000 octets wait") as caught:
                await asked.pop()
            assert not caught.value.written
            written = set()
            for task in asked:
                with pytest.raises(NodeAway) as caught:
                    await task
                written.add(caught.value.written)
            assert written == {True, False}


async def test_a_peer_that_dials_and_is_stopped(tmp_path: Path) -> None:
    """The side that accepted finds it, and cancels what it asked."""
    async with nodes(tmp_path) as all_nodes:
        b = await all_nodes.node("b", terms=LinkTerms(lease=LEASE))
        hanging = Hanging()
        b.on("echo", hanging)
        async with node_process(all_nodes, "a", others=all_nodes.places) as a:
            asked = asyncio.ensure_future(b.ask("a", "relay", b"", later()))
            await hanging.asked.wait()
            freeze(a.pid)
            await hanging.cancelled.wait()
            with pytest.raises(NodeAway):
                await asked
            assert not b._accepted


async def test_a_turn_that_comes_late_is_not_the_silence_of_the_peer(tmp_path: Path) -> None:
    """As if this process was stopped, and what the peer said meanwhile is still to be read."""
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a", terms=LinkTerms(lease=60.0)), await all_nodes.node("b")
        b.on("echo", echo)
        assert await a.ask("b", "echo", b"", later()) == b""
        (link,) = a._links.values()
        link._heard = False
        for _ in range(4):
            assert a._timer is not None
            a._timer.cancel()
            a._ticked -= 1000
            a._tick()
        assert list(a._links.values()) == [link]


async def test_an_idle_link_stays(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        terms = LinkTerms(lease=8.0, ping_interval=0.05)
        a, b = await all_nodes.node("a", terms=terms), await all_nodes.node("b", terms=terms)
        b.on("echo", echo)
        assert await a.ask("b", "echo", b"", later()) == b""
        (link,) = a._links.values()
        pings: list[int] = []
        (accepted,) = b._accepted
        took = accepted._took

        def counted(kind: int, number: int, payload: bytes) -> bool:
            pings.append(kind)
            return took(kind, number, payload)

        accepted._took = counted  # type: ignore[method-assign]
        await until(lambda: pings.count(FrameType.PING) > 1)
        assert list(a._links.values()) == [link]


# Who is there.


@pytest.mark.parametrize(
    ("there", "presence", "sentence"),
    [
        (name("b", cluster="west"), "1", "the node 'a' is of the cluster 'east', not of 'west'"),
        (name("c"), "1", "the node 'c' is here, not 'b'"),
        (name("b", incarnation="2"), "1", "the node 'b' here has the incarnation '2', not '1'"),
    ],
)
async def test_a_node_that_is_another(there: object, presence: str, sentence: str, tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, other = await all_nodes.node("a"), all_nodes.courier(there)  # type: ignore[arg-type]
        address = await other.listen(f"unix:{tmp_path}/other")
        all_nodes.places["b"] = NodePlace(address=address, incarnation=presence)
        with pytest.raises(NodeAway, match=sentence) as caught:
            await a.ask("b", "echo", b"", later())
        assert not caught.value.written


async def test_a_node_that_asks_and_is_not_the_one_of_its_presence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with nodes(tmp_path) as all_nodes:
        await all_nodes.node("b")
        a = all_nodes.courier(name("a", incarnation="1"))
        all_nodes.places["a"] = NodePlace(address="unix:/nowhere", incarnation="2")
        with pytest.raises(NodeAway, match="the incarnation '1', and its presence names '2'"):
            await a.ask("b", "echo", b"", later())
    assert "a connection to the cluster's port from this machine was refused: the node 'a' there" in caplog.text


async def test_a_presence_that_names_another_incarnation_ends_the_link(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        b.on("echo", echo)
        assert await a.ask("b", "echo", b"", later()) == b""
        new = await all_nodes.node(name("b", incarnation="2"), address=f"unix:{tmp_path}/new")
        new.on("echo", lambda node, payload: b"new")
        assert await a.ask("b", "echo", b"", later()) == b"new"


async def raw(address: str, data: bytes) -> tuple[bytes, asyncio.StreamWriter]:
    """What a node says to a stranger until it hangs up."""
    reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
    writer.write(data)
    try:
        said = await reader.read()
    except ConnectionError:
        said = b""
    return said, writer


OTHER_VERSION = hello_frame(Hello(sender=name("a"), expected="b", version=2))
GREETED = hello_frame(Hello(sender=name("a"), expected="b"))


async def test_a_node_of_another_version_that_asks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with nodes(tmp_path) as all_nodes:
        await all_nodes.node("b")
        said, writer = await raw(all_nodes.places["b"].address, OTHER_VERSION)
        writer.close()
        sentence = b"the links have version 1 here, and version 2 there"
        assert FrameReader(100).feed(said) == [(FrameType.REFUSED, GREETING, sentence)]
    assert "was refused: the links have version 1 here, and version 2 there" in caplog.text


async def test_a_node_of_another_version_that_is_asked(tmp_path: Path) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OTHER_VERSION)
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(greet, tmp_path / "b")
    async with nodes(tmp_path) as all_nodes:
        a = await all_nodes.node("a")
        all_nodes.places["b"] = NodePlace(address=f"unix:{tmp_path}/b", incarnation="1")
        with pytest.raises(NodeAway, match="this node refuses the link: the links have version 1 here, and"):
            await a.ask("b", "echo", b"", later())
    server.close()


KEEP = frame(FrameType.OPEN, 1, named("keep"))
BREAKS = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: b\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600),
    "zeros": bytes(100_000),
    "random octets": random.Random(7).randbytes(100_000),
    "an empty hello": frame(FrameType.HELLO, GREETING),
    "a refusal": frame(FrameType.REFUSED, GREETING, b"never"),
    "random octets after the hello": GREETED + b"\xff" * 100,
    "a large frame": GREETED + (PIECE + 1).to_bytes(4, "big") + b"\x03\0\0\0\1",
    "a request without its name": GREETED + frame(FrameType.REQUEST, 1, b"\x09e"),
    "a stream without its name": GREETED + frame(FrameType.OPEN, 1, b"\x09e"),
    "a short credit": GREETED + frame(FrameType.CREDIT, 1, b"1"),
    "a short close": GREETED + frame(FrameType.CLOSE, 1, b"1"),
    "an answer": GREETED + frame(FrameType.ANSWER, 1, b"1"),
    "two streams of one number": GREETED + KEEP * 2,
    "two asks of one number": GREETED + frame(FrameType.REQUEST, 1, named("hang")) * 2,
    "no UTF-8": GREETED + KEEP + frame(FrameType.TEXT, 1, b"\xff"),
    "more than the window of a stream": GREETED + KEEP + frame(FrameType.BINARY, 1, bytes(PIECE)) * 2,
}


@pytest.mark.parametrize("data", BREAKS.values(), ids=BREAKS)
async def test_octets_that_break_the_rules_end_their_connection_alone(data: bytes, tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        b.on("echo", echo)
        b.on("hang", Hanging())
        b.on_stream("keep", lambda node, payload, stream: None)
        assert await a.ask("b", "echo", b"", later()) == b""
        said, writer = await raw(all_nodes.places["b"].address, data)
        writer.close()
        found = FrameReader(1000).feed(said)
        assert not found or data.startswith(GREETED) or found[0][0] == FrameType.REFUSED
        assert await a.ask("b", "echo", b"still", later()) == b"still"
        assert len(b._accepted) == 1


async def test_a_message_of_more_octets_than_agreed_ends_the_link(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b", terms=LinkTerms(max_message=2 * PIECE))
        b.on("echo", echo)
        with pytest.raises(NodeAway) as caught:
            await a.ask("b", "echo", bytes(3 * PIECE), later())
        assert caught.value.written
        assert await a.ask("b", "echo", b"small", later()) == b"small"


# The port.


def strangers(address: str, count: int) -> list[socket.socket]:
    """Connections that say nothing."""
    made = []
    for _ in range(count):
        stranger = socket.socket(socket.AF_UNIX)
        stranger.connect(address.removeprefix("unix:"))
        made.append(stranger)
    return made


def ended(stranger: socket.socket) -> bool:
    stranger.setblocking(False)
    try:
        return stranger.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


async def test_strangers_that_say_nothing_keep_no_node_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b", terms=LinkTerms(max_half_open=8))
        b.on("echo", echo)
        made = []
        for _ in range(5):
            made += await asyncio.to_thread(strangers, all_nodes.places["b"].address, 20)
        assert await a.ask("b", "echo", b"", later()) == b""
        await until(lambda: sum(map(ended, made)) >= 92)
        (listener,) = b._listeners
        assert len(listener._half_open) <= 8
        for stranger in made:
            stranger.close()
        await until(lambda: len(listener._half_open) == 0)
        assert await a.ask("b", "echo", b"still", later()) == b"still"
    assert "more than 8 connections have not named their node" in caplog.text
    assert len([record for record in caplog.records if record.name == LOG]) < 50


async def test_a_stranger_that_says_nothing_is_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with nodes(tmp_path) as all_nodes:
        await all_nodes.node("b", terms=LinkTerms(hello_timeout=0.3))
        said, writer = await raw(all_nodes.places["b"].address, GREETED[: HEAD + 3])
        writer.close()
        assert said == b""
    assert "did not name its node within 0.3 s" in caplog.text


async def test_the_file_of_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "b"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()  # as a process that died leaves it
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        b.on("echo", echo)
        assert path.stat().st_mode & 0o777 == 0o600
        assert await a.ask("b", "echo", b"", later()) == b""
        with pytest.raises(OSError, match="another process listens there"):
            await all_nodes.courier(name("b")).listen(f"unix:{path}")
        assert await a.ask("b", "echo", b"still", later()) == b"still"
    assert not path.exists()
    path.write_text("somebody's file")
    async with nodes(tmp_path) as all_nodes:
        with pytest.raises(OSError, match="the file is no socket"):
            await all_nodes.node("b")
    assert path.read_text() == "somebody's file"


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    async with nodes(tmp_path / "missing") as all_nodes:
        with pytest.raises(OSError, match=r"cannot listen at the Unix socket .*missing/b: No such file"):
            await all_nodes.node("b")


async def test_closing_ends_what_waits(tmp_path: Path) -> None:
    async with nodes(tmp_path) as all_nodes:
        a, b = await all_nodes.node("a"), await all_nodes.node("b")
        hanging = Hanging()
        b.on("hang", hanging)
        asked = asyncio.ensure_future(a.ask("b", "hang", b"", later()))
        await hanging.asked.wait()
        await a.close()
        with pytest.raises(NodeAway, match="this node closes its links"):
            await asked
        with pytest.raises(NodeAway, match="this node closes its links"):
            await a.ask("b", "hang", b"", later())
        await hanging.cancelled.wait()
        await asyncio.wait_for(b.close(), PATIENCE)
