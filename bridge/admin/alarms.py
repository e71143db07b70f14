"""Find what is wrong now with the bridge and its fleet, and say it in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from bridge.admin.facts import MovedFact
from bridge.admin.fleet_facts import Alarm, FaultFact, NodeFact
from bridge.admin.health import CentralSystemHealth, Health
from bridge.admin.moves import MoveSummary
from bridge.core.state import State


class Situation(Struct, frozen=True, kw_only=True):
    """The state of the bridge and its fleet, in which alarms are looked for.

    Attributes:
        health: The health of the bridge.
        reasons: Why each Central System was last not reached, by name.
        states: The number of known Charge Points in each state.
        faults: The faulted connectors.
        moves: The moves of several Charge Points.
        moved: The Charge Points that operators moved.
        dropped: The number of fields of which something was dropped in the last hour.
        cautions: What is doubtful in the configuration.
        nodes: The processes of the bridge.
        complaints: Why the configuration file was not taken over when it was last read; empty if it was.
        pending: The keys of the configuration that have changed since the start, and hold from the next one on.
    """

    health: Health
    reasons: Mapping[str, str] = {}
    states: Mapping[State, int] = {}
    faults: Sequence[FaultFact] = ()
    moves: Sequence[MoveSummary] = ()
    moved: Sequence[MovedFact] = ()
    dropped: int = 0
    cautions: Sequence[str] = ()
    nodes: Sequence[NodeFact] = ()
    complaints: Sequence[str] = ()
    pending: Sequence[str] = ()


def alarms(situation: Situation) -> list[Alarm]:
    """Return what is wrong, the worst first."""
    found = [
        *_bridge(situation.health),
        *_nodes(situation.nodes),
        *_central_systems(situation),
        *_observers(situation.health),
        *_certificates(situation.health),
        *_charge_points(situation),
        *_moves(situation),
        *_content(situation),
        *_configuration(situation),
    ]
    return sorted(found, key=lambda alarm: alarm.severity != "bad")


def _bridge(health: Health) -> Iterator[Alarm]:
    if health.draining:
        yield Alarm(kind="draining", severity="bad", text="The bridge is shutting down.")
    if health.store.trouble is not None:
        text = f"Nothing can be written to the store: {health.store.trouble}"
        yield Alarm(kind="store", severity="bad", text=text)
    for name, listener in health.listeners.items():
        if not listener.listening:
            text = f"The listener {name} at {listener.address} accepts no connections."
            yield Alarm(kind="listener", severity="bad", text=text, subject=name)
    for name, receiver in health.events.items():
        if receiver.trouble is not None:
            waiting = "1 event waits" if receiver.waiting == 1 else f"{receiver.waiting} events wait"
            text = f"Events are not delivered to {name}, {waiting}: {receiver.trouble}"
            yield Alarm(kind="receiver", severity="bad", text=text, subject=name, since=receiver.since)


def _nodes(nodes: Sequence[NodeFact]) -> Iterator[Alarm]:
    for node in nodes:
        if not node.answers:
            text = f"The node {node.name} does not answer: its Charge Points are counted nowhere here."
            yield Alarm(kind="node", severity="bad", text=text, subject=node.name)


def _central_systems(situation: Situation) -> Iterator[Alarm]:
    for name, system in situation.health.central_systems.items():
        if system.unreachable:
            yield Alarm(
                kind="central_system_away",
                severity="bad",
                text=_away(name, system, situation.reasons.get(name)),
                subject=name,
                count=system.unreachable,
                since=system.since,
            )
        if system.misconfigured is not None:
            text = f"What {name} answers to POSTs is no answer of a Central System: {system.misconfigured}"
            yield Alarm(kind="central_system_misconfigured", severity="bad", text=text, subject=name)


def _observers(health: Health) -> Iterator[Alarm]:
    for name, observer in health.observers.items():
        if observer.trouble is None and not observer.halted:
            continue
        system = health.central_systems.get(name)
        if system is not None and system.unreachable and not observer.halted:
            continue  # the alarm about the Central System that is away says it
        waiting = "1 message waits" if observer.waiting == 1 else f"{observer.waiting} messages wait"
        text = f"The further Central System {name} does not get all messages, {waiting}"
        if observer.halted:
            points = "1 Charge Point" if observer.halted == 1 else f"{observer.halted} Charge Points"
            text += f"; the queues of {points} are halted by a message of a transaction that it does not answer"
        text += "." if observer.trouble is None else f": {observer.trouble}"
        yield Alarm(kind="observer", severity="warning", text=text, subject=name, since=observer.oldest)


def _away(name: str, system: CentralSystemHealth, reason: str | None) -> str:
    text = f"The Central System {name} is {'away for some Charge Points' if system.connected else 'away'}"
    text += f": {reason}" if reason else "."
    if system.down:
        it_is = "1 Charge Point is" if system.down == 1 else f"{system.down} Charge Points are"
        text += f"{'.' if reason else ''} {it_is} down because of it: JSON Charge Points are let in only with it."
    return text


def _certificates(health: Health) -> Iterator[Alarm]:
    for table, certificate in health.certificates.items():
        over, days = certificate.days < 0, f"{certificate.days} day{'' if certificate.days == 1 else 's'}"
        text = f"The certificate of {table} " + (f"ended at {certificate.ends}." if over else f"ends in {days}.")
        yield Alarm(kind="certificate", severity="bad" if over else "warning", text=text, subject=table)


def _charge_points(situation: Situation) -> Iterator[Alarm]:
    states = situation.states
    systems = situation.health.central_systems.values()
    # The alarm about a Central System that is away counts its Charge Points already.
    if states.get("no_central_system", 0) > sum(system.unreachable - system.down for system in systems):
        text = "Charge Points are heard of and have no Central System."
        count = states["no_central_system"]
        yield Alarm(kind="no_central_system", severity="bad", text=text, count=count)
    for fault in situation.faults:
        connectors = "1 connector reports" if fault.connectors == 1 else f"{fault.connectors} connectors report"
        text = f"{connectors} Faulted: {fault.error_code}"
        yield Alarm(kind="fault", severity="warning", text=text, subject=fault.error_code, count=fault.charge_points)
    follow = sum(system.down for system in systems)
    if states.get("down", 0) > follow:
        others = " for another reason" if follow else ""
        text, count = f"Charge Points are down{others}.", states["down"] - follow
        yield Alarm(kind="down", severity="warning", text=text, count=count)
    if states.get("stale"):
        text = "Charge Points are stale: silent for longer than their heartbeat interval allows."
        yield Alarm(kind="stale", severity="warning", text=text, count=states["stale"])


def _moves(situation: Situation) -> Iterator[Alarm]:
    for move in situation.moves:
        if move.state == "stopped":
            text = f"Move {move.id} to {move.central_system} has stopped: {move.reason}"
            yield Alarm(kind="move_stopped", severity="warning", text=text, subject=str(move.id))
    nowhere: dict[str, int] = {}
    for moved in situation.moved:
        if not moved.in_force:
            nowhere[moved.central_system] = nowhere.get(moved.central_system, 0) + 1
    for name, count in nowhere.items():
        text = f"Charge Points were moved to {name}, which is not configured any more: their routes hold."
        yield Alarm(kind="moved_nowhere", severity="warning", text=text, subject=name, count=count)


def _content(situation: Situation) -> Iterator[Alarm]:
    if situation.dropped:
        text = "Fields of messages lost content in the last hour."
        yield Alarm(kind="losses", severity="warning", text=text, count=situation.dropped)


def _configuration(situation: Situation) -> Iterator[Alarm]:
    if situation.complaints:
        first, more = situation.complaints[0], len(situation.complaints) - 1
        text = f"The configuration file was not taken over, and the former one holds: {first}"
        text += f" ({more} more in the log)" if more else ""
        yield Alarm(kind="configuration", severity="warning", text=text)
    if situation.pending:
        text = f"Changed in the configuration file, to hold from the next start on: {', '.join(situation.pending)}"
        yield Alarm(kind="configuration", severity="warning", text=text)
    for caution in situation.cautions:
        yield Alarm(kind="caution", severity="warning", text=caution)
