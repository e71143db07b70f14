"""The responses to requests that an overloaded bridge refuses unread. They are written at the start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from lxml import etree

from bridge.net.endpoints import SoapEndpoint
from bridge.ocpp.rpc import Unanswered
from bridge.ocpps.envelope import SoapVersion, write_fault

_RETRY_AFTER = 10


class OverloadResponse:
    """HTTP 503 with a Fault, in the SOAP version and the namespace that are found among the octets of the request.

    The Fault has no WS-Addressing headers: the MessageID of the request was not read.

    Args:
        soap_endpoints: The endpoints of the listener.
        reason: The text of the Fault.
    """

    def __init__(self, soap_endpoints: Iterable[SoapEndpoint], reason: str) -> None:
        namespaces = dict.fromkeys(
            one.service.namespace for soap_endpoint in soap_endpoints for one in soap_endpoint.services.values()
        )
        self._soap11 = {stays: _responses(namespaces, SoapVersion.V11, reason, stays) for stays in (False, True)}
        self._soap12 = {stays: _responses(namespaces, SoapVersion.V12, reason, stays) for stays in (False, True)}

    def __call__(self, request: bytes, stays: bool) -> bytes:
        """Return the octets of the response to `request`. `stays`: the connection stays open."""
        responses = (self._soap11 if _SOAP_11 in request else self._soap12)[stays]
        for namespace, response in responses.items():
            if namespace in request:
                return response
        return next(iter(responses.values()))


_SOAP_11 = SoapVersion.V11.value.encode()


def _responses(namespaces: Iterable[str], soap: SoapVersion, reason: str, stays: bool) -> Mapping[bytes, bytes]:
    return {
        namespace: _head(soap, len(body), stays) + body for namespace, body in _faults(namespaces, soap, reason).items()
    }


def _faults(namespaces: Iterable[str], soap: SoapVersion, reason: str) -> Mapping[bytes, bytes]:
    unanswered = Unanswered(unique_id="", reason=reason)
    return {
        # Without a trailing slash, the namespace is found in a request that has the slash and in one that does not.
        namespace.rstrip("/").encode(): _envelope(write_fault(unanswered, namespace).element(soap), soap)
        for namespace in namespaces
    }


def _envelope(fault: etree._Element, soap: SoapVersion) -> bytes:
    begin = f'<?xml version="1.0" encoding="UTF-8"?>\n<s:Envelope xmlns:s="{soap.value}"><s:Body>'.encode()
    return b"%s%s</s:Body></s:Envelope>" % (begin, etree.tostring(fault))


def _head(soap: SoapVersion, length: int, stays: bool) -> bytes:
    status = HTTPStatus.SERVICE_UNAVAILABLE
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {soap.content_type}",
        f"Content-Length: {length}",
        f"Retry-After: {_RETRY_AFTER}",
        *(() if stays else ("Connection: close",)),
    )
    return "\r\n".join((*lines, "", "")).encode()
