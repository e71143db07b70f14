"""Moves of Charge Points to another Central System, in waves (design/central-systems.md M2).

A move of several Charge Points begins one wave after the other, with a pause in between. A wave is over when each of
its Charge Points has moved, has failed, or waits until it has no open transaction; one that waits holds up nobody. A
move whose failures pass `stop_if` stops by itself. Every move can be undone.

This module is pure: it has no clock, and the gateway carries out what it decides.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from enum import StrEnum
from itertools import islice
from typing import Literal

from msgspec import Struct

from bridge.ocpp.tenants import DEFAULT

MoveTime = Literal["idle", "now"]
_STOP_IF = re.compile(r"errors\s*>\s*(\d{1,6}(?:\.\d{1,6})?)\s*(%?)", re.ASCII)
_PARTS = 1_000_000  # parts of the fleet that `selects` can tell apart


class WaitingMove(Struct, frozen=True, kw_only=True):
    """A move of one Charge Point that waits.

    Attributes:
        central_system: The name of the new Central System, None for that of the Route.
        who: Who asked for the move.
        at: When, in unix seconds.
        move: The number of the move of several Charge Points that it belongs to, None for none.
        when: "idle" if it waits until the Charge Point has no open transaction, and its new Central System has got all
            that it is owed as an observer; "now" if it waits for the latter only.
    """

    central_system: str | None
    who: str
    at: float
    move: int | None = None
    when: MoveTime = "idle"


class MoveState(StrEnum):
    """The state of a move. A stopped one has passed its `stop_if`; it can be resumed like a paused one."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    DONE = "done"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"


class MemberState(StrEnum):
    """The state of one Charge Point of a move."""

    QUEUED = "queued"
    WAITING = "waits_for_idle"
    MOVING = "moving"
    DONE = "done"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


ACTIVE = frozenset({MoveState.RUNNING, MoveState.PAUSED, MoveState.STOPPED, MoveState.ROLLING_BACK})
_UNDER_WAY = frozenset({MoveState.RUNNING, MoveState.ROLLING_BACK})
_NOT_OVER = frozenset({MemberState.QUEUED, MemberState.WAITING, MemberState.MOVING})


class WrongMoveState(Exception):
    """A move cannot do what was asked in its present state. The text is a sentence."""


class StopIf(Struct, frozen=True, kw_only=True):
    """The failures after which a move stops: more than `most`, or more than `percent` of its Charge Points."""

    most: float | None = None
    percent: float | None = None

    @classmethod
    def read(cls, text: str) -> StopIf:
        """Return the condition in `text`: "errors>3", "errors>1%", or "" for none. Raises ValueError for others."""
        found = _STOP_IF.fullmatch(text.strip())
        if not text.strip():
            return cls()
        if found is None:
            raise ValueError('expected "errors>N" or "errors>N%", such as "errors>1%"')
        number = float(found[1])
        return cls(percent=number) if found[2] else cls(most=number)

    def holds(self, failed: int, members: int) -> bool:
        """Return whether a move of `members` Charge Points, of which `failed` have failed, has to stop."""
        if self.percent is not None:
            return failed * 100 > self.percent * members
        return self.most is not None and failed > self.most


class MoveMember(Struct, kw_only=True):
    """The state of a Charge Point in a move.

    Attributes:
        identity: The identity.
        before: The Central System that an operator had chosen for it before the move, None for that of its Route.
        state: The state.
        reason: Why it failed, or what else is to be said.
        moved: Whether the move has given it to the new Central System.
    """

    identity: str
    before: str | None = None
    state: MemberState = MemberState.QUEUED
    reason: str = ""
    moved: bool = False


class Move(Struct, kw_only=True):
    """A move of several Charge Points, as it is stored.

    Attributes:
        id: The number of the move.
        selection: What selected the Charge Points, for people.
        central_system: The name of the new Central System.
        when: Whether a Charge Point moves at once, or when it has no open transaction.
        wave: The most Charge Points that begin at the same time.
        pause: Seconds between the end of a wave and the next one.
        stop_if: The condition that stops the move, as it was written.
        who: Who asked for the move.
        at: When, in unix seconds.
        members: The Charge Points, in the order of their moves.
        state: The state.
        reason: Why it was stopped.
        pause_left: Seconds of the pause that were left when the move was stored.
        forgiven: The failures before the move was resumed, which do not count for `stop_if`.
        tenant: The tenant of the Charge Points.
        node: The process that carries it out as long as it lives, "" for any.
    """

    id: int
    selection: str
    central_system: str
    when: MoveTime
    wave: int
    pause: float
    stop_if: str
    who: str
    at: float
    members: list[MoveMember]
    state: MoveState = MoveState.RUNNING
    reason: str = ""
    pause_left: float = 0.0
    forgiven: int = 0
    tenant: str = DEFAULT
    node: str = ""

    def counts(self) -> dict[MemberState, int]:
        """Return the number of Charge Points in each state."""
        found = Counter(member.state for member in self.members)
        return {state: found[state] for state in MemberState}


class Choose(Struct, frozen=True, kw_only=True):
    """Give a Charge Point to a Central System, None for that of its Route."""

    identity: str
    central_system: str | None
    when: MoveTime


class Withdraw(Struct, frozen=True, kw_only=True):
    """Drop the move of a Charge Point that waits until no transaction is open."""

    identity: str


MoveCommand = Choose | Withdraw


def selects(identity: str, percent: float) -> bool:
    """Return whether an identity belongs to the first `percent` of the fleet. The answer is always the same."""
    digest = hashlib.sha256(identity.casefold().encode()).digest()
    return int.from_bytes(digest[:8]) % _PARTS < percent * _PARTS / 100


class MoveMachine:
    """Decides what a move does next. Each method returns the commands that follow.

    Args:
        move: The move, which this object changes. `stop_if` in it can be read.
        at: The time now, in seconds of any clock that goes on evenly; the other methods take times of the same clock.
        within: Seconds after which a Charge Point that has not come to its Central System has failed.
    """

    def __init__(self, move: Move, at: float, within: float) -> None:
        self.move = move
        self._within = within
        self._stop_if = StopIf.read(move.stop_if)
        self._members = {member.identity.casefold(): member for member in move.members}
        self._until = at + move.pause_left
        self._deadlines = {
            identity: at + within for identity, one in self._members.items() if one.state is MemberState.MOVING
        }
        self._in_wave = bool(self._deadlines)
        self._count()

    def _count(self) -> None:
        # A move may have thousands of members, and each event asks who is next and how many have failed.
        self._queued = {key: one for key, one in self._members.items() if one.state is MemberState.QUEUED}
        self._waiting = {key: one for key, one in self._members.items() if one.state is MemberState.WAITING}
        self._failures = sum(one.state is MemberState.FAILED for one in self.move.members)

    def of(self, identity: str) -> MoveMember | None:
        """Return a Charge Point of the move, or None."""
        return self._members.get(identity.casefold())

    def target(self, member: MoveMember) -> str | None:
        """Return the Central System that a Charge Point is on its way to, None for that of its Route."""
        rolls_back = self.move.state in (MoveState.ROLLING_BACK, MoveState.ROLLED_BACK)
        return member.before if rolls_back else self.move.central_system

    def under_way(self) -> list[MoveMember]:
        """Return the Charge Points that move, or wait until they can."""
        return [self._members[key] for key in (*self._deadlines, *self._waiting)]

    def due(self) -> float | None:
        """Return when `advance` has to be called, None if only an event changes something."""
        times = list(self._deadlines.values())
        if self.move.state is MoveState.RUNNING and not self._deadlines and self._queued:
            times.append(self._until)
        return min(times, default=None)

    def stored(self, at: float) -> Move:
        """Return the move, with the pause that is left."""
        self.move.pause_left = max(0.0, self._until - at)
        return self.move

    # What happens to a Charge Point.

    def waits(self, identity: str) -> None:
        """Note that the Charge Point has an open transaction, and moves when it has none."""
        if (member := self.of(identity)) is not None and member.state is MemberState.MOVING:
            member.state = MemberState.WAITING
            self._waiting[identity.casefold()] = member
            self._deadlines.pop(identity.casefold(), None)

    def took_effect(self, identity: str, at: float) -> None:
        """Note that the Charge Point belongs to its new Central System from now on."""
        if (member := self.of(identity)) is not None:
            if member.state is MemberState.WAITING:
                member.state = MemberState.MOVING
                self._waiting.pop(identity.casefold(), None)
                self._deadlines[identity.casefold()] = at + self._within
            member.moved = self.move.state is not MoveState.ROLLING_BACK

    def found(self, identity: str, at: float, *, waits: bool, took_effect: bool) -> None:
        """Correct the state of a Charge Point that is not done, after a restart, by what is stored of it.

        Args:
            identity: The Charge Point.
            at: The time now, in seconds.
            waits: Whether its move waits until no transaction is open.
            took_effect: Whether it belongs to its new Central System.
        """
        member = self.of(identity)
        if member is None or member.state not in _NOT_OVER:
            return
        for places in (self._deadlines, self._queued, self._waiting):
            places.pop(identity.casefold(), None)
        member.state = MemberState.WAITING if waits or took_effect else MemberState.QUEUED
        (self._waiting if waits or took_effect else self._queued)[identity.casefold()] = member
        if took_effect:
            self.took_effect(identity, at)
        self._in_wave = bool(self._deadlines)

    def arrived(self, identity: str, reason: str = "") -> None:
        """Note that the Charge Point has come to its Central System. `reason` is what else is to be said."""
        if (member := self.of(identity)) is not None and member.state is MemberState.MOVING:
            rolls_back = self.move.state is MoveState.ROLLING_BACK
            self._end(member, MemberState.ROLLED_BACK if rolls_back else MemberState.DONE, reason)

    def failed(self, identity: str, reason: str) -> None:
        """Note that the Charge Point has not come to its Central System, and why."""
        if (member := self.of(identity)) is not None and member.state in (MemberState.MOVING, MemberState.WAITING):
            self._end(member, MemberState.FAILED, reason)

    def _end(self, member: MoveMember, state: MemberState, reason: str) -> None:
        member.state, member.reason = state, reason
        self._deadlines.pop(member.identity.casefold(), None)
        self._waiting.pop(member.identity.casefold(), None)
        self._failures += state is MemberState.FAILED

    # What operators do.

    def pause(self, reason: str = "", *, state: MoveState = MoveState.PAUSED) -> list[MoveCommand]:
        """Begin no further Charge Point. Those that wait are queued again; those that move go on.

        Raises:
            WrongMoveState: The move is not running.
        """
        if self.move.state is not MoveState.RUNNING:
            raise WrongMoveState(f"the move is {self.move.state}, not running")
        self.move.state, self.move.reason = state, reason
        return self._withdrawn(MemberState.QUEUED)

    def resume(self, at: float) -> list[MoveCommand]:
        """Go on with a move that was paused or has stopped. Raises WrongMoveState for any other."""
        if self.move.state not in (MoveState.PAUSED, MoveState.STOPPED):
            raise WrongMoveState(f"the move is {self.move.state}, neither paused nor stopped")
        self.move.forgiven = self._failures
        self.move.state, self.move.reason = MoveState.RUNNING, ""
        self._until = at
        self._in_wave = bool(self._deadlines)
        return self.advance(at)

    def rollback(self, at: float) -> list[MoveCommand]:
        """Give every Charge Point back to the Central System that it had before, at once, in waves without a pause.

        Raises:
            WrongMoveState: The move is rolled back, or is being rolled back.
        """
        if self.move.state in (MoveState.ROLLING_BACK, MoveState.ROLLED_BACK):
            raise WrongMoveState(f"the move is {self.move.state} already")
        self.move.state, self.move.reason = MoveState.ROLLING_BACK, ""
        commands = self._withdrawn(MemberState.ROLLED_BACK)
        self._deadlines.clear()
        self._in_wave = False
        for member in self.move.members:
            member.state = MemberState.QUEUED if member.moved else MemberState.ROLLED_BACK
            member.reason = "" if member.moved else "it was not moved"
        self._count()
        self._until = at
        return commands + self.advance(at)

    def _withdrawn(self, state: MemberState) -> list[MoveCommand]:
        waiting = [*self._waiting.values()]
        for member in waiting:
            member.state = state
        self._count()
        return [Withdraw(identity=member.identity) for member in waiting]

    # Time.

    def advance(self, at: float) -> list[MoveCommand]:
        """Do what is due at the time `at`: end what has taken too long, stop, or begin the next wave."""
        for identity, deadline in tuple(self._deadlines.items()):
            if deadline <= at:
                self.failed(identity, f"nothing came of it within {self._within:g} s")
        move = self.move
        if move.state is MoveState.RUNNING and (why := self._why_stop()) is not None:
            return self.pause(why, state=MoveState.STOPPED)
        if move.state not in _UNDER_WAY or self._deadlines:
            return []
        if self._in_wave:
            self._in_wave = False
            self._until = at + (move.pause if move.state is MoveState.RUNNING else 0.0)
        if self._queued and self._until <= at:
            return self._begun([*islice(self._queued.values(), move.wave)], at)
        if not self._queued and not self._waiting:
            move.state = MoveState.ROLLED_BACK if move.state is MoveState.ROLLING_BACK else MoveState.DONE
        return []

    def _begun(self, wave: list[MoveMember], at: float) -> list[MoveCommand]:
        rolls_back = self.move.state is MoveState.ROLLING_BACK
        self._in_wave = True
        for member in wave:
            member.state = MemberState.MOVING
            del self._queued[member.identity.casefold()]
            self._deadlines[member.identity.casefold()] = at + self._within
        when: MoveTime = "now" if rolls_back else self.move.when
        return [Choose(identity=each.identity, central_system=self.target(each), when=when) for each in wave]

    def _why_stop(self) -> str | None:
        if self._stop_if.holds(self._failures - self.move.forgiven, len(self.move.members)):
            return f"{self.move.stop_if}: {self._failures} of {len(self.move.members)} Charge Points have failed"
        return None
