"""Authenticate requests and handshakes for the listeners, with a queue for guesses and threads for hashes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from bridge.access.attempts import Attempts, Rank
from bridge.access.passwords import Expected, Hash, Verified, matches, tag
from bridge.access.queue import Queue, Waiting
from bridge.access.rules import Guess, Rule, Shown, judge
from bridge.errors import AccessDenied, ErrorCode, Why
from bridge.net.tasks import Tasks, Threads

# Guesses that are checked at the same time, each in a thread if the password is hashed.
_AT_ONCE = 2
_TOO_MANY = 429
# Seconds after which the sender of a refused guess may try again.
_LATER = 10


class Recognised(Protocol):
    """Storage, which survives a restart, for the `tag` of each identity's last correct password or token."""

    def tag_of(self, identity: str) -> int | None:
        """Return the tag for `identity`, None if there is none."""

    def keep(self, identity: str, tag: int) -> None:
        """Store the tag of a password or token that was just verified."""


class _Asked(Struct, frozen=True, eq=False):
    """A guess in the queue.

    `outcome` becomes the expected value that the guess matched, None if the guess was wrong, or AccessDenied if the
    guess was not checked.
    """

    rule: Rule
    shown: Shown
    guess: Guess
    outcome: asyncio.Future[Expected | AccessDenied | None]


class Gatekeeper:
    """Checks credentials against rules.

    A password or token that was verified before is accepted at once. Other guesses are checked one a second for each
    identity, after a few that are checked at once. A guess whose sender was wrong last time is checked last.
    """

    def __init__(self, tasks: Tasks, recognised: Recognised, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without verified passwords. The event loop must be running.

        Args:
            tasks: Run the checks. A check ends even if its sender closes the connection, so that the guess counts.
            recognised: Tags of the passwords that were verified before the last restart.
            clock: Returns monotonic time in seconds.
        """
        self._tasks = tasks
        self._recognised = recognised
        self._attempts = Attempts(clock)
        self._verified = Verified(os.urandom(32))
        self._queue: Queue[_Asked] = Queue()
        self._looked_at = 0
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._threads = Threads(_AT_ONCE, name="passwords")

    def close(self) -> None:
        """Stop checking guesses, and end the timer and the threads."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._threads.close()

    async def admit(self, rule: Rule, shown: Shown) -> Expected | None:
        """Check the credentials `shown` against `rule`. Does not wait if they were verified before.

        Returns:
            The expected value that the password or token matched, None if the rule asks for neither.

        Raises:
            AccessDenied: The credentials are missing or wrong, or too many guesses wait.
        """
        guess = judge(rule, shown)
        if guess is None:
            return None
        known = self._known(guess)
        if known is not None:
            self._attempts.right(shown.peer, rule.identity)
            return known
        outcome = await self._asked(rule, shown, guess)
        if isinstance(outcome, AccessDenied):
            raise outcome
        if outcome is None:
            raise guess.denied
        return outcome

    def _known(self, guess: Guess) -> Expected | None:
        """Return the expected value that `guess` has matched since the start, None if there is none."""
        return next((expected for expected in guess.expected if self._verified.knows(expected, guess.shown)), None)

    async def _asked(self, rule: Rule, shown: Shown, guess: Guess) -> Expected | AccessDenied | None:
        asked = _Asked(rule, shown, guess, asyncio.get_running_loop().create_future())
        waiting = Waiting(rule.identity, self._rank(rule, shown, guess), asked)
        gone = self._queue.enter(waiting)
        if gone is not None and not gone.guess.outcome.done():
            gone.guess.outcome.set_result(_turned_away())
        self._look()
        return await asyncio.shield(asked.outcome)

    def _rank(self, rule: Rule, shown: Shown, guess: Guess) -> Rank:
        kept = self._recognised.tag_of(rule.identity)
        if kept is not None and any(tag(expected, guess.shown) == kept for expected in guess.expected):
            return Rank.RECOGNISED
        return self._attempts.rank(shown.peer, rule.identity)

    def _look(self) -> None:
        """Begin to check all guesses that may be checked now, and set a timer for the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._looked_at < _AT_ONCE:
            waiting = self._queue.next(self._attempts.due)
            if waiting is None:
                return
            if isinstance(waiting, float):
                self._timer = asyncio.get_running_loop().call_later(waiting, self._look)
                return
            if waiting.rank is not Rank.RECOGNISED:
                self._attempts.take(waiting.identity)
            self._looked_at += 1
            self._tasks.spawn(self._settle(waiting.guess), name=f"password of {waiting.identity}")

    async def _settle(self, asked: _Asked) -> None:
        guess, identity = asked.guess, asked.rule.identity
        try:
            found = self._known(guess) or await self._found(guess)
            if found is None:
                self._attempts.wrong(asked.shown.peer, identity)
            else:
                self._attempts.right(asked.shown.peer, identity)
                self._verified.remember(found, guess.shown)
                self._recognised.keep(identity, tag(found, guess.shown))
            if not asked.outcome.done():
                asked.outcome.set_result(found)
        finally:
            asked.outcome.cancel()  # ends the wait of `admit` if the check raised or was cancelled
            self._looked_at -= 1
            if not self._closed:
                self._look()

    async def _found(self, guess: Guess) -> Expected | None:
        if not any(isinstance(expected, Hash) for expected in guess.expected):
            return _first(guess)
        return await self._threads.run(lambda: _first(guess))


def _first(guess: Guess) -> Expected | None:
    """Return the first expected value that `guess` matches, None if there is none."""
    return next((expected for expected in guess.expected if matches(expected, guess.shown)), None)


def _turned_away() -> AccessDenied:
    """Return the refusal of a guess that was not checked.

    Its code is InternalError, so that a Charge Point does not consider its message faulty (OCPP-S errata 3.2).
    """
    text = "too many wrong attempts, others wait already to be looked at"
    headers = {"Retry-After": str(_LATER)}
    return AccessDenied(_TOO_MANY, text, Why.TOO_MANY_ATTEMPTS, headers=headers, code=ErrorCode.InternalError)
