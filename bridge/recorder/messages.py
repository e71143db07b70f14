"""A recorded message as it is read: in a list, and whole. What the admin API sends is these records as JSON.

Times are ISO 8601 in UTC, with milliseconds and a Z; durations milliseconds.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from bridge.ocpp.wire import Transport

Sender = Literal["charge_point", "central_system", "operator"]
Outcome = Literal["result", "error", "unanswered", "refused", "repeated", "abandoned", "dropped", "relayed"]
"""How it ended. Beside the outcomes of a Call: an answer that went nowhere, and a frame that was only passed on."""


class _Facts(Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """What a message is known by. `identity` is "" where it is not known, `unique_id` and `action` where they could not
    be read; `hop_id` is the UniqueId towards the other party."""

    id: int
    identity: str
    at: str
    ms: float
    action: str
    sender: Sender
    outcome: Outcome
    unique_id: str
    hop_id: str | None = None
    why: str | None = None
    summary: str = ""


class Message(_Facts, frozen=True, kw_only=True):
    """A Call with its answer, or what was turned away, in one line. `why` is said of what did not end well, in plain
    words; `losses` is how many there were."""

    losses: int = 0


class Form(Struct, frozen=True, kw_only=True):
    """One message as it was on a wire, byte for byte but for what is masked. `text` has replacement characters where it
    is not UTF-8; `base64` is there only then. `octets` is its length before it was masked."""

    transport: Transport
    at: str
    peer: str | None = None
    octets: int
    text: str
    base64: str | UnsetType = UNSET


class Half(Struct, frozen=True, kw_only=True):
    """A request or a response: as it came to the bridge, as the model has it (its JSON form, a
    msgspec.Raw), as it was sent on."""

    received: Form | None = None
    model: Any = None
    sent: Form | None = None


class Lost(Struct, frozen=True, kw_only=True):
    """What the translation cost: the PDU's name, where in it first, the reason in words, and how often."""

    message: str
    path: str
    reason: str
    count: int = 1


class Timings(Struct, frozen=True, kw_only=True):
    """In milliseconds: all of it, from the request's arrival to its sending on, and from there to the end. None where
    it was not sent on."""

    total: float
    before: float | None = None
    beyond: float | None = None


class Recorded(_Facts, frozen=True, kw_only=True):
    """A Message with all that there is about it."""

    losses: tuple[Lost, ...] = ()
    request: Half = Half()
    response: Half = Half()
    timings: Timings


class Page(Struct, frozen=True, kw_only=True):
    """Messages, the newest first; `next` is the cursor of those before them, None if there are none."""

    items: list[Message]
    next: str | None = None
