"""Settings that operators gave, from the store: what can be read holds, and what cannot is in the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config import ChargePoint, ClientTLS, Secret
from bridge.gateway.stored_settings import StoredEntry, StoredSettings
from bridge.gateway.tls_contexts import TlsContexts
from bridge.store import ProvisionedRecord, Store
from tests.authority import Authority
from tests.e2e.stage import logged


@pytest.fixture
def store() -> Store:
    found = Store("memory:")
    found.open()
    return found


def put(store: Store, identity: str, settings: bytes) -> None:
    store.put(ProvisionedRecord(identity=identity, settings=settings, at=0.0))


def stored(store: Store) -> StoredSettings:
    return StoredSettings(store, TlsContexts(), clock=lambda: 7.0)


def test_what_is_put_is_found_again(store: Store) -> None:
    settings = stored(store)
    raw = {"certificate_name": "x", "password": "scrypt$"}
    entry = StoredEntry(identity="CP 1", raw=raw, own=ChargePoint(certificate_name="x", password=Secret(b"scrypt$")))
    assert settings.put([entry]).result() is True
    assert [record.at for record in store.provisioned()] == [7.0]
    for found in (settings, stored(store)):
        assert found.get("cp 1") == entry
        assert (found.usable(), len(found)) == ({"CP 1": entry.own}, 1)
    assert "scrypt" not in repr(entry) and "scrypt" not in repr(store.provisioned())


def test_what_is_withdrawn_is_gone_with_the_charge_point(store: Store) -> None:
    put(store, "CP 1", b"{}")
    settings = stored(store)
    assert settings.withdraw("cp 1") and not settings.withdraw("cp 1")
    assert len(settings) == 0
    store.remove("CP 1")
    assert len(stored(store)) == 0


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"networks": 1}', b'{"unknown": 1}', b"\xff"])
def test_what_cannot_be_read_does_not_hold_and_harms_nobody(store: Store, raw: bytes) -> None:
    put(store, "CP 1", raw)
    put(store, "CP 2", b"{}")
    with logged() as lines:
        settings = stored(store)
    assert [entry.identity for entry in settings] == ["CP 2"]
    (line,) = lines
    assert "cannot be read" in line and "CP 1" in line


def test_a_tls_file_that_is_gone_is_told_and_used_once_it_is_back(store: Store, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    put(store, "CP 1", f'{{"tls": {{"ca": "{ca}"}}, "certificate_name": "x"}}'.encode())
    with logged() as lines:
        contexts = TlsContexts()
        settings = StoredSettings(store, contexts)
    (line,) = lines
    assert "a TLS file of a Charge Point cannot be used" in line and "CP 1" in line
    assert settings.usable() == {"CP 1": ChargePoint(certificate_name="x")}
    assert Authority(tmp_path).file == str(ca)
    settings.take(contexts.read(settings.tables()))
    assert settings.usable() == {"CP 1": ChargePoint(certificate_name="x", tls=ClientTLS(ca=str(ca)))}
    # A file that is gone later leaves the last good one in use.
    ca.unlink()
    settings.take(contexts.read(settings.tables()))
    assert settings.usable()["CP 1"].tls is not None
