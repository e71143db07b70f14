"""The tolerant reader: it reads a body by local names, in any order and namespace. Each unknown element is a Loss.

The result is plain data, with all leaves as text. This module reads the bodies that `exact` does not. It reads an exact
body to the same data as `exact`. In each version, meter values may have the form of any version
(`bridge.ocpp.readings`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from lxml import etree

from bridge.ocpp.losses import FieldsLost, LossReason
from bridge.ocpp.readings import QUALIFIERS, Repeated
from bridge.ocpp.shapes import TEXT, other_names
from bridge.ocpps.wsdl import ComplexType, Element, SimpleType
from bridge.ocpps.xml import children, local_name, markup_of, text_of

_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
# Namespaces of attributes that belong to XML, not to OCPP: xsi:type, xml:space, soap:encodingStyle.
_OF_XML = (
    "{http://www.w3.org/2001/XMLSchema-instance}",
    "{http://www.w3.org/XML/1998/namespace}",
    "{http://www.w3.org/2003/05/soap-envelope}",
    "{http://schemas.xmlsoap.org/soap/envelope/}",
)
_METER_VALUES = ("meterValue", "values", "transactionData")


class ForgivingPlan:
    """A plan for reading one element.

    Attributes:
        fields: The plan of each child element, by name.
        kind: The type of the text in an element without children; None for an element with children.
        attributes: The names of the attributes beside the text; None if there are none.
        is_list: Whether the element may be repeated.
        is_text: Whether the element is a text if it holds nothing else.
        nil_is_none: Whether an element with xsi:nil is kept as None.
        keeps: Whether unknown elements are kept in the data.
        folded: The names of `fields`, by their lower case.
        others: The names of `fields`, by the name in lower case that another version of OCPP has for the field.
        known: The names of `attributes`, by their lower case.
        is_reading: Whether the element is a part of meter values, which may have the form of any version: `fields` may
            be attributes as well.
    """

    __slots__ = (
        *("fields", "folded", "is_list", "is_reading", "is_text", "others"),
        *("attributes", "keeps", "kind", "known", "nil_is_none"),
    )

    def __init__(self, element: Element, *, nil_is_none: bool = False) -> None:
        kind = element.type
        self.is_list = element.is_list
        self.nil_is_none = nil_is_none
        self.is_reading = self.keeps = False
        self.fields: dict[str, ForgivingPlan] = {}
        self.folded: dict[str, str] = {}
        self.others: Mapping[str, str] = {}
        self.known: dict[str, str] = {}
        self.kind: SimpleType | None = None
        self.attributes: frozenset[str] | None = None
        if isinstance(kind, SimpleType):
            self.kind = kind
        elif kind.text is not None:
            self.kind = kind.text
            self._have_attributes(kind)
        else:
            self.have({inner.name: ForgivingPlan(inner, nil_is_none=nil_is_none) for inner in kind.elements})
        self.is_text = isinstance(kind, SimpleType) and not self.is_list

    def _have_attributes(self, kind: ComplexType) -> None:
        self.attributes = frozenset(attribute.name for attribute in kind.attributes)
        self.known = {name.lower(): name for name in self.attributes}

    def have(self, fields: dict[str, ForgivingPlan]) -> None:
        """Add child elements to the plan."""
        self.fields |= fields
        self.folded |= {name.lower(): name for name in fields}
        self.others = other_names(self.fields)


def with_meter_values(element: Element) -> ForgivingPlan:
    """Return the plan of a message with meter values, in the form of any version."""
    plan = ForgivingPlan(element)
    own = next((inner for inner in _elements(element) if inner.name in ("value", "sampledValue")), None)
    group = _Group(None if own is None else own.type)
    plan.have(dict.fromkeys(_METER_VALUES, group))
    plan.keeps = True
    return plan


def _elements(element: Element) -> Iterator[Element]:
    """Yield all elements inside an element, the outer before the inner."""
    if isinstance(element.type, ComplexType):
        yield from element.type.elements
        for inner in element.type.elements:
            yield from _elements(inner)


_STRING = SimpleType(name="string", base="string")


class _Reading(ForgivingPlan):
    """The plan of a part of meter values."""

    __slots__ = ()

    def __init__(self, *, is_list: bool) -> None:
        self.is_list, self.is_text, self.nil_is_none = is_list, False, False
        self.is_reading = self.keeps = True
        self.kind, self.attributes, self.fields, self.folded, self.others = None, None, {}, {}, {}
        self.known = self.folded


class _Group(_Reading):
    """The plan of the values of one point in time, or of an element that holds several such groups.

    Args:
        own: The type of a value in the WSDL.
    """

    __slots__ = ()

    def __init__(self, own: SimpleType | ComplexType | None) -> None:
        super().__init__(is_list=True)
        sample = _Sample(own, is_list=True)
        self.have({"timestamp": _leaf(), "sampledValue": sample, "value": sample})
        self.have(dict.fromkeys(_METER_VALUES, self))


class _Sample(_Reading):
    """The plan of one value: a text, with its unit, context and so on in attributes or in children."""

    __slots__ = ("has_children",)

    def __init__(self, own: SimpleType | ComplexType | None, *, is_list: bool) -> None:
        super().__init__(is_list=is_list)
        self.is_text = not is_list
        if isinstance(own, ComplexType) and own.text is not None:
            self._have_attributes(own)
        self.has_children = isinstance(own, ComplexType) and own.text is None
        inner = self if not is_list else _Sample(own, is_list=False)
        self.have({"value": inner, **{name: _leaf() for name in QUALIFIERS}})


def _leaf() -> ForgivingPlan:
    return ForgivingPlan(Element(name="", type=_STRING, min_occurs=0, max_occurs=1))


def read(node: etree._Element, plan: ForgivingPlan, lose: FieldsLost, path: str = "") -> dict[str, Any]:
    """Return the data in an element, read by local names, in any order (rule 58, quirks 11 to 13).

    An element with xsi:nil is absent (soap-wire section 6).

    Args:
        node: The element.
        plan: The plan for reading it.
        lose: Called with the path and the reason of each Loss.
        path: The path of the element in the message, "" for the message itself.
    """
    data: dict[str, Any] = {}
    fields, prefix = plan.fields, f"{path}." if path else ""
    again: dict[Any, int] = {}  # for the tag of each unknown element: the number of its repetitions
    for child in node.iterchildren("*"):
        tag: Any = child.tag
        if tag in again:
            again[tag] += 1
            continue
        name = tag.rpartition("}")[2]
        field = fields.get(name)
        if field is None:
            name, field = _named(name, plan, data, lose, prefix)
        if field is None:
            if plan.keeps:
                _keep(data, name, _anything(child))
            else:
                again[tag] = 0
                lose(prefix + name, LossReason.UNKNOWN_FIELD)
        elif child.attrib and child.get(_NIL) in ("true", "1"):
            if plan.nil_is_none:
                data[name] = None
        elif field.is_list:
            items = data.setdefault(name, [])
            lose.indexes.append(len(items))
            items.append(_value(child, field, lose, f"{prefix}{name}[]"))
            lose.indexes.pop()
        elif field.is_text and not (len(child) or child.attrib or name in data):
            data[name] = child.text or ""
        else:
            if name in data:
                lose(prefix + name, LossReason.REPEATED)
            data[name] = _value(child, field, lose, prefix + name)
    for tag, count in again.items():
        if count:
            lose(prefix + tag.rpartition("}")[2], LossReason.UNKNOWN_FIELD, count)
    return data


def _named(
    name: str, plan: ForgivingPlan, data: Mapping[str, Any], lose: FieldsLost, prefix: str
) -> tuple[str, ForgivingPlan | None]:
    """Return the name and the plan of a field that is written in other letter case, or as in another version of OCPP.

    The plan is None for an unknown name, and for one that means a field which is in `data` already.
    """
    folded = name.lower()
    meant = plan.folded.get(folded)
    reason = LossReason.OLDER_NAME if meant is None else LossReason.MISNAMED
    meant = meant or plan.others.get(folded)
    if meant is None or (meant in data and not plan.fields[meant].is_list):
        return name, None
    lose(prefix + name, reason)
    return meant, plan.fields[meant]


def _anything(node: etree._Element) -> Any:
    """Return the data in an unknown element, so that the tolerance can find out its meaning."""
    data = {local_name(child): _anything(child) for child in children(node)}
    has_children = bool(data)
    data |= {_local(str(name)): str(value) for name, value in node.attrib.items()}
    text = "".join([node.text or "", *(child.tail or "" for child in node)])
    return text if not data else data if has_children and not text.strip() else {**data, TEXT: text}


def _keep(data: dict[str, Any], name: str, unknown: Any) -> None:
    """Add an unknown element to `data`. Several of one name become one flat list, in which `mend` counts each."""
    if name not in data:
        data[name] = unknown
    elif isinstance(data[name], Repeated):
        data[name].append(unknown)
    else:
        data[name] = Repeated([data[name], unknown])


def _value(node: etree._Element, plan: ForgivingPlan, lose: FieldsLost, where: str) -> Any:
    if isinstance(plan, _Sample):
        return _sample(node, plan, lose, where)
    if plan.kind is None:
        attributes = _attributes(node, plan, where, lose)
        if plan.is_reading and attributes and attributes.keys() & plan.fields.keys():
            lose(where, LossReason.SIBLING_SHAPE)
        return {**read(node, plan, lose, where), **attributes}
    text = _text(node, lose, where) if len(node) else node.text or ""
    attributes = _attributes(node, plan, where, lose)
    return text if plan.attributes is None else {TEXT: text, **attributes}


def _sample(node: etree._Element, plan: _Sample, lose: FieldsLost, where: str) -> Any:
    """Return a sampled value, which is a text or has children."""
    attributes = _attributes(node, plan, where, lose)
    inside = children(node) if len(node) else []
    is_record = bool(inside) and any(local_name(child).lower() in plan.folded for child in inside)
    if is_record or (inside and not _is_signed(node, attributes)):
        inner = read(node, plan, lose, where)
        if not plan.has_children or not plan.is_list or attributes.keys() & plan.fields.keys():
            lose(where, LossReason.SIBLING_SHAPE)
        beside = "".join([node.text or "", *(child.tail or "" for child in node)]).strip()
        return {**attributes, **inner, **({TEXT: beside} if beside and "value" not in inner else {})}
    text = _text(node, lose, where) if inside else text_of(node)  # a signed value may be XML
    if attributes and attributes.keys() & plan.fields.keys() - (plan.attributes or frozenset()):
        lose(where, LossReason.SIBLING_SHAPE)
    if plan.is_list and plan.has_children and not text.strip():
        return attributes  # an empty sampledValue of 1.6
    return {TEXT: text, **attributes} if attributes else text


def _is_signed(node: etree._Element, attributes: Mapping[str, Any]) -> bool:
    """Return whether a value says that it is signed, in an attribute or in an element beside it."""
    beside = node.itersiblings("{*}format"), node.itersiblings("{*}format", preceding=True)
    said = [str(attributes.get("format", "")), *(text_of(element) for each in beside for element in each)]
    return any(word.strip().lower() == "signeddata" for word in said)


def _text(node: etree._Element, lose: FieldsLost, where: str) -> str:
    if not children(node):
        return text_of(node)
    # Rule 92: some devices write XML elements where a text belongs. The bridge passes them on as a text.
    lose(where, LossReason.MARKUP_AS_TEXT)
    return markup_of(node)


def _attributes(node: etree._Element, plan: ForgivingPlan, path: str, lose: FieldsLost) -> dict[str, Any]:
    """Return the attributes of OCPP, by their local names, letter case ignored.

    Of two that mean the same, the one with the exact name is read.
    """
    if not node.attrib:
        return {}
    known = plan.known
    found: dict[str, Any] = {}
    attributes: Any = node.items()
    for name, value in sorted(attributes):
        if name.startswith(_OF_XML):
            continue
        local = _local(name)
        folded = local.lower()
        meant = known.get(folded)
        if name == meant:
            found[name] = value
        elif meant is None and plan.is_reading:
            found.setdefault(local, value)
        elif meant is None or meant in found or node.get(meant) is not None:
            lose(f"{path}.{local}", LossReason.UNKNOWN_FIELD)
        else:
            found[meant] = value
            lose(f"{path}.{local}", LossReason.MISNAMED)
    return found


def lose_attributes(node: etree._Element, lose: FieldsLost) -> None:
    """Report the attributes of a message's own element, which has none in any version."""
    for name in map(str, node.attrib):
        if not name.startswith(_OF_XML):
            lose(_local(name), LossReason.UNKNOWN_FIELD)


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def collapsed(body: etree._Element, plan: ForgivingPlan) -> etree._Element:
    """Return a copy without blanks around numbers and times. XML Schema ignores them, libxml2 does not (quirk 37)."""
    copy = deepcopy(body)
    for node, kind in _simple(copy, plan):
        if kind.base != "string":
            node.text = (node.text or "").strip()
    return copy


def _simple(node: etree._Element, plan: ForgivingPlan) -> Iterator[tuple[etree._Element, SimpleType]]:
    """Yield the elements inside that hold one value of the WSDL and no attributes, each with its type."""
    for child in children(node):
        field = plan.fields.get(local_name(child))
        if field is None or field.attributes is not None:
            continue
        if field.kind is None:
            yield from _simple(child, field)
        else:
            yield child, field.kind
