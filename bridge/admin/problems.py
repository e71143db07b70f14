"""The answers to API requests that are refused: RFC 9457, `application/problem+json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from aiohttp import web
from msgspec import Struct

from bridge.admin.answers import AdminAnswer

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


def answer(refused: RequestRefused) -> AdminAnswer:
    """Return the answer with the problem that `refused` stands for."""
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
    return AdminAnswer(status=refused.status, media=MEDIA_TYPE, headers=refused.headers, body=body)


def read(octets: bytes) -> RequestRefused:
    """Return the refusal of which another process has sent the problem."""
    problem = msgspec.json.decode(octets, type=Problem)
    return RequestRefused(HTTPStatus(problem.status), problem.detail, path=problem.path, lines=problem.lines)


def together(refusals: Sequence[RequestRefused]) -> RequestRefused:
    """Return one refusal for those of several processes. Each has the lines of a file that it cannot use."""
    one = refusals[0]
    lines = sorted({line for each in refusals for line in each.lines}, key=lambda line: line.line)
    if len({each.detail for each in refusals}) == 1:
        return RequestRefused(one.status, one.detail, path=one.path, headers=one.headers, lines=lines)
    detail = "; ".join(sorted({each.detail for each in refusals}))
    return RequestRefused(one.status, detail, path=one.path, headers=one.headers, lines=lines)


def our_fault() -> RequestRefused:
    """Return the refusal of a request that failed for no fault of its sender."""
    return RequestRefused(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of ocpp-bridge itself: see its log")


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
