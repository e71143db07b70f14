"""The interfaces that the API needs from the rest of the bridge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from msgspec import Raw, Struct

from bridge.admin.facts import (
    Addresses,
    Audits,
    CallOutcome,
    CentralSystems,
    ChargePoints,
    Details,
    Moved,
    Routes,
    Tenants,
)
from bridge.core.state import State
from bridge.recorder.messages import Message, Page, Recorded


class Wanted(Struct, frozen=True, kw_only=True):
    """A filter of Charge Points. `identity` is a glob that ignores letter case; None matches every Charge Point."""

    identity: str | None = None
    state: State | None = None
    transport: Literal["soap", "json"] | None = None
    central_system: str | None = None
    accepted: bool | None = None


class AuditFilter(Struct, frozen=True, kw_only=True):
    """A filter of the audit.

    Attributes:
        identity: A glob on the identity; None takes every Charge Point. Letter case does not count, here and below.
        who: A glob on the operator.
        what: A glob on the action.
        since: The time of the oldest entry, in unix seconds.
        until: The time before which the newest entry is, in unix seconds.
    """

    identity: str | None = None
    who: str | None = None
    what: str | None = None
    since: float | None = None
    until: float | None = None


class Views(Protocol):
    """Reads the state of the bridge."""

    async def charge_points(self, wanted: Wanted, after: str | None, limit: int, *, tenant: str) -> ChargePoints:
        """Return a page of a tenant's Charge Points that match, ordered by identity.

        Args:
            wanted: The filter.
            after: The identity before the first one of the page; None for the first page.
            limit: The most items of the page.
            tenant: The tenant.

        Returns:
            The page. `next` is the last identity if more Charge Points follow.
        """

    def charge_point(self, identity: str) -> Details:
        """Return the details of the Charge Point with this key. Raises Refused (404) for an unknown one."""

    def routes(self, *, tenant: str) -> Routes:
        """Return the Routes and the moved Charge Points of a tenant."""

    def central_systems(self, *, tenant: str) -> CentralSystems:
        """Return the Central Systems that a tenant may use, with the tenant's sessions."""

    def addresses(self, *, tenant: str) -> Addresses:
        """Return the addresses to configure in a Charge Point of a tenant."""

    def tenants(self) -> Tenants:
        """Return all tenants."""

    async def audit(self, wanted: AuditFilter, before: int | None, limit: int, *, tenant: str) -> Audits:
        """Return a page of the audit of a tenant, the newest entry first.

        Args:
            wanted: The filter.
            before: The id that is higher than all on the page, None for the first page.
            limit: The most entries of the page.
            tenant: The tenant.
        """


class Actions(Protocol):
    """Carries out the actions of operators on the Charge Points with the keys `identity`. Each method raises Refused.

    `who` is the operator, for the audit.
    """

    async def call(self, identity: str, action: str, payload: Raw, who: str) -> CallOutcome:
        """Send a command to a Charge Point and return the answer.

        Args:
            identity: The Charge Point.
            action: The action of the command.
            payload: The request as JSON.
            who: The operator, for the audit.

        Raises:
            Refused: 400 invalid command, 404 unknown Charge Point, 409 not reachable now, 503 draining or busy, 504
                unanswered.
        """

    async def disconnect(self, identity: str, who: str) -> None:
        """Close the connections of a Charge Point, which reconnects by itself. Raises Refused (404)."""

    async def move(self, identity: str, central_system: str, when: Literal["idle", "now"], who: str) -> Moved:
        """Move a Charge Point to another Central System.

        Args:
            identity: The Charge Point, which need not have been heard of.
            central_system: The name of the Central System.
            when: "now", or "idle" for as soon as the Charge Point has no open transaction.
            who: The operator, for the audit.

        Raises:
            Refused: 400 unknown Central System, 409 no Route takes the Charge Point, or the versions do not fit.
        """

    async def move_back(self, identity: str, who: str) -> Moved:
        """Move a Charge Point to the Central System of its Route at once, and drop a move that waits.

        Raises Refused (404).
        """

    async def remove(self, identity: str, who: str) -> None:
        """Disconnect a Charge Point and delete what is stored about it. The Charge Point may reconnect by itself.

        Raises Refused (404).
        """


class Recordings(Protocol):
    """Reads the messages that the recorder stored."""

    on_message: Callable[[Message], None] | None

    def messages(
        self,
        identity_glob: str | None = None,
        action: str | None = None,
        outcome: str | None = None,
        sender: str | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
        cursor: str | None = None,
        identity: str | None = None,
        tenant: str | None = None,
    ) -> Awaitable[Page]:
        """Return a page of messages, the newest first.

        Args:
            identity_glob: A glob of identities.
            action: The action.
            outcome: The outcome.
            sender: The party that sent the message.
            since: The earliest time in unix seconds, included.
            until: The latest time in unix seconds, excluded.
            limit: The most items of the page.
            cursor: A number as text; None for the first page.
            identity: The key of one Charge Point, in place of a glob.
            tenant: The tenant whose messages are wanted, None for all.
        """

    def flush(self) -> Awaitable[None]:
        """Wait until every message so far can be read."""

    def message(self, number: int) -> Awaitable[Recorded | None]:
        """Return the message with the id `number`, or None if it is no longer stored."""
