"""The way in that forgives: by local names, in any order and namespace, with whatever else stands there as a Loss.

Gives plain data, leaves as text. What the quick way (`exact`) has no place for comes here; for what is exact, both give
the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from lxml import etree

from bridge.ocpp.losses import Reason
from bridge.ocpp.shapes import TEXT
from bridge.ocpps.markup import Lose
from bridge.ocpps.wsdl import Element, SimpleType
from bridge.ocpps.xml import children, local_name, markup_of, text_of

_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"


class Plan:
    """What may stand in an element: `fields`, by their names; or a text of the type `kind`, with `attributes` beside it
    or None. `is_list`: it may stand more than once."""

    __slots__ = ("attributes", "fields", "is_list", "kind")

    def __init__(self, element: Element) -> None:
        kind = element.type
        self.is_list = element.is_list
        self.fields: dict[str, Plan] = {}
        self.kind: SimpleType | None = None
        self.attributes: frozenset[str] | None = None
        if isinstance(kind, SimpleType):
            self.kind = kind
        elif kind.text is not None:
            self.kind = kind.text
            self.attributes = frozenset(attribute.name for attribute in kind.attributes)
        else:
            self.fields = {inner.name: Plan(inner) for inner in kind.elements}


def read(node: etree._Element, plan: Plan, lose: Lose, path: str = "") -> dict[str, Any]:
    """By local names, in any order (rule 58, quirks 11 to 13). xsi:nil is absence (soap-wire section 6)."""
    data: dict[str, Any] = {}
    for child in node.iterchildren("*"):
        name = local_name(child)
        field = plan.fields.get(name)
        if field is None:
            lose(_at(path, name), Reason.UNKNOWN_FIELD)
        elif child.get(_NIL) in ("true", "1"):
            continue
        elif field.is_list:
            items = data.setdefault(name, [])
            items.append(_value(child, field, lose, path, f"{name}[{len(items)}]"))
        else:
            if name in data:
                lose(_at(path, name), Reason.REPEATED)
            data[name] = _value(child, field, lose, path, name)
    return data


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _value(node: etree._Element, plan: Plan, lose: Lose, path: str, name: str) -> Any:
    if plan.kind is None:
        return read(node, plan, lose, _at(path, name))
    text = _text(node, lose, path, name) if len(node) else node.text or ""
    if plan.attributes is None:
        return text
    return {TEXT: text, **_attributes(node, plan.attributes, _at(path, name), lose)}


def _text(node: etree._Element, lose: Lose, path: str, name: str) -> str:
    if not children(node):
        return text_of(node)
    # Rule 92: some devices put XML elements where a text belongs. It is theirs; it is passed on as they wrote it.
    lose(_at(path, name), Reason.MARKUP_AS_TEXT)
    return markup_of(node)


def _attributes(node: etree._Element, known: frozenset[str], path: str, lose: Lose) -> dict[str, Any]:
    """Those that the WSDL knows. Attributes with a namespace are not OCPP's."""
    written = {str(name): str(value) for name, value in node.attrib.items() if not str(name).startswith("{")}
    for name in sorted(written.keys() - known):
        lose(f"{path}.{name}", Reason.UNKNOWN_FIELD)
    return {name: value for name, value in written.items() if name in known}


def collapsed(body: etree._Element, plan: Plan) -> etree._Element:
    """A copy without the blanks around numbers and times: XML Schema ignores them, libxml2 does not (quirk 37)."""
    copy = deepcopy(body)
    for node, kind in _simple(copy, plan):
        if kind.base != "string":
            node.text = (node.text or "").strip()
    return copy


def _simple(node: etree._Element, plan: Plan) -> Iterator[tuple[etree._Element, SimpleType]]:
    """The elements inside that hold one value of the WSDL and no attributes, with their types."""
    for child in children(node):
        field = plan.fields.get(local_name(child))
        if field is None or field.attributes is not None:
            continue
        if field.kind is None:
            yield from _simple(child, field)
        else:
            yield child, field.kind
