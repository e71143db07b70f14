"""The interfaces that the API needs from the rest of the bridge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from msgspec import Raw, Struct

from bridge.admin.facts import (
    Addresses,
    Audits,
    CallOutcome,
    ChargePointValues,
    Details,
    Moved,
    Routes,
    Summary,
    Tenants,
)
from bridge.core.state import State
from bridge.recorder.messages import Message, MessageFilter, Page, Recorded, RecordedPage

SortName = Literal[
    "identity",
    "state",
    "model",
    "firmware",
    "transport",
    "central_system",
    "last_seen",
    "transactions",
    "waiting",
    "errors",
]
"""What a list of Charge Points can be sorted by. `model` is the vendor, then the model."""


class Wanted(Struct, frozen=True, kw_only=True):
    """A filter of Charge Points. None takes every Charge Point.

    Attributes:
        identity: A glob on the identity. Letter case does not count, here and below.
        text: Words that are each a part of the identity, vendor, model, serial number or address.
        state: The state.
        transport: What the Charge Point speaks.
        central_system: The name of the Central System.
        accepted: Whether a Central System has accepted a BootNotification.
        vendor: The vendor, as in the last BootNotification. So are `model` and `firmware`.
        charging: Whether a transaction is open.
        faulted: Whether a connector has the status Faulted.
        failed: Whether there is a last error.
        last_error: A part of the last error.
    """

    identity: str | None = None
    text: str | None = None
    state: State | None = None
    transport: Literal["soap", "json"] | None = None
    central_system: str | None = None
    accepted: bool | None = None
    vendor: str | None = None
    model: str | None = None
    firmware: str | None = None
    charging: bool | None = None
    faulted: bool | None = None
    failed: bool | None = None
    last_error: str | None = None


class ListPlace(Struct, frozen=True, kw_only=True):
    """The place of a Charge Point in a sorted list: the value that it is sorted by, and its casefolded identity."""

    sort: SortName
    value: float | str | list[str] | None
    key: str


class Sorting(Struct, frozen=True, kw_only=True):
    """The order of a list of Charge Points, and the place after which a page of it begins; None for the first page."""

    by: SortName = "identity"
    descending: bool = False
    after: ListPlace | None = None


class FoundChargePoints(Struct, frozen=True, kw_only=True):
    """A page of Charge Points as the views give it.

    Attributes:
        items: The Charge Points.
        places: The place of each of them.
        next: The place to which the page reaches if more follow.
    """

    items: list[Summary]
    places: list[ListPlace]
    total: int
    states: dict[State, int]
    next: ListPlace | None = None


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

    async def charge_points(self, wanted: Wanted, sorting: Sorting, limit: int, *, tenant: str) -> FoundChargePoints:
        """Return a page of a tenant's Charge Points that match.

        Args:
            wanted: The filter.
            sorting: The order, and the place of the page.
            limit: The most items of the page.
            tenant: The tenant.
        """

    async def values(self, *, tenant: str) -> ChargePointValues:
        """Return the vendors, models and firmware versions of a tenant's Charge Points."""

    def charge_point(self, identity: str) -> Details:
        """Return the details of the Charge Point with this key. Raises Refused (404) for an unknown one."""

    def routes(self, *, tenant: str) -> Routes:
        """Return the Routes and the moved Charge Points of a tenant."""

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

    def messages(self, wanted: MessageFilter, *, limit: int, cursor: str | None = None) -> Awaitable[Page]:
        """Return a page of messages, the newest first.

        Args:
            wanted: The filter.
            limit: The most items of the page.
            cursor: A number as text; None for the first page.
        """

    def recorded(self, wanted: MessageFilter, *, limit: int, cursor: str | None = None) -> Awaitable[RecordedPage]:
        """Return a page of whole messages, the newest first.

        Args:
            wanted: The filter.
            limit: The most items of the page.
            cursor: A number as text; None for the first page.
        """

    def flush(self) -> Awaitable[None]:
        """Wait until every message so far can be read."""

    def message(self, number: int) -> Awaitable[Recorded | None]:
        """Return the message with the id `number`, or None if it is no longer stored."""
