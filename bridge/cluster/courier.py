"""Ask other nodes, and open streams to them, over one link to each, which is dialled when it is first needed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from msgspec import Struct

from bridge.cluster.errors import NodeAway, NodeTimedOut
from bridge.cluster.hello import NodeName
from bridge.cluster.link_listener import LinkListener
from bridge.cluster.link_streams import NodeStream
from bridge.cluster.link_tls import LinkTLS, tls_failure
from bridge.cluster.links import AcceptedLink, AskHandler, DialledLink, Handlers, LinkTerms, NodeLink, StreamHandler
from bridge.cluster.node_addresses import TCPAddress, UnixAddress, read_address
from bridge.errors import Complaint, ConfigurationError
from bridge.net.descriptors import OURS, Purpose
from bridge.net.tasks import Tasks

_log = logging.getLogger("bridge.cluster")
# The ticks of a link in one lease.
_TICKS = 10
# Seconds for which a node is not dialled again after that failed.
_PAUSE = 0.1
# Seconds in which the peers can read what was written before the links are closed.
_CLOSE_TIMEOUT = 0.5


class NodePlace(Struct, frozen=True, kw_only=True):
    """Where a node is, as its presence says.

    Attributes:
        address: `unix:/path` or `tcp://host:port`.
        incarnation: The incarnation of its process.
    """

    address: str
    incarnation: str


class _Failure(Struct, frozen=True):
    """A node could not be dialled."""

    place: NodePlace
    text: str
    at: float


class Courier:
    """The links of this node to all others.

    Deadlines are times of the event loop's clock. A handler gets the name of the node and the payload.

    Args:
        own: The process on this side.
        find: Returns where a node is; None if it has no presence.
        tls: The TLS of links over TCP; None for plain TCP, which only works on the loopback interface.
        terms: The settings of links.
    """

    def __init__(
        self,
        own: NodeName,
        find: Callable[[str], NodePlace | None],
        *,
        tls: LinkTLS | None = None,
        terms: LinkTerms | None = None,
    ) -> None:
        self._own = own
        self._find = find
        self._tls = tls
        self._terms = terms or LinkTerms()
        self._handlers = Handlers()
        self._tasks = Tasks()
        self._listeners: list[LinkListener] = []
        self._links: dict[str, DialledLink] = {}
        self._dialling: dict[str, asyncio.Task[DialledLink | _Failure]] = {}
        self._failures: dict[str, _Failure] = {}
        self._accepted: dict[AcceptedLink, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._ticked = 0.0
        self._closed = False

    def __repr__(self) -> str:
        return f"<courier of {self._own.node}, dialled {sorted(self._links)}, accepted {len(self._accepted)}>"

    # Methods for the owner.

    def on(self, kind: str, handler: AskHandler) -> None:
        """Answer asks of `kind` with `handler`. See `AskHandler`. It raises NodeRefused to answer with an error."""
        self._handlers.asks[kind.encode()] = handler

    def on_stream(self, kind: str, handler: StreamHandler) -> None:
        """Serve streams of `kind` with `handler`. See `StreamHandler`. It raises NodeRefused to refuse a stream."""
        self._handlers.streams[kind.encode()] = handler

    async def listen(self, address: str) -> str:
        """Accept links at `address`, besides those before.

        Args:
            address: `unix:/path` or `tcp://host:port`; port 0 stands for any free port.

        Returns: The address for the node's presence, with the port that it got.

        Raises:
            ConfigurationError: The address is none, or is TCP without TLS that other machines can reach.
            OSError: It is not possible to listen there.
        """
        try:
            place = read_address(address)
        except ValueError as error:
            raise _misconfigured(str(error)) from None
        tls = None
        if isinstance(place, TCPAddress):
            tls = None if self._tls is None else self._tls.listener
            if tls is None and not place.is_loopback:
                raise _misconfigured(f"{address} can be reached by other machines, and needs [cluster.tls]")
            if tls is None:
                _log.warning(
                    "links to %s have no TLS: every program on this machine can pose as a node (cluster.tls)", address
                )
        listener = LinkListener(self._terms, tls, self._accept, self._tasks)
        bound = await listener.listen(place)
        self._listeners.append(listener)
        self._start_ticking()
        return str(bound)

    async def ask(self, node: str, kind: str, payload: bytes, deadline: float) -> bytes:
        """Ask a node. A call that is cancelled cancels the handler at the other node.

        Args:
            node: The name of the node.
            kind: The name of the handler there.
            payload: What the handler gets.
            deadline: When to give up, as a time of the event loop's clock.

        Returns: The payload of the answer.

        Raises:
            NodeAway: The node is not reachable, or the link ended before the answer.
            NodeTimedOut: The deadline passed before the answer.
            NodeRefused: The node answered with an error.
            ValueError: The payload is too large for a link.
        """
        link = self._open_link(node) or await self._dialled(node, kind, deadline)
        return await link.ask(kind, payload, deadline)

    def has_link(self, node: str) -> bool:
        """Return whether there is a link to a node, so that it is asked at once."""
        return self._open_link(node) is not None

    async def reach(self, node: str, deadline: float) -> None:
        """Have a link to a node, for what it is asked later. Raises NodeAway or NodeTimedOut as `ask` does."""
        if self._open_link(node) is None:
            await self._dialled(node, "link", deadline)

    async def open(self, node: str, kind: str, payload: bytes, deadline: float) -> NodeStream:
        """Open a stream to a node.

        Args:
            node: The name of the node.
            kind: The name of the handler there.
            payload: What the handler gets besides the stream.
            deadline: When to give up the opening, as a time of the event loop's clock.

        Returns: The stream, once the handler has accepted it.

        Raises:
            NodeAway: The node is not reachable, or the link ended before the answer.
            NodeTimedOut: The deadline passed before the answer.
            NodeRefused: The node refused the stream.
            ValueError: The payload is too large for a link.
        """
        link = self._open_link(node) or await self._dialled(node, kind, deadline)
        return await link.open(kind, payload, deadline)

    async def close(self) -> None:
        """End all links, and accept no more. Handlers that run are cancelled."""
        self._closed = True
        for listener in self._listeners:
            await listener.close()
        links = [*self._links.values(), *self._accepted]
        for link in links:
            link.close("this node closes its links")
        await self._tasks.close()
        if links:
            await asyncio.wait([link.gone for link in links], timeout=_CLOSE_TIMEOUT)
        for link in links:
            link.fail("this node closes its links")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Links that this node dials.

    def _open_link(self, node: str) -> DialledLink | None:
        """Return the link to a node, None if it has to be dialled."""
        link = self._links.get(node)
        if link is not None:
            place = self._find(node)
            if place is not None and place.incarnation != link.incarnation:
                link.fail(f"its presence names another incarnation, {place.incarnation!r}")
                return None
        return link

    async def _dialled(self, node: str, kind: str, deadline: float) -> DialledLink:
        """Dial a node, once for all that ask it meanwhile."""
        loop = asyncio.get_running_loop()
        place = self._find(node)
        if self._closed:
            raise NodeAway(node, "this node closes its links", written=False)
        if place is None:
            raise NodeAway(node, "it has no presence in the cluster", written=False)
        failure = self._failures.get(node)
        if failure is not None and failure.place == place and loop.time() < failure.at + _PAUSE:
            raise NodeAway(node, failure.text, written=False)
        task = self._dialling.get(node)
        if task is None:
            task = self._dialling[node] = self._tasks.spawn(self._dial(node, place), name=f"dial the node {node}")
            self._start_ticking()
        await asyncio.wait((task,), timeout=max(0.0, deadline - loop.time()))
        if not task.done():
            raise NodeTimedOut(node, kind, written=False)
        result = _Failure(place, "this node closes its links", loop.time()) if task.cancelled() else task.result()
        if isinstance(result, _Failure):
            raise NodeAway(node, result.text, written=False)
        return result

    async def _dial(self, node: str, place: NodePlace) -> DialledLink | _Failure:
        link = DialledLink(self._own, node, place.incarnation, self._terms, self._ended)
        try:
            async with asyncio.timeout(self._terms.lease):
                await self._connect(link, place.address)
                await link.ready
        except TimeoutError:
            link.fail(f"it did not answer the greeting within {self._terms.lease:g} s")
        except (OSError, ValueError) as error:
            link.fail(f"{place.address}: {tls_failure(error)}")
        except asyncio.CancelledError:
            link.fail("this node closes its links")
            raise
        finally:
            del self._dialling[node]
        if link.ended:
            self._failures[node] = failure = _Failure(place, link.ended, asyncio.get_running_loop().time())
            return failure
        self._failures.pop(node, None)
        self._links[node] = link
        _log.info("there is a link to the node %s at %s", node, place.address)
        return link

    async def _connect(self, link: DialledLink, address: str) -> None:
        """Connect to `address`.

        Raises:
            OSError: It is not reachable.
            ValueError: It is no address, or one for which TLS is missing.
        """
        loop, place, tls = asyncio.get_running_loop(), read_address(address), None
        if isinstance(place, TCPAddress):
            tls = None if self._tls is None else self._tls.dialler
            if tls is None and not place.is_loopback:
                raise ValueError("another machine is dialled with TLS only, and [cluster.tls] is missing")
        lease = OURS.lease(Purpose.ADMIN)
        if lease is None:
            raise OSError("no file descriptor is left")
        link.on_lost = lease.end
        try:
            if isinstance(place, UnixAddress):
                await loop.create_unix_connection(lambda: link, place.path)
            else:
                name = None if tls is None else place.host
                await loop.create_connection(lambda: link, place.host, place.port, ssl=tls, server_hostname=name)
        except BaseException:
            lease.end()
            raise

    # Links that this node accepts.

    def _accept(self, on_hello: Callable[[AcceptedLink, str], None]) -> AcceptedLink:
        def greeted(link: AcceptedLink, refused: str) -> None:
            on_hello(link, refused)
            if not refused:
                self._accepted[link] = None
                _log.info("there is a link from the node %s", link.node)

        return AcceptedLink(
            self._own, self._terms, self._handlers, self._tasks, self._incarnation_of, greeted, self._ended
        )

    def _incarnation_of(self, node: str) -> str:
        place = self._find(node)
        return "" if place is None else place.incarnation

    # All links.

    def _ended(self, link: NodeLink) -> None:
        way = "from" if isinstance(link, AcceptedLink) else "to"
        if isinstance(link, AcceptedLink):
            self._accepted.pop(link, None)
        elif self._links.get(link.node) is link:
            del self._links[link.node]
        if link.greeted and not self._closed:
            _log.info("a link %s the node %s ended: %s", way, link.node, link.ended)

    def _start_ticking(self) -> None:
        if self._timer is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._ticked = loop.time()
            self._timer = loop.call_later(self._terms.lease / _TICKS, self._tick)

    def _tick(self) -> None:
        """Look whether the peers are alive.

        A turn of the event loop that comes late, because this process was stopped itself, counts as a short silence:
        what the peers said meanwhile has not been read yet.
        """
        loop, pause = asyncio.get_running_loop(), self._terms.lease / _TICKS
        now = loop.time()
        elapsed, self._ticked = min(now - self._ticked, 2 * pause), now
        self._timer = loop.call_later(pause, self._tick)
        for link in [*self._links.values(), *self._accepted]:
            link.tick(elapsed)


def _misconfigured(text: str) -> ConfigurationError:
    return ConfigurationError([Complaint(source="configuration", key="cluster.listen", text=text)])
