"""The endpoints of the OCPP-S listener: the path of each service, the senders of its messages, and their admission.

Help texts give the addresses of the endpoints to people, and to requests to a wrong address.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from bridge.dialects.known import Known
from bridge.errors import BridgeError, ErrorCode, MessageError
from bridge.ocpp.actions import Party
from bridge.ocpp.device_profile import PLAIN, Boot, DeviceProfile
from bridge.ocpp.losses import Loss
from bridge.ocpp.rpc import Call
from bridge.ocpp.wire import Wires
from bridge.ocpps.envelope import Addressing, Envelope
from bridge.ocpps.replies import Reply
from bridge.ocpps.service import Handle, SoapContext, SoapService
from bridge.ocpps.xml import local_name, namespace


class SoapSender(Struct, frozen=True, kw_only=True):
    """The sender of a message.

    Attributes:
        identity: The key of the Charge Point: the tenant, and the ChargeBoxIdentity.
        peer: The IP address of the sender.
        version: The OCPP version of the message.
        addressing: The WS-Addressing headers of the message.
        boot: What a BootNotification says of the sender; None for another message.
        listener: The name of the listener that received the message.
        address: The URL of the endpoint as the sender knows it.
        certificate: The names in the client certificate; None if there was none.
        authorization: The value of the Authorization header; None if there was none.
        path: The segments of the URL behind the service and its version, decoded once.
        in_header: The ChargeBoxIdentity in the SOAP Header; None if it is the last segment of `path`.
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
    in_header: str | None = None

    def __repr__(self) -> str:
        return f"SoapSender({self.identity!r}, {self.peer!r})"


class Admission(Struct, frozen=True, kw_only=True):
    """The admission of a message: the settings for reading it, and the function that answers its Call.

    Attributes:
        unique_id: The UniqueId of the Call.
        strict: Whether a message that is not valid, or loses something, is refused.
        known: The values that an older version leaves out.
        profile: The settings for the Charge Point.
        passes: Whether the receiver speaks the same version: the body is passed on unchanged.
        handle: Takes the key of the request and its Call.
        lost: Called with what could not be written in the answer.
        records: Whether the Call carries its envelopes for the recorder.
    """

    unique_id: str
    strict: bool
    known: Known | None = None
    profile: DeviceProfile = PLAIN
    passes: bool = False
    handle: Handle
    lost: Callable[[Sequence[Loss], Wires | None], None]
    records: bool = False


# Decides on admission; a coroutine only where a password has to be verified.
Receive = Callable[[SoapSender], Admission | Coroutine[Any, Any, Admission]]


class Refused(Protocol):
    """Called with each message that is refused before its Call is handled."""

    def __call__(
        self,
        identity: str | None,
        peer: str,
        error: BridgeError,
        unique_id: str | None,
        by: Party,
        data: bytes,
        wires: Wires | None = None,
    ) -> None:
        """Report a refused message.

        Args:
            identity: The key of the Charge Point; None if it is unknown or must not be reported.
            peer: The IP address of the sender.
            error: The reason.
            unique_id: The MessageID.
            by: The party that sent the message.
            data: The octets of the message.
            wires: The octets for the recorder, as in a Call.
        """


class SoapEndpoint(Struct, frozen=True, kw_only=True):
    """A SOAP service of the bridge at one path.

    Attributes:
        path: The path of the service's URL.
        caller: The party that calls the service.
        services: The service in each OCPP version.
        receive: Decides on the admission of a message; raises BridgeError for a sender that it refuses.
        senders: The namespace of the callers' own service in each OCPP version.
    """

    path: str
    caller: Party
    services: Mapping[str, SoapService]
    receive: Receive
    senders: Mapping[str, str] = {}

    def version_in(self, tail: str) -> tuple[str, str]:
        """Split `tail`, the URL's path behind that of this endpoint, into an OCPP version and the rest.

        The version is "" if the first segment names none. The namespace of the Body decides the version of a message,
        not the path.
        """
        first, _, rest = tail.partition("/")
        return (first, rest) if first in self.services else ("", tail)

    def versions_of(self, opened: Envelope) -> list[str]:
        """Return the OCPP versions that the Body's namespace may mean.

        A trailing slash and letter case are ignored (quirk 17). The namespace of the sender's own service is accepted
        as well (quirk 88).
        """
        spoken = _folded(namespace(opened.body))
        return [
            name
            for name, served in self.services.items()
            if spoken in (_folded(served.service.namespace), _folded(self.senders.get(name, "?")))
        ]

    def service_of(self, opened: Envelope) -> tuple[str, SoapService]:
        """Return the OCPP version of a message, and the service in it. Raises MessageError (NotSupported)."""
        spoken = namespace(opened.body)
        for version, served in self.services.items():
            if spoken == served.service.namespace:
                return version, served
        for version in self.versions_of(opened):
            return version, self.services[version]
        text = f"<{local_name(opened.body)}> is of the namespace {spoken!r}, which is not served at {self.path}"
        raise MessageError(ErrorCode.NotSupported, text)

    def refuse(self, opened: Envelope, error: BridgeError) -> Reply:
        """Return the Fault for a message that is not admitted, in its OCPP version if that is known."""
        version = next(iter([*self.versions_of(opened), *self.services]))
        return self.services[version].refuse(SoapContext(opened, "", False, _never), error)


class EndpointDirections:
    """The help texts of one listener.

    Args:
        soap_endpoints: The endpoints of the listener.
        public_url: The URL of the listener as peers see it.
        elsewhere: The URL of the OCPP-J listener.
    """

    def __init__(self, soap_endpoints: Collection[SoapEndpoint], public_url: str, elsewhere: str) -> None:
        self._endpoints = soap_endpoints
        self._public_url = public_url.rstrip("/")
        self._elsewhere = elsewhere

    def url(self, soap_endpoint: SoapEndpoint) -> str:
        """Return the URL to configure in a peer of `soap_endpoint`."""
        return self._public_url + soap_endpoint.path

    def text(self, why: str) -> str:
        """Return the text of a response to a request with a wrong path or method: `why`, then the right addresses."""
        lines = [
            why,
            "",
            *(f"SOAP Charge Points (OCPP-S): POST {self.url(soap_endpoint)}" for soap_endpoint in self._endpoints),
        ]
        lines.append(f"JSON Charge Points (OCPP-J): {self._elsewhere}")
        return "\n".join(lines) + "\n"

    def page(self) -> str:
        """Return the HTML page of /services: the address and the WSDL of each service."""
        rows = "".join(
            f"<li>{html.escape(name)} {html.escape(version)}: <code>{html.escape(self.url(soap_endpoint))}</code> "
            f'(<a href="{html.escape(soap_endpoint.path)}?wsdl&amp;version={html.escape(version)}">WSDL</a>)</li>'
            for soap_endpoint in self._endpoints
            for version, service in soap_endpoint.services.items()
            for name in (service.service.name,)
        )
        return (
            "<!doctype html><meta charset=utf-8><title>ocpp-bridge</title><h1>ocpp-bridge</h1>"
            f"<p>Addresses to type into a Charge Point:</p><ul>{rows}"
            f"<li>OCPP-J: <code>{html.escape(self._elsewhere)}</code></li></ul>"
        )


def _folded(uri: str) -> str:
    return uri.rstrip("/").lower()


def _never(key: str, call: Call) -> None:
    raise AssertionError("a refused message has no Call")
