"""The path of a URL as it may be shown: it may hold the token of a Charge Point, which is a secret."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import unquote

_MASK = "***"
# A token has at least so many characters, with a digit among them; a part of one is not shown either.
LEAST_TOKEN = 24
PART_OF_TOKEN = LEAST_TOKEN // 2
_MOST = 200


def shown(path: str, known: Collection[str] = ()) -> str:
    """`path`, shortened, with everything masked between its slashes that may be a token and is not `known`, which is
    lower case."""
    parts = path[: 10 * _MOST].split("/")
    return "/".join(_MASK if _may_be_part(part) and part.lower() not in known else part for part in parts)[:_MOST]


def _may_be_part(part: str) -> bool:
    plain = unquote(part, errors="replace")
    return len(plain) >= PART_OF_TOKEN and any(char.isdigit() for char in plain)


def may_be_token(text: str) -> bool:
    """Whether this could be a whole token."""
    return len(text) >= LEAST_TOKEN and any(char.isdigit() for char in text)
