"""Decode large JSON texts, and convert large plain data to records, in slices.

A call of msgspec holds the interpreter's lock from its beginning to its end. A thread that reads a large message in one
call therefore stops the event loop. Here each call handles a bounded part of the message, and other threads may run
between two calls. Only to take a text apart, a call looks at all of it, which takes half a millisecond for a megabyte.
The result is that of one call for the whole message. Of several errors, another may be reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Raw, Struct

R = TypeVar("R", bound=Struct)
P = TypeVar("P")

OCTETS = 8_192
"""The most octets of JSON that one call decodes. A single text may be longer."""
PARTS = 400
"""The most parts of plain data that one call converts: leaves, objects and lists."""
# List items that are freed together.
_FREED = 50
_members = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])
_PLACE = re.compile(r"(?P<text>.*) - at `\$(?:\[(?P<index>[0-9]+)\])?(?P<rest>[^`]*)`\Z", re.DOTALL)


@cache
def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Return the decoder of JSON for a type."""
    return msgspec.json.Decoder(kind)


# Decoding.


def decode(raw: Raw, record: type[R]) -> R:
    """Return the record that the JSON `raw` holds. Raises what msgspec raises for the whole of `raw`."""
    members = _taken_apart(raw, record)
    fields = _parts(record)
    long = {name: members.pop(name) for name in fields if len(members.get(name, b"")) > OCTETS}
    made: dict[str, Any] = {}
    for name, part in long.items():
        kind, is_list = fields[name]
        with _Within(f".{name}"):
            made[name] = tuple(_decoded_items(part, kind)) if is_list else decode(part, kind)
    if () in made.values() or not made:  # a list of blanks only, or a long text
        return _decoded(raw, record)
    rest = b"{%b}" % b",".join([b"%b:%b" % (msgspec.json.encode(name), part) for name, part in members.items()])
    return _joined(record, made, lambda kind: _decoded(rest, kind))


def _taken_apart(raw: Raw, record: type[Struct]) -> dict[str, Raw]:
    """Return the JSON of each field that the JSON `raw` of a record has. Ends early at an unknown field."""
    found = _raws(record).decode(raw)
    return {name: part for name in found.__struct_fields__ if len(part := getattr(found, name))}


@cache
def _raws(record: type[Struct]) -> msgspec.json.Decoder[Struct]:
    """Return the decoder of a type with the fields of `record`, each of which is JSON, and empty if it is absent."""
    fields = [(field.name, Raw, Raw(b"")) for field in msgspec.structs.fields(record)]
    kind = msgspec.defstruct(record.__name__, fields, kw_only=True, forbid_unknown_fields=True)
    return msgspec.json.Decoder(kind)


def _decoded(data: Raw | bytes, kind: type[R]) -> R:
    found: R = decoder(kind).decode(data)
    return found


def _decoded_items(raw: Raw, kind: Any) -> Iterator[Any]:
    """Yield the items of type `kind` in the JSON list `raw`."""
    for first, batch in _batches(_items.decode(raw), _octets, OCTETS):
        if len(batch) == 1 and len(batch[0]) > OCTETS and _is_record(kind):
            with _Within(f"[{first}]"):
                yield decode(batch[0], kind)
        else:
            with _Within("", first):
                yield from decoder(tuple[kind, ...]).decode(b"[%b]" % b",".join(batch))


def plain(source: Raw | bytes | str, decode_json: Callable[[Any], Any]) -> Any:
    """Return the plain data in the JSON `source`, as `decode_json` decodes it. Raises what that raises."""
    if len(source) <= OCTETS:
        return decode_json(source)
    data = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else bytes(source)
    start = data.lstrip(b" \t\r\n")[:1]
    if start == b"[":
        return list(_plain_items(_items.decode(data), decode_json))
    if start == b"{":
        members = _members.decode(data)
        with _Within("[...]", None):
            return dict(zip(members, _plain_items([*members.values()], decode_json), strict=True))
    return decode_json(source)


def _plain_items(parts: Sequence[Raw], decode_json: Callable[[Any], Any]) -> Iterator[Any]:
    for first, batch in _batches(parts, _octets, OCTETS):
        if len(batch) == 1:
            with _Within(f"[{first}]"):
                yield plain(batch[0], decode_json)
        else:
            with _Within("", first):
                yield from decode_json(b"[%b]" % b",".join(batch))


def holds(data: bytes, octets: bytes) -> bool:
    """Return whether a large `data` contains `octets`."""
    steps = range(0, len(data), OCTETS)
    return any(data.find(octets, start, start + OCTETS + len(octets) - 1) >= 0 for start in steps)


# Plain data.


def convert(data: Mapping[str, Any], record: type[R], builtin_types: tuple[type, ...] = ()) -> R:
    """Return the record that `data` describes. Raises what msgspec.convert raises for all of `data`."""
    fields = _parts(record)
    long = [name for name, value in data.items() if name in fields and _is_long(value, is_list=fields[name][1])]
    made: dict[str, Any] = {}
    for name in long:
        kind, is_list = fields[name]
        with _Within(f".{name}"):
            if is_list:
                made[name] = tuple(_converted_items(data[name], kind, builtin_types))
            else:
                made[name] = convert(data[name], kind, builtin_types)
    if not made:
        return msgspec.convert(data, record, builtin_types=builtin_types)
    rest = {name: value for name, value in data.items() if name not in made}
    return _joined(record, made, lambda kind: msgspec.convert(rest, kind, builtin_types=builtin_types))


def _converted_items(items: Sequence[Any], kind: Any, builtin_types: tuple[type, ...]) -> Iterator[Any]:
    for first, batch in _batches(items, _size, PARTS):
        if len(batch) == 1 and _is_record(kind) and isinstance(batch[0], dict):
            with _Within(f"[{first}]"):
                yield convert(batch[0], kind, builtin_types)
        else:
            with _Within("", first):
                yield from msgspec.convert(batch, tuple[kind, ...], builtin_types=builtin_types)


def _is_long(value: Any, *, is_list: bool) -> bool:
    return isinstance(value, list if is_list else dict) and _size(value) > PARTS


def _size(value: Any) -> int:
    """Return the number of parts in plain data: one for each leaf, object and list. Counting may end above PARTS."""
    if not isinstance(value, dict | list):
        return 1
    size = 1 + len(value)
    for part in value.values() if isinstance(value, dict) else value:
        if size > PARTS:
            break
        if isinstance(part, dict | list):
            size += _size(part)
    return size


def free(data: Any) -> None:
    """Empty large plain data that nobody needs any more. Freeing it at once would hold the lock for long."""
    if isinstance(data, list) and len(data) > _FREED:  # few of so many items are large
        while data:
            del data[-_FREED:]
    elif isinstance(data, dict | list) and _size(data) > PARTS:
        for part in data.values() if isinstance(data, dict) else data:
            free(part)


# Both.


@cache
def _parts(record: type[Struct]) -> Mapping[str, tuple[Any, bool]]:
    """Return the fields of a record that may be long: lists, and records.

    Returns: for each, the type of the record or of an item of the list, and whether it is a list.
    """
    parts: dict[str, tuple[Any, bool]] = {}
    for field in msgspec.structs.fields(record):
        kind = _present(field.type)
        if get_origin(kind) is tuple:
            parts[field.name] = get_args(kind)[0], True
        elif _is_record(kind):
            parts[field.name] = kind, False
    return parts


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _present(kind: Any) -> Any:
    """Return a type without its limits, and without `| None`."""
    if get_origin(kind) is Annotated:
        return _present(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return _present(next(part for part in get_args(kind) if part is not NoneType))
    return kind


def _octets(part: Raw) -> int:
    return len(part) + 1  # with the comma behind it


def _batches(parts: Sequence[P], size_of: Callable[[P], int], most: int) -> Iterator[tuple[int, Sequence[P]]]:
    """Yield the parts in batches whose sizes sum up to `most` at most, each with the index of its first part.

    A part that is larger is alone.
    """
    start = total = 0
    for at, part in enumerate(parts):
        size = size_of(part)
        if total + size > most and at > start:
            yield start, parts[start:at]
            start, total = at, 0
        total += size
    if start < len(parts):
        yield start, parts[start:]


def _joined(record: type[R], made: Mapping[str, Any], rest_of: Callable[[type[Struct]], Struct]) -> R:
    """Return a record from the fields `made` and the others, which `rest_of` reads as a type without those fields."""
    rest = rest_of(_without(record, frozenset(made)))
    try:
        return record(**{name: getattr(rest, name) for name in rest.__struct_fields__}, **made)
    except ValueError as error:  # of the record's own check
        raise msgspec.ValidationError(str(error)) from error


@cache
def _without(record: type[Struct], names: frozenset[str]) -> type[Struct]:
    """Return a type as `record`, without the fields `names`."""
    fields: list[Any] = [
        (field.name, field.type) if field.required else (field.name, field.type, field.default)
        for field in msgspec.structs.fields(record)
        if field.name not in names
    ]
    return msgspec.defstruct(record.__name__, fields, kw_only=True, forbid_unknown_fields=True)


class _Within:
    """Adds the place of a slice in the message to a msgspec.ValidationError.

    Args:
        step: The step of the path to the slice.
        first: For a slice of a list: the index of its first item. None if `step` replaces the index.
    """

    def __init__(self, step: str, first: int | None = 0) -> None:
        self._step, self._first = step, first

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, msgspec.ValidationError):
            found = _PLACE.match(str(error))
            text, index, rest = (str(error), None, "") if found is None else found.group("text", "index", "rest")
            if index is not None and self._first is not None:
                rest = f"[{int(index) + self._first}]{rest}"
            raise msgspec.ValidationError(f"{text} - at `${self._step}{rest}`") from None
