"""Read the path of a request, and mask it for logs. The path may contain the token of a Charge Point, a secret."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import unquote

_MASK = "***"
# A token has at least LEAST_TOKEN characters, at least one of them a digit. Half a token is masked as well.
LEAST_TOKEN = 24
PART_OF_TOKEN = LEAST_TOKEN // 2
_MOST = 200
# RFC 9112 section 3.2.2: a server accepts the absolute form.
_AUTHORITY = re.compile(r"(?:https?|wss?)://([^/?#]*)", re.IGNORECASE)
_SLASHES = re.compile("//+")


def of_target(target: str) -> str:
    """Return the path of a request target, in origin form or absolute form, without the query."""
    return plain(parts(target)[1]) or "/"


def parts(target: str) -> tuple[str | None, str, str]:
    """Return the parts of a request target in origin form or absolute form.

    Returns: the host and port in absolute form, None in origin form; the path, as it was written; and the query.
    """
    absolute = _AUTHORITY.match(target)
    path, _, query = target[absolute.end() if absolute else 0 :].partition("?")
    return None if absolute is None else absolute[1], path, query


def authority_of(target: str) -> str | None:
    """Return the host and port in a request target in absolute form, None if the target is in origin form.

    They replace the Host header (RFC 9112 section 3.2.2).
    """
    return parts(target)[0]


def plain(path: str) -> str:
    """Return `path` with one slash for each run of slashes, and without a slash at its end.

    Charge Points join an address that ends with a slash and a path that begins with one. A slash in an identity is
    written %2F, and is kept.
    """
    return _SLASHES.sub("/", path).rstrip("/")


def shown(path: str, known: Collection[str] = ()) -> str:
    """Return `path` for a log: shortened, with each segment masked that may be a token or a part of one.

    Segments in `known`, which are in lower case, are not masked.
    """
    parts = path[: 10 * _MOST].split("/")
    return "/".join(_MASK if _may_be_part(part) and part.lower() not in known else part for part in parts)[:_MOST]


def _may_be_part(part: str) -> bool:
    plain = unquote(part, errors="replace")
    return len(plain) >= PART_OF_TOKEN and any(char.isdigit() for char in plain)


def may_be_token(text: str) -> bool:
    """Return whether `text` may be a whole token."""
    return len(text) >= LEAST_TOKEN and any(char.isdigit() for char in text)
