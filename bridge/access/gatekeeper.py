"""Who is let in, for the doors: what was shown, judged, with patience for wrong guesses and threads for hashes."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable

from bridge.access.attempts import Attempts
from bridge.access.passwords import Expected, Hash, Verified, matches
from bridge.access.rules import Guess, Rule, Shown, judge
from bridge.errors import AccessDenied, ErrorCode, Why
from bridge.tasks import Tasks

# Passwords hashed at once, and how many may wait for that.
_AT_ONCE, _MOST_WAITING = 2, 200
_TOO_MANY, _BUSY = 429, 503


class Gatekeeper:
    """`tasks` carry hashes to their end, so that who hangs up early is counted too; `clock` gives seconds."""

    def __init__(self, tasks: Tasks, clock: Callable[[], float] = time.monotonic) -> None:
        self._tasks = tasks
        self._attempts = Attempts(clock)
        self._verified = Verified(os.urandom(32))
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def admit(self, rule: Rule, shown: Shown) -> Expected | None:
        """Return once it is let in: what it was let in for, if that was a password or token. Raises AccessDenied.

        Waits for nothing but a hash that was not found right before.
        """
        guess = judge(rule, shown)
        if guess is None:
            return None
        self._check_wait(shown.peer, rule.identity)
        found = self._found(guess)
        if found is None and any(isinstance(expected, Hash) for expected in guess.expected):
            found = await self._hashed(rule, shown, guess)
        elif found is None:
            self._attempts.wrong(shown.peer, rule.identity)
        else:
            self._attempts.right(shown.peer, rule.identity)
        if found is None:
            raise guess.denied
        return found

    def _check_wait(self, peer: str, identity: str) -> None:
        if seconds := self._attempts.wait(peer, identity):
            text = f"too many wrong attempts, the next is looked at in {math.ceil(seconds)} s"
            # A Charge Point must not take this for a fault of its message (OCPP-S errata 3.2).
            raise _later(_TOO_MANY, text, Why.TOO_MANY_ATTEMPTS, math.ceil(seconds))

    def _found(self, guess: Guess) -> Expected | None:
        """What costs nothing: passwords that are no hashes, and hashes that were verified before."""
        fits = [expected for expected in guess.expected if self._fits(expected, guess.shown)]
        return fits[0] if fits else None

    def _fits(self, expected: Expected, shown: bytes) -> bool:
        return self._verified.knows(expected, shown) if isinstance(expected, Hash) else matches(expected, shown)

    async def _hashed(self, rule: Rule, shown: Shown, guess: Guess) -> Expected | None:
        if self._waiting >= _MOST_WAITING:
            raise _later(_BUSY, "too many passwords are being checked, try again", Why.BUSY, 1)
        self._waiting += 1
        checking = self._tasks.spawn(self._check(rule, shown, guess), name=f"password of {rule.identity}")
        outcome: Expected | AccessDenied | None = await asyncio.shield(checking)
        if isinstance(outcome, AccessDenied):
            raise outcome
        return outcome

    async def _check(self, rule: Rule, shown: Shown, guess: Guess) -> Expected | AccessDenied | None:
        try:
            async with self._turns:
                # Of many guesses at once only as many are hashed as the first ones' failures leave over.
                self._check_wait(shown.peer, rule.identity)
                found = self._found(guess) or await asyncio.to_thread(_first, guess)
        except AccessDenied as denied:
            return denied
        finally:
            self._waiting -= 1
        if found is None:
            self._attempts.wrong(shown.peer, rule.identity)
            return None
        if isinstance(found, Hash):
            self._verified.remember(found, guess.shown)
        self._attempts.right(shown.peer, rule.identity)
        return found


def _first(guess: Guess) -> Expected | None:
    """In a thread: the first that fits."""
    return next((expected for expected in guess.expected if matches(expected, guess.shown)), None)


def _later(status: int, text: str, why: Why, seconds: int) -> AccessDenied:
    return AccessDenied(status, text, why, headers={"Retry-After": str(seconds)}, code=ErrorCode.InternalError)
