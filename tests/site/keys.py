"""The reference of configuration keys, made from the records of `bridge.config.records`.

A record's field gives the key, its type, its bounds and its default; the record's docstring says what the key is for.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args

import msgspec
from msgspec import NODEFAULT, Meta

from bridge.config import Settings
from bridge.config.changes import needs_restart
from bridge.config.records import (
    Content,
    Listen,
    Network,
    Quirks,
    ReplayBoot,
    Secret,
    SecretFile,
    Table,
    WorkerCount,
    Workers,
)
from bridge.config.shapes import Hint, choices, fields, file_key, is_table, listed, named, origin, present
from bridge.gateway.quirks import profile_of
from bridge.ocpp.device_profile import DeviceProfile
from tests.site.markdown import code, table, words

# Names of the tables whose names the operator chooses.
_CHOSEN = {"central_systems": "NAME", "tenants": "NAME", "charge_points": '"IDENTITY"'}
# Tables within that of a listener that a reload applies, besides those of TLS: `bridge.config.changes` names them.
_RELOADED = (("admin", "tokens"), ("admin", "oidc"))
_HEADER = ("key", "value", "default", "meaning", "a change needs")
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
# The words of a DeviceProfile that the configuration spells otherwise.
_SPELLED: Mapping[tuple[str, Any], str] = {("soap11", True): '"answer"', ("soap11", False): '"refuse"'}
_PROFILE_FIELDS = {"soap11": "answers_soap11"}
_NOUNS: dict[object, str] = {str: "text", int: "an integer", float: "a number", bool: "`true` or `false`"}


def reference() -> str:
    """Return a section for the keys above the first table, and one for each table of the configuration."""
    return "\n".join([_above(), *(_section(path, record, many) for path, record, many in tables(Settings))])


def _above() -> str:
    """Return the section of the keys that stand before the first table. A reload applies them."""
    plain = [each for each in fields(Settings) if not is_table(_holds(each))]
    said = described(Settings)
    rows = [(code(f.name), _value(present(f.type)), _default(Settings, f), said[f.name], "SIGHUP") for f in plain]
    return f"## Before the first table\n\n{table(_HEADER, rows)}"


def _holds(field: msgspec.structs.FieldInfo) -> Hint:
    hint = present(field.type)
    return named(hint) or listed(hint) or hint


def tables(record: type[Table], above: str = "") -> Iterator[tuple[str, type[Table], bool]]:
    """Return each table below `record`: its dotted path as the file spells it, its record, and whether it is a list."""
    for field in fields(record):
        hint = present(field.type)
        below, many = named(hint) or listed(hint) or hint, listed(hint) is not None
        if is_table(below):
            path = f"{above}{field.name}{'.' + _CHOSEN[field.name] if named(hint) else ''}"
            yield path, below, many
            yield from tables(below, f"{path}.")


def described(record: type[Table]) -> dict[str, str]:
    """Return what the docstrings of a record and of its bases say of each key."""
    said: dict[str, str] = {}
    for base in reversed(record.__mro__):
        attributes = (inspect.cleandoc(base.__doc__ or "") if issubclass(base, Table) else "").partition("Attributes:")
        said |= {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(attributes[2])}
    return said


def _section(path: str, record: type[Table], many: bool) -> str:
    heading = f"[[{path}]]" if many and path.partition(".")[0] not in ("soap", "websocket") else f"[{path}]"
    rows = [row for field in _own_first(record) for row in _rows(path, record, field)]
    about = inspect.cleandoc(record.__doc__ or "").partition("\n\nAttributes:")[0].replace("\n", " ").replace("  ", " ")
    return f"## `{heading}`\n\n{about}\n\n{table(_HEADER, rows)}"


def _own_first(record: type[Table]) -> list[msgspec.structs.FieldInfo]:
    """Return the fields of a record, those of its base classes last."""
    bases = [base for base in record.__mro__[1:] if issubclass(base, Table)]
    inherited = {name for base in bases for name in base.__struct_fields__}
    return sorted(fields(record), key=lambda field: field.name in inherited)


def _rows(path: str, record: type[Table], field: msgspec.structs.FieldInfo) -> Iterator[tuple[str, ...]]:
    hint = present(field.type)
    if is_table(named(hint) or listed(hint) or hint):
        return
    meaning = described(record)[field.name]
    needs = "SIGHUP" if _is_reloaded(path, field.name) else "a restart"
    yield code(field.encode_name), _value(hint), _default(record, field), meaning, needs
    if hint is Secret:
        about = f"File with the value of {code(field.name)}."
        yield code(file_key(field.name)), "path of a file", "none", about, needs


def _value(hint: Hint) -> str:
    """Return the values that a key takes, in words."""
    if named(hint) is Secret:
        return "a table of texts; a name that ends in `_file` names a file with the text"
    if (entry := listed(hint)) is not None:
        return "a list of networks, such as `10.1.0.0/16`" if entry == Network else "a list of texts"
    if hint == Content:
        return "a table"
    if hint == ReplayBoot:
        return '`"auto"`, `true` or `false`'
    if hint == Workers:
        return f'`"auto"` or {_value(WorkerCount)}'
    if options := choices(hint):
        return words(code(f'"{option}"') for option in options)
    if hint is Listen:
        return "`HOST:PORT`"
    if hint is SecretFile:
        return "path of a file"
    if hint is Secret:
        return "text"
    if origin(hint) is Annotated:
        plain, *metas = get_args(hint)
        return _NOUNS[plain] + next(_bounds(meta) for meta in metas if isinstance(meta, Meta))
    return _NOUNS[hint]


def _bounds(meta: Meta) -> str:
    """Return the bounds of a number in words. The largest ones only prevent overflows, and are left out."""
    assert meta.le is not None
    if meta.gt is not None:
        return f" above {meta.gt:g}"
    return f", {meta.ge} or more" if meta.le >= 1e9 else f" from {meta.ge} to {meta.le}"


def _default(record: type[Table], field: msgspec.structs.FieldInfo) -> str:
    if issubclass(record, Quirks) and field.name in Quirks.__struct_fields__:
        return code(_quirk_default(field.name))
    if field.default is NODEFAULT:
        return "required" if field.default_factory is NODEFAULT else code("{}")
    return "none" if field.default is None else code(_toml(field.default))


def _quirk_default(name: str) -> str:
    """Return the default of a quirk key: that of the DeviceProfile that obeys it."""
    profile: DeviceProfile = profile_of(())
    value = getattr(profile, _PROFILE_FIELDS.get(name, name))
    return _SPELLED.get((name, value)) or _toml(value)


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}" if value < 1e6 else str(int(value))
        case int():
            return str(value)
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"'


def _is_reloaded(path: str, key: str) -> bool:
    """Return whether a running bridge applies a new value of the key: what `bridge.config.changes` says of it."""
    names = path.split(".")
    settings = Settings()
    value = getattr(settings, names[0])
    if len(names) > 1 or isinstance(value, dict):  # a table within a table, such as that of TLS
        return (
            (names[-1] == "tls" and names[0] != "cluster") or names[0] in _CHOSEN or (names[0], names[1]) in _RELOADED
        )
    if value == ():  # a list of tables that is empty by default
        return needs_restart(settings, msgspec.structs.replace(settings, **{names[0]: (object(),)})) == []
    one = value[0] if isinstance(value, tuple) else value
    other = msgspec.structs.replace(one, **{key: object()})
    changed = msgspec.structs.replace(settings, **{names[0]: (other,) if isinstance(value, tuple) else other})
    return needs_restart(settings, changed) == []
