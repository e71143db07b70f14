"""An AuthorizationKey that stands in the place of a configured password: what it is, and how it is put away."""

from __future__ import annotations

import os

from msgspec import Struct

from bridge.access import passwords
from bridge.access.passwords import Expected, Hash
from bridge.store import CredentialRecord

# What tells whether the configuration has changed need not be as costly as a password's hash.
_COST_OF_OLD = 2**10


class Managed(Struct, frozen=True):
    """A key in the place of the password `configured`, None until `replaces` was found to fit it. Any of `secrets` will
    do, of which the first `fresh` are readings of the key, and the others what held before."""

    secrets: tuple[Expected, ...]
    fresh: int
    replaces: Hash | None = None
    configured: bytes | None = None

    def __repr__(self) -> str:
        return "Managed(***)"

    @classmethod
    def of(cls, record: CredentialRecord) -> Managed | None:
        """From the store; None: the configured password holds. Raises ValueError."""
        replaces = passwords.read(record.replaces.encode())
        if not record.secrets or not isinstance(replaces, Hash):
            return None
        secrets = record.secrets if record.leg == "central_system" else tuple(map(passwords.read, record.secrets))
        return cls(secrets, record.fresh, replaces)

    def at_rest(self, *, hashed: bool) -> Managed:
        """As it may be put away: with hashes in the place of all that need not be sent. Takes its time."""
        secrets = tuple(map(_hash, self.secrets)) if hashed else self.secrets
        replaces = self.replaces
        if replaces is None and self.configured is not None:
            replaces = passwords.hashed(self.configured, os.urandom(16), _COST_OF_OLD)
        return Managed(secrets, self.fresh, replaces, self.configured)

    def record(self, identity: str, leg: str, at: float) -> CredentialRecord:
        """For the store."""
        return CredentialRecord(
            identity=identity,
            leg="charge_point" if leg == "charge_point" else "central_system",
            secrets=tuple(secret if isinstance(secret, bytes) else str(secret).encode() for secret in self.secrets),
            fresh=self.fresh,
            replaces=str(self.replaces or ""),
            at=at,
        )


# The configured password holds.
NONE = Managed((), 0)


def _hash(secret: Expected) -> Hash:
    return secret if isinstance(secret, Hash) else passwords.hashed(secret, os.urandom(16))
