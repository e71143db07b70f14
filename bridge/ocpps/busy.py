"""The answer to a request that nobody has the time to read: made beforehand, chosen by what is found in its bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from lxml import etree

from bridge.ocpp.rpc import Unanswered
from bridge.ocpps.door import Door
from bridge.ocpps.envelope import Soap, write_fault

_RETRY_AFTER = 10


class Busy:
    """HTTP 503, with a Fault in the SOAP version and the namespace in which it was asked, as far as can be seen. It has
    no WS-Addressing headers: what it relates to was not read."""

    def __init__(self, doors: Iterable[Door], reason: str) -> None:
        namespaces = dict.fromkeys(one.service.namespace for door in doors for one in door.services.values())
        self._soap11 = {stays: _responses(namespaces, Soap.V11, reason, stays) for stays in (False, True)}
        self._soap12 = {stays: _responses(namespaces, Soap.V12, reason, stays) for stays in (False, True)}

    def __call__(self, request: bytes, stays: bool) -> bytes:
        """What to write; `stays`: the connection stays open."""
        responses = (self._soap11 if _SOAP_11 in request else self._soap12)[stays]
        for namespace, response in responses.items():
            if namespace in request:
                return response
        return next(iter(responses.values()))


_SOAP_11 = Soap.V11.value.encode()


def _responses(namespaces: Iterable[str], soap: Soap, reason: str, stays: bool) -> Mapping[bytes, bytes]:
    return {
        namespace: _head(soap, len(body), stays) + body for namespace, body in _faults(namespaces, soap, reason).items()
    }


def _faults(namespaces: Iterable[str], soap: Soap, reason: str) -> Mapping[bytes, bytes]:
    unanswered = Unanswered(unique_id="", reason=reason)
    return {
        # Whoever writes it with a slash at its end, or without.
        namespace.rstrip("/").encode(): _envelope(write_fault(unanswered, namespace).element(soap), soap)
        for namespace in namespaces
    }


def _envelope(fault: etree._Element, soap: Soap) -> bytes:
    begin = f'<?xml version="1.0" encoding="UTF-8"?>\n<s:Envelope xmlns:s="{soap.value}"><s:Body>'.encode()
    return b"%s%s</s:Body></s:Envelope>" % (begin, etree.tostring(fault))


def _head(soap: Soap, length: int, stays: bool) -> bytes:
    status = HTTPStatus.SERVICE_UNAVAILABLE
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {soap.content_type}",
        f"Content-Length: {length}",
        f"Retry-After: {_RETRY_AFTER}",
        *(() if stays else ("Connection: close",)),
    )
    return "\r\n".join((*lines, "", "")).encode()
