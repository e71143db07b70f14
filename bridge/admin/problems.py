"""The answers to API requests that are refused: RFC 9457, `application/problem+json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from aiohttp import web
from msgspec import Struct

MEDIA_TYPE = "application/problem+json"
_MOST_LINES = 1000


class ProblemLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of a file that cannot be used. `column` and `identity` are "" if the fault is not in one of them."""

    line: int
    detail: str
    column: str = ""
    identity: str = ""


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content of a refusal.

    Attributes:
        detail: A sentence.
        path: The place in the payload or the parameter, if any.
        lines: The lines of a file that cannot be used, at most 1000.
    """

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    path: str = ""
    lines: tuple[ProblemLine, ...] = ()


class RequestRefused(Exception):
    """The request is refused with `status` and `detail`. `headers` are sent with the answer."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        path: str = "",
        headers: Mapping[str, str] | None = None,
        lines: Sequence[ProblemLine] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.path = path
        self.headers = dict(headers or {})
        self.lines = tuple(lines[:_MOST_LINES])


def answer(refused: RequestRefused) -> web.Response:
    """Return the response with the problem that `refused` stands for."""
    problem = Problem(
        title=refused.status.phrase,
        status=refused.status.value,
        # Names that strangers chose may contain surrogates, which UTF-8 cannot encode.
        detail=_encodable(refused.detail),
        path=_encodable(refused.path),
        lines=refused.lines,
    )
    # `type` and `status` are sent even with their default values, because clients look for them.
    body = msgspec.json.encode({"type": problem.type} | msgspec.to_builtins(problem))
    return web.Response(status=refused.status, body=body, content_type=MEDIA_TYPE, headers=refused.headers)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def of_http(error: web.HTTPException) -> RequestRefused:
    """Return the Refused for aiohttp's own error: unknown path, method not allowed, too large content."""
    status = HTTPStatus(error.status)
    if isinstance(error, web.HTTPMethodNotAllowed):
        methods = ", ".join(sorted(error.allowed_methods))
        return RequestRefused(status, f"this address takes {methods}", headers={"Allow": methods})
    details = {
        HTTPStatus.NOT_FOUND: "nothing is served at this address; /api/v1/openapi.json says what is where",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the request is too large",
    }
    return RequestRefused(status, details.get(status, status.phrase))
