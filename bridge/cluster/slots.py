"""The slot of a Charge Point: the unit in which nodes hold Charge Points (design/cluster.md C2)."""

from __future__ import annotations

from functools import lru_cache
from unicodedata import normalize
from zlib import crc32

SLOTS = 1024


@lru_cache(100_000)
def slot_of(key: str) -> int:
    """Return the slot of a Charge Point: CRC-32 of its key, in normal form C, without letter case, in UTF-8.

    Args:
        key: The key of the Charge Point (`bridge.ocpp.tenants`).

    Returns: A number from 0 to 1023.
    """
    return crc32(normalize("NFC", normalize("NFC", key).casefold()).encode()) % SLOTS
