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

from bridge.admin.answers import JSON, AdminAnswer
from bridge.admin.problems import RequestRefused
from bridge.admin.scope import Role, Scope, with_identities
from bridge.ocpp import tenants

PREFIX = "/api/v1"
EVENTS = "text/event-stream"
CSV = "text/csv"
JSON_LINES = "application/jsonl"
# The most octets of a request. The longest command is a SendLocalList.
MAX_BODY = 1_048_576
_NAMED = re.compile(r"\{(\w+)\}")
# The texts of a boolean in a query.
_BOOLEANS = ("true", "false")
_encode = msgspec.json.Encoder(decimal_format="number").encode

Q = TypeVar("Q", bound=Struct)
B = TypeVar("B")


class Nothing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The record of a query without parameters."""


class SentRequest(Struct, frozen=True, kw_only=True):
    """A request as plain data, which another process of the bridge can answer as well.

    Attributes:
        endpoint: The name of the endpoint.
        tenant: The tenant that the request is about.
        named: The named segments of the path, percent-decoded. `identity` is the key of a Charge Point of `tenant`.
        query: The parameters of the query as they were written.
        body: The octets of the content, None for an endpoint without content.
        who: The sender, for the audit.
        sees_all: Whether the sender may also see what is about all tenants.
        role: What the sender may do.
    """

    endpoint: str
    tenant: str
    named: dict[str, str]
    query: dict[str, str]
    body: bytes | None
    who: str
    sees_all: bool
    role: Role = "operate"


class AdminRequest(Struct, Generic[Q, B], frozen=True, kw_only=True):
    """A request that fits the records of its endpoint.

    Attributes:
        named: The named segments of the path, percent-decoded. `identity` is the key of a Charge Point of `tenant`.
        query: The parameters of the query.
        body: The content.
        who: The sender, for the audit.
        tenant: The tenant that the request is about.
        sees_all: Whether the sender may also see what is about all tenants.
        role: What the sender may do.
    """

    named: dict[str, str]
    query: Q
    body: B
    who: str
    tenant: str = tenants.DEFAULT
    sees_all: bool = False
    role: Role = "operate"


class ClientRequest(AdminRequest[Q, B], Generic[Q, B], frozen=True, kw_only=True):
    """A request in the process that its client is connected to.

    Attributes:
        client: The request of aiohttp.
        admitted: Returns True while the sender is permitted: tokens may change.
        may_use: Returns True for a tenant that the sender may ask about.
        whole: Asks another endpoint, by its name, with a query. Returns what all processes know. Raises RequestRefused
            (503) if one of them does not answer.
    """

    client: web.Request
    admitted: Callable[[], bool]
    may_use: Callable[[str], bool] = lambda tenant: tenant == tenants.DEFAULT
    whole: Callable[[str, Struct], Awaitable[Any]]


Handler = Callable[[Any], Awaitable[Any]]


class OfAllNodes(Struct, frozen=True, kw_only=True):
    """How the answers of several processes become one, for an endpoint that is about several Charge Points.

    Attributes:
        part: The record that `handle` returns: what one process knows. It holds keys, not identities.
        merge: Returns what all of them know, from the request and the parts of one process or more.
        told: Returns the answer, from the request and what all of them know.
        trial: The name of the parameter that lets a request be only checked. A request that changes something is first
            checked by all processes, and carried out if none refuses it and none is missing.
        is_file: Whether the answer is a file, which cannot say that something is missing: it is refused then.
    """

    part: Any
    merge: Callable[[Any, Any], Any]
    told: Callable[[Any, Any], Any] = lambda asked, part: part
    trial: str = ""
    is_file: bool = False


class AdminEndpoint(Struct, frozen=True, kw_only=True):
    """An endpoint of the API.

    Attributes:
        name: The operationId in the OpenAPI document.
        method: The HTTP method.
        path: The path without the prefix.
        about: The summary in the OpenAPI document.
        handle: Takes an AdminRequest and returns the answer. An endpoint without `{identity}` is answered where its
            client is connected, and may take a ClientRequest.
        query: The record of the query.
        body: The record of the content; None for no content, bytes for content that is not JSON.
        takes: The media type of the content.
        most: The most octets of the content.
        answer: The record of the answer; None for 204, no content.
        refusals: The statuses of a problem that only this endpoint has.
        media: The media type of the answer. For any other type than JSON, `handle` returns an AdminAnswer, or the
            response itself.
        of_all: How the answers of several processes become one. None if each process can answer alone, or if `handle`
            asks the others itself.
        place: Returns the name of the process that has what a request is about, "" for any; None if it is not known.
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
    of_all: OfAllNodes | None = None
    place: Callable[[SentRequest], str] = lambda sent: ""
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

    @property
    def is_about_one(self) -> bool:
        """Return whether a request is about one Charge Point, and answered by the process that has it."""
        return "{identity}" in self.path and self.of_all is None

    async def received(self, request: web.Request, who: str, tenant: str, *, sees_all: bool, role: Role) -> SentRequest:
        """Receive a request.

        Args:
            request: The request.
            who: The sender, for the audit.
            tenant: The tenant that the request is about.
            sees_all: Whether the sender may also see what is about all tenants.
            role: What the sender may do.

        Returns:
            The request as plain data.

        Raises:
            RequestRefused: It has a parameter twice, an impossible identity, or a content that is too large.
        """
        return SentRequest(
            endpoint=self.name,
            tenant=tenant,
            named=_named(request, tenant),
            query=_query(request),
            body=None if self.body is None else await self._octets(request),
            who=who,
            sees_all=sees_all,
            role=role,
        )

    def read(self, sent: SentRequest) -> AdminRequest[Any, Any]:
        """Return a request as records. Raises RequestRefused if it does not fit them."""
        return AdminRequest(
            named=sent.named,
            query=_parameters(sent.query, self.query),
            body=sent.body if sent.body is None or self.body is bytes else _decoded(sent.body, self.body),
            who=sent.who,
            tenant=sent.tenant,
            sees_all=sent.sees_all,
            role=sent.role,
        )

    async def handled(self, asked: AdminRequest[Any, Any]) -> Any:
        """Return what the handler returns. Raises RequestRefused if it refuses the request."""
        try:
            return await self.handle(asked)
        except RequestRefused as refused:
            refused.detail = tenants.without_tenants(refused.detail)
            raise

    async def answered(self, asked: AdminRequest[Any, Any]) -> AdminAnswer | web.StreamResponse:
        """Answer a request that this process can answer alone. Raises RequestRefused if the handler refuses it."""
        return self.told(asked, await self.handled(asked))

    def told(self, asked: AdminRequest[Any, Any], given: Any) -> AdminAnswer | web.StreamResponse:
        """Return the answer for what a handler has returned, or several have returned together."""
        if self.of_all is not None:
            given = self.of_all.told(asked, given)
        if isinstance(given, AdminAnswer | web.StreamResponse):
            return given
        if self.answer is None:
            return AdminAnswer(status=HTTPStatus.NO_CONTENT)
        return AdminAnswer(body=_encode(with_identities(given, asked.tenant)))

    async def _octets(self, request: web.Request) -> bytes:
        if request.content_type != self.takes:
            raise RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a request is sent as {self.takes}")
        return await _content(request, self.most)


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


async def _content(request: web.Request, most: int) -> bytes:
    """Return the content of a request. Raises RequestRefused if it has more than `most` octets."""
    content = bytearray()
    async for chunk in request.content.iter_any():
        content += chunk
        if len(content) > most:
            raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the request is larger than {most} octets")
    return bytes(content)


def _query(request: web.Request) -> dict[str, str]:
    """Return the parameters of the query. Raises RequestRefused for one that stands twice."""
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "this parameter may stand once", path=name)
        values[name] = value
    return values


def _parameters(values: dict[str, str], record: type[Q]) -> Q:
    """Return the query as a `record`. A query has no types (RFC 3986), so text that fits the field's type is converted.

    Raises RequestRefused for an invalid query.
    """
    try:
        query = msgspec.convert(values, record, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    for field in msgspec.structs.fields(record):
        if (text := values.get(field.encode_name)) is None:
            continue
        value = getattr(query, field.name)
        # msgspec converts the word null to None. A client that sends a parameter intends a value.
        if value is None:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "null is no value", path=field.encode_name)
        # msgspec converts 0 and 1, too, which the OpenAPI document does not have.
        if isinstance(value, bool) and text not in _BOOLEANS:
            raise RequestRefused(
                HTTPStatus.BAD_REQUEST, f"expected true or false, got {text!r}", path=field.encode_name
            )
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
