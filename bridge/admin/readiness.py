"""The endpoint for the readiness of Charge Points for a Central System that is a shadow until they are moved to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from bridge.admin.charge_points import CONFLICT, NOT_FOUND, Cursor, Glob, Limit
from bridge.admin.cursors import closed, opened
from bridge.admin.endpoints import AdminEndpoint, AdminRequest, OfAllNodes
from bridge.admin.facts import Fact


class ReadinessQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters: which Charge Points count, which of them are listed, the size of a page, and the page.

    Attributes:
        identity: A glob on the identity. The other Charge Points count nowhere in the answer.
        ready: List only Charge Points that are ready, or only those that are not.
    """

    identity: Glob | None = None
    ready: bool | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class DifferenceFact(Fact, frozen=True, kw_only=True):
    """A difference between the answers to one Call.

    Attributes:
        field: The path of the field without indexes; "" is the whole answer.
        main: The value in the answer of the main Central System, as text.
        shadow: The value in the answer of the shadow, as text.
        request: The beginning of the Call's payload, as JSON. idTags are masked as the recorder masks them.
    """

    identity: str
    at: str
    action: str
    field: str
    main: str
    shadow: str
    request: str


class FieldDifferences(Fact, frozen=True, kw_only=True):
    """The number of differences in a field. "other" stands for the fields that are beyond what is counted singly."""

    field: str
    count: int


class ActionComparison(Fact, frozen=True, kw_only=True):
    """The compared answers to one action.

    Attributes:
        compared: The number of answers that were compared.
        differing: The number of those that differ.
        fields: Where they differ, the most frequent field first.
    """

    action: str
    compared: int
    differing: int
    fields: list[FieldDifferences]


class ChargePointReadiness(Fact, frozen=True, kw_only=True):
    """A Charge Point whose Calls the shadow gets.

    Attributes:
        why: Why the Charge Point is not ready, "" if it is.
        sessions: The number of transactions that both Central Systems have named, and that have ended.
        clean_sessions: The number of those since the last difference that a driver feels.
        since: When the first answer was compared; None if there was none.
        days: The number of days, begun ones included, from the first compared answer to the last one.
        compared: The number of answers that were compared.
        differing: The number of those that differ.
        last_difference: The last difference that a driver feels; None if there was none, or it is too long ago.
    """

    identity: str
    ready: bool
    why: str
    sessions: int
    clean_sessions: int
    since: str | None
    days: int
    compared: int
    differing: int
    last_difference: DifferenceFact | None


class ReadinessFact(Fact, frozen=True, kw_only=True):
    """The readiness of Charge Points for a Central System that is a shadow.

    Attributes:
        ready: Each Charge Point that counts is ready, and there is one.
        why: Why not; "" if they are ready.
        ready_after: The number of sessions without a difference that a driver feels, after which one is ready.
        charge_points: The number of Charge Points that count: those whose Calls the shadow gets.
        ready_charge_points: The number of those that are ready.
        sessions: The number of transactions that both Central Systems have named, and that have ended.
        since: When the first answer was compared; None if there was none.
        days: The number of days, begun ones included, from the first compared answer to the last one.
        actions: The compared answers by action.
        examples: Examples of differences, first those that a driver feels, then the newest.
        total: The number of Charge Points in the list, on all pages together.
    """

    central_system: str
    ready: bool
    why: str
    ready_after: int
    charge_points: int
    ready_charge_points: int
    sessions: int
    since: str | None
    days: int
    actions: list[ActionComparison]
    examples: list[DifferenceFact]
    items: list[ChargePointReadiness]
    total: int
    next: str | None = None


class ReadinessViews(Protocol):
    """Reads what the comparison of a shadow's answers has shown."""

    async def readiness(self, central_system: str, query: ReadinessQuery, after: str | None, *, tenant: str) -> Any:
        """Return what one process knows of the readiness of a tenant for a Central System, with a page by identity.

        Args:
            central_system: The name of the Central System.
            query: Which Charge Points count, which of them are listed, and the size of the page.
            after: The identity before the first one of the page; None for the first page.
            tenant: The tenant.

        Raises:
            Refused: 404 unknown Central System, 409 one that is a shadow in no route.
        """

    def merged(self, parts: Sequence[Any], limit: int) -> Any:
        """Return what several processes know, with a page of `limit` Charge Points at most. Parts may be plain data."""

    def told(self, part: Any) -> ReadinessFact:
        """Return the readiness. `next` is the last identity if more Charge Points follow."""


def endpoints(readiness: ReadinessViews) -> list[AdminEndpoint]:
    """Return the endpoint for readiness."""

    async def one(asked: AdminRequest[ReadinessQuery, None]) -> Any:
        query = asked.query
        after = None if query.cursor is None else opened(query.cursor)
        return await readiness.readiness(asked.named["id"], query, after, tenant=asked.tenant)

    def told(asked: AdminRequest[ReadinessQuery, None], part: Any) -> ReadinessFact:
        page = readiness.told(part)
        return page if page.next is None else replace(page, next=closed(page.next))

    return [
        AdminEndpoint(
            scope="tenant",
            name="readiness",
            method="GET",
            path="/central-systems/{id}/readiness",
            about="How the answers of a Central System that is a shadow compare, and which Charge Points are ready",
            handle=one,
            query=ReadinessQuery,
            of_all=OfAllNodes(
                part=Any, merge=lambda asked, parts: readiness.merged(parts, asked.query.limit), told=told
            ),
            answer=ReadinessFact,
            refusals=(NOT_FOUND, CONFLICT),
        )
    ]
