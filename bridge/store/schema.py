"""The tables, and the migration of files that an earlier version wrote.

A file stores its version in `PRAGMA user_version`: the number of MIGRATIONS that were applied. A released migration is
never changed. A new migration is appended.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from bridge.errors import StartError


class UnusableStore(StartError):
    """The file must not be written, or cannot be read. `reason` says why, `path` is the file."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: Path | None = None

    def __str__(self) -> str:
        return self.reason if self.path is None else f"{self.path}: {self.reason}"


class Locked(UnusableStore):
    """Another process has locked the file, and may release the lock."""


class NewerSchema(UnusableStore):
    """A later ocpp-bridge has written the file. This version does not know its tables."""

    exit_code = 2

    def __init__(self, version: int) -> None:
        known = len(MIGRATIONS)
        super().__init__(
            f"a later ocpp-bridge wrote it: its tables have version {version}, this ocpp-bridge knows them up to "
            f"version {known}. Run the later ocpp-bridge, or put back the copy that it left, FILE.bak-{known}"
        )


# The text "OCPP", which distinguishes our file from another program's
# (https://www.sqlite.org/pragma.html#pragma_application_id).
APPLICATION_ID = 0x4F435050

# `folded` is the casefolded identity: SQLite's own NOCASE knows only ASCII. `sequence` is the order of writing, which
# does not depend on a clock.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE charge_point (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL UNIQUE, identity TEXT NOT NULL,
            last_seen REAL NOT NULL, transport TEXT NOT NULL, version TEXT NOT NULL,
            callback_url TEXT, callback_networks TEXT, boot BLOB, interval TEXT, central_system TEXT
        )""",
        """CREATE TABLE answered (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            action TEXT NOT NULL, fingerprint TEXT NOT NULL, answer BLOB NOT NULL, at REAL NOT NULL,
            UNIQUE (folded, action, fingerprint)
        )""",
        "CREATE INDEX answered_of ON answered (folded)",
        "CREATE INDEX answered_at ON answered (at)",
        """CREATE TABLE alias (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            alias TEXT NOT NULL, transaction_id TEXT NOT NULL,
            UNIQUE (folded, alias)
        )""",
        "CREATE INDEX alias_of ON alias (folded)",
        """CREATE TABLE connector (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            connector TEXT NOT NULL, status TEXT, transaction_id TEXT, at REAL NOT NULL, ended TEXT NOT NULL,
            UNIQUE (folded, connector)
        )""",
        "CREATE INDEX connector_of ON connector (folded)",
    ),
    (
        """CREATE TABLE audit (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            id TEXT NOT NULL, at REAL NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
            detail TEXT NOT NULL, outcome TEXT NOT NULL,
            UNIQUE (folded, id)
        )""",
        "CREATE INDEX audit_of ON audit (folded)",
    ),
    (
        """CREATE TABLE credential (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            leg TEXT NOT NULL, secrets TEXT NOT NULL, fresh TEXT NOT NULL, replaces TEXT NOT NULL, at REAL NOT NULL,
            UNIQUE (folded, leg)
        )""",
    ),
    # 4: answers age by running time. The running time before is unknown, so the age of all present answers begins anew.
    (
        "CREATE TABLE running_time (seconds REAL NOT NULL)",
        "INSERT INTO running_time VALUES (0)",
        "ALTER TABLE answered ADD COLUMN kept_at REAL NOT NULL DEFAULT 0",
        "DROP INDEX answered_at",
        "CREATE INDEX answered_kept_at ON answered (kept_at)",
    ),
    (
        """CREATE TABLE recognised (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL UNIQUE, identity TEXT NOT NULL, tag TEXT NOT NULL
        )""",
    ),
    # 6: the Calls that were sent and not answered, the last status of connectors, and the last BootNotification.conf.
    (
        """CREATE TABLE asked (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            kept_at REAL NOT NULL, fingerprint TEXT NOT NULL, unique_id TEXT NOT NULL,
            UNIQUE (folded, fingerprint)
        )""",
        "CREATE INDEX asked_kept_at ON asked (kept_at)",
        """CREATE TABLE last_status (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            connector TEXT NOT NULL, request BLOB NOT NULL,
            UNIQUE (folded, connector)
        )""",
        "ALTER TABLE charge_point ADD COLUMN boot_status TEXT",
        "ALTER TABLE charge_point ADD COLUMN boot_system TEXT",
        "ALTER TABLE charge_point ADD COLUMN configured TEXT",
        "ALTER TABLE charge_point ADD COLUMN pause REAL",
    ),
    # 7: the last authorization of each idTag, and the Bodies of answers that were forwarded unchanged.
    (
        """CREATE TABLE authorization (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            kept_at REAL NOT NULL, id_tag TEXT NOT NULL, status TEXT NOT NULL,
            UNIQUE (folded, id_tag)
        )""",
        "CREATE INDEX authorization_kept_at ON authorization (kept_at)",
        "ALTER TABLE answered ADD COLUMN body BLOB",
        "ALTER TABLE answered ADD COLUMN body_version TEXT",
    ),
    # 8: the Central System of each transaction, and of each Call that was sent and not answered.
    (
        """CREATE TABLE transactions (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            kept_at REAL NOT NULL, number TEXT NOT NULL, central_system TEXT NOT NULL, named TEXT NOT NULL,
            connector TEXT NOT NULL, id_tag TEXT NOT NULL, meter_start TEXT NOT NULL, started TEXT NOT NULL,
            state TEXT NOT NULL,
            UNIQUE (folded, number)
        )""",
        "CREATE INDEX transactions_kept_at ON transactions (kept_at)",
        "ALTER TABLE asked ADD COLUMN central_system TEXT",
    ),
    # 9: the settings of Charge Points that operators gave while the bridge ran.
    (
        """CREATE TABLE provisioned (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL UNIQUE, identity TEXT NOT NULL,
            settings BLOB NOT NULL, at REAL NOT NULL
        )""",
    ),
    # 10: the moves of several Charge Points, and the move of one that waits until no transaction is open.
    (
        """CREATE TABLE move (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            id TEXT NOT NULL, content BLOB NOT NULL,
            UNIQUE (folded, id)
        )""",
        "ALTER TABLE charge_point ADD COLUMN next_move BLOB",
    ),
    # 11: the transaction messages that further Central Systems get.
    (
        """CREATE TABLE observed (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            kept_at REAL NOT NULL, key TEXT NOT NULL, observers TEXT NOT NULL, action TEXT NOT NULL,
            request BLOB NOT NULL, answer BLOB NOT NULL, connector TEXT, number TEXT,
            UNIQUE (folded, key)
        )""",
        "CREATE INDEX observed_kept_at ON observed (kept_at)",
    ),
    # 12: what the comparison of a shadow's answers has shown for each Charge Point.
    (
        """CREATE TABLE readiness (
            sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, identity TEXT NOT NULL,
            kept_at REAL NOT NULL, central_system TEXT NOT NULL, content BLOB NOT NULL,
            UNIQUE (folded, central_system)
        )""",
        "CREATE INDEX readiness_kept_at ON readiness (kept_at)",
    ),
    # 13: how each transaction ended, and the open ones at hand.
    (
        "ALTER TABLE transactions ADD COLUMN meter_stop TEXT",
        "ALTER TABLE transactions ADD COLUMN stopped TEXT",
        "ALTER TABLE transactions ADD COLUMN reason TEXT",
        "CREATE INDEX transactions_open ON transactions (sequence) WHERE state = 'open'",
        "CREATE INDEX transactions_of ON transactions (folded, sequence)",
    ),
    # 14: the identity in every table may be the key of a Charge Point of a tenant. A program that does not know tenants
    # would take the key for an identity, and connect the Charge Point to a Central System of the default tenant.
    (),
)


def prepare(connection: sqlite3.Connection, keep_copy: Callable[[int], None]) -> None:
    """Migrate the file to the version of MIGRATIONS, in one transaction, and check that the file can be written.

    Args:
        connection: The connection to the file, in no transaction.
        keep_copy: Called with the file's version before tables with content are changed. An exception stops the change.

    Raises:
        Unusable: Another program has written the file.
        NewerSchema: The file is of a later version.
        sqlite3.Error: The file cannot be written.
    """
    version_of(connection)  # raises for a file that is not ours, before the file is even locked
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(connection)
        if 0 < version < len(MIGRATIONS):
            keep_copy(version)
        for statement in (statement for migration in MIGRATIONS[version:] for statement in migration):
            connection.execute(statement)
        if version < len(MIGRATIONS):
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of the file's tables, 0 for an empty file.

    Raises Unusable or NewerSchema for a file that must not be changed, sqlite3.Error for a file that cannot be read.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (empty,) = connection.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and not (empty and application == 0 and version == 0):
        raise UnusableStore("it is another program's database")
    if version > len(MIGRATIONS):
        raise NewerSchema(version)
    return int(version)
