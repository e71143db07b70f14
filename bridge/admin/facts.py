"""What the API tells, as records: the JSON and the OpenAPI document are both made from these.

Times are ISO 8601 in UTC with a Z, durations seconds unless the name says ms.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct, field

Transport = Literal["soap", "json"]
State = Literal["up", "down", "connecting"]


class Fact(Struct, frozen=True, kw_only=True):
    """Marker: something that is told."""


# Charge Points.


class ChargePointSide(Fact, frozen=True, kw_only=True):
    """The way to the Charge Point. `version` is OCPP's, or the subprotocol that is passed on unread."""

    transport: Transport
    version: str
    state: State


class CentralSide(Fact, frozen=True, kw_only=True):
    """The way to its Central System: how often in a row it could not be opened, and why it is not up."""

    transport: Transport
    version: str
    state: State
    failures: int = 0
    reason: str | None = None


class Summary(Fact, frozen=True, kw_only=True):
    """One Charge Point in a list. `route` is the glob of the Route that takes it, None if none does any more; `waiting`
    are Calls without an answer yet; `stale`: not heard of for three heartbeats, or 15 minutes if their interval is not
    known. `calls` and `errors` count since the bridge was started."""

    identity: str
    vendor: str | None = None
    model: str | None = None
    firmware: str | None = None
    route: str | None = None
    central_system: str | None = None
    charge_point: ChargePointSide
    central_side: CentralSide | None = None
    last_seen: str | None = None
    heartbeat_interval: int | None = None
    stale: bool = False
    transactions: int = 0
    waiting: int = 0
    calls: int = 0
    errors: int = 0
    last_error: str | None = None


class Callback(Fact, frozen=True, kw_only=True):
    """Where a SOAP Charge Point is called back, how that is known, and why there is no such address."""

    url: str | None = None
    source: Literal["configured", "learnt", "guessed", "none"] = "none"
    reason: str | None = None


class Connector(Fact, frozen=True, kw_only=True):
    """What it last said of a connector."""

    number: int
    status: str | None = None
    transaction_id: int | None = None


class Transaction(Fact, frozen=True, kw_only=True):
    """One that has not ended."""

    connector: int
    transaction_id: int


class Counters(Fact, frozen=True, kw_only=True):
    """Since the bridge was started."""

    calls: int = 0
    results: int = 0
    errors: int = 0
    unanswered: int = 0
    refused: int = 0
    losses: int = 0
    dropped: int = 0


class Addresses(Fact, frozen=True, kw_only=True):
    """What to type into a Charge Point, and what to tell its Central System if that speaks SOAP."""

    soap: list[str]
    json: list[str]
    central_systems_to_bridge: list[str]


class Details(Summary, frozen=True, kw_only=True):
    """One Charge Point. `name` is its identity towards its Central System; `address` the peer, or where it is called
    back; `manners` how it is treated, where that is not as all are; `moved`: an operator chose its Central System."""

    name: str
    address: str | None = None
    callback: Callback = Callback()
    connectors: list[Connector] = []
    open_transactions: list[Transaction] = []
    manners: dict[str, str] = {}
    counters: Counters = Counters()
    last_error_at: str | None = None
    moved: bool = False
    addresses_to_type: Addresses


class ChargePoints(Fact, frozen=True, kw_only=True):
    """A page of them, by identity; `total` is how many the filter takes."""

    items: list[Summary]
    total: int
    next: str | None = None


# Steering.


class CallFailure(Fact, frozen=True, kw_only=True):
    """A CALLERROR, or the Fault that says the same."""

    code: str
    description: str
    details: dict[str, Any]


class CallOutcome(Fact, frozen=True, kw_only=True):
    """The Charge Point's answer to a command: `payload` of a result, `error` of an error."""

    unique_id: str
    outcome: Literal["result", "error"]
    payload: Any = None
    error: CallFailure | None = None
    ms: float


class Moved(Fact, frozen=True, kw_only=True, rename={"from_": "from"}):
    """From one Central System to another. `kept`: it survives a restart; false while the store is in trouble."""

    from_: str | None
    to: str | None
    audit_id: int
    kept: bool


class Audited(Fact, frozen=True, kw_only=True):
    """What an operator did: `who` asked, from where; `what` for; and how it ended."""

    id: int
    at: str
    identity: str
    who: str
    what: str
    detail: str
    outcome: str


class Audits(Fact, frozen=True, kw_only=True):
    """The newest first."""

    items: list[Audited]
    next: str | None = None


# The configuration as it is in force.


class RouteFact(Fact, frozen=True, kw_only=True):
    """One Route, in the order in which they are tried. `quirks` are those that it sets."""

    charge_point: str
    central_system: str
    central_system_identity: str | None = None
    tolerance: str
    accept: str
    quirks: dict[str, Any] = {}


class MovedFact(Fact, frozen=True, kw_only=True):
    """A Charge Point that an operator moved. `in_force` is false if that Central System is gone from the file."""

    identity: str
    central_system: str
    in_force: bool


class Routes(Fact, frozen=True, kw_only=True):
    """Who belongs where."""

    items: list[RouteFact]
    moved: list[MovedFact]


class CentralSystemFact(Fact, frozen=True, kw_only=True):
    """One Central System, how many Sessions belong to it, and how their Links to it are."""

    name: str
    protocol: str
    url: str
    sessions: int = 0
    connected: int = 0
    unreachable: int = 0
    degraded: bool = False


class CentralSystems(Fact, frozen=True, kw_only=True):
    """All of them."""

    items: list[CentralSystemFact]


class ActionForm(Fact, frozen=True, kw_only=True):
    """What a form for an action needs. `direction` says who may send it; `dangerous`: ask before sending it."""

    direction: list[Literal["charge_point", "central_system"]]
    profile: str
    dangerous: bool
    request_schema: dict[str, Any]


# What the live stream says, beside messages.


class Happening(Fact, frozen=True, kw_only=True):
    """A link, or something else about a Charge Point, changed: `what` it is, and why."""

    identity: str
    at: str
    what: str
    party: Literal["charge_point", "central_system"] | None = None
    central_system: str | None = None
    reason: str | None = None


class Refusal(Fact, frozen=True, kw_only=True):
    """Somebody or something was turned away before it became a Call: `why` in a word, `reason` in a sentence. `status`
    is that of HTTP, of a WebSocket."""

    identity: str | None
    peer: str | None
    at: str
    reason: str
    why: str
    code: str | None = None
    status: int | None = None
    unique_id: str | None = None
    sender: Literal["charge_point", "central_system"] | None = field(name="from", default=None)


class Gap(Fact, frozen=True, kw_only=True):
    """Events were missed: what is shown must be fetched again."""

    reason: str


def moment(seconds: float) -> str:
    """Unix seconds as the API writes points in time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
