"""Whose answer it is that comes back to a POST ("Delivery", D1): what its RelatesTo says, and what nobody asked for."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count

import pytest

from bridge.app import Gateway
from tests.e2e.raw_peer import Asked, RawPeer, Reply, answering_well, enveloped, http, result
from tests.e2e.stage import dialled, post
from tests.e2e.test_delivery import (
    ACTIONS,
    CENTRAL_SYSTEMS,
    TRANSACTION_RELATED,
    bridged,
    call,
    link_failed,
    request,
)

Say = Callable[[str], Awaitable[str | None]]
Point = Callable[[Gateway, str], AbstractAsyncContextManager[Say]]

# The transaction of an answer that nobody may get. No random MessageID contains it.
FOREIGN = 666_123_666
SPELLINGS = {
    "as it was sent": lambda sent: sent,
    "nothing": lambda sent: "",
    "only blanks": lambda sent: "  \n ",
    "blanks around it": lambda sent: f"\n  {sent}\t ",
    "upper case": lambda sent: sent.upper(),
    "without urn:": lambda sent: sent.removeprefix("urn:"),
    "without urn:uuid:": lambda sent: sent.removeprefix("urn:uuid:"),
    "braces": lambda sent: "{" + sent.removeprefix("urn:uuid:").upper() + "}",
    "urn:uuid: and braces": lambda sent: "urn:uuid:{" + sent.removeprefix("urn:uuid:") + "}",
}
"""RelatesTo, as programs spell it."""


@pytest.mark.parametrize("spelt", SPELLINGS.values(), ids=SPELLINGS)
async def test_an_answer_that_relates_to_what_we_sent(spelt: Callable[[str], str]) -> None:
    """On a connection that carried an earlier request, where a foreign answer would not be taken."""
    async with RawPeer(answering_well()) as peer, bridged(peer) as gateway:
        for name in ("CP 1", "CP 2", "CP 3"):
            assert (await post(gateway, request("StartTransaction", name))).status == 200
            peer.respond = lambda asked: Reply(
                octets=http("200 OK", enveloped(result(asked.action), spelt(asked.message_id)))
            )
        assert {asked.connection for asked in peer.requests} == {1}


async def test_only_the_reply_relationship_counts() -> None:
    other = '<a:RelatesTo RelationshipType="urn:x:cause">urn:uuid:of-another</a:RelatesTo>'

    def respond(asked: Asked) -> Reply:
        return Reply(octets=http("200 OK", enveloped(result(asked.action), asked.message_id, others=other)))

    async with RawPeer(answering_well()) as peer, bridged(peer) as gateway:
        for name in ("CP 1", "CP 2"):
            assert (await post(gateway, request("StartTransaction", name))).status == 200
            peer.respond = respond
        assert {asked.connection for asked in peer.requests} == {1}


# Charge Points of both kinds, Central Systems of both versions.


@asynccontextmanager
async def soap_point(gateway: Gateway, identity: str) -> AsyncIterator[Say]:
    """Says an action; gives whether that was answered, None if the link failed."""

    async def say(action: str) -> str | None:
        answer = await post(gateway, request(action, identity))
        if link_failed(answer):
            return None
        assert answer.status == 200, answer.body
        return answer.text

    yield say


@asynccontextmanager
async def json_point(gateway: Gateway, identity: str) -> AsyncIterator[Say]:
    """The same of one that speaks JSON: what is transaction-related gets no answer when the link fails."""
    async with dialled(gateway, identity.replace(" ", "%20")) as connection:
        numbers = count(1)

        async def say(action: str) -> str | None:
            number = next(numbers)
            await connection.send(call(action, number))
            await connection.send([2, f"after {number}", "DataTransfer", {"vendorId": "v"}])
            text = await connection.text()
            if f"after {number}" in text:
                assert action in TRANSACTION_RELATED
                return None
            assert f"after {number}" in await connection.text()
            frame = json.loads(text)
            if frame[0] == 4:
                assert frame[1:3] == [f"{action} {number}", "InternalError"]
                assert action not in TRANSACTION_RELATED
                return None
            return text

        yield say


KINDS: dict[str, Point] = {"SOAP": soap_point, "JSON": json_point}
both = pytest.mark.parametrize("point", KINDS.values(), ids=KINDS)
versions = pytest.mark.parametrize("protocol", CENTRAL_SYSTEMS)


@both
@versions
async def test_a_constant_relates_to_is_taken_on_a_connection_of_its_own(protocol: str, point: Point) -> None:
    """Some programs send a constant. After the first mismatch this party gets one connection per POST."""

    def respond(asked: Asked) -> Reply:
        content = result(asked.action, len(peer.requests), protocol=protocol)
        return Reply(octets=http("200 OK", enveloped(content, "urn:uuid:0")))

    async with RawPeer(respond) as peer, bridged(peer, protocol) as gateway:
        for name in ("CP 1", "CP 2", "CP 3"):
            number = len(peer.requests)
            async with point(gateway, name) as say:
                answer = await say("StartTransaction")
            assert answer is not None
            assert re.search(rf"transactionId\W+{number}\b", answer), answer
        assert {asked.place for asked in peer.requests} == {1}


@both
@versions
@pytest.mark.parametrize("action", ACTIONS)
async def test_a_foreign_answer_on_a_connection_that_carried_another_request(
    action: str, protocol: str, point: Point
) -> None:
    good = answering_well(protocol)
    async with RawPeer(good) as peer, bridged(peer, protocol) as gateway, point(gateway, "CP 2") as say:
        assert (await post(gateway, request("Heartbeat", "CP 1"))).status == 200

        def respond(asked: Asked) -> Reply:
            if len(peer.requests) > 1:
                return good(asked)
            foreign = result(asked.action, FOREIGN, protocol=protocol)
            return Reply(octets=http("200 OK", enveloped(foreign, peer.requests[0].message_id)))

        peer.respond = respond
        assert await say(action) is None
        assert [(asked.connection, asked.place) for asked in peer.requests[:2]] == [(1, 1), (1, 2)]
        await peer.hung_up(1)
        answer = await say(action)
        assert answer is not None and str(FOREIGN) not in answer
        assert len(peer.of(action)) == (3 if action == "Heartbeat" else 2)


@both
@versions
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("related", [True, False], ids=["with RelatesTo", "without RelatesTo"])
@pytest.mark.parametrize("when", ["with the answer", "once it was told"])
async def test_octets_on_an_idle_connection_close_it(
    when: str, related: bool, action: str, protocol: str, point: Point
) -> None:
    """Seen: a Central System that repeated its answer answered the next Charge Point's StartTransaction with it."""

    def twice(asked: Asked) -> Reply:
        content = result(asked.action, FOREIGN, protocol=protocol)
        good = http("200 OK", enveloped(content, asked.message_id if related else ""))
        return Reply(octets=good * (2 if when == "with the answer" else 1))

    async with RawPeer(twice) as peer, bridged(peer, protocol) as gateway, point(gateway, "CP 2") as say:
        assert (await post(gateway, request(action, "CP 1"))).status == 200
        if when != "with the answer":
            peer.send(1, http("200 OK", enveloped(result(action, FOREIGN, protocol=protocol), "")))
        await peer.hung_up(1)
        peer.respond = answering_well(protocol, number=4712)
        answer = await say(action)
        assert answer is not None and str(FOREIGN) not in answer
        assert action != "StartTransaction" or "4712" in answer
        assert [asked.identity for asked in peer.requests[:2]] == ["CP 1", "CP 2"]
        assert peer.requests[1].connection == 2
