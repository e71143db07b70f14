"""The SOAP envelope and what stands around a message: identity, WS-Addressing, Faults (OCPP-S 1.6 sections 3 and 4).

Read by local names, in any order and any namespace: real peers get all of these wrong (quirks 1 to 14). Written as the
specification has it.
"""

from __future__ import annotations

from contextlib import suppress
from enum import Enum
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
    """The SOAP versions. OCPP-S 1.6 section 2 demands 1.2; 1.1 is read, and answered, for devices that speak it."""

    V12 = "http://www.w3.org/2003/05/soap-envelope"
    V11 = "http://schemas.xmlsoap.org/soap/envelope/"

    @property
    def content_type(self) -> str:
        """OCPP-S over HTTP: the media type of the SOAP version, in UTF-8."""
        media_type = "application/soap+xml" if self is Soap.V12 else "text/xml"
        return f"{media_type}; charset=utf-8"


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


def read(data: bytes, bounds: Bounds = PLAIN_BOUNDS) -> Envelope:
    """Open an envelope. Raises MessageError when it is none, or its Body is empty."""
    root = parse(data, bounds)
    soap = _soap_version(root)
    parts = {local_name(child): child for child in children(root)}
    content = next(parts["Body"].iterchildren("*"), None) if "Body" in parts else None
    if content is None:
        raise MessageError(ErrorCode.FormationViolation, "the envelope has no Body, or nothing in it")
    named: dict[str, etree._Element] = {}
    spoken = WSA
    for header in parts["Header"].iterchildren("*") if "Header" in parts else ():
        # OCPP-S 1.6 section 3.3: the header's name "is to be treated case-insensitively" (rule 38).
        named[local_name(header).lower()] = header
        if str(header.tag).startswith(_WSA_2004):
            spoken = WSA_2004
    return Envelope(
        soap=soap, identity=_text(named, "chargeboxidentity"), addressing=_addressing(named, spoken), body=content
    )


def _soap_version(root: etree._Element) -> Soap:
    if local_name(root) != "Envelope":
        raise MessageError(ErrorCode.FormationViolation, f"not a SOAP envelope, but <{local_name(root)}>")
    try:
        return Soap(namespace(root))
    except ValueError:
        raise MessageError(
            ErrorCode.FormationViolation, f"an envelope of an unknown SOAP version, {namespace(root)!r}"
        ) from None


def _addressing(named: dict[str, etree._Element], spoken: str) -> Addressing:
    """`From` and `ReplyTo` are read with or without the Address element around their text (quirk 9)."""
    return Addressing(
        message_id=_text(named, "messageid"),
        relates_to=_text(named, "relatesto"),
        action=_text(named, "action"),
        sent_from=_address(named, "from"),
        reply_to=_address(named, "replyto"),
        namespace=spoken,
    )


def _text(named: dict[str, etree._Element], name: str) -> str | None:
    header = named.get(name)
    return None if header is None else text_of(header).strip() or None


def _address(named: dict[str, etree._Element], name: str) -> str | None:
    """The text of the endpoint's Address, if it has one: ReferenceParameters and Metadata may stand beside it."""
    header = named.get(name)
    found = [] if header is None else [part for part in header.iter("*") if local_name(part).lower() == "address"]
    return _text({name: found[0]} if found else named, name)


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


def write(body: etree._Element | bytes, headers: Headers, soap: Soap = Soap.V12) -> bytes:
    """The document around `body`, which declares its own namespaces, in UTF-8 with its declaration (OCPP-S 1.6 section
    3.1)."""
    content = body if isinstance(body, bytes) else etree.tostring(body)
    begin = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<s:Envelope xmlns:s="{soap.value}" xmlns:a="{headers.namespace}">'
        f"<s:Header>{_header(headers, soap)}</s:Header><s:Body>"
    )
    return b"%s%s</s:Body></s:Envelope>" % (begin.encode(), content)


def _header(headers: Headers, soap: Soap) -> str:
    """OCPP-S 1.6 sections 3.3 to 3.9. ReplyTo in requests only, and only anonymous (section 3.8)."""
    must = f' s:mustUnderstand="{"true" if soap is Soap.V12 else "1"}"' if headers.must_understand else ""
    parts: list[str] = []
    if headers.identity is not None:
        service, identity = headers.identity
        name = "c:chargeBoxIdentity"
        parts.append(f'<{name} xmlns:c="{service}"{must}>{escaped(identity)}</{name}>')
    parts.append(f"<a:Action{must}>{escaped(headers.action)}</a:Action>")
    parts.append(f"<a:MessageID>{escaped(headers.message_id)}</a:MessageID>")
    if headers.relates_to is not None:
        parts.append(f"<a:RelatesTo>{escaped(headers.relates_to)}</a:RelatesTo>")
    if headers.sent_from is not None:
        parts.append(f"<a:From><a:Address>{escaped(headers.sent_from)}</a:Address></a:From>")
        parts.append(f"<a:ReplyTo><a:Address>{anonymous(headers.namespace)}</a:Address></a:ReplyTo>")
    parts.append(f"<a:To{must}>{escaped(headers.to)}</a:To>")
    return "".join(parts)


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
