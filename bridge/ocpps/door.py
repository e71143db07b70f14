"""The doors of the OCPP-S listener: an address where a service is found, who comes in there, and how it is let in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from msgspec import Struct

from bridge.dialects.known import Known
from bridge.errors import BridgeError, ErrorCode, MessageError
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.manners import PLAIN, Boot, Manners
from bridge.ocpp.rpc import Call
from bridge.ocpp.wire import Tap
from bridge.ocpps.envelope import Addressing, Envelope
from bridge.ocpps.replies import Reply
from bridge.ocpps.service import Answered, Exchange, Handle, SoapService
from bridge.ocpps.xml import local_name, namespace


class Arrival(Struct, frozen=True, kw_only=True):
    """Who sends a message, and from where. `peer` is the IP address of the connection; `boot` what a BootNotification
    says of its sender; `listener` the name of the one that it came through, and `address` our own as its sender knows
    it; `certificate` the names in the certificate that was shown, None if none was; `path` what stands in the URL
    behind the service and its version, decoded once; `in_header` whether the identity does, or is the last of `path`.
    """

    identity: str
    peer: str
    version: str
    addressing: Addressing
    boot: Boot | None = None
    listener: str = ""
    address: str = ""
    certificate: tuple[str, ...] | None = None
    authorization: str | None = None
    path: tuple[str, ...] = ()
    in_header: bool = True

    def __repr__(self) -> str:
        return f"Arrival({self.identity!r}, {self.peer!r})"


class Admission(Struct, frozen=True, kw_only=True):
    """How a message that is let in is read, and what answers its Call."""

    unique_id: str
    strict: bool
    known: Known | None = None
    manners: Manners = PLAIN
    handle: Handle
    # Told what writing the answer cost, and told of a message that was refused before it became a Call.
    lost: Callable[[Sequence[Loss]], None]
    # Told of the envelopes, if anybody wants to know.
    tap: Tap | None = None


# At once, unless a password has to be looked at.
Receive = Callable[[Arrival], Admission | Coroutine[Any, Any, Admission]]
# identity, peer, why, the MessageID, who sent it, and what came.
Refused = Callable[[str | None, str, BridgeError, str | None, Party, bytes], None]


class Door(Struct, frozen=True, kw_only=True):
    """One service of ours, its address, and who calls it. `services` by version; `receive` raises BridgeError for
    whom it turns away."""

    path: str
    caller: Party
    services: Mapping[str, SoapService]
    receive: Receive

    def version_in(self, tail: str) -> tuple[str, str]:
        """The version that the address names behind the Door's, and what follows it. The Body decides, not the
        address."""
        first, _, rest = tail.partition("/")
        return (first, rest) if first in self.services else ("", tail)

    def versions_of(self, opened: Envelope) -> list[str]:
        """The version that the Body's namespace decides; its trailing slash and letter case are forgiven (quirk
        17)."""
        spoken = namespace(opened.body).rstrip("/").lower()
        return [
            name for name, served in self.services.items() if spoken == served.service.namespace.rstrip("/").lower()
        ]

    def service_of(self, opened: Envelope) -> tuple[str, SoapService]:
        """The version and service of a message. Raises MessageError."""
        spoken = namespace(opened.body)
        for version, served in self.services.items():
            if spoken == served.service.namespace:
                return version, served
        for version in self.versions_of(opened):
            return version, self.services[version]
        text = f"<{local_name(opened.body)}> is of the namespace {spoken!r}, which is not served at {self.path}"
        raise MessageError(ErrorCode.NotSupported, text)

    def refuse(self, opened: Envelope, error: BridgeError) -> Reply:
        """The Fault for a message that is not let in, in its version as far as that can be told."""
        version = next(iter([*self.versions_of(opened), *self.services]))
        return self.services[version].refuse(Exchange(opened, "", False, _never), error)


def _never(call: Call, answered: Answered) -> None:
    raise AssertionError("a refused message has no Call")
