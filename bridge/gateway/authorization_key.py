"""AuthorizationKey (OCPP-J 1.6 section 6.2.2): a Central System gives its Charge Point a new password, through us.

The passwords that the configuration holds are stale then: what the Charge Point shows us, and what we show the Central
System in its name. The operator is told; with `gateway.manage_authorization_key` the new key takes their place, until
the configuration says something else than it did.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec

from bridge import logs
from bridge.access import passwords
from bridge.access.passwords import Expected
from bridge.access.rules import Rule
from bridge.config import Secret
from bridge.core.commands import Report
from bridge.gateway.conductor import Conductor
from bridge.gateway.managed_key import NONE, Managed
from bridge.gateway.new_key import Taken, is_taken, new_key, readings
from bridge.gateway.placement import Placement
from bridge.observing import Observer
from bridge.ocpp.actions import Party
from bridge.ocppj.client import Target
from bridge.store import Store
from bridge.tasks import Tasks

_log = logging.getLogger("bridge.access")


class AuthorizationKeys(Observer):
    """The keys of all Charge Points. `find` gives the Conductor of one; `manage` as configured."""

    def __init__(self, store: Store, tasks: Tasks, find: Callable[[str], Conductor | None], *, manage: bool) -> None:
        self._store = store
        self._tasks = tasks
        self._find = find
        self._manage = manage
        self._near: dict[str, Managed | None] = {}
        self._far: dict[str, Managed | None] = {}
        self._turn: dict[str, int] = {}
        self._storing: set[asyncio.Task[None]] = set()

    async def settle(self) -> None:
        """Return once every key that was taken is in the store's hands."""
        await asyncio.gather(*self._storing, return_exceptions=True)

    # What holds now.

    def rule(self, placement: Placement) -> Rule:
        """What is asked of the Charge Point."""
        managed = self._of(self._near, placement, placement.own.password) if self._manage else None
        if managed is None or placement.rule.asks != "basic":
            return placement.rule
        return msgspec.structs.replace(placement.rule, passwords=managed.secrets)

    def target(self, placement: Placement, **handshake: Any) -> Target:
        """What to dial, for a Central System that speaks JSON."""
        target = placement.target(**handshake)
        managed = self._of(self._far, placement, placement.own.central_system_password)
        if managed is None:
            return target
        turn = self._turn.get(placement.identity.casefold(), 0)
        password = managed.secrets[turn % len(managed.secrets)]
        return msgspec.structs.replace(target, password=password)

    def denied(self, placement: Placement) -> None:
        """The Central System took the password for wrong: next time another reading of the key is shown."""
        folded = placement.identity.casefold()
        self._turn[folded] = self._turn.get(folded, 0) + 1 if self._far.get(folded) else 0

    def used(self, placement: Placement, found: Expected | None) -> None:
        """The Charge Point was let in for `found`. Once it has shown its new key, no other reading or key will do."""
        folded = placement.identity.casefold()
        managed = self._near.get(folded)
        if managed is not None and found in managed.secrets[: managed.fresh] and len(managed.secrets) > 1:
            assert found is not None
            self._keep(placement, "charge_point", msgspec.structs.replace(managed, secrets=(found,), fresh=1))

    def _of(self, leg: dict[str, Managed | None], placement: Placement, password: Secret | None) -> Managed | None:
        if not self._manage or password is None:
            return None
        folded = placement.identity.casefold()
        if folded not in leg:
            self._read(placement.identity)
        managed, configured = leg.get(folded), password.reveal()
        if managed is None or managed.configured == configured:
            return managed
        replaces = managed.replaces if managed.configured is None else None
        if replaces is not None and passwords.matches(replaces, configured):
            leg[folded] = msgspec.structs.replace(managed, configured=configured)
            return leg[folded]
        leg[folded] = None
        logs.fields(_log, logging.INFO, "the configuration has a newer password", identity=placement.identity)
        self._put(placement, "charge_point" if leg is self._near else "central_system", None)
        return None

    def _read(self, identity: str) -> None:
        """From the store, once."""
        folded = identity.casefold()
        self._near.setdefault(folded, None)
        self._far.setdefault(folded, None)
        for record in self._store.memory_of(identity).credentials:
            try:
                managed = Managed.of(record)
            except ValueError:
                logs.fields(_log, logging.ERROR, "a stored AuthorizationKey cannot be read", identity=identity)
            else:
                (self._near if record.leg == "charge_point" else self._far)[folded] = managed

    # A key on its way.

    def exchanged(self, identity: str, report: Report) -> None:
        """A Call has ended."""
        if report.call.action != "ChangeConfiguration" or report.sender is not Party.CENTRAL_SYSTEM:
            return
        value, conductor = new_key(report.call.payload), self._find(identity)
        if value is None or conductor is None:
            return
        taken = is_taken(report.answer)
        if taken != "no":
            self._changed(conductor.placement, value, taken, operator=report.operator)

    def _changed(self, placement: Placement, value: str, taken: Taken, *, operator: bool) -> None:
        """It is one password, whichever protocol the Charge Point speaks: OCPP-S has Basic from HTTP alone."""
        if placement.rule.asks == "basic":
            self._stale(placement, "charge_point", value, taken)
        # What an operator sets, the Central System does not know.
        if placement.speaks_json and placement.own.central_system_password is not None and not operator:
            self._stale(placement, "central_system", value, taken)

    def _stale(self, placement: Placement, leg: str, value: str, taken: Taken) -> None:
        name = "password" if leg == "charge_point" else "central_system_password"
        key = f'charge_points."{placement.identity}".{name}'
        if taken == "unknown":
            text = "a new AuthorizationKey was not answered: the Charge Point may have it"
            logs.fields(_log, logging.WARNING, text, identity=placement.identity, may_be_stale=key)
        elif self._manage:
            self._take(placement, leg, value, at_once=taken == "at once")
            text = "a new AuthorizationKey takes the place of a password"
            logs.fields(_log, logging.WARNING, text, identity=placement.identity, stale=key, kept="in the store")
        else:
            text = "a new AuthorizationKey: the configuration has to say it"
            logs.fields(_log, logging.WARNING, text, identity=placement.identity, stale=key)

    def _take(self, placement: Placement, leg: str, value: str, *, at_once: bool) -> None:
        new = readings(value)
        kept, password = self._now(placement, leg)
        # The old key serves until the Charge Point has started again.
        old = () if at_once else tuple(secret for secret in kept if secret not in new)
        secrets = (*new, *old) if leg == "charge_point" else (*old, *new)
        managed = Managed(secrets, len(new), None, password)
        self._turn.pop(placement.identity.casefold(), None)
        self._keep(placement, leg, managed)

    def _now(self, placement: Placement, leg: str) -> tuple[tuple[Expected, ...], bytes | None]:
        """What holds now, and what the configuration says."""
        if leg == "charge_point":
            password = placement.own.password
            return self.rule(placement).passwords, None if password is None else password.reveal()
        password, shown = placement.own.central_system_password, self.target(placement).password
        return () if shown is None else (shown,), None if password is None else password.reveal()

    def _keep(self, placement: Placement, leg: str, managed: Managed) -> None:
        """From now on; a hash takes its time."""
        (self._near if leg == "charge_point" else self._far)[placement.identity.casefold()] = managed
        storing = self._tasks.spawn(self._stored(placement, leg, managed), name=f"key of {placement.identity}")
        self._storing.add(storing)
        storing.add_done_callback(self._storing.discard)

    async def _stored(self, placement: Placement, leg: str, managed: Managed) -> None:
        hashed = await asyncio.to_thread(managed.at_rest, hashed=leg == "charge_point")
        legs = self._near if leg == "charge_point" else self._far
        if legs.get(placement.identity.casefold()) is managed:
            legs[placement.identity.casefold()] = hashed
            self._put(placement, leg, hashed)

    def _put(self, placement: Placement, leg: str, managed: Managed | None) -> None:
        self._store.put((managed or NONE).record(placement.identity, leg, time.time()))
