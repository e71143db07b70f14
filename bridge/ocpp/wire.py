"""What went over a wire, byte for byte: for who records it. No decision is ever made of it."""

from __future__ import annotations

from typing import Literal, Protocol

Transport = Literal["soap", "json"]
Kind = Literal["call", "result", "error", "other"]


class Tap(Protocol):
    """Who is told of all bytes to and from one party of a Charge Point, in their order. Told in the order of the
    arguments, without their names, and nothing is made for it: every message comes by here, twice."""

    def __call__(
        self, inbound: bool, transport: Transport, kind: Kind, unique_id: str, action: str | None, data: bytes, /
    ) -> None:
        """One message on one hop. `inbound`: the bridge received it. `unique_id` is that of the hop, "" where none
        could be read; `action` is None where the bytes do not say it; `data` is a frame or an envelope."""
