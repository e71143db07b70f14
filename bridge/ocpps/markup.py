"""The writer of Bodies: plain data of records to XML, strictly in the WSDL's order.

It writes text directly. A tree of elements has no use here, and would be most of the cost of writing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape

from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.enums import JSON_ONLY_UNITS
from bridge.ocpp.losses import LossReason
from bridge.ocpp.shapes import TEXT
from bridge.ocpps.wsdl import ComplexType, Element, SimpleType

Lose = Callable[[str, LossReason], None]

_RESPELLED = {json_only.value: wsdl.value for json_only, wsdl in JSON_ONLY_UNITS.items()}
# The characters outside production 2 of XML 1.0, section 2.2.
_NOT_ALLOWED = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# The most characters that one call handles: other threads run only between two calls.
_SLICE = 65_536
# An XML parser normalises the white space of an attribute's value, and '"' ends the value.
_ENTITIES = {"\r": "&#13;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;"}


def escaped(text: str) -> str:
    """Return `text` as the content of an element.

    Raises ValueError for a character that XML 1.0 section 2.2 does not allow: a control character, or half of a
    surrogate pair (rule 63).
    """
    if is_plain(text):
        return text
    if len(text) > _SLICE:
        return "".join([escaped(text[start : start + _SLICE]) for start in range(0, len(text), _SLICE)])
    if _NOT_ALLOWED.search(text):
        raise ValueError("a character that XML cannot carry")
    return escape(text, {"\r": "&#13;"})


def is_plain(text: str) -> bool:
    """Return whether `text` certainly needs no escape in XML. Some texts that need none are not recognised."""
    return text.isprintable() and "&" not in text and "<" not in text and ">" not in text


def allowed(char: str) -> bool:
    """Return whether XML allows a character (XML 1.0 section 2.2, production 2)."""
    return not _NOT_ALLOWED.match(char)


class MarkupForm:
    """A plan for writing one element, whose namespace has the prefix `c`."""

    __slots__ = ("attributes", "begin", "end", "fields", "is_list", "is_text", "kind", "name", "start", "words")

    def __init__(self, element: Element) -> None:
        self.name = element.name
        self.is_list = element.is_list
        self.begin, self.end = f"<c:{element.name}", f"</c:{element.name}>"
        self.start = f"{self.begin}>"
        kind = element.type
        self.kind = kind if isinstance(kind, SimpleType) else None
        # Two kinds of values are written unchanged: words of an enumeration, and texts of a type that has no
        # enumeration and is not dateTime.
        self.words = frozenset() if self.kind is None else frozenset(self.kind.enumeration)
        self.is_text = self.kind is not None and not self.words and self.kind.base in ("string", "anyURI")
        self.fields = tuple(map(MarkupForm, kind.elements)) if isinstance(kind, ComplexType) else ()
        self.attributes: tuple[str, ...] | None = None
        if isinstance(kind, ComplexType) and kind.text is not None:
            self.attributes = tuple(item.name for item in kind.attributes)


class Writing:
    """The state while one Body is written.

    Args:
        lose: Called with the path and the reason of each Loss.
        fractions: Whether to write fractions of seconds; otherwise times are cut to seconds (quirk 36).
    """

    def __init__(self, lose: Lose, *, fractions: bool) -> None:
        self._lose = lose
        self._fractions = fractions
        self._out: list[str] = []

    def body(self, form: MarkupForm, data: Mapping[str, Any], namespace: str, more: str = "") -> bytes:
        """Return the octets of the element, which declares its namespace.

        Args:
            form: The plan for writing the element.
            data: Its content.
            namespace: Its namespace.
            more: XML source to add as the last child, "" for none.

        Raises:
            MessageError: XML cannot carry a value.
        """
        self._out.append(f'{form.begin} xmlns:c="{namespace}">')
        self._fields(form, data, "")
        self._out.append(more + form.end)
        return "".join(self._out).encode()

    def _fields(self, form: MarkupForm, data: Mapping[str, Any], path: str) -> None:
        """Write the child elements in the order of the WSDL, whatever the order of the data (rule 58)."""
        for field in form.fields:
            value = data.get(field.name)
            if value is None:
                continue
            if not field.is_list:
                if type(value) is str and (value in field.words or (field.is_text and is_plain(value))):
                    self._out.append(field.start + value + field.end)
                else:
                    self._field(field, value, path, None)
                continue
            if not value:
                self._lose(_at(path, field, None), LossReason.EMPTY_LIST)
            for index, item in enumerate(value):
                self._field(field, item, path, index)

    def _field(self, field: MarkupForm, value: Any, path: str, index: int | None) -> None:
        if field.kind is not None:
            text = self._text(value, field.kind, path, field, index)
            self._out.append(field.start + self._escaped(text, path, field, index) + field.end)
        elif field.attributes is not None:
            named = "".join(f' {name}="{_quoted(value[name])}"' for name in field.attributes if name in value)
            self._out.append(f"{field.begin}{named}>{self._escaped(value[TEXT], path, field, index)}{field.end}")
        else:
            self._out.append(field.start)
            self._fields(field, value, _at(path, field, index))
            self._out.append(field.end)

    def _escaped(self, text: str, path: str, field: MarkupForm, index: int | None) -> str:
        try:
            return escaped(text)
        except ValueError:
            said = "holds a character that XML cannot carry"
            raise MessageError(ErrorCode.PropertyConstraintViolation, said, _at(path, field, index)) from None

    def _text(self, value: Any, kind: SimpleType, path: str, field: MarkupForm, index: int | None) -> str:
        """Return a value in the lexical form of XML Schema."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, Decimal):
            return f"{value:.1f}"
        if isinstance(value, int):
            return _int(value, _at(path, field, index))
        assert isinstance(value, str)
        if kind.base == "dateTime" and not self._fractions and "." in value:
            self._lose(_at(path, field, index), LossReason.FRACTION)
            return f"{value.partition('.')[0]}Z"
        if kind.enumeration and value not in kind.enumeration and value in _RESPELLED:
            self._lose(_at(path, field, index), LossReason.RESPELLED_UNIT)
            return _RESPELLED[value]
        return value


def _at(path: str, field: MarkupForm, index: int | None) -> str:
    here = f"{path}.{field.name}" if path else field.name
    return here if index is None else f"{here}[{index}]"


def _quoted(text: str) -> str:
    return escape(text, _ENTITIES)


def _int(value: int, path: str) -> str:
    # xs:int is 32 bits and signed; JSON's integer is not (rule 61).
    if not -(2**31) <= value < 2**31:
        raise MessageError(ErrorCode.PropertyConstraintViolation, f"{value} does not fit into 32 bits", path)
    return str(value)
