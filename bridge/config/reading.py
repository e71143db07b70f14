"""Convert raw values to records, and check that keys are known and values have the right type and bounds.

An invalid value causes a complaint and is replaced by the default, so that one pass finds all faults. This module also
reads the files of secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import msgspec
from msgspec import Meta

from bridge.config.complaints import Complaints, describe, quote, unknown_key
from bridge.config.complaints import Path as KeyPath
from bridge.config.listeners import is_listener, path_of
from bridge.config.records import (
    Content,
    Listen,
    Network,
    ReplayBoot,
    Secret,
    SecretFile,
    Table,
    WorkerCount,
    Workers,
)
from bridge.config.shapes import (
    Hint,
    choices,
    fields,
    file_key,
    is_table,
    keys,
    listed,
    named,
    origin,
    present,
    without_file,
)
from bridge.config.sources import Override, reason

T = TypeVar("T", bound=Table)

_MOST_OF_A_SECRET = 65536  # octets; a larger file was named by mistake
_ABSENT = object()
_NOUNS: dict[object, str] = {str: "text", int: "an integer", float: "a number", bool: "true or false"}


class _Unfit(Exception):
    """A value is invalid for its key. The text says which values the key takes."""


def read_table(table: type[T], raw: object, path: KeyPath, complaints: Complaints) -> T:
    """Return the record for the raw table at `path`. Missing and invalid keys have their defaults.

    Args:
        table: Class of the record.
        raw: The raw table.
        path: Path of the table, for complaints.
        complaints: Receives the complaints.
    """
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
    key = field.encode_name
    value = _value(hint, raw[key], (*path, key), complaints) if key in raw else _ABSENT
    if value is _ABSENT and field.required:
        complaints.add((*path, key), "missing")
        return ""  # fits any type: because of the complaint, the record is never used
    return value


def _value(hint: Hint, raw: object, path: KeyPath, complaints: Complaints) -> Any:
    """Return the converted value of a key, `_ABSENT` if the value is invalid."""
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


def _names(holds: Any, raw: object, path: KeyPath, complaints: Complaints) -> dict[str, Any]:
    if not isinstance(raw, dict):
        complaints.add(path, f"expected a table{'' if holds is Secret else ' of tables'}, got {_kind(raw)}")
        return {}
    if holds is Secret:
        found = {name: _secret(name, raw, path, complaints) for name in dict.fromkeys(map(without_file, raw))}
        return {name: secret for name, secret in found.items() if secret is not None}
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
    """Return the records of one table or of a list of tables."""
    tables = raw if isinstance(raw, list) else [raw]
    if not tables:
        complaints.add(path, "is empty: there is at least one")
        return _ABSENT
    places = [path_of(str(path[0]), index, len(tables)) for index in range(len(tables))]
    return tuple(read_table(holds, table, place, complaints) for place, table in zip(places, tables, strict=True))


def _kind(raw: object) -> str:
    """Return the kind of a value that is in place of a table or list.

    A complaint must not show the value itself, because a secret may be one level too high.
    """
    return "text" if isinstance(raw, str | Override) else describe(raw)


def _leaf(hint: Hint, raw: object) -> Any:
    """Return the converted value of a key that holds neither a table nor a list. Raises _Unfit."""
    text = raw.text if isinstance(raw, Override) else raw
    if isinstance(raw, Override) and not _is_unicode(raw.text):
        raise _Unfit("not UTF-8")
    if hint is Listen:
        return _listen(text)
    if hint == Network:
        return _network(text)
    if hint is SecretFile:
        return _named_secret(raw)
    if hint == ReplayBoot:
        return _replay_boot(text)
    if hint == Workers:
        return _workers(text, from_text=isinstance(raw, Override))
    if hint == Content:
        return _content(text)
    if words := choices(hint):
        return _choice(words, text)
    return _plain(hint, text, from_text=isinstance(raw, Override))


def _is_unicode(text: str) -> bool:
    """Return whether `text` has no lone surrogates, which os.environ puts in place of octets that are not UTF-8."""
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


def _replay_boot(raw: object) -> bool | str:
    words: dict[object, bool | str] = {"auto": "auto", "true": True, "false": False}
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw in words:
        return words[raw]
    raise _Unfit(f'expected "auto", true or false, got {describe(raw)}')


def _workers(raw: object, *, from_text: bool) -> int | str:
    try:
        return "auto" if raw == "auto" else int(_plain(WorkerCount, raw, from_text=from_text))
    except _Unfit as unfit:
        raise _Unfit(str(unfit).replace("expected ", 'expected "auto" or ', 1)) from None


def _content(raw: object) -> Content:
    """Return the content of a message: a table, or JSON in an environment variable."""
    if isinstance(raw, str):
        with suppress(msgspec.MsgspecError, RecursionError):
            raw = msgspec.json.decode(raw)
    if not isinstance(raw, dict):
        raise _Unfit(f"expected a table, got {_kind(raw)}")
    return raw


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise _Unfit(f"expected text, got {describe(raw)}")
    return raw


def _choice(words: tuple[str, ...], raw: object) -> str:
    if isinstance(raw, str) and raw in words:
        return raw
    raise _Unfit(f"expected one of {', '.join(map(quote, words))}, got {describe(raw)}")


def _plain(hint: Hint, raw: object, *, from_text: bool) -> Any:
    """Return a text, a number or a truth value. With `from_text`, numbers and truth values are given as text."""
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
    """Return the secret under its own key, or from the file under its other key; None if there is neither.

    An empty file name counts as none. An empty secret is refused: it is probably the value of an unset variable, and an
    empty password would match it.
    """
    beside = raw.get(file_key(name), "")
    key = name if name in raw else file_key(name)
    try:
        if name in raw and beside != "" and beside != Override(""):
            raise _Unfit(f"{file_key(name)} is given too, one of the two is enough")
        secret = _secret_value(raw[name]) if name in raw else _secret_file(beside)
        if secret is not None and secret.reveal() == b"":
            raise _Unfit("is empty")
    except _Unfit as unfit:
        complaints.add((*path, key), str(unfit))
        return None
    return secret


def _secret_value(raw: object) -> Secret:
    text = raw.text if isinstance(raw, Override) else raw
    if not isinstance(text, str):
        raise _Unfit("expected text")
    try:
        # os.environ holds octets that are not UTF-8 as surrogates: restore the original octets.
        return Secret(text.encode("utf-8", "surrogateescape"), None if isinstance(raw, Override) else "")
    except UnicodeEncodeError:
        raise _Unfit("not UTF-8") from None


def _named_secret(raw: object) -> SecretFile:
    """Return the secret in the file that `raw` names. Raises _Unfit."""
    secret = _secret_file(raw)
    if secret is None:
        raise _Unfit("expected the name of a file")
    if secret.reveal() == b"":
        raise _Unfit("the file is empty")
    return SecretFile(secret.reveal(), secret.file)


def _secret_file(raw: object) -> Secret | None:
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
    return Secret(_without_newline(value), name)


def _without_newline(value: bytes) -> bytes:
    """Return `value` without a final newline, which editors add and which is no part of the secret."""
    return value.removesuffix(b"\n").removesuffix(b"\r") if value.endswith(b"\r\n") else value.removesuffix(b"\n")
