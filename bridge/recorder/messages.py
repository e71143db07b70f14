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


MessageId = int | str


class _Facts(Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """What a message is known by. `identity` is "" where it is not known, `unique_id` and `action` where they could not
    be read; `hop_id` is the UniqueId towards the other party. `id` is a number, and of one of several processes
    `node.number`."""

    id: MessageId
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
    """A page of messages, the newest first.

    Attributes:
        next: The cursor of the messages before them, None if there are none. With a filter on the content, a page may
            have fewer messages than were asked for and a `next`: so many messages are looked through at once.
        searched_to: The time of the oldest message that was looked through, if there is a `next` and such a filter.
    """

    items: list[Message]
    next: str | None = None
    searched_to: str | None = None


class RecordedPage(Struct, frozen=True, kw_only=True):
    """The same with whole messages."""

    items: list[Recorded]
    next: str | None = None


class MessageFilter(Struct, frozen=True, kw_only=True):
    """Which messages. None takes all.

    Attributes:
        tenant: The tenant of the Charge Points.
        identity_glob: A glob on the identities of the tenant, None for the default one. Letter case does not count.
        identity: The key of one Charge Point, in place of a glob.
        actions: The actions.
        outcome: The outcome.
        sender: The party that sent the message.
        since: The earliest time in unix seconds, included.
        until: The latest time in unix seconds, excluded.
        failed: Whether the message did not end well.
        text: A part of what was on a wire, or of the model. The case of the letters A to Z does not count, here and
            below.
        lossy: Whether something was lost in translation.
        loss: A part of the name of a field that was lost, or of the reason.
        error: A part of the explanation of what did not end well.
    """

    tenant: str | None = None
    identity_glob: str | None = None
    identity: str | None = None
    actions: tuple[str, ...] | None = None
    outcome: Outcome | None = None
    sender: Sender | None = None
    since: float | None = None
    until: float | None = None
    failed: bool | None = None
    text: str | None = None
    lossy: bool | None = None
    loss: str | None = None
    error: str | None = None


class CallRecord(Struct, frozen=True, kw_only=True):
    """A Call that was answered, with the models of both messages as plain data.

    Attributes:
        at: When it ended, in unix seconds.
        request: The request, None if it was not understood. So is `response`.
    """

    id: MessageId
    at: float
    action: str
    outcome: Outcome
    request: Any
    response: Any
