"""The fast writer, for a record that XML can carry unchanged. It writes the values directly, without a dict.

Any other record raises NotExact, and `markup` writes it: one with a value that the WSDL's enumeration lacks, a text
that needs an escape, an empty list, or a number that is too large. A property test holds that `markup` writes all other
records to the same octets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import astuple

from bridge.ocpp.shapes import Shape, shape_of
from bridge.ocpps.exact import NotExact
from bridge.ocpps.markup import is_plain
from bridge.ocpps.wsdl import ComplexType, Element, SimpleType

_TEXTS = frozenset({"string", "anyURI", "dateTime"})


class Other(Protocol):
    """A function that writes a value which is neither a word of an enumeration nor a single text.

    It adds each text to `texts` as well, where `write` looks for characters that need an escape. Raises NotExact.
    """

    def __call__(self, value: Any, out: list[str], texts: list[str]) -> None: ...


# A plan for writing a field: the markup of each word of an enumeration, the two tags around a text, or the function
# that writes any other value.
Field = tuple[Mapping[Any, str] | None, str, str, Other | None]


class StraightPlan:
    """A plan for writing the records of one type as `element`, whose namespace has the prefix `c`."""

    __slots__ = ("begin", "end", "fields", "record")

    def __init__(self, element: Element, record: type[Struct], namespace: str) -> None:
        """Make the plan for one type of record.

        Args:
            element: The element by the WSDL.
            record: The type of the records.
            namespace: The namespace of the element.

        Raises:
            NotExact: The fields of the record are not those of the element.
        """
        self.record = record
        self.begin, self.end = f'<c:{element.name} xmlns:c="{namespace}">', f"</c:{element.name}>"
        self.fields = _fields(element, shape_of(record))


def write(record: Struct, plan: StraightPlan) -> bytes:
    """Return the element of `record`, which declares its namespace, in UTF-8. Raises NotExact."""
    if type(record) is not plan.record:
        raise NotExact
    out, texts = [plan.begin], list[str]()
    try:
        _write(record, plan.fields, out, texts)
    except KeyError:
        raise NotExact from None  # the WSDL's enumeration lacks the word
    if not is_plain("".join(texts)):
        raise NotExact
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
            texts += (value,)
            out += (start, value, end)


def _fields(element: Element, shape: Shape) -> tuple[Field, ...]:
    kind = element.type
    if not isinstance(kind, ComplexType) or [item.name for item in kind.elements] != [*shape.fields]:
        raise NotExact
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
    """The two tags of an element."""

    __slots__ = ("_end", "_start")

    def __init__(self, start: str, end: str) -> None:
        self._start, self._end = start, end


class _Number(_Element):
    """Writes a number or a boolean."""

    __slots__ = ()

    def write(self, value: Any, out: list[str], texts: list[str]) -> None:
        if value is True or value is False:
            text = "true" if value else "false"
        elif type(value) is not int:
            text = f"{value:.1f}"
        elif -(2**31) <= value < 2**31:
            text = str(value)
        else:
            raise NotExact
        out += (self._start, text, self._end)


class _Texts(_Element):
    """A list of texts without an enumeration."""

    __slots__ = ()

    def __init__(self, start: str, end: str, kind: SimpleType) -> None:
        super().__init__(start, end)
        if kind.enumeration or kind.base not in _TEXTS:
            raise NotExact

    def write(self, value: Any, out: list[str], texts: list[str]) -> None:
        if not value:
            raise NotExact
        for item in value:
            texts.append(item)
            out += (self._start, item, self._end)


class _Record(_Element):
    """Writes a record inside another."""

    __slots__ = ("_fields",)

    def __init__(self, start: str, end: str, fields: tuple[Field, ...]) -> None:
        super().__init__(start, end)
        self._fields = fields

    def write(self, value: Any, out: list[str], texts: list[str]) -> None:
        out.append(self._start)
        _write(value, self._fields, out, texts)
        out.append(self._end)


class _Records(_Record):
    """Writes a list of records."""

    __slots__ = ()

    def write(self, value: Any, out: list[str], texts: list[str]) -> None:
        if not value:
            raise NotExact
        for item in value:
            out.append(self._start)
            _write(item, self._fields, out, texts)
            out.append(self._end)
