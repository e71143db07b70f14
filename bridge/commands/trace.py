"""Command `trace`: print, follow or export the messages in a running gateway's recorder."""

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
from bridge.commands.asking import AdminClient, AskingError, StreamEvent, Where
from bridge.commands.output import write_private
from bridge.commands.terminal import escaped_json, say, say_json
from bridge.recorder import trace_records as records
from bridge.recorder.messages import Message, Recorded
from bridge.recorder.trace_export import Side, exported

# Number of messages that are shown without --since.
_LINES = 50
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_ARROWS = {"charge_point": "CP -> CS", "central_system": "CP <- CS", "operator": "CP <- you"}


class TraceQuery(Struct, frozen=True, kw_only=True):
    """The options of the command.

    Attributes:
        identity: The Charge Point; None for all.
        since: Time of the first message; None for the last messages, or for all if `export` is given.
        follow: Whether to show new messages until stopped.
        export: File for a trace; "-" is standard output.
        sides: Sides whose connections are exported.
        as_json: Whether to print each message as a line of JSON.
    """

    identity: str | None = None
    since: datetime | None = None
    follow: bool = False
    export: Path | None = None
    sides: tuple[Side, ...] = ("charge-point",)
    as_json: bool = False


def since(text: str, now: datetime | None = None) -> datetime:
    """Parse a time in ISO 8601, in the zone of this machine if it has none, or an age: 90s, 10m, 2h, 7d.

    `now` replaces the current time. Raises ValueError.
    """
    ago = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if ago:
        return (now or datetime.now(UTC)) - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
    return datetime.fromisoformat(text).astimezone(UTC)


def run(where: Where, wanted: TraceQuery) -> int:
    """Show or export the messages. Returns exit code 0.

    Raises:
        AskingError: The gateway did not answer, or refused.
        ConfigurationError: The configuration or the URL of the gateway cannot be used.
        OSError: The file cannot be written.
    """
    gateway = asking.reach(where, os.environ)
    if wanted.export is not None:
        return _export(gateway, wanted, wanted.export)
    for message in reversed(list(_messages(gateway, wanted))):
        _show(message, wanted)
    if wanted.follow:
        _follow(gateway, wanted)
    return 0


def _messages(gateway: AdminClient, wanted: TraceQuery) -> Iterator[Message]:
    """Return the messages, the newest first: all since `wanted.since`, or all for an export, else the last ones."""
    path = "/messages" if wanted.identity is None else f"/charge-points/{asking.segment(wanted.identity)}/messages"
    moment = None if wanted.since is None else wanted.since.isoformat()
    if moment is None and wanted.export is None:
        items: Iterable[Any] = gateway.get(path, limit=_LINES)["items"]
    else:
        items = gateway.pages(path, since=moment)
    return (msgspec.convert(item, Message) for item in items)


def _show(message: Message, wanted: TraceQuery) -> None:
    if wanted.as_json:
        say_json(message)
        return
    for line in lines(message):
        say(line)


def lines(message: Message) -> Sequence[str]:
    """Return the lines that show a message. The reason of a failure has a line of its own."""
    clock = f"{datetime.fromisoformat(message.at).astimezone():%Y-%m-%d %H:%M:%S}"
    action = message.action or "(unknown)"
    ended = message.outcome if message.outcome != "result" else ""
    cost = f"{message.losses} lost" if message.losses else ""
    took = f"{message.ms:g} ms"
    told = "  ".join(filter(None, (action, message.summary, ended, cost, took)))
    first = f"{clock}  {message.identity or '(unknown)'}  {_ARROWS[message.sender]}  {told}"
    return [first, f"    {message.why}"] if message.why else [first]


def _follow(gateway: AdminClient, wanted: TraceQuery) -> None:
    """Show new messages and events until stopped."""
    glob = None if wanted.identity is None else _literal(wanted.identity)
    for event in gateway.events(identity=glob):
        if event.kind == "message":
            _show(msgspec.convert(event.data, Message), wanted)
        elif not wanted.as_json and event.kind in ("link", "gap"):
            say(_happening(event))


def _happening(event: StreamEvent) -> str:
    if event.kind == "gap":
        return "    (some of what happened was missed)"
    told = event.data
    clock = f"{datetime.fromisoformat(told['at']).astimezone():%Y-%m-%d %H:%M:%S}"
    words = (told.get("party") or "", told["what"], told.get("central_system") or "", told.get("reason") or "")
    return f"{clock}  {told['identity']}  link  {'  '.join(filter(None, words))}"


def _literal(identity: str) -> str:
    """Return a glob that matches `identity` only."""
    return re.sub(r"([\[*?])", r"[\1]", identity)


def _export(gateway: AdminClient, wanted: TraceQuery, to: Path) -> int:
    whole = [found for message in _messages(gateway, wanted) if (found := _whole(gateway, message.id)) is not None]
    trace = exported(reversed(whole), wanted.sides)
    lines = [records.write(record) for record in trace.records]
    if str(to) == "-":
        sys.stdout.buffer.write("".join(f"{escaped_json(line)}\n" for line in lines).encode())
        sys.stdout.buffer.flush()
    else:
        write_private(to, (line + b"\n" for line in lines))
        print(f"{to}: {len(trace.records)} records of {len(whole)} messages")
    if trace.unanswered:
        print(f"{trace.unanswered} CALLs got no answer: their `meta` says `answered: false` and why", file=sys.stderr)
    if trace.left_out:
        print(f"{trace.left_out} messages are left out: what was neither a CALL nor an answer", file=sys.stderr)
    return 0


def _whole(gateway: AdminClient, number: int | str) -> Recorded | None:
    """Return the message `number` with its content; None if the recorder has dropped it meanwhile."""
    try:
        return msgspec.convert(gateway.get(f"/messages/{number}"), Recorded)
    except AskingError as error:
        if error.status == 404:
            return None
        raise
