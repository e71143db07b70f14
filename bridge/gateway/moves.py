"""Carry out moves of several Charge Points: what `core.moves` decides, with the clock of the event loop.

A Charge Point has come to its new Central System when the bridge has a connection to that in its name, and the
BootNotification that the bridge sends there first, if one is due, was accepted.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from fnmatch import translate
from heapq import nlargest
from http import HTTPStatus
from typing import Any

import msgspec

from bridge.admin.facts import WaitingMoveFact, moment
from bridge.admin.moves import MoveDetails, MoveMemberFact, MovesFact, MoveSummary, MovesWanted
from bridge.admin.problems import RequestRefused
from bridge.core.commands import Outcome
from bridge.core.links import Status
from bridge.core.moves import (
    ACTIVE,
    Choose,
    MemberState,
    Move,
    MoveCommand,
    MoveMachine,
    MoveMember,
    MoveState,
    StopIf,
    WrongMoveState,
    selects,
)
from bridge.errors import Unavailable
from bridge.gateway.known import ViewSources
from bridge.gateway.move_nodes import FoundMembers, MemberView, MoveNodes, MoveStep, StepOutcome, ViewWanted
from bridge.gateway.route_choices import RouteChoices
from bridge.net.tasks import Tasks
from bridge.ocpp.actions import Party
from bridge.ocpp.enums import RegistrationStatus
from bridge.ocpp.identity import normal
from bridge.ocpp.tenants import identity_of, key_of, takes, tenant_of
from bridge.store import MoveRecord, RecordStore
from bridge.watching.facts import CallEnded, ChargePointRemoved, Fact, HandshakeRefused, LinkLost, LinkOpened

# Seconds that a Charge Point has to come to its Central System. One that speaks JSON connects again by itself.
WITHIN = 120.0
# Charge Points that begin, or are examined, before other work is served.
_SLICE = 20
# Seconds between two records of a move that goes on.
_SAVE_EVERY = 1.0
# Seconds between two looks at Charge Points of other processes that move.
_POLL_EVERY = 1.0
# Failed attempts to dial a Central System after which a Charge Point has failed.
_ATTEMPTS = 2
_MOST_NAMED = 5
ELSEWHERE = "it was moved elsewhere, or removed, meanwhile"
AWAY = "it is not connected now, and goes to its Central System when it comes"


class _Running:
    """A move that is not over: its machine, the commands that are not carried out, and its timers."""

    def __init__(self, machine: MoveMachine) -> None:
        self.machine = machine
        self.commands: list[MoveCommand] = []
        self.busy = False
        self.timer: asyncio.TimerHandle | None = None
        self.saving: asyncio.TimerHandle | None = None
        self.saved: MoveState | None = None  # the state in the last record
        self.polled = float("-inf")  # when other processes were last asked


class Moves:
    """Implements `bridge.admin.moves.MoveActions`, and watches what comes of each Charge Point that moves.

    Args:
        ground: Returns the sources of the facts about Charge Points.
        choices: Gives Charge Points to Central Systems.
        waiting: Returns a tenant's moves that wait until no transaction is open.
        store: Stores the moves.
        tasks: Owns the tasks.
        within: Seconds that a Charge Point has to come to its Central System.
    """

    def __init__(
        self,
        ground: Callable[[], ViewSources],
        choices: RouteChoices,
        waiting: Callable[[str], list[WaitingMoveFact]],
        store: RecordStore,
        tasks: Tasks,
        within: float = WITHIN,
    ) -> None:
        self._serves: Callable[[str], bool] = lambda key: True
        self._nodes: MoveNodes | None = None
        self._ground = ground
        self._choices = choices
        self._waiting = waiting
        self._store = store
        self._tasks = tasks
        self._within = within
        self._moves: dict[int, Move] = {}
        self._running: dict[int, _Running] = {}
        self._of: dict[str, _Running] = {}  # by casefolded identity
        self._looks: set[str] = set()  # casefolded identities that are looked at soon
        self._watched: dict[str, str] = {}  # why Charge Points that other processes move have failed, "" before that
        choices.took_effect = self._took_effect

    # Start and stop.

    def join(self, nodes: MoveNodes, serves: Callable[[str], bool]) -> None:
        """Become one of several processes, before `begin`.

        Args:
            nodes: The other processes.
            serves: Returns whether this process has a Charge Point.
        """
        self._nodes, self._serves = nodes, serves

    def begin(self) -> None:
        """Go on with the moves from before the last stop."""
        if self._nodes is not None:
            self._nodes.serve(self)
            self._tasks.spawn(self._follow(self._nodes), name="looking for moves without a process")
        self.read_again()

    def read_again(self) -> None:
        """Read the moves that other processes have written, and carry out those that nobody else does."""
        for record in self._store.moves():
            try:
                move = msgspec.json.decode(record.content, type=Move)
            except msgspec.MsgspecError:
                continue  # written by a version of the bridge with other types
            if (running := self._running.get(move.id)) is not None:
                if self._nodes is None or move.node == self._nodes.node:
                    continue
                self._give_up(running)  # another process took this one for dead
            self._moves[move.id] = move
        for move in sorted(self._moves.values(), key=lambda each: each.id):
            if move.state in ACTIVE and move.id not in self._running and self._is_mine(move):
                self._take_over(move)

    async def _follow(self, nodes: MoveNodes) -> None:
        """Take over the moves of processes that have died."""
        while True:
            await asyncio.sleep(_POLL_EVERY)
            if nodes.living() and any(
                move.state in ACTIVE and move.id not in self._running and self._is_mine(move)
                for move in self._moves.values()
            ):
                self.read_again()

    def node_of(self, number: int | None) -> str:
        """Return the process that carries out a move, or None for a new one; "" for a single process."""
        if self._nodes is None:
            return ""
        move, living = None if number is None else self._moves.get(number), self._nodes.living()
        if move is not None and move.node in living:
            return move.node
        return living[0] if living else self._nodes.node

    def _is_mine(self, move: Move) -> bool:
        return self._nodes is None or self.node_of(move.id) == self._nodes.node

    def _take_over(self, move: Move) -> None:
        """Go on with a move, after it was found what became of its Charge Points."""
        if self._nodes is not None:
            move.node = self._nodes.node
        running = self._run(move)
        for view in self.views_here(_wanted(running, move.members)):
            self._found(running, view)
        if self._nodes is None:
            self._poke(running)
            return
        running.busy = True
        self._tasks.spawn(self._find(running, self._nodes), name=f"taking over move {move.id}")

    async def _find(self, running: _Running, nodes: MoveNodes) -> None:
        try:
            members = [one for one in running.machine.move.members if not nodes.is_here(one.identity)]
            for view in await nodes.views(_wanted(running, members)):
                self._found(running, view)
        finally:
            running.busy = False
        self._save(running)
        self._poke(running)

    def _found(self, running: _Running, view: MemberView) -> None:
        """Correct a Charge Point by what is stored of it, which is newer than the record of the move."""
        machine = running.machine
        member = machine.of(view.identity)
        if member is None:
            return
        took_effect = not view.is_waiting and view.chosen == machine.target(member)
        machine.found(view.identity, self._now(), waits=view.waits, took_effect=took_effect)
        if took_effect and view.is_away:
            machine.arrived(view.identity, AWAY)

    def _give_up(self, running: _Running) -> None:
        """Do nothing more for a move, which another process carries out."""
        move = running.machine.move
        for timer in (running.timer, running.saving):
            if timer is not None:
                timer.cancel()
        del self._running[move.id]
        for member in move.members:
            self._of.pop(member.identity.casefold(), None)

    def close(self) -> None:
        """Store the moves that go on."""
        for running in self._running.values():
            for timer in (running.timer, running.saving):
                if timer is not None:
                    timer.cancel()
            self._save(running)

    # The API.

    async def create(self, wanted: MovesWanted, who: str, *, tenant: str) -> MoveDetails:
        """Begin a move, or say what it would do. Raises RequestRefused if it cannot be carried out as a whole."""
        try:
            StopIf.read(wanted.stop_if)
        except ValueError as error:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, str(error), path="stop_if") from error
        members = await self._members(wanted, tenant)
        node = "" if self._nodes is None else self._nodes.node
        named = wanted.charge_points
        selection = named if isinstance(named, str) else f"a list of {len(named)}"
        move = Move(
            id=max(self._moves, default=0) + 1,
            selection=selection if wanted.percent == 100 else f"{wanted.percent:g} % of {selection}",
            central_system=wanted.central_system,
            when=wanted.when,
            wave=wanted.wave,
            pause=wanted.pause,
            stop_if=wanted.stop_if,
            who=who,
            at=time.time(),
            members=members,
            tenant=tenant,
            node=node,
        )
        if wanted.dry_run:
            return _details(move, number=None)
        self._moves[move.id] = move
        running = self._run(move)
        self._audit(move, who, f"begun, {len(members)} Charge Points")
        self._save(running)
        self._poke(running)
        return _details(move, number=move.id)

    def all(self, *, tenant: str) -> MovesFact:
        """Return all moves, the newest first. Of those that another process carries out, what it has last stored."""
        newest = sorted(self._moves.values(), key=lambda move: -move.id)
        items = [_summary(move, move.id) for move in newest if move.tenant == tenant]
        return MovesFact(items=items, waiting=self._waiting(tenant))

    def own(self, *, tenant: str) -> list[int]:
        """Return the numbers of the moves of a tenant that this process carries out."""
        return [number for number, move in self._moves.items() if move.tenant == tenant and self._is_mine(move)]

    def newest(self, most: int, *, tenant: str) -> list[MoveSummary]:
        """Return the newest moves of a tenant, and `most` of them at most."""
        own = [number for number, move in self._moves.items() if move.tenant == tenant]
        return [_summary(self._moves[number], number) for number in nlargest(most, own)]

    def stopped(self, *, tenant: str) -> list[MoveSummary]:
        """Return the moves of a tenant that have stopped because too many Charge Points failed."""
        return [
            _summary(move, move.id)
            for move in self._moves.values()
            if move.state is MoveState.STOPPED and move.tenant == tenant
        ]

    def one(self, number: int, *, tenant: str) -> MoveDetails:
        """Return a move. Raises RequestRefused if there is none."""
        return _details(self._named(number, tenant), number=number)

    def pause(self, number: int, who: str, *, tenant: str) -> MoveSummary:
        """Begin no further Charge Point. Raises RequestRefused."""
        return self._told(self._named(number, tenant), who, "paused", lambda machine: machine.pause())

    def resume(self, number: int, who: str, *, tenant: str) -> MoveSummary:
        """Go on with a move that was paused or has stopped. Raises RequestRefused."""
        move = self._named(number, tenant)
        return self._told(move, who, "resumed", lambda machine: machine.resume(self._now()))

    def rollback(self, number: int, who: str, *, tenant: str) -> MoveSummary:
        """Give every Charge Point back to the Central System that it had before. Raises RequestRefused."""
        move = self._named(number, tenant)
        return self._told(move, who, "rollback begun", lambda machine: machine.rollback(self._now()))

    def counts(self) -> dict[str, int]:
        """Return the number of moves in each state, of those that this process carries out."""
        found = Counter(move.state for move in self._moves.values() if self._is_mine(move))
        return {state.value: found[state] for state in MoveState}

    def _told(
        self, move: Move, who: str, outcome: str, tell: Callable[[MoveMachine], list[MoveCommand]]
    ) -> MoveSummary:
        running = self._running.get(move.id)
        machine = MoveMachine(move, self._now(), self._within) if running is None else running.machine
        if running is None:
            self._refuse_overlap(member.identity for member in move.members)
        try:
            commands = tell(machine)
        except WrongMoveState as error:
            raise RequestRefused(HTTPStatus.CONFLICT, str(error)) from error
        if running is None:
            move.node = "" if self._nodes is None else self._nodes.node
            running = self._run(move, machine)
        running.commands += commands
        self._audit(move, who, outcome)
        self._save(running)
        self._poke(running)
        return _summary(move, move.id)

    def _named(self, number: int, tenant: str) -> Move:
        move = self._moves.get(number)
        if move is None or move.tenant != tenant:
            raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no move {number}")
        return move

    async def _members(self, wanted: MovesWanted, tenant: str) -> list[MoveMember]:
        """Return the Charge Points to move. Raises RequestRefused if there is none, or if one cannot be moved."""
        target = wanted.central_system
        system = self._ground().settings().central_systems.get(target)
        if system is None or not takes(system.tenant, tenant):
            text = f"no Central System of the configuration is called {target!r}"
            raise RequestRefused(HTTPStatus.BAD_REQUEST, text, path="central_system")
        parts = [await self.members_here(wanted, tenant)]
        if self._nodes is not None:
            try:
                parts += await self._nodes.members(wanted, tenant)
            except Unavailable as error:
                raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, error.description) from error
        keys, refused = sum(part.keys for part in parts), [text for part in parts for text in part.refused]
        if refused:
            text = f"{len(refused)} of {keys} Charge Points cannot be moved: {_some(refused, '; ')}"
            raise RequestRefused(HTTPStatus.CONFLICT, text)
        found = [member for part in parts for member in part.members]
        if not found:
            text = f"all that fit are at {target!r} already" if keys else "no Charge Point fits"
            raise RequestRefused(HTTPStatus.CONFLICT, text)
        if len(parts) > 1:
            found.sort(key=_order(wanted, tenant))
        self._refuse_overlap(member.identity for member in found)
        return found

    async def members_here(self, wanted: MovesWanted, tenant: str) -> FoundMembers:
        """Return the Charge Points of this process that a move would have. Other work is served in between."""
        target, persistence = wanted.central_system, self._ground().persistence
        if isinstance(wanted.charge_points, str):
            fits = re.compile(translate(wanted.charge_points.casefold())).match
            known = tuple(persistence.keys())
            keys = [key for key in known if tenant_of(key) == tenant and fits(identity_of(key))]
        else:
            keys = list(dict.fromkeys(_key_of(tenant, identity) for identity in wanted.charge_points))
            keys = list({key.casefold(): key for key in keys}.values())
        keys = [key for key in keys if self._serves(key) and selects(key, wanted.percent)]
        found: list[MoveMember] = []
        refused: list[str] = []
        for number, key in enumerate(keys):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            try:
                identity = self._choices.checked(key, target)
            except RequestRefused as error:
                refused.append(f"{identity_of(key)}: {error.detail}")
                continue
            waiting = persistence.waiting_move(identity)
            leaves = waiting is not None and waiting.central_system != target
            if leaves or self._choices.place_of(identity) != target:
                found.append(MoveMember(identity=identity, before=persistence.moved_to(identity)))
        return FoundMembers(keys=len(keys), members=found, refused=refused)

    def _refuse_overlap(self, identities: Iterable[str]) -> None:
        """Raise RequestRefused if a move that is not over has one of the Charge Points."""
        elsewhere = {
            member.identity.casefold(): move.id
            for move in self._moves.values()
            if move.state in ACTIVE and move.id not in self._running
            for member in move.members
        }
        for identity in identities:
            folded = identity.casefold()
            other = self._of[folded].machine.move.id if folded in self._of else elsewhere.get(folded)
            if other is not None:
                text = f"move {other}, which is not over, has the Charge Point {identity_of(identity)!r} already"
                raise RequestRefused(HTTPStatus.CONFLICT, text)

    # The machines.

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _run(self, move: Move, machine: MoveMachine | None = None) -> _Running:
        running = _Running(machine or MoveMachine(move, self._now(), self._within))
        self._running[move.id] = running
        self._of.update((member.identity.casefold(), running) for member in move.members)
        return running

    def _poke(self, running: _Running) -> None:
        if not running.busy:
            running.busy = True
            self._tasks.spawn(self._work(running), name=f"move {running.machine.move.id}")

    async def _work(self, running: _Running) -> None:
        """Carry out what is due. Other work is served in between."""
        machine = running.machine
        try:
            if self._nodes is not None:
                await self._poll(running, self._nodes)
            while self._may_act() and (commands := running.commands + machine.advance(self._now())):
                running.commands = []
                elsewhere = []
                for number, command in enumerate(commands):
                    if number % _SLICE == 0:
                        await asyncio.sleep(0)
                    if self._nodes is None or self._nodes.is_here(command.identity):
                        self._do(running, command)
                    else:
                        elsewhere.append(command)
                for begin in range(0, len(elsewhere), _SLICE):
                    some = elsewhere[begin : begin + _SLICE]
                    await asyncio.gather(*(self._do_elsewhere(running, each) for each in some))
        finally:
            running.busy = False
        if self._running.get(machine.move.id) is running:
            self._settle(running)

    def _may_act(self) -> bool:
        return self._nodes is None or self._nodes.node in self._nodes.living()

    async def _poll(self, running: _Running, nodes: MoveNodes) -> None:
        """Learn what has come of Charge Points of other processes."""
        under_way = [one for one in running.machine.under_way() if not nodes.is_here(one.identity)]
        if not under_way or self._now() < running.polled + _POLL_EVERY:
            return
        running.polled = self._now()
        for view in await nodes.views(_wanted(running, under_way)):
            self._judge(running, view)

    def _settle(self, running: _Running) -> None:
        """Set the timer for what is due next, and store the move."""
        move = running.machine.move
        if running.timer is not None:
            running.timer.cancel()
            running.timer = None
        due = running.machine.due()
        if self._nodes is not None and move.state in ACTIVE and (not self._may_act() or running.machine.under_way()):
            due = min(due or float("inf"), self._now() + _POLL_EVERY)
        if due is not None:
            running.timer = asyncio.get_running_loop().call_at(due, self._tick, running)
        if move.state not in ACTIVE:
            if running.saving is not None:
                running.saving.cancel()
            del self._running[move.id]
            for member in move.members:
                del self._of[member.identity.casefold()]
            self._audit(move, move.who, _outcome(move))
        elif move.state is MoveState.STOPPED and running.saved is not MoveState.STOPPED:
            self._audit(move, move.who, f"stopped, {move.reason}")
        if move.state is not running.saved:
            self._save(running)
        elif running.saving is None:
            running.saving = asyncio.get_running_loop().call_later(_SAVE_EVERY, self._save, running)

    def _save(self, running: _Running) -> None:
        running.saving = None
        move = running.machine.stored(self._now())
        running.saved = move.state
        self._store.commit(MoveRecord(identity="", id=move.id, content=msgspec.json.encode(move)))

    def _tick(self, running: _Running) -> None:
        running.timer = None
        for member in running.machine.under_way():
            self._look(member.identity)
        self._poke(running)

    def _step(self, running: _Running, command: MoveCommand) -> MoveStep | None:
        """Return what is to be done for a command; None if the move was paused or rolled back meanwhile."""
        machine, move = running.machine, running.machine.move
        if not isinstance(command, Choose):
            return MoveStep(identity=command.identity, withdraws=True, move=move.id)
        member = machine.of(command.identity)
        overtaken = member is None or member.state is not MemberState.MOVING
        if member is None or overtaken or machine.target(member) != command.central_system:
            return None
        return MoveStep(
            identity=command.identity,
            central_system=command.central_system,
            when=command.when,
            only_from=move.central_system if move.state is MoveState.ROLLING_BACK else "",
            who=move.who,
            move=move.id,
        )

    def _do(self, running: _Running, command: MoveCommand) -> None:
        if (step := self._step(running, command)) is not None:
            self._done(running, step, self.step_here(step))

    async def _do_elsewhere(self, running: _Running, command: MoveCommand) -> None:
        assert self._nodes is not None
        if (step := self._step(running, command)) is None:
            return
        try:
            outcome = await self._nodes.step(step)
        except Unavailable as error:
            outcome = StepOutcome(outcome="failed", reason=error.description)
        self._done(running, step, self.step_here(step) if outcome is None else outcome)

    def _done(self, running: _Running, step: MoveStep, outcome: StepOutcome) -> None:
        """Take the outcome of a step."""
        if step.withdraws:
            return
        match outcome.outcome:
            case "waits":
                running.machine.waits(step.identity)
            case "failed":
                running.machine.failed(step.identity, outcome.reason)
            case "elsewhere":
                running.machine.arrived(step.identity, ELSEWHERE)
            case "done":
                running.machine.took_effect(step.identity, self._now())
                if outcome.is_away:
                    running.machine.arrived(step.identity, AWAY)

    def step_here(self, step: MoveStep) -> StepOutcome:
        """Carry out a step for a Charge Point of this process."""
        identity, persistence = step.identity, self._ground().persistence
        if step.withdraws:
            waiting = persistence.waiting_move(identity)
            if waiting is not None and waiting.move == step.move:
                self._choices.withdraw(identity)
            return StepOutcome(outcome="done")
        if step.only_from and persistence.moved_to(identity) != step.only_from:
            return StepOutcome(outcome="elsewhere")
        try:
            self._choices.checked(identity, step.central_system)
        except RequestRefused as error:
            return StepOutcome(outcome="failed", reason=error.detail)
        if identity.casefold() not in self._of:
            self._watched[identity.casefold()] = ""
        present = self._choices.is_present(identity)
        choice = self._choices.apply(identity, step.central_system, when=step.when, who=step.who, move=step.move)
        return StepOutcome(outcome="waits" if choice.waits else "done", is_away=not choice.waits and not present)

    def views_here(self, wanted: ViewWanted) -> list[MemberView]:
        """Return what this process knows about the Charge Points that it has."""
        return [
            self._view(identity, target, wanted.move) for identity, target in wanted.targets if self._serves(identity)
        ]

    def _view(self, identity: str, target: str | None, move: int) -> MemberView:
        persistence = self._ground().persistence
        waiting, record = persistence.waiting_move(identity), persistence.record_of(identity)
        name = target or self._ground().placements().routed(identity)
        failure = self._watched.get(identity.casefold()) or self._failure(identity, name)
        is_there = self._is_there(identity, name)
        if failure is not None or is_there:
            self._watched.pop(identity.casefold(), None)
        return MemberView(
            identity=identity,
            is_waiting=waiting is not None,
            waits=waiting is not None and waiting.move == move,
            chosen=persistence.moved_to(identity),
            is_there=is_there,
            is_away=record is None or not persistence.is_there(record),
            failure=failure,
        )

    # What comes of each Charge Point.

    def _took_effect(self, identity: str, present: bool) -> None:
        """Learn that a Charge Point was given to a Central System, by a move or by somebody else."""
        running = self._of.get(identity.casefold())
        member = None if running is None else running.machine.of(identity)
        if running is None or member is None or member.state not in (MemberState.MOVING, MemberState.WAITING):
            return
        machine = running.machine
        if self._ground().persistence.moved_to(identity) != machine.target(member):
            machine.failed(identity, ELSEWHERE)
        else:
            machine.took_effect(identity, self._now())
            if not present:
                machine.arrived(identity, AWAY)
        self._look_soon(identity)

    def see(self, fact: Fact) -> None:
        """Look at a Charge Point that moves after each event that may say what came of it."""
        if not self._of and not self._watched:
            return
        match fact:
            case CallEnded(identity, report):
                replay = report.own and report.call.action == "BootNotification"
                if replay and report.outcome is Outcome.ERROR:
                    self._fail(identity, "its BootNotification was answered with an error")
                self._look_soon(identity)
            case LinkOpened(identity) | LinkLost(identity) | ChargePointRemoved(identity):
                self._look_soon(identity)
            case HandshakeRefused(identity=str(identity)):
                self._fail(identity, fact.reason)

    def _fail(self, identity: str, reason: str) -> None:
        if identity.casefold() in self._watched:
            self._watched[identity.casefold()] = reason
        running = self._of.get(identity.casefold())
        member = None if running is None else running.machine.of(identity)
        if running is not None and member is not None and member.state is MemberState.MOVING:
            running.machine.failed(identity, reason)
            self._look_soon(identity)

    def _look_soon(self, identity: str) -> None:
        folded = identity.casefold()
        if folded in self._of and folded not in self._looks:
            self._looks.add(folded)
            asyncio.get_running_loop().call_soon(self._look_and_go_on, folded)

    def _look_and_go_on(self, folded: str) -> None:
        self._looks.discard(folded)
        self._look(folded)
        if (running := self._of.get(folded)) is not None:
            self._poke(running)

    def _look(self, identity: str) -> None:
        """Learn what has come of a Charge Point of this process, if anything has."""
        running = self._of.get(identity.casefold())
        member = None if running is None else running.machine.of(identity)
        if running is None or member is None:
            return
        for view in self.views_here(_wanted(running, [member])):
            self._judge(running, view)

    def _judge(self, running: _Running, view: MemberView) -> None:
        """Take what is known about a Charge Point."""
        machine, identity = running.machine, view.identity
        member = machine.of(identity)
        if member is None:
            return
        is_chosen = view.chosen == machine.target(member)
        if member.state is MemberState.WAITING and not view.is_waiting:
            if not is_chosen:
                machine.failed(identity, ELSEWHERE)
            else:
                machine.took_effect(identity, self._now())
                if view.is_away:
                    machine.arrived(identity, AWAY)
        if member.state is not MemberState.MOVING or not is_chosen:
            return
        if view.failure is not None:
            machine.failed(identity, view.failure)
        elif view.is_there:
            machine.arrived(identity)

    def _is_there(self, identity: str, name: str | None) -> bool:
        """Return whether a Charge Point has come to the Central System `name`."""
        runner = self._ground().sessions.get(identity)
        if runner is None or runner.placement.central_system != name:
            return False
        links = runner.session.links
        up = links[Party.CENTRAL_SYSTEM].status is Status.UP
        if runner.charge_point.speaks_json:
            up = up and links[Party.CHARGE_POINT].status is Status.UP
        return up and not runner.session.introduces

    def _failure(self, identity: str, name: str | None) -> str | None:
        """Return why a Charge Point does not come to the Central System `name`; None if it has not failed."""
        runner, record = self._ground().sessions.get(identity), self._ground().persistence.record_of(identity)
        if runner is None or record is None or runner.placement.central_system != name:
            return None
        if record.boot_system == name and record.boot_status not in (None, RegistrationStatus.Accepted):
            return f"its BootNotification was answered {record.boot_status}"
        link = runner.session.links[Party.CENTRAL_SYSTEM]
        attempts = _ATTEMPTS if runner.session.sides[Party.CENTRAL_SYSTEM].dialable else 1
        return link.reason if link.status is not Status.UP and link.failures >= attempts else None

    def _audit(self, move: Move, who: str, outcome: str) -> None:
        detail = f"move {move.id}: {move.selection} -> {move.central_system}"
        self._ground().audit.add(key_of(move.tenant, ""), who=who, what="move", detail=detail, outcome=outcome)


def _wanted(running: _Running, members: Iterable[MoveMember]) -> ViewWanted:
    machine = running.machine
    return ViewWanted(move=machine.move.id, targets=[(one.identity, machine.target(one)) for one in members])


def _order(wanted: MovesWanted, tenant: str) -> Callable[[MoveMember], Any]:
    """Return the order of the Charge Points of several processes: that of the list, or of the identities."""
    if isinstance(wanted.charge_points, str):
        return lambda member: member.identity.casefold()
    places = {_key_of(tenant, each).casefold(): place for place, each in enumerate(wanted.charge_points)}
    return lambda member: places[member.identity.casefold()]


def _key_of(tenant: str, identity: str) -> str:
    """Return the key of a Charge Point that a request names. Raises RequestRefused."""
    try:
        return key_of(tenant, normal(identity))
    except ValueError as error:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, str(error), path="charge_points") from error


def _some(texts: list[str], between: str = ", ") -> str:
    more = f" and {len(texts) - _MOST_NAMED} more" if len(texts) > _MOST_NAMED else ""
    return between.join(texts[:_MOST_NAMED]) + more


def _outcome(move: Move) -> str:
    counts = [f"{count} {state.value}" for state, count in move.counts().items() if count]
    failed = [identity_of(member.identity) for member in move.members if member.state is MemberState.FAILED]
    named = f" ({_some(failed)})" if failed else ""
    return f"{move.state.value}: {', '.join(counts)}{named}"


def _summary(move: Move, number: int | None) -> MoveSummary:
    return MoveSummary(
        id=number,
        selection=move.selection,
        central_system=move.central_system,
        when=move.when,
        wave=move.wave,
        pause=move.pause,
        stop_if=move.stop_if,
        who=move.who,
        at=moment(move.at),
        state=move.state.value,
        reason=move.reason,
        total=len(move.members),
        counts={state.value: count for state, count in move.counts().items()},
    )


def _details(move: Move, *, number: int | None) -> MoveDetails:
    summary = _summary(move, number)
    return MoveDetails(
        **{name: getattr(summary, name) for name in MoveSummary.__struct_fields__},
        members=[
            MoveMemberFact(identity=one.identity, before=one.before, state=one.state.value, reason=one.reason)
            for one in move.members
        ],
    )
