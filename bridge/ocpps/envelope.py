"""The SOAP envelope and what stands around a message: identity, WS-Addressing, Faults (OCPP-S 1.6 sections 3 and 4).

Read by local names, in any order and any namespace: real peers get all of these wrong (quirks 1 to 14). Written as the
specification has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec
from lxml import etree
from msgspec import Struct

from bridge.errors import ErrorCode, FaultCode, MessageError, code_of_fault, fault_of, known_code
from bridge.ocpp.rpc import CallError, Unanswered
from bridge.ocpp.validation import json_value
from bridge.ocpps.markup import allowed, escaped
from bridge.ocpps.xml import PLAIN_BOUNDS, Bounds, children, local_name, namespace, parse, text_of

WSA = "http://www.w3.org/2005/08/addressing"
# What one widespread client library writes instead (quirk 8); it must understand what it gets back.
WSA_2004 = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_WSA_2004 = f"{{{WSA_2004}}}"
# Our own element in a Fault's Detail: a CALLERROR, whole, for a bridge on the other side.
CALL_ERROR = "{urn:ocpp-bridge:callerror}callError"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


class Soap(Enum):
    """The SOAP versions. OCPP-S 1.6 section 2 demands 1.2; 1.1 is read, and answered, for devices that speak it.

    `content_type`, OCPP-S over HTTP: the media type of the SOAP version, in UTF-8.
    """

    V12 = "http://www.w3.org/2003/05/soap-envelope"
    V11 = "http://schemas.xmlsoap.org/soap/envelope/"

    def __init__(self, namespace: str) -> None:
        media_type = "application/soap+xml" if self._name_ == "V12" else "text/xml"
        self.namespace = namespace
        self.content_type = f"{media_type}; charset=utf-8"


class Addressing(Struct, frozen=True, kw_only=True):
    """The WS-Addressing headers, as they were written; None for what is not there."""

    message_id: str | None = None
    relates_to: str | None = None
    action: str | None = None
    sent_from: str | None = None
    reply_to: str | None = None
    namespace: str = WSA


class Envelope(Struct, frozen=True, kw_only=True):
    """A message that has been opened but not understood: `body` is the first element in its Body."""

    soap: Soap
    identity: str | None
    addressing: Addressing
    body: etree._Element


# Headers and endpoints as nearly all write them; what is spelled otherwise is found by its local name.
_ENVELOPES: Mapping[Any, Soap] = {f"{{{soap.value}}}Envelope": soap for soap in Soap}
_PARTS: Mapping[Any, str] = {f"{{{soap.value}}}{name}": name for soap in Soap for name in ("Header", "Body")}
_FIELDS = {
    "chargeboxidentity": "identity",
    "messageid": "message_id",
    "relatesto": "relates_to",
    "action": "action",
    "from": "sent_from",
    "replyto": "reply_to",
}
_USUAL: Mapping[Any, str] = {  # what is "" is not read
    f"{{{WSA}}}{name}": _FIELDS.get(name.lower(), "")
    for name in ("MessageID", "RelatesTo", "Action", "From", "ReplyTo", "To", "FaultTo")
}
_ADDRESSES: Set[Any] = {f"{{{wsa}}}Address" for wsa in (WSA, WSA_2004)}
_ENDPOINTS = frozenset({"sent_from", "reply_to"})


def read(data: bytes, bounds: Bounds = PLAIN_BOUNDS) -> Envelope:
    """Open an envelope. Raises MessageError when it is none, or its Body is empty."""
    root = parse(data, bounds)
    soap = _ENVELOPES.get(root.tag)
    if soap is None:
        raise _no_envelope(root)
    header: etree._Element | None = None
    body: etree._Element | None = None
    for part in root[:]:
        name = _PARTS.get(part.tag) or local_name(part)
        if name == "Body":
            body = part
        elif name == "Header":
            header = part
    content = None if body is None else _first(body)
    if content is None:
        raise MessageError(ErrorCode.FormationViolation, "the envelope has no Body, or nothing in it")
    said = {"namespace": WSA} if header is None else _said(header)
    return Envelope(soap=soap, identity=said.pop("identity", None), addressing=Addressing(**said), body=content)


def _first(body: etree._Element) -> etree._Element | None:
    """The first element in it, which is the message."""
    for child in body:
        if isinstance(child.tag, str):
            return child
    return None


def _no_envelope(root: etree._Element) -> MessageError:
    if local_name(root) != "Envelope":
        return MessageError(ErrorCode.FormationViolation, f"not a SOAP envelope, but <{local_name(root)}>")
    return MessageError(ErrorCode.FormationViolation, f"an envelope of an unknown SOAP version, {namespace(root)!r}")


def _said(header: etree._Element) -> dict[str, Any]:
    """The fields of an Addressing, and the identity, as far as the header says them; of two alike, the last."""
    said: dict[str, Any] = {"namespace": WSA}
    for element in header[:]:
        tag = element.tag
        field = _USUAL.get(tag)
        if field is None and isinstance(tag, str):
            # OCPP-S 1.6 section 3.3: the header's name "is to be treated case-insensitively" (rule 38).
            field = _FIELDS.get(tag.rpartition("}")[2].lower())
            if tag.startswith(_WSA_2004):
                said["namespace"] = WSA_2004
        if field:
            said[field] = _text(_address(element) if field in _ENDPOINTS else element)
    return said


def _text(element: etree._Element) -> str | None:
    return ((text_of(element) if len(element) else element.text) or "").strip() or None


def _address(endpoint: etree._Element) -> etree._Element:
    """The endpoint's Address, if it has one, else the endpoint: it is read with or without that element around its
    text (quirk 9). ReferenceParameters and Metadata may stand beside it."""
    if len(endpoint) == 0:
        return endpoint
    if endpoint[0].tag in _ADDRESSES:
        return endpoint[0]
    for part in endpoint.iter("*"):
        if local_name(part).lower() == "address":
            return part
    return endpoint


def nothing() -> etree._Element:
    """The body of an envelope that could not be opened."""
    return etree.Element("nothing")


# Writing.


class Headers(Struct, frozen=True, kw_only=True):
    """What stands in the Header of a message that we send. `identity` is a pair of namespace and ChargeBoxIdentity;
    `must_understand` says so of those that the specification wants to be understood."""

    action: str
    message_id: str
    to: str
    identity: tuple[str, str] | None = None
    sent_from: str | None = None
    relates_to: str | None = None
    namespace: str = WSA
    must_understand: bool = True


class _Letterhead(Struct, frozen=True):
    """What is the same around all messages of a kind, in the order in which it stands there. Each part ends where the
    next thing to be filled in begins."""

    begin: str  # what stands in the Header: the identity, or the Action
    must: str
    message_id: str
    relates_to: str
    sent_from: str
    reply_to: str  # all of it
    to: str
    anonymous: str  # all of To, and the end of the Header


@lru_cache(maxsize=1000)
def _letterhead(action: str, soap: str, wsa: str, must_understand: bool) -> _Letterhead:
    must = f' s:mustUnderstand="{"true" if soap == Soap.V12.namespace else "1"}"' if must_understand else ""
    return _Letterhead(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<s:Envelope xmlns:s="{soap}" xmlns:a="{wsa}"><s:Header>',
        must,
        f"<a:Action{must}>{escaped(action)}</a:Action><a:MessageID>",
        "</a:MessageID><a:RelatesTo>",
        "<a:From><a:Address>",
        f"</a:Address></a:From><a:ReplyTo><a:Address>{anonymous(wsa)}</a:Address></a:ReplyTo>",
        f"<a:To{must}>",
        f"<a:To{must}>{anonymous(wsa)}</a:To></s:Header><s:Body>",
    )


_END = b"</s:Body></s:Envelope>"


def write(body: etree._Element | bytes, headers: Headers, soap: Soap = Soap.V12) -> bytes:
    """The document around `body`, which declares its own namespaces, in UTF-8 with its declaration (OCPP-S 1.6 section
    3.1). The Header as in sections 3.3 to 3.9: ReplyTo in requests only, and only anonymous (section 3.8)."""
    head = _letterhead(headers.action, soap.namespace, headers.namespace, headers.must_understand)
    parts = [head.begin]
    if headers.identity is not None:
        service, identity = headers.identity
        name = "c:chargeBoxIdentity"
        parts.append(f'<{name} xmlns:c="{service}"{head.must}>{escaped(identity)}</{name}>')
    parts += (head.message_id, escaped(headers.message_id))
    if headers.relates_to is not None:
        parts += (head.relates_to, escaped(headers.relates_to), "</a:RelatesTo>")
    else:
        parts.append("</a:MessageID>")
    if headers.sent_from is not None:
        parts += (head.sent_from, escaped(headers.sent_from), head.reply_to)
    parts += (head.to, escaped(headers.to), "</a:To></s:Header><s:Body>")
    return b"".join(("".join(parts).encode(), body if isinstance(body, bytes) else etree.tostring(body), _END))


def write_answer(
    body: etree._Element | bytes, asked: Envelope, action: str, message_id: str, *, must_understand: bool = True
) -> bytes:
    """The document around what answers `asked`, as its sender understands it. `message_id` is our own: no text that
    has to be escaped."""
    answered = asked.addressing
    head = _letterhead(action, asked.soap.namespace, answered.namespace, must_understand)
    if answered.message_id is None:
        begin = f"{head.begin}{head.message_id}{message_id}</a:MessageID>{head.anonymous}"
    else:
        relates_to = f"{head.relates_to}{escaped(answered.message_id)}</a:RelatesTo>"
        begin = f"{head.begin}{head.message_id}{message_id}{relates_to}{head.anonymous}"
    return b"".join((begin.encode(), body if isinstance(body, bytes) else etree.tostring(body), _END))


def anonymous(wsa: str) -> str:
    """The address that means: on the same connection."""
    return f"{wsa}/{'anonymous' if wsa == WSA else 'role/anonymous'}"


# Faults.


class Fault(Struct, frozen=True, kw_only=True):
    """A Fault as it was read: `side` is `Sender` or `Receiver`, `subcode` the local name of the Subcode."""

    side: str
    subcode: str | None
    reason: str
    detail: etree._Element | None = None

    def as_error(self, unique_id: str) -> CallError:
        """The CALLERROR that says the same. One that came through a bridge comes out as it went in."""
        whole = None if self.detail is None else self.detail.find(CALL_ERROR)
        if whole is not None:
            return _whole_error(whole, unique_id)
        code = code_of_fault(self.subcode, self.side)
        details: dict[str, Any] = {"soapCode": self.side}
        if self.subcode is not None and known_code(self.subcode) is None:
            details["soapSubcode"] = self.subcode
        if self.detail is not None and (text := " ".join(text_of(self.detail).split())):
            details["soapDetail"] = text[:1000]
        return CallError(unique_id=unique_id, code=code.value, description=self.reason, details=details)


def _whole_error(element: etree._Element, unique_id: str) -> CallError:
    parts = {local_name(child): child.text or "" for child in children(element)}
    details: Any = parts.get("details") or "{}"
    with suppress(MessageError):
        details = json_value(details)
    if not isinstance(details, dict):
        details = {"details": details}
    code = parts.get("code") or ErrorCode.InternalError.value
    return CallError(unique_id=unique_id, code=code, description=parts.get("description", ""), details=details)


def read_fault(body: etree._Element) -> Fault | None:
    """The Fault that stands in a Body, of either SOAP version; None if it is something else.

    Read by local names alone: Subcode is seen in the wrong namespace and the wrong case.
    """
    if local_name(body) != "Fault":
        return None
    detail = next((part for part in children(body) if local_name(part).lower() == "detail"), None)
    named: dict[str, etree._Element] = {}
    for part in children(body):
        # What stands in the Detail is somebody's own, whatever its name.
        for element in [] if part is detail else part.iter("*"):
            named.setdefault(local_name(element).lower(), element)
    code = named.get("code", named.get("faultcode"))
    subcode = named.get("subcode")
    reason = named.get("text", named.get("reason", named.get("faultstring")))
    values = [] if code is None else [_qname(part) for part in code.iter() if local_name(part) == "Value"]
    if code is not None and not values:  # SOAP 1.1: "soap:Client.Subcode"
        values = _qname(code).split(".")
    if subcode is not None:
        values = [values[0] if values else "", _qname(_first_value(subcode))]
    side = "Sender" if values and values[0].lower() in ("sender", "client") else "Receiver"
    return Fault(
        side=side,
        subcode=values[1] if len(values) > 1 and values[1] else None,
        reason="" if reason is None else text_of(reason).strip(),
        detail=detail,
    )


def _first_value(element: etree._Element) -> etree._Element:
    return next((part for part in element.iter() if local_name(part) == "Value"), element)


def _qname(element: etree._Element) -> str:
    return (element.text or "").strip().rpartition(":")[2]


def write_fault(error: CallError | Unanswered, service_namespace: str, code: FaultCode | None = None) -> _Fault:
    """The Fault for a CALLERROR, with the HTTP status that goes with it. The Subcode is a QName in the namespace of
    the called service (OCPP-S 1.6 section 4)."""
    error = error.as_error() if isinstance(error, Unanswered) else error
    return _Fault(error=error, code=code or fault_of(error.code), namespace=service_namespace)


def version_mismatch(reason: str) -> etree._Element:
    """SOAP 1.2 part 1, appendix A: who sends SOAP 1.1 is told in SOAP 1.1 that it is not spoken here."""
    fault = etree.Element(f"{{{Soap.V11.value}}}Fault", nsmap={"s": Soap.V11.value})
    etree.SubElement(fault, "faultcode").text = "s:VersionMismatch"
    etree.SubElement(fault, "faultstring").text = reason
    return fault


class _Fault(Struct, frozen=True, kw_only=True):
    """A Fault to be written."""

    error: CallError
    code: FaultCode
    namespace: str

    def element(self, soap: Soap) -> etree._Element:
        """The Fault element of either SOAP version."""
        write = self._soap12 if soap is Soap.V12 else self._soap11
        fault = etree.Element(f"{{{soap.value}}}Fault", nsmap={"s": soap.value, "c": self.namespace})
        write(fault, soap.value)
        return fault

    @property
    def _reason(self) -> str:
        return printable(f"{self.error.code}: {self.error.description}" if self.error.description else self.error.code)

    def _soap12(self, fault: etree._Element, env: str) -> None:
        code = etree.SubElement(fault, f"{{{env}}}Code")
        etree.SubElement(code, f"{{{env}}}Value").text = f"s:{self.code.side}"
        subcode = etree.SubElement(code, f"{{{env}}}Subcode")
        etree.SubElement(subcode, f"{{{env}}}Value").text = f"c:{self.code.subcode}"
        reason = etree.SubElement(fault, f"{{{env}}}Reason")
        etree.SubElement(reason, f"{{{env}}}Text", {_XML_LANG: "en"}).text = self._reason
        self._detail(etree.SubElement(fault, f"{{{env}}}Detail"))

    def _soap11(self, fault: etree._Element, env: str) -> None:
        side = "Client" if self.code.side == "Sender" else "Server"
        etree.SubElement(fault, "faultcode").text = f"s:{side}.{self.code.subcode}"
        etree.SubElement(fault, "faultstring").text = self._reason
        self._detail(etree.SubElement(fault, "detail"))

    def _detail(self, detail: etree._Element) -> None:
        whole = etree.SubElement(detail, CALL_ERROR, nsmap={"b": CALL_ERROR[1:].partition("}")[0]})
        ns = CALL_ERROR.removesuffix("callError")
        etree.SubElement(whole, f"{ns}code").text = printable(self.error.code)
        etree.SubElement(whole, f"{ns}description").text = printable(self.error.description)
        details = msgspec.json.Encoder(decimal_format="number").encode(self.error.details).decode()
        # JSON escapes control characters; these two are none, and XML has no place for them either.
        etree.SubElement(whole, f"{ns}details").text = details.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def printable(text: str) -> str:
    """`text` with what XML 1.0 cannot carry replaced: for explanations, never for a message's own values (rule 63)."""
    return "".join(char if allowed(char) else "\N{REPLACEMENT CHARACTER}" for char in text)
