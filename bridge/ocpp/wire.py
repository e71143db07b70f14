"""What went over a wire, byte for byte: for who records it. No decision is ever made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from msgspec import Struct

Transport = Literal["soap", "json"]
Kind = Literal["call", "result", "error", "other"]


class End(NamedTuple):
    """Of which Charge Point, and which of the two ends of its way: `near` is its own, not the Central System's."""

    identity: str
    near: bool


SEEN = 0
"""What a Sighting begins with, so that it can be told from other notes."""
Sighting = tuple[int, End, float, bool, Transport, Kind, str, str | None, bytes]
"""SEEN and `end`; when, by the Tap's `clock`; whether the bridge received it; how it came, and what it is; the UniqueId
of the hop, "" where none could be read; the Action, if the bridge received a frame that says it; and the bytes, a
frame or an envelope. It is no more than a tuple: up to four are made for an exchange."""


class Tap(Struct, frozen=True):
    """Who is told of all bytes to and from one `end`, in their order, but for what one JSON party says to the other:
    such messages hold the frames that they came in, and what is sent on differs by its name alone. To `tell` costs next
    to nothing; of what nothing else will be observed, `settle` says so."""

    end: End
    clock: Callable[[], float]
    tell: Callable[[Sighting], object]
    settle: Callable[[], object]
