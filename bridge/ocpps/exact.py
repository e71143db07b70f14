"""The fast reader, for a body that is exactly as the WSDL says. It reads each element once.

Any other body (with an unknown name, another namespace, a comment, blanks in a number, an empty element, xsi:nil)
raises NotExact, and `forgiving` reads it. A property test holds that `forgiving` reads an exact body to the same data.
Most messages of a fleet are exact, and reading is most of what a message costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from lxml import etree
from msgspec import Struct

from bridge.ocpps.wsdl import ComplexType, Element

R = TypeVar("R", bound=Struct)

# The most children of an element that are put into a list first, which is faster, but one long step for many.
_MANY = 200
# A number of more digits may not fit into an xs:int.
_MOST_DIGITS = 9


Convert = Callable[[str], Any]
Converted = Sequence[tuple[str, Convert]]
Child = tuple[str, "ExactPlan | None", Convert | None, bool]


class NotExact(Exception):
    """A body is not exactly as the WSDL says, or a record cannot be written as `straight` writes."""


class ExactPlan:
    """A plan for reading one element.

    Attributes:
        of_child: For the qualified name of each child: its name, the plan of an element with children, the function
            that converts its text (None for a text that is kept), and whether the child is a list.
        names: The names of the children, for an element that holds only texts, each once; None for any other element.
        converted: The children whose text is converted, each with its function.
    """

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


def _plan(element: Element, namespace: str) -> ExactPlan | None:
    return ExactPlan(element.type, namespace) if isinstance(element.type, ComplexType) else None


def _has_attributes(element: Element) -> bool:
    """Return whether an element has attributes, as a meter value of OCPP 1.5: `forgiving` reads it."""
    return isinstance(element.type, ComplexType) and element.type.text is not None


def read(node: etree._Element, plan: ExactPlan) -> dict[str, Any]:
    """Return the data in an element, with integers and booleans converted, other leaves as text. Raises NotExact."""
    data = _parts(node, plan.of_child) if plan.names is None else _texts(node, plan.names, plan.converted)
    if not data and plan.of_child:
        raise NotExact  # the element is empty, or nil
    return data


def _texts(node: etree._Element, names: Mapping[Any, str], converted: Converted) -> dict[str, Any]:
    """Return the data in an element that holds only texts."""
    data: dict[str, Any] = {}
    children = node[:]
    try:
        for child in children:
            text = child.text
            if not text or len(child):
                raise NotExact
            data[names[child.tag]] = text
    except KeyError:
        raise NotExact from None
    if len(data) < len(children):
        raise NotExact  # a child stands there twice
    for name, convert in converted:
        if name in data:
            data[name] = convert(data[name])
    return data


def _parts(node: etree._Element, known: Mapping[Any, Child]) -> dict[str, Any]:
    """Return the data in an element that holds other elements or lists."""
    data: dict[str, Any] = {}
    for child in node[:] if len(node) <= _MANY else node:
        found = known.get(child.tag)
        if found is None:
            raise NotExact
        name, inner, convert, many = found
        value: Any
        if inner is not None:
            value = read(child, inner)
        else:
            value = child.text
            if not value or len(child):
                raise NotExact
            if convert is not None:
                value = convert(value)
        if many:
            if name in data:
                data[name].append(value)
            else:
                data[name] = [value]
        elif name in data:
            raise NotExact
        else:
            data[name] = value
    return data


def record_of(data: Mapping[str, Any], record: type[R], convert: Callable[..., R] = msgspec.convert) -> R:
    """Return the record for `data`, as `convert` makes it. Raises NotExact."""
    try:
        return convert(data, record)
    except msgspec.ValidationError:
        raise NotExact from None


def _integer(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS:
        raise NotExact
    return int(text)


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise NotExact
    return text == "true"


def _decimal(text: str) -> Any:
    raise NotExact  # `forgiving` rounds it where necessary


_READ: Mapping[str, Convert | None] = {
    "string": None,
    "anyURI": None,
    "dateTime": None,
    "int": _integer,
    "boolean": _boolean,
    "decimal": _decimal,
}
