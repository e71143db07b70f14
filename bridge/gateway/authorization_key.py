"""AuthorizationKey (OCPP-J 1.6 section 6.2.2): a Central System gives its Charge Point a new password.

The new password passes through the bridge. Two passwords of the configuration are stale then: the one that the Charge
Point shows to the bridge, and the one that the bridge shows to the Central System in the Charge Point's name. The log
tells the operator. With `gateway.manage_authorization_key` the new key replaces them until the configuration changes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from bridge.access import passwords
from bridge.access.passwords import Expected
from bridge.access.rules import Rule
from bridge.config import Secret
from bridge.core.commands import Report
from bridge.gateway.managed_key import NONE, ManagedKey
from bridge.gateway.new_key import Taken, is_taken, new_key, readings
from bridge.gateway.placement import Placement
from bridge.gateway.session_runner import SessionRunner
from bridge.net.json_client import Target
from bridge.net.tasks import Tasks, Threads
from bridge.ocpp.actions import Party
from bridge.store import RecordStore
from bridge.watching import logs
from bridge.watching.facts import CallEnded, Fact

_log = logging.getLogger("bridge.access")


class AuthorizationKeys:
    """The AuthorizationKeys of all Charge Points.

    Args:
        store: Holds the keys.
        tasks: Owns the tasks that write keys.
        find: Returns the SessionRunner of an identity.
        manage: The value of `gateway.manage_authorization_key`.
    """

    def __init__(
        self, store: RecordStore, tasks: Tasks, find: Callable[[str], SessionRunner | None], *, manage: bool
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._find = find
        self._manage = manage
        self._near: dict[str, ManagedKey | None] = {}
        self._far: dict[str, ManagedKey | None] = {}
        self._turn: dict[str, int] = {}
        self._threads = Threads(1, name="new passwords")
        self._storing: set[asyncio.Task[None]] = set()

    def read_again(self) -> None:
        """Search the store again for the keys that it did not hold before, after it has found its file."""
        for leg in (self._near, self._far):
            for folded in [folded for folded, managed in leg.items() if managed is None]:
                del leg[folded]

    async def settle(self) -> None:
        """Wait until every new key is in the store's queue."""
        await asyncio.gather(*self._storing, return_exceptions=True)
        self._threads.close()

    # The passwords that are valid now.

    def rule(self, placement: Placement) -> Rule:
        """Return the Rule for the Charge Point. A managed key replaces the configured password."""
        managed = self._of(self._near, placement, placement.own.password) if self._manage else None
        if managed is None or placement.rule.asks != "basic":
            return placement.rule
        return msgspec.structs.replace(placement.rule, passwords=managed.secrets)

    def target(self, placement: Placement, shown: str = "", **handshake: Any) -> Target:
        """Return the target to dial for a JSON Central System.

        Args:
            placement: The Placement of the Charge Point.
            shown: The Authorization header of the Charge Point, "" for none.
            handshake: More attributes of the Target.
        """
        return placement.target(self.fields(placement, shown), **handshake)

    def fields(self, placement: Placement, shown: str) -> tuple[tuple[str, str], ...]:
        """Return the header fields of a request to the Central System. A managed key replaces the own password.

        `shown` is the Authorization header of the Charge Point, "" for none.
        """
        return placement.fields(self._far_password(placement), shown)

    def _far_password(self, placement: Placement) -> bytes | None:
        """Return the Charge Point's own password towards its Central System that is valid now, or None."""
        managed = self._of(self._far, placement, placement.own.central_system_password)
        if managed is None:
            return placement.password
        turn = self._turn.get(placement.identity.casefold(), 0)
        secret = managed.secrets[turn % len(managed.secrets)]
        assert isinstance(secret, bytes)
        return secret

    def denied(self, placement: Placement) -> None:
        """Use another reading of the key at the next handshake, because the Central System refused the password."""
        folded = placement.identity.casefold()
        self._turn[folded] = self._turn.get(folded, 0) + 1 if self._far.get(folded) else 0

    def used(self, placement: Placement, found: Expected | None) -> None:
        """Keep only the password `found`, if it is a reading of the Charge Point's new key.

        The Charge Point was admitted with `found`, so its older passwords and other readings are not needed any more.
        """
        folded = placement.identity.casefold()
        managed = self._near.get(folded)
        if managed is not None and found in managed.secrets[: managed.fresh] and len(managed.secrets) > 1:
            assert found is not None
            self._keep(placement, "charge_point", msgspec.structs.replace(managed, secrets=(found,), fresh=1))

    def _of(
        self, leg: dict[str, ManagedKey | None], placement: Placement, password: Secret | None
    ) -> ManagedKey | None:
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
        """Read the keys of `identity` from the store."""
        folded = identity.casefold()
        self._near.setdefault(folded, None)
        self._far.setdefault(folded, None)
        for record in self._store.memory_of(identity).credentials:
            try:
                managed = ManagedKey.of(record)
            except ValueError:
                logs.fields(_log, logging.ERROR, "a stored AuthorizationKey cannot be read", identity=identity)
            else:
                (self._near if record.leg == "charge_point" else self._far)[folded] = managed

    # A ChangeConfiguration that sets a key.

    def see(self, fact: Fact) -> None:
        """Examine a Call that has ended: it may have set a key."""
        if isinstance(fact, CallEnded):
            self._ended(fact.identity, fact.report)

    def _ended(self, identity: str, report: Report) -> None:
        if report.call.action != "ChangeConfiguration" or report.sender is not Party.CENTRAL_SYSTEM:
            return
        value, runner = new_key(report.call.payload), self._find(identity)
        if value is None or runner is None:
            return
        taken = is_taken(report.answer)
        if taken != "no":
            self._changed(runner.placement, value, taken, operator=report.operator)

    def _changed(self, placement: Placement, value: str, taken: Taken, *, operator: bool) -> None:
        """Replace the passwords that `value` makes stale.

        The key is also the password of a SOAP Charge Point, because OCPP-S has no Basic authentication other than
        HTTP's.
        """
        if placement.rule.asks == "basic":
            self._stale(placement, "charge_point", value, taken)
        # The Central System does not know a key that an operator sets.
        if placement.own.central_system_password is not None and not operator:
            self._stale(placement, "central_system", value, taken)

    def _stale(self, placement: Placement, leg: str, value: str, taken: Taken) -> None:
        name = "password" if leg == "charge_point" else "central_system_password"
        key = f'charge_points."{placement.identity}".{name}'
        if taken == "unknown":
            text = "a new AuthorizationKey was not answered: the Charge Point may have it"
            logs.fields(_log, logging.WARNING, text, identity=placement.identity, may_be_stale=key)
        elif self._manage and (leg == "charge_point" or placement.speaks_json):
            self._take(placement, leg, value, at_once=taken == "at once")
            text = "a new AuthorizationKey takes the place of a password"
            logs.fields(_log, logging.WARNING, text, identity=placement.identity, stale=key, kept="in the store")
        else:
            text = "a new AuthorizationKey: the configuration has to say it"
            logs.fields(_log, logging.WARNING, text, identity=placement.identity, stale=key)

    def _take(self, placement: Placement, leg: str, value: str, *, at_once: bool) -> None:
        new = readings(value)
        kept, password = self._now(placement, leg)
        # The old key stays valid until the Charge Point has restarted.
        old = () if at_once else tuple(secret for secret in kept if secret not in new)
        secrets = (*new, *old) if leg == "charge_point" else (*old, *new)
        managed = ManagedKey(secrets, len(new), None, password)
        self._turn.pop(placement.identity.casefold(), None)
        self._keep(placement, leg, managed)

    def _now(self, placement: Placement, leg: str) -> tuple[tuple[Expected, ...], bytes | None]:
        """Return the passwords that are valid now, and the password of the configuration."""
        if leg == "charge_point":
            password = placement.own.password
            return self.rule(placement).passwords, None if password is None else password.reveal()
        present = self._far_password(placement)
        return () if present is None else (present,), placement.password

    def _keep(self, placement: Placement, leg: str, managed: ManagedKey) -> None:
        """Use `managed` from now on, and store it. The hashes are computed in a thread."""
        (self._near if leg == "charge_point" else self._far)[placement.identity.casefold()] = managed
        storing = self._tasks.spawn(self._stored(placement, leg, managed), name=f"key of {placement.identity}")
        self._storing.add(storing)
        storing.add_done_callback(self._storing.discard)

    async def _stored(self, placement: Placement, leg: str, managed: ManagedKey) -> None:
        hashed = await self._threads.run(partial(managed.at_rest, hashed=leg == "charge_point"))
        legs = self._near if leg == "charge_point" else self._far
        if legs.get(placement.identity.casefold()) is managed:
            legs[placement.identity.casefold()] = hashed
            self._put(placement, leg, hashed)

    def _put(self, placement: Placement, leg: str, managed: ManagedKey | None) -> None:
        self._store.put((managed or NONE).record(placement.identity, leg, time.time()))
