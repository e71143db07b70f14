"""The settings of Charge Points that operators gave while the bridge ran, in memory and in the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import msgspec
from msgspec import Struct

from bridge.config import ChargePoint, ClientTLS
from bridge.config.complaints import dotted
from bridge.config.provisioned import restored
from bridge.errors import ConfigurationError
from bridge.gateway.tls_contexts import TlsContexts
from bridge.net.tls import Built
from bridge.ocpp.tenants import identity_of
from bridge.store import ProvisionedRecord, RecordStore
from bridge.watching import logs

_log = logging.getLogger("bridge.provisioning")


class StoredEntry(Struct, frozen=True, kw_only=True):
    """The settings of one Charge Point: `raw` as they are stored, with a hashed password, `own` as they are used."""

    identity: str
    raw: Mapping[str, Any]
    own: ChargePoint

    def __repr__(self) -> str:
        return f"StoredEntry({self.identity!r})"


class StoredSettings:
    """The stored settings by casefolded identity. `clock` returns unix seconds."""

    def __init__(self, store: RecordStore, contexts: TlsContexts, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._contexts = contexts
        self._clock = clock
        self._entries: dict[str, StoredEntry] = {}
        self._unusable: set[ClientTLS] = set()
        self.read_again()

    def read_again(self) -> None:
        """Read the store, and the TLS files that its settings name."""
        for record in self._store.provisioned():
            if (entry := _restored(record)) is not None:
                self._entries[record.identity.casefold()] = entry
        self.take(self._contexts.read(self.tables()))

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[StoredEntry]:
        return iter(self._entries.values())

    def get(self, identity: str) -> StoredEntry | None:
        """Return the entry of a Charge Point, or None."""
        return self._entries.get(identity.casefold())

    def usable(self) -> dict[str, ChargePoint]:
        """Return the settings to use, by identity. A TLS table whose files cannot be read is left out."""
        return {entry.identity: self.without_unusable(entry.own) for entry in self}

    def without_unusable(self, own: ChargePoint) -> ChargePoint:
        """Return `own`, without a TLS table whose files cannot be read."""
        return msgspec.structs.replace(own, tls=None) if own.tls in self._unusable else own

    def put(self, entries: Sequence[StoredEntry]) -> Future[bool]:
        """Use and store `entries`, all in one transaction. Returns a future that is True if the disk has them."""
        now = self._clock()
        records = []
        for entry in entries:
            self._entries[entry.identity.casefold()] = entry
            settings = msgspec.json.encode(entry.raw)
            records.append(ProvisionedRecord(identity=entry.identity, settings=settings, at=now))
        return self._store.commit(*records)

    def withdraw(self, identity: str) -> bool:
        """Forget an entry, which is deleted from the store with its Charge Point. Returns whether there was one."""
        return self._entries.pop(identity.casefold(), None) is not None

    def tables(self) -> list[tuple[str, ClientTLS]]:
        """Return the TLS tables of all entries, each with its key."""
        return [
            (dotted(("charge_points", identity_of(entry.identity), "tls")), entry.own.tls)
            for entry in self
            if entry.own.tls is not None
        ]

    def take(self, built: Built) -> None:
        """Use the TLS contexts `built`, and log which files cannot be read. A context from before stays in use."""
        for tls, context in built.items():
            try:
                complaints = self._contexts.take({tls: context})
            except ConfigurationError as error:
                self._unusable.add(tls)
                complaints = error.complaints
            else:
                self._unusable.discard(tls)
            for complaint in complaints:
                logs.fields(_log, logging.ERROR, "a TLS file of a Charge Point cannot be used", complaint=complaint)


def _restored(record: ProvisionedRecord) -> StoredEntry | None:
    try:
        raw = msgspec.json.decode(record.settings, type=dict[str, Any])
    except msgspec.DecodeError:
        raw = None
    own = None if raw is None else restored(raw)
    if raw is None or own is None:
        text = "the stored settings of a Charge Point cannot be read, and do not hold"
        logs.fields(_log, logging.ERROR, text, identity=record.identity)
        return None
    return StoredEntry(identity=record.identity, raw=raw, own=own)
