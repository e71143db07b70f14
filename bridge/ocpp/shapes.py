"""The structure of the model's records, derived from the records: names, order, lists, kinds of leaves.

The rules of tolerance use Shapes, so that no rule names a message and no message names a rule.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum, auto
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct, inspect
from msgspec.structs import replace

# The key in plain data for the text of an element with attributes, such as the meter values of OCPP 1.5.
TEXT = "#text"
_ANY_LENGTH = 2**63  # characters


# A truncated idTag would identify another driver.
_ID_TOKENS = frozenset({"idTag", "parentIdTag"})
# A truncated name would name another setting or message, and a truncated value would set another value.
_NAMES = frozenset(
    {
        *(("ChangeConfigurationRequest", "key"), ("ChangeConfigurationRequest", "value")),
        *(("DataTransferRequest", "vendorId"), ("DataTransferRequest", "messageId")),
        ("GetConfigurationRequest", "key"),
    }
)


class Kind(StrEnum):
    """The kind of a leaf's value."""

    TEXT = auto()
    LONG_TEXT = auto()  # text without a limit: opaque to OCPP (DataTransfer.data, sampledValue.value, location)
    ENUMERATION = auto()
    INTEGER = auto()
    DECIMAL = auto()
    BOOLEAN = auto()
    TIMESTAMP = auto()


class Field(Struct, frozen=True, kw_only=True):
    """A field of a record. Exactly one of `kind` (a leaf) and `shape` (a record) is set."""

    name: str
    required: bool
    many: bool
    kind: Kind | None = None
    shape: Shape | None = None
    spellings: dict[str, str] = {}  # for an enumeration: the value of the specification, by its lower case
    limit: int | None = None  # for a text: the most characters
    is_narrow: bool = False  # an integer of 32 bits
    names: bool = False  # a text that is a name: a truncated name would stand for something else
    # The texts that need no conversion: non-empty texts of at most `fits` characters, and the values of an enumeration.
    fits: int = 0
    words: frozenset[str] = frozenset()


class Shape(Struct, frozen=True, kw_only=True):
    """The structure of a record.

    Attributes:
        name: The name of the record.
        fields: The fields in the order of the WSDL, by name.
        folded: The fields by their names in lower case.
        others: The fields by the names in lower case that they have in other versions of OCPP only.
        required: The names of the required fields.
    """

    name: str
    fields: dict[str, Field]
    folded: dict[str, Field]
    others: dict[str, Field]
    required: tuple[str, ...]


_KINDS: dict[type[inspect.Type], Kind] = {
    inspect.IntType: Kind.INTEGER,
    inspect.DecimalType: Kind.DECIMAL,
    inspect.BoolType: Kind.BOOLEAN,
}


@cache
def shape_of(record: type[Struct]) -> Shape:
    """Return the Shape of a record of the model."""
    info = inspect.type_info(record)
    assert isinstance(info, inspect.StructType)
    return shape_with(record.__name__, {field.encode_name: _field(record, field) for field in info.fields})


def shape_with(name: str, fields: dict[str, Field]) -> Shape:
    """Return the Shape of a record with the name `name` and the fields `fields`."""
    return Shape(
        name=name,
        fields=fields,
        folded={name.lower(): field for name, field in fields.items()},
        others={other: fields[own] for other, own in other_names(fields).items()},
        required=tuple(name for name, field in fields.items() if field.required),
    )


# The fields that have another name in another version of OCPP. OCPP-J 1.6 section 4.2.2 has heartbeatInterval, too.
_OTHER_NAMES = (("interval", "heartbeatInterval"), ("localAuthorizationList", "localAuthorisationList"))


def other_names(fields: Container[str]) -> Mapping[str, str]:
    """Return the names that other versions of OCPP have for some of `fields`, in lower case, with the field of each."""
    return {
        other.lower(): own
        for pair in _OTHER_NAMES
        for own, other in (pair, pair[::-1])
        if own in fields and other not in fields
    }


def fields_within(shape: Shape) -> Iterator[Field]:
    """Yield the fields of a record and of all records inside it."""
    for field in shape.fields.values():
        yield field
        if field.shape is not None:
            yield from fields_within(field.shape)


def _field(record: type[Struct], field: inspect.Field) -> Field:
    described = _present(field.type)
    many = isinstance(described, inspect.VarTupleType)
    item = described.item_type if isinstance(described, inspect.VarTupleType) else described
    name = field.encode_name
    names = name in _ID_TOKENS or (record.__name__, name) in _NAMES
    made = Field(name=name, required=field.required, many=many, names=names, **_item(_bare(item)))
    if many:
        return made
    fits = made.limit or _ANY_LENGTH if made.kind in (Kind.TEXT, Kind.LONG_TEXT) else 0
    return replace(made, fits=fits, words=frozenset(made.spellings.values()))


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
        case inspect.IntType(le=int()):
            return {"kind": Kind.INTEGER, "is_narrow": True}
    return {"kind": _KINDS[type(item)]}


def _present(described: inspect.Type) -> inspect.Type:
    """Return the type without `| None`, which marks an optional field."""
    described = _bare(described)
    if isinstance(described, inspect.UnionType):
        described = next(part for part in described.types if not isinstance(part, inspect.NoneType))
    return _bare(described)


def _bare(described: inspect.Type) -> inspect.Type:
    return described.type if isinstance(described, inspect.Metadata) else described


def plain(record: Struct) -> dict[str, Any]:
    """Return a record as dicts, tuples, text, int, bool and Decimal, the form that codecs and dialects share."""
    data = msgspec.to_builtins(record, builtin_types=(Decimal,))
    assert isinstance(data, dict)
    return data
