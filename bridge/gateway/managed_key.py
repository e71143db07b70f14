"""An AuthorizationKey that replaces a configured password, and its form in the store."""

from __future__ import annotations

import os

from msgspec import Struct

from bridge.access import passwords
from bridge.access.passwords import Expected, Hash
from bridge.store import CredentialRecord

# This hash only shows whether the configuration has changed, so it may cost less than the hash of a password.
_COST_OF_OLD = 2**10


class ManagedKey(Struct, frozen=True):
    """A key that replaces the password in the configuration. Any of `secrets` is valid.

    Attributes:
        secrets: The first `fresh` are the readings of the key; the others are the passwords that were valid before.
        fresh: The number of readings of the key.
        replaces: The hash of the configured password that the key replaces.
        configured: That password, None until a password of the configuration has matched `replaces`.
    """

    secrets: tuple[Expected, ...]
    fresh: int
    replaces: Hash | None = None
    configured: bytes | None = None

    def __repr__(self) -> str:
        return "ManagedKey(***)"

    @classmethod
    def of(cls, record: CredentialRecord) -> ManagedKey | None:
        """Return the key of a stored record. Returns None if the configured password is valid. Raises ValueError."""
        replaces = passwords.read(record.replaces.encode())
        if not record.secrets or not isinstance(replaces, Hash):
            return None
        secrets = record.secrets if record.leg == "central_system" else tuple(map(passwords.read, record.secrets))
        return cls(secrets, record.fresh, replaces)

    def at_rest(self, *, hashed: bool) -> ManagedKey:
        """Return the key in the form for the store. Computing the hashes takes long, so call it in a thread.

        Args:
            hashed: True hashes `secrets`, which is possible where the bridge compares them and does not send them.
        """
        secrets = tuple(map(_hash, self.secrets)) if hashed else self.secrets
        replaces = self.replaces
        if replaces is None and self.configured is not None:
            replaces = passwords.hashed(self.configured, os.urandom(16), _COST_OF_OLD)
        return ManagedKey(secrets, self.fresh, replaces, self.configured)

    def record(self, identity: str, leg: str, at: float) -> CredentialRecord:
        """Return the record of the key for the store. `at` is in unix seconds."""
        return CredentialRecord(
            identity=identity,
            leg="charge_point" if leg == "charge_point" else "central_system",
            secrets=tuple(secret if isinstance(secret, bytes) else str(secret).encode() for secret in self.secrets),
            fresh=self.fresh,
            replaces=str(self.replaces or ""),
            at=at,
        )


# Stored when the configured password is valid.
NONE = ManagedKey((), 0)


def _hash(secret: Expected) -> Hash:
    return secret if isinstance(secret, Hash) else passwords.hashed(secret, os.urandom(16))
