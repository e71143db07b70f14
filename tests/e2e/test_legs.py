"""The four legs over real sockets, all 28 actions each way: what arrives equals what was sent, requests and answers.

Where SOAP is spoken, zeep reads and writes by the official WSDL (ours where that is not at hand); where JSON is, the
`ocpp` package by its schemas; each objects to what does not fit. The comparison here knows neither wire: numbers are
numbers, points in time are points in time, and to zeep an empty text is an absent one.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from bridge.lab.simulators.wire import CallRefused, Payload
from bridge.ocpp.actions import ACTIONS, SECURITY_EXTENSIONS, Action, Party
from tests.e2e.stage import (
    COMMANDS,
    SAMPLES,
    Backstage,
    Connection,
    Leg,
    RawCentralSystem,
    dialled,
    leg,
    running,
    settings,
    stage,
    wire,
)
from tests.ocpp.strategies import payloads

LEGS = [("soap", "json"), ("json", "soap"), ("soap", "soap"), ("json", "json")]
WALKS = [
    pytest.param(action, party, id=f"{action.name} from the {party.value.replace('_', ' ')}")
    for action in ACTIONS.values()
    for party in sorted(action.senders)
]
FULLNESS = [pytest.param(False, 2, id="minimal"), pytest.param(True, 4, id="full"), pytest.param(None, 6, id="any")]
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z")
# A StartTransaction or StopTransaction that is sent again is answered from memory (rule 68): no two are alike here.
_meter = count()


@pytest.fixture(scope="module")
def backstage() -> Iterator[Backstage]:
    with Backstage() as thread:
        yield thread


@pytest.fixture(scope="module", params=LEGS, ids=lambda leg: " to ".join(leg))
def scene(backstage: Backstage, request: pytest.FixtureRequest) -> Iterator[Leg]:
    """One gateway for all examples."""
    held = AsyncExitStack()
    near, far = request.param

    async def open_() -> Leg:
        scene = await held.enter_async_context(leg(near, far, "RDAM 123"))
        await scene.met()
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


def fresh(payload: Payload) -> Payload:
    """`payload` as nobody has sent it yet."""
    return payload | {name: next(_meter) for name in ("meterStart", "meterStop") if name in payload}


async def from_charge_point(scene: Leg, action: str, request: Payload, answer: Payload) -> tuple[Any, Any]:
    """What arrived: the request at the Central System, the answer at the Charge Point."""
    scene.central_system.behaviour[action] = lambda _: answer
    answered = await scene.charge_point.call(action, request)
    [(identity, received_action, received)] = scene.central_system.received
    assert (identity, received_action) == (scene.identity, action)
    return received, answered


async def from_central_system(scene: Leg, action: str, request: Payload, answer: Payload) -> tuple[Any, Any]:
    """What arrived: the request at the Charge Point, the answer at the Central System."""
    await scene.met()  # its Link may have been closed: an arbitrary heartbeat interval
    scene.charge_point.behaviour[action] = lambda _: answer
    answered = await scene.central_system.call(scene.identity, action, request)
    [(received_action, received)] = scene.charge_point.received
    assert received_action == action
    return received, answered


@pytest.mark.parametrize(("action", "party"), WALKS)
@pytest.mark.parametrize(("full", "many"), FULLNESS)
def test_what_arrives_is_what_was_sent(
    backstage: Backstage,
    scene: Leg,
    request: pytest.FixtureRequest,
    action: Action,
    party: Party,
    full: bool | None,
    many: int,
) -> None:
    near, far = request.node.callspec.params["scene"]
    # What only JSON can say is said where only JSON is spoken.
    wider = {"empty_lists": True, "empty_texts": True, "wide_ids": True} if near == far == "json" else {}
    pdus = st.tuples(payloads(action.request, full=full, **wider), payloads(action.response, full=full, **wider))

    @examples(max_examples=many)
    @given(pdus)
    def walk(drawn: tuple[Any, Any]) -> None:
        sent, answer = fresh(wire(drawn[0])), wire(drawn[1])
        scene.forget()
        from_ = from_charge_point if party is Party.CHARGE_POINT else from_central_system
        received, answered = backstage.run(from_(scene, action.name, sent, answer))
        asker, asked = (near, far) if party is Party.CHARGE_POINT else (far, near)
        assert told(received, empty=asked == "json") == told(sent, empty=asked == "json")
        assert told(answered, empty=asker == "json") == told(answer, empty=asker == "json")
        assert scene.violations() == []

    walk()


def test_every_action_of_the_model_walks() -> None:
    assert len(ACTIONS) == 28
    assert len(WALKS) == 29  # DataTransfer goes both ways


@pytest.mark.parametrize(("near", "far"), LEGS)
async def test_calls_of_both_directions_cross(near: str, far: str) -> None:
    """Rule 87: an Authorize inside a RemoteStartTransaction."""
    async with leg(near, far) as scene:

        async def authorize(action: str, payload: Payload) -> None:
            assert await scene.charge_point.call("Authorize", {"idTag": payload["idTag"]})

        await scene.met()
        scene.charge_point.on_command = authorize
        answer = await scene.central_system.call("CP 1", "RemoteStartTransaction", {"idTag": "A"})
        assert answer == {"status": "Accepted"}
        assert [action for _, action, _ in scene.central_system.received] == ["Heartbeat", "Authorize"]
        assert scene.violations() == []


def refusal(party: str) -> CallRefused:
    """What a party answers that refuses, in its own protocol."""
    if party == "json":
        return CallRefused("SecurityError", "not you", {"why": "because"})
    return CallRefused("Sender", "not you", {"why": "because"}, subcode="SecurityError")


def refused(party: str, error: CallRefused) -> tuple[str, bool]:
    """What a party reads that was refused: which error it is, and whether it is told why."""
    code = error.code if party == "json" else f"{error.code}/{error.subcode}"
    return code, "not you" in error.description


@pytest.mark.parametrize(("near", "far"), LEGS)
async def test_a_refusal_is_told_in_the_askers_protocol(near: str, far: str) -> None:
    told_as = {"json": ("SecurityError", True), "soap": ("Sender/SecurityError", True)}
    async with leg(near, far) as scene:

        def refuse_near(_: Payload) -> Payload:
            raise refusal(near)

        def refuse_far(_: Payload) -> Payload:
            raise refusal(far)

        await scene.met()
        scene.central_system.behaviour["Authorize"] = refuse_far
        scene.charge_point.behaviour["Reset"] = refuse_near
        with pytest.raises(CallRefused) as by_far:
            await scene.charge_point.call("Authorize", {"idTag": "A"})
        with pytest.raises(CallRefused) as by_near:
            await scene.central_system.call("CP 1", "Reset", {"type": "Soft"})
        assert refused(near, by_far.value) == told_as[near]
        assert refused(far, by_near.value) == told_as[far]
        assert scene.violations() == []


# JSON to JSON: what is only passed on is not opened.


@asynccontextmanager
async def relay(identity: str = "CP 1", **tables: Any) -> AsyncIterator[tuple[Connection, Connection]]:
    """The two ends of a gateway between two JSON parties: the Charge Point's, and the Central System's."""
    async with (
        RawCentralSystem() as central,
        running(settings(central.url, **tables)) as gateway,
        dialled(gateway) as point,
    ):
        yield point, await central.connected()


@pytest.fixture
def ends(backstage: Backstage) -> Iterator[tuple[Connection, Connection]]:
    held = AsyncExitStack()
    yield backstage.run(held.enter_async_context(relay()))
    backstage.run(held.aclose())


async def passed(asker: Connection, asked: Connection, action: str, request: str, answer: str) -> tuple[str, str]:
    """What arrived of two payloads, as text."""
    name = json.dumps(action, ensure_ascii=False)
    await asker.send(f'  [ 2 ,\n"id 1",{name}, {request}\t]')
    call = await asked.text()
    match = re.fullmatch(r'\[2,"([^"]{36})",("(?:[^"\\]|\\.)*"),(.*)\]', call, re.DOTALL)
    assert match is not None, call
    assert json.loads(match[2]) == action
    await asked.send(f'[3, "{match[1]}",\r\n{answer} ]')
    result = await asker.text()
    assert (result[:10], result[-1]) == ('[3,"id 1",', "]")
    return match[3], result[10:-1]


def spaced() -> st.SearchStrategy[str]:
    """White space of JSON."""
    return st.text(" \t\r\n", max_size=2)


def written(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """JSON source text of any shape and any spelling, members that come twice included."""
    names = st.text(max_size=4).map(json.dumps) | st.sampled_from(['"a"', '"\\u0061"', '"é"', '""'])

    def inside(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        members = st.builds("{0}{1}{2}:{3}{4}{2}".format, spaced(), names, spaced(), spaced(), items)
        arrays = st.lists(items, max_size=3).map(lambda found: f"[{','.join(found)}]")
        return arrays | st.lists(members, max_size=3).map(lambda found: f"{{{','.join(found)}}}")

    return st.recursive(values, inside, max_leaves=8)


SCALARS = st.sampled_from(
    [
        "1e400",
        "-0",
        "1.0E+00",
        "10000000000000000000000000",
        "0.1000",
        "null",
        "true",
        '"\\/"',
        '"\\ud83d\\udd0c"',
        '"\\u0000"',
    ]
) | st.text(max_size=6).map(lambda text: json.dumps(text, ensure_ascii=False).encode(errors="replace").decode())


@pytest.mark.parametrize("party", list(Party))
def test_json_to_json_is_byte_for_byte(backstage: Backstage, ends: tuple[Connection, Connection], party: Party) -> None:
    point, central = ends
    asker, asked = (point, central) if party is Party.CHARGE_POINT else (central, point)

    @given(st.sampled_from([*SAMPLES, *COMMANDS, "", 'Ünknown "\\']), written(SCALARS), written(SCALARS))
    @example("Heartbeat", '{ "b" : 1,\r\n "a":2, "a" : 1e400 }', '{"customData":{"vendorId":"x"}, "currentTime":5}')
    @example("Authorize", "null", "[]")
    @example("BootNotification", '{"chargePointVendor":"\\u00e9é"}', "{  }")
    def walk(action: str, request: str, answer: str) -> None:
        assert backstage.run(passed(asker, asked, action, request, answer)) == (request, answer)

    walk()


@pytest.mark.parametrize("action", [*sorted(SECURITY_EXTENSIONS), "VendorSpecific", "heartbeat", "NotifyEvent"])
def test_json_to_json_passes_actions_that_ocpp_1_6_does_not_know(
    backstage: Backstage, ends: tuple[Connection, Connection], action: str
) -> None:
    point, central = ends
    for asker, asked in ((point, central), (central, point)):
        texts = '{"csr": "a\\nb", "vendor":{"x":[1.50]}}', '{"status":"Accepted","new":1}'
        assert backstage.run(passed(asker, asked, action, *texts)) == texts


ERRORS: dict[str, tuple[list[Any], list[Any]]] = {
    "of the table": (["NotSupported", "no", {"a": [1, "x", None]}], ["NotSupported", "no", {"a": [1, "x", None]}]),
    "of a vendor": (["Overheated", "é" * 300, {}], ["Overheated", "é" * 300, {}]),
    "of OCPP 2.0.1": (["RpcFrameworkError", "", {}], ["RpcFrameworkError", "", {}]),
    "misspelled": (["occurrenceConstraintViolation", "", {}], ["occurrenceConstraintViolation", "", {}]),
    # Completed, so that the other end can read it (rule 17).
    "that is cut short": (["GenericError"], ["GenericError", "", {}]),
    "with a text for details": (["GenericError", "x", "y"], ["GenericError", "x", {"details": "y"}]),
}


@pytest.mark.parametrize(("sent", "arrived"), ERRORS.values(), ids=ERRORS)
def test_json_to_json_passes_a_callerror(
    backstage: Backstage, ends: tuple[Connection, Connection], sent: list[Any], arrived: list[Any]
) -> None:
    async def walk(asker: Connection, asked: Connection) -> None:
        await asker.send([2, "id 1", "Whatever", {}])
        call = await asked.receive()
        assert await asker_hears(asker, asked, [4, call[1], *sent]) == [4, "id 1", *arrived]

    point, central = ends
    backstage.run(walk(point, central))
    backstage.run(walk(central, point))


async def asker_hears(asker: Connection, asked: Connection, frame: list[Any]) -> list[Any]:
    await asked.send(frame)
    return await asker.receive()


def test_json_to_json_keeps_the_order_of_each_direction(
    backstage: Backstage, ends: tuple[Connection, Connection]
) -> None:
    async def serve(end: Connection) -> tuple[list[Any], list[Any]]:
        """Answer three Calls; gives those, and the answers that came between."""
        calls, answers = list[Any](), list[Any]()
        while len(calls) < 3 or len(answers) < 3:
            frame = await end.receive()
            (calls if frame[0] == 2 else answers).append(frame)
            if frame[0] == 2:
                await end.send([3, frame[1], frame[3]])
        return calls, answers

    async def walk() -> None:
        for number in range(3):
            for end in ends:
                await end.send([2, str(number), "DataTransfer", {"n": number}])
        for calls, answers in await asyncio.gather(*map(serve, ends)):
            assert [call[2:] for call in calls] == [["DataTransfer", {"n": number}] for number in range(3)]
            assert answers == [[3, str(number), {"n": number}] for number in range(3)]

    backstage.run(walk())


def test_json_to_json_passes_frames_that_ocpp_1_6_does_not_have(
    backstage: Backstage, ends: tuple[Connection, Connection]
) -> None:
    """SEND of OCPP 2.1, and whatever comes after it."""

    async def walk() -> None:
        for asker, asked in (ends, ends[::-1]):
            for frame in ('[6, "x", "NotifyPeriodicEventStream",  {"a":1e400}]', "[99]"):
                await asker.send(frame)
                assert await asked.text() == frame

    backstage.run(walk())


@pytest.mark.parametrize(
    "frame", ["[", "{}", '[2, "id"]', '[2, "id", "A"]', "[]", "null", '[2, "", "A", {}]', '[2, "i", "A", "\\ud83d"]']
)
def test_json_to_json_does_not_pass_what_is_no_frame(
    backstage: Backstage, ends: tuple[Connection, Connection], frame: str
) -> None:
    async def walk() -> None:
        for asker, asked in (ends, ends[::-1]):
            await asker.send(frame)
            texts = "{}", "{}"
            if frame == "[]":
                assert await asked.text() == frame  # a frame without a type is one of an unknown type
            else:
                assert (await asker.receive())[0] == 4
            assert await passed(asker, asked, "Next", *texts) == texts

    backstage.run(walk())


# Security extensions: in JSON only (white paper, 1.4).


@pytest.mark.parametrize("action", sorted(SECURITY_EXTENSIONS))
async def test_a_soap_central_system_is_not_asked_for_a_security_extension(action: str) -> None:
    async with leg("json", "soap") as scene:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def hold(_: Payload) -> Payload:
            entered.set()
            await leave.wait()
            return {"currentTime": "2026-01-02T03:04:05Z"}

        # At once: an earlier Call that is out is not waited for.
        scene.central_system.behaviour["Heartbeat"] = hold
        async with asyncio.TaskGroup() as group:
            first = group.create_task(scene.charge_point.call("Heartbeat", {}))
            await entered.wait()
            with pytest.raises(CallRefused) as caught:
                await scene.charge_point.call(action, {"whatever": [1]})
            assert not first.done()
            leave.set()
        assert caught.value.code == "NotSupported"
        assert action in caught.value.description
        assert [name for _, name, _ in scene.central_system.received] == ["Heartbeat"]


@pytest.mark.parametrize("action", sorted(SECURITY_EXTENSIONS))
async def test_a_soap_charge_point_is_not_asked_for_a_security_extension(action: str) -> None:
    async with stage() as scene:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def hold(_: Payload) -> Payload:
            entered.set()
            await leave.wait()
            return {"status": "Accepted"}

        await scene.charge_point.call("Heartbeat", {})
        await scene.central_system.wait_for("CP 1")
        scene.charge_point.behaviour["ClearCache"] = hold
        async with asyncio.TaskGroup() as group:
            first = group.create_task(scene.central_system.call("CP 1", "ClearCache", {}))
            await entered.wait()
            with pytest.raises(CallRefused) as caught:
                await scene.central_system.call("CP 1", action, {"whatever": [1]})
            assert not first.done()
            leave.set()
        assert caught.value.code == "NotSupported"
        assert action in caught.value.description
        assert [name for name, _ in scene.charge_point.received] == ["ClearCache"]


async def test_what_no_soap_service_has_is_refused_in_the_words_of_the_table() -> None:
    async with leg("json", "soap") as scene, dialled(scene.gateway, "CP%202") as point:
        assert (await point.ask([2, "1", "Unheard", {}]))[:3] == [4, "1", "NotImplemented"]
        assert (await point.ask([2, "2", "Reset", {"type": "Soft"}]))[:3] == [4, "2", "NotSupported"]
        assert scene.central_system.received == []
