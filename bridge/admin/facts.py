"""The records of the API's answers. The JSON and the OpenAPI document are both made from these records.

A time is ISO 8601 in UTC with Z. A duration is in seconds unless its name ends in ms.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct, field

from bridge.core.state import State

Transport = Literal["soap", "json"]
LinkStatus = Literal["up", "down"]


class Fact(Struct, frozen=True, kw_only=True):
    """The base class of all records in answers."""


# The program.


class About(Fact, frozen=True, kw_only=True):
    """What runs here, and what who asks may do.

    Attributes:
        commit: The commit that the program was built from; None if that is unknown.
        role: "read" permits no changes.
    """

    version: str
    commit: str | None
    python: str
    role: Literal["read", "operate"]


# Charge Points.


class ChargePointSide(Fact, frozen=True, kw_only=True):
    """The connection to the Charge Point. `version` is the OCPP version, or a subprotocol that is forwarded unread.

    `state` of a SOAP Charge Point says whether it can be called back.
    """

    transport: Transport
    version: str
    state: LinkStatus


class CentralSide(Fact, frozen=True, kw_only=True):
    """The connection to the Central System.

    `failures` is the number of failed attempts since the last success. `reason` says why the connection is not up.
    """

    transport: Transport
    version: str
    state: LinkStatus
    failures: int = 0
    reason: str | None = None


class Summary(Fact, frozen=True, kw_only=True):
    """A Charge Point in a list.

    Attributes:
        state: The state of the Charge Point. The first that fits: `never_seen`, `down`, `stale`, `no_central_system`,
            `up`.
        vendor: As the last BootNotification has it, whether or not a Central System accepted that. So are `model` and
            `firmware` and `serial`, which is the serial number of the Charge Point, else that of its box.
        address: The address of the peer, or the callback address.
        faulted: The connectors whose last status is Faulted.
        route: The glob of the Route that matches the identity; None if no Route matches.
        charge_point: The connection to the Charge Point; None if it was never heard of.
        last_seen: When its last message came, or the last Ping or Pong of its WebSocket.
        accepted: A Central System has accepted a BootNotification of the Charge Point.
        transactions: The number of open transactions.
        waiting: The number of Calls in progress.
        calls: The number of Calls that ended since the start of the bridge.
        errors: The number of errors, of unanswered Calls, and of refused messages and handshakes since then.
    """

    identity: str
    state: State
    vendor: str | None = None
    model: str | None = None
    firmware: str | None = None
    serial: str | None = None
    address: str | None = None
    faulted: list[int] = []
    route: str | None = None
    central_system: str | None = None
    charge_point: ChargePointSide | None = None
    central_side: CentralSide | None = None
    last_seen: str | None = None
    heartbeat_interval: int | None = None
    accepted: bool = False
    transactions: int = 0
    waiting: int = 0
    calls: int = 0
    errors: int = 0
    last_error: str | None = None
    last_error_at: str | None = None


class Callback(Fact, frozen=True, kw_only=True):
    """The callback address of a SOAP Charge Point: the URL, its source, and the reason if there is no URL."""

    url: str | None = None
    source: Literal["configured", "learnt", "guessed", "none"] = "none"
    reason: str | None = None


class Connector(Fact, frozen=True, kw_only=True):
    """The last reported status of a connector, and its open transaction."""

    number: int
    status: str | None = None
    transaction_id: int | None = None


class Transaction(Fact, frozen=True, kw_only=True):
    """A transaction that has started and not stopped."""

    connector: int
    transaction_id: int


class Counters(Fact, frozen=True, kw_only=True):
    """Counts of one Charge Point since the start of the bridge."""

    calls: int = 0
    results: int = 0
    errors: int = 0
    unanswered: int = 0
    refused: int = 0
    losses: int = 0
    dropped: int = 0


class Addresses(Fact, frozen=True, kw_only=True):
    """The addresses to configure in a Charge Point, and in a Central System that speaks SOAP."""

    soap: list[str]
    json: list[str]
    central_systems_to_bridge: list[str]


class WaitingMoveFact(Fact, frozen=True, kw_only=True):
    """A move of one Charge Point that waits.

    Attributes:
        central_system: The new Central System, None if no Route takes the Charge Point.
        open_transactions: The number of open transactions.
        move: The number of the move of several Charge Points that it belongs to, None for none.
        when: "idle" if it waits until no transaction is open, and until the new Central System has got all that it is
            owed as an observer; "now" if it waits for the latter only.
    """

    identity: str
    central_system: str | None
    who: str
    at: str
    open_transactions: int
    move: int | None = None
    when: str = "idle"


class Details(Summary, frozen=True, kw_only=True):
    """A Charge Point with all details.

    Attributes:
        name: The identity towards the Central System.
        manners: The settings that differ from the defaults.
        moved: An operator chose the Central System.
        settings: Where the Charge Point's own settings are from: the configuration file, or an operator through the
            API; None if it has none.
        waiting_move: The move that waits.
        addresses_to_type: The addresses to configure in this Charge Point.
    """

    name: str
    callback: Callback = Callback()
    connectors: list[Connector] = []
    open_transactions: list[Transaction] = []
    manners: dict[str, str] = {}
    counters: Counters = Counters()
    moved: bool = False
    settings: Literal["file", "api"] | None = None
    waiting_move: WaitingMoveFact | None = None
    addresses_to_type: Addresses


class ChargePoints(Fact, frozen=True, kw_only=True):
    """A page of Charge Points, in the order that was asked for.

    Attributes:
        total: The number of Charge Points that the filter matches.
        states: The number of Charge Points in each state, among those that the filter matches when its state is left
            out.
    """

    items: list[Summary]
    total: int
    states: dict[State, int]
    next: str | None = None


class ValueCount(Fact, frozen=True, kw_only=True):
    """A value, and the number of Charge Points that have it."""

    value: str
    count: int


class ChargePointValues(Fact, frozen=True, kw_only=True):
    """The vendors, models and firmware versions of the known Charge Points, the 200 most frequent of each."""

    vendors: list[ValueCount]
    models: list[ValueCount]
    firmwares: list[ValueCount]


# Commands of operators.


class CallFailure(Fact, frozen=True, kw_only=True):
    """A CALLERROR, or the same error in a Fault."""

    code: str
    description: str
    details: dict[str, Any]


class CallOutcome(Fact, frozen=True, kw_only=True):
    """The Charge Point's answer to a command: `payload` of a CALLRESULT, or `error`. `ms` is the time to the answer."""

    unique_id: str
    outcome: Literal["result", "error"]
    payload: Any = None
    error: CallFailure | None = None
    ms: float


class Moved(Fact, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A move between Central Systems.

    Attributes:
        kept: The move survives a restart; false if the store failed.
        waits: The move takes effect as soon as nothing stands against it: `waiting_move` says what.
    """

    from_: str | None
    to: str | None
    audit_id: int
    kept: bool
    waits: bool = False


class Audited(Fact, frozen=True, kw_only=True):
    """An action of an operator: who did what in detail, and the outcome. `identity` is "" for several Charge Points."""

    id: int
    at: str
    identity: str
    who: str
    what: str
    detail: str
    outcome: str


class Audits(Fact, frozen=True, kw_only=True):
    """A page of the audit, the newest entry first."""

    items: list[Audited]
    next: str | None = None


# The configuration that is in force.


class FurtherCentralSystemFact(Fact, frozen=True, kw_only=True):
    """A Central System that gets the messages of a Route's Charge Points as well. A shadow's answers are compared."""

    central_system: str
    role: Literal["observer", "shadow"]


class RouteFact(Fact, frozen=True, kw_only=True):
    """A Route. Routes are matched in order.

    Attributes:
        quirks: The quirks that the Route sets.
        charge_points: The number of known Charge Points that it takes. If two Routes have the same glob, the first has
            all of them.
    """

    charge_point: str
    central_system: str
    central_system_identity: str | None = None
    tolerance: str
    accept: str
    quirks: dict[str, Any] = {}
    charge_points: int = 0
    also: list[FurtherCentralSystemFact] = []


class MovedFact(Fact, frozen=True, kw_only=True):
    """A Charge Point that an operator moved. `in_force` is false if the configuration lacks that Central System."""

    identity: str
    central_system: str
    in_force: bool


class Routes(Fact, frozen=True, kw_only=True):
    """The Routes in order, and the Charge Points that operators moved."""

    items: list[RouteFact]
    moved: list[MovedFact]


class CentralSystemFact(Fact, frozen=True, kw_only=True):
    """A Central System, the number of its Charge Points, and the state of the connections for these Charge Points.

    Attributes:
        charge_points: The number of known Charge Points that are with it, whether or not they are there.
        sessions: The number of these with a Session.
        connected: The number of open connections.
        unreachable: The number of Charge Points for which the last attempt to connect failed.
        down: The number of those that speak JSON, and are down because they are let in only with their Central System.
        degraded: A connection cannot be opened, or what answers is no Central System.
        since: When the longest present outage began; None without an outage, or if the begin was not observed.
        misconfigured: HTTP status and media type of the last response to a POST, if it was no answer of the service.
        observes: What it is in routes of which it is not the main Central System; empty if it is in none.
        observer_trouble: Why messages wait for it as that, None without trouble.
        open_transactions: The number of open transactions that it named.
        last_failure: Why it was last not reached since the start of the bridge; None if it always was.
        last_failure_at: When that was.
        p50_ms: The time that half of its answers in the last five minutes took at most, within 8 %; None without any.
        p99_ms: The time that 99 of 100 of them took at most.
    """

    name: str
    protocol: str
    url: str
    charge_points: int = 0
    sessions: int = 0
    connected: int = 0
    unreachable: int = 0
    down: int = 0
    degraded: bool = False
    since: str | None = None
    misconfigured: str | None = None
    observes: list[Literal["observer", "shadow"]] = []
    observer_trouble: str | None = None
    open_transactions: int = 0
    last_failure: str | None = None
    last_failure_at: str | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None


class CentralSystems(Fact, frozen=True, kw_only=True):
    """All Central Systems."""

    items: list[CentralSystemFact]


class TenantFact(Fact, frozen=True, kw_only=True):
    """A tenant. `hosts` are the host names in the address of its Charge Points. The default tenant is `default`."""

    name: str
    hosts: list[str]


class Tenants(Fact, frozen=True, kw_only=True):
    """The tenants, the default tenant first."""

    items: list[TenantFact]


class ActionForm(Fact, frozen=True, kw_only=True):
    """The data of a form for an action. `direction` has the parties that may send it; confirm a `dangerous` action."""

    direction: list[Literal["charge_point", "central_system"]]
    profile: str
    dangerous: bool
    request_schema: dict[str, Any]


# The events of the live stream, besides messages.


class Happening(Fact, frozen=True, kw_only=True):
    """A change of a connection or of a Charge Point: what changed, and the reason."""

    identity: str
    at: str
    what: str
    party: Literal["charge_point", "central_system"] | None = None
    central_system: str | None = None
    reason: str | None = None


class Refusal(Fact, frozen=True, kw_only=True):
    """A message, a connection or a handshake that was refused before it became a Call.

    `why` is the reason as one word, `reason` as a sentence. `status` is the HTTP status of a refused handshake.
    """

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
    """Events were missed. The client must fetch again what it shows."""

    reason: str


def moment(seconds: float) -> str:
    """Return unix seconds in the API's form of a time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
