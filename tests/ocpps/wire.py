"""The two services of OCPP 1.6, their PDUs, and the parties that judge what is written: the official XSD and zeep."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import zeep
from hypothesis import strategies as st
from lxml import etree
from msgspec import Struct
from zeep.helpers import serialize_object

from bridge.ocpp.actions import ACTIONS
from bridge.ocpp.messages import Request, Response
from bridge.ocpp.shapes import Kind, Shape
from bridge.ocpps import wsdl
from bridge.ocpps.codec import Codec
from bridge.ocpps.envelope import Addressing, Envelope, SoapVersion
from bridge.ocpps.wsdl import Element, Service
from tests.ocpp.strategies import payloads
from tests.reference import OFFICIAL_WSDL

OURS = wsdl.default_folder() / "ocpp16"
# What judges is the official description, and ours only where that is not to be had.
JUDGE: Path = OFFICIAL_WSDL / "ocpp16" if OFFICIAL_WSDL.is_dir() else OURS

NAMES = ("CentralSystemService", "ChargePointService")
SERVICES: dict[str, Service] = {name: wsdl.load(OURS / f"{name}.wsdl") for name in NAMES}
CODECS: dict[str, Codec] = {name: Codec(service) for name, service in SERVICES.items()}

ENV = {soap: f"{{{soap.value}}}" for soap in SoapVersion}


class Pdu(Struct, frozen=True, kw_only=True):
    """One of the 56 PDUs, in a service that has it: 58 of these, because both services have a DataTransfer."""

    service: str
    action: str
    record: type[Request] | type[Response]
    element: Element

    def __str__(self) -> str:
        return f"{self.service}-{self.element.name}"

    @property
    def codec(self) -> Codec:
        return CODECS[self.service]

    @property
    def is_request(self) -> bool:
        return issubclass(self.record, Request)

    @property
    def namespace(self) -> str:
        return SERVICES[self.service].namespace

    def write(self, payload: Any) -> tuple[etree._Element, tuple[Any, ...]]:
        write: Any = self.codec.write_call if self.is_request else self.codec.write_result
        body, losses = write(payload, self.action)
        return etree.fromstring(body), losses

    def read(self, body: etree._Element, *, strict: bool = False) -> Any:
        """The Call or the CallResult in `body`."""
        opened = Envelope(soap=SoapVersion.V12, identity=None, addressing=Addressing(), body=body)
        if self.is_request:
            return self.codec.read_call(opened, "1", strict=strict)
        return self.codec.read_answer(opened, self.action, "1", strict=strict)


PDUS: list[Pdu] = [
    Pdu(service=name, action=operation.name, record=record, element=element)
    for name, service in SERVICES.items()
    for operation in service.operations.values()
    for record, element in (
        (ACTIONS[operation.name].request, operation.request),
        (ACTIONS[operation.name].response, operation.response),
    )
]


def pdu(name: str, service: str | None = None) -> Pdu:
    """The PDU that is called `name`."""
    return next(item for item in PDUS if item.record.__name__ == name and service in (None, item.service))


@st.composite
def messages(draw: st.DrawFn, /, **wider: bool) -> tuple[Pdu, Any]:
    """Any PDU and a payload of it; parameters as those of `payloads`."""
    chosen = draw(st.sampled_from(PDUS))
    return chosen, draw(payloads(chosen.record, **wider))


# --- Judges ---


@cache
def schema(service: str) -> etree.XMLSchema:
    """The service's XSD, compiled here and not by our loader."""
    tree = etree.parse(JUDGE / f"{service}.wsdl")
    (found,) = tree.iter("{http://www.w3.org/2001/XMLSchema}schema")
    return etree.XMLSchema(etree.fromstring(etree.tostring(found)))


@cache
def client(service: str) -> Any:
    """A zeep client built from the WSDL."""
    return zeep.Client(str(JUDGE / f"{service}.wsdl"))  # type: ignore[no-untyped-call]


def zeep_reads(chosen: Pdu, body: etree._Element) -> Any:
    """What zeep reads in `body`, as plain data without what is absent. It takes an empty text for an absent one."""
    made = client(chosen.service)
    element = made.get_element(f"{{{chosen.namespace}}}{chosen.element.name}")
    read = element.parse(body, made.wsdl.types)
    return without_nothing(serialize_object(read, dict))  # type: ignore[no-untyped-call]


def with_moments(data: Any, shape: Shape) -> Any:
    """Plain data with a datetime for every point in time, as zeep has them."""
    made = {}
    for name, value in data.items():
        field = shape.fields[name]
        items = value if field.many else (value,)
        if field.shape is not None:
            items = [with_moments(item, field.shape) for item in items]
        elif field.kind is Kind.TIMESTAMP:
            items = [datetime.fromisoformat(item) for item in items]
        made[name] = [*items] if field.many else items[0]
    return made


def without_nothing(data: Any) -> Any:
    """`data` without fields that say nothing, its texts that are points in time as such."""
    match data:
        case dict():
            kept = {name: without_nothing(value) for name, value in data.items()}
            return {name: value for name, value in kept.items() if value not in (None, "", [])}
        case list() | tuple():
            return [without_nothing(value) for value in data]
        case None:
            return ""
        case datetime() | bool() | int() | Decimal():
            return data
    return data


def envelope_of(body: etree._Element, soap: SoapVersion = SoapVersion.V12) -> bytes:
    """The plainest envelope around `body`."""
    root = etree.Element(f"{ENV[soap]}Envelope")
    etree.SubElement(root, f"{ENV[soap]}Body").append(body)
    return etree.tostring(root)
