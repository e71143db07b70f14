"""The kinds of difference between two versions. A Dialect is a table of rules of these kinds, by PDU.

A rule changes one record of plain data in place; the record is the Dialect's own copy. The rules of a record run in
order. Renaming comes last where possible, so that every path of a Loss has the names of the version that was read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bridge.dialects.known import Known
from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.losses import Losses, LossReason

Record = dict[str, Any]
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,10}\s*\Z")


class At(Struct, frozen=True, kw_only=True):
    """The place in a PDU to which a rule is applied.

    Attributes:
        message: The name of the PDU.
        losses: Collects the Losses.
        known: The state of the Charge Point.
        path: The path of the record in the PDU; empty for the PDU itself.
    """

    message: str
    losses: Losses
    known: Known = Known()
    path: str = ""

    def lose(self, name: str, reason: LossReason) -> None:
        """Report a Loss of the field `name` of this record; "" stands for the whole record."""
        self.losses.add(self.message, self.of(name), reason)

    def of(self, name: str) -> str:
        """Return the path of the field `name` of this record."""
        return ".".join(filter(None, (self.path, name)))

    def inside(self, name: str) -> At:
        """Return the place of the record in the field `name`."""
        return replace(self, path=self.of(name))


# A rule returns False to leave out a record that the other version cannot express. The rule has then reported the
# Loss. Only a record in a list may be left out.
Rule = Callable[[Record, At], bool | None]


def renamed(old: str, new: str) -> Rule:
    """Return a rule that renames a field. Nothing is lost."""

    def rule(record: Record, at: At) -> None:
        if old in record:
            record[new] = record.pop(old)

    return rule


def respelled(name: str, spellings: Mapping[str, str], reason: LossReason | None = None) -> Rule:
    """Return a rule that replaces enumeration values.

    Args:
        name: The field.
        spellings: The new value for each old value.
        reason: The reason of the Loss when the new value says less or something else; None for the same meaning.
    """
    folded = {old.lower(): new for old, new in spellings.items()}

    def rule(record: Record, at: At) -> None:
        new = folded.get(word(record.get(name)))
        if new is not None:
            record[name] = new
            if reason is not None:
                at.lose(name, reason)

    return rule


def dropped(*names: str, reason: LossReason = LossReason.NOT_IN_VERSION) -> Rule:
    """Return a rule that drops the fields `names`, which the other version lacks."""

    def rule(record: Record, at: At) -> None:
        for name in names:
            if record.pop(name, None) is not None:
                at.lose(name, reason)

    return rule


def each(name: str, *rules: Rule) -> Rule:
    """Return a rule that applies `rules` to each record of the list `name`. A list that loses all items is removed."""

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
    """Return a rule that leaves out a record without the field `name`, because the record then says nothing."""

    def rule(record: Record, at: At) -> bool:
        return name in record

    return rule


def only(name: str, words: Collection[str]) -> Rule:
    """Return a rule that raises MessageError for a value of `name` that is not in `words`.

    The older version lacks the other values. `Dialect.instead` answers a Call with such a value beforehand.
    """

    def rule(record: Record, at: At) -> None:
        if record.get(name) not in words:
            text = f"{record.get(name)!r} cannot be said in the older version"
            raise MessageError(ErrorCode.NotSupported, text, at.of(name))

    return rule


def number(value: Any) -> int | None:
    """Return the number in the text of an integer of at most 10 digits, or None for any other value."""
    return int(value) if isinstance(value, str) and _INTEGER.match(value) else None


def word(value: Any) -> str:
    """Return a word in the form for comparison: lower case, without white space around it (quirks 29 and 37)."""
    return value.strip().lower() if isinstance(value, str) else ""
