"""The quick way in, for a body that is exactly as the WSDL says: one walk over the elements, nothing looked at twice.

What is odd in any way (an unknown name, another namespace, a comment, blanks where a number belongs, an empty element,
xsi:nil) is left to the way that forgives (`forgiving`), which gives the same for what is exact: a property test holds
the two together. Most messages of a fleet are exact, and reading is most of what a message costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from lxml import etree
from msgspec import Struct

from bridge.ocpps.wsdl import ComplexType, Element

R = TypeVar("R", bound=Struct)

# More digits than that fit no xs:int.
_MOST_DIGITS = 9


Convert = Callable[[str], Any]
Converted = Sequence[tuple[str, Convert]]
Child = tuple[str, "Plan | None", Convert | None, bool]


class Odd(Exception):
    """Not exactly what the WSDL says."""


class Plan:
    """How to read one element, by the qualified name of each child: its name, the Plan of what is in it or else how
    its text is read (None: as it is), and whether it is a list. `names` are those of the children of an element that
    holds only texts, each once; None for any other. `converted` are the children whose text is not read as it is."""

    __slots__ = ("converted", "names", "of_child")

    def __init__(self, kind: ComplexType, namespace: str) -> None:
        self.of_child: Mapping[Any, Child] = {
            f"{{{namespace}}}{element.name}": (
                element.name,
                _plan(element, namespace),
                None if isinstance(element.type, ComplexType) else _READ[element.type.base],
                element.is_list,
            )
            for element in kind.elements
            if not _has_attributes(element)
        }
        children = self.of_child.items()
        flat = not any(inner is not None or many for _, (_, inner, _, many) in children)
        self.names: Mapping[Any, str] | None = {tag: child[0] for tag, child in children} if flat else None
        self.converted: Converted = tuple(
            (name, convert) for _, (name, _, convert, _) in children if convert is not None
        )


def _plan(element: Element, namespace: str) -> Plan | None:
    return Plan(element.type, namespace) if isinstance(element.type, ComplexType) else None


def _has_attributes(element: Element) -> bool:
    """As the meter values of OCPP 1.5: to be read the other way."""
    return isinstance(element.type, ComplexType) and element.type.text is not None


def read(node: etree._Element, plan: Plan) -> dict[str, Any]:
    """What stands in `node`, leaves as text but for numbers and truth values. Raises Odd."""
    data = _parts(node, plan.of_child) if plan.names is None else _texts(node, plan.names, plan.converted)
    if not data and plan.of_child:
        raise Odd  # empty, or nil
    return data


def _texts(node: etree._Element, names: Mapping[Any, str], converted: Converted) -> dict[str, Any]:
    """Of an element that holds only texts."""
    data: dict[str, Any] = {}
    children = node[:]
    try:
        for child in children:
            text = child.text
            if not text or len(child):
                raise Odd
            data[names[child.tag]] = text
    except KeyError:
        raise Odd from None
    if len(data) < len(children):
        raise Odd  # one of them twice
    for name, convert in converted:
        if name in data:
            data[name] = convert(data[name])
    return data


def _parts(node: etree._Element, known: Mapping[Any, Child]) -> dict[str, Any]:
    """Of any other."""
    data: dict[str, Any] = {}
    for child in node[:]:
        found = known.get(child.tag)
        if found is None:
            raise Odd
        name, inner, convert, many = found
        value: Any
        if inner is not None:
            value = read(child, inner)
        else:
            value = child.text
            if not value or len(child):
                raise Odd
            if convert is not None:
                value = convert(value)
        if many:
            if name in data:
                data[name].append(value)
            else:
                data[name] = [value]
        elif name in data:
            raise Odd
        else:
            data[name] = value
    return data


def record_of(data: Mapping[str, Any], record: type[R]) -> R:
    """The record that `data` describes. Raises Odd."""
    try:
        return msgspec.convert(data, record)
    except msgspec.ValidationError:
        raise Odd from None


def _integer(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS:
        raise Odd
    return int(text)


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise Odd
    return text == "true"


def _decimal(text: str) -> Any:
    raise Odd  # may have to be rounded


_READ: Mapping[str, Convert | None] = {
    "string": None,
    "anyURI": None,
    "dateTime": None,
    "int": _integer,
    "boolean": _boolean,
    "decimal": _decimal,
}
