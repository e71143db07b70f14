"""Parse HTTP Basic authentication (OCPP-J 1.6 section 6.2.2, RFC 7617)."""

from __future__ import annotations

import binascii
from base64 import b64decode

from msgspec import Struct

CHALLENGE = {"WWW-Authenticate": 'Basic realm="ocpp-bridge", charset="UTF-8"'}


class Credentials(Struct, frozen=True):
    """User and password of HTTP Basic. The password is raw bytes, and may hold a colon."""

    user: bytes
    password: bytes

    @classmethod
    def read(cls, authorization: str | None) -> Credentials | None:
        """Parse an Authorization header. Returns None if there is no header or it is not valid HTTP Basic."""
        scheme, _, encoded = (authorization or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, colon, password = b64decode(encoded.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return None
        return cls(user, password) if colon else None

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"
