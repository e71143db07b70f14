"""What an API request that cannot be served is answered with: RFC 9457, `application/problem+json`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web
from msgspec import Struct

MEDIA_TYPE = "application/problem+json"


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`detail` is one sentence for a person; `path` says where in the payload or the parameters, if it is about one."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    path: str = ""


class Refused(Exception):
    """A request that is not served, and why. `headers` go with the answer."""

    def __init__(
        self, status: HTTPStatus, detail: str, *, path: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.path = path
        self.headers = dict(headers or {})


def answer(refused: Refused) -> web.Response:
    """The response that says so."""
    problem = Problem(
        title=refused.status.phrase,
        status=refused.status.value,
        # Names that strangers chose may hold what is no text.
        detail=refused.detail.encode("utf-8", "backslashreplace").decode(),
        path=refused.path.encode("utf-8", "backslashreplace").decode(),
    )
    # `type` and `status` are said even where they are the default: clients look for them.
    body = msgspec.json.encode({"type": problem.type} | msgspec.to_builtins(problem))
    return web.Response(status=refused.status, body=body, content_type=MEDIA_TYPE, headers=refused.headers)


def of_http(error: web.HTTPException) -> Refused:
    """aiohttp's own refusal in our words: no such address, no such method, a body that is too large."""
    status = HTTPStatus(error.status)
    if isinstance(error, web.HTTPMethodNotAllowed):
        methods = ", ".join(sorted(error.allowed_methods))
        return Refused(status, f"this address takes {methods}", headers={"Allow": methods})
    details = {
        HTTPStatus.NOT_FOUND: "nothing is served at this address; /api/v1/openapi.json says what is where",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the request is too large",
    }
    return Refused(status, details.get(status, status.phrase))
