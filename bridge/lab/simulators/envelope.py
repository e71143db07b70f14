"""Read and write the SOAP 1.2 envelopes of one OCPP-S service with zeep, from the WSDL of the service.

zeep's service proxies unwrap a response of one field, keep the placeholder `To` of the WSDL and send no `From`. zeep's
message objects do none of that. So requests and responses use the message objects of the binding.
Received content must fit the schema in the WSDL: zeep alone accepts unknown enumeration values and too long strings.
"""

from __future__ import annotations

import functools
import json
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import zeep.exceptions
import zeep.wsdl
from lxml import etree
from zeep.transports import Transport
from zeep.xsd.context import XmlParserContext
from zeep.xsd.valueobjects import CompoundValue

from bridge.lab.simulators.wire import CallRefused, Payload

ENV = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://www.w3.org/2005/08/addressing"
ANONYMOUS = f"{WSA}/anonymous"
_XSD = "http://www.w3.org/2001/XMLSchema"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeHeaders:
    """The WS-Addressing headers and the chargeBoxIdentity of one message. An empty string is an absent header."""

    action: str = ""
    message_id: str = ""
    relates_to: str = ""
    source: str = ""
    """The address in `From`."""
    reply_to: str = ""
    to: str = ""
    identity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeMessage:
    """A decoded envelope.

    Attributes:
        action: The action that the element in the Body stands for.
        is_request: True for the request of the action, False for its response.
        payload: The fields of the message.
    """

    action: str
    is_request: bool
    payload: Payload


class SimulatedService:
    """The service of one WSDL. `encode` and `decode` raise ValueError with the reason for unfit input."""

    def __init__(self, wsdl: Path) -> None:
        transport: Any = Transport()  # type: ignore[no-untyped-call]
        document: Any = zeep.wsdl.Document(str(wsdl), transport, settings=zeep.Settings(strict=True))
        self._binding = next(iter(document.bindings.values()))
        self._types = document.types
        self._context = functools.partial(XmlParserContext, settings=document.settings)
        self._elements: dict[str, tuple[str, bool, Any]] = {}
        for action, operation in self._binding.all().items():
            for message, is_request in ((operation.input, True), (operation.output, False)):
                self._elements[message.body.qname.text] = (action, is_request, message.body)
        schema = etree.parse(str(wsdl)).getroot().find(f".//{{{_XSD}}}schema")
        assert schema is not None
        # Writing the schema as text and parsing the text keeps the prefixes that only the root of the WSDL declares.
        self._schema = etree.XMLSchema(etree.fromstring(etree.tostring(schema)))
        self.namespace = str(schema.get("targetNamespace"))

    def encode(self, action: str, payload: Mapping[str, Any], headers: EnvelopeHeaders, *, is_request: bool) -> bytes:
        """Return the envelope of the request or the response of `action`.

        zeep does not check enumeration values and lengths. Raises ValueError for a payload that zeep cannot write.
        """
        try:
            operation = self._binding.get(action)
            message = operation.input if is_request else operation.output
            envelope = message.serialize(**payload, _soapheaders=self._header_elements(headers)).content
        except (zeep.exceptions.Error, TypeError, ValueError) as error:
            raise ValueError(f"{action}: {error}") from error
        return _written(envelope)

    def encode_fault(self, fault: CallRefused, headers: EnvelopeHeaders) -> bytes:
        """Return a Fault with the code and the subcode of `fault`. Details, if any, are JSON text in the Detail."""
        envelope = etree.Element(f"{{{ENV}}}Envelope", nsmap={"env": ENV, "ocpp": self.namespace})
        etree.SubElement(envelope, f"{{{ENV}}}Header").extend(self._header_elements(headers))
        element = etree.SubElement(etree.SubElement(envelope, f"{{{ENV}}}Body"), f"{{{ENV}}}Fault")
        code = etree.SubElement(element, f"{{{ENV}}}Code")
        etree.SubElement(code, f"{{{ENV}}}Value").text = f"env:{fault.code}"
        if fault.subcode:
            subcode = etree.SubElement(code, f"{{{ENV}}}Subcode")
            etree.SubElement(subcode, f"{{{ENV}}}Value").text = f"ocpp:{fault.subcode}"
        text = etree.SubElement(etree.SubElement(element, f"{{{ENV}}}Reason"), f"{{{ENV}}}Text")
        text.set("{http://www.w3.org/XML/1998/namespace}lang", "en")
        text.text = fault.description
        if fault.details:
            detail = etree.SubElement(element, f"{{{ENV}}}Detail")
            etree.SubElement(detail, f"{{{self.namespace}}}details").text = json.dumps(fault.details)
        return _written(envelope)

    def decode(self, envelope: etree._Element) -> EnvelopeMessage:
        """Return the message in the Body of `envelope`. Raises ValueError when the Body does not fit the schema.

        A time becomes an ISO 8601 string in UTC with Z; a time without an offset stays without an offset. A number with
        a fraction stays a Decimal. Absent and empty fields are left out.
        """
        body = envelope.find(f"{{{ENV}}}Body")
        content = None if body is None else next(body.iterchildren(tag=etree.Element), None)
        if content is None:
            raise ValueError("there is no Body, or nothing in it")
        found = self._elements.get(str(content.tag))
        if found is None:
            raise ValueError(f"{content.tag!s} is no element of {self.namespace}")
        action, is_request, element = found
        try:
            self._schema.assertValid(content)
            value = element.parse(content, self._types, context=self._context())
        except (etree.DocumentInvalid, zeep.exceptions.Error) as error:
            raise ValueError(f"{action}: {error}") from error
        return EnvelopeMessage(action=action, is_request=is_request, payload=_plain(value) or {})

    def headers_of(self, envelope: etree._Element) -> EnvelopeHeaders:
        """Return the headers of `envelope`, each from the namespace that its specification gives."""
        header = envelope.find(f"{{{ENV}}}Header")

        def text(path: str) -> str:
            return "" if header is None else (header.findtext(path) or "").strip()

        return EnvelopeHeaders(
            action=text(f"{{{WSA}}}Action"),
            message_id=text(f"{{{WSA}}}MessageID"),
            relates_to=text(f"{{{WSA}}}RelatesTo"),
            source=text(f"{{{WSA}}}From/{{{WSA}}}Address"),
            reply_to=text(f"{{{WSA}}}ReplyTo/{{{WSA}}}Address"),
            to=text(f"{{{WSA}}}To"),
            identity=text(f"{{{self.namespace}}}chargeBoxIdentity"),
        )

    def _header_elements(self, headers: EnvelopeHeaders) -> list[etree._Element]:
        must = {f"{{{ENV}}}mustUnderstand": "true"}
        found: list[etree._Element] = []

        def add(name: str, text: str, attributes: Mapping[str, str], inner: str = "") -> None:
            if text:
                element = etree.Element(name, dict(attributes), nsmap={"env": ENV, "wsa": WSA, "ocpp": self.namespace})
                (etree.SubElement(element, inner) if inner else element).text = text
                found.append(element)

        add(f"{{{self.namespace}}}chargeBoxIdentity", headers.identity, must)
        add(f"{{{WSA}}}Action", headers.action, must)
        add(f"{{{WSA}}}MessageID", headers.message_id, {})
        add(f"{{{WSA}}}RelatesTo", headers.relates_to, {})
        add(f"{{{WSA}}}From", headers.source, {}, f"{{{WSA}}}Address")
        add(f"{{{WSA}}}ReplyTo", headers.reply_to, {}, f"{{{WSA}}}Address")
        add(f"{{{WSA}}}To", headers.to, must)
        return found


_loading = threading.Lock()


def load(wsdl: Path) -> SimulatedService:
    """Return the Service of `wsdl`, which is read once for all simulators. The function blocks: call it in a thread."""
    with _loading:  # with the cache alone, simulators that start at the same time would each read the WSDL
        return _load(wsdl)


@functools.cache
def _load(wsdl: Path) -> SimulatedService:
    return SimulatedService(wsdl)


def parsed(body: bytes) -> etree._Element:
    """Return the Envelope in `body`. Raises ValueError when `body` is not XML or not a SOAP 1.2 Envelope."""
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, remove_comments=True)
    try:
        envelope = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"not XML: {error}") from error
    if envelope.tag != f"{{{ENV}}}Envelope":
        raise ValueError(f"{envelope.tag!s} is no SOAP 1.2 Envelope")
    return envelope


def fault_in(envelope: etree._Element, *, http_status: int, body: str) -> CallRefused | None:
    """Return the Fault in the Body of `envelope`, or None when the Body holds no Fault."""
    fault = envelope.find(f"{{{ENV}}}Body/{{{ENV}}}Fault")
    if fault is None:
        return None

    def text(path: str) -> str:
        return (fault.findtext(path, namespaces={"e": ENV}) or "").strip()

    detail = fault.find(f"{{{ENV}}}Detail")
    return CallRefused(
        text("e:Code/e:Value").rpartition(":")[2],
        text("e:Reason/e:Text"),
        {etree.QName(child).localname: child.text or "" for child in (() if detail is None else detail)},
        subcode=text("e:Code/e:Subcode/e:Value").rpartition(":")[2],
        http_status=http_status,
        body=body,
    )


def new_message_id() -> str:
    """Return a new unique MessageID."""
    return f"urn:uuid:{uuid.uuid4()}"


def _written(envelope: etree._Element) -> bytes:
    etree.cleanup_namespaces(envelope, keep_ns_prefixes=["ocpp"])  # the Subcode is a QName: its prefix must stay
    return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat().replace("+00:00", "Z")
    if isinstance(value, CompoundValue):
        plain = {name: _plain(value[name]) for name in value}
        return {name: inner for name, inner in plain.items() if inner is not None and inner != []}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
