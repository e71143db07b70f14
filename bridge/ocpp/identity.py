"""Validate and compare ChargeBoxIdentities, and put them into URLs. Every listener uses these rules.

An identity is kept in Unicode's normal form C, and compared without regard to letter case. An identity that normal form
KC would change (full-width letters, ligatures) is refused: a Central System that normalizes would take it for another
Charge Point. An identity with a part "." or ".." is refused as well: in a URL, such a part names another folder.
"""

from __future__ import annotations

import re
from unicodedata import normalize
from urllib.parse import quote

# Stands for the identity in the URL of a Central System.
PLACEHOLDER = "{identity}"

_MOST = 255
# Characters that RFC 3986 allows in a path segment besides letters, digits and -._~ (rule 2).
_PCHAR = "!$&'()*+,;=:@"
# Nearly all identities match: ASCII, which is the same in every normal form, without slashes, and neither "." nor "..".
_PLAIN = re.compile(r"(?!\.{1,2}\Z)[ -.0-\[\]-~]{1,255}")
_UNFIT = "an identity has at most 255 characters, none of them a control character"
_LOOK_ALIKE = "an identity holds no compatibility characters, which look like others"
_WAY_OUT = 'no part of an identity between slashes is "." or ".."'


def read(text: str) -> str:
    """Return the identity `text` in normal form C. Raises ValueError, with a sentence for a person."""
    if _PLAIN.fullmatch(text) is not None:
        return text
    if not text or len(text) > _MOST or not text.isprintable():
        raise ValueError(_UNFIT)
    identity = normal(text)
    if normalize("NFKC", identity) != identity:
        raise ValueError(_LOOK_ALIKE)
    if any(part in (".", "..") for part in re.split(r"[/\\]", identity)):
        raise ValueError(_WAY_OUT)
    return identity


def normal(text: str) -> str:
    """Return `text` in normal form C."""
    return normalize("NFC", text)


def same(one: str, other: str) -> bool:
    """Return whether both identities name the same Charge Point."""
    return normal(one).casefold() == normal(other).casefold()


def segment(identity: str) -> str:
    """Return `identity` percent-encoded as one segment of a URL's path (rule 2)."""
    return quote(identity, safe=_PCHAR)


def in_url(url: str, identity: str) -> str:
    """Return `url` with `identity`, percent-encoded, in place of each `{identity}` in its path and its query."""
    path, mark, query = url.partition("?")
    return path.replace(PLACEHOLDER, segment(identity)) + mark + query.replace(PLACEHOLDER, quote(identity, safe=""))
