"""Build the header fields of the handshakes and POSTs that the bridge sends to a Central System for a Charge Point."""

from __future__ import annotations

from base64 import b64encode

from bridge.config import CentralSystem

_AUTHORIZATION = "Authorization"


def header_fields(
    name: str, system: CentralSystem, password: bytes | None, shown: str = ""
) -> tuple[tuple[str, str], ...]:
    """Return the names and values of the fields: the Central System's configured fields, and the credentials.

    The first of these that exists is the Authorization: the Charge Point's own password, the password or the
    Authorization of the Central System's configuration, the Authorization that the Charge Point itself sent.

    Args:
        name: The identity of the Charge Point at the Central System.
        system: The configuration of the Central System.
        password: The Charge Point's own password at the Central System, as raw octets (OCPP-J 1.6 section 6.2.2).
        shown: The Authorization header of the Charge Point, "" for none.
    """
    fields = {field: value.reveal().decode("latin-1") for field, value in system.outgoing_headers.items()}
    configured = next((field for field in fields if field.lower() == _AUTHORIZATION.lower()), None)
    if password is not None:
        if configured is not None:
            del fields[configured]
        fields[_AUTHORIZATION] = _basic(name, password)
    elif system.outgoing_password is not None:
        fields[_AUTHORIZATION] = _basic(system.outgoing_username or name, system.outgoing_password.reveal())
    elif configured is None and shown and shown.isascii() and shown.isprintable():
        fields[_AUTHORIZATION] = shown
    return tuple(fields.items())


def _basic(user: str, password: bytes) -> str:
    """Return the value of HTTP Basic. The user is not encoded, and the password is its raw octets (rule 27)."""
    return f"Basic {b64encode(user.encode() + b':' + password).decode()}"
