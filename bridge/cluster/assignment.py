"""Decide which node should hold which slot.

Only the living node whose name sorts first publishes an assignment, so that nodes do not disagree. A slot moves only if
its node is gone, or has more slots than its share.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bridge.cluster.slots import SLOTS

# The node of each slot, by the slot's number.
Assignment = tuple[str, ...]


def assigned(before: Sequence[str], living: Collection[str]) -> Assignment:
    """Return the node that should hold each slot, with as few changes as possible.

    The shares of two nodes differ by one slot at most.

    Args:
        before: The node of each slot until now, "" for none. May be empty.
        living: The names of the living nodes, at least one.
    """
    nodes = sorted(living)
    share, larger = divmod(SLOTS, len(nodes))
    kept: dict[str, list[int]] = {node: [] for node in nodes}
    free: list[int] = []
    for slot in range(SLOTS):
        kept.get(before[slot] if before else "", free).append(slot)
    # The nodes that have most get the larger shares, so that fewer slots move.
    most = dict.fromkeys(nodes, share)
    for node in sorted(nodes, key=lambda node: -len(kept[node]))[:larger]:
        most[node] += 1
    for node in nodes:
        free += kept[node][most[node] :]
        del kept[node][most[node] :]
    result = [""] * SLOTS
    for node in nodes:
        missing = most[node] - len(kept[node])
        taken, free = free[:missing], free[missing:]
        for slot in (*kept[node], *taken):
            result[slot] = node
    return tuple(result)
