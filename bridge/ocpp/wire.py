"""What went over a wire, byte for byte: for who records it. No decision is ever made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

Transport = Literal["soap", "json"]
Kind = Literal["call", "result", "error", "other"]


class Wire(Struct, frozen=True, kw_only=True, gc=False):
    """One message on one hop. `inbound`: the bridge received it. `unique_id` is that of the hop, "" where none could be
    read; `action` is None where the bytes do not say it; `data` is a frame or an envelope."""

    inbound: bool
    transport: Transport
    kind: Kind
    unique_id: str
    action: str | None = None
    data: bytes


Tap = Callable[[Wire], None]
