"""Tune garbage collection and memory allocation of a process that carries messages, once it has started."""

from __future__ import annotations

import gc

# Objects made between two garbage collections, in place of Python's 700: those of some hundred messages.
_NEW_OBJECTS = 20_000
# Octets, four times the buffer that asyncio allocates for a read. The allocator keeps up to twice as many when freed.
_LARGE = 1024 * 1024


def settle() -> None:
    """Tune the garbage collector and the allocator. Call this once, when the process has made all lasting objects.

    The start makes a quarter of a million objects, most of them for the WSDLs. The collector need not visit them again.
    A message makes no reference cycles, so the collector can run rarely. While records are loaded, most new objects
    stay. After five collections the collector visits those that stayed, which takes some 30 ms; after twenty it took
    112 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 5, 400)
    keep_what_is_freed()


def keep_what_is_freed() -> None:
    """Make the allocator keep freed memory for the next message.

    The GNU allocator returns large blocks to the system, which has to provide them again, page by page; asyncio
    allocates a quarter of a megabyte for each read. The allocator raises its limit for large blocks to the largest
    block that was freed, and some processes never free a large one. A process that only moves bytes then takes half as
    long again. With another allocator this function has no effect.
    """
    bytes(_LARGE)
