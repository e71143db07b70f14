"""The tables, and how the file of an earlier version grows into them.

A file knows its version, `PRAGMA user_version`: how many of MIGRATIONS it has seen. A migration that has been released
is never changed; a new one is added behind it.
"""

from __future__ import annotations

import sqlite3


class Unusable(Exception):
    """This file must not be written to; the text says why."""


# "OCPP": what tells our file from another program's (https://www.sqlite.org/pragma.html#pragma_application_id).
APPLICATION_ID = 0x4F435050

# `folded` is the identity's casefold: SQLite's own NOCASE knows ASCII only. `sequence` is the order of writing, which
# clocks that are set back do not disturb.
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
)


def prepare(connection: sqlite3.Connection) -> None:
    """Bring the file to the version of MIGRATIONS, all of it or nothing.

    Raises Unusable for a file of another program or of a later version, sqlite3.Error when it cannot be written.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
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


def _version(connection: sqlite3.Connection) -> int:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (empty,) = connection.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and not (empty and application == 0 and version == 0):
        raise Unusable("it is another program's database")
    if version > len(MIGRATIONS):
        raise Unusable(f"a later ocpp-bridge wrote it (version {version} of its tables, known are {len(MIGRATIONS)})")
    return int(version)
