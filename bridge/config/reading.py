"""From raw values to records: every key known, every value of its type and within its bounds.

What is wrong is complained about, and the default put in its place, so that one reading finds everything. The files of
secrets are read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import msgspec
from msgspec import Meta

from bridge.config.complaints import Complaints, describe, quote, unknown_key
from bridge.config.complaints import Path as KeyPath
from bridge.config.listeners import is_listener, path_of
from bridge.config.records import Listen, Network, Secret, Table
from bridge.config.shapes import Hint, choices, fields, file_key, is_table, keys, listed, named, origin, present
from bridge.config.sources import Override, reason

T = TypeVar("T", bound=Table)

_MOST_OF_A_SECRET = 65536  # octets; more is a file named by mistake
_ABSENT = object()
_NOUNS: dict[object, str] = {str: "text", int: "an integer", float: "a number", bool: "true or false"}


class _Unfit(Exception):
    """The value is not what its key takes. Says what it takes instead."""


def read_table(table: type[T], raw: object, path: KeyPath, complaints: Complaints) -> T:
    """The record for the raw table at `path`. Keys that are missing or unfit have their default."""
    if not isinstance(raw, dict):
        complaints.add(path, f"expected a table, got {_kind(raw)}")
        raw = {}
    known = keys(table)
    for key in raw:
        if key not in known:
            complaints.add((*path, key), unknown_key(key, known))
    values = {field.name: _field(field, raw, path, complaints) for field in fields(table)}
    return table(**{name: value for name, value in values.items() if value is not _ABSENT})


def _field(field: msgspec.structs.FieldInfo, raw: Mapping[str, object], path: KeyPath, complaints: Complaints) -> Any:
    hint = present(field.type)
    if hint is Secret:
        return _secret(field.name, raw, path, complaints)
    value = _value(hint, raw[field.name], (*path, field.name), complaints) if field.name in raw else _ABSENT
    if value is _ABSENT and field.required:
        complaints.add((*path, field.name), "missing")
        return ""  # every required key is text; nothing is ever made of this one
    return value


def _value(hint: Hint, raw: object, path: KeyPath, complaints: Complaints) -> Any:
    """What the key holds; `_ABSENT` if it is unfit."""
    if is_table(hint):
        return read_table(hint, raw, path, complaints)
    if (holds := named(hint)) is not None:
        return _names(holds, raw, path, complaints)
    if (holds := listed(hint)) is not None:
        return _entries(holds, raw, path, complaints)
    try:
        return _leaf(hint, raw)
    except _Unfit as unfit:
        complaints.add(path, str(unfit))
        return _ABSENT


def _names(holds: type[T], raw: object, path: KeyPath, complaints: Complaints) -> dict[str, T]:
    if not isinstance(raw, dict):
        complaints.add(path, f"expected a table of tables, got {_kind(raw)}")
        return {}
    return {name: read_table(holds, value, (*path, name), complaints) for name, value in raw.items()}


def _entries(holds: Hint, raw: object, path: KeyPath, complaints: Complaints) -> Any:
    if isinstance(raw, Override):
        raw = [Override(entry.strip()) for entry in raw.text.split(",") if entry.strip()]
    if is_listener(holds):
        return _listeners(holds, raw, path, complaints)
    if not isinstance(raw, list):
        complaints.add(path, f"expected a list{' of tables' if is_table(holds) else ''}, got {_kind(raw)}")
        return _ABSENT
    entries = [_value(holds, entry, (*path, index), complaints) for index, entry in enumerate(raw)]
    return tuple(entry for entry in entries if entry is not _ABSENT)


def _listeners(holds: type[T], raw: object, path: KeyPath, complaints: Complaints) -> Any:
    """One table, or a list of them."""
    tables = raw if isinstance(raw, list) else [raw]
    if not tables:
        complaints.add(path, "is empty: there is at least one")
        return _ABSENT
    places = [path_of(str(path[0]), index, len(tables)) for index in range(len(tables))]
    return tuple(read_table(holds, table, place, complaints) for place, table in zip(places, tables, strict=True))


def _kind(raw: object) -> str:
    """What stands where a table or list belongs. Not its value: a whole secret may stand one level too high."""
    return "text" if isinstance(raw, str | Override) else describe(raw)


def _leaf(hint: Hint, raw: object) -> Any:
    """One value. Raises _Unfit."""
    text = raw.text if isinstance(raw, Override) else raw
    if isinstance(raw, Override) and not _is_unicode(raw.text):
        raise _Unfit("not UTF-8")
    if hint is Listen:
        return _listen(text)
    if hint == Network:
        return _network(text)
    if words := choices(hint):
        return _choice(words, text)
    return _plain(hint, text, from_text=isinstance(raw, Override))


def _is_unicode(text: str) -> bool:
    """The environment's octets that are not UTF-8 come as lone surrogates, which nothing else takes."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _listen(raw: object) -> Listen:
    try:
        return Listen.parse(_text(raw))
    except ValueError:
        raise _Unfit(f"expected HOST:PORT or [IPV6]:PORT, got {describe(raw)}") from None


def _network(raw: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(_text(raw))
    except ValueError:
        raise _Unfit(f"expected a network such as 10.1.0.0/16, its host bits zero, got {describe(raw)}") from None


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise _Unfit(f"expected text, got {describe(raw)}")
    return raw


def _choice(words: tuple[str, ...], raw: object) -> str:
    if isinstance(raw, str) and raw in words:
        return raw
    raise _Unfit(f"expected one of {', '.join(map(quote, words))}, got {describe(raw)}")


def _plain(hint: Hint, raw: object, *, from_text: bool) -> Any:
    """Text, a number or a truth value. The environment's are spelled as text, the file's are what they are."""
    plain = get_args(hint)[0] if origin(hint) is Annotated else hint
    if plain is bool and from_text and isinstance(raw, str):
        raw = {"true": True, "false": False}.get(raw.lower(), raw)
    try:
        value = msgspec.convert(raw, plain, strict=not from_text or plain is bool)
    except msgspec.ValidationError:
        raise _Unfit(f"expected {_NOUNS[plain]}, got {describe(raw)}") from None
    return _bounded(hint, value, raw)


def _bounded(hint: Hint, value: Any, raw: object) -> Any:
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError:
        bounds = next(meta for meta in get_args(hint) if isinstance(meta, Meta))
        least = f"more than {bounds.gt:g}" if bounds.gt is not None else f"{bounds.ge:g} or more"
        raise _Unfit(f"expected {least} and at most {bounds.le:.0f}, got {describe(raw)}") from None


def _secret(name: str, raw: Mapping[str, object], path: KeyPath, complaints: Complaints) -> Secret | None:
    """The secret under its own key or in the file that its other key names; an empty file name is none.

    An empty secret is refused: it is what an unset variable leaves, and it would open the door.
    """
    beside = raw.get(file_key(name), "")
    key = name if name in raw else file_key(name)
    try:
        if name in raw and beside != "" and beside != Override(""):
            raise _Unfit(f"{file_key(name)} is given too, one of the two is enough")
        value = _secret_value(raw[name]) if name in raw else _secret_file(beside)
        if value == b"":
            raise _Unfit("is empty")
    except _Unfit as unfit:
        complaints.add((*path, key), str(unfit))
        return None
    return None if value is None else Secret(value)


def _secret_value(raw: object) -> bytes:
    text = raw.text if isinstance(raw, Override) else raw
    if not isinstance(text, str):
        raise _Unfit("expected text")
    try:
        # The octets of the environment as they are: os.environ holds those that are not UTF-8 as surrogates.
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise _Unfit("not UTF-8") from None


def _secret_file(raw: object) -> bytes | None:
    name = raw.text if isinstance(raw, Override) else raw
    if name == "":
        return None
    if not isinstance(name, str):
        raise _Unfit("expected the name of a file")
    try:
        with Path(name).open("rb") as file:
            value = file.read(_MOST_OF_A_SECRET + 1)
    except (OSError, ValueError) as error:
        raise _Unfit(f"the file cannot be read: {reason(error)}") from None
    if len(value) > _MOST_OF_A_SECRET:
        raise _Unfit(f"the file is larger than {_MOST_OF_A_SECRET} octets")
    return _without_newline(value)


def _without_newline(value: bytes) -> bytes:
    """Editors end a file with a newline, which is no part of the secret."""
    return value.removesuffix(b"\n").removesuffix(b"\r") if value.endswith(b"\r\n") else value.removesuffix(b"\n")
