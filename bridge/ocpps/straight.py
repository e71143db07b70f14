"""The quick way out, for a record that says nothing out of the ordinary: one walk over its values, no dict between.

What the WSDL has no word for, what has to be escaped, an empty list, a number that is too large: all that is left to
the way that knows what to do about it (`markup`), which gives the same for the rest: a property test holds the two
together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import astuple

from bridge.ocpp.shapes import Shape, shape_of
from bridge.ocpps.exact import Odd
from bridge.ocpps.markup import is_plain
from bridge.ocpps.wsdl import ComplexType, Element, SimpleType

_TEXTS = frozenset({"string", "anyURI", "dateTime"})


class Other(Protocol):
    """Writes a value that is neither a word nor a text. What has to be looked at goes to `texts`, too. Raises Odd."""

    def __call__(self, value: Any, out: list[str], texts: list[str]) -> None: ...


# The markup of each word of an enumeration; else the tags around a text; else what writes it.
Field = tuple[Mapping[Any, str] | None, str, str, Other | None]


class Plan:
    """How the records of one type are written as `element`, in a namespace that has the prefix `c`."""

    __slots__ = ("begin", "end", "fields", "record")

    def __init__(self, element: Element, record: type[Struct], namespace: str) -> None:
        """Raises Odd for a record whose fields are not those of the element."""
        self.record = record
        self.begin, self.end = f'<c:{element.name} xmlns:c="{namespace}">', f"</c:{element.name}>"
        self.fields = _fields(element, shape_of(record))


def write(record: Struct, plan: Plan) -> bytes:
    """The element of `record`, its namespace declared, in UTF-8. Raises Odd."""
    if type(record) is not plan.record:
        raise Odd
    out, texts = [plan.begin], list[str]()
    try:
        _write(record, plan.fields, out, texts)
    except KeyError:
        raise Odd from None  # no word of the WSDL's
    if not is_plain("".join(texts)):
        raise Odd
    out.append(plan.end)
    return "".join(out).encode()


def _write(record: Struct, fields: Sequence[Field], out: list[str], texts: list[str]) -> None:
    for value, (words, start, end, other) in zip(astuple(record), fields, strict=True):
        if value is None:
            continue
        if words is not None:
            out.append(words[value])
        elif other is not None:
            other(value, out, texts)
        else:
            texts.append(value)
            out += (start, value, end)


def _fields(element: Element, shape: Shape) -> tuple[Field, ...]:
    kind = element.type
    if not isinstance(kind, ComplexType) or [item.name for item in kind.elements] != [*shape.fields]:
        raise Odd
    return tuple(_field(item, shape.fields[item.name].shape) for item in kind.elements)


def _field(element: Element, shape: Shape | None) -> Field:
    start, end = f"<c:{element.name}>", f"</c:{element.name}>"
    if shape is not None:
        record = (_Records if element.is_list else _Record)(start, end, _fields(element, shape))
        return None, start, end, record.write
    assert isinstance(element.type, SimpleType)
    if element.is_list:
        return None, start, end, _Texts(start, end, element.type).write
    if element.type.enumeration:
        return {word: f"{start}{word}{end}" for word in element.type.enumeration}, start, end, None
    return None, start, end, None if element.type.base in _TEXTS else _Number(start, end).write


class _Element:
    """Its tags."""

    __slots__ = ("_end", "_start")

    def __init__(self, start: str, end: str) -> None:
        self._start, self._end = start, end


class _Number(_Element):
    """A number or a truth value."""

    __slots__ = ()

    def write(self, value: Any, out: list[str], texts: list[str]) -> None:
        if value is True or value is False:
            text = "true" if value else "false"
        elif type(value) is not int:
            text = f"{value:.1f}"
        elif -(2**31) <= value < 2**31:
            text = str(value)
        else:
            raise Odd
        out += (self._start, text, self._end)


class _Texts(_Element):
    """A list of texts without an enumeration."""

    __slots__ = ()

    def __init__(self, start: str, end: str, kind: SimpleType) -> None:
        super().__init__(start, end)
        if kind.enumeration or kind.base not in _TEXTS:
            raise Odd

    def write(self, value: Any, out: list[str], texts: list[str]) -> None:
        if not value:
            raise Odd
        for item in value:
            texts.append(item)
            out += (self._start, item, self._end)


class _Record(_Element):
    """A record inside."""

    __slots__ = ("_fields",)

    def __init__(self, start: str, end: str, fields: tuple[Field, ...]) -> None:
        super().__init__(start, end)
        self._fields = fields

    def write(self, value: Any, out: list[str], texts: list[str]) -> None:
        out.append(self._start)
        _write(value, self._fields, out, texts)
        out.append(self._end)


class _Records(_Record):
    """A list of them."""

    __slots__ = ()

    def write(self, value: Any, out: list[str], texts: list[str]) -> None:
        if not value:
            raise Odd
        for item in value:
            out.append(self._start)
            _write(item, self._fields, out, texts)
            out.append(self._end)
