"""A Call and its answers between two hops: decoded, valid and independent of the wire (OCPP-J 1.6 section 4)."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from bridge.errors import BridgeError, ErrorCode
from bridge.ocpp.losses import Loss
from bridge.ocpp.messages import Request, Response
from bridge.ocpp.wire import Wires


class UnopenedRequest(Request, frozen=True, kw_only=True):
    """A request between two JSON parties, which is forwarded unchanged.

    Attributes:
        raw: The payload as JSON.
        read: The decoded payload, for the rules that need it; None for other actions and for an invalid payload.
    """

    raw: Raw
    read: Request | None = None


class UnopenedResponse(Response, frozen=True, kw_only=True):
    """The answer to an UnopenedRequest, which is forwarded unchanged. The attributes are the same."""

    raw: Raw
    read: Response | None = None


UNOPENED = (UnopenedRequest, UnopenedResponse)


class Verbatim(Struct, frozen=True, kw_only=True):
    """A message of OCPP 1.5 or 1.2 as its sender wrote it, for a receiver that speaks the same version.

    Attributes:
        version: The OCPP version.
        body: The element in the Body of the envelope, as XML.
        read: The payload that was read from `body`. Where the sent payload differs, `body` is changed.
    """

    version: str
    body: bytes
    read: Request | Response


class Call(Struct, frozen=True, kw_only=True):
    """A request with its action and its identification.

    Attributes:
        unique_id: The identification on this hop: OCPP-J's UniqueId or OCPP-S's MessageID.
        verbatim: The request as its sender wrote it, if it is forwarded unchanged.
        wires: The octets of the Call on both hops; None if they are not recorded.
    """

    unique_id: str
    action: str
    payload: Request
    losses: tuple[Loss, ...] = ()
    verbatim: Verbatim | None = None
    wires: Wires | None = None


class CallResult(Struct, frozen=True, kw_only=True):
    """The response to a Call. A status such as Rejected is a response, never an error (rule 16).

    `verbatim` is the response as it was written, if it is forwarded unchanged.
    """

    unique_id: str
    payload: Response
    losses: tuple[Loss, ...] = ()
    verbatim: Verbatim | None = None


# The most characters of a description by the bridge. OCPP 2.0.1 has this limit, 1.6 has none.
_LONGEST = 255


class CallError(Struct, frozen=True, kw_only=True):
    """An error as the answer to a Call. `code` is as it was written: peers use codes that no table has."""

    unique_id: str
    code: str
    description: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, unique_id: str, error: BridgeError) -> CallError:
        """Return the bridge's own refusal of a Call. A long description is truncated: it may quote a peer's text."""
        text = error.description
        cut = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
        return cls(unique_id=unique_id, code=error.code.value, description=cut)


class Failure(StrEnum):
    """The kind of a link failure, which is also a label of the metrics."""

    UNREACHABLE = "unreachable"  # no connection, or HTTP 502, 503 or 504
    OVERLOADED = "overloaded"  # HTTP 408, 425 or 429
    MISCONFIGURED = "misconfigured"  # another HTTP refusal, or no response of the service
    MALFORMED_ANSWER = "malformed_answer"
    FOREIGN_ANSWER = "foreign_answer"  # the RelatesTo of the answer names another message
    TIMEOUT = "timeout"
    CONNECTION_LOST = "connection_lost"
    NOT_BOOTED = "not_booted"  # the Central System wants a BootNotification, or has not accepted it
    REFUSED_HERE = "refused_here"  # the bridge is busy or shutting down


class Unanswered(Struct, frozen=True, kw_only=True):
    """A link failure: the other party gave no valid answer to the Call (design/delivery.md D1).

    A link failure is not a CallError. A Charge Point that receives an error may delete its message; a Charge Point that
    receives a link failure keeps it (OCPP-S errata 3.2, rule 55). Each transport reports a link failure in its own way.

    Attributes:
        reason: One sentence, which peers receive.
        failure: The kind of failure.
        evidence: The beginning of what came instead of an answer, for operators only.
        retry_after: The seconds after which the other party asks for a repetition; None if it gave no time.
    """

    unique_id: str
    reason: str
    failure: Failure = Failure.TIMEOUT
    evidence: str = ""
    retry_after: float | None = None

    def as_error(self) -> CallError:
        """Return the CALLERROR for this failure, for a wire that has no other form."""
        return CallError(unique_id=self.unique_id, code=ErrorCode.InternalError.value, description=self.reason)


Answer = CallResult | CallError | Unanswered


def is_same(call: Call, other: Call) -> bool:
    """Return True if two Calls have the same action and payload. Their UniqueIds may differ."""
    if call.action != other.action:
        return False
    one, two = call.payload, other.payload
    if isinstance(one, UnopenedRequest) and isinstance(two, UnopenedRequest):
        # White space and the order of members say nothing.
        return bytes(one.raw) == bytes(two.raw) or _in_one_form(one.raw) == _in_one_form(two.raw)
    return one == two


def _in_one_form(raw: Raw) -> bytes:
    with suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
        return msgspec.json.encode(msgspec.json.decode(raw), order="sorted")
    return bytes(raw)


def unopened(message: Call | Answer) -> UnopenedRequest | UnopenedResponse | None:
    """Return the payload that passes from one JSON party to the other octet for octet; None for other messages."""
    if isinstance(message, Call | CallResult) and isinstance(message.payload, UNOPENED):
        return message.payload
    return None
