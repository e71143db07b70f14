"""What a cluster has kept of a week of charging, before anything breaks: a takeover loads the records of its slots."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from random import Random

from bridge.cluster.cluster_map import unclaimed
from bridge.cluster.record_stream import SlotChanges
from bridge.cluster.slot_records import changes_of
from bridge.cluster.slots import SLOTS, slot_of
from bridge.cluster.stream_forms import RecordChange
from bridge.store.records import (
    AnsweredRecord,
    AskedRecord,
    ChargePointRecord,
    ConnectorRecord,
    Record,
    StatusRecord,
    TransactionRecord,
    key_of,
)
from tests.cluster.servers import node

_TRANSACTIONS = 26
"""Transactions of each Charge Point."""
_AT_ONCE = 990
"""Records in a batch."""


async def charged(urls: list[str], charge_points: int) -> None:
    """Write the records of that many Charge Points that have charged for a week, and hold no slot any more."""
    async with node(urls, "past") as past:
        epochs = await past.map.claim(dict.fromkeys(range(SLOTS), 0))
        assert len(epochs) == SLOTS
        now, random = past.stream.server_time, Random(1)
        records = list(chain(*(_records(f"W {number}", now, random) for number in range(charge_points))))
        random.shuffle(records)  # as they came: those of one Charge Point lie far apart
        for start in range(0, len(records), _AT_ONCE):
            changes: dict[int, list[RecordChange]] = {}
            for record in records[start : start + _AT_ONCE]:
                slot = slot_of(record.identity)
                changes.setdefault(slot, []).extend(one for _, one in changes_of(slot, key_of(record), record, now))
            await past.records.commit(
                [SlotChanges(slot=slot, epoch=epochs[slot], changes=tuple(of)) for slot, of in changes.items()]
            )
        assert len(await past.map.release(unclaimed(epochs))) == SLOTS


def _records(identity: str, now: float, random: Random) -> Iterator[Record]:
    yield ChargePointRecord(
        identity=identity,
        last_seen=now,
        transport="soap",
        version="1.5",
        boot=b'{"chargePointVendor":"V","chargePointModel":"M"}',
        interval=900,
        boot_status="Accepted",
        boot_system="main",
    )
    for connector in (1, 2):
        request = f'{{"connectorId":{connector},"errorCode":"NoError","status":"Available"}}'.encode()
        yield StatusRecord(identity=identity, connector=connector, request=request)
        yield ConnectorRecord(
            identity=identity, connector=connector, status="Available", transaction_id=None, at=now, ended=True
        )
    for number in range(1, _TRANSACTIONS + 1):
        start, stop, unique_id = (f"{random.getrandbits(128):032x}" for _ in range(3))
        yield AskedRecord(identity=identity, kept_at=now, fingerprint=start, unique_id=unique_id, central_system="main")
        yield AnsweredRecord(
            identity=identity,
            kept_at=now,
            action="StartTransaction",
            fingerprint=start,
            answer=f'{{"idTagInfo":{{"status":"Accepted"}},"transactionId":{number}}}'.encode(),
            at=now,
        )
        yield AnsweredRecord(
            identity=identity,
            kept_at=now,
            action="StopTransaction",
            fingerprint=stop,
            answer=b'{"idTagInfo":{"status":"Accepted"}}',
            at=now,
        )
        yield TransactionRecord(
            identity=identity,
            kept_at=now,
            number=number,
            central_system="main",
            named=number,
            connector=1,
            id_tag="B4A63CDF",
            meter_start=0,
            started="2026-11-30T10:00:00Z",
            state="ended",
            meter_stop=9000,
            stopped="2026-11-30T11:00:00Z",
            reason="Local",
        )
