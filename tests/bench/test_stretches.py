"""No message holds the event loop or the interpreter's lock for long, in whichever thread.

The event loop: instructions of the longest stretch that nothing else comes between. The lock: the most that one call of
msgspec is given to read, since no other thread runs during such a call, and it counts as one instruction.
"""

from __future__ import annotations

import asyncio
import json
import threading
from asyncio.events import Handle
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from websockets.exceptions import ConnectionClosed

from bridge.app import Gateway
from bridge.ocpp import message_size, slices, validation
from bridge.ocpp.message_size import has_more_members
from tests.bench.counting import Counter
from tests.bench.isolation import envelope, frame, soap_central_system
from tests.bench.test_isolation import LOCAL, NOW
from tests.e2e.stage import Backstage, RawCentralSystem, dialled, post, run, running, settings

# Times what a MeterValues with 20 values takes.
MOST = 50
# The most that one call of msgspec is given, as a multiple of that: reading is a part of what a message takes.
MOST_IN_A_CALL = 10
# What a message may have at most, and what is just small enough to be read at once.
LIMIT, SMALL = 1_048_576, message_size.LARGE
# Less than the bounds on members of JSON and on elements of XML.
MEMBERS = COUNT = 20_000
Kind = Callable[[int], bytes]


def samples(*given: object) -> Kind:
    return lambda count: frame(
        "MeterValues", {"connectorId": 1, "meterValue": [{"timestamp": NOW, "sampledValue": [*given] * count}]}
    )


def groups(stamp: str, sample: object) -> Kind:
    group = {"timestamp": stamp, "sampledValue": [sample]}
    return lambda count: frame("MeterValues", {"connectorId": 1, "meterValue": [group] * count})


def in_group(inside: str) -> Kind:
    start = f"<meterValuesRequest><connectorId>1</connectorId><meterValue><timestamp>{NOW}</timestamp>"
    return lambda count: envelope(f"{start}{inside * count}</meterValue></meterValuesRequest>")


def in_heartbeat(inside: str) -> Kind:
    return lambda count: envelope(f"<heartbeatRequest>{inside * count}</heartbeatRequest>")


JSON: dict[str, Kind] = {
    "valid": groups(NOW, {"value": "1"}),
    "valid, to be escaped": samples({"value": "&"}),
    "without a zone": groups(LOCAL, {"value": "1"}),
    "numbers for values": samples(1),
    "of all kinds": samples({"value": 1}, 1, None, {}, "", [], {"a": 1}, {"value": "&", "unit": "x"}),
    "unknown members": lambda count: frame("Heartbeat", {f"a{number}": 1 for number in range(count)}),
    "a long text": lambda count: frame("DataTransfer", {"vendorId": "v", "data": "<" * count}),
    "no action": lambda count: frame("x" * count, {}),
    "texts for numbers": lambda count: frame("BootNotification", {f"a{number}": "1" for number in range(count)}),
    "broken": lambda count: frame("Heartbeat", {"a": [1] * count})[:-2],
}
TEXTS = ("a long text", "no action", "no operation")
SOAP: dict[str, Kind] = {
    "valid": in_group("<sampledValue><value>1</value></sampledValue>"),
    "valid, empty": in_group("<sampledValue><value/></sampledValue>"),
    "attributes": in_group("<value a='1'/>"),
    "another letter case": in_group("<VALUE>1</VALUE>"),
    "unknown elements": in_heartbeat("<a/>"),
    "unknown elements in groups": in_group("<a><a/></a>"),
    "a long text": lambda count: envelope(
        f"<dataTransferRequest><vendorId>v</vendorId><data>{'&lt;' * count}</data></dataTransferRequest>"
    ),
    "elements for a text": lambda count: envelope(
        f"<dataTransferRequest><vendorId>v</vendorId><data>{'<b/>' * count}</data></dataTransferRequest>"
    ),
    "of a Charge Point that boots": lambda count: envelope(
        f"<bootNotificationRequest>{'<chargePointModel/>' * count}</bootNotificationRequest>"
    ),
    "a Fault": lambda count: envelope(f"<Fault>{'<a/>' * count}</Fault>"),
    "no operation": lambda count: envelope(f"<{'x' * count}/>"),
}


def filled(name: str, kind: Kind, size: int) -> bytes:
    """The largest of a kind that is no larger than `size`, and within the bounds on its parts."""
    least, most = 1, size if name in TEXTS else min(size, COUNT)
    while least < most:
        middle = (least + most + 1) // 2
        message = kind(middle)
        fits = len(message) <= size and not (name in JSON and has_more_members(message, MEMBERS))
        least, most = (middle, most) if fits else (least, middle - 1)
    return kind(least)


class Calls:
    """What each call of msgspec that reads a message is given, in all threads: octets of JSON, or parts of plain data.

    Attributes:
        most: The most that a call was given, as a multiple of a MeterValues with 20 values.
        octets: The octets of JSON that all calls were given.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.most, self.octets = 0.0, 0
        decoder, plain, self._convert = slices.decoder, validation._json, msgspec.convert
        patch.setattr(slices, "decoder", lambda kind: self._seen(decoder(kind)))
        patch.setattr(validation, "_json", self._seen(plain))
        patch.setattr(msgspec, "convert", self._converted)

    def _seen(self, decoder: Any) -> Any:
        def decode(data: Any) -> Any:
            self.octets += len(data)
            self.most = max(self.most, len(data) / len(TWENTY_JSON))
            return decoder.decode(data)

        return SimpleNamespace(decode=decode)

    def _converted(self, data: Any, *arguments: Any, **named: Any) -> Any:
        self.most = max(self.most, parts(data) / parts(json.loads(TWENTY_JSON)))
        return self._convert(data, *arguments, **named)


def parts(data: Any) -> int:
    """The leaves, objects and lists of plain data."""
    within = data.values() if isinstance(data, dict) else data if isinstance(data, list | tuple) else ()
    return 1 + sum(map(parts, within))


class Held(Struct, frozen=True):
    """What holds others up while a message is carried.

    Attributes:
        stretch: The instructions of the longest call of the event loop.
        call: The most that a call of msgspec is given, as a multiple of a MeterValues with 20 values.
        octets: The octets of JSON that all calls were given.
    """

    stretch: int
    call: float
    octets: int


class Stretches:
    """What each call of the event loop takes, in the thread of a gateway."""

    def __init__(self) -> None:
        self.longest = self.calls = 0
        self._thread = 0
        self._counter = Counter()

    async def begin(self) -> None:
        """Count from now on; awaited in the thread."""
        self._thread = threading.get_ident()
        self._counter.start()

    async def end(self) -> None:
        """Count no more; awaited in the thread."""
        self._counter.stop()
        self._thread = 0

    def run(self, handle: Handle) -> None:
        """Call what is due."""
        if threading.get_ident() != self._thread:
            _run(handle)
            return
        before = self._counter.count
        _run(handle)
        self.calls += 1
        self.longest = max(self.longest, self._counter.count - before)


_run = Handle._run


@pytest.fixture(scope="module")
def backstage() -> Iterator[Backstage]:
    with Backstage() as thread:
        yield thread


@asynccontextmanager
async def gateway(backstage: Backstage, url: str, protocol: str) -> AsyncIterator[Gateway]:
    """One in its own thread, so that nothing but what it does is counted."""
    bridge = running(settings(url, central_system={"protocol": protocol}))
    entered = await asyncio.to_thread(backstage.run, bridge.__aenter__())
    try:
        yield entered
    finally:
        await asyncio.to_thread(backstage.run, bridge.__aexit__(None, None, None))


async def longest(backstage: Backstage, send: Callable[[Any], Awaitable[object]], message: bytes | str) -> Held:
    """What holds others up while `message` is sent, and answered."""
    stretches = Stretches()
    with pytest.MonkeyPatch.context() as patch:
        calls = Calls(patch)
        patch.setattr(Handle, "_run", lambda handle: stretches.run(handle))
        await asyncio.to_thread(backstage.run, stretches.begin())
        try:
            with suppress(ConnectionClosed):
                await send(message)
        finally:
            await asyncio.to_thread(backstage.run, stretches.end())
    assert stretches.calls
    return Held(stretch=stretches.longest, call=calls.most, octets=calls.octets)


async def over_json(backstage: Backstage, *messages: bytes) -> list[Held]:
    """What holds others up for each that a JSON Charge Point sends towards a SOAP Central System."""
    async with soap_central_system() as url, gateway(backstage, url, "ocpp1.6s") as bridge:
        found = []
        for message in (messages[0], *messages):  # the first fills caches
            async with dialled(bridge, max_size=None) as point:
                found.append(await longest(backstage, point.ask, message.decode()))
        return found[1:]


async def over_soap(backstage: Backstage, *messages: bytes) -> list[Held]:
    """What holds others up for each that a SOAP Charge Point sends towards a JSON Central System."""
    answers = {"Heartbeat": {"currentTime": NOW}, "DataTransfer": {"status": "Accepted"}}
    async with RawCentralSystem() as central, gateway(backstage, central.url, "ocpp1.6j") as bridge:

        async def serve() -> None:
            connection = await central.connected()
            while True:
                call = await connection.receive()
                await connection.send([3, call[1], answers.get(call[2], {})])

        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve())
            sent = (messages[0], *messages)
            found = [await longest(backstage, partial(post, bridge), message) for message in sent]
            serving.cancel()
        return found[1:]


def at(*sizes: int, kinds: dict[str, Kind]) -> dict[str, bytes]:
    """The largest message of each kind and size."""
    return {f"{name}, {size} octets": filled(name, kind, size) for name, kind in kinds.items() for size in sizes}


def times(messages: dict[str, bytes], found: list[Held]) -> dict[str, float]:
    """How often each stretch has the first one in it."""
    return {name: held.stretch / found[0].stretch for name, held in zip(messages, found[1:], strict=True)}


def calls(messages: dict[str, bytes], found: list[Held]) -> dict[str, float]:
    """What the largest call of msgspec is given for each."""
    return {name: held.call for name, held in zip(messages, found[1:], strict=True)}


_GROUP = f"<meterValue><timestamp>{NOW}</timestamp><sampledValue><value>1</value></sampledValue></meterValue>"
TWENTY_JSON = JSON["valid"](20)
TWENTY_SOAP = envelope(f"<meterValuesRequest><connectorId>1</connectorId>{_GROUP * 20}</meterValuesRequest>")


def test_no_json_holds_the_loop_for_long(backstage: Backstage) -> None:
    messages = at(SMALL, LIMIT, kinds=JSON)
    found = run(over_json(backstage, TWENTY_JSON, *messages.values()), 300)
    assert {name: stretch for name, stretch in times(messages, found).items() if stretch > MOST} == {}
    assert {name: call for name, call in calls(messages, found).items() if call > MOST_IN_A_CALL} == {}
    read = {name: held.octets for name, held in zip(messages, found[1:], strict=True)}
    name = f"valid, {LIMIT} octets"
    assert read[name] > 0.9 * len(messages[name])  # else what is given to other calls is not looked at


def test_no_xml_holds_the_loop_for_long(backstage: Backstage) -> None:
    messages = at(SMALL, LIMIT, kinds=SOAP)
    found = run(over_soap(backstage, TWENTY_SOAP, *messages.values()), 300)
    assert {name: stretch for name, stretch in times(messages, found).items() if stretch > MOST} == {}
    assert {name: call for name, call in calls(messages, found).items() if call > MOST_IN_A_CALL} == {}


@pytest.mark.parametrize("kind", ["valid, to be escaped", "of all kinds"])
def test_json_that_is_not_read_aside_would(kind: str, backstage: Backstage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads are what the bound rests on."""
    monkeypatch.setattr("bridge.net.json_channel.takes_long", lambda data: False)
    monkeypatch.setattr("bridge.net.soap_client.is_large", lambda record: False)
    messages = {kind: filled(kind, JSON[kind], 200_000)}
    assert times(messages, run(over_json(backstage, TWENTY_JSON, *messages.values()), 60))[kind] > MOST


@pytest.mark.parametrize("kind", ["valid, empty", "attributes"])
def test_xml_that_is_not_read_aside_would(kind: str, backstage: Backstage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads are what the bound rests on."""
    monkeypatch.setattr("bridge.net.soap_server.takes_long", lambda data: False)
    messages = {kind: filled(kind, SOAP[kind], 100_000)}
    assert times(messages, run(over_soap(backstage, TWENTY_SOAP, *messages.values()), 60))[kind] > MOST


@pytest.mark.parametrize("kind", ["valid", "without a zone"])
def test_json_that_is_not_read_in_slices_would_hold_the_lock(
    kind: str, backstage: Backstage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slices are what the bound on a call rests on."""
    monkeypatch.setattr(slices, "OCTETS", LIMIT)
    monkeypatch.setattr(slices, "PARTS", LIMIT)
    messages = {kind: filled(kind, JSON[kind], 200_000)}
    found = run(over_json(backstage, TWENTY_JSON, *messages.values()), 60)
    assert calls(messages, found)[kind] > MOST_IN_A_CALL
