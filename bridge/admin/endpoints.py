"""An endpoint of the API: its path, the records of its request and its response, and its handler.

The records alone decide which requests are valid. The OpenAPI document is made from the same records, so the document
cannot differ from what is served.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from bridge.admin.problems import RequestRefused
from bridge.admin.scope import Role, Scope, with_identities
from bridge.ocpp import tenants

PREFIX = "/api/v1"
JSON = "application/json"
EVENTS = "text/event-stream"
CSV = "text/csv"
JSON_LINES = "application/jsonl"
# The most octets of a request. The longest command is a SendLocalList.
MAX_BODY = 1_048_576
_NAMED = re.compile(r"\{(\w+)\}")
_encode = msgspec.json.Encoder(decimal_format="number").encode

Q = TypeVar("Q", bound=Struct)
B = TypeVar("B")


class Nothing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The record of a query without parameters."""


class AdminRequest(Struct, Generic[Q, B], frozen=True, kw_only=True):
    """A request that fits the records of its endpoint.

    Attributes:
        named: The named segments of the path, percent-decoded. `identity` is the key of a Charge Point of `tenant`.
        query: The parameters of the query.
        body: The content.
        who: The sender, for the audit.
        admitted: Returns True while the sender is permitted: tokens may change.
        request: The request of aiohttp.
        tenant: The tenant that the request is about.
        may_use: Returns True for a tenant that the sender may ask about.
        sees_all: Whether the sender may also see what is about all tenants.
        role: What the sender may do.
    """

    named: dict[str, str]
    query: Q
    body: B
    who: str
    admitted: Callable[[], bool]
    request: web.Request
    tenant: str = tenants.DEFAULT
    may_use: Callable[[str], bool] = lambda tenant: tenant == tenants.DEFAULT
    sees_all: bool = False
    role: Role = "operate"


Handler = Callable[[Any], Awaitable[Any]]


class AdminEndpoint(Struct, frozen=True, kw_only=True):
    """An endpoint of the API.

    Attributes:
        name: The operationId in the OpenAPI document.
        method: The HTTP method.
        path: The path without the prefix.
        about: The summary in the OpenAPI document.
        handle: Takes an Asked and returns the answer.
        query: The record of the query.
        body: The record of the content; None for no content, bytes for content that is not JSON.
        takes: The media type of the content.
        most: The most octets of the content.
        answer: The record of the answer; None for 204, no content.
        refusals: The statuses of a problem that only this endpoint has.
        media: The media type of the answer. For any other type than JSON, `handle` returns the response itself.
        scope: What the endpoint is about. It has no default: each endpoint says what one tenant may see of it.
    """

    name: str
    method: str
    path: str
    about: str
    handle: Handler
    query: type[Struct] = Nothing
    body: Any = None
    takes: str = JSON
    most: int = MAX_BODY
    answer: Any = None
    refusals: tuple[HTTPStatus, ...] = ()
    media: str = JSON
    scope: Scope

    def for_tenants(self) -> AdminEndpoint:
        """Return the endpoint below `/tenants/{tenant}`."""
        return msgspec.structs.replace(
            self,
            name=f"{self.name}-of-tenant",
            path=f"/tenants/{{tenant}}{self.path}",
            about=f"{self.about} (of a tenant)",
            refusals=(*self.refusals, HTTPStatus.NOT_FOUND),
            scope="tenant",
        )

    @property
    def route(self) -> str:
        """Return the path with its prefix, as aiohttp expects it.

        A segment of a path may contain braces, which aiohttp's `{name}` alone does not match.
        """
        return PREFIX + _NAMED.sub(r"{\1:[^/]+}", self.path)

    async def serve(
        self,
        request: web.Request,
        who: str,
        admitted: Callable[[], bool],
        tenant: str = tenants.DEFAULT,
        may_use: Callable[[str], bool] = lambda tenant: tenant == tenants.DEFAULT,
        sees_all: bool = False,
        role: Role = "operate",
    ) -> web.StreamResponse:
        """Check one request and answer it.

        Args:
            request: The request.
            who: The sender, for the audit.
            admitted: Returns True while the sender is permitted.
            tenant: The tenant that the request is about.
            may_use: Returns True for a tenant that the sender may ask about.
            sees_all: Whether the sender may also see what is about all tenants.
            role: What the sender may do.

        Returns:
            The response.

        Raises:
            Refused: The request is invalid, or the handler refuses it.
        """
        asked: AdminRequest[Any, Any] = AdminRequest(
            named=_named(request, tenant),
            query=_query(request, self.query),
            body=None if self.body is None else await self._content(request),
            who=who,
            admitted=admitted,
            request=request,
            tenant=tenant,
            may_use=may_use,
            sees_all=sees_all,
            role=role,
        )
        try:
            given = with_identities(await self.handle(asked), tenant)
        except RequestRefused as refused:
            refused.detail = tenants.without_tenants(refused.detail)
            raise
        if isinstance(given, web.StreamResponse):
            return given
        if self.answer is None:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        return web.Response(body=_encode(given), content_type=JSON)

    async def _content(self, request: web.Request) -> Any:
        if request.content_type != self.takes:
            raise RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a request is sent as {self.takes}")
        octets = await _octets(request, self.most)
        return octets if self.body is bytes else _decoded(octets, self.body)


def _named(request: web.Request, tenant: str) -> dict[str, str]:
    """Return the named segments of the path, with a key in place of the identity. Raises RequestRefused (400)."""
    named = dict(request.match_info)
    named.pop("tenant", None)
    if "identity" in named:
        try:
            named["identity"] = tenants.key_of(tenant, named["identity"])
        except ValueError as error:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, str(error), path="identity") from error
    return named


async def _octets(request: web.Request, most: int) -> bytes:
    """Return the content of a request. Raises RequestRefused if it has more than `most` octets."""
    content = bytearray()
    async for chunk in request.content.iter_any():
        content += chunk
        if len(content) > most:
            raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the request is larger than {most} octets")
    return bytes(content)


def _query(request: web.Request, record: type[Q]) -> Q:
    """Return the query as a `record`. A query has no types (RFC 3986), so text that fits the field's type is converted.

    Raises Refused for an invalid query.
    """
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "this parameter may stand once", path=name)
        values[name] = value
    try:
        query = msgspec.convert(values, record, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    for field in msgspec.structs.fields(record):
        # msgspec converts the word null to None. A client that sends a parameter intends a value.
        if field.encode_name in values and getattr(query, field.name) is None:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "null is no value", path=field.encode_name)
    return query


def _decoded(octets: bytes, record: Any) -> Any:
    try:
        return msgspec.json.decode(octets, type=record)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, f"the request is not JSON: {error}") from error


def _invalid(error: msgspec.ValidationError) -> RequestRefused:
    text, _, path = str(error).partition(" - at `$")
    return RequestRefused(HTTPStatus.BAD_REQUEST, text, path=path.strip("`").lstrip("."))
