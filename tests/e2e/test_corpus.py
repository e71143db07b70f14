"""Envelopes off real equipment, oddities included: all are answered, and what the official types accept gets through.

What arrived is compared with a plain reading of the file: the leaves of the XML by their names, nothing else.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.wire import CallRefused, Payload
from tests.e2e.stage import (
    COMMANDS,
    SAMPLES,
    Answer,
    RawChargePoint,
    answering,
    envelope,
    listening,
    post,
    running,
    settings,
)
from tests.reference import CORPUS, needs_corpus

pytestmark = needs_corpus


def _index() -> Iterator[dict[str, str]]:
    if CORPUS.is_dir():
        with (CORPUS / "INDEX.tsv").open(encoding="utf-8") as table:
            rows = csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)
            yield from (row for row in rows if row["file"].startswith("soap/"))


def _files(version: str, direction: str) -> list[Any]:
    return [
        pytest.param(CORPUS / row["file"], row["schema"] == "valid", id=Path(row["file"]).stem)
        for row in _index()
        if row["version"].startswith(version) and row["direction"].endswith(direction)
    ]


def leaves_of_xml(node: etree._Element, path: str = "") -> Iterator[tuple[str, str]]:
    """Path of local names, and text."""
    children = [child for child in node if isinstance(child.tag, str)]
    for child in children:
        yield from leaves_of_xml(child, f"{path}/{etree.QName(child).localname}")
    if not children and path:
        yield path, _spelled(node.text or "")


def leaves_of_json(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The same of JSON: an array is its items."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves_of_json(inner, f"{path}/{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves_of_json(inner, path)
    else:
        yield path, _spelled(str(value).lower() if isinstance(value, bool) else str(value))


def _spelled(text: str) -> str:
    """Points in time as such, whatever their zone; numbers without a fraction that is none."""
    text = text.strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text.removesuffix(".0")
    return moment.astimezone(UTC).isoformat() if "T" in text and moment.tzinfo else text


def body_of(data: bytes) -> etree._Element:
    body = etree.fromstring(data).find("{*}Body")
    assert body is not None
    return next(child for child in body if isinstance(child.tag, str))


async def posted(data: bytes) -> tuple[Answer, JsonCentralSystem]:
    """The gateway's answer to `data`, and the Central System afterwards."""
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway:
        answer = await post(gateway, data)
        # It serves on, whatever that was.
        assert (await post(gateway, envelope(identity="next"))).status == 200
    return answer, central


@pytest.mark.parametrize(("file", "valid"), _files("", ""))
async def test_every_envelope_is_answered_by_an_envelope(file: Path, valid: bool) -> None:
    answer, central = await posted(file.read_bytes())
    assert (answer.status == 200) == (answer.fault is None)
    assert central.violations == []


@pytest.mark.parametrize(("file", "valid"), _files("1.6", "cp2cs-req"))
async def test_a_request_that_the_official_types_accept_reaches_the_central_system(file: Path, valid: bool) -> None:
    answer, central = await posted(file.read_bytes())
    if not valid:
        assert answer.status == 200 or answer.fault is not None
        return
    assert answer.fault is None
    request, *_ = central.received
    body = body_of(file.read_bytes())
    action = etree.QName(body).localname.removesuffix("Request")
    assert request[1] == action[0].upper() + action[1:]
    assert Counter(leaves_of_json(request[2])) == Counter(leaves_of_xml(body))
    assert etree.QName(answer.content).localname == f"{action}Response"


async def served(data: bytes, action: str) -> tuple[Payload | CallRefused, RawChargePoint]:
    """What the Central System gets when a Charge Point answers with `data`."""
    async with (
        JsonCentralSystem() as central,
        running(settings(central.url)) as gateway,
        listening(answering(data)) as point,
    ):
        await post(gateway, envelope(source=point.url))
        await central.wait_for("CP 1")
        try:
            return await central.call("CP 1", action, COMMANDS[action]), point
        except CallRefused as refused:
            return refused, point
        finally:
            assert central.violations == []


@pytest.mark.parametrize(("file", "valid"), _files("", "-resp"))
async def test_a_response_reaches_the_central_system_as_a_result_or_an_error(file: Path, valid: bool) -> None:
    body = body_of(file.read_bytes())
    name = etree.QName(body).localname.removesuffix("Response")
    action = name[0].upper() + name[1:]
    asked = action if action in COMMANDS else "Reset"
    result, point = await served(file.read_bytes(), asked)
    assert len(point.received) == 1
    ours = "2015" in (etree.QName(body).namespace or "")
    if isinstance(result, CallRefused):
        # The answer to something else, or one without a field that is required.
        assert (result.code, bool(result.description)) == ("InternalError", True)
        assert not (valid and ours and asked == action)
    elif ours:
        assert Counter(leaves_of_json(result)) == Counter(leaves_of_xml(body))


def test_the_samples_name_every_action() -> None:
    assert len(SAMPLES) + len(COMMANDS) == 29
