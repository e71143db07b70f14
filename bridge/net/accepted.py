"""Connections to the OCPP-J listener, from their first octet to the answer to the handshake.

The head of a handshake has limits and a deadline. Requests that are not handshakes are refused. The listener decides
whether a handshake is accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidMessage, SecurityError
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from bridge.errors import Why
from bridge.net.limits.connections import LimitedConnection
from bridge.net.limits.head import HeadLimits
from bridge.net.listening import may_half_close
from bridge.net.proxies.preamble import SIGNATURES
from bridge.net.proxies.rules import Origin
from bridge.net.websocket import SILENT, TOO_BIG, WebSocketBounds, WebSocketConnection


class AcceptedWebSocket(LimitedConnection, WebSocketConnection):
    """A connection that a peer opened to the listener. The listener sets the attributes on a subclass of its own.

    Attributes:
        shared_bounds: The limits of a connection.
        shared_ping_interval: Seconds between two Pings, None for no Pings.
        open_timeout: Seconds until the handshake must be complete.
        asked: Called with the request of a handshake.
        foreign: The response to a request other than GET.
        foreign_told: Called with the IP address that sent such a request.
        connections: The open connections of the listener.
    """

    shared_bounds: WebSocketBounds
    shared_ping_interval: float | None
    open_timeout: float
    asked: Callable[[AcceptedWebSocket, Request], None]
    foreign: bytes
    foreign_told: Callable[[str], None]
    connections: set[AcceptedWebSocket]

    def __init__(self) -> None:
        protocol = ServerProtocol(max_size=self.shared_bounds.max_size, logger=SILENT)
        super().__init__(protocol, self.shared_bounds, self.shared_ping_interval)
        self._protocol = protocol
        self._head: HeadLimits | None = None
        self._opening: list[asyncio.TimerHandle] = []
        self._begun = self._judged = self._waits = False
        self._agreed: str | None = None
        self.half_closed = False
        """Whether the peer has closed its half before its handshake was answered."""

    @property
    def subprotocol(self) -> str | None:
        return self._agreed

    @property
    def remote_address(self) -> tuple[str, int]:
        """The IP address and port of the peer, also behind a proxy. Port 0 is not known."""
        return self.came.address, self.came.port

    def sent_by(self, headers: Headers) -> Origin:
        """Set and return the peer of the connection, from the header fields of its handshake. Raises Misled."""
        self.came = self.proxies.origin(self.came, headers.get_all)
        return self.came

    # The answer to the handshake.

    def accept(self, request: Request, subprotocol: str | None) -> bool:
        """Complete the handshake with `subprotocol`, None for none. Return False if it is not valid and was refused."""
        self._waits = False
        response = self._protocol.accept(request)
        response.headers["Server"] = "ocpp-bridge"
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS and subprotocol is not None:
            self._agreed = response.headers["Sec-WebSocket-Protocol"] = subprotocol
        self._look_at_handshake()
        self._answer(response)
        if self.is_open:
            self.opened_websocket()
        return self.is_open

    def refuse(self, response: Response) -> None:
        """Answer the handshake with `response`, which opens no WebSocket."""
        self._judged = True
        self._waits = False
        self._answer(response)

    def abort_opening(self) -> None:
        """Refuse a handshake that is not answered yet, or close the connection: the listener closes."""
        if self._waits:
            self.refuse(self._protocol.reject(HTTPStatus.SERVICE_UNAVAILABLE, "The bridge is shutting down.\n"))
        else:
            self._wire.close()

    def _answer(self, response: Response) -> None:
        self._settle_head()
        self._protocol.send_response(response)
        self._flush()
        if self.half_closed:
            self.end_half_closed()

    def end_half_closed(self) -> None:
        """Close a connection whose peer has closed its half: it cannot carry a WebSocket."""
        self.protocol.receive_eof()
        self._wire.close()

    # Received octets.

    def opened(self) -> None:
        self.connections.add(self)
        rules, loop = self.connection_limits.rules, asyncio.get_running_loop()
        self._head = HeadLimits(most_octets=rules.header_bytes, most_lines=rules.header_count)
        self._opening = [
            loop.call_later(rules.header_timeout, self._too_slow),
            loop.call_later(self.open_timeout, self._give_up_opening),
        ]

    def data_received(self, data: bytes) -> None:
        if not self._begun and not data.startswith(SIGNATURES):
            data = data.lstrip(b"\r\n")  # RFC 9112 section 2.2: empty lines before a request are ignored
            if not data:
                return
            if data[:1].isalpha() and not b"GET ".startswith(data[:4]) and not self._turned_away:
                self._turn_away_foreign()
                return
        self._begun = True
        super().data_received(data)

    def take(self, data: bytes) -> None:
        if self._head is not None:
            broken = self._head.feed(data)
            if broken is not None:
                self._turn_away(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, broken, Why.TOO_LARGE)
                return
            if self._head.complete:
                self._settle_head()
        super().take(data)

    def handshaken(self, event: Request | Response) -> None:
        assert isinstance(event, Request)
        self._waits = True
        self.asked(self, event)

    def eof_received(self) -> bool | None:
        if self._turned_away:
            return None
        if self._waits and self.protocol.state is State.CONNECTING and may_half_close(self._wire):
            self.half_closed = True
            return True
        return super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        for timer in self._opening:
            timer.cancel()
        self.connections.discard(self)
        super().connection_lost(exc)

    # Refusals.

    def _advance(self) -> None:
        super()._advance()
        self._look_at_handshake()

    def _look_at_handshake(self) -> None:
        """Report a handshake that the protocol refused, and answer it if the protocol did not.

        A peer that closed without a request is not reported.
        """
        failure = self.protocol.handshake_exc
        if failure is None or self._judged:
            return
        self._judged = True
        if isinstance(failure.__cause__, EOFError):
            return
        why = Why.TOO_LARGE if isinstance(failure, SecurityError) else Why.MALFORMED
        if isinstance(failure, InvalidMessage):
            self._turn_away(HTTPStatus.BAD_REQUEST, "this is no WebSocket handshake in HTTP/1.1", why)
        elif isinstance(failure, InvalidHandshake):
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if why is Why.TOO_LARGE else HTTPStatus.BAD_REQUEST
            self.connection_limits.told(self._address, status, f"no WebSocket handshake: {type(failure).__name__}", why)

    def _flush(self) -> None:
        if isinstance(self.protocol.handshake_exc, InvalidMessage) and not self._judged:
            self._look_at_handshake()  # answers the handshake, which the protocol would not do
        super()._flush()

    def _turn_away_foreign(self) -> None:
        self.ignore()
        self.foreign_told(self._address)
        self._wire.write(self.foreign)
        # RFC 9112 section 9.6: octets that still arrive are read, or a reset could overtake the answer.
        if self._wire.can_write_eof():
            self._wire.write_eof()
        else:
            self._wire.close()

    def ignore(self) -> None:
        self._settle_head()
        super().ignore()

    def fail(self, code: int, reason: str) -> None:
        if self.is_open and not self.protocol.close_expected():
            why = Why.TOO_LARGE if code == TOO_BIG else Why.TOO_MANY_MESSAGES
            self.connection_limits.told(self._address, code, reason, why)
        super().fail(code, reason)

    def give_up(self, reason: str) -> None:
        """Close the connection at once. Nothing is reported here: the owner of the WebSocket reports its end."""
        WebSocketConnection.give_up(self, reason)

    def _settle_head(self) -> None:
        """Stop the deadline of the head. The whole handshake has a deadline of its own."""
        self._head = None
        if self._opening:
            self._opening[0].cancel()

    def _too_slow(self) -> None:
        text = f"the head of the request did not arrive within {self.connection_limits.rules.header_timeout:g} s"
        self._turn_away(HTTPStatus.REQUEST_TIMEOUT, text, Why.TOO_SLOW)

    def _give_up_opening(self) -> None:
        if self.protocol.state is State.CONNECTING:
            self._wire.close()
