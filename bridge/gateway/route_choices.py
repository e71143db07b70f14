"""The Central Systems that operators choose for Charge Points, at once or as soon as no transaction is open."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from http import HTTPStatus

from msgspec import Struct

from bridge.admin.facts import Moved
from bridge.admin.problems import RequestRefused
from bridge.core.links import Status
from bridge.core.moves import MoveTime, WaitingMove
from bridge.errors import BridgeError, UnknownIdentity
from bridge.gateway.known import ViewSources
from bridge.gateway.placement import Placements, check_version
from bridge.gateway.session_runner import SessionRunner
from bridge.ocpp.actions import Party
from bridge.ocpp.identity import normal
from bridge.ocpp.tenants import identity_of, takes, tenant_of
from bridge.watching import logs
from bridge.watching.facts import CallEnded, ChargePointMoved, Fact

_log = logging.getLogger("bridge.gateway")
# Seconds that an operator waits for the disk.
_PATIENCE = 5.0
# Charge Points that are examined before other work is served.
_SLICE = 20
# The name in the audit for a move that follows from a changed Route.
CONFIGURATION = "configuration"


class Choice(Struct, frozen=True, kw_only=True):
    """The result of a choice.

    Attributes:
        before: The Central System before, None for none.
        after: The Central System that was chosen, None for none.
        waits: What it waits for, "" if it took effect.
        kept: Done when the store is; True if the disk has it.
    """

    before: str | None
    after: str | None
    waits: str
    kept: Future[bool]


class RouteChoices:
    """Moves Charge Points to the Central Systems that operators choose.

    Args:
        ground: Returns the sources of the facts about Charge Points.
        tell: Sees what has moved.
        move_session: Moves a Session whose placement has changed.
        every: Seconds between two looks at what waits: a transaction may also end by silence.

    Attributes:
        took_effect: Called when a Charge Point belongs to the Central System that was chosen, with its identity and
            whether it is present, so that it is expected there.
        owed: Returns whether the Central System, by name, is still to get a StartTransaction or StopTransaction of a
            Charge Point as an observer. A move to it waits for that.
    """

    def __init__(
        self,
        ground: Callable[[], ViewSources],
        tell: Callable[[Fact], object],
        move_session: Callable[[SessionRunner], object],
        every: float = 60.0,
    ) -> None:
        self._ground = ground
        self._tell = tell
        self._move_session = move_session
        self._every = every
        self._looks: set[str] = set()  # identities that are looked at soon
        self.took_effect: Callable[[str, bool], None] = lambda identity, present: None
        self.owed: Callable[[str, str | None], bool] = lambda identity, central_system: False

    # Choices.

    async def choose(self, identity: str, central_system: str | None, *, when: MoveTime, who: str) -> Moved:
        """Give a Charge Point to a Central System, for an operator.

        Args:
            identity: The identity of the Charge Point, which need not have been heard of.
            central_system: The name of the Central System, None for the Route's.
            when: "now", or "idle" for as soon as no transaction is open. Either waits until the Central System has got
                all that it is owed as an observer.
            who: The operator.

        Raises:
            RequestRefused: The Central System is not configured or cannot serve the Charge Point, or no Route takes it.
        """
        identity = self.checked(identity, central_system)
        choice = self.apply(identity, central_system, when=when, who=who)
        kept = await within(choice.kept)
        what = "move back" if central_system is None else "move"
        outcome = choice.waits or "done"
        if not kept:
            outcome += ", but the store did not take it: it will not survive a restart"
        number = self._ground().audit.add(identity, who=who, what=what, detail=_detail(choice), outcome=outcome)
        return Moved(from_=choice.before, to=choice.after, audit_id=number, kept=kept, waits=bool(choice.waits))

    def checked(self, identity: str, central_system: str | None) -> str:
        """Return an identity as it was first written, if `central_system` can serve the Charge Point.

        Raises:
            RequestRefused: The Central System is not configured or cannot serve the Charge Point, or no Route takes it.
        """
        ground = self._ground()
        identity = ground.sessions.spelling(normal(identity))
        if central_system is None:
            return identity
        system = ground.settings().central_systems.get(central_system)
        if system is None or not takes(system.tenant, tenant_of(identity)):
            text = f"no Central System of the configuration is called {central_system!r}"
            raise RequestRefused(HTTPStatus.BAD_REQUEST, text, path="central_system")
        record = ground.persistence.record_of(identity)
        try:
            ground.placements().of(identity)
            if record is not None and record.last_seen:
                check_version(system, record.version if record.transport == "soap" else "")
        except UnknownIdentity as error:
            raise RequestRefused(HTTPStatus.CONFLICT, f"no Route takes {identity_of(identity)!r}") from error
        except BridgeError as error:
            text = f"{central_system}: {error.description}"
            raise RequestRefused(HTTPStatus.CONFLICT, text, path="central_system") from error
        return identity

    def apply(
        self, identity: str, central_system: str | None, *, when: MoveTime, who: str, move: int | None = None
    ) -> Choice:
        """Carry out a choice that was checked, at once or as soon as nothing stands against it.

        Args:
            identity: The identity of the Charge Point, as it was first written.
            central_system: The name of the Central System, None for the Route's.
            when: "now", or "idle" for as soon as no transaction is open.
            who: Who asked for it.
            move: The number of the move of several Charge Points that it belongs to.
        """
        persistence = self._ground().persistence
        before = self.place_of(identity)
        after = central_system or self._ground().placements().routed(identity)
        if waits := self._waits_for(identity, after, when):
            waiting = WaitingMove(central_system=central_system, who=who, at=time.time(), move=move, when=when)
            kept = persistence.move_later(identity, waiting)
            return Choice(before=before, after=after, waits=waits, kept=kept)
        present = self.is_present(identity)
        kept = persistence.move(identity, central_system)
        if (runner := self._ground().sessions.get(identity)) is not None:
            self._move_session(runner)
        after = self.place_of(identity)
        self._tell(ChargePointMoved(identity, before, after, None if who == CONFIGURATION else who))
        self.took_effect(identity, present)
        return Choice(before=before, after=after, waits="", kept=kept)

    def _waits_for(self, identity: str, central_system: str | None, when: MoveTime) -> str:
        """Return what a move to `central_system` waits for, "" if it can take effect.

        What an observer is owed would be lost: as the Central System of the Charge Point it has no queue.
        """
        if when == "idle" and self._ground().sessions.open_transactions(identity):
            return "waits until no transaction is open"
        if self.owed(identity, central_system):
            return "waits until the new Central System has got what it is owed as an observer"
        return ""

    def withdraw(self, identity: str) -> None:
        """Drop the move of a Charge Point that waits."""
        self._ground().persistence.move_later(identity, None)

    def place_of(self, identity: str) -> str | None:
        """Return the name of the Central System that a Charge Point belongs to, None if no Route takes it."""
        try:
            return self._ground().placements().of(identity).central_system
        except UnknownIdentity:
            return None

    def is_present(self, identity: str) -> bool:
        """Return whether a Charge Point is connected, or was heard of within the silence that it is allowed."""
        ground = self._ground()
        runner, record = ground.sessions.get(identity), ground.persistence.record_of(identity)
        if runner is None or record is None:
            return False
        if runner.charge_point.speaks_json:
            return runner.session.links[Party.CHARGE_POINT].status is Status.UP
        return ground.persistence.is_there(record)

    # What waits.

    def see(self, fact: Fact) -> None:
        """Look at a Charge Point whose move waits after each of its Calls."""
        if isinstance(fact, CallEnded) and self._ground().persistence.waiting_move(fact.identity) is not None:
            self._look_soon(fact.identity)

    def look_again(self, identity: str) -> None:
        """Look at a Charge Point soon, if its move waits: an observer has got what it was owed."""
        if self._ground().persistence.waiting_move(identity) is not None:
            self._look_soon(identity)

    def _look_soon(self, identity: str) -> None:
        if identity not in self._looks:
            self._looks.add(identity)
            asyncio.get_running_loop().call_soon(self.look, identity)

    def look(self, identity: str) -> None:
        """Move a Charge Point whose move waits, if nothing stands against it."""
        self._looks.discard(identity)
        ground = self._ground()
        waiting = ground.persistence.waiting_move(identity)
        if waiting is None:
            return
        if self._waits_for(identity, waiting.central_system or ground.placements().routed(identity), waiting.when):
            return
        choice = self.apply(identity, waiting.central_system, when="now", who=waiting.who, move=waiting.move)
        detail = _detail(choice)
        if waiting.move is None:
            what = "move back" if waiting.central_system is None else "move"
            idle = waiting.when == "idle"
            outcome = "done: no transaction is open any more" if idle else "done: what was owed is delivered"
            ground.audit.add(identity, who=waiting.who, what=what, detail=detail, outcome=outcome)
        else:
            logs.fields(_log, logging.INFO, "moved", identity=identity, move=waiting.move, detail=detail)

    async def follow(self) -> None:
        """Look at everything that waits, now and then."""
        while True:
            for number, identity in enumerate(self._ground().persistence.waiting_moves()):
                if number % _SLICE == 0:
                    await asyncio.sleep(0)
                self.look(identity)
            await asyncio.sleep(self._every)

    async def hold(self, old: Placements, new: Placements, when: MoveTime) -> int:
        """Keep the Charge Points whose move has to wait at their Central System until then.

        Args:
            old: The Placements before the configuration was read again.
            new: The Placements from now on.
            when: "idle" for those with an open transaction too, "now" for those that owe their new Central System what
                it was to get as an observer.

        Returns: The number of Charge Points that stay.
        """
        ground, held = self._ground(), 0
        for number, key in enumerate(tuple(ground.persistence.keys())):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            try:
                before, after = old.of(ground.sessions.spelling(key)), new.of(ground.sessions.spelling(key))
            except UnknownIdentity:
                continue
            changed = before.central_system != after.central_system
            if not changed or new.at(before.identity, before.central_system) is None:
                continue
            if not (outcome := self._waits_for(before.identity, after.central_system, when)):
                continue
            waiting = ground.persistence.waiting_move(before.identity)
            waiting = waiting or WaitingMove(central_system=None, who=CONFIGURATION, at=time.time(), when=when)
            ground.persistence.move_later(before.identity, waiting, stays_at=before.central_system)
            detail = f"{before.central_system} -> {after.central_system}"
            ground.audit.add(before.identity, who=CONFIGURATION, what="move", detail=detail, outcome=outcome)
            held += 1
        return held


def _detail(choice: Choice) -> str:
    return f"{choice.before or 'nowhere'} -> {choice.after or 'nowhere'}"


async def within(kept: Future[bool]) -> bool:
    """Return whether the disk has the change. Returns False if it has not after 5 seconds."""
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(kept)), _PATIENCE)
    except TimeoutError:
        return False
