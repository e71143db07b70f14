"""AuthorizationKey (OCPP-J 1.6 section 6.2.2): a Central System gives its Charge Point a new password, through us.

The passwords that the configuration holds are stale then: what the Charge Point shows us, and what we show the Central
System in its name. The operator is told; with `gateway.manage_authorization_key` the new key takes their place, until
the configuration says something else than it did.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from bridge import logs
from bridge.access import passwords
from bridge.access.passwords import Expected, Hash
from bridge.access.rules import Rule
from bridge.config import Secret
from bridge.core.commands import Report
from bridge.gateway.conductor import Conductor
from bridge.gateway.placement import Placement
from bridge.gateway.ways import PostedWay
from bridge.observing import Observer
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import ChangeConfigurationRequest, ChangeConfigurationResponse
from bridge.ocpp.rpc import CallResult, Unanswered, UnopenedRequest, UnopenedResponse
from bridge.ocppj.client import Target
from bridge.store import CredentialRecord, Store
from bridge.tasks import Tasks

_log = logging.getLogger("bridge.access")
_KEY = "authorizationkey"
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
# White paper A00.FR.205: 16 octets at least, 20 at most, "represented as a string of up to 40 hexadecimal digits".
_OCTETS = range(16, 21)
# What tells whether the configuration has changed need not be as costly as a password's hash.
_COST_OF_OLD = 2**10


class _Setting(Struct):
    key: str
    value: str


class _Status(Struct):
    status: str


class Managed(Struct, frozen=True):
    """A key in the place of the password `configured`, None until `replaces` was found to fit it."""

    secrets: tuple[Expected, ...]
    fresh: int
    replaces: Hash | None = None
    configured: bytes | None = None

    def __repr__(self) -> str:
        return "Managed(***)"


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
        managed = self._of(self._near, placement, placement.own.password)
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
                managed = _managed(record)
            except ValueError:
                logs.fields(_log, logging.ERROR, "a stored AuthorizationKey cannot be read", identity=identity)
            else:
                (self._near if record.leg == "charge_point" else self._far)[folded] = managed

    # A key on its way.

    def exchanged(self, identity: str, report: Report) -> None:
        """A Call has ended."""
        if report.call.action != "ChangeConfiguration" or report.sender is not Party.CENTRAL_SYSTEM:
            return
        value, conductor = _new_key(report.call.payload), self._find(identity)
        if value is None or conductor is None:
            return
        status = _status(report.answer)
        unknown = report.answer is None or isinstance(report.answer, Unanswered)
        if unknown or status in ("accepted", "rebootrequired"):
            self._changed(conductor, value, status, operator=report.operator)

    def _changed(self, conductor: Conductor, value: str, status: str | None, *, operator: bool) -> None:
        """`status` None: it is not known whether the Charge Point took the key."""
        placement = conductor.placement
        if not isinstance(conductor.ways.get(Party.CHARGE_POINT), PostedWay) and placement.rule.asks == "basic":
            self._stale(placement, "charge_point", value, status)
        # What an operator sets, the Central System does not know.
        if placement.speaks_json and placement.own.central_system_password is not None and not operator:
            self._stale(placement, "central_system", value, status)

    def _stale(self, placement: Placement, leg: str, value: str, status: str | None) -> None:
        name = "password" if leg == "charge_point" else "central_system_password"
        key = f'charge_points."{placement.identity}".{name}'
        if status is None:
            text = "a new AuthorizationKey was not answered: the Charge Point may have it"
            logs.fields(_log, logging.WARNING, text, identity=placement.identity, may_be_stale=key)
        elif self._manage:
            self._take(placement, leg, value, status)
            text = "a new AuthorizationKey takes the place of a password"
            logs.fields(_log, logging.WARNING, text, identity=placement.identity, stale=key, kept="in the store")
        else:
            text = "a new AuthorizationKey: the configuration has to say it"
            logs.fields(_log, logging.WARNING, text, identity=placement.identity, stale=key)

    def _take(self, placement: Placement, leg: str, value: str, status: str) -> None:
        new = _readings(value)
        kept, password = self._now(placement, leg)
        # The old key serves until the Charge Point has started again.
        old = tuple(secret for secret in kept if secret not in new) if status == "rebootrequired" else ()
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
        hashed = await asyncio.to_thread(_at_rest, managed, leg == "charge_point")
        legs = self._near if leg == "charge_point" else self._far
        if legs.get(placement.identity.casefold()) is managed:
            legs[placement.identity.casefold()] = hashed
            self._put(placement, leg, hashed)

    def _put(self, placement: Placement, leg: str, managed: Managed | None) -> None:
        secrets = () if managed is None else managed.secrets
        record = CredentialRecord(
            identity=placement.identity,
            leg="charge_point" if leg == "charge_point" else "central_system",
            secrets=tuple(secret if isinstance(secret, bytes) else str(secret).encode() for secret in secrets),
            fresh=0 if managed is None else managed.fresh,
            replaces="" if managed is None else str(managed.replaces or ""),
            at=time.time(),
        )
        self._store.put(record)


def _managed(record: CredentialRecord) -> Managed | None:
    """From the store. Raises ValueError."""
    replaces = passwords.read(record.replaces.encode())
    if not record.secrets or not isinstance(replaces, Hash):
        return None
    secrets = record.secrets if record.leg == "central_system" else tuple(map(passwords.read, record.secrets))
    return Managed(secrets, record.fresh, replaces)


def _at_rest(managed: Managed, near: bool) -> Managed:
    """In a thread: hashes in the place of what need not be sent."""
    secrets = tuple(_hash(secret) if near else secret for secret in managed.secrets)
    replaces = managed.replaces
    if replaces is None and managed.configured is not None:
        replaces = passwords.hashed(managed.configured, os.urandom(16), _COST_OF_OLD)
    return Managed(secrets, managed.fresh, replaces, managed.configured)


def _hash(secret: Expected) -> Hash:
    return secret if isinstance(secret, Hash) else passwords.hashed(secret, os.urandom(16))


def _readings(value: str) -> tuple[bytes, ...]:
    """What the new password may be: the octets that `value` spells (OCPP-J 1.6 section 6.2.2), or its characters, as
    many Charge Points take it. The likelier one first."""
    text = value.encode("utf-8", "surrogatepass")
    if not _HEX.fullmatch(value):
        return (text,)
    octets = bytes.fromhex(value)
    return (octets, text) if len(octets) in _OCTETS else (text, octets)


def _new_key(payload: object) -> str | None:
    """The value of AuthorizationKey, if that is what a ChangeConfiguration sets."""
    setting: ChangeConfigurationRequest | _Setting | None = None
    if isinstance(payload, ChangeConfigurationRequest):
        setting = payload
    elif isinstance(payload, UnopenedRequest):
        setting = _read(payload.raw, _Setting)
    return setting.value if setting is not None and setting.key.strip().lower() == _KEY else None


def _status(answer: object) -> str | None:
    if not isinstance(answer, CallResult):
        return None
    if isinstance(answer.payload, ChangeConfigurationResponse):
        return str(answer.payload.status.value).lower()
    read = _read(answer.payload.raw, _Status) if isinstance(answer.payload, UnopenedResponse) else None
    return None if read is None else read.status.lower()


def _read(raw: msgspec.Raw, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
