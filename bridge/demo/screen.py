"""What went over the wires, as lines for a terminal of 100 columns. Pure: messages in, text out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from lxml.etree import XMLSyntaxError

from bridge.demo.json_lines import json_lines
from bridge.demo.lines import columns, printable, wrapped
from bridge.demo.xml_lines import xml_lines
from bridge.simulators.wire import Kind, WireMessage

WIDTH = 100

Style: TypeAlias = Literal["title", "up", "down", "label", "good", "bad"]
Paint: TypeAlias = Callable[[Style, str], str]

# "up" is towards the Central System, "down" towards the Charge Point.
_CODES: dict[Style, str] = {"title": "1", "up": "36", "down": "35", "label": "2", "good": "32", "bad": "1;31"}
_WORDS: dict[Kind, tuple[str, str]] = {
    "call": ("SOAP request", "JSON request"),
    "result": ("SOAP answer", "JSON answer"),
    "error": ("SOAP Fault", "JSON error"),
}
_MARGIN = 16


def plain(style: Style, text: str) -> str:
    """The paint of a terminal without colour."""
    return text


def coloured(style: Style, text: str) -> str:
    """The paint of a terminal with colour."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One Call and its answer, on both sides: `messages` in the order they were seen."""

    number: int
    name: str
    upwards: bool
    messages: Sequence[WireMessage]

    @property
    def seconds(self) -> float | None:
        """The round trip, as the party took it that asked; None if it got no answer."""
        return next((message.elapsed for message in self.messages if message.elapsed is not None), None)


def direction(upwards: bool) -> str:
    """Who asks whom."""
    return "CP -> CS" if upwards else "CS -> CP"


def exchange_lines(exchange: Exchange, paint: Paint) -> list[str]:
    """The title and each message of `exchange`, the far side's after the near side's."""
    lines = [_title(exchange, paint)]
    for message in exchange.messages:
        lines += message_lines(message, paint)
    return lines


def _title(exchange: Exchange, paint: Paint) -> str:
    left = f"{exchange.number:>2}  {exchange.name} "
    way = direction(exchange.upwards)
    right = f"{'no answer' if exchange.seconds is None else _milliseconds(exchange.seconds):>10}"
    dots = "." * (WIDTH - columns(left) - len(way) - len(right) - 2)
    return f"{paint('title', left)}{paint('label', dots)} {paint('up' if exchange.upwards else 'down', way)} {right}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def message_lines(message: WireMessage, paint: Paint) -> list[str]:
    """One message, its wire and kind in the margin."""
    soap, json = _WORDS[message.kind]
    style: Style = "bad" if message.kind == "error" else "label"
    margins = [paint(style, f"  {json if _is_json(message.text) else soap}".ljust(_MARGIN))]
    body = _body(message.text, WIDTH - _MARGIN)
    return [margin + line for margin, line in zip(margins + [" " * _MARGIN] * (len(body) - 1), body, strict=True)]


def _is_json(text: str) -> bool:
    return text.lstrip().startswith("[")


def _body(text: str, width: int) -> list[str]:
    """The message for people; what is neither a frame nor an envelope as it came."""
    try:
        return (json_lines(text, width) if _is_json(text) else xml_lines(text, width)) or [""]
    except (ValueError, RecursionError, XMLSyntaxError):
        return wrapped(_visible(text), width)


def failure_lines(step: str, expected: str, came: str, paint: Paint) -> list[str]:
    """Which step failed, what was expected of it and what came."""
    lines = [paint("bad", line) for line in wrapped(f"FAILED: {step}", WIDTH)]
    for label, text in (("expected", expected), ("came", came)):
        lines += wrapped(f"  {label:<10}{_visible(text)}", WIDTH, hang=" " * 12)
    return lines


def _visible(text: str) -> str:
    return printable(text, lambda code: f"\\u{code:04x}")


def loss_lines(field: str, reason: str, times: int, paint: Paint) -> list[str]:
    """A loss that the gateway logged, and how often."""
    first, *others = wrapped(f"Loss  {field}{f' ({times} times)' if times > 1 else ''}: {reason}", WIDTH, hang=" " * 6)
    return [paint("label", first[:4]) + first[4:], *others]


def summary(upwards: int, downwards: int, seconds: float, paint: Paint) -> list[str]:
    """The last line of a session that went well."""
    counts = f"{upwards} messages {direction(True)}, {downwards} messages {direction(False)}"
    return [paint("good", f"{counts}: all answered as expected, in {seconds:.1f} s")]


def life_lines(clock: str, action: str, seconds: float, failure: str, paint: Paint) -> list[str]:
    """What the Charge Point that lives on sent, on one line; `failure` is empty if it was answered."""
    line = f"{clock}  {paint('up', direction(True))}  {action}, {_milliseconds(seconds)}"
    return [line, *(paint("bad", wrong) for wrong in wrapped(_visible(failure), WIDTH, indent="  ") if failure)]
