"""The console's pure modules, in the browser they are for: what a wire holds, a schema wants, a stream says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any
from xml.sax.saxutils import escape

import jsonschema
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins
from playwright.async_api import Page

from bridge.admin.forms import forms
from bridge.admin.pages import Pages
from tests.console.browser import started
from tests.e2e.stage import AT, COMMANDS, SAMPLES, Backstage

FORMS = {name: to_builtins(form)["request_schema"] for name, form in forms().items()}


class Modules:
    """The modules, loaded in a page that is served as the admin listener serves it."""

    def __init__(self, backstage: Backstage) -> None:
        self._backstage = backstage
        self._held = AsyncExitStack()
        self._page: Page

    def __enter__(self) -> Modules:
        self._backstage.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._backstage.run(self._held.aclose())

    async def _open(self) -> None:
        pages, application = Pages(), web.Application()
        application.router.add_get("/", pages.index)
        application.router.add_get("/console/{name:.+}", pages.asset)
        runner = web.AppRunner(application)
        await runner.setup()
        self._held.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        browser = await self._held.enter_async_context(started())
        self._page = await browser.new_page()
        await self._page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/console/icon.svg")

    def run(self, script: str, given: Any) -> Any:
        """What `script`, a function of (modules, given), gives."""
        names = ("wire", "schema", "stream", "words", "compare", "meters")
        loaded = ", ".join(f"{name}: await import('/console/{name}.js')" for name in names)
        text = f"async (given) => {{ const modules = {{ {loaded} }}; return ({script})(modules, given); }}"
        return self._backstage.run(self._page.evaluate(text, given))


@pytest.fixture(scope="module")
def modules() -> Iterator[Modules]:
    with Backstage() as backstage, Modules(backstage) as loaded:
        yield loaded


# What stands on a wire.

READ = """({wire}, text) => {
  const read = wire.parsed(text, true);
  return read && {text: read.lines.map((line) => line.parts.map(([, part]) => part).join("")).join("\\n"),
                  values: Object.fromEntries(read.values)};
}"""
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
)


def read(modules: Modules, text: str) -> Any:
    return modules.run(READ, text)


@given(VALUES)
def test_json_is_shown_whole(modules: Modules, value: Any) -> None:
    assert json.loads(read(modules, json.dumps(value))["text"]) == value


@pytest.mark.parametrize("text", ['{"a":230.10}', '{"a":1e400}', '{"a":123456789012345678901234567890}'])
def test_a_number_keeps_its_spelling(modules: Modules, text: str) -> None:
    assert read(modules, text)["values"]["a"] == text[5:-1]


@given(st.text(alphabet="<>/&;:\"'[]{},!?=- \n\\abc\x00", max_size=60) | st.text(max_size=40))
def test_whatever_cannot_be_read_is_no_accident(modules: Modules, text: str) -> None:
    result = read(modules, text)
    assert result is None or set(result) == {"text", "values"}


@pytest.mark.parametrize(
    "text", ["", " ", "{", "[1,]", '{"a"}', '{"a":1,}', "<a>", "<a></b>", "</a>", "<", "[" * 200, "<a>" * 200]
)
def test_what_is_not_whole_is_not_shown_as_if_it_were(modules: Modules, text: str) -> None:
    assert read(modules, text) is None


def test_xml_and_json_of_one_payload_have_the_same_values(modules: Modules) -> None:
    payload = {"connectorId": 1, "meterValue": [{"sampledValue": [{"value": "1.0"}, {"value": "2 < 3 & 'x'"}]}] * 2}
    body = f"<c:meterValuesRequest>{_elements(payload)}</c:meterValuesRequest>"
    envelope = f'<?xml version="1.0"?><s:Envelope xmlns:s="s" xmlns:c="c"><s:Body>{body}</s:Body></s:Envelope>'
    values = "({wire}, text) => Object.fromEntries(wire.parsed(text).values)"
    from_xml = modules.run(values, envelope)
    assert from_xml == modules.run(values, json.dumps([2, "1", "MeterValues", payload]))
    assert from_xml["meterValue#1.sampledValue#1.value"] == "2 < 3 & 'x'"


def _elements(value: Any) -> str:
    if not isinstance(value, dict):
        return escape(str(value))
    pairs = ((name, each) for name, inner in value.items() for each in (inner if isinstance(inner, list) else [inner]))
    return "".join(f"<c:{name}>{_elements(each)}</c:{name}>" for name, each in pairs)


COMPARED = """({compare}, {received, sent, losses}) =>
  [...compare.compared({received: {text: received}, model: null, sent: {text: sent}}, losses).differences]
    .map(([path, each]) => [path, each.loss ? "loss" : each.kind, each.reason])"""


def compared(modules: Modules, received: object, sent: object, *losses: dict[str, str]) -> Any:
    frames = {"received": json.dumps([2, "1", "X", received]), "sent": json.dumps([2, "2", "X", sent])}
    return modules.run(COMPARED, frames | {"losses": losses})


def test_what_differs_is_named(modules: Modules) -> None:
    before, after = {"a": 1, "b": [{"c": "x"}, {"c": "y"}], "d": 1}, {"a": 1, "b": [{"c": "x"}, {"c": "Y"}], "e": 2}
    assert compared(modules, before, after) == [["b#1.c", "changed", ""], ["d", "dropped", ""], ["e", "added", ""]]


def test_a_loss_is_found_by_its_path(modules: Modules) -> None:
    loss = {"path": "b[1].c", "reason": "it is dropped"}
    assert compared(modules, {"b": [{"c": 1}, {"c": 2}]}, {"b": [{"c": 1}, {}]}, loss) == [
        ["b#1.c", "loss", "it is dropped"]
    ]
    assert compared(modules, {"a": 1}, {"a": 1}, {"path": "", "reason": "answered here"}) == [
        ["", "loss", "answered here"]
    ]


# What a schema wants.

PROBLEMS = "({schema}, [form, payload]) => schema.problems(payload, form, form).map((each) => each.path.join('.'))"


@pytest.mark.parametrize(("action", "payload"), [*SAMPLES.items(), *COMMANDS.items()])
def test_a_good_payload_may_be_sent(modules: Modules, action: str, payload: Any) -> None:
    assert modules.run(PROBLEMS, [FORMS[action], payload]) == []


ODD: list[Any] = ["", "x" * 21, "x" * 501, 2**31, -1, 0.15, 0.3, 16.0, "2026-02-30T00:00:00Z", [], {}, None, True]


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[str, Any]:
    """A command with something in it that may not fit."""
    action = draw(st.sampled_from(sorted(COMMANDS)))
    payload = json.loads(json.dumps(COMMANDS[action]))
    spots: list[tuple[Any, Any]] = list(_spots(payload)) or [(payload, "idTag")]
    within, key = draw(st.sampled_from(spots))
    if isinstance(within, dict) and draw(st.booleans()):
        within.pop(key, None)
        key = draw(st.sampled_from([key, "constructor", "idTag", "zzz"]))
    if draw(st.booleans()):
        within[key] = draw(st.sampled_from(ODD))
    return action, payload


def _spots(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield value, key
        yield from _spots(inner)


_FORMATS = jsonschema.FormatChecker(formats=())


@_FORMATS.checks("date-time")
def _is_time(value: object) -> bool:
    """Among the examples there is one; ODD has a day that is not in the calendar, and texts."""
    return not isinstance(value, str) or value == AT


@given(spoilt())
def test_the_form_and_jsonschema_agree(modules: Modules, example: tuple[str, Any]) -> None:
    action, payload = example
    judge = jsonschema.Draft202012Validator(_decimals(FORMS[action]), format_checker=_FORMATS)
    assert (modules.run(PROBLEMS, [FORMS[action], payload]) == []) is judge.is_valid(payload)


def _decimals(schema: Any) -> Any:
    """`multipleOf` 0.1 is checked in binary by jsonschema; our examples hold one number that breaks it."""
    if isinstance(schema, dict):
        if schema.get("multipleOf") == 0.1:
            return {"type": "number", "not": {"const": 0.15}}
        return {name: _decimals(inner) for name, inner in schema.items()}
    return [_decimals(inner) for inner in schema] if isinstance(schema, list) else schema


# What a stream says.

EVENTS = """({stream}, parts) => {
  const all = [], parse = stream.parser((event) => all.push(event));
  parts.forEach(parse);
  return all;
}"""


@given(st.lists(st.integers(1, 12), min_size=1, max_size=20))
def test_events_may_come_in_any_parts(modules: Modules, sizes: list[int]) -> None:
    text = 'retry: 1000\n\n: alive\n\nevent: message\nid: 7\ndata: {"a": 1}\n\nevent: gap\ndata: {}\n\n'
    parts, at = [], 0
    for size in [*sizes, len(text)]:
        parts.append(text[at : at + size])
        at += size
    assert modules.run(EVENTS, parts) == [
        {"id": "7", "name": "message", "data": '{"a": 1}'},
        {"id": "", "name": "gap", "data": "{}"},
    ]


# How it is written.


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (12, "12 s"),
        (60, "1 min"),
        (7199, "1 h 59 min"),
        (7200, "2 h"),
        (9120, "2 h 32 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_a_span_is_written_short(modules: Modules, seconds: int, text: str) -> None:
    assert modules.run("({words}, seconds) => words.span(seconds)", seconds) == text


@pytest.mark.parametrize(
    ("wh", "text"), [(None, "–"), (0, "0 Wh"), (850.4, "850 Wh"), (1000, "1.00 kWh"), (1234567, "1,234.57 kWh")]
)
def test_energy_is_written_for_people(modules: Modules, wh: float | None, text: str) -> None:
    assert modules.run("({words}, wh) => words.energy(wh)", wh) == text


def test_meter_values_are_a_plot_for_each_measurand_the_most_useful_first(modules: Modules) -> None:
    def values(measurand: str, unit: str, points: list[list[float]], phase: str | None = None) -> dict[str, Any]:
        return {"measurand": measurand, "unit": unit, "phase": phase, "location": None, "points": points}

    plots = modules.run(
        "({meters}, all) => meters.plotsOf(all)",
        [
            values("Voltage", "V", [[0, 230], [60, 231]], "L1"),
            values("Voltage", "V", [[60, 229]], "L2"),
            values("Energy.Active.Import.Register", "Wh", [[0, 5000], [60, 5100]]),
            values("Temperature", "Celsius", [[0, 30]]),
            values("Power.Active.Import", "W", [[0, 11000]]),
        ],
    )
    assert [plot["title"] for plot in plots] == [
        "Power Active Import",
        "Energy since the first value",
        "Voltage",
        "Temperature",
    ]
    energy, voltage = plots[1], plots[2]
    assert energy["series"] == [{"label": "value", "unit": "Wh", "values": [0, 100]}]
    assert voltage["times"] == [0, 60]
    assert [(one["label"], one["values"]) for one in voltage["series"]] == [("L1", [230, 231]), ("L2", [None, 229])]
