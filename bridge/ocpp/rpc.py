"""A Call and its answers as they stand between two hops: decoded, valid, of neither wire (OCPP-J 1.6 section 4)."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct, field

from bridge.errors import BridgeError, ErrorCode
from bridge.ocpp.losses import Loss
from bridge.ocpp.messages import Request, Response


class UnopenedRequest(Request, frozen=True, kw_only=True):
    """A request between two JSON parties: what is only passed on is not opened. `frame` is what it came in, b"" if it
    came in none."""

    raw: Raw
    frame: bytes = b""


class UnopenedResponse(Response, frozen=True, kw_only=True):
    """The answer to an UnopenedRequest, and what it came in."""

    raw: Raw
    frame: bytes


UNOPENED = (UnopenedRequest, UnopenedResponse)


class Call(Struct, frozen=True, kw_only=True):
    """A request. `unique_id` is its name on this hop: OCPP-J's UniqueId, or OCPP-S's MessageID."""

    unique_id: str
    action: str
    payload: Request
    losses: tuple[Loss, ...] = ()


class CallResult(Struct, frozen=True, kw_only=True):
    """The answer that was asked for. A status such as Rejected is one too, never an error (rule 16)."""

    unique_id: str
    payload: Response
    losses: tuple[Loss, ...] = ()


# Of our own descriptions: what OCPP 2.0.1 allows, since 1.6 says nothing.
_LONGEST = 255


class CallError(Struct, frozen=True, kw_only=True):
    """The other party's refusal. `code` as it was written: peers use codes that no table has."""

    unique_id: str
    code: str
    description: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, unique_id: str, error: BridgeError) -> CallError:
        """Our own refusal of a Call. What it quotes may be as long as a stranger likes; it is not."""
        text = error.description
        cut = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
        return cls(unique_id=unique_id, code=error.code.value, description=cut)


class Unanswered(Struct, frozen=True, kw_only=True):
    """No answer: the other side could not be reached or said nothing in time. `reason` is one sentence for a person.

    Kept apart from CallError because a Charge Point must never take trouble of the link for a fault of its message
    (OCPP-S errata 3.2, rule 55): each transport says it in its own way.
    """

    unique_id: str
    reason: str

    def as_error(self) -> CallError:
        """How it is said where a CALLERROR is the only way to say it."""
        return CallError(unique_id=self.unique_id, code=ErrorCode.InternalError.value, description=self.reason)


Answer = CallResult | CallError | Unanswered


def unopened(message: Call | Answer) -> UnopenedRequest | UnopenedResponse | None:
    """Its payload, if it goes from one JSON party to the other as it came, octet for octet."""
    if isinstance(message, Call | CallResult) and isinstance(message.payload, UNOPENED):
        return message.payload
    return None


def frame_of(message: Call | Answer) -> bytes:
    """What it came in, if it is passed on; else b""."""
    payload = unopened(message)
    return b"" if payload is None else payload.frame
