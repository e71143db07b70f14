"""Check the addresses in the configuration.

A complaint never holds the address, because an operator may have pasted a secret into it.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from bridge.config.complaints import Complaints
from bridge.config.complaints import Path as KeyPath

HTTP = ("http", "https")


def check_url(path: KeyPath, url: str, schemes: tuple[str, ...], complaints: Complaints, *, query: bool) -> None:
    """Complain about an address that cannot be used.

    Args:
        path: Path of the key, for complaints.
        url: The address.
        schemes: The schemes that it may have.
        complaints: Receives the complaint.
        query: Whether it may have a query.
    """
    fault = url_fault(url, schemes, query=query)
    if fault:
        complaints.add(path, fault)


def url_fault(url: str, schemes: tuple[str, ...], *, query: bool) -> str:
    """Return the fault of the address `url`, "" if it has none."""
    wanted = " or ".join(f"{scheme}://" for scheme in schemes)
    # urlsplit drops some control characters and accepts the others. A valid address holds none.
    if not url.isprintable() or " " in url:
        return f"expected an address that begins with {wanted}, got one with blanks or control characters"
    try:
        parts = urlsplit(url)
        return _parts_fault(parts, schemes, wanted) or _tail_fault(url, parts, query=query)
    except ValueError:
        return f"expected an address that begins with {wanted}, got one whose host or port is not valid"


def _parts_fault(parts: SplitResult, schemes: tuple[str, ...], wanted: str) -> str:
    """Return the fault of scheme, host or port, "" if there is none. Raises ValueError for a malformed port."""
    if parts.scheme not in schemes:
        return f"expected an address that begins with {wanted}"
    if not parts.hostname:
        return "the address has no host"
    if parts.port == 0:
        return "the address has port 0"
    return ""


def _tail_fault(url: str, parts: SplitResult, *, query: bool) -> str:
    if "@" in parts.netloc:
        return "an address holds no credentials, they are configured under charge_points"
    if "#" in url:
        return "the address has a fragment"
    if "?" in url and not query:
        return "the address has a query, which nothing can be appended to"
    return ""
