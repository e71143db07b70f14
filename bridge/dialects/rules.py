"""The few kinds of difference between two versions. A table of them, by PDU, is all that a Dialect is.

A rule changes one record of plain data in place; the record is a copy that the Dialect made. The rules of a record run
in their order: where renaming comes last, every path is in the names of what was read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bridge.dialects.known import Known
from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.losses import Loss, Reason

Record = dict[str, Any]
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,10}\s*\Z")


class At(Struct, frozen=True, kw_only=True):
    """Where a rule is at work: in which PDU, where in it, with what knowledge; and where it tells its Losses."""

    message: str
    losses: list[Loss]
    known: Known = Known()
    path: str = ""

    def lose(self, name: str, reason: Reason) -> None:
        """`name` is that of a field here; "" for the whole record."""
        self.losses.append(Loss(message=self.message, path=self.of(name), reason=reason))

    def of(self, name: str) -> str:
        """The path of the field `name` of the record here."""
        return ".".join(filter(None, (self.path, name)))

    def inside(self, name: str) -> At:
        """The record in the field `name`."""
        return replace(self, path=self.of(name))


# False: this record cannot be said at all, and has told so. Only an item of a list may be left out.
Rule = Callable[[Record, At], bool | None]


def renamed(old: str, new: str) -> Rule:
    """The field has another name. Nothing is lost."""

    def rule(record: Record, at: At) -> None:
        if old in record:
            record[new] = record.pop(old)

    return rule


def respelled(name: str, spellings: Mapping[str, str], reason: Reason | None = None) -> Rule:
    """Words of an enumeration have another spelling; with `reason`, the new one says less or something else."""
    folded = {old.lower(): new for old, new in spellings.items()}

    def rule(record: Record, at: At) -> None:
        new = folded.get(word(record.get(name)))
        if new is not None:
            record[name] = new
            if reason is not None:
                at.lose(name, reason)

    return rule


def dropped(*names: str, reason: Reason = Reason.NOT_IN_VERSION) -> Rule:
    """The fields do not exist on the other side."""

    def rule(record: Record, at: At) -> None:
        for name in names:
            if record.pop(name, None) is not None:
                at.lose(name, reason)

    return rule


def each(name: str, *rules: Rule) -> Rule:
    """The rules for each record of a list. A list of which nothing is left is absent."""

    def rule(record: Record, at: At) -> None:
        items = record.get(name)
        if not isinstance(items, list | tuple):
            return
        copies = [(dict(item), at.inside(f"{name}[{index}]")) for index, item in enumerate(items)]
        left = [copy for copy, here in copies if all(rule(copy, here) is not False for rule in rules)]
        record[name] = left
        if items and not left:
            del record[name]

    return rule


def having(name: str) -> Rule:
    """The record says nothing without this field."""

    def rule(record: Record, at: At) -> bool:
        return name in record

    return rule


def only(name: str, words: Collection[str]) -> Rule:
    """The other words of the enumeration cannot be said: MessageError. `Dialect.instead` answers them beforehand."""

    def rule(record: Record, at: At) -> None:
        if record.get(name) not in words:
            text = f"{record.get(name)!r} cannot be said in the older version"
            raise MessageError(ErrorCode.NotSupported, text, at.of(name))

    return rule


def number(value: Any) -> int | None:
    """What the text of a 32-bit integer means; None for any other."""
    return int(value) if isinstance(value, str) and _INTEGER.match(value) else None


def word(value: Any) -> str:
    """A word as it is compared: in lower case, white space around it forgiven (quirks 29 and 37)."""
    return value.strip().lower() if isinstance(value, str) else ""
