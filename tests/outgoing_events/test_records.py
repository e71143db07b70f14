"""The events as other systems get them, and the schema that says how they look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import bridge
from bridge.config.records import EventType
from bridge.outgoing_events.records import KINDS, TYPES, AnyEvent, OutgoingEvent, schema, type_of

DOCS = Path(bridge.__file__).parents[1] / "docs"
# Written with `python -m tests.outgoing_events.test_records`.
SCHEMA = DOCS / "events.schema.json"


def written() -> str:
    return json.dumps(schema(), indent=2) + "\n"


def test_the_schema_in_the_documentation_is_that_of_the_records() -> None:
    assert SCHEMA.read_text("utf-8") == written(), "python -m tests.outgoing_events.test_records"


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema())


def test_the_configuration_knows_all_types() -> None:
    assert get_args(EventType) == TYPES


@pytest.mark.parametrize("name", TYPES)
def test_the_documentation_shows_each_type(name: str) -> None:
    """With an event of it that is as the schema says."""
    text = (DOCS / "events.md").read_text("utf-8")
    shown = [json.loads(block.split("```")[0]) for block in text.split("```json\n")[1:]]
    (sample,) = [one for one in shown if one["type"] == name]
    Draft202012Validator(schema()).validate(sample)
    record = msgspec.convert(sample, AnyEvent)
    assert json.loads(msgspec.json.encode(record)) == sample, "with every member"


def _any(kind: type[OutgoingEvent]) -> st.SearchStrategy[Any]:
    return st.from_type(kind)


@given(st.one_of([_any(kind) for kind in KINDS]))
def test_every_event_is_as_the_schema_says(event: AnyEvent) -> None:
    told = json.loads(msgspec.json.encode(event))
    Draft202012Validator(schema()).validate(told)
    assert told["type"] == type_of(event) and {"id", "time", "charge_point"} <= set(told)
    assert msgspec.json.decode(msgspec.json.encode(event), type=AnyEvent) == event


if __name__ == "__main__":
    SCHEMA.write_text(written(), "utf-8")
