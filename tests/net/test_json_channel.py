"""One WebSocket: what its owner is told of each frame, what goes out, and how it ends. Over a real connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from msgspec import Raw, structs
from websockets.asyncio.client import ClientConnection, connect
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from bridge.errors import BridgeError, ErrorCode
from bridge.net.json_channel import ChannelTerms, JsonChannel
from bridge.net.tasks import Tasks
from bridge.net.websocket import WebSocketBounds, WebSocketConnection
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import (
    AuthorizeRequest,
    AuthorizeResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    StartTransactionRequest,
    StartTransactionResponse,
)
from bridge.ocpp.rpc import Call, CallError, CallResult, Failure, Unanswered, UnopenedRequest, UnopenedResponse
from bridge.ocpp.wire import Octets, Wires
from tests.mutations import mutated

AT_MOST = 30
NOW = "2026-01-02T03:04:05Z"
START = StartTransactionRequest(connectorId=1, idTag="A", timestamp=NOW, meterStart=0)
STRICT = ChannelTerms(peer=Party.CHARGE_POINT, strict=True)
TOLERANT = ChannelTerms(peer=Party.CHARGE_POINT)
RELAY = ChannelTerms(peer=Party.CHARGE_POINT, relay=True)


class Owner:
    """Notes what it is told, in order."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()

    def on_call(self, call: Call) -> None:
        self.told.put_nowait(("call", call))

    def on_answer(self, answer: Any, came: Octets | None) -> None:
        self.told.put_nowait(("answer", answer))

    def on_refused(self, error: BridgeError, unique_id: str | None, wires: Wires | None) -> None:
        self.told.put_nowait(("refused", error.code, unique_id))

    def on_other(self, data: bytes) -> None:
        self.told.put_nowait(("other", data))


class Ends:
    """The JsonChannel with its owner, and the peer at the other end. `over` is the reason why it ended."""

    def __init__(self, link: JsonChannel, owner: Owner, peer: ClientConnection, over: asyncio.Future[str]) -> None:
        self.link = link
        self.peer = peer
        self.over = over
        self._owner = owner

    async def told(self) -> tuple[Any, ...]:
        return await asyncio.wait_for(self._owner.told.get(), AT_MOST)

    def told_nothing_more(self) -> bool:
        return self._owner.told.empty()

    async def receive(self) -> Any:
        data = await asyncio.wait_for(self.peer.recv(), AT_MOST)
        assert isinstance(data, str)
        return json.loads(data)


class Accepted(WebSocketConnection):
    """What the listener of the bridge accepts, without what it decides."""

    def __init__(self, opened: Callable[[Accepted], None], bounds: WebSocketBounds) -> None:
        self._server_protocol = ServerProtocol(max_size=bounds.max_size)
        super().__init__(self._server_protocol, bounds, None)
        self._opened = opened

    def handshaken(self, event: Request | Response) -> None:
        assert isinstance(event, Request)
        self._server_protocol.send_response(self._server_protocol.accept(event))
        self._opened(self)


@asynccontextmanager
async def joined(terms: ChannelTerms = TOLERANT, **bounds: Any) -> AsyncIterator[Ends]:
    owner = Owner()
    links: asyncio.Queue[JsonChannel] = asyncio.Queue()
    over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    tasks = Tasks()

    async def run(link: JsonChannel) -> None:
        over.set_result((await link.run())[0])

    def opened(connection: Accepted) -> None:
        link = JsonChannel(connection, owner, terms)
        links.put_nowait(link)
        tasks.spawn(run(link), name="link")

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Accepted(opened, WebSocketBounds(**bounds)), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with connect(f"ws://127.0.0.1:{port}/", compression=None, proxy=None, close_timeout=1) as peer:
        yield Ends(await links.get(), owner, peer, over)
    await asyncio.wait_for(asyncio.shield(over), AT_MOST)
    server.close()


# In.


async def test_a_call_is_told_and_answered() -> None:
    async with joined() as ends:
        await ends.peer.send('[2, "1", "Authorize", {"idTag": "A"}]')
        await ends.peer.send(b'[2, "2", "Heartbeat", null]')
        assert await ends.told() == (
            "call",
            Call(unique_id="1", action="Authorize", payload=AuthorizeRequest(idTag="A")),
        )
        assert await ends.told() == ("call", Call(unique_id="2", action="Heartbeat", payload=HeartbeatRequest()))
        ends.link.send_answer(CallResult(unique_id="2", payload=HeartbeatResponse(currentTime=NOW)), None)
        ends.link.send_answer(CallError(unique_id="1", code="GenericError"), None)
        ends.link.send_answer(Unanswered(unique_id="3", reason="nobody there"), None)
        assert await ends.receive() == [3, "2", {"currentTime": NOW}]
        assert await ends.receive() == [4, "1", "GenericError", "", {}]
        assert await ends.receive() == [4, "3", "InternalError", "nobody there", {}]


REFUSED: dict[str, tuple[Any, ErrorCode | None, str | None]] = {
    "not JSON": ("{", ErrorCode.FormationViolation, None),
    "no frame": ("{}", ErrorCode.FormationViolation, None),
    "cut off": ('[2, "17", "Authorize", {', ErrorCode.FormationViolation, "17"),
    "no UniqueId": ('[2, null, "Authorize", {}]', ErrorCode.FormationViolation, None),
    "no payload": ('[2, "17", "Authorize"]', ErrorCode.FormationViolation, "17"),
    "an unknown action": ('[2, "17", "Authorise", {}]', ErrorCode.NotImplemented, "17"),
    "an action of the other party": ('[2, "17", "Reset", {"type": "Soft"}]', ErrorCode.NotSupported, "17"),
    "a security extension": ('[2, "17", "SignCertificate", {}]', ErrorCode.NotSupported, "17"),
    "a field that is missing": ('[2, "17", "Authorize", {}]', ErrorCode.ProtocolError, "17"),
    "a text that is too long": (f'[2, "17", "Authorize", {{"idTag": "{"x" * 21}"}}]', None, "17"),
    "a UniqueId that is too long": (f'[2, "{"x" * 37}", "Heartbeat", {{}}]', ErrorCode.FormationViolation, "x" * 37),
    "not UTF-8": (b'[2, "17", "Authorize", {"idTag": "\xff"}]', ErrorCode.FormationViolation, "17"),
}


@pytest.mark.parametrize(("frame", "code", "unique_id"), REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_a_call_is_refused_here(frame: Any, code: ErrorCode | None, unique_id: str | None) -> None:
    async with joined() as ends:
        await ends.peer.send(frame)
        kind, error, named = await ends.told()
        assert (kind, named) == ("refused", unique_id)
        answer = await ends.receive()
        assert answer[:3] == [4, unique_id or "-1", error.value]
        assert answer[3] != ""
        assert answer[4] == {}
        assert code is None or error == code
        await ends.peer.send('[2, "next", "Heartbeat", {}]')
        assert (await ends.told())[0] == "call"


async def test_an_answer_is_matched_with_the_call_that_is_out() -> None:
    async with joined() as ends:
        ends.link.send(Call(unique_id="1", action="Authorize", payload=AuthorizeRequest(idTag="A")))
        assert await ends.receive() == [2, "1", "Authorize", {"idTag": "A"}]
        await ends.peer.send(f'[3, "0", {{"currentTime": "{NOW}"}}]')
        kind, stray = await ends.told()
        assert (kind, stray.unique_id, type(stray)) == ("answer", "0", Unanswered)
        await ends.peer.send('[3, "1", {"idTagInfo": {"status": "Accepted"}}]')
        kind, answer = await ends.told()
        assert (kind, type(answer.payload)) == ("answer", AuthorizeResponse)
        # Whether it is out still is the owner's business.
        await ends.peer.send('[4, "1", "SecurityError", "no", {"a": 1}]')
        error = CallError(unique_id="1", code="SecurityError", description="no", details={"a": 1})
        assert await ends.told() == ("answer", error)


async def test_an_answer_that_comes_late_is_read_where_it_is_of_use() -> None:
    async with joined(ChannelTerms(peer=Party.CENTRAL_SYSTEM)) as ends:
        asked: list[Any] = [START, AuthorizeRequest(idTag="A"), START, HeartbeatRequest()]
        for number, payload in enumerate(asked):
            action = type(payload).__name__.removesuffix("Request")
            ends.link.send(Call(unique_id=str(number), action=action, payload=payload))
            await ends.receive()
        info = '"idTagInfo": {"status": "Accepted"}'
        for unique_id, payload, kind in (
            ("1", f"{{{info}}}", Unanswered),
            ("2", f'{{{info}, "transactionId": 2}}', StartTransactionResponse),
            ("2", f'{{{info}, "transactionId": 2}}', Unanswered),
            ("0", f'{{{info}, "transactionId": 1}}', StartTransactionResponse),
            ("3", f'{{"currentTime": "{NOW}"}}', HeartbeatResponse),
        ):
            await ends.peer.send(f'[3, "{unique_id}", {payload}]')
            _, answer = await ends.told()
            assert answer.unique_id == unique_id
            assert type(getattr(answer, "payload", answer)) is kind


async def test_no_more_than_a_hundred_late_answers_are_waited_for() -> None:
    async with joined(ChannelTerms(peer=Party.CENTRAL_SYSTEM)) as ends:
        for number in range(102):
            ends.link.send(Call(unique_id=str(number), action="StartTransaction", payload=START))
        for unique_id, kind in (("0", Unanswered), ("1", CallResult), ("101", CallResult)):
            payload = '{"idTagInfo": {"status": "Accepted"}, "transactionId": 2}'
            await ends.peer.send(f'[3, "{unique_id}", {payload}]')
            _, answer = await ends.told()
            assert type(answer) is kind


async def test_an_answer_that_is_not_valid_is_told_and_never_answered() -> None:
    async with joined() as ends:
        ends.link.send(Call(unique_id="1", action="Authorize", payload=AuthorizeRequest(idTag="A")))
        await ends.receive()
        await ends.peer.send('[3, "1", {"idTagInfo": {"status": "Perhaps"}}]')
        kind, answer = await ends.told()
        assert (kind, answer.unique_id, answer.failure) == ("answer", "1", Failure.MALFORMED_ANSWER)
        assert "malformed answer: the answer to Authorize is not valid" in answer.reason
        for frame in ("[4]", "[3, 5.5.5, {}]"):
            await ends.peer.send(frame)
            assert (await ends.told())[0] == "refused"
        for frame in ('[3, "1", {', ' [ 4 , "1", "a"', '[3,"1"', '[,3, "1",{}]'):  # whose Call ends at once
            await ends.peer.send(frame)
            assert (await ends.told())[0] == "refused"
            kind, answer = await ends.told()
            assert (kind, answer.unique_id, answer.failure) == ("answer", "1", Failure.MALFORMED_ANSWER)
        # OCPP-J 1.6 section 4.2.3: nothing has been sent in return; the next frame is the answer to a Call.
        await ends.peer.send("[2]")
        assert (await ends.receive())[:2] == [4, "-1"]


@pytest.mark.parametrize("frame", ["[5, 1]", "[]", '["2", "1", "Heartbeat", {}]', "[6, {}, 1e400]"])
async def test_an_unknown_type_of_message_is_ignored(frame: str) -> None:
    async with joined() as ends:
        await ends.peer.send(frame)
        assert await ends.told() == ("refused", ErrorCode.FormationViolation, None)
        await ends.peer.send("[2]")
        assert (await ends.receive())[:2] == [4, "-1"]
    async with joined(RELAY) as ends:
        await ends.peer.send(frame)
        assert await ends.told() == ("other", frame.encode())
        await ends.peer.send(f" {frame}".encode())
        assert await ends.told() == ("other", f" {frame}".encode())


async def test_strict_terms_refuse_what_tolerance_mends() -> None:
    frame = '[2, "1", "StatusNotification", {"connectorId": 1, "status": "available", "errorCode": "NoError"}]'
    async with joined() as ends:
        await ends.peer.send(frame)
        assert (await ends.told())[0] == "call"
    async with joined(STRICT) as ends:
        await ends.peer.send(frame)
        assert (await ends.told())[0] == "refused"
        assert (await ends.receive())[:2] == [4, "1"]


async def test_a_relay_does_not_open_payloads() -> None:
    async with joined(RELAY) as ends:
        frame = '[2, "1", "Vendor", { "b":1e400, "a":1, "a":2}\n]'
        await ends.peer.send(frame)
        kind, call = await ends.told()
        assert (kind, call.unique_id, call.action) == ("call", "1", "Vendor")
        assert bytes(call.payload.raw) == b'{ "b":1e400, "a":1, "a":2}'
        ends.link.send(Call(unique_id="2", action="Ü", payload=UnopenedRequest(raw=Raw(b'{"x" : 1.0}'))))
        assert await ends.peer.recv() == '[2,"2","Ü",{"x" : 1.0}]'
        await ends.peer.send('[3, "2", [1 ,2]]')
        kind, answer = await ends.told()
        payload = UnopenedResponse(raw=Raw(b"[1 ,2]"))
        assert (kind, answer) == ("answer", CallResult(unique_id="2", payload=payload))
        await ends.peer.send('[3, "other", {}]')
        assert type((await ends.told())[1]) is Unanswered


@given(transports=st.lists(st.sampled_from(["text", "binary", "fragments", "with a pause"]), max_size=12))
@examples(max_examples=25)
async def test_whichever_way_messages_come_they_are_told_in_their_order(transports: list[str]) -> None:
    """A whole text is taken at once, all else waits for its turn: nothing overtakes."""
    hurries = iter([0.0 if way != "with a pause" else 0.001 for way in transports])
    terms = structs.replace(TOLERANT, pace=lambda: next(hurries, 0.0))
    async with joined(terms) as ends:
        for number, way in enumerate(transports):
            call = f'[2, "{number}", "Heartbeat", {{}}]'
            pieces = (call[:5], call[5:9], call[9:])
            await ends.peer.send(call.encode() if way == "binary" else pieces if way == "fragments" else call)
        assert [(await ends.told())[1].unique_id for _ in transports] == [
            str(number) for number in range(len(transports))
        ]


# Out, and the end.


async def test_what_was_sent_before_it_was_closed_arrives_in_order() -> None:
    async with joined() as ends:
        for number in range(100):
            ends.link.send_frame(f"[{number}]".encode())
        ends.link.close(1013, "é" * 100)
        ends.link.send_frame(b"[too late]")
        assert [await ends.receive() for _ in range(100)] == [[number] for number in range(100)]
        await asyncio.wait_for(ends.peer.wait_closed(), AT_MOST)
        # RFC 6455 section 5.5: 125 bytes at most, and whole characters.
        assert (ends.peer.close_code, ends.peer.close_reason) == (1013, "é" * 60)
        await ends.over
        assert ends.told_nothing_more()


async def test_the_reason_of_the_end_is_told() -> None:
    async with joined() as ends:
        await ends.peer.close(1000)
        assert await ends.over == "it closed the connection"
        ends.link.send_frame(b"[]")
        ends.link.close(1000, "")
    async with joined() as ends:
        await ends.peer.close(4001, "going home")
        assert await ends.over == "it closed the connection (4001 going home)"
    async with joined() as ends:
        await ends.peer.close(4001)
        assert await ends.over == "it closed the connection (4001)"
    async with joined() as ends:
        ends.peer.transport.abort()
        assert await ends.over == "the connection broke"


async def test_a_frame_over_the_limit_ends_it() -> None:
    async with joined(max_size=100) as ends:
        await ends.peer.send("x" * 101)
        await asyncio.wait_for(ends.peer.wait_closed(), AT_MOST)
        assert ends.peer.close_code == 1009
        assert (await ends.over).startswith("the connection was given up (1009 ")
        assert ends.told_nothing_more()


ORIGINALS = st.sampled_from(
    [
        b'[2,"17","Authorize",{"idTag":"A"}]',
        b'[2,"17","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"2026-01-02T03:04:05Z","sampledValue":[]}]}]',
        b'[3,"17",{"idTagInfo":{"status":"Accepted"}}]',
        b'[4,"17","GenericError","",{}]',
        b'[6,"17","X",{}]',
    ]
)
TOKENS = [
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b"\\",
    b"\\ud800",
    b"1e999999999",
    b"null",
    b"\xff",
    b"\x00",
    b"NaN",
    b"2",
    b"[" * 3000,
]


@pytest.mark.parametrize("terms", [TOLERANT, STRICT, RELAY], ids=["tolerant", "strict", "relay"])
@examples(max_examples=40)
@given(frames=st.lists(mutated(ORIGINALS, TOKENS), min_size=1, max_size=10))
async def test_whatever_comes_in_the_link_goes_on(terms: ChannelTerms, frames: list[bytes]) -> None:
    async with joined(terms) as ends:
        ends.link.send(Call(unique_id="17", action="Authorize", payload=AuthorizeRequest(idTag="A")))
        for frame in frames:
            await ends.peer.send(frame)
        await ends.peer.send('[2,"the last","Heartbeat",{}]')
        for _ in range(2 * len(frames) + 1):  # each is told, as one thing or another; a broken answer as two
            told = await ends.told()
            assert told[0] in ("call", "answer", "refused", "other")
            if told[0] == "call" and told[1].unique_id == "the last":
                return
        raise AssertionError("the last was not told")
