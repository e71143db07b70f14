"""Passwords at rest, `scrypt$N$r$p$salt$hash` with the last two in base64, and whether a password is the one meant."""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections import OrderedDict

from msgspec import Struct

PREFIX = b"scrypt$"
# RFC 7914 section 2: N is the cost. 16 MiB, some 50 ms.
_COST, _BLOCK, _LANES, _OCTETS = 2**14, 8, 1, 32
# What a hash that somebody else made may cost at most, in octets of memory and in lanes.
_MOST_MEMORY, _MOST_LANES = 2**26, 4
_LEAST_SALT, _LEAST_DIGEST = 8, 16


class Hash(Struct, frozen=True, kw_only=True):
    """A salted scrypt hash. `n`, `r` and `p` as in RFC 7914 section 2."""

    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    def __str__(self) -> str:
        salt, digest = (b64encode(part).decode() for part in (self.salt, self.digest))
        return f"scrypt${self.n}${self.r}${self.p}${salt}${digest}"

    def __repr__(self) -> str:
        return "Hash(***)"


# What a password is held against: a hash, or the password itself.
Expected = Hash | bytes


def hashed(password: bytes, salt: bytes, cost: int = _COST) -> Hash:
    """The hash of `password`. `salt` is random, 16 octets; `cost` is a power of two."""
    return Hash(n=cost, r=_BLOCK, p=_LANES, salt=salt, digest=_scrypt(password, salt, cost, _BLOCK, _LANES, _OCTETS))


def read(configured: bytes) -> Expected:
    """What an operator wrote: a hash by its prefix, else the password itself. Raises ValueError for a broken hash."""
    if not configured.startswith(PREFIX):
        return configured
    try:
        _, n, r, p, salt, digest = configured.decode("ascii").split("$")
        found = Hash(n=int(n), r=int(r), p=int(p), salt=_octets(salt), digest=_octets(digest))
    except (UnicodeDecodeError, binascii.Error, ValueError):
        raise ValueError("expected scrypt$N$r$p$salt$hash, as `ocpp-bridge password` prints it") from None
    if not _affordable(found):
        raise ValueError("its N, r or p is out of bounds, or its salt or hash too short")
    return found


def _octets(text: str) -> bytes:
    return b64decode(text, validate=True)


def _affordable(found: Hash) -> bool:
    power_of_two = found.n > 1 and not found.n & (found.n - 1)
    cheap = found.r >= 1 and 1 <= found.p <= _MOST_LANES and 128 * found.n * found.r <= _MOST_MEMORY
    return power_of_two and cheap and len(found.salt) >= _LEAST_SALT and len(found.digest) >= _LEAST_DIGEST


def matches(expected: Expected, shown: bytes) -> bool:
    """Whether `shown` is the password meant, in constant time. A Hash costs tens of milliseconds; the lock of the
    interpreter is free meanwhile."""
    if isinstance(expected, bytes):
        return hmac.compare_digest(expected, shown)
    salt, octets = expected.salt, len(expected.digest)
    return hmac.compare_digest(expected.digest, _scrypt(shown, salt, expected.n, expected.r, expected.p, octets))


def _scrypt(password: bytes, salt: bytes, n: int, r: int, p: int, octets: int) -> bytes:
    memory = 128 * r * (n + p + 2) + 2**20
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=octets)


class Verified:
    """What was found right, so that a device that shows its password with each message is not hashed each time.

    Neither password is kept, but a digest under `key`, which is random and never leaves the process. Past `most` the
    one that was not asked for longest goes.
    """

    def __init__(self, key: bytes, most: int = 10_000) -> None:
        self._key = key
        self._most = most
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._digests)

    def knows(self, expected: Hash, shown: bytes) -> bool:
        """Whether this was found right before."""
        digest = self._digest(expected, shown)
        if digest not in self._digests:
            return False
        self._digests.move_to_end(digest)
        return True

    def remember(self, expected: Hash, shown: bytes) -> None:
        """It was found right."""
        self._digests[self._digest(expected, shown)] = None
        if len(self._digests) > self._most:
            self._digests.popitem(last=False)

    def _digest(self, expected: Hash, shown: bytes) -> bytes:
        # The hash's text holds no NUL, so what follows the first is what was shown.
        return hashlib.blake2b(f"{expected}\0".encode() + shown, key=self._key).digest()
