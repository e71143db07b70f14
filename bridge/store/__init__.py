"""What survives a restart: a few records per Charge Point, and nothing that could be asked for again.

This room knows no message, no session and no asyncio: it keeps Records and gives them back. Everybody else uses `Store`
and the Records, and nothing below them, so that a store shared by a cluster can take their place.

    records    what is kept                             store      the one door
    kept       what is in memory, bounded               writer     the thread that writes, and what it does in trouble
    database   one SQLite file                          rows       Records as rows
    schema     the tables, and how older files grow into them
"""

from bridge.store.records import (
    AliasRecord,
    AnsweredRecord,
    AuditRecord,
    ChargePointRecord,
    ConnectorRecord,
    CredentialRecord,
    Memory,
    Record,
)
from bridge.store.store import Store

__all__ = [
    "AliasRecord",
    "AnsweredRecord",
    "AuditRecord",
    "ChargePointRecord",
    "ConnectorRecord",
    "CredentialRecord",
    "Memory",
    "Record",
    "Store",
]
