"""`ocpp-bridge store import`: the records of a single process come into a cluster, at a real NATS server."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs

from bridge.cluster.slots import slot_of
from bridge.commands import cli
from bridge.store import Record, Store, schema
from bridge.store.records import LONGEST
from tests.cluster.servers import TOKEN, NatsServer, nats_at, node
from tests.cluster.test_shared_store import Member, member
from tests.e2e.stage import AT_MOST, run
from tests.store.examples import alias, answered, audited, charge_point, connector, credential, provisioned

CP, OTHER = "RDAM 123", "RDAM 124"
VERSION_3 = Path(__file__).parents[1] / "store" / "version_3.sql"


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_at(tmp_path) as server:
        yield server


@pytest.fixture
def configuration(tmp_path: Path, nats: NatsServer) -> Path:
    file = tmp_path / "bridge.toml"
    file.write_text(
        f'[store]\nurl = "sqlite:///{tmp_path}/bridge.db"\n'
        f'[cluster]\nservers = ["{nats.url}"]\npassword = "{TOKEN}"\nlease = 1\nnode = "a"\n'
    )
    return file


def store_with(path: Path, *records: Record) -> None:
    store = Store(f"sqlite:///{path}")
    store.open()
    assert store.commit(*records).result(AT_MOST)
    store.close()


def import_with(configuration: Path) -> int:
    return cli.main(["store", "import", "--config", str(configuration)])


def in_the_cluster(nats: NatsServer, *identities: str) -> Member:
    """A node that has loaded the records of some Charge Points. It is closed, and has them in memory."""

    async def walk() -> Member:
        async with member(nats, "b") as made:
            for identity in identities:
                await made.hold(slot_of(identity))
            return made

    return asyncio.run(asyncio.wait_for(walk(), AT_MOST))


def test_all_records_are_in_the_cluster_afterwards(
    tmp_path: Path, configuration: Path, nats: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bridge.db"
    records = (charge_point(), alias(), connector(), credential(), audited(), answered("new"), answered("old"))
    store_with(path, *records, provisioned(OTHER), charge_point(OTHER))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE answered SET kept_at = ? WHERE fingerprint = 'old'", (-LONGEST - 1000,))
        connection.commit()
    before = path.read_bytes()
    assert import_with(configuration) == 0
    told = capsys.readouterr().out
    assert f"{path}: 8 records of 2 Charge Points are imported\n" in told, told
    assert "  answered: 1\n" in told and f"{path}: 1 records are too old, and are not imported\n" in told
    assert not path.exists() and path.with_name("bridge.db.imported-1").stat().st_size >= len(before)
    found = in_the_cluster(nats, CP, OTHER)
    memory = found.store.memory_of(CP)
    assert memory.charge_point == charge_point() and memory.aliases == (alias(),)
    assert memory.connectors == (connector(),) and memory.credentials == (credential(),)
    # A record goes on to age by the clock of the servers.
    (kept,) = memory.answered
    assert structs.replace(kept, kept_at=0.0) == answered("new")
    assert found.store.running_time - 3600 < kept.kept_at <= found.store.running_time + 10  # each start rounds seconds
    assert found.store.audit() == [audited()]
    assert found.store.provisioned() == [provisioned(OTHER)]
    # There is nothing to do any more.
    assert import_with(configuration) == 0
    assert f"{path}: was imported before, and is now {path}.imported-1\n" in capsys.readouterr().out


def test_an_import_is_done_again_and_overwrites_nothing(
    tmp_path: Path, configuration: Path, nats: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bridge.db"
    store_with(path, charge_point(), connector(), audited())
    shutil.copy(path, tmp_path / "copy.db")
    assert import_with(configuration) == 0

    async def walk() -> None:
        async with member(nats, "b") as made:
            await made.hold()
            assert await asyncio.wrap_future(made.store.commit(connector(status="Finishing")))

    run(walk())
    shutil.move(tmp_path / "copy.db", path)
    store_with(path, connector(2))
    capsys.readouterr()
    assert import_with(configuration) == 0
    told = capsys.readouterr().out
    assert f"{path}: 1 records of 1 Charge Points are imported\n  connector: 1\n" in told
    assert f"{path}: 3 records were in the cluster before, and are left as they are there\n" in told
    assert path.with_name("bridge.db.imported-2").exists()
    memory = in_the_cluster(nats, CP).store.memory_of(CP)
    assert {one.connector: one.status for one in memory.connectors} == {1: "Finishing", 2: "Charging"}


def test_more_records_than_a_batch_holds(tmp_path: Path, configuration: Path, nats: NatsServer) -> None:
    many = [alias(number, identity=f"CP {number % 7}") for number in range(1, 3500)]
    store_with(tmp_path / "bridge.db", *many)
    assert import_with(configuration) == 0
    found = in_the_cluster(nats, *(f"CP {number}" for number in range(7)))
    assert sum(len(found.store.memory_of(f"CP {number}").aliases) for number in range(7)) == 3499


def test_a_store_of_version_3(
    tmp_path: Path, configuration: Path, nats: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bridge.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_3.read_text("utf-8"))
        connection.execute("UPDATE connector SET connector = 'one' WHERE connector = '2'")
        connection.commit()
    assert import_with(configuration) == 0
    told = capsys.readouterr().out
    assert f"{path}: 1 in table connector of 'RDAM 123' cannot be read, and not imported\n" in told
    assert path.with_name("bridge.db.bak-3").exists()
    memory = in_the_cluster(nats, CP, OTHER).store.memory_of(CP)
    assert memory.charge_point is not None and memory.charge_point.central_system == "other"
    assert [one.transaction_id for one in memory.aliases] == [2**40] and len(memory.answered) == 1


def test_a_node_that_runs_is_in_the_way(
    tmp_path: Path, configuration: Path, nats: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    store_with(tmp_path / "bridge.db", charge_point())

    async def walk() -> None:
        async with node(nats.url, "b") as of:
            sequence = await of.map.join("", 1.0)
            importing = asyncio.ensure_future(asyncio.to_thread(import_with, configuration))
            while not importing.done():
                sequence = await of.map.renew("", sequence)
                await asyncio.sleep(0.1)
            assert await importing == 1

    run(walk())
    assert "the node 'b' runs: stop all nodes of the cluster first" in capsys.readouterr().err
    assert (tmp_path / "bridge.db").exists()
    # One that was killed is not.
    assert import_with(configuration) == 0


def test_what_cannot_be_imported(
    tmp_path: Path, configuration: Path, nats: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bridge.db"
    assert import_with(configuration) == 1
    assert f"{path}: there is no store to import" in capsys.readouterr().err
    store = Store(f"sqlite:///{path}")
    store.open()
    assert import_with(configuration) == 1
    assert "another ocpp-bridge has it open" in capsys.readouterr().err
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    assert import_with(configuration) == 2
    assert "a later ocpp-bridge wrote it" in capsys.readouterr().err
    nats.kill()
    path.unlink()
    configuration.write_text(configuration.read_text().replace("[cluster]", "[cluster]\nnothing = 1"))
    assert import_with(configuration) == 2
    configuration.write_text(f'[store]\nurl = "sqlite:///{path}"\n')
    assert import_with(configuration) == 2
    assert "gateway.workers: is 1, and cluster.servers is empty" in capsys.readouterr().err
    configuration.write_text('[store]\nurl = "memory:"\n[cluster]\nservers = ["nats://127.0.0.1:1"]\n')
    assert import_with(configuration) == 2
    assert 'store.url: "memory:" names no file' in capsys.readouterr().err
