"""Two bridges back to back: JSON to SOAP to JSON gives what went in, or says what it cost.

    JSON Charge Point -> bridge A -> SOAP -> bridge B -> JSON Central System

The middle is OCPP-S as only our own two halves speak it, so nobody else judges here; what comes out is compared with
what went in by its values alone. The losses are told a second time below, by somebody who knows nothing of SOAP: each
is a line of `bridge.ocpp.losses`, and each must be in the log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from bridge.errors import ErrorCode
from bridge.lab.simulators.wire import Payload
from bridge.ocpp.actions import ACTIONS, Action, Party
from bridge.ocpp.losses import LossReason
from bridge.ocpp.shapes import Kind, Shape, shape_of
from bridge.ocpp.tolerance import absence_matters
from tests.e2e.stage import (
    AT,
    COMMANDS,
    SAMPLES,
    Backstage,
    Connection,
    RawCentralSystem,
    address_of,
    dialled,
    logged,
    reachable,
    running,
    settings,
    wire,
)
from tests.ocpp.strategies import payloads, texts

WALKS = [
    pytest.param(action, party, id=f"{action.name} from the {party.value.replace('_', ' ')}")
    for action in ACTIONS.values()
    for party in sorted(action.senders)
]
WIDE = 2**53 + 1


@asynccontextmanager
async def back_to_back(**tables: Any) -> AsyncIterator[tuple[Connection, Connection]]:
    """The two ends: the JSON Charge Point's, and the JSON Central System's."""
    async with (
        RawCentralSystem() as central,
        running(settings(central.url, soap=reachable(), **tables)) as far,
        running(settings(address_of(far), soap=reachable(), central_system={"protocol": "ocpp1.6s"})) as near,
        dialled(near) as point,
    ):
        await point.send([2, "first", "Heartbeat", {}])
        link = await central.connected()
        await link.serve()
        await point.receive()
        yield point, link


@pytest.fixture(scope="module")
def backstage() -> Iterator[Backstage]:
    with Backstage() as thread:
        yield thread


@pytest.fixture(scope="module")
def ends(backstage: Backstage) -> Iterator[tuple[Connection, Connection]]:
    # Arbitrary heartbeat intervals are answered here: none of them makes the Link idle.
    held = AsyncExitStack()
    yield backstage.run(held.enter_async_context(back_to_back()))
    backstage.run(held.aclose())


def cost(value: Any, shape: Shape) -> tuple[Any, set[LossReason]]:
    """What is left of a PDU after SOAP, and for what reasons."""
    left, reasons = dict[str, Any](), set[LossReason]()
    for name, inner in value.items():
        field = shape.fields[name]
        if inner == [] and field.many:
            reasons.add(LossReason.EMPTY_LIST)
        elif (
            inner == "" and not field.required and (shape.name, name) != ("KeyValue", "value")
        ):  # may be set to nothing
            reasons.add(LossReason.EMPTY_OPTIONAL)
        elif inner == "Celcius" and field.kind is Kind.ENUMERATION:
            reasons.add(LossReason.RESPELLED_UNIT)
            left[name] = "Celsius"
        elif field.shape is not None:
            parts = [cost(part, field.shape) for part in (inner if field.many else [inner])]
            left[name] = [part for part, _ in parts] if field.many else parts[0][0]
            reasons.update(*(why for _, why in parts))
        else:
            left[name] = inner
    return left, reasons


async def through(ends: tuple[Connection, Connection], party: Party, call: list[Any], answer: list[Any]) -> Any:
    """What arrived of a Call without its id, and of the answer to it."""
    asker, asked = ends if party is Party.CHARGE_POINT else ends[::-1]
    await asker.send([2, "mine", *call])
    received = await asked.receive()
    assert received[0] == 2, received
    assert len(received[1]) == 36
    await asked.send([answer[0], received[1], *answer[1:]])
    answered = await asker.receive()
    assert answered[1] == "mine"
    return received[2:], [answered[0], *answered[2:]]


def settled(answer: Payload) -> Payload:
    """`answer` without a heartbeat interval so short that the Link is idle before the next example."""
    interval = answer.get("interval", 0)
    return answer | {"interval": interval + 100} if 0 < interval < 100 else answer


def fresh(payload: Payload, number: int) -> Payload:
    """`payload` as nobody has sent it yet: a repetition is answered from memory (rule 68)."""
    return payload | {name: number for name in ("meterStart", "meterStop") if name in payload}


@pytest.mark.parametrize("full", [False, True, None], ids=["minimal", "full", "any"])
@pytest.mark.parametrize(("action", "party"), WALKS)
def test_what_comes_out_is_what_went_in(
    backstage: Backstage, ends: tuple[Connection, Connection], action: Action, party: Party, full: bool | None
) -> None:
    wider = {"full": full, "soap": False, "empty_lists": True, "empty_texts": True}
    # An empty part of some requests is refused: absence would say something else.
    asked = wider | dict.fromkeys(("empty_lists", "empty_texts"), not absence_matters(action.request.__name__))
    pdus = st.tuples(payloads(action.request, **asked), payloads(action.response, **wider))  # type: ignore[arg-type]
    numbers = iter(range(2**31 - 1))

    @examples(max_examples=5 if full is False else 15)
    @given(pdus)
    def walk(drawn: tuple[Any, Any]) -> None:
        # Each of the three tests of an action has numbers of its own.
        number = next(numbers) * 3 + [False, True, None].index(full)
        request, answer = fresh(wire(drawn[0]), number), settled(wire(drawn[1]))
        left_of_request, of_request = cost(request, shape_of(action.request))
        left_of_answer, of_answer = cost(answer, shape_of(action.response))
        with logged() as lines:
            call, result = backstage.run(through(ends, party, [action.name, request], [3, answer]))
        assert call == [action.name, left_of_request]
        assert result == [3, left_of_answer]
        assert reasons_in(lines) == {reason.value for reason in of_request | of_answer}

    walk()


def reasons_in(lines: list[str]) -> set[str]:
    """Why something was lost, by the log: a line has all the losses of a message."""
    said = [line for line in lines if " loss " in line]
    return {reason.value for reason in LossReason if any(reason.value in line for line in said)}


CODES = st.sampled_from(
    [*ErrorCode, "OccurrenceConstraintViolation", "IdentityMismatch", "FormatViolation", "x", "Sender"]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, width=32)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("party", list(Party))
def test_a_callerror_is_whole(backstage: Backstage, ends: tuple[Connection, Connection], party: Party) -> None:
    requests = SAMPLES if party is Party.CHARGE_POINT else COMMANDS

    @given(
        st.sampled_from([*requests]),
        CODES | texts(40, min_length=1),
        texts(300),
        st.dictionaries(st.text(max_size=8), JSON.filter(lambda value: value not in (float("inf"), -float("inf")))),
    )
    def walk(action: str, code: str, description: str, details: Payload) -> None:
        details = msgspec.json.decode(msgspec.json.encode(details))  # no infinity, which JSON does not have
        error = [4, code, description, details]
        _, answer = backstage.run(through(ends, party, [action, requests[action]], error))
        assert answer == error

    walk()


@pytest.mark.parametrize("number", ["1e400", "-0.0", "1.10", "123456789012345678901234567890"])
def test_the_numbers_of_a_callerror_are_whole(
    backstage: Backstage, ends: tuple[Connection, Connection], number: str
) -> None:
    async def walk() -> None:
        point, central = ends
        await point.send([2, "mine", "Heartbeat", {}])
        call = await central.receive()
        await central.send(f'[4,"{call[1]}","GenericError","",{{"n":{number}}}]')
        text = await point.text()
        assert text.lower().replace("e+", "e") == f'[4,"mine","GenericError","",{{"n":{number}}}]'.lower()

    backstage.run(walk())


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\ufffe"])
def test_what_xml_cannot_carry_is_refused_by_the_bridge_that_would_write_it(
    backstage: Backstage, ends: tuple[Connection, Connection], character: str
) -> None:
    async def walk() -> None:
        for asker, asked in (ends, ends[::-1]):
            payload = {"vendorId": "v", "data": f"a{character}b"}
            refused = await asker.ask([2, "bad", "DataTransfer", payload])
            assert refused[:3] == [4, "bad", "PropertyConstraintViolation"]
            assert "data" in refused[3]
            # It did not get through, and the next does.
            party = Party.CHARGE_POINT if asker is ends[0] else Party.CENTRAL_SYSTEM
            call, _ = await through(ends, party, ["DataTransfer", {"vendorId": "v"}], [3, {"status": "Accepted"}])
            assert call == ["DataTransfer", {"vendorId": "v"}]
            # In an answer it is the asker that is told, for the Call has been carried out.
            await asker.send([2, "mine", "DataTransfer", {"vendorId": "v"}])
            received = await asked.receive()
            await asked.send([3, received[1], {"status": "Accepted", "data": character}])
            answer = await asker.receive()
            assert answer[:2] == [4, "mine"]
            assert "data" in answer[3]

    backstage.run(walk())


async def test_a_transaction_id_beyond_32_bits_comes_back_under_its_alias() -> None:
    async with back_to_back() as ends:
        point, central = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
        started = {"idTagInfo": {"status": "Accepted"}, "transactionId": WIDE}
        _, answer = await through(ends, point, ["StartTransaction", SAMPLES["StartTransaction"]], [3, started])
        alias = answer[1]["transactionId"]
        assert 0 < alias < 2**31

        async def asked(party: Party, action: str, payload: Payload, answer: Payload) -> Payload:
            call, _ = await through(ends, party, [action, payload], [3, answer])
            assert call[0] == action
            found: Payload = call[1]
            return found

        values = SAMPLES["MeterValues"] | {"transactionId": alias}
        assert await asked(point, "MeterValues", values, {}) == values | {"transactionId": WIDE}
        profile = COMMANDS["SetChargingProfile"]["csChargingProfiles"]
        set_ = {"connectorId": 1, "csChargingProfiles": profile | {"transactionId": WIDE}}
        received = await asked(central, "SetChargingProfile", set_, {"status": "Accepted"})
        assert received["csChargingProfiles"]["transactionId"] == alias
        remote = {"transactionId": WIDE}
        accepted = {"status": "Accepted"}
        assert await asked(central, "RemoteStopTransaction", remote, accepted) == {"transactionId": alias}
        stop = {"transactionId": alias, "timestamp": AT, "meterStop": 1}
        assert await asked(point, "StopTransaction", stop, {}) == stop | {"transactionId": WIDE}
