"""The endpoints for what happened at one Charge Point: its timeline, and its last meter values."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from msgspec import Meta, Struct

from bridge.admin.charge_points import NOT_FOUND
from bridge.admin.endpoints import AdminEndpoint, AdminRequest
from bridge.admin.facts import Fact

Kind = Literal["link", "state", "moved", "callback", "boot", "status", "transaction_started", "transaction_ended"]


class TimelineQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a timeline: the most items."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="the most items")] = 200


class MeterValuesQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of meter values: the most MeterValues messages that are read, the newest ones."""

    limit: Annotated[int, Meta(ge=1, le=500, description="the most messages")] = 200


class Moment(Fact, frozen=True, kw_only=True):
    """Something that happened at a Charge Point.

    Attributes:
        kind: What happened: a connection was opened or lost (`link`); the state changed; it was moved to another
            Central System; its callback address changed; a BootNotification; a connector has another status or error
            code than before; a transaction started or ended.
        text: What happened in some words, such as the status.
        party: The other end of a connection.
        connector: The connector.
        transaction_id: The transaction, as the Charge Point knows it.
        energy: The energy of a transaction that ended, in Wh.
        message: The id of the recorded message that says so.
        times: How often it happened in a row: attempts to connect that failed for the same reason are one item.
        since: When it happened first, if it happened several times; `at` is the last time.
    """

    at: str
    kind: Kind
    text: str
    party: Literal["charge_point", "central_system"] | None = None
    connector: int | None = None
    transaction_id: int | None = None
    energy: float | None = None
    message: int | str | None = None
    times: int = 1
    since: str | None = None


class TimelineFact(Fact, frozen=True, kw_only=True):
    """What happened at a Charge Point, the newest first.

    Messages are known as far back as they are recorded, transactions for 7 days after their end, and connections,
    states and moves since the bridge started, at most 100 of a Charge Point.
    """

    items: list[Moment]


class MeterSeries(Fact, frozen=True, kw_only=True):
    """The values of one measurand of one connector over time.

    Attributes:
        phase: The phase, None for a value of all phases.
        location: Where it was measured; None is the outlet.
        points: Pairs of a time in unix seconds and a value, the oldest first.
    """

    connector: int
    measurand: str
    unit: str
    phase: str | None = None
    location: str | None = None
    points: list[tuple[float, float]]


class MeterValuesFact(Fact, frozen=True, kw_only=True):
    """The last recorded meter values of a Charge Point, those of connector 1 first."""

    series: list[MeterSeries]


class Timelines(Protocol):
    """Reads what happened at a Charge Point. Each method raises RequestRefused (404) for an unknown one."""

    async def timeline(self, identity: str, limit: int) -> TimelineFact:
        """Return the newest items of the timeline."""

    async def meter_values(self, identity: str, limit: int) -> MeterValuesFact:
        """Return the meter values in the newest `limit` messages that have some."""


def endpoints(timelines: Timelines) -> list[AdminEndpoint]:
    """Return the endpoints for the timeline and the meter values of a Charge Point."""
    handlers = _TimelineHandlers(timelines)
    one = "/charge-points/{identity}"
    return [
        AdminEndpoint(
            scope="tenant",
            name="timeline",
            method="GET",
            path=f"{one}/timeline",
            about="What happened at a Charge Point, the newest first",
            handle=handlers.timeline,
            query=TimelineQuery,
            answer=TimelineFact,
            refusals=(NOT_FOUND,),
        ),
        AdminEndpoint(
            scope="tenant",
            name="meter-values",
            method="GET",
            path=f"{one}/meter-values",
            about="The last recorded meter values of a Charge Point, by connector and measurand",
            handle=handlers.meter_values,
            query=MeterValuesQuery,
            answer=MeterValuesFact,
            refusals=(NOT_FOUND,),
        ),
    ]


class _TimelineHandlers:
    def __init__(self, timelines: Timelines) -> None:
        self._timelines = timelines

    async def timeline(self, asked: AdminRequest[TimelineQuery, None]) -> TimelineFact:
        return await self._timelines.timeline(asked.named["identity"], asked.query.limit)

    async def meter_values(self, asked: AdminRequest[MeterValuesQuery, None]) -> MeterValuesFact:
        return await self._timelines.meter_values(asked.named["identity"], asked.query.limit)
