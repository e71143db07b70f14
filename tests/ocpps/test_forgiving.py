"""What stands in an element, whoever wrote it: plain data, and a Loss with its place for all that is not the WSDL's."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from bridge.ocpp.losses import FieldsLost, LossReason
from bridge.ocpps.forgiving import ForgivingPlan, collapsed, read
from bridge.ocpps.wsdl import Attribute, ComplexType, Element, SimpleType

TEXT = SimpleType(name="string", base="string")
INT = SimpleType(name="int", base="int")


def element(name: str, kind: SimpleType | ComplexType, *, many: bool = False) -> Element:
    return Element(name=name, type=kind, min_occurs=0, max_occurs=None if many else 1)


UNIT = Attribute(name="unit", type=TEXT, required=False, default="Wh")
VALUE = element("value", ComplexType(name="Value", attributes=(UNIT,), text=TEXT))
READING = element("reading", ComplexType(name="Reading", elements=(VALUE, element("at", INT))), many=True)
PLAN = ForgivingPlan(element("message", ComplexType(name="Message", elements=(element("id", TEXT), READING))))


def found(source: str) -> tuple[dict[str, Any], list[tuple[str, LossReason]]]:
    lost = FieldsLost("Message")
    root = etree.fromstring(f'<m xmlns:i="http://www.w3.org/2001/XMLSchema-instance">{source}</m>')
    return read(root, PLAN, lost), [(loss.path, loss.reason) for loss in lost.losses.all() for _ in range(loss.count)]


@pytest.mark.parametrize("source", ["<id>1</id>", '<x:id xmlns:x="urn:x">1</x:id>', "<!-- id --><id>1<!-- --></id> ?"])
def test_names_count_and_nothing_else_does(source: str) -> None:
    assert found(source) == ({"id": "1"}, [])


@pytest.mark.parametrize(("source", "text"), [("<id/>", ""), ("<id> 1\n</id>", " 1\n"), ("<id>1<?x y?>2</id>", "12")])
def test_a_text_is_as_it_was_written(source: str, text: str) -> None:
    assert found(source) == ({"id": text}, [])


def test_in_any_order_and_lists_in_theirs() -> None:
    data, lost = found("<reading><at>1</at></reading><id>7</id><reading/><reading><at>2</at></reading>")
    assert (data, lost) == ({"id": "7", "reading": [{"at": "1"}, {}, {"at": "2"}]}, [])


@pytest.mark.parametrize(
    ("attributes", "losses"),
    [
        ('unit="kWh"', []),
        ('x:unit="kWh"', [("unit", LossReason.MISNAMED)]),
        ('Unit="kWh"', [("Unit", LossReason.MISNAMED)]),
        ('x:UNIT="kWh"', [("UNIT", LossReason.MISNAMED)]),
        ('unit="kWh" color="red"', [("color", LossReason.UNKNOWN_FIELD)]),
        ('unit="kWh" x:unit="W"', [("unit", LossReason.UNKNOWN_FIELD)]),
        ('unit="kWh" i:type="x" xml:lang="en"', []),
    ],
)
def test_a_text_with_attributes(attributes: str, losses: list[tuple[str, LossReason]]) -> None:
    data, lost = found(f'<reading><value {attributes} xmlns:x="urn:x">1</value></reading>')
    assert data == {"reading": [{"value": {"#text": "1", "unit": "kWh"}}]}
    assert lost == [(f"reading[0].value.{name}", reason) for name, reason in losses]


def test_an_attribute_where_none_belongs_is_told() -> None:
    assert found('<id x="1">7</id><reading y="2"/>') == (
        {"id": "7", "reading": [{}]},
        [("id.x", LossReason.UNKNOWN_FIELD), ("reading[0].y", LossReason.UNKNOWN_FIELD)],
    )


@pytest.mark.parametrize("nil", ["true", "1"])
def test_what_is_nil_is_absent(nil: str) -> None:
    assert found(f'<id i:nil="{nil}"/><reading i:nil="{nil}"/>') == ({}, [])
    assert found('<id i:nil="false"/>') == ({"id": ""}, [])


@pytest.mark.parametrize(
    ("source", "data", "loss"),
    [
        ("<color>red</color>", {}, ("color", LossReason.UNKNOWN_FIELD)),
        ("<ID>1</ID>", {"id": "1"}, ("ID", LossReason.MISNAMED)),
        ("<id>1</id><id>2</id>", {"id": "2"}, ("id", LossReason.REPEATED)),
        ("<id>a<b>c</b></id>", {"id": "a<b>c</b>"}, ("id", LossReason.MARKUP_AS_TEXT)),
        (
            "<reading/><reading><at>1</at><at>2</at></reading>",
            {"reading": [{}, {"at": "2"}]},
            ("reading[1].at", LossReason.REPEATED),
        ),
    ],
)
def test_what_is_lost_is_told_with_its_place(source: str, data: dict[str, Any], loss: tuple[str, LossReason]) -> None:
    assert found(source) == (data, [loss])


def test_blanks_collapse_around_what_is_no_text() -> None:
    body = etree.fromstring("<m><id> 1 </id><reading><value> 2 </value><at> 3 </at></reading><other> 4 </other></m>")
    copy = etree.tostring(collapsed(body, PLAN)).decode()
    assert copy == "<m><id> 1 </id><reading><value> 2 </value><at>3</at></reading><other> 4 </other></m>"
    assert "> 3 <" in etree.tostring(body).decode()
