"""What the shared stream says about the nodes of the cluster, and about who holds which slot."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from bridge.cluster.assignment import Assignment


class Claim(Struct, frozen=True, kw_only=True):
    """The last claim of a slot.

    Attributes:
        node: The name of the node, "" if the slot was released.
        incarnation: The process of that name that holds the slot, or will hold it when it learns of the claim.
        epoch: The sequence number of the claim in the stream, 0 if there is none. In a claim that is not written so
            far, it is that of the claim to replace.
    """

    node: str = ""
    incarnation: str = ""
    epoch: int = 0


def unclaimed(epochs: Mapping[int, int]) -> dict[int, Claim]:
    """Return a claim for no node for each slot, to replace the claim with the epoch given here."""
    return {slot: Claim(epoch=epoch) for slot, epoch in epochs.items()}


class NodePresence(Struct, frozen=True, kw_only=True):
    """The last sign of life of a node.

    Attributes:
        incarnation: Distinguishes the processes that have used the name of the node.
        sequence: The sequence number in the stream, which grows with each renewal.
        address: Where other nodes reach the node.
        leaving: Whether the node hands over its slots, because it stops.
    """

    incarnation: str
    sequence: int
    address: str = ""
    leaving: bool = False


class ClusterMap(Struct, frozen=True, kw_only=True):
    """What the stream says about all nodes and slots.

    Attributes:
        presences: The last sign of life of each node, by name.
        claims: The last claim of each slot that has one.
        assignment: The node that should hold each slot; empty before the first assignment.
        assignment_sequence: The sequence number of the assignment, 0 before the first.
    """

    presences: Mapping[str, NodePresence] = {}
    claims: Mapping[int, Claim] = {}
    assignment: Assignment = ()
    assignment_sequence: int = 0
