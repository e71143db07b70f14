"""How a process that carries messages deals with its memory: what is tuned once, when it has started."""

from __future__ import annotations

import gc

# More than Python's 700: some hundred messages.
_NEW_OBJECTS = 20_000
# Octets: four times what asyncio asks for. Of free memory twice as much is kept.
_LARGE = 1024 * 1024


def settle() -> None:
    """To be called when all that stays has been made.

    What the start has made, a quarter of a million objects, most of them of the WSDLs, need not be looked at again by
    the collector. A message makes no cycles, so what is left can be looked at rarely.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 20, 100)
    keep_what_is_freed()


def keep_what_is_freed() -> None:
    """Keep memory that was freed for the next message.

    The GNU allocator gives large blocks back to the system, which has to make them anew, page by page; asyncio asks for
    a quarter of a megabyte for whatever it reads. Which blocks are large it learns from the largest that was freed, and
    some processes never free a large one: where nothing is done but moving bytes, that takes half as long again.
    Elsewhere this does nothing.
    """
    bytes(_LARGE)
