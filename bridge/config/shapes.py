"""Look up the keys of a table, and the type of each key.

The reader of the file and the reader of the environment both use these functions, so that neither lists the keys again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType, UnionType
from typing import Any, Literal, NamedTuple, TypeGuard, Union, get_args, get_origin

import msgspec

from bridge.config.records import Content, Pack, Secret, Table

_FILE = "_file"
# A type annotation: a class, Annotated, Literal or a union.
Hint = Any


def origin(hint: Hint) -> Any:
    """Return the origin of a type annotation: dict, tuple, Annotated or Literal; None for a plain class."""
    return get_origin(hint)


class Key(NamedTuple):
    """A key of a table: the key of the record's field, and the type of the key's own value."""

    field: str
    holds: Hint


@cache
def keys(table: type[Table]) -> Mapping[str, Key]:
    """Return the keys of a table, in the order of its fields. A secret has two keys."""
    return MappingProxyType(dict(_keys(table)))


def _keys(table: type[Table]) -> Iterator[tuple[str, Key]]:
    for field in fields(table):
        hint = present(field.type)
        yield field.encode_name, Key(field.encode_name, hint)
        if hint is Secret:
            yield file_key(field.name), Key(field.name, str)


@cache
def fields(table: type[Table]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Return the fields of a table that have keys in the same file. Packs have files of their own."""
    return tuple([field for field in msgspec.structs.fields(table) if listed(present(field.type)) is not Pack])


def file_key(secret: str) -> str:
    """Return the key that holds the path of the file with the secret."""
    return secret + _FILE


def without_file(key: str) -> str:
    """Return the name of the secret of which `key` is one of the two keys."""
    return key.removesuffix(_FILE)


def other_key(key: str, field: str) -> str:
    """Return the other one of the two keys of the secret `field`."""
    return file_key(field) if key == field else field


@cache
def present(hint: Hint) -> Hint:
    """Return the type without None, which stands for an absent key."""
    if origin(hint) not in (Union, UnionType):
        return hint
    members = [member for member in get_args(hint) if member is not type(None)]
    return members[0] if len(members) == 1 else hint


def is_table(hint: Hint) -> TypeGuard[type[Table]]:
    """Return whether the type is a table with known keys."""
    return isinstance(hint, type) and issubclass(hint, Table)


@cache
def named(hint: Hint) -> Hint | None:
    """Return the type of the values in a table whose keys the operator chooses; None for any other type."""
    return get_args(hint)[1] if origin(hint) is dict and hint != Content else None


@cache
def listed(hint: Hint) -> Hint | None:
    """Return the type of a list's entries; None if the type is no list."""
    return get_args(hint)[0] if origin(hint) is tuple else None


def choices(hint: Hint) -> tuple[str, ...]:
    """Return the words of a Literal; empty for any other type."""
    return get_args(hint) if origin(hint) is Literal else ()
