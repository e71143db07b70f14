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
    MoveRecord,
    RecognisedRecord,
    Record,
)
from bridge.store.records import (
    AskedRecord,
    AuthorizationRecord,
    ObserverMessageRecord,
    ProvisionedRecord,
    ReadinessRecord,
    StatusRecord,
)
from tests.store.conftest import NOW


def charge_point(identity: str = "RDAM 123", last_seen: float = NOW) -> ChargePointRecord:
    return ChargePointRecord(identity=identity, last_seen=last_seen, transport="soap", version="1.6")


def answered(fingerprint: object = 0, kept_at: float = 0.0, identity: str = "RDAM 123") -> AnsweredRecord:
    return AnsweredRecord(
        identity=identity,
        action="StartTransaction",
        fingerprint=str(fingerprint),
        answer=b"{}",
        at=NOW,
        kept_at=kept_at,
    )


def credential(identity: str = "RDAM 123") -> CredentialRecord:
    return CredentialRecord(identity=identity, leg="charge_point", secrets=(b"hash",), fresh=1, replaces="", at=NOW)


def alias(number: int = 1, transaction_id: int = 2**40, identity: str = "RDAM 123") -> AliasRecord:
    return AliasRecord(identity=identity, alias=number, transaction_id=transaction_id)


def connector(number: int = 1, status: str | None = "Charging", identity: str = "RDAM 123") -> ConnectorRecord:
    return ConnectorRecord(identity=identity, connector=number, status=status, transaction_id=None, at=NOW)


def provisioned(identity: str = "RDAM 123", settings: bytes = b"{}") -> ProvisionedRecord:
    return ProvisionedRecord(identity=identity, settings=settings, at=NOW)


def compared(central_system: str = "new", kept_at: float = 0.0, identity: str = "RDAM 123") -> ReadinessRecord:
    return ReadinessRecord(identity=identity, kept_at=kept_at, central_system=central_system, content=b"{}")


def audited(number: int = 1, identity: str = "RDAM 123") -> AuditRecord:
    return AuditRecord(
        identity=identity, id=number, at=NOW, who="127.0.0.1", what="disconnect", detail="", outcome="done"
    )


def observer_message(place: int = 0, identity: str = "RDAM 123") -> ObserverMessageRecord:
    return ObserverMessageRecord(
        identity=identity,
        observer="ems",
        place=place,
        number=place,
        key=f"key-{place}",
        action="MeterValues",
        at=NOW,
        octets=8,
        request=b"{}",
        answer=b"[3,{}]",
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
    boot_status=st.none() | texts,
    boot_system=st.none() | texts,
    configured=st.none() | integers,
    pause=st.none() | times,
    next_move=st.none() | st.binary(),
)
answers = st.builds(
    AnsweredRecord,
    identity=texts,
    action=st.sampled_from(["StartTransaction", "StopTransaction"]),
    fingerprint=texts,
    answer=st.binary(),
    at=times,
    kept_at=st.floats(0, 1000),
    body=st.none() | st.binary(),
    body_version=st.none() | texts,
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
moves = st.builds(MoveRecord, identity=st.just(""), id=integers, content=st.binary())
credentials = st.builds(
    CredentialRecord,
    identity=texts,
    leg=st.sampled_from(["charge_point", "central_system"]),
    secrets=st.lists(st.binary()).map(tuple),
    fresh=st.integers(0, 2),
    replaces=texts,
    at=times,
)
recognised = st.builds(RecognisedRecord, identity=texts, tag=st.integers(0, 255))
asked = st.builds(AskedRecord, identity=texts, kept_at=st.floats(0, 1000), fingerprint=texts, unique_id=texts)
statuses = st.builds(StatusRecord, identity=texts, connector=integers, request=st.binary())
authorizations = st.builds(AuthorizationRecord, identity=texts, kept_at=st.floats(0, 1000), id_tag=texts, status=texts)
provisioned_settings = st.builds(ProvisionedRecord, identity=texts, settings=st.binary(), at=times)
readiness = st.builds(
    ReadinessRecord, identity=texts, kept_at=st.floats(0, 1000), central_system=texts, content=st.binary()
)
records: st.SearchStrategy[Record] = (
    charge_points
    | answers
    | aliases
    | connectors
    | audits
    | moves
    | credentials
    | recognised
    | asked
    | statuses
    | authorizations
    | provisioned_settings
    | readiness
)
