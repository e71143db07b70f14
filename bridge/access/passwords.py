"""Hash and verify passwords. A hash is written `scrypt$N$r$p$salt$hash`, with salt and hash in base64."""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections import OrderedDict

from msgspec import Struct

PREFIX = b"scrypt$"
# RFC 7914 section 2: N is the cost. This one takes 16 MiB and some 50 ms.
COST, _BLOCK, _LANES, _OCTETS = 2**14, 8, 1, 32
# Highest cost of a configured hash, in octets of memory and in lanes.
_MOST_MEMORY, _MOST_LANES = 2**26, 4
_LEAST_SALT, _LEAST_DIGEST = 8, 16


class Hash(Struct, frozen=True, kw_only=True):
    """A salted scrypt hash. `n`, `r` and `p` are those of RFC 7914 section 2."""

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


# The value that a password or token is compared with: a hash, or the password or token itself.
Expected = Hash | bytes


def hashed(password: bytes, salt: bytes, cost: int = COST) -> Hash:
    """Return the hash of `password`.

    Args:
        password: The password.
        salt: 16 random octets.
        cost: N of scrypt, a power of two.
    """
    return Hash(n=cost, r=_BLOCK, p=_LANES, salt=salt, digest=_scrypt(password, salt, cost, _BLOCK, _LANES, _OCTETS))


def read(configured: bytes) -> Expected:
    """Parse a configured password: a hash if it has the prefix, else the password itself.

    Raises:
        ValueError: The hash is malformed or costs too much.
    """
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
    """Return whether `shown` is the expected password, in constant time.

    A Hash takes tens of milliseconds, without the interpreter's lock.
    """
    if isinstance(expected, bytes):
        return hmac.compare_digest(expected, shown)
    salt, octets = expected.salt, len(expected.digest)
    return hmac.compare_digest(expected.digest, _scrypt(shown, salt, expected.n, expected.r, expected.p, octets))


def _scrypt(password: bytes, salt: bytes, n: int, r: int, p: int, octets: int) -> bytes:
    memory = 128 * r * (n + p + 2) + 2**20
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=octets)


def tag(expected: Expected, shown: bytes) -> int:
    """Return eight bits that depend on a verified password `shown`, to recognise it after a restart.

    Eight bits reveal nothing useful to a reader of the store, and a random guess has the same tag once in 256 times.
    `expected` is the key of the digest.
    """
    return hashlib.blake2b(_text(expected) + shown, person=b"ocpp-bridge tag").digest()[0]


def _text(expected: Expected) -> bytes:
    # A NUL ends the hash or the length of the password, which hold none, so that no two inputs give the same octets.
    return f"{expected}\0".encode() if isinstance(expected, Hash) else b"%d\0%b" % (len(expected), expected)


class Verified:
    """Cache of verified passwords, so that a device that sends its password with each message does not wait for a hash.

    The cache holds digests under `key`, which is random and never leaves the process, and no passwords. Beyond `most`
    digests, the least recently used one is dropped.
    """

    def __init__(self, key: bytes, most: int = 10_000) -> None:
        self._key = key
        self._most = most
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._digests)

    def knows(self, expected: Expected, shown: bytes) -> bool:
        """Return whether `shown` was verified against `expected` before."""
        digest = self._digest(expected, shown)
        if digest not in self._digests:
            return False
        self._digests.move_to_end(digest)
        return True

    def remember(self, expected: Expected, shown: bytes) -> None:
        """Remember that `shown` was verified against `expected`."""
        self._digests[self._digest(expected, shown)] = None
        if len(self._digests) > self._most:
            self._digests.popitem(last=False)

    def _digest(self, expected: Expected, shown: bytes) -> bytes:
        return hashlib.blake2b(_text(expected) + shown, key=self._key).digest()
