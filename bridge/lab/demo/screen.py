"""Show the messages on the wires as lines for a terminal of 100 columns. Pure: messages in, text out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from lxml.etree import XMLSyntaxError

from bridge.lab.demo.json_lines import json_lines
from bridge.lab.demo.lines import columns, printable, wrapped
from bridge.lab.demo.xml_lines import xml_lines
from bridge.lab.simulators.wire import Kind, WireMessage

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
    """Return `text` without colour, for a terminal without colours."""
    return text


def coloured(style: Style, text: str) -> str:
    """Return `text` with the escape sequences that colour it."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownExchange:
    """One Call and its answer, on both sides. `messages` has the order in which the messages were seen."""

    number: int
    name: str
    upwards: bool
    messages: Sequence[WireMessage]

    @property
    def seconds(self) -> float | None:
        """Return the round trip at the calling party, in seconds, or None if that party got no answer.

        For a Call that the gateway sends by itself, return the time between the Call and its answer.
        """
        told = next((message.elapsed for message in self.messages if message.elapsed is not None), None)
        if told is None and self.messages and self.messages[-1].kind == "result":
            return self.messages[-1].at - self.messages[0].at
        return told


def direction(upwards: bool) -> str:
    """Return the text that names the caller and the called party."""
    return "CP -> CS" if upwards else "CS -> CP"


def exchange_lines(exchange: ShownExchange, paint: Paint) -> list[str]:
    """Return the lines of the title and of each message of `exchange`."""
    lines = [_title(exchange, paint)]
    for message in exchange.messages:
        lines += message_lines(message, paint)
    return lines


def _title(exchange: ShownExchange, paint: Paint) -> str:
    left = f"{exchange.number:>2}  {exchange.name} "
    transport = direction(exchange.upwards)
    right = f"{'no answer' if exchange.seconds is None else _milliseconds(exchange.seconds):>10}"
    dots = "." * (WIDTH - columns(left) - len(transport) - len(right) - 2)
    return (
        f"{paint('title', left)}{paint('label', dots)} {paint('up' if exchange.upwards else 'down', transport)} {right}"
    )


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def message_lines(message: WireMessage, paint: Paint) -> list[str]:
    """Return the lines of one message, with its wire and its kind in the margin."""
    soap, json = _WORDS[message.kind]
    style: Style = "bad" if message.kind == "error" else "label"
    margins = [paint(style, f"  {json if _is_json(message.text) else soap}".ljust(_MARGIN))]
    body = _body(message.text, WIDTH - _MARGIN)
    return [margin + line for margin, line in zip(margins + [" " * _MARGIN] * (len(body) - 1), body, strict=True)]


def _is_json(text: str) -> bool:
    return text.lstrip().startswith("[")


def _body(text: str, width: int) -> list[str]:
    """Return the lines of a frame or an envelope. Any other text is wrapped as it is."""
    try:
        return (json_lines(text, width) if _is_json(text) else xml_lines(text, width)) or [""]
    except (ValueError, RecursionError, XMLSyntaxError):
        return wrapped(_visible(text), width)


def failure_lines(step: str, expected: str, came: str, paint: Paint) -> list[str]:
    """Return the lines that report a failed step.

    Args:
        step: The name of the step.
        expected: The expected outcome.
        came: The outcome that came.
        paint: Colours a text.
    """
    lines = [paint("bad", line) for line in wrapped(f"FAILED: {step}", WIDTH)]
    for label, text in (("expected", expected), ("came", came)):
        lines += wrapped(f"  {label:<10}{_visible(text)}", WIDTH, hang=" " * 12)
    return lines


def _visible(text: str) -> str:
    return printable(text, lambda code: f"\\u{code:04x}")


def loss_lines(field: str, reason: str, times: int, paint: Paint) -> list[str]:
    """Return the lines of one logged loss.

    Args:
        field: The field that was lost or changed.
        reason: The reason of the loss.
        times: How often the loss was logged.
        paint: Colours a text.
    """
    first, *others = wrapped(f"Loss  {field}{f' ({times} times)' if times > 1 else ''}: {reason}", WIDTH, hang=" " * 6)
    return [paint("label", first[:4]) + first[4:], *others]


def summary(upwards: int, downwards: int, seconds: float, paint: Paint) -> list[str]:
    """Return the last line of a session without a failure.

    Args:
        upwards: The number of messages to the Central System.
        downwards: The number of messages to the Charge Point.
        seconds: The duration of the session.
        paint: Colours a text.
    """
    counts = f"{upwards} messages {direction(True)}, {downwards} messages {direction(False)}"
    return [paint("good", f"{counts}: all answered as expected, in {seconds:.1f} s")]


def life_lines(clock: str, action: str, seconds: float, failure: str, paint: Paint) -> list[str]:
    """Return the lines of one message that the Charge Point sent after the session.

    Args:
        clock: The time of day.
        action: The action of the message.
        seconds: The time until the answer.
        failure: The reason why there is no answer; empty with an answer.
        paint: Colours a text.
    """
    line = f"{clock}  {paint('up', direction(True))}  {action}, {_milliseconds(seconds)}"
    return [line, *(paint("bad", wrong) for wrong in wrapped(_visible(failure), WIDTH, indent="  ") if failure)]
