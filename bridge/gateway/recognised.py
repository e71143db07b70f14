"""Keep eight bits of each correct password in the store, for use after a restart."""

from __future__ import annotations

from bridge.store import RecognisedRecord, RecordStore


class KeptTags:
    """Implements `bridge.gateway.gatekeeper.Recognised`."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        # Holds only Charge Points with a configured password, so its size has a limit.
        self._tags: dict[str, int | None] = {}

    def tag_of(self, identity: str) -> int | None:
        folded = identity.casefold()
        if folded not in self._tags:
            kept = self._store.memory_of(identity).recognised
            self._tags[folded] = None if kept is None else kept.tag
        return self._tags[folded]

    def keep(self, identity: str, tag: int) -> None:
        if self.tag_of(identity) != tag:
            self._tags[identity.casefold()] = tag
            self._store.put(RecognisedRecord(identity=identity, tag=tag))
