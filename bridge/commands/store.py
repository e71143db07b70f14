"""Command `store import`: bring the records of a single process into the cluster that the configuration names."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bridge import config
from bridge.commands.workers import missing_library, server_of_machine
from bridge.config import Cluster, Settings, sources
from bridge.config.cluster import is_cluster, node_name, of_worker
from bridge.errors import Complaint, ConfigurationError, Unavailable
from bridge.observer_queues import ObserverContents
from bridge.store import Record, path_of
from bridge.store.contents import StoreContents, set_aside_before
from bridge.store.files import database_beside
from bridge.watching import logs

if TYPE_CHECKING:
    from bridge.cluster.record_import import ImportCounts

# Seconds to wait for NATS servers that are not there yet.
_PATIENCE = 30.0


def import_records(configuration: Path | None) -> int:
    """Bring the records in `store.url` into the cluster, with what waits for observers. The files are renamed.

    Returns: Exit code 0.

    Raises:
        ConfigurationError: The configuration is at fault, or is that of a single process.
        StartError: There is no store, or it cannot be read; a node runs; or the servers cannot be used.
    """
    settings = config.load(configuration, os.environ)
    path = path_of(settings.store.url)
    found = sources.find(configuration, os.environ)
    source = "built-in defaults" if found is None else sources.name_of(found)
    if not is_cluster(settings):
        text = "is 1, and cluster.servers is empty: a single process goes on with its store, nothing is to be imported"
        raise ConfigurationError([Complaint(source, "gateway.workers", text)])
    if missing := [*missing_library(settings, source)]:
        raise ConfigurationError(missing)
    if path is None:
        raise ConfigurationError([Complaint(source, "store.url", '"memory:" names no file that could be imported')])
    logs.setup("text", "error", sys.stderr)
    if (before := set_aside_before(path)) is not None:
        print(f"{path}: was imported before, and is now {before}")
        return 0
    contents, observers = StoreContents(path), ObserverContents(database_beside(settings.store.url, "observers"))
    contents.open()
    try:
        observers.open()
        records = chain(contents.records(), observers.records(contents.running_time))
        counts = asyncio.run(_import(settings, records, contents.running_time))
        for line in _report(path, counts, contents):
            print(line)
        # The store is the last: as long as it is there, the import is done again.
        if (aside := observers.set_aside()) is not None:
            print(f"what waits for observers is imported: its file is now {aside}")
        print(f"{path}: is now {contents.set_aside()}")
    finally:
        observers.close()
        contents.close()
    return 0


async def _import(settings: Settings, records: Iterable[Record], running_time: float) -> ImportCounts:
    node = f"{node_name(settings.cluster, socket.gethostname())}-import"
    if settings.cluster.servers:
        return await _into(msgspec.structs.replace(settings.cluster, node=node), records, running_time)
    server = server_of_machine(settings)
    try:
        await server.start()
        part = of_worker(settings, name=node, number=1, workers=1, servers=(server.url,), token=server.token)
        return await _into(part.cluster, records, running_time)
    finally:
        await server.close()


async def _into(cluster: Cluster, records: Iterable[Record], running_time: float) -> ImportCounts:
    # Only here: these modules need the extra `cluster`.
    from bridge.cluster.record_import import CannotImport, RecordImport
    from bridge.gateway.cluster_parts import stream_of

    stream = stream_of(cluster)
    try:
        await stream.open(_PATIENCE)
        return await RecordImport(stream, cluster.node, cluster.lease).run(records, running_time)
    except Unavailable as error:
        raise CannotImport(f"nothing is imported: {error}") from error
    finally:
        await stream.close()


def _report(path: Path, counts: ImportCounts, contents: StoreContents) -> list[str]:
    """Return what is told about an import."""
    lines = [f"{path}: {counts.written.total()} records of {counts.charge_points} Charge Points are imported"]
    lines += [f"  {table}: {number}" for table, number in sorted(counts.written.items())]
    if counts.present:
        lines.append(f"{path}: {counts.present} records were in the cluster before, and are left as they are there")
    if counts.old:
        lines.append(f"{path}: {counts.old} records are too old, and are not imported")
    for (table, identity), number in sorted(contents.unreadable.items()):
        lines.append(f"{path}: {number} in table {table} of {identity!r} cannot be read, and not imported")
    for table, identity in counts.refused:
        lines.append(f"{path}: a record in table {table} of {identity!r} is too large for NATS, and not imported")
    return lines
