"""The state that survives a restart: a few records per Charge Point, and nothing that the bridge could request again.

This package knows no OCPP message, no session and no asyncio: it stores Records and returns them. Other packages use
only `RecordStore`, which `Store` and the store of a cluster (`bridge.cluster.shared_store`) are, and the Records.

    records    the kinds of Record                      record_store  what every store offers
    store      a store in a file or in memory
    kept       the Records in memory, bounded           writer     collects what waits to be written, in batches
    thread     the thread that writes these batches
    database   one SQLite file                          rows       Records as rows
    schema     the tables, and the migration of older files
    files      a file as a whole: copied, moved aside   holders    finds the process that has a file locked
    backup     copies or examines a store that another process has open
    contents   reads all of a store that no process has open, for an import elsewhere
"""

from bridge.store.backup import backup, examine
from bridge.store.record_store import RecordStore
from bridge.store.records import (
    AliasRecord,
    AnsweredRecord,
    AuditRecord,
    ChargePointRecord,
    ConnectorRecord,
    CredentialRecord,
    MoveRecord,
    ProvisionedRecord,
    ReadinessRecord,
    RecognisedRecord,
    Record,
    StoredMemory,
)
from bridge.store.schema import Locked, NewerSchema, UnusableStore
from bridge.store.store import Store, path_of

__all__ = [
    "AliasRecord",
    "AnsweredRecord",
    "AuditRecord",
    "ChargePointRecord",
    "ConnectorRecord",
    "CredentialRecord",
    "Locked",
    "MoveRecord",
    "NewerSchema",
    "ProvisionedRecord",
    "ReadinessRecord",
    "RecognisedRecord",
    "Record",
    "RecordStore",
    "Store",
    "StoredMemory",
    "UnusableStore",
    "backup",
    "examine",
    "path_of",
]
