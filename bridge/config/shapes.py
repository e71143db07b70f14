"""What the records look like from outside: which keys a table has, and what each key holds.

The reader and the environment both walk the records through this room, so that neither lists a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, Literal, NamedTuple, TypeGuard, Union, get_args, get_origin

import msgspec

from bridge.config.records import Pack, Secret, Table

# A type as it is annotated: a class, Annotated, Literal, a union.
Hint = Any


def origin(hint: Hint) -> Any:
    """What the type is made from: dict, tuple, Annotated, Literal; None for a plain class."""
    return get_origin(hint)


class Key(NamedTuple):
    """A key of a table: the field it fills, and what the key itself holds."""

    field: str
    holds: Hint


def keys(table: type[Table]) -> dict[str, Key]:
    """The keys of a table, in the order of its fields. A secret has two."""
    return dict(_keys(table))


def _keys(table: type[Table]) -> Iterator[tuple[str, Key]]:
    for field in fields(table):
        hint = present(field.type)
        yield field.name, Key(field.name, hint)
        if hint is Secret:
            yield file_key(field.name), Key(field.name, str)


def fields(table: type[Table]) -> list[msgspec.structs.FieldInfo]:
    """The fields that keys of the same file fill. Packs have files of their own."""
    return [field for field in msgspec.structs.fields(table) if listed(present(field.type)) is not Pack]


def file_key(secret: str) -> str:
    """The key that names the file which holds the secret."""
    return f"{secret}_file"


def other_key(key: str, field: str) -> str:
    """Of a secret's two keys, the one that is not `key`."""
    return file_key(field) if key == field else field


def present(hint: Hint) -> Hint:
    """The type without the None that says a key may be absent."""
    if origin(hint) not in (Union, UnionType):
        return hint
    members = [member for member in get_args(hint) if member is not type(None)]
    return members[0] if len(members) == 1 else hint


def is_table(hint: Hint) -> TypeGuard[type[Table]]:
    """Whether this is a table with known keys."""
    return isinstance(hint, type) and issubclass(hint, Table)


def named(hint: Hint) -> Hint | None:
    """What a table with names of the operator's choice holds under each; None if this is no such table."""
    return get_args(hint)[1] if origin(hint) is dict else None


def listed(hint: Hint) -> Hint | None:
    """What a list holds; None if this is no list."""
    return get_args(hint)[0] if origin(hint) is tuple else None


def choices(hint: Hint) -> tuple[str, ...]:
    """The words to choose from; none if this is not a choice."""
    return get_args(hint) if origin(hint) is Literal else ()
