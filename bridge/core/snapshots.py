"""The state of the core as octets, so that another process of the same version of the bridge can go on with it.

A snapshot is MessagePack. A value of a class is written with the name of the class and its fields by name; only the
classes below are read, so that octets from another process make nothing but state. Times are moved to the clock of the
process that reads them. The store is another thing: it keeps records, which later versions read as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from ipaddress import ip_network
from types import ModuleType
from typing import Any

import msgspec
from msgspec import Raw, Struct

from bridge import errors
from bridge.core import (
    addresses,
    authorizations,
    boots,
    callback,
    connectors,
    inference,
    lanes,
    late,
    links,
    memory,
    repetitions,
    silence,
    transactions,
    triggers,
)
from bridge.ocpp import actions, device_profile, enums, losses, messages, rpc, types, wire

FORMAT = 1

# The classes with state that changes, and their fields that hold a time of the event clock, in seconds.
_TIMES: Mapping[type, tuple[str, ...]] = {
    links.Link: ("confirmed_at", "not_before", "retry_at"),
    links.SessionTimes: ("heard", "sent", "woken"),
    lanes.Lane: (),
    lanes.Pending: ("arrived", "deadline", "not_before", "sent"),
    late.LateAnswers: (),
    silence.Silence: (),
    connectors.Connectors: (),
    connectors.LastStatuses: (),
    boots.Boots: ("_next", "_first_call"),
    triggers.LastSaid: (),
    inference.InferredStatuses: (),
    repetitions.Repetitions: ("_began",),
    memory.Aliases: (),
    authorizations.Authorizations: (),
    transactions.Transactions: ("_last", "_looked"),
    callback.CallbackAddress: (),
}
_VALUES: tuple[ModuleType, ...] = (
    *(
        actions,
        addresses,
        authorizations,
        boots,
        connectors,
        device_profile,
        enums,
        errors,
        inference,
        links,
        losses,
        memory,
    ),
    *(messages, repetitions, rpc, silence, transactions, types, wire),
)
_COLLECTIONS: Mapping[str, Callable[[Any], Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": list,
}


def _classes() -> Iterator[type]:
    """Yield the classes of values: records and enumerations, those that begin with an underscore included."""
    for module in _VALUES:
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, Struct | Enum) and kind.__module__ == module.__name__:
                yield kind


_KINDS: Mapping[str, type] = {kind.__name__: kind for kind in (*_classes(), *_TIMES)}


class SnapshotError(ValueError):
    """The octets are no snapshot, or that of another version of the bridge."""


def write(state: Mapping[str, Any], at: float) -> bytes:
    """Return `state` as octets.

    Args:
        state: Values by name.
        at: The time now, on the clock of the events, in seconds.
    """
    return msgspec.msgpack.encode({"format": FORMAT, "at": at, "state": _plain(dict(state))})


def read(octets: bytes, at: float) -> dict[str, Any]:
    """Return the values of a snapshot, with their times on the clock of this process.

    Args:
        octets: What `write` returned, in this process or another one.
        at: The time now, on the clock of the events, in seconds.

    Raises:
        SnapshotError: The octets are no snapshot of this version.
    """
    try:
        document = msgspec.msgpack.decode(octets)
        if document["format"] != FORMAT:
            raise SnapshotError(f"a snapshot of the format {document['format']!r}; this version reads {FORMAT}")
        state = _Reader(at - document["at"]).value(document["state"])
    except SnapshotError:
        raise
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise SnapshotError(f"no snapshot of this version: {error!r}") from error
    if not isinstance(state, dict):
        raise SnapshotError("no snapshot of this version: it holds no values by name")
    return state


def _plain(value: Any) -> Any:
    """Return a value as MessagePack has it: scalars as they are, all others as a list that begins with their kind."""
    if value is None or type(value) in (bool, float, str, bytes):
        return value
    if type(value) is int:
        return value if -(2**63) <= value < 2**63 else ["int", str(value)]
    if isinstance(value, Enum) and _KINDS.get(type(value).__name__) is type(value):
        return ["enum", type(value).__name__, value.name]
    if type(value) is Raw:
        return ["Raw", bytes(value)]
    if type(value) is Decimal:
        return ["Decimal", str(value)]
    if isinstance(value, Mapping):
        return ["dict", *([_plain(key), _plain(item)] for key, item in value.items())]
    if (kind := type(value).__name__) in _COLLECTIONS:
        return [kind, *map(_plain, value)]
    if hasattr(value, "network_address"):  # an IPv4Network or IPv6Network
        return ["network", str(value)]
    if _KINDS.get(kind) is not type(value):
        raise TypeError(f"a {type(value).__qualname__} has no place in a snapshot")
    return ["class", kind, {name: _plain(item) for name, item in _fields_of(value).items()}]


def _fields_of(value: Any) -> dict[str, Any]:
    """Return the fields of an object of the core, by name."""
    if isinstance(value, Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    slots = getattr(type(value), "__slots__", None)
    return dict(vars(value)) if slots is None else {name: getattr(value, name) for name in slots}


class _Reader:
    """Reads values. `ahead`: seconds by which the clock of this process is ahead of that of the snapshot."""

    def __init__(self, ahead: float) -> None:
        self._ahead = ahead

    def value(self, plain: Any) -> Any:
        if not isinstance(plain, list):
            return plain
        kind, *items = plain
        if kind in _COLLECTIONS:
            return _COLLECTIONS[kind](map(self.value, items))
        match kind:
            case "dict":
                return {self.value(key): self.value(item) for key, item in items}
            case "enum":
                member = _KINDS[items[0]]
                assert issubclass(member, Enum)
                return member[items[1]]
            case "int":
                return int(items[0])
            case "Raw":
                return Raw(items[0])
            case "Decimal":
                return Decimal(items[0])
            case "network":
                return ip_network(items[0])
            case "class":
                return self._object(_KINDS[items[0]], {name: self.value(item) for name, item in items[1].items()})
        raise SnapshotError(f"no snapshot of this version: a value of the kind {kind!r}")

    def _object(self, kind: type, fields: dict[str, Any]) -> Any:
        for name in _TIMES.get(kind, ()):
            if isinstance(fields[name], dict):
                fields[name] = {key: at + self._ahead for key, at in fields[name].items()}
            elif fields[name] is not None:
                fields[name] += self._ahead
        if issubclass(kind, Struct):
            return kind(**fields)
        made = object.__new__(kind)
        for name, item in fields.items():
            setattr(made, name, item)
        return made
