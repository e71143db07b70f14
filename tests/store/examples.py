"""Records: short ones for tests that say what is in them, and any at all for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from bridge.store import (
    AliasRecord,
    AnsweredRecord,
    AuditRecord,
    ChargePointRecord,
    ConnectorRecord,
    CredentialRecord,
    Record,
)
from tests.store.conftest import NOW


def charge_point(identity: str = "RDAM 123", last_seen: float = NOW) -> ChargePointRecord:
    return ChargePointRecord(identity=identity, last_seen=last_seen, transport="soap", version="1.6")


def answered(fingerprint: object = 0, at: float = NOW, identity: str = "RDAM 123") -> AnsweredRecord:
    return AnsweredRecord(
        identity=identity, action="StartTransaction", fingerprint=str(fingerprint), answer=b"{}", at=at
    )


def alias(number: int = 1, transaction_id: int = 2**40, identity: str = "RDAM 123") -> AliasRecord:
    return AliasRecord(identity=identity, alias=number, transaction_id=transaction_id)


def connector(number: int = 1, status: str | None = "Charging", identity: str = "RDAM 123") -> ConnectorRecord:
    return ConnectorRecord(identity=identity, connector=number, status=status, transaction_id=None, at=NOW)


def audited(number: int = 1, identity: str = "RDAM 123") -> AuditRecord:
    return AuditRecord(
        identity=identity, id=number, at=NOW, who="127.0.0.1", what="disconnect", detail="", outcome="done"
    )


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
integers = st.integers() | st.integers(-(2**200), 2**200)
times = st.floats(NOW - 1000, NOW)

charge_points = st.builds(
    ChargePointRecord,
    identity=texts,
    last_seen=times,
    transport=st.sampled_from(["soap", "json"]),
    version=texts,
    callback_url=st.none() | texts,
    callback_networks=st.none() | st.lists(texts).map(tuple),
    boot=st.none() | st.binary(),
    interval=st.none() | integers,
    central_system=st.none() | texts,
)
answers = st.builds(
    AnsweredRecord,
    identity=texts,
    action=st.sampled_from(["StartTransaction", "StopTransaction"]),
    fingerprint=texts,
    answer=st.binary(),
    at=times,
)
aliases = st.builds(AliasRecord, identity=texts, alias=st.integers(1, 2**31 - 1), transaction_id=integers)
connectors = st.builds(
    ConnectorRecord,
    identity=texts,
    connector=integers,
    status=st.none() | texts,
    transaction_id=st.none() | integers,
    at=times,
)
audits = st.builds(
    AuditRecord, identity=texts, id=integers, at=times, who=texts, what=texts, detail=texts, outcome=texts
)
credentials = st.builds(
    CredentialRecord,
    identity=texts,
    leg=st.sampled_from(["charge_point", "central_system"]),
    secrets=st.lists(st.binary()).map(tuple),
    fresh=st.integers(0, 2),
    replaces=texts,
    at=times,
)
records: st.SearchStrategy[Record] = charge_points | answers | aliases | connectors | audits | credentials
