"""One connection between two nodes: the greeting, asks and their answers, streams, and whether the peer is alive.

The side that dialled asks and opens streams, and the side that accepted answers. So there are two links between two
nodes that both ask. All that a turn of the event loop has to say is written at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from msgspec import Struct

from bridge.cluster.errors import NodeAway, NodeRefused, NodeTimedOut, RefusalCode
from bridge.cluster.hello import Hello, HelloRefused, NodeName, check_hello, hello_frame, read_hello, refused_frame
from bridge.cluster.link_frames import PIECE, FrameReader, FrameType, named, split_name
from bridge.cluster.link_streams import NodeStream
from bridge.cluster.link_tls import tls_failure
from bridge.cluster.send_queue import SendQueue
from bridge.errors import BridgeError
from bridge.net.tasks import Tasks

_log = logging.getLogger("bridge.cluster")
# Pieces of large messages that are written in one turn of the event loop.
_PIECES_A_TURN = 4
# Octets that may wait until streams hold back their frames.
_ROOM = 1_048_576
# Octets of the text of an error, which go into one frame with its code.
_MOST_OF_TEXT = PIECE - 256
_INTERNAL_ERROR, _GOING_AWAY = 1011, 1001
_NUMBERS = 0xFFFF_FFFF

AskHandler = Callable[[str, bytes], bytes | Awaitable[bytes]]
"""Answers asks of one kind: gets the name of the asking node and the payload, and returns the payload of the answer.

An answer that is returned at once, or as a future, takes no task.
"""
StreamHandler = Callable[[str, bytes, NodeStream], Awaitable[None] | None]
"""Serves streams of one kind: gets the name of the opening node, the payload, and the stream.

The stream is open when the handler has used it, or returned. An error before that refuses the stream.
"""


class LinkTerms(Struct, frozen=True, kw_only=True):
    """The settings of links. Times are in seconds, sizes in octets.

    Attributes:
        ping_interval: Silence of the peer after which it is sent a Ping.
        lease: Silence of the peer after which the link ends.
        max_message: The largest payload of an ask, of an answer and of a frame of a stream.
        max_unsent: What may wait for the peer to read. Beyond it, asks fail at once, on both sides.
        max_requests: The most asks of one peer that are handled at once.
        hello_timeout: The time from the start of a connection to the end of its greeting.
        max_half_open: The most accepted connections whose greeting is not over. One more ends the oldest.
    """

    ping_interval: float = 1.0
    lease: float = 2.5
    max_message: int = 16_777_216
    max_unsent: int = 67_108_864
    max_requests: int = 20_000
    hello_timeout: float = 5.0
    max_half_open: int = 64


class NodeLink(asyncio.Protocol):
    """One connection to another node.

    Args:
        own: The process on this side.
        terms: The settings.
        on_end: Called once with the link when it has ended.

    Attributes:
        node: The name of the other node; "" before the greeting.
        greeted: Whether the greeting is over.
        on_lost: Called when the connection is closed.
        gone: Done when the connection is closed.
        ended: Why the link ended; "" as long as it has not.
    """

    def __init__(self, own: NodeName, terms: LinkTerms, on_end: Callable[[NodeLink], None]) -> None:
        self.node = ""
        self.greeted = False
        self.ended = ""
        self.on_lost: Callable[[], None] | None = None
        self.most = terms.max_message
        self._own = own
        self._terms = terms
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._reader = FrameReader(terms.max_message)
        self._queue = SendQueue()
        self._wire: asyncio.Transport | None = None
        self._streams: dict[int, NodeStream] = {}
        self._held: dict[NodeStream, None] = {}
        self._paused = False
        self._flushes = False  # a flush comes at the end of this turn
        self._heard = False
        self._silence = 0.0
        self._pings = 0

    # Methods for the courier.

    def tick(self, elapsed: float) -> None:
        """Count seconds in which the peer may have been silent: send a Ping, or end the link."""
        if not self.greeted or self.ended:
            return
        if self._heard:
            self._heard, self._silence, self._pings = False, 0.0, 0
            return
        self._silence += elapsed
        if self._silence >= self._terms.lease:
            self.fail(f"it sent nothing for {self._terms.lease:g} s")
        elif self._silence >= self._terms.ping_interval * (self._pings + 1):
            self._pings += 1
            self.put_first(FrameType.PING, 0)

    def close(self, why: str) -> None:
        """End the link after what waits to be written, as far as the peer reads it at once."""
        if not self.ended:
            self._flush()
            self._end(why)
            if self._wire is not None:
                self._wire.close()

    def fail(self, why: str) -> None:
        """End the link at once."""
        if not self.ended:
            self._end(why)
        if self._wire is not None:
            self._wire.abort()

    # Methods for streams.

    @property
    def takes(self) -> bool:
        """Whether there is room for frames of streams."""
        return not self._paused and self._queue.size < _ROOM

    def put(self, kind: int, number: int, payload: bytes = b"") -> int:
        """Send a message after the others of its number. Returns its ticket."""
        if not self._flushes:
            self._flush_later()
        return self._queue.put(kind, number, payload)

    def put_first(self, kind: int, number: int, payload: bytes = b"") -> None:
        """Send a small message now, even if it overtakes others of its number."""
        if not self._flushes:
            self._flush_later()
        self._queue.put_first(kind, number, payload)

    def hold(self, stream: NodeStream) -> None:
        """Call the stream's `pump` when there is room again."""
        self._held[stream] = None
        if not self._flushes:
            self._flush_later()

    def forget(self, number: int, *, drop: bool) -> None:
        """Forget a stream that has ended. With `drop`, drop what it still had to send."""
        stream = self._streams.pop(number, None)
        if stream is not None:
            self._held.pop(stream, None)
        if drop:
            self._drop(number)

    # Callbacks of asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._wire = transport
        transport.set_write_buffer_limits(high=PIECE)
        if self.ended:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self._flushes = True  # what this turn sends is written below
        for kind, number, payload in self._reader.feed(data):
            if self.ended:
                return
            if self.greeted:
                self._received(kind, number, payload)
            else:
                self._greet(kind, payload)
        if self._reader.broken:
            self._break(self._reader.broken)
        elif not self.ended:
            self._flush()

    def eof_received(self) -> bool | None:
        self.fail(self._hung_up())
        return None

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended:
            self._end(self._hung_up() if exc is None else f"the link broke: {tls_failure(exc)}")
        if not self.gone.done():
            self.gone.set_result(None)
        if self.on_lost is not None:
            self.on_lost()

    # What the two sides do differently.

    def _greet(self, kind: int, payload: bytes) -> None:
        """Handle the first message."""
        raise NotImplementedError

    def _took(self, kind: int, number: int, payload: bytes) -> bool:
        """Handle a message that this side may receive. Returns False if it is none."""
        raise NotImplementedError

    def _dropped(self, why: str) -> None:
        """Settle all that waits for the link: it has ended."""
        raise NotImplementedError

    # Private methods.

    def _received(self, kind: int, number: int, payload: bytes) -> None:
        if self._took(kind, number, payload):
            return
        stream = self._streams.get(number)
        if kind == FrameType.TEXT or kind == FrameType.BINARY:
            if stream is not None:
                self._received_frame(stream, kind, payload)
        elif kind == FrameType.CREDIT and len(payload) == 4:
            if stream is not None:
                stream.credited(int.from_bytes(payload, "big"))
        elif kind == FrameType.CLOSE and len(payload) >= 2:
            if stream is not None:
                stream.closed_by(payload)
        elif kind == FrameType.PING:
            self.put_first(FrameType.PONG, 0)
        elif kind != FrameType.PONG and kind != FrameType.CANCEL:
            self._break(f"a message of type {kind} with {len(payload)} octets, which this side does not expect")

    def _received_frame(self, stream: NodeStream, kind: int, payload: bytes) -> None:
        try:
            broken = stream.received(kind, payload)
        except Exception:
            _log.exception("the receiver of a stream with the node %s failed", self.node)
            stream.close(_INTERNAL_ERROR, "the receiver failed")
            return
        if broken:
            self._break(broken)

    def _hung_up(self) -> str:
        # A listener that dislikes a certificate closes without a word: asyncio drops the alert of TLS.
        return "it closed the link" if self.greeted else "it closed the link before its greeting, its log says why"

    def _break(self, why: str) -> None:
        """End the link, because the peer broke its rules."""
        _log.warning("the link with the node %s breaks: %s", self.node or "?", why)
        self.fail(f"it broke the rules of the link: {why}")

    def _drop(self, number: int) -> bool:
        """Drop what has this number and waits. Returns whether the peer is told to drop the beginning of it."""
        begun = self._queue.drop(number)
        if begun and not self._flushes:
            self._flush_later()
        return begun

    def _flush_later(self) -> None:
        self._flushes = True
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write what waits, as long as the peer reads."""
        self._flushes = False
        if self.ended or self._wire is None:
            return
        pieces = 0
        while self._queue and not self._paused:
            self._wire.write(self._queue.take())
            pieces += 1
            if pieces == _PIECES_A_TURN and self._queue:
                self._flush_later()
                return
        if self._held and self.takes:
            held, self._held = self._held, {}
            for stream in held:
                stream.pump()

    def _end(self, why: str) -> None:
        self.ended = why
        for stream in list(self._streams.values()):
            stream.lost(f"the link to the node {self.node!r} ended: {why}")
        self._dropped(why)
        self._on_end(self)


class _Asked:
    """An ask, or the opening of a stream, whose answer has not come."""

    __slots__ = ("answer", "kind", "ticket")

    def __init__(self, kind: str, answer: asyncio.Future[Any], ticket: int) -> None:
        self.kind = kind
        self.answer = answer
        self.ticket = ticket


class DialledLink(NodeLink):
    """A link that this node dialled: it asks, and opens streams.

    Args:
        own: The process on this side.
        node: The name of the node to reach.
        incarnation: Its incarnation.
        terms: The settings.
        on_end: Called once with the link when it has ended.

    Attributes:
        ready: Done when the greeting is over, or the link has ended.
        incarnation: The incarnation of the other node.
    """

    def __init__(
        self, own: NodeName, node: str, incarnation: str, terms: LinkTerms, on_end: Callable[[NodeLink], None]
    ) -> None:
        super().__init__(own, terms, on_end)
        self.node = node
        self.incarnation = incarnation
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self._asked: dict[int, _Asked] = {}
        self._number = 0
        self._names: dict[str, bytes] = {}

    async def ask(self, kind: str, payload: bytes, deadline: float) -> bytes:
        """Ask the node. See `Courier.ask`."""
        number, answer = self._sent(FrameType.REQUEST, kind, payload)
        timer = self._loop.call_at(deadline, self._time_out, number)
        try:
            result: bytes = await answer
            return result
        finally:
            timer.cancel()
            if number in self._asked:
                self._give_up(number)

    async def open(self, kind: str, payload: bytes, deadline: float) -> NodeStream:
        """Open a stream. See `Courier.open`."""
        number, answer = self._sent(FrameType.OPEN, kind, payload)
        timer = self._loop.call_at(deadline, self._time_out, number)
        try:
            stream: NodeStream = await answer
            return stream
        except asyncio.CancelledError:
            if number in self._streams:  # it was opened, and its opener is cancelled in the same turn
                self._streams[number].close(_GOING_AWAY, "the opener gave up")
            raise
        finally:
            timer.cancel()
            if number in self._asked:
                self._give_up(number)

    def _sent(self, kind: int, name: str, payload: bytes) -> tuple[int, asyncio.Future[Any]]:
        if self.ended:
            raise NodeAway(self.node, self.ended, written=False)
        if self._queue.size > self._terms.max_unsent:
            text = f"more than {self._terms.max_unsent} octets wait for it to read"
            raise NodeAway(self.node, text, written=False)
        prefix = self._names.get(name)
        if prefix is None:
            prefix = self._names[name] = named(name)
        if len(prefix) + len(payload) > self.most:
            raise ValueError(f"a payload of {len(payload)} octets for {name!r}, more than fits into {self.most}")
        number = self._next_number()
        answer = self._loop.create_future()
        self._asked[number] = _Asked(name, answer, self.put(kind, number, prefix + payload))
        return number, answer

    def _next_number(self) -> int:
        while True:
            self._number = self._number % _NUMBERS + 1
            if self._number not in self._asked and self._number not in self._streams:
                return self._number

    def _time_out(self, number: int) -> None:
        asked = self._asked.get(number)
        if asked is not None:
            error = NodeTimedOut(self.node, asked.kind, written=not self._give_up(number))
            if not asked.answer.done():
                asked.answer.set_exception(error)

    def _give_up(self, number: int) -> bool:
        """Cancel an ask. Returns whether nothing of it was written, and nothing will be."""
        asked = self._asked.pop(number)
        if self._queue.withdraw(asked.ticket, number):
            return True
        if not self._drop(number):
            self.put_first(FrameType.CANCEL, number)
        return False

    # Methods of NodeLink.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        hello = Hello(sender=self._own, expected=self.node, expected_incarnation=self.incarnation)
        assert self._wire is not None
        self._wire.write(hello_frame(hello))

    def _greet(self, kind: int, payload: bytes) -> None:
        if kind == FrameType.REFUSED:
            self.fail(f"it refuses the link: {payload.decode(errors='replace')}")
            return
        try:
            check_hello(read_hello(payload), self._own, node=self.node, incarnation=self.incarnation)
        except HelloRefused as refused:
            self.fail(f"this node refuses the link: {refused}")
            return
        self.greeted = True
        if not self.ready.done():
            self.ready.set_result(None)

    def _took(self, kind: int, number: int, payload: bytes) -> bool:
        if kind == FrameType.ANSWER:
            asked = self._asked.pop(number, None)
            if asked is not None and not asked.answer.done():
                asked.answer.set_result(payload)
            return True
        if kind == FrameType.ERROR:
            try:
                code, text = split_name(payload)
            except ValueError:
                return False
            asked = self._asked.pop(number, None)
            if asked is not None and not asked.answer.done():
                asked.answer.set_exception(NodeRefused(code.decode(errors="replace"), text.decode(errors="replace")))
            return True
        if kind == FrameType.OPENED:
            asked = self._asked.get(number)
            # An opener that is cancelled in this turn sends its CANCEL later.
            if asked is not None and not asked.answer.done():
                del self._asked[number]
                self._streams[number] = stream = NodeStream(self, number, opened=True)
                asked.answer.set_result(stream)
            return True
        return False

    def _dropped(self, why: str) -> None:
        if not self.ready.done():
            self.ready.set_result(None)
        asked_all, self._asked = self._asked, {}
        for number, asked in asked_all.items():
            if not asked.answer.done():
                written = not self._queue.waits(asked.ticket, number)
                asked.answer.set_exception(NodeAway(self.node, why, written=written))


class Handlers:
    """What this node answers.

    Attributes:
        asks: The handlers of asks, by kind.
        streams: The handlers of streams, by kind.
    """

    def __init__(self) -> None:
        self.asks: dict[bytes, AskHandler] = {}
        self.streams: dict[bytes, StreamHandler] = {}


class AcceptedLink(NodeLink):
    """A link that another node dialled: this node answers.

    Args:
        own: The process on this side.
        terms: The settings.
        handlers: What this node answers.
        tasks: The owner of the tasks of handlers.
        incarnation_of: Returns the incarnation that a node's presence names; "" if it is not known.
        on_hello: Called with the link, and why it is refused, "" if it is not.
        on_end: Called once with the link when it has ended.
    """

    def __init__(
        self,
        own: NodeName,
        terms: LinkTerms,
        handlers: Handlers,
        tasks: Tasks,
        incarnation_of: Callable[[str], str],
        on_hello: Callable[[AcceptedLink, str], None],
        on_end: Callable[[NodeLink], None],
    ) -> None:
        super().__init__(own, terms, on_end)
        self._handlers = handlers
        self._tasks = tasks
        self._incarnation_of = incarnation_of
        self._on_hello = on_hello
        # The tasks and futures of handlers, by the number of the ask, or of the stream.
        self._running: dict[int, asyncio.Future[Any]] = {}
        self._serving: dict[int, asyncio.Task[Any]] = {}

    # Methods of NodeLink.

    def _greet(self, kind: int, payload: bytes) -> None:
        try:
            if kind != FrameType.HELLO:
                raise HelloRefused("the first message is no greeting of a node that asks")
            hello = read_hello(payload)
            check_hello(hello, self._own, incarnation=self._incarnation_of(hello.sender.node))
        except HelloRefused as refused:
            self._on_hello(self, str(refused))
            assert self._wire is not None
            self._wire.write(refused_frame(str(refused)))
            self.close(str(refused))
            return
        self.node, self.greeted = hello.sender.node, True
        assert self._wire is not None
        self._wire.write(hello_frame(Hello(sender=self._own, expected=self.node)))
        self._on_hello(self, "")

    def _break(self, why: str) -> None:
        if self.greeted:
            super()._break(why)
        else:
            self._on_hello(self, why)
            self.fail(why)

    def _took(self, kind: int, number: int, payload: bytes) -> bool:
        if kind == FrameType.REQUEST:
            self._requested(number, payload)
        elif kind == FrameType.OPEN:
            self._opened(number, payload)
        elif kind == FrameType.CANCEL:
            self._cancelled(number)
        else:
            return False
        return True

    def _dropped(self, why: str) -> None:
        running, self._running = self._running, {}
        for future in running.values():
            future.cancel()
        # The handlers of accepted streams see that the stream has ended.

    # Asks.

    def _requested(self, number: int, payload: bytes) -> None:
        try:
            name, body = split_name(payload)
        except ValueError as error:
            self._break(str(error))
            return
        handler = self._handlers.asks.get(name)
        if handler is None:
            self._refuse(number, RefusalCode.UNKNOWN_KIND, f"the node {self._own.node!r} answers no {_text(name)!r}")
            return
        if len(self._running) >= self._terms.max_requests or self._queue.size > self._terms.max_unsent:
            text = f"it handles {len(self._running)} asks, and {self._queue.size} octets wait for their reader"
            self._refuse(number, RefusalCode.BUSY, f"the node {self._own.node!r} is busy: {text}")
            return
        if number in self._running:
            self._break(f"a second ask of the number {number}")
            return
        try:
            answer = handler(self.node, body)
        except Exception as error:
            self._failed(number, name, error)
            return
        if isinstance(answer, bytes):
            self._answer(number, name, answer)
        elif isinstance(answer, asyncio.Future):
            self._running[number] = answer
            answer.add_done_callback(partial(self._future_done, number, name))
        else:
            self._running[number] = self._spawn(self._handle(number, name, answer), answer)

    def _spawn(self, waiting: Coroutine[Any, Any, None], handler: Awaitable[Any]) -> asyncio.Task[None]:
        """Start a task that waits for a handler."""
        task = self._tasks.spawn(waiting, name=f"handler for the node {self.node}")
        if isinstance(handler, Coroutine):
            task.add_done_callback(lambda _: handler.close())  # a task that is cancelled at once has not begun
        return task

    async def _handle(self, number: int, name: bytes, awaitable: Awaitable[bytes]) -> None:
        try:
            answer = await awaitable
        except Exception as error:
            if self._running.pop(number, None) is not None:
                self._failed(number, name, error)
        except asyncio.CancelledError as error:
            if self._running.pop(number, None) is not None:  # nobody but the handler itself cancelled it
                self._failed(number, name, error)
            raise
        else:
            if self._running.pop(number, None) is not None:
                self._answer(number, name, answer)

    def _future_done(self, number: int, name: bytes, future: asyncio.Future[bytes]) -> None:
        if self._running.pop(number, None) is None:
            return
        if future.cancelled():
            self._failed(number, name, asyncio.CancelledError("the answer was cancelled"))
        elif (error := future.exception()) is not None:
            self._failed(number, name, error)
        else:
            self._answer(number, name, future.result())

    def _answer(self, number: int, name: bytes, answer: bytes) -> None:
        if len(answer) > self.most:
            self._failed(number, name, ValueError(f"an answer of {len(answer)} octets, more than {self.most}"))
        else:
            self.put(FrameType.ANSWER, number, answer)

    def _failed(self, number: int, name: bytes, error: BaseException) -> None:
        """Answer with an error. Log it unless a handler says so on purpose."""
        match error:
            case NodeRefused():
                self._refuse(number, error.code, error.text)
            case BridgeError():
                self._refuse(number, error.code.value, error.description)
            case _:
                _log.error(
                    "the handler of %r, asked by the node %s, failed: %r", _text(name), self.node, error, exc_info=error
                )
                text = f"the node {self._own.node!r} failed at {_text(name)!r}"
                self._refuse(number, RefusalCode.INTERNAL_ERROR, text)

    def _refuse(self, number: int, code: str, text: str) -> None:
        name = code.encode()[:255].decode(errors="ignore")
        self.put(FrameType.ERROR, number, named(name) + text.encode()[:_MOST_OF_TEXT])

    def _cancelled(self, number: int) -> None:
        """The peer wants no answer any more."""
        running = self._running.pop(number, None)
        if running is not None:
            running.cancel()
        stream = self._streams.get(number)
        if stream is not None:
            serving = None if stream.is_accepted else self._serving.pop(number, None)
            stream.closed_by(_GOING_AWAY.to_bytes(2, "big") + b"the opener gave up")
            if serving is not None:
                serving.cancel()
        else:
            self._drop(number)

    # Streams.

    def _opened(self, number: int, payload: bytes) -> None:
        try:
            name, body = split_name(payload)
        except ValueError as error:
            self._break(str(error))
            return
        handler = self._handlers.streams.get(name)
        if handler is None:
            text = f"the node {self._own.node!r} has no streams of {_text(name)!r}"
            self._refuse(number, RefusalCode.UNKNOWN_KIND, text)
            return
        if number in self._streams:
            self._break(f"a second stream of the number {number}")
            return
        self._streams[number] = stream = NodeStream(self, number, opened=False)
        try:
            serving = handler(self.node, body, stream)
        except Exception as error:
            self._stream_failed(number, name, stream, error)
            return
        if serving is None:
            stream.accept()
        else:
            self._serving[number] = self._spawn(self._serve(number, name, stream, serving), serving)

    async def _serve(self, number: int, name: bytes, stream: NodeStream, serving: Awaitable[None]) -> None:
        try:
            await serving
        except Exception as error:
            self._stream_failed(number, name, stream, error)
        except asyncio.CancelledError as error:
            if number in self._serving:
                self._stream_failed(number, name, stream, error)
            raise
        else:
            if stream.closed is None:
                stream.accept()
        finally:
            self._serving.pop(number, None)

    def _stream_failed(self, number: int, name: bytes, stream: NodeStream, error: BaseException) -> None:
        if stream.closed is not None:
            if not isinstance(error, asyncio.CancelledError):
                _log.error("the handler of a stream of %r failed: %r", _text(name), error, exc_info=error)
        elif stream.is_accepted:
            _log.error("the handler of a stream of %r failed: %r", _text(name), error, exc_info=error)
            stream.close(_INTERNAL_ERROR, "the handler failed")
        else:
            self._failed(number, name, error)
            stream.refuse()


def _text(name: bytes) -> str:
    return name.decode(errors="replace")
