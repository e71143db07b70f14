"""The Charge Points whose records this process has: all of a single process, those of its slots in a cluster."""

from __future__ import annotations

from collections.abc import Collection

from bridge.cluster.slots import slot_of


class HeldChargePoints:
    """The Charge Points of slots whose records are loaded, and some whose records have come before their slots.

    Args:
        everyone: Whether this is a single process, which has all.
    """

    def __init__(self, *, everyone: bool) -> None:
        self._everyone = everyone
        self._early: dict[int, set[str]] = {}
        self._withdrawn: set[int] = set()
        self.slots: set[int] = set()
        """The slots whose records are loaded."""

    def has(self, identity: str) -> bool:
        """Return whether the records of a Charge Point are here."""
        if self._everyone:
            return True
        slot = slot_of(identity)
        return slot in self.slots or identity.casefold() in self._early.get(slot, ())

    def may_begin(self, identity: str) -> bool:
        """Return whether something new may be begun for a Charge Point: its records are here, and stay."""
        return self._everyone or (self.has(identity) and slot_of(identity) not in self._withdrawn)

    def take(self, slots: Collection[int]) -> set[str]:
        """Note that the records of slots are loaded. Returns: the Charge Points whose records came before."""
        self.slots.update(slots)
        self._withdrawn.difference_update(slots)
        return {folded for slot in slots for folded in self._early.pop(slot, ())}

    def take_one(self, identity: str) -> None:
        """Note that the records of a Charge Point have come before the rest of its slot."""
        slot = slot_of(identity)
        self._withdrawn.discard(slot)
        self._early.setdefault(slot, set()).add(identity.casefold())

    def withdraw(self, slots: Collection[int]) -> None:
        """Note that the Charge Points of slots are about to be handed over."""
        self._withdrawn.update(slots)

    def release(self, slots: Collection[int]) -> None:
        """Note that the records of slots are gone."""
        self.slots.difference_update(slots)
        self._withdrawn.difference_update(slots)
        for slot in slots:
            self._early.pop(slot, None)
