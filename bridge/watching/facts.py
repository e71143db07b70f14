"""Facts: records of events that happened to messages and connections. A fact changes nothing.

A Fact holds values only, so that it can be sent to another process. `identity` is the Charge Point's key, with its
identity as it was first written; None if it is not known. `peer` is the IP address of the other end.
"""

from __future__ import annotations

from typing import Protocol, Self

from msgspec import Struct

from bridge.core.commands import Drop, Exchange, Report
from bridge.core.observed import Observed
from bridge.errors import BridgeError, ErrorCode, Why
from bridge.ocpp.actions import Party
from bridge.ocpp.comparison import Difference, PlainAnswer, answer_differences
from bridge.ocpp.device_profile import Boot, DeviceProfile
from bridge.ocpp.losses import Loss
from bridge.ocpp.messages import Request
from bridge.ocpp.rpc import Call, CallError, CallResult
from bridge.ocpp.wire import Wires


class CallEnded(Struct, frozen=True):
    """A Call has ended. `central_system` is the name of the Central System at its one end."""

    identity: str
    report: Report
    central_system: str = ""


class CallAnswered(Struct, frozen=True):
    """A BootNotification, StartTransaction or StopTransaction was answered, perhaps too late. The Charge Point gets the
    answer once the records that follow from it are on disk."""

    identity: str
    central_system: str
    exchange: Exchange


class AnswerKept(Struct, frozen=True):
    """The answer to a StartTransaction or StopTransaction is on disk, as far as the disk takes anything."""

    identity: str
    observed: Observed


class ContentLost(Struct, frozen=True):
    """Content was lost in writing a message. The Report of a Call has the losses in reading it.

    `central_system` is the name of the Central System at the other end, perhaps a further one of the Charge Point.
    """

    identity: str
    losses: tuple[Loss, ...]
    central_system: str = ""


class AnswerDropped(Struct, frozen=True):
    """An answer was not passed on."""

    identity: str
    drop: Drop


class MessageRefused(Struct, frozen=True):
    """A message was refused before it became a Call.

    Attributes:
        code: The CALLERROR code that fits best.
        reason: The reason in a sentence.
        why: The reason in the word that refusals are counted by.
        unique_id: The UniqueId of the message, if it could be read.
        by: The party that sent the message, if it is known.
        data: The octets of the message, if there are any.
        wires: The octets of the message, None if nobody records them. The answer may be added later.
    """

    identity: str | None
    peer: str | None
    code: ErrorCode
    reason: str
    why: Why
    unique_id: str | None = None
    by: Party | None = None
    data: bytes = b""
    wires: Wires | None = None

    @classmethod
    def of(
        cls,
        identity: str | None,
        peer: str | None,
        error: BridgeError,
        unique_id: str | None = None,
        by: Party | None = None,
        data: bytes = b"",
        wires: Wires | None = None,
    ) -> Self:
        """Return the fact that a message was refused.

        Args:
            identity: The Charge Point's identity, None if it is not known.
            peer: The IP address of the sender, None if it is not known.
            error: The error, which gives code, reason and why.
            unique_id: The UniqueId of the message, if it could be read.
            by: The party that sent the message, if it is known.
            data: The octets of the message, if there are any.
            wires: The octets of the message, None if nobody records them.
        """
        return cls(identity, peer, error.code, error.description, error.why, unique_id, by, data, wires)


class FrameRelayed(Struct, frozen=True):
    """A frame of `party` that is neither a Call nor an answer was passed on as it came."""

    identity: str
    party: Party
    data: bytes


class RequestsUnread(Struct, frozen=True):
    """Requests of a peer, `times` of them, were refused before they were read.

    `identity` is a key without an identity, for the tenant of the listener; None for the default tenant.
    """

    peer: str
    code: ErrorCode
    reason: str
    why: Why
    times: int
    identity: str | None = None

    @classmethod
    def of(cls, peer: str, error: BridgeError, times: int, identity: str | None = None) -> Self:
        """Return the fact that requests were refused before they were read.

        Args:
            peer: The IP address of the sender.
            error: The error, which gives code, reason and why.
            times: The number of requests.
            identity: The key for the tenant of the listener.
        """
        return cls(peer, error.code, error.description, error.why, times, identity)


class HandshakeRefused(Struct, frozen=True):
    """A WebSocket handshake was refused, or a WebSocket was closed because its peer broke a limit.

    Attributes:
        status: The HTTP status, or the close code.
        reason: The reason in a sentence.
        why: The reason in the word that refusals are counted by.
        central_system: The name of the Central System if it is the reason that this one cannot be reached, else "".
    """

    identity: str | None
    peer: str
    status: int
    reason: str
    why: Why
    central_system: str = ""


class ProxyFieldsIgnored(Struct, frozen=True):
    """Header fields of proxies came from an address that is not a trusted proxy's, and were ignored."""

    peer: str
    fields: str


class LinkOpened(Struct, frozen=True):
    """The Link to a party was opened."""

    identity: str
    party: Party
    central_system: str


class LinkLost(Struct, frozen=True):
    """The Link to a party was lost, or could not be opened."""

    identity: str
    party: Party
    central_system: str
    reason: str


class LinkClosed(Struct, frozen=True):
    """The bridge closed a connection to a party."""

    identity: str
    party: Party
    central_system: str
    reason: str


class CallbackRefused(Struct, frozen=True):
    """A Charge Point stated a callback address that must not be used."""

    identity: str
    reason: str


class CallbackChanged(Struct, frozen=True):
    """The callback address of a Charge Point changed, because `peer` sent a new one in its name."""

    identity: str
    before: str
    after: str
    peer: str


class ChargePointRemoved(Struct, frozen=True):
    """A Charge Point was removed. Its next message registers it again."""

    identity: str


class ChargePointMoved(Struct, frozen=True):
    """A Charge Point was moved to another Central System.

    Attributes:
        before: The name of the former Central System, None if no route took the Charge Point.
        after: The name of the new Central System, None if no route takes the Charge Point.
        by: The operator, None if the routes changed.
    """

    identity: str
    before: str | None
    after: str | None
    by: str | None = None


class ShadowAnswered(Struct, frozen=True):
    """The answers of the main Central System and of a shadow to one Call of a Charge Point are both known.

    There is no such fact for a Call that one of the two did not answer: a link failure is no answer.

    Attributes:
        central_system: The name of the shadow.
        request: The payload of the Call. It and `main` have the same transactionIds.
        main: The answer of the main Central System.
        shadow: The answer of the shadow, with the shadow's own transactionId.
        differences: Where the answer of the shadow differs.
    """

    identity: str
    central_system: str
    action: str
    request: Request
    main: CallResult | CallError
    shadow: CallResult | CallError
    differences: tuple[Difference, ...]

    @classmethod
    def of(
        cls,
        identity: str,
        central_system: str,
        call: Call,
        main: CallResult | CallError,
        shadow: CallResult | CallError,
    ) -> Self:
        """Return the fact that a shadow has answered, with the differences.

        Args:
            identity: The Charge Point's identity.
            central_system: The name of the shadow.
            call: The Call of the Charge Point.
            main: The answer of the main Central System.
            shadow: The answer of the shadow.
        """
        found = answer_differences(PlainAnswer.of(main), PlainAnswer.of(shadow))
        return cls(identity, central_system, call.action, call.payload, main, shadow, tuple(found))


class ProfileApplied(Struct, frozen=True):
    """The quirk packs that match a Charge Point were applied, or none matches any more."""

    identity: str
    boot: Boot
    profile: DeviceProfile


Fact = (
    CallEnded
    | CallAnswered
    | AnswerKept
    | ContentLost
    | AnswerDropped
    | MessageRefused
    | FrameRelayed
    | RequestsUnread
    | HandshakeRefused
    | ProxyFieldsIgnored
    | LinkOpened
    | LinkLost
    | LinkClosed
    | CallbackRefused
    | CallbackChanged
    | ChargePointRemoved
    | ChargePointMoved
    | ShadowAnswered
    | ProfileApplied
)


class Watcher(Protocol):
    """A receiver of all facts. It is called on the path of every message, so it must not wait."""

    def see(self, fact: Fact) -> None:
        """Take note of a fact, or ignore it."""
