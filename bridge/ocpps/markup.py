"""Records' plain data to the XML of a Body: strictly in the WSDL's order, as text, in one walk.

Written without a tree of elements: there is nothing to look up in it, and making it is most of what writing costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape

from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.enums import JSON_ONLY_UNITS
from bridge.ocpp.losses import Reason
from bridge.ocpp.shapes import TEXT
from bridge.ocpps.wsdl import ComplexType, Element, SimpleType

Lose = Callable[[str, Reason], None]

_RESPELLED = {json_only.value: wsdl and wsdl.value for json_only, wsdl in JSON_ONLY_UNITS.items()}
# A reader would take the first for white space, and ends an attribute at the second.
_ENTITIES = {"\r": "&#13;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;"}


def escaped(text: str) -> str:
    """`text` as it stands in an element. Raises ValueError for what XML 1.0 section 2.2 has no place for: control
    characters, and halves of surrogate pairs (rule 63)."""
    if is_plain(text):
        return text
    if not all(map(allowed, text)):
        raise ValueError("a character that XML cannot carry")
    return escape(text, {"\r": "&#13;"})


def is_plain(text: str) -> bool:
    """Whether it stands in XML as it is, and no second look is needed."""
    return text.isprintable() and "&" not in text and "<" not in text and ">" not in text


def allowed(char: str) -> bool:
    """XML 1.0 section 2.2, production 2."""
    code = ord(char)
    return char in "\t\n\r" or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000


class Form:
    """How one element is written. Under its name in a namespace that has the prefix `c`."""

    __slots__ = ("attributes", "begin", "end", "fields", "is_list", "is_text", "kind", "name", "start", "words")

    def __init__(self, element: Element) -> None:
        self.name = element.name
        self.is_list = element.is_list
        self.begin, self.end = f"<c:{element.name}", f"</c:{element.name}>"
        self.start = f"{self.begin}>"
        kind = element.type
        self.kind = kind if isinstance(kind, SimpleType) else None
        # What is written as it is: the words of an enumeration, and any text that has none and is no time.
        self.words = frozenset() if self.kind is None else frozenset(self.kind.enumeration)
        self.is_text = self.kind is not None and not self.words and self.kind.base in ("string", "anyURI")
        self.fields = tuple(map(Form, kind.elements)) if isinstance(kind, ComplexType) else ()
        self.attributes: tuple[str, ...] | None = None
        if isinstance(kind, ComplexType) and kind.text is not None:
            self.attributes = tuple(item.name for item in kind.attributes)


class Writing:
    """One Body in the making. `lose` is told of each Loss; without `fractions`, times are cut to seconds (quirk 36)."""

    def __init__(self, lose: Lose, *, fractions: bool) -> None:
        self._lose = lose
        self._fractions = fractions
        self._out: list[str] = []

    def body(self, form: Form, data: Mapping[str, Any], namespace: str, more: str = "") -> bytes:
        """The element, its namespace declared, with `more` as its last child. Raises MessageError."""
        self._out.append(f'{form.begin} xmlns:c="{namespace}">')
        self._fields(form, data, "")
        self._out.append(more + form.end)
        return "".join(self._out).encode()

    def _fields(self, form: Form, data: Mapping[str, Any], path: str) -> None:
        """In the WSDL's order, whatever the record's (rule 58)."""
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
                self._lose(_at(path, field, None), Reason.EMPTY_LIST)
            for index, item in enumerate(value):
                self._field(field, item, path, index)

    def _field(self, field: Form, value: Any, path: str, index: int | None) -> None:
        if field.kind is not None:
            text = self._text(value, field.kind, path, field, index)
            if text is not None:
                self._out.append(field.start + self._escaped(text, path, field, index) + field.end)
        elif field.attributes is not None:
            named = "".join(f' {name}="{_quoted(value[name])}"' for name in field.attributes if name in value)
            self._out.append(f"{field.begin}{named}>{self._escaped(value[TEXT], path, field, index)}{field.end}")
        else:
            self._out.append(field.start)
            self._fields(field, value, _at(path, field, index))
            self._out.append(field.end)

    def _escaped(self, text: str, path: str, field: Form, index: int | None) -> str:
        try:
            return escaped(text)
        except ValueError:
            said = "holds a character that XML cannot carry"
            raise MessageError(ErrorCode.PropertyConstraintViolation, said, _at(path, field, index)) from None

    def _text(self, value: Any, kind: SimpleType, path: str, field: Form, index: int | None) -> str | None:
        """The lexical form of XML Schema. None for a value that the WSDL has no word for."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, Decimal):
            return f"{value:.1f}"
        if isinstance(value, int):
            return _int(value, _at(path, field, index))
        assert isinstance(value, str)
        if kind.base == "dateTime" and not self._fractions and "." in value:
            self._lose(_at(path, field, index), Reason.FRACTION)
            return f"{value.partition('.')[0]}Z"
        if kind.enumeration and value not in kind.enumeration and value in _RESPELLED:
            respelled = _RESPELLED[value]
            reason = Reason.DROPPED_UNIT if respelled is None else Reason.RESPELLED_UNIT
            self._lose(_at(path, field, index), reason)
            return respelled
        return value


def _at(path: str, field: Form, index: int | None) -> str:
    here = f"{path}.{field.name}" if path else field.name
    return here if index is None else f"{here}[{index}]"


def _quoted(text: str) -> str:
    return escape(text, _ENTITIES)


def _int(value: int, path: str) -> str:
    # xs:int is 32 bits and signed; JSON's integer is not (rule 61).
    if not -(2**31) <= value < 2**31:
        raise MessageError(ErrorCode.PropertyConstraintViolation, f"{value} does not fit into 32 bits", path)
    return str(value)
