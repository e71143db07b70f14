"""Hypothesis strategies for the messages of any OCPP version, derived from its WSDL: plain data, and Body elements.

What is generated is valid by that WSDL, and no optional text is empty, because an empty element means an absent one to
many. Leaves are text, as XML brings them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from lxml import etree

from bridge.dialects.versions import DIALECTS
from bridge.ocpp.actions import Party
from bridge.ocpp.shapes import TEXT
from bridge.ocpps import wsdl
from bridge.ocpps.codec import Codec
from bridge.ocpps.wsdl import ComplexType, Element, Service, SimpleType
from tests.ocpp.strategies import addresses, texts, timestamps
from tests.reference import OFFICIAL_WSDL

Plain = dict[str, Any]

MOST_ITEMS = 3
# No text of the model has a smaller limit, so what is not longer is never cut or refused.
SHORTEST_LIMIT = 20
FOLDERS = {"1.6": "ocpp16", "1.5": "ocpp15", "1.2": "ocpp12"}
# By who calls it.
SERVICES = {Party.CHARGE_POINT: "CentralSystemService", Party.CENTRAL_SYSTEM: "ChargePointService"}

_INTEGERS = st.integers(0, 100) | st.integers(-(2**31), 2**31 - 1)


@cache
def service(version: str, caller: Party, *, official: bool = False) -> Service:
    """Ours, or with `official` that of the reference folder, as far as it is there."""
    folder = OFFICIAL_WSDL if official and OFFICIAL_WSDL.is_dir() else wsdl.default_folder()
    return wsdl.load(folder / FOLDERS[version] / f"{SERVICES[caller]}.wsdl")


@cache
def official_schema(version: str, caller: Party) -> etree.XMLSchema:
    """What judges the Bodies that go to the service which `caller` calls."""
    return service(version, caller, official=True).schema()


@cache
def codec(version: str, caller: Party) -> Codec:
    """The codec under test."""
    return Codec(service(version, caller), DIALECTS[version])


def pdus(version: str) -> list[tuple[Party, str, bool]]:
    """Who calls, the action, and whether it is its request: every PDU of a version."""
    return [
        (caller, action, is_request)
        for caller in SERVICES
        for action in service(version, caller).operations
        for is_request in (True, False)
    ]


def element_of(version: str, pdu: tuple[Party, str, bool]) -> Element:
    """The element of a PDU."""
    caller, action, is_request = pdu
    operation = service(version, caller).operations[action]
    return operation.request if is_request else operation.response


def data(version: str, pdu: tuple[Party, str, bool], *, longest: int = SHORTEST_LIMIT) -> SearchStrategy[Plain]:
    """Plain data of a PDU. Texts without a limit of their own get `longest`."""
    kind = element_of(version, pdu).type
    assert isinstance(kind, ComplexType)
    return _complex(kind, longest)


def body(version: str, pdu: tuple[Party, str, bool], plain: Mapping[str, Any]) -> etree._Element:
    """The element for a Body, in the WSDL's order. Written without the codec, which it is there to test."""
    namespace = service(version, pdu[0]).namespace
    element = element_of(version, pdu)
    root = etree.Element(f"{{{namespace}}}{element.name}")
    _fill(root, element.type, plain, namespace)
    return root


def _complex(kind: ComplexType, longest: int) -> SearchStrategy[Plain]:
    required = {item.name: _element(item, longest) for item in kind.elements if item.min_occurs}
    optional = {item.name: _element(item, longest) for item in kind.elements if not item.min_occurs}
    if kind.text is not None:
        required[TEXT] = _simple(kind.text, TEXT, longest)
        optional = {item.name: _simple(item.type, item.name, longest) for item in kind.attributes}
    return st.fixed_dictionaries(required, optional=optional)


def _element(element: Element, longest: int) -> SearchStrategy[Any]:
    item: SearchStrategy[Any]
    if isinstance(element.type, ComplexType):
        item = _complex(element.type, longest)
    else:
        item = _simple(element.type, element.name, longest, optional=element.min_occurs == 0)
    # A list without an item is one that is not there.
    return st.lists(item, min_size=1, max_size=MOST_ITEMS) if element.is_list else item


def _simple(kind: SimpleType, name: str, longest: int, *, optional: bool = False) -> SearchStrategy[str]:
    if kind.enumeration:
        return st.sampled_from(kind.enumeration)
    match kind.base:
        case "int":
            # A Charge Point has few connectors, and number 0 is special.
            return (st.integers(0, 2) | _INTEGERS if name == "connectorId" else _INTEGERS).map(str)
        case "boolean":
            return st.sampled_from(["true", "false"])
        case "dateTime":
            return timestamps()
        case "anyURI":
            return addresses()
        case "string":
            return texts(kind.max_length or longest, min_length=1 if optional else 0)
    raise TypeError(f"{name}: no strategy for {kind}")


def _fill(node: etree._Element, kind: SimpleType | ComplexType, value: Any, namespace: str) -> None:
    if isinstance(kind, SimpleType):
        node.text = value
    elif kind.text is not None:
        node.text = value[TEXT]
        node.attrib.update({name: text for name, text in value.items() if name != TEXT})
    else:
        for element in kind.elements:
            found = value.get(element.name, [])
            for item in found if element.is_list else [value[element.name]] if element.name in value else []:
                _fill(etree.SubElement(node, f"{{{namespace}}}{element.name}"), element.type, item, namespace)
