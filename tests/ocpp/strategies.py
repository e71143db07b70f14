"""Hypothesis strategies for the 56 PDUs, derived from their records: a field that is added there is generated here.

What is generated is what both wires can carry, unless a parameter asks for more. In particular texts hold only
characters that XML 1.0 has, though all the troublesome ones of those, and lists and optional texts are never empty,
because an empty element means an absent one to many and SOAP cannot tell an empty list from none.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import cache
from string import ascii_letters, digits
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import Struct
from msgspec.inspect import (
    BoolType,
    DecimalType,
    EnumType,
    Field,
    IntType,
    NoneType,
    StrType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.enums import JSON_ONLY_UNITS, UnitOfMeasure
from bridge.ocpp.messages import Request
from bridge.ocpp.types import Timestamp

S = TypeVar("S", bound=Struct)

MOST_ITEMS = 3
LONGEST_UNLIMITED_TEXT = 60

_INT32 = st.integers(min_value=-(2**31), max_value=2**31 - 1)
_TIMESTAMP = type_info(Timestamp)
# Texts that are addresses on both wires: xs:anyURI, and JSON's format `uri`.
_ADDRESSES = frozenset({("GetDiagnosticsRequest", "location"), ("UpdateFirmwareRequest", "location")})

_CONTROLS = "".join(chr(code) for code in range(32) if chr(code) not in "\t\n\r")
_TROUBLESOME = "<>&'\"\t\n\r ]}%\\\x7f\x85\xa0\u2028é中\U0001f50c"


def characters() -> SearchStrategy[str]:
    """One character that XML 1.0 can carry (section 2.2), oftener one that has a meaning to some parser."""
    legal = st.characters(exclude_categories=["Cs"], exclude_characters=_CONTROLS + "\ufffe\uffff")
    return st.sampled_from(_TROUBLESOME) | st.sampled_from(ascii_letters + digits) | legal


def texts(max_length: int | None = None, *, min_length: int = 0) -> SearchStrategy[str]:
    """A text as it stands, blanks around it included."""
    longest = LONGEST_UNLIMITED_TEXT if max_length is None else max_length
    return st.text(characters(), min_size=min_length, max_size=longest)


def addresses() -> SearchStrategy[str]:
    """An absolute URI such as a Central System sends for a download or an upload."""
    words = st.text(ascii_letters + digits, min_size=1, max_size=10)
    schemes = st.sampled_from(["http", "https", "ftp", "ftps"])
    queries = st.just("") | words.map("?a=1&b={}".format)
    return st.builds("{}://{}.example/{}{}".format, schemes, words, words, queries)


def timestamps() -> SearchStrategy[str]:
    """A point in time as the model spells it: in UTC with `Z`, and with none to six fraction digits."""
    fractions = st.text(digits, min_size=0, max_size=6)
    moments = st.datetimes().map(lambda moment: moment.replace(microsecond=0))
    near = st.datetimes(min_value=datetime(2010, 1, 1), max_value=datetime(2040, 1, 1)).map(  # noqa: DTZ001
        lambda moment: moment.replace(microsecond=0)
    )
    return st.builds(
        lambda moment, fraction: f"{moment.isoformat()}{'.' if fraction else ''}{fraction}Z", near | moments, fractions
    )


def decimals() -> SearchStrategy[Decimal]:
    """A multiple of 0.1 up to a million either way; whole ones with and without their zero."""
    return st.integers(-(10**7), 10**7).map(lambda tenths: Decimal(tenths).scaleb(-1)) | st.integers(
        -(10**6), 10**6
    ).map(Decimal)


def payloads(
    struct: type[S],
    *,
    full: bool | None = None,
    soap: bool = True,
    empty_lists: bool = False,
    empty_texts: bool = False,
    wide_ids: bool = False,
) -> SearchStrategy[S]:
    """Instances of a PDU or of a record inside one.

    full         True: every field is there, False: only the required ones, None: any mixture
    soap         False adds the units that only JSON knows
    empty_lists  True adds optional lists without an item
    empty_texts  True adds optional texts without a character
    wide_ids     True adds transaction ids beyond the 32 bits of the WSDLs
    """
    return _Generator(full, soap, empty_lists, empty_texts, wide_ids).struct(struct)


@st.composite
def calls(
    draw: st.DrawFn,
    *,
    full: bool | None = None,
    soap: bool = True,
    empty_lists: bool = False,
    empty_texts: bool = False,
    wide_ids: bool = False,
) -> tuple[str, Party, Request]:
    """The action's name, who sends it, and its request, over all actions. Parameters as those of `payloads`."""
    action = draw(st.sampled_from([*ACTIONS.values()]))
    party = draw(st.sampled_from(sorted(action.senders)))
    payload = draw(
        payloads(
            action.request,
            full=full,
            soap=soap,
            empty_lists=empty_lists,
            empty_texts=empty_texts,
            wide_ids=wide_ids,
        )
    )
    return action.name, party, payload


class _Generator(Struct, frozen=True):
    """One choice of the parameters of `payloads`, and the strategies that follow from it."""

    full: bool | None
    soap: bool
    empty_lists: bool
    empty_texts: bool
    wide_ids: bool

    def struct(self, struct: type[S]) -> SearchStrategy[S]:
        return _struct(self, struct)

    def field(self, owner: str, field: Field) -> SearchStrategy[Any]:
        if not isinstance(field.type, UnionType):
            return self.value(owner, field.name, field.type, optional=False)
        inner = [option for option in field.type.types if not isinstance(option, NoneType)]
        if len(inner) != 1:
            raise TypeError(f"{owner}.{field.name} is more than an optional field")
        value = self.value(owner, field.name, inner[0], optional=True)
        return value if self.full else st.none() | value

    def value(self, owner: str, name: str, type_: Type, *, optional: bool) -> SearchStrategy[Any]:
        match type_:
            case StructType(cls=cls):
                return self.struct(cls)
            case VarTupleType(item_type=item, min_length=least):
                fewest = least or (0 if self.empty_lists else 1)
                items = self.value(owner, name, item, optional=False)
                return st.lists(items, min_size=fewest, max_size=MOST_ITEMS).map(tuple)
            case EnumType(cls=cls):
                return st.sampled_from([value for value in cls if not (self.soap and _json_only(value))])
            case StrType() if type_ == _TIMESTAMP:
                return timestamps()
            case StrType() if (owner, name) in _ADDRESSES:
                return addresses()
            case StrType(max_length=longest, pattern=None):
                return texts(longest, min_length=1 if optional and not self.empty_texts else 0)
            case IntType(ge=None, le=None):
                return _INT32 | st.integers(-(2**63), 2**63 - 1) if self.wide_ids else _INT32
            case IntType(ge=least, le=most):
                return st.integers(least, most)
            case DecimalType():
                return decimals()
            case BoolType():
                return st.booleans()
        raise TypeError(f"{owner}.{name}: no strategy for {type_}")


@cache
def _struct(generator: _Generator, struct: type[S]) -> SearchStrategy[S]:
    info = type_info(struct)
    if not isinstance(info, StructType):
        raise TypeError(f"{struct} is not a record")
    return st.builds(
        struct,
        **{
            field.name: generator.field(struct.__name__, field)
            for field in info.fields
            if field.required or generator.full is not False
        },
    )


def _json_only(value: object) -> bool:
    return isinstance(value, UnitOfMeasure) and value in JSON_ONLY_UNITS
