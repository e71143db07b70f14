"""What a ChargeBoxIdentity may be, and when two of them name the same Charge Point. Read at every door.

An identity is kept in Unicode's normal form C, and compared without regard to letter case. What only looks like another
in a further normal form (full-width letters, ligatures) is turned away: a Central System that normalizes would take it
for the Charge Point that it looks like. So is what an address would take for a way out of its folder.
"""

from __future__ import annotations

import re
from unicodedata import normalize

_MOST = 255
# What nearly all are: ASCII, which is in every normal form, and nowhere a way out.
_PLAIN = re.compile(r"(?!\.{1,2}\Z)[ -.0-\[\]-~]{1,255}")
_UNFIT = "an identity has at most 255 characters, none of them a control character"
_LOOK_ALIKE = "an identity holds no compatibility characters, which look like others"
_WAY_OUT = 'no part of an identity between slashes is "." or ".."'


def read(text: str) -> str:
    """The identity as it is kept. Raises ValueError, with a sentence for a person."""
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
    """`text` in the normal form that identities are kept in."""
    return normalize("NFC", text)


def same(one: str, other: str) -> bool:
    """Whether both name one Charge Point."""
    return normal(one).casefold() == normal(other).casefold()
