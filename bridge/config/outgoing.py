"""Check how the bridge presents itself to Central Systems: the place of the identity in a URL, and the credentials."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from bridge.config.complaints import Complaints, quote
from bridge.config.complaints import Path as KeyPath
from bridge.config.records import CentralSystem
from bridge.ocpp.identity import PLACEHOLDER

# RFC 9110 section 5.1: the name of a field is a token. Section 5.5: its value has no control characters.
FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\x21-\x7e](?:[ \t\x21-\x7e]*[\x21-\x7e])?")
# Fields that the bridge itself writes: framing, the WebSocket handshake, and what describes the content.
_OWN = frozenset(
    {
        *("host", "connection", "upgrade", "content-length", "content-type", "transfer-encoding", "accept-encoding"),
        *("te", "trailer", "expect", "keep-alive", "user-agent"),
    }
)
_OWN_PREFIX = "sec-websocket-"


def placeholder_fault(url: str) -> str:
    """Return the fault of the braces in the URL of a Central System, "" if there is none."""
    host = urlsplit(url).netloc
    braces = re.findall(r"\{[^{}]*\}?|\}", url)
    if any(char in host for char in "{}"):
        return f"{PLACEHOLDER} belongs in the path or in the query of the address"
    wrong = next((found for found in braces if found != PLACEHOLDER), None)
    return "" if wrong is None else f"expected {PLACEHOLDER}, got {quote(wrong)}"


def check_outgoing(path: KeyPath, system: CentralSystem, complaints: Complaints) -> None:
    """Complain about credentials that cannot be sent to a Central System, or that exclude each other.

    Args:
        path: Path of the Central System's table, for complaints.
        system: The table.
        complaints: Receives the complaints.
    """
    if system.outgoing_username and system.outgoing_password is None:
        complaints.add((*path, "outgoing_username"), "needs outgoing_password")
    if ":" in system.outgoing_username or not system.outgoing_username.isprintable():
        # RFC 7617 section 2: "a user-id containing a colon character is invalid" (rule 27).
        complaints.add((*path, "outgoing_username"), "holds a colon or a control character, which Basic cannot carry")
    seen: set[str] = set()
    for name, value in system.outgoing_headers.items():
        if fault := _field_fault(name, value.reveal(), system, seen):
            complaints.add((*path, "outgoing_headers", name), fault)
        seen.add(name.lower())


def _field_fault(name: str, value: bytes, system: CentralSystem, seen: set[str]) -> str:
    lower = name.lower()
    if not FIELD_NAME.fullmatch(name):
        return "expected the name of a header, such as X-Api-Key"
    if lower in _OWN or lower.startswith(_OWN_PREFIX):
        return "is a header that the bridge itself writes"
    if lower in seen:
        return "is there twice, letter case aside"
    if lower == "authorization" and system.outgoing_password is not None:
        return "is made from outgoing_password already, one of the two is enough"
    return "" if _VALUE.fullmatch(value) else "expected a value of printable ASCII, without blanks around it"
