"""The records of the API about the fleet as a whole: what is wrong, the last hour, observers, losses, quirk packs."""

from __future__ import annotations

from typing import Any, Literal

from bridge.admin.facts import Audited, Fact
from bridge.admin.moves import MoveSummary
from bridge.core.state import State


class Hour(Fact, frozen=True, kw_only=True):
    """The last 60 complete minutes, or those since the start of the bridge. Each list has a value for each minute.

    Attributes:
        first: When the first minute began; None while there is no complete minute.
        messages: The number of Calls that ended, and of refused messages and handshakes.
        errors: Of these, the number that ended with an error, without an answer, or refused.
        p50_ms: The time from a Call to its answer that half of the Calls took at most, within 8 %; None without Calls.
        p99_ms: The time that 99 of 100 Calls took at most.
        transactions: The number of open transactions at the end of the minute.
    """

    first: str | None
    messages: list[int]
    errors: list[int]
    p50_ms: list[float | None]
    p99_ms: list[float | None]
    transactions: list[int]


class Alarm(Fact, frozen=True, kw_only=True):
    """Something that is wrong now.

    Attributes:
        kind: What it is about. `caution` is about the configuration, as `ocpp-bridge check` says it;
            `configuration` about a file that is not what the bridge runs with.
        severity: `bad` is an outage; `warning` is not, or not yet.
        text: A sentence about it.
        subject: The name of the Central System, of the receiver or of the table of the configuration, the errorCode,
            the number of the move, or None.
        count: The number of Charge Points or fields that it concerns, None if there is nothing to count.
        since: When it began, None if that is not known.
    """

    kind: Literal[
        "central_system_away",
        "central_system_misconfigured",
        "store",
        "listener",
        "node",
        "receiver",
        "observer",
        "draining",
        "certificate",
        "down",
        "stale",
        "no_central_system",
        "fault",
        "move_stopped",
        "moved_nowhere",
        "losses",
        "configuration",
        "caution",
    ]
    severity: Literal["bad", "warning"]
    text: str
    subject: str | None = None
    count: int | None = None
    since: str | None = None


class FaultFact(Fact, frozen=True, kw_only=True):
    """The connectors that report Faulted with an errorCode. `identity` is one of their Charge Points."""

    error_code: str
    connectors: int
    charge_points: int
    identity: str


class LossFact(Fact, frozen=True, kw_only=True):
    """A kind of loss since the start of the bridge.

    Attributes:
        action: The action of the message.
        message: The request or the response, by its name in the WSDL.
        field: The path in the message without indexes; "" for the message itself.
        reason: Why the value was dropped, altered or assumed.
        dropped: Something that the sender wrote did not arrive, and should have.
        central_system: The Central System at the other end, which may be a further one; "" if none is known.
        count: How often that happened.
        at: When it happened last.
        identity: The Charge Point of the last time.
    """

    action: str
    message: str
    field: str
    reason: str
    dropped: bool
    central_system: str
    count: int
    at: str
    identity: str


class LossFacts(Fact, frozen=True, kw_only=True):
    """All kinds of losses, the most frequent first."""

    items: list[LossFact]


class ObserverFact(Fact, frozen=True, kw_only=True):
    """A further Central System: what waits for it.

    Attributes:
        central_system: Its name.
        roles: What it is in routes: an observer, a shadow, or both.
        routes: The globs of these routes.
        waiting: The number of messages that wait for it.
        octets: Their size.
        oldest: When the oldest of them came, None if none waits.
        halted: The number of Charge Points whose messages wait behind a StartTransaction or StopTransaction that got
            no answer.
        trouble: Why messages wait, None without trouble.
        lost: The number of messages that it never gets since the start, by reason. None where tenants share the bridge:
            they are counted together.
    """

    central_system: str
    roles: list[Literal["observer", "shadow"]]
    routes: list[str]
    waiting: int
    octets: int
    oldest: str | None
    halted: int
    trouble: str | None
    lost: dict[str, int] | None


class ObserverFacts(Fact, frozen=True, kw_only=True):
    """The further Central Systems by name."""

    items: list[ObserverFact]


class PackMatch(Fact, frozen=True, kw_only=True):
    """Globs on the fields of a BootNotification."""

    vendor: str
    model: str
    firmware: str


class PackFact(Fact, frozen=True, kw_only=True):
    """A quirk pack of the configuration.

    Attributes:
        evidence: How the need for the settings is known.
        match: The Charge Points that the pack is for.
        settings: The settings.
        charge_points: The number of known Charge Points that the pack matches.
        identity: One of them, None for none.
    """

    evidence: str
    match: PackMatch
    settings: dict[str, Any]
    charge_points: int
    identity: str | None


class PackFacts(Fact, frozen=True, kw_only=True):
    """The quirk packs in their order. If several set a key, the first one that matches decides."""

    items: list[PackFact]


class NodeFact(Fact, frozen=True, kw_only=True):
    """A process of the bridge.

    Attributes:
        name: The name of the node.
        answers: Whether it has answered. The Charge Points of one that has not are counted nowhere.
        slots: The number of slots, of 1024, whose Charge Points it has; None if it has not answered.
    """

    name: str
    answers: bool
    slots: int | None


class Overview(Fact, frozen=True, kw_only=True):
    """The fleet at a glance.

    Attributes:
        alarms: What is wrong now, the worst first.
        states: The number of known Charge Points in each state.
        transactions: The number of open transactions of Charge Points with a Session.
        faults: The faulted connectors, by errorCode.
        losses: The most frequent losses since the start.
        moves: The newest moves of several Charge Points.
        moved: The newest entries of the audit about moves of single Charge Points.
        waiting_moves: The number of Charge Points whose move waits until they have no open transaction.
        hour: The last hour.
        nodes: The processes of the bridge by name; none if there is a single one.
    """

    alarms: list[Alarm]
    states: dict[State, int]
    transactions: int
    faults: list[FaultFact]
    losses: list[LossFact]
    moves: list[MoveSummary]
    moved: list[Audited]
    waiting_moves: int
    hour: Hour
    nodes: list[NodeFact]
