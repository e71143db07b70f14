"""The answer to a request of an operator as plain data, which one process can give to another."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from msgspec import Struct

JSON = "application/json"


class AdminAnswer(Struct, frozen=True, kw_only=True):
    """The answer to a request as plain data. `body` is None for an answer without content."""

    status: int = HTTPStatus.OK
    media: str = JSON
    headers: dict[str, str] = {}
    body: bytes | None = None

    def response(self) -> web.Response:
        """Return the response for the client."""
        if self.body is None:
            return web.Response(status=self.status, headers=self.headers)
        headers = {"Content-Type": self.media, **self.headers}
        return web.Response(status=self.status, body=self.body, headers=headers)
