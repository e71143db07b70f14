"""The records of a file, brought into the stream of a cluster at a real nats-server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bridge.cluster.record_import import RecordImport
from bridge.cluster.record_stream import RecordStream, SlotChanges
from bridge.cluster.slots import slot_of
from bridge.store.records import Record, key_of
from tests.cluster.servers import nats_at, node
from tests.store.conftest import NOW
from tests.store.examples import charge_point, connector, observer_message


async def test_few_records_are_one_batch_so_that_the_next_import_finds_all_of_a_record_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, batches = RecordStream.commit, list[Sequence[SlotChanges]]()

    async def watched(self: RecordStream, parts: Sequence[SlotChanges]) -> None:
        batches.append(parts)
        await commit(self, parts)

    monkeypatch.setattr(RecordStream, "commit", watched)
    message = observer_message()
    records: list[Record] = [charge_point(), connector(), message]
    with nats_at(tmp_path) as server:
        async with node(server.url) as of:
            counts = await RecordImport(of.stream, "importer", lease=5.0).run(records, NOW)
            assert dict(counts.written) == {"charge_point": 1, "connector": 1, "observer_message": 1}
            (parts,) = batches
            assert all(part.together for part in parts)
            slot = slot_of(message.identity)
            epoch = (await of.map.read_map()).claims[slot].epoch
            content = await of.records.content(slot, epoch, key_of(message))
            assert content == (message.request, message.answer)
            # The next import finds them.
            counts = await RecordImport(of.stream, "importer", lease=5.0).run(records, NOW)
            assert counts.present == 3 and not counts.written and len(batches) == 1
