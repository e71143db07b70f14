"""What an endpoint of the API is: its address, what it takes and gives as records, and who serves it.

Requests are checked against those records and nothing else, and the OpenAPI document is made of them: it cannot differ
from what is served.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from bridge.admin.problems import Refused

PREFIX = "/api/v1"
JSON = "application/json"
EVENTS = "text/event-stream"
_encode = msgspec.json.Encoder(decimal_format="number").encode

Q = TypeVar("Q", bound=Struct)
B = TypeVar("B")


class Nothing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No parameters."""


class Asked(Struct, Generic[Q, B], frozen=True, kw_only=True):
    """A request that is as it should be. `named` are the parts of its path, decoded; `who` asks."""

    named: dict[str, str]
    query: Q
    body: B
    who: str
    request: web.Request


Handler = Callable[[Any], Awaitable[Any]]


class Endpoint(Struct, frozen=True, kw_only=True):
    """`path` is behind the prefix; `query` and `body` are what it takes, `answer` what it gives: None is 204, no
    content. `refusals` are the statuses that it alone has. `media` other than JSON is answered by `handle` itself."""

    name: str
    method: str
    path: str
    about: str
    handle: Handler
    query: type[Struct] = Nothing
    body: Any = None
    answer: Any = None
    refusals: tuple[HTTPStatus, ...] = ()
    media: str = JSON

    async def serve(self, request: web.Request, who: str) -> web.StreamResponse:
        """Answer one request. Raises Refused."""
        asked: Asked[Any, Any] = Asked(
            named=dict(request.match_info),
            query=_query(request, self.query),
            body=None if self.body is None else await _body(request, self.body),
            who=who,
            request=request,
        )
        given = await self.handle(asked)
        if isinstance(given, web.StreamResponse):
            return given
        if self.answer is None:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        return web.Response(body=_encode(given), content_type=JSON)


def _query(request: web.Request, record: type[Q]) -> Q:
    """RFC 3986 knows no types: what fits the record's is taken for them."""
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise Refused(HTTPStatus.BAD_REQUEST, "this parameter may stand once", path=name)
        values[name] = value
    try:
        query = msgspec.convert(values, record, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    for field in msgspec.structs.fields(record):
        # The word null is None to msgspec; who says something means something.
        if field.encode_name in values and getattr(query, field.name) is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "null is no value", path=field.encode_name)
    return query


async def _body(request: web.Request, record: Any) -> Any:
    if request.content_type != JSON:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a request is sent as {JSON}")
    try:
        return msgspec.json.decode(await request.read(), type=record)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the request is not JSON: {error}") from error


def _invalid(error: msgspec.ValidationError) -> Refused:
    text, _, path = str(error).partition(" - at `$")
    return Refused(HTTPStatus.BAD_REQUEST, text, path=path.strip("`").lstrip("."))
