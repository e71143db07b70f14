"""`trace`: what was said, from a running gateway's recorder: as lines, as JSON, as a trace to keep, as it happens."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bridge.commands import asking
from bridge.commands.asking import AskingError, Event, Gateway, Where
from bridge.recorder.messages import Message, Recorded
from bridge.trace import records
from bridge.trace.export import Side, exported

# Without --since: how many lines are enough to begin with.
_LINES = 50
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_ARROWS = {"charge_point": "CP -> CS", "central_system": "CP <- CS", "operator": "CP <- you"}


class Wanted(Struct, frozen=True, kw_only=True):
    """What the command line says. `identity` None is all Charge Points; `since` a moment; `export` "-" is standard
    output."""

    identity: str | None = None
    since: datetime | None = None
    follow: bool = False
    export: Path | None = None
    sides: tuple[Side, ...] = ("charge-point",)
    as_json: bool = False


def since(text: str, now: datetime | None = None) -> datetime:
    """A moment in ISO 8601, one without a zone in that of this machine, or how long ago: 90s, 10m, 2h, 7d. Raises
    ValueError."""
    ago = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if ago:
        return (now or datetime.now(UTC)) - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
    return datetime.fromisoformat(text).astimezone(UTC)


def run(where: Where, wanted: Wanted) -> int:
    """0 when it was shown or written. Raises AskingError, ConfigurationError, and OSError for a file."""
    gateway = asking.reach(where, os.environ)
    if wanted.export is not None:
        return _export(gateway, wanted, wanted.export)
    for message in reversed(list(_messages(gateway, wanted))):
        _show(message, wanted)
    if wanted.follow:
        _follow(gateway, wanted)
    return 0


def _messages(gateway: Gateway, wanted: Wanted) -> Iterator[Message]:
    """The newest first: all since then, else the last ones."""
    path = "/messages" if wanted.identity is None else f"/charge-points/{asking.segment(wanted.identity)}/messages"
    moment = None if wanted.since is None else wanted.since.isoformat()
    if moment is None and wanted.export is None:
        items: Iterable[Any] = gateway.get(path, limit=_LINES)["items"]
    else:
        items = gateway.pages(path, since=moment)
    return (msgspec.convert(item, Message) for item in items)


def _show(message: Message, wanted: Wanted) -> None:
    if wanted.as_json:
        print(msgspec.json.encode(message).decode(), flush=True)
        return
    for line in lines(message):
        print(line, flush=True)


def lines(message: Message) -> Sequence[str]:
    """A message for a person; why it did not end well on a line of its own."""
    clock = f"{datetime.fromisoformat(message.at).astimezone():%Y-%m-%d %H:%M:%S}"
    action = message.action or "(unknown)"
    ended = message.outcome if message.outcome != "result" else ""
    cost = f"{message.losses} lost" if message.losses else ""
    took = f"{message.ms:g} ms"
    told = "  ".join(filter(None, (action, message.summary, ended, cost, took)))
    first = f"{clock}  {message.identity or '(unknown)'}  {_ARROWS[message.sender]}  {told}"
    return [first, f"    {message.why}"] if message.why else [first]


def _follow(gateway: Gateway, wanted: Wanted) -> None:
    """What happens from now on, until stopped."""
    glob = None if wanted.identity is None else _literal(wanted.identity)
    for event in gateway.events(identity=glob):
        if event.kind == "message":
            _show(msgspec.convert(event.data, Message), wanted)
        elif not wanted.as_json and event.kind in ("link", "gap"):
            print(_happening(event), flush=True)


def _happening(event: Event) -> str:
    if event.kind == "gap":
        return "    (some of what happened was missed)"
    told = event.data
    clock = f"{datetime.fromisoformat(told['at']).astimezone():%Y-%m-%d %H:%M:%S}"
    words = (told.get("party") or "", told["what"], told.get("central_system") or "", told.get("reason") or "")
    return f"{clock}  {told['identity']}  link  {'  '.join(filter(None, words))}"


def _literal(identity: str) -> str:
    """A glob that fits this identity and no other."""
    return re.sub(r"([\[*?])", r"[\1]", identity)


def _export(gateway: Gateway, wanted: Wanted, to: Path) -> int:
    whole = [found for message in _messages(gateway, wanted) if (found := _whole(gateway, message.id)) is not None]
    trace = exported(reversed(whole), wanted.sides)
    text = b"".join(records.write(record) + b"\n" for record in trace.records)
    if str(to) == "-":
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    else:
        to.write_bytes(text)
        print(f"{to}: {len(trace.records)} records of {len(whole)} messages")
    if trace.left_out:
        print(f"{trace.left_out} messages are left out: what was neither a CALL nor an answer", file=sys.stderr)
    return 0


def _whole(gateway: Gateway, number: int) -> Recorded | None:
    """None if it was forgotten meanwhile."""
    try:
        return msgspec.convert(gateway.get(f"/messages/{number}"), Recorded)
    except AskingError as error:
        if error.status == 404:
            return None
        raise
