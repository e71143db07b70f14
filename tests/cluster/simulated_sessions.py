"""Charge Points that charge while the processes of their cluster die, freeze and are cut off: the real Session and the
real Ownership, without sockets.

A Charge Point sends StartTransaction, MeterValues and StopTransaction, each through any process that runs, until it is
answered. Its Session is at the process that has its slot; a process that takes the slot over begins the Session with
the records that were written. Every message at the Central System and every answer is put down in a ledger.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random
from typing import Any

from bridge.cluster.slots import slot_of
from bridge.core.charge_point import ChargePoint
from bridge.core.commands import CloseLink, Keep, Note, OpenLink, SendAnswer, SendCall, SetTimer
from bridge.core.connectors import ConnectorState, LastStatus
from bridge.core.events import AnswerReceived, CallReceived, Event, LinkDown, LinkUp, RecordsKept, TimerFired
from bridge.core.links import SessionTerms, Side
from bridge.core.memory import Record, SessionMemory
from bridge.core.repetitions import Answered, Asked
from bridge.core.session import Session
from bridge.core.transactions import KnownTransaction
from bridge.ocpp.actions import Party
from bridge.ocpp.enums import AuthorizationStatus
from bridge.ocpp.messages import (
    MeterValuesRequest,
    MeterValuesResponse,
    StartTransactionRequest,
    StartTransactionResponse,
    StopTransactionRequest,
    StopTransactionResponse,
)
from bridge.ocpp.rpc import Call, CallResult
from bridge.ocpp.types import IdTagInfo, MeterValue, SampledValue
from tests.cluster.simulated import LEASE, Cluster, Node, inflict

# The Charge Points that there could be.
_IDENTITIES = 1_000_000
NEAR, FAR = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
TERMS = SessionTerms(call_timeout=5.0, central_system="main")
# Seconds: a message between processes and parties; the means of an answer of the Central System and of a commit, slow
# so that many are under way when something happens; the pause of a Charge Point without an answer.
HOP, THINKS, COMMITS, AGAIN = 0.003, 0.5, 0.5, 8.0
METER = 2
_ACTIONS = ("", "StartTransaction", "MeterValues", "StopTransaction")
AT = "2026-11-30T12:00:00Z"


@dataclass(slots=True)
class Ledger:
    """What was seen on the wires.

    Attributes:
        arrived: The UniqueId and the process of each copy of a message at the Central System, by identity and number.
        sent: How often each process has sent a UniqueId while it held the slot under one epoch.
        told: The answers that a Charge Point got for one request, by its key.
        delivered: The messages that a Charge Point was told delivered.
    """

    arrived: dict[tuple[str, int], list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    sent: dict[tuple[str, str, int], int] = field(default_factory=lambda: defaultdict(int))
    told: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    delivered: set[tuple[str, int]] = field(default_factory=set)

    @property
    def lost(self) -> int:
        """The messages that a Charge Point was told delivered, and that never came."""
        return sum(message not in self.arrived for message in self.delivered)

    @property
    def doubled(self) -> int:
        """The transaction messages that came under a second UniqueId."""
        messages = [copies for (_, number), copies in self.arrived.items() if number != METER]
        return sum(len({unique_id for unique_id, _ in copies}) - 1 for copies in messages)

    @property
    def sent_again(self) -> int:
        """The transaction messages that a process has sent twice while it held the slot under one epoch."""
        ids = {copy[0] for (_, number), copies in self.arrived.items() if number != METER for copy in copies}
        return sum(times > 1 and key[1] in ids for key, times in self.sent.items())

    @property
    def answered_twice(self) -> int:
        """The requests that were answered more than once."""
        return sum(times > 1 for times in self.told.values())

    def __str__(self) -> str:
        copies = sum(map(len, self.arrived.values()))
        return (
            f"{len(self.delivered)} delivered, {copies} copies at the Central System, lost {self.lost}, "
            f"doubled {self.doubled}, sent again {self.sent_again}, answered twice {self.answered_twice}"
        )


class Fleet:
    """The Charge Points, their Central System, and the Sessions of all processes.

    Args:
        cluster: The processes.
        identities: The Charge Points. Each charges once.
        within: The seconds in which they begin.
        careless: Whether processes heed neither their lease nor what the stream refuses.
    """

    def __init__(self, cluster: Cluster, identities: list[str], within: float, *, careless: bool) -> None:
        self.careless = careless
        self.cluster = cluster
        self.ledger = Ledger()
        self.records: dict[str, dict[tuple[Any, ...], Record]] = defaultdict(dict)
        self.sessions: dict[tuple[Node, str], _Runner] = {}
        self.charging = [_Charging(self, identity, within) for identity in identities]
        self._keys = count(1)
        self.transactions: dict[str, int] = {}  # by UniqueId of the StartTransaction
        for node in cluster.nodes.values():
            self.add(node)

    def add(self, node: Node) -> None:
        """Let a process have Sessions. It ends those of the slots that it holds no more."""
        node.on_gone = partial(self._gone, node)

    def _gone(self, node: Node, slots: tuple[int, ...]) -> None:
        for key in [key for key in self.sessions if key[0] is node and slot_of(key[1]) in slots]:
            self.sessions.pop(key).has_ended = True

    @property
    def is_done(self) -> bool:
        """Whether every Charge Point has been told that its three messages are delivered."""
        return all(one.number > 3 for one in self.charging)

    def request(self, identity: str, call: Call, answered: Callable[[CallResult], None]) -> None:
        """Send a request to any process that runs, which passes it on to the one that has the Charge Point."""
        running = [node for node in self.cluster.nodes.values() if not node.is_dead and not node.has_stopped]
        if running:
            front, key = self.cluster.chance.choice(running), f"request {next(self._keys)}"
            self.cluster.later(HOP, lambda: self._pass_on(front, identity, call, key, answered, self.cluster.now))

    def _pass_on(
        self, front: Node, identity: str, call: Call, key: str, answered: Callable[[CallResult], None], since: float
    ) -> None:
        cluster, slot = self.cluster, slot_of(identity)
        if front.is_dead or front.has_stopped or cluster.now - since > 2 * LEASE:
            return
        if front.is_frozen:
            cluster.at(front.thaws_at, lambda: self._pass_on(front, identity, call, key, answered, since))
            return
        holder = cluster.nodes.get(front.ownership.holder(slot, front.time()) or "")
        if holder is None or slot not in holder.ready or not holder.may_use(slot):
            cluster.later(0.1, lambda: self._pass_on(front, identity, call, key, answered, since))
            return
        runner = self.sessions.get((holder, identity))
        if runner is None:
            runner = self.sessions[holder, identity] = _Runner(self, holder, identity)
        runner.requests[key] = answered
        runner.happen(CallReceived(at=holder.time(), party=NEAR, key=key, call=call))

    def write(self, node: Node, identity: str, records: tuple[Record, ...]) -> bool:
        """Write records as the stream does. Returns: whether the process has the slot still."""
        slot = slot_of(identity)
        epoch = node.ownership.held.get(slot, -1)
        if not self.cluster.stream.write(slot, epoch, node.ownership.incarnation):
            return False
        for record in records:
            self.records[identity][_key(record)] = record
        return True

    def memory_of(self, identity: str) -> SessionMemory:
        """Return what was written about a Charge Point."""
        kept = list(self.records[identity].values())
        return SessionMemory(
            answered=tuple(one for one in kept if isinstance(one, Answered)),
            asked=tuple(one for one in kept if isinstance(one, Asked)),
            transactions=tuple(one for one in kept if isinstance(one, KnownTransaction)),
            connectors=tuple(one for one in kept if isinstance(one, ConnectorState)),
            statuses=tuple(one for one in kept if isinstance(one, LastStatus)),
        )

    def arrive(self, runner: _Runner, call: Call) -> None:
        """Let a Call arrive at the Central System, which answers it a moment later."""
        self.ledger.arrived[runner.identity, _number(call)].append((call.unique_id, runner.node.ownership.incarnation))
        answer = CallResult(unique_id=call.unique_id, payload=self._answer(call))
        delay = self.cluster.chance.expovariate(1 / THINKS)
        self.cluster.later(
            delay, lambda: runner.happen(AnswerReceived(at=runner.node.time(), party=FAR, answer=answer))
        )

    def _answer(self, call: Call) -> Any:
        info = IdTagInfo(status=AuthorizationStatus.Accepted)
        match call.payload:
            case StartTransactionRequest():
                number = self.transactions.setdefault(call.unique_id, len(self.transactions) + 1)
                return StartTransactionResponse(transactionId=number, idTagInfo=info)
            case StopTransactionRequest():
                return StopTransactionResponse(idTagInfo=info)
        return MeterValuesResponse()


class _Runner:
    """One Session at one process, and what carries out its commands."""

    def __init__(self, fleet: Fleet, node: Node, identity: str) -> None:
        self.fleet, self.node, self.identity = fleet, node, identity
        self.epoch = node.ownership.held[slot_of(identity)]
        self.requests: dict[str, Callable[[CallResult], None]] = {}
        self.has_ended = False
        self._events: list[Event] = []
        self._busy = False
        self._timer: object = None
        chance = fleet.cluster.chance
        sides = {
            NEAR: Side(dialable=False, carries_answers=False, narrow_ids=True),
            FAR: Side(dialable=True, carries_answers=True),
        }
        session = Session(
            sides,
            TERMS,
            mint=lambda: f"{chance.getrandbits(64):016x}",
            chance=chance.random,
            memory=fleet.memory_of(identity),
        )
        self._state = ChargePoint(identity, session)

    def happen(self, event: Event) -> None:
        """Give the Session an event, as soon as the process runs and may act for the Charge Point."""
        if not self.has_ended and not self.node.is_dead and not self.node.has_stopped:
            self._events.append(event)
            self._go_on()

    def _go_on(self) -> None:
        if self._busy or self.has_ended or self.node.is_dead or self.node.has_stopped:
            return
        if self.node.is_frozen:
            self.fleet.cluster.at(self.node.thaws_at, self._go_on)
            return
        self._busy = True
        while self._events and self._may_act() and not self.has_ended:
            for command in self._state.session.handle(self._events.pop(0)):
                self._do(command)
        self._busy = False
        if self._events and not self.has_ended:
            self.fleet.cluster.later(0.1, self._go_on)

    def _may_act(self) -> bool:
        return self.fleet.careless or self.node.ownership.may_act(self.node.time())

    def _do(self, command: object) -> None:
        fleet, cluster, ledger = self.fleet, self.fleet.cluster, self.fleet.ledger
        match command:
            case SendCall(call=call):
                ledger.sent[self.identity, call.unique_id, self.epoch] += 1
                cluster.later(HOP, lambda: fleet.arrive(self, call))
            case SendAnswer(key=key, answer=answer):
                waits = self.requests.pop(key, None)
                if waits is not None and isinstance(answer, CallResult):
                    ledger.told[key] += 1
                    cluster.later(HOP, lambda: waits(answer))
            case Keep(key=key, records=records):
                cluster.later(cluster.chance.expovariate(1 / COMMITS), lambda: self._keep(key, records))
            case Note(records=records):
                fleet.write(self.node, self.identity, records)
            case SetTimer(at=at):
                token = self._timer = object()
                skew = self.node.time() - cluster.now
                cluster.at(at - skew + 1e-6, lambda: self._fire(token, at))
            case OpenLink(party=party):
                cluster.later(HOP, lambda: self.happen(LinkUp(at=self.node.time(), party=party)))
            case CloseLink(party=party):
                self.happen(LinkDown(at=self.node.time(), party=party, reason="closed"))

    def _keep(self, key: str, records: tuple[Record, ...]) -> None:
        """Write records, if the process can reach the stream. Without the outcome, nothing goes on."""
        node, cluster = self.node, self.fleet.cluster
        if node.is_dead or self.has_ended:
            return
        if node.is_frozen or cluster.now < node.cut_until:
            cluster.at(max(node.thaws_at, node.cut_until), lambda: self._keep(key, records))
        elif self.fleet.write(node, self.identity, records) or self.fleet.careless:
            self.happen(RecordsKept(at=node.time(), key=key))

    def _fire(self, token: object, at: float) -> None:
        if self._timer is token:
            self.happen(TimerFired(at=max(at, self.node.time())))


class _Charging:
    """A Charge Point that sends its three messages one after the other, each until it is answered."""

    def __init__(self, fleet: Fleet, identity: str, within: float) -> None:
        self._fleet, self._identity = fleet, identity
        self._transaction = 0
        self.number = 1
        fleet.cluster.later(fleet.cluster.chance.uniform(0, within), self._send)

    def _send(self) -> None:
        number = self.number
        if number > 3:
            return
        unique_id = f"urn:{self._identity}:{number}"
        call = Call(unique_id=unique_id, action=_ACTIONS[number], payload=self._payload(number))
        self._fleet.request(self._identity, call, lambda answer: self._answered(number, answer))
        self._fleet.cluster.later(AGAIN, lambda: self._send() if self.number == number else None)

    def _payload(self, number: int) -> Any:
        if number == 1:
            return StartTransactionRequest(connectorId=1, idTag="TAG", meterStart=number, timestamp=AT)
        if number == 3:
            return StopTransactionRequest(transactionId=self._transaction, meterStop=number, timestamp=AT)
        values = (MeterValue(timestamp=AT, sampledValue=(SampledValue(value=str(number)),)),)
        return MeterValuesRequest(connectorId=1, transactionId=self._transaction, meterValue=values)

    def _answered(self, number: int, answer: CallResult) -> None:
        if self.number != number:
            return
        if isinstance(answer.payload, StartTransactionResponse):
            self._transaction = answer.payload.transactionId
        self._fleet.ledger.delivered.add((self._identity, number))
        self.number += 1
        self._fleet.cluster.later(self._fleet.cluster.chance.uniform(0, 4 * LEASE), self._send)


def besieged(seed: int, *, nodes: int, sessions: int, faults: int, careless: bool = False) -> Fleet:
    """Let Charge Points charge, while so many faults happen to processes.

    Args:
        seed: Of all chance.
        nodes: The processes.
        sessions: The Charge Points, drawn from a million identities.
        faults: How often a process is killed, frozen, cut off, told to leave or started.
        careless: Whether processes heed neither their lease nor what the stream refuses, to see that it is found.

    Returns: The Charge Points, after all were answered or have given up.
    """
    chance = Random(seed)
    cluster = Cluster(seed)
    names = [f"n{number:02}" for number in range(nodes)]
    for name in names:
        cluster.start(name)
    cluster.run(4 * LEASE)
    fleet = Fleet(
        cluster,
        [f"CP{number}" for number in chance.sample(range(_IDENTITIES), sessions)],
        faults * LEASE / 2,
        careless=careless,
    )
    for _ in range(faults):
        name = chance.choice(names)
        inflict(cluster, chance.choice(("kill", "freeze", "cut", "leave", "start", "start")), name)
        if name in cluster.nodes:
            fleet.add(cluster.nodes[name])
        cluster.run(chance.uniform(0, LEASE))
    for name in names:
        inflict(cluster, "start", name)
        fleet.add(cluster.nodes[name])
    for _ in range(100):
        cluster.run(4 * LEASE)
        if fleet.is_done:
            break
    return fleet


def _number(call: Call) -> int:
    return _ACTIONS.index(call.action)


def _key(record: Record) -> tuple[Any, ...]:
    match record:
        case Asked(fingerprint=mark) | Answered(fingerprint=mark):
            return type(record), mark
        case KnownTransaction(number=number) | ConnectorState(number=number):
            return type(record), number
        case LastStatus(request=request):
            return type(record), request.connectorId
    return type(record), id(record)


def main() -> None:
    """Run one simulation of the size in the arguments, and print what it came to."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.simulated_sessions")
    for name, value in (("seed", 1), ("nodes", 30), ("sessions", 20_000), ("faults", 60)):
        parser.add_argument(f"--{name}", type=int, default=value)
    print(besieged(**vars(parser.parse_args())).ledger)


if __name__ == "__main__":
    main()
