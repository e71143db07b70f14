"""What a record of the model looks like from outside, derived from it: names, order, lists, kinds of leaves.

A Shape is what the tolerance rules walk, so that no rule names a message and no message names a rule.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum, auto
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct, inspect

# In plain data: the text of an element that has attributes beside it, as the meter values of OCPP 1.5 have.
TEXT = "#text"


# An idTag that is cut is another driver's.
_ID_TOKENS = frozenset({"idTag", "parentIdTag"})
# A setting under a name that is cut is another setting, and one that is cut another value; so are a vendor's messages.
_NAMES = frozenset(
    {
        *(("ChangeConfigurationRequest", "key"), ("ChangeConfigurationRequest", "value")),
        *(("DataTransferRequest", "vendorId"), ("DataTransferRequest", "messageId")),
        ("GetConfigurationRequest", "key"),
    }
)


class Kind(StrEnum):
    """How a leaf is written."""

    TEXT = auto()
    LONG_TEXT = auto()  # text without a limit: opaque to OCPP (DataTransfer.data, sampledValue.value, location)
    ENUMERATION = auto()
    INTEGER = auto()
    DECIMAL = auto()
    BOOLEAN = auto()
    TIMESTAMP = auto()


class Field(Struct, frozen=True, kw_only=True):
    """One field. Exactly one of `kind` (a leaf) and `shape` (a record) is given."""

    name: str
    required: bool
    many: bool
    kind: Kind | None = None
    shape: Shape | None = None
    spellings: dict[str, str] = {}  # of an enumeration: lower case -> as the specification writes it
    limit: int | None = None  # of a text: the most characters
    names: bool = False  # a text that names something: cut, it would name something else


class Shape(Struct, frozen=True, kw_only=True):
    """The fields of a record, in the WSDL's order."""

    name: str
    fields: dict[str, Field]


_KINDS: dict[type[inspect.Type], Kind] = {
    inspect.IntType: Kind.INTEGER,
    inspect.DecimalType: Kind.DECIMAL,
    inspect.BoolType: Kind.BOOLEAN,
}


@cache
def shape_of(record: type[Struct]) -> Shape:
    """The Shape of one of the model's records."""
    info = inspect.type_info(record)
    assert isinstance(info, inspect.StructType)
    return Shape(name=record.__name__, fields={field.encode_name: _field(record, field) for field in info.fields})


def _field(record: type[Struct], field: inspect.Field) -> Field:
    described = _present(field.type)
    many = isinstance(described, inspect.VarTupleType)
    item = described.item_type if isinstance(described, inspect.VarTupleType) else described
    name = field.encode_name
    names = name in _ID_TOKENS or (record.__name__, name) in _NAMES
    return Field(name=name, required=field.required, many=many, names=names, **_item(_bare(item)))


def _item(item: inspect.Type) -> dict[str, Any]:
    match item:
        case inspect.StructType(cls=cls):
            return {"shape": shape_of(cls)}
        case inspect.EnumType(cls=cls):
            return {"kind": Kind.ENUMERATION, "spellings": {value.value.lower(): value.value for value in cls}}
        case inspect.StrType(pattern=str()):
            return {"kind": Kind.TIMESTAMP}
        case inspect.StrType(max_length=limit):
            return {"kind": Kind.LONG_TEXT if limit is None else Kind.TEXT, "limit": limit}
    return {"kind": _KINDS[type(item)]}


def _present(described: inspect.Type) -> inspect.Type:
    """The type without the `| None` that says that the field may be absent."""
    described = _bare(described)
    if isinstance(described, inspect.UnionType):
        described = next(part for part in described.types if not isinstance(part, inspect.NoneType))
    return _bare(described)


def _bare(described: inspect.Type) -> inspect.Type:
    return described.type if isinstance(described, inspect.Metadata) else described


def plain(record: Struct) -> dict[str, Any]:
    """A record as dicts, tuples, text, int, bool and Decimal: the form in which the codecs and dialects meet."""
    data = msgspec.to_builtins(record, builtin_types=(Decimal,))
    assert isinstance(data, dict)
    return data
