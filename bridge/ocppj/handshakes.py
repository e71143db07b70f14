"""Handshakes that websockets turns away by itself, before anybody here has seen them, or after they were let in."""

from __future__ import annotations

from http import HTTPStatus

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidHandshake, InvalidMessage, SecurityError

from bridge.errors import Why
from bridge.limits.guard import Guarded


class Judged(Guarded, ServerConnection):
    """A connection whose house is told of them too. What is no HTTP gets an answer, which websockets would not give."""

    _judged = False

    def send_data(self) -> None:
        failure = self.protocol.handshake_exc
        if failure is not None and not self._judged:
            self._judged = True
            self._judge(failure)
        super().send_data()

    def _judge(self, failure: Exception) -> None:
        """Who hung up without a request is not turned away."""
        if isinstance(failure.__cause__, EOFError):
            return
        why = Why.TOO_LARGE if isinstance(failure, SecurityError) else Why.MALFORMED
        if isinstance(failure, InvalidMessage):
            self._turn_away(HTTPStatus.BAD_REQUEST, "this is no WebSocket handshake in HTTP/1.1", why)
        elif isinstance(failure, InvalidHandshake):
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if why is Why.TOO_LARGE else HTTPStatus.BAD_REQUEST
            self.house.told(self._address, status, f"no WebSocket handshake: {type(failure).__name__}", why)
