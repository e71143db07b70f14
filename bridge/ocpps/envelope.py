"""The SOAP envelope: identity, WS-Addressing headers and Faults (OCPP-S 1.6 sections 3 and 4).

An envelope is read by local names, in any order and any namespace: real peers get all of these wrong (quirks 1 to 14).
It is written as the specification has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from typing import Any
from xml.sax.saxutils import quoteattr

import msgspec
from lxml import etree
from msgspec import Struct

from bridge.errors import ErrorCode, FaultCode, MessageError, code_of_fault, fault_of, known_code
from bridge.ocpp import identity as identities
from bridge.ocpp.rpc import CallError, Unanswered
from bridge.ocpp.validation import json_value
from bridge.ocpps.markup import allowed, escaped
from bridge.ocpps.xml import PLAIN_BOUNDS, XmlBounds, children, local_name, namespace, parse, text_of

WSA = "http://www.w3.org/2005/08/addressing"
# One widespread client library writes this namespace instead (quirk 8). It must understand the answers that it gets.
WSA_2004 = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_WSA_2004 = f"{{{WSA_2004}}}"
# The prefix of the OCPP namespace.
PREFIX = "c"
# The bridge's own element in a Fault's Detail: the complete CALLERROR, for a bridge on the other side.
CALL_ERROR = "{urn:ocpp-bridge:callerror}callError"
# The element of the identity in an envelope in an encoding that has the octets of ASCII, and where it is at most.
_IDENTITY = re.compile(rb"<(?:[\w.-]+:)?chargeBoxIdentity(?:\s[^<>]*)?>([^<>&]{1,200})</")
_LONGEST_HEAD = 4096
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


class SoapVersion(Enum):
    """A SOAP version. OCPP-S 1.6 section 2 demands 1.2; the bridge reads and answers 1.1 too, for devices that use it.

    Attributes:
        namespace: The namespace of the envelope.
        content_type: The value of Content-Type: the media type of the SOAP version, in UTF-8.
    """

    V12 = "http://www.w3.org/2003/05/soap-envelope"
    V11 = "http://schemas.xmlsoap.org/soap/envelope/"

    def __init__(self, namespace: str) -> None:
        media_type = "application/soap+xml" if self._name_ == "V12" else "text/xml"
        self.namespace = namespace
        self.content_type = f"{media_type}; charset=utf-8"


class EnvelopeCode(Enum):
    """A Fault of SOAP 1.2 (part 1, 5.4.6) or WS-Addressing 1.0 (SOAP Binding, 6.4) that OCPP-S does not define.

    Attributes:
        side: The Code.
        subcodes: The Subcodes, each within the one before.
        http_status: The HTTP status (SOAP 1.2 part 2, 7.5.2).
    """

    VersionMismatch = ("VersionMismatch", (), 500)
    MustUnderstand = ("MustUnderstand", (), 500)
    MessageAddressingHeaderRequired = ("Sender", ("MessageAddressingHeaderRequired",), 400)
    ActionNotSupported = ("Sender", ("ActionNotSupported",), 400)
    InvalidCardinality = ("Sender", ("InvalidAddressingHeader", "InvalidCardinality"), 400)
    MissingAddressInEPR = ("Sender", ("InvalidAddressingHeader", "MissingAddressInEPR"), 400)
    OnlyAnonymousAddressSupported = ("Sender", ("InvalidAddressingHeader", "OnlyAnonymousAddressSupported"), 400)

    def __init__(self, side: str, subcodes: tuple[str, ...], http_status: int) -> None:
        self.side = side
        self.subcodes = subcodes
        self.http_status = http_status


class EnvelopeFault(MessageError):
    """An error in the envelope or its headers. `headers` holds the namespace and name of each header at fault."""

    def __init__(self, code: EnvelopeCode, description: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        version = code is EnvelopeCode.VersionMismatch
        super().__init__(ErrorCode.FormationViolation if version else ErrorCode.ProtocolError, description)
        self.envelope_code = code
        self.headers = headers


class Addressing(Struct, frozen=True, kw_only=True):
    """The WS-Addressing headers, as they were written; None for a header that is absent.

    Attributes:
        message_id: The MessageID.
        relates_to: Each RelatesTo of the reply relationship (WS-Addressing 1.0 core, section 3.2).
        action: The Action.
        sent_from: The address in From.
        reply_to: The address in ReplyTo.
        namespace: The namespace of the headers, WSA or WSA_2004.
    """

    message_id: str | None = None
    relates_to: tuple[str, ...] = ()
    action: str | None = None
    sent_from: str | None = None
    reply_to: str | None = None
    namespace: str = WSA


class Envelope(Struct, frozen=True, kw_only=True):
    """An envelope whose content is not read yet. `body` is the first element in its Body, which is the message."""

    soap: SoapVersion
    identity: str | None
    addressing: Addressing
    body: etree._Element


# Element names as nearly all peers write them; any other spelling is found by its local name, more slowly.
_ENVELOPES: Mapping[Any, SoapVersion] = {f"{{{soap.value}}}Envelope": soap for soap in SoapVersion}
_PARTS: Mapping[Any, str] = {f"{{{soap.value}}}{name}": name for soap in SoapVersion for name in ("Header", "Body")}
_FIELDS = {
    "chargeboxidentity": "identity",
    "messageid": "message_id",
    "relatesto": "relates_to",
    "action": "action",
    "from": "sent_from",
    "replyto": "reply_to",
}
_USUAL: Mapping[Any, str] = {  # a header with "" is not read
    f"{{{WSA}}}{name}": _FIELDS.get(name.lower(), "")
    for name in ("MessageID", "RelatesTo", "Action", "From", "ReplyTo", "To", "FaultTo")
}
_ADDRESSES: Set[Any] = {f"{{{wsa}}}Address" for wsa in (WSA, WSA_2004)}
_TEXTS = frozenset({"identity", "message_id", "action"})
_ENDPOINTS = frozenset({"sent_from", "reply_to"})


def read(data: bytes, bounds: XmlBounds = PLAIN_BOUNDS) -> Envelope:
    """Read an envelope from its octets. Raises MessageError if `data` is no envelope, or its Body is empty."""
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


def probable_identity(data: bytes) -> str | None:
    """Return what seems to be the chargeBoxIdentity of an envelope, which is not read. None if it is not found.

    It is no more than a hint: a comment may hold the same.
    """
    found = _IDENTITY.search(data, 0, _LONGEST_HEAD)
    try:
        return None if found is None else identities.read(found[1].decode().strip())
    except ValueError:
        return None


def _first(body: etree._Element) -> etree._Element | None:
    """Return the first element in the Body, which is the message; None if the Body is empty."""
    for child in body:
        if isinstance(child.tag, str):
            return child
    return None


def _no_envelope(root: etree._Element) -> MessageError:
    if local_name(root) != "Envelope":
        return MessageError(ErrorCode.FormationViolation, f"not a SOAP envelope, but <{local_name(root)}>")
    text = f"an envelope of an unknown SOAP version, {namespace(root)!r}"
    return EnvelopeFault(EnvelopeCode.VersionMismatch, text)


def _said(header: etree._Element) -> dict[str, Any]:
    """Return the fields of an Addressing, and the identity, that the Header holds; of two alike, the last."""
    said: dict[str, Any] = {"namespace": WSA}
    for element in header[:]:
        tag = element.tag
        field = _USUAL.get(tag)
        if field is None and isinstance(tag, str):
            # OCPP-S 1.6 section 3.3: the header's name "is to be treated case-insensitively" (rule 38).
            field = _FIELDS.get(tag.rpartition("}")[2].lower())
            if tag.startswith(_WSA_2004):
                said["namespace"] = WSA_2004
        if field in _TEXTS:
            said[field] = _text(element)
        elif field in _ENDPOINTS:
            said[field] = _text(_address(element))
        elif field:
            said[field] = (*said.get(field, ()), *_replied_to(element))
    return said


def _replied_to(element: etree._Element) -> tuple[str, ...]:
    """Return the MessageID in a RelatesTo; nothing if it is empty, or of another relationship than reply."""
    kind = next((value for name, value in element.items() if name.lower().endswith("relationshiptype")), "reply")
    text = _text(element)
    return (text,) if text and kind.strip().lower().endswith("reply") else ()


def _text(element: etree._Element) -> str | None:
    return ((text_of(element) if len(element) else element.text) or "").strip() or None


def _address(endpoint: etree._Element) -> etree._Element:
    """Return the Address element of an endpoint; the endpoint itself if it holds its text without one (quirk 9).

    ReferenceParameters and Metadata may stand beside the Address.
    """
    if len(endpoint) == 0:
        return endpoint
    if endpoint[0].tag in _ADDRESSES:
        return endpoint[0]
    for part in endpoint.iter("*"):
        if local_name(part).lower() == "address":
            return part
    return endpoint


def nothing() -> etree._Element:
    """Return a body for an envelope that could not be read."""
    return etree.Element("nothing")


# Writing.


class EnvelopeFields(Struct, frozen=True, kw_only=True):
    """The Header of a message that the bridge sends.

    Attributes:
        action: The Action.
        message_id: The MessageID.
        to: The address in To.
        identity: The namespace of the service, and the ChargeBoxIdentity.
        sent_from: The address in From; None for an answer.
        relates_to: The MessageID of the request that is answered; None for a request.
        namespace: The namespace of WS-Addressing.
        must_understand: Whether to write mustUnderstand on the headers that the specification names.
        prefix: The prefix of the OCPP namespace.
    """

    action: str
    message_id: str
    to: str
    identity: tuple[str, str] | None = None
    sent_from: str | None = None
    relates_to: str | None = None
    namespace: str = WSA
    must_understand: bool = True
    prefix: str = PREFIX


class _Letterhead(Struct, frozen=True):
    """The constant parts of the envelopes of one Action, in the order of the document.

    Each part ends where a value of the message is to be written.
    """

    begin: str  # up to the content of the Header: the identity, or the Action
    must: str
    message_id: str
    relates_to: str
    sent_from: str
    reply_to: str  # the complete ReplyTo
    to: str
    anonymous: str  # the complete To, and the end of the Header


@lru_cache(maxsize=1000)
def _letterhead(action: str, soap: str, wsa: str, must_understand: bool) -> _Letterhead:
    must = f' s:mustUnderstand="{"true" if soap == SoapVersion.V12.namespace else "1"}"' if must_understand else ""
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


def write(body: etree._Element | bytes, headers: EnvelopeFields, soap: SoapVersion = SoapVersion.V12) -> bytes:
    """Return the document of a message, in UTF-8 with an XML declaration (OCPP-S 1.6 section 3.1).

    The Header is as in sections 3.3 to 3.9: ReplyTo stands in requests only, and is always anonymous (section 3.8).

    Args:
        body: The element in the Body, which declares its own namespaces.
        headers: The Header.
        soap: The SOAP version.
    """
    head = _letterhead(headers.action, soap.namespace, headers.namespace, headers.must_understand)
    parts = [head.begin]
    if headers.identity is not None:
        parts += (_identity(*headers.identity, head.must, headers.prefix),)
    parts += (head.message_id, escaped(headers.message_id))
    if headers.relates_to is not None:
        parts += (head.relates_to, escaped(headers.relates_to), "</a:RelatesTo>")
    else:
        parts.append("</a:MessageID>")
    if headers.sent_from is not None:
        parts += (head.sent_from, escaped(headers.sent_from), head.reply_to)
    parts += (head.to, escaped(headers.to), "</a:To></s:Header><s:Body>")
    return b"".join(("".join(parts).encode(), body if isinstance(body, bytes) else etree.tostring(body), _END))


def _identity(service: str, identity: str, must: str, prefix: str) -> str:
    name = f"{prefix}:chargeBoxIdentity"
    return f'<{name} xmlns:{prefix}="{service}"{must}>{escaped(identity)}</{name}>'


def write_answer(
    body: etree._Element | bytes,
    asked: Envelope,
    action: str,
    message_id: str,
    *,
    must_understand: bool = True,
    blocks: str = "",
    service: str = "",
    prefix: str = PREFIX,
) -> bytes:
    """Return the document of an answer, in the SOAP and WS-Addressing versions of the request.

    A sender that writes WS-Addressing of 2004 (Java-OCA-OCPP) drops an answer whose To is not the URL in its From, or
    that has no chargeBoxIdentity (quirk 89).

    Args:
        body: The element in the Body, which declares its own namespaces.
        asked: The envelope of the request.
        action: The Action of the answer.
        message_id: The MessageID of the answer, which needs no escape.
        must_understand: Whether to write mustUnderstand on the headers that the specification names.
        blocks: Further headers, as XML source.
        service: The namespace of the called service, for the chargeBoxIdentity.
        prefix: The prefix of the OCPP namespace.
    """
    answered = asked.addressing
    head = _letterhead(action, asked.soap.namespace, answered.namespace, must_understand)
    to = head.anonymous
    sender = answered.sent_from if answered.namespace == WSA_2004 else None
    if sender is not None and sender != anonymous(WSA_2004):
        to = f"{head.to}{escaped(sender)}</a:To></s:Header><s:Body>"
        if service and asked.identity is not None:
            blocks += _identity(service, asked.identity, head.must, prefix)
    if answered.message_id is None:
        begin = f"{head.begin}{blocks}{head.message_id}{message_id}</a:MessageID>{to}"
    else:
        relates_to = f"{head.relates_to}{escaped(answered.message_id)}</a:RelatesTo>"
        begin = f"{head.begin}{blocks}{head.message_id}{message_id}{relates_to}{to}"
    return b"".join((begin.encode(), body if isinstance(body, bytes) else etree.tostring(body), _END))


def anonymous(wsa: str) -> str:
    """Return the anonymous address of a WS-Addressing version, which stands for the same connection."""
    return f"{wsa}/{'anonymous' if wsa == WSA else 'role/anonymous'}"


# Faults.


# The Codes of either SOAP version, in the names of 1.2 (part 1, 5.4.6). Any other Code is read as Receiver.
_CODES = {
    "sender": "Sender",
    "client": "Sender",
    "mustunderstand": "MustUnderstand",
    "versionmismatch": "VersionMismatch",
    "dataencodingunknown": "DataEncodingUnknown",
}


class Fault(Struct, frozen=True, kw_only=True):
    """A Fault as it was read: `side` is its Code as SOAP 1.2 calls it, `subcode` the local name of the Subcode."""

    side: str
    subcode: str | None
    reason: str
    detail: etree._Element | None = None

    def as_error(self, unique_id: str) -> CallError:
        """Return the CALLERROR for this Fault. A CALLERROR that a bridge wrote as a Fault is restored unchanged."""
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
    """Return the Fault in a Body, of either SOAP version; None if the Body holds another element.

    A Fault is read by local names alone: peers write Subcode in a wrong namespace and in wrong letter case.
    """
    if local_name(body) != "Fault":
        return None
    detail = next((part for part in children(body) if local_name(part).lower() == "detail"), None)
    named: dict[str, etree._Element] = {}
    for part in children(body):
        # The Detail may hold any elements: one of them may have the name of a part of the Fault.
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
    side = _CODES.get(values[0].strip().lower(), "Receiver") if values else "Receiver"
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


def write_fault(
    error: CallError | Unanswered,
    service_namespace: str,
    code: FaultCode | EnvelopeFault | None = None,
    prefix: str = PREFIX,
) -> _Fault:
    """Return the Fault for an error, with its HTTP status.

    Args:
        error: The CALLERROR, or the link failure.
        service_namespace: The namespace of the called service, which is that of the Subcode (OCPP-S 1.6 section 4).
        code: The Code and Subcode; None for those of the CALLERROR's error code.
        prefix: The prefix of the namespace.
    """
    error = error.as_error() if isinstance(error, Unanswered) else error
    return _Fault(error=error, code=code or fault_of(error.code), namespace=service_namespace, prefix=prefix)


def blocks_of(fault: EnvelopeFault) -> str:
    """Return the headers of a Fault about the envelope, as XML source, "" for none.

    They are the SOAP versions that are spoken (SOAP 1.2 part 1, 5.4.7), or the headers that were not understood
    (5.4.8).
    """
    env = f'xmlns:v="{SoapVersion.V12.value}"'
    if fault.envelope_code is EnvelopeCode.VersionMismatch:
        return f'<v:Upgrade {env}><v:SupportedEnvelope qname="v:Envelope"/></v:Upgrade>'
    if fault.envelope_code is EnvelopeCode.MustUnderstand:
        return "".join(
            f'<v:NotUnderstood {env} xmlns:n={quoteattr(printable(space))} qname="n:{printable(name)}"/>'
            if space
            else f'<v:NotUnderstood {env} qname="{printable(name)}"/>'
            for space, name in fault.headers
        )
    return ""


class _Fault(Struct, frozen=True, kw_only=True):
    """A Fault to write."""

    error: CallError
    code: FaultCode | EnvelopeFault
    namespace: str
    prefix: str = PREFIX

    @property
    def http_status(self) -> int:
        return (self.code.envelope_code if isinstance(self.code, EnvelopeFault) else self.code).http_status

    def element(self, soap: SoapVersion) -> etree._Element:
        """Return the Fault element in a SOAP version."""
        write = self._soap12 if soap is SoapVersion.V12 else self._soap11
        names = {"a": WSA} if isinstance(self.code, EnvelopeFault) else {self.prefix: self.namespace}
        fault = etree.Element(f"{{{soap.value}}}Fault", nsmap={"s": soap.value, **names})
        write(fault, soap.value)
        return fault

    def _codes(self) -> tuple[str, list[str]]:
        """Return the Code, and the Subcodes as QNames, each within the one before."""
        if isinstance(self.code, FaultCode):
            return self.code.side, [f"{self.prefix}:{self.code.subcode}"]
        code = self.code.envelope_code
        return code.side, [f"a:{name}" for name in code.subcodes]

    @property
    def _reason(self) -> str:
        return printable(f"{self.error.code}: {self.error.description}" if self.error.description else self.error.code)

    def _soap12(self, fault: etree._Element, env: str) -> None:
        side, subcodes = self._codes()
        code = etree.SubElement(fault, f"{{{env}}}Code")
        etree.SubElement(code, f"{{{env}}}Value").text = f"s:{side}"
        for name in subcodes:
            code = etree.SubElement(code, f"{{{env}}}Subcode")
            etree.SubElement(code, f"{{{env}}}Value").text = name
        reason = etree.SubElement(fault, f"{{{env}}}Reason")
        etree.SubElement(reason, f"{{{env}}}Text", {_XML_LANG: "en"}).text = self._reason
        detail = etree.SubElement(fault, f"{{{env}}}Detail")
        if subcodes and isinstance(self.code, EnvelopeFault):
            for _, name in self.code.headers:
                etree.SubElement(detail, f"{{{WSA}}}ProblemHeaderQName").text = f"a:{name}"
        self._detail(detail)

    def _soap11(self, fault: etree._Element, env: str) -> None:
        side, subcodes = self._codes()
        side = {"Sender": "Client", "Receiver": "Server"}.get(side, side)
        code = ".".join([side, *(name.partition(":")[2] for name in subcodes)])
        etree.SubElement(fault, "faultcode").text = f"s:{code}"
        etree.SubElement(fault, "faultstring").text = self._reason
        self._detail(etree.SubElement(fault, "detail"))

    def _detail(self, detail: etree._Element) -> None:
        whole = etree.SubElement(detail, CALL_ERROR, nsmap={"b": CALL_ERROR[1:].partition("}")[0]})
        ns = CALL_ERROR.removesuffix("callError")
        etree.SubElement(whole, f"{ns}code").text = printable(self.error.code)
        etree.SubElement(whole, f"{ns}description").text = printable(self.error.description)
        details = msgspec.json.Encoder(decimal_format="number").encode(self.error.details).decode()
        # JSON escapes control characters, but not these two characters, which XML cannot carry either.
        etree.SubElement(whole, f"{ns}details").text = details.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def printable(text: str) -> str:
    """Return `text` with each character replaced that XML 1.0 cannot carry.

    For texts of the bridge, never for a message's own values (rule 63).
    """
    return "".join(char if allowed(char) else "\N{REPLACEMENT CHARACTER}" for char in text)
