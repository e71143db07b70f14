"""All 28 actions over real sockets: what arrives equals what was sent, field by field, the request and its answer.

On one side zeep reads and writes by the official WSDL (ours where that is not at hand), on the other the `ocpp` package
by its JSON schemas; each objects to what does not fit. The comparison here knows neither wire: numbers are numbers,
points in time are points in time, and to zeep an empty text is an absent one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from bridge.ocpp.actions import ACTIONS, Action, Party
from bridge.simulators.wire import Payload
from tests.e2e.stage import Backstage, Stage, stage, wire
from tests.ocpp.strategies import payloads

WALKS = [
    pytest.param(action, party, id=f"{action.name} from the {party.value.replace('_', ' ')}")
    for action in ACTIONS.values()
    for party in sorted(action.senders)
]
FULLNESS = [pytest.param(False, 3, id="minimal"), pytest.param(True, 5, id="full"), pytest.param(None, 10, id="any")]
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z")


@pytest.fixture(scope="module")
def backstage() -> Iterator[Backstage]:
    with Backstage() as thread:
        yield thread


@pytest.fixture(scope="module")
def scene(backstage: Backstage) -> Iterator[Stage]:
    """One gateway for all examples, its Link to the Central System open."""
    held = AsyncExitStack()

    async def open_() -> Stage:
        scene = await held.enter_async_context(stage("RDAM 123"))
        await scene.charge_point.call("Heartbeat", {})
        await scene.central_system.wait_for("RDAM 123")
        return scene

    yield backstage.run(open_())
    backstage.run(held.aclose())


def told(value: Any, *, empty: bool = True) -> Any:
    """`value` without its spelling. `empty`: whether a text may be empty."""
    if isinstance(value, dict):
        said = {name: told(inner, empty=empty) for name, inner in value.items()}
        return {name: inner for name, inner in said.items() if inner is not None}
    if isinstance(value, list):
        return [told(inner, empty=empty) for inner in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float | Decimal):
        return Decimal(str(value)).normalize()
    assert isinstance(value, str)
    if not value and not empty:
        return None
    moment = _TIME.fullmatch(value)
    return value if moment is None else (moment[1], (moment[2] or "").rstrip("0"))


async def from_charge_point(scene: Stage, action: str, request: Payload, answer: Payload) -> tuple[Any, Any]:
    """What arrived: the request in JSON, the answer in SOAP."""
    scene.central_system.received.clear()
    scene.central_system.behaviour[action] = lambda _: answer
    answered = await scene.charge_point.call(action, request)
    [(identity, received_action, received)] = scene.central_system.received
    assert (identity, received_action) == ("RDAM 123", action)
    return received, answered


async def from_central_system(scene: Stage, action: str, request: Payload, answer: Payload) -> tuple[Any, Any]:
    """What arrived: the answer in JSON, the request in SOAP."""
    scene.charge_point.received.clear()
    scene.charge_point.behaviour[action] = lambda _: answer
    await scene.charge_point.call("Heartbeat", {})  # its Link may have been closed: an arbitrary heartbeat interval
    await scene.central_system.wait_for("RDAM 123")
    answered = await scene.central_system.call("RDAM 123", action, request)
    [(received_action, received)] = scene.charge_point.received
    assert received_action == action
    return answered, received


@pytest.mark.parametrize(("full", "many"), FULLNESS)
@pytest.mark.parametrize(("action", "party"), WALKS)
def test_what_arrives_is_what_was_sent(
    backstage: Backstage, scene: Stage, action: Action, party: Party, full: bool | None, many: int
) -> None:
    pdus = st.tuples(payloads(action.request, full=full), payloads(action.response, full=full))

    @examples(max_examples=many, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(pdus)
    def walk(drawn: tuple[Any, Any]) -> None:
        request, answer = wire(drawn[0]), wire(drawn[1])
        scene.central_system.violations.clear()
        scene.charge_point.violations.clear()
        if party is Party.CHARGE_POINT:
            in_json, in_soap = backstage.run(from_charge_point(scene, action.name, request, answer))
            sent_to_json, sent_to_soap = request, answer
        else:
            in_json, in_soap = backstage.run(from_central_system(scene, action.name, request, answer))
            sent_to_json, sent_to_soap = answer, request
        assert told(in_json) == told(sent_to_json)
        assert told(in_soap, empty=False) == told(sent_to_soap, empty=False)
        assert scene.violations() == []

    walk()


def test_every_action_of_the_model_walks() -> None:
    assert len(ACTIONS) == 28
    assert len(WALKS) == 29  # DataTransfer goes both ways
