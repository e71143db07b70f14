"""What comes back to a POST: a verdict, or a link failure, and what each kind of Charge Point then gets.

A raw peer stands in the place of a SOAP Central System and sends exactly the octets of a row. The rows are those of the
specification page "Delivery", D1; each is tried with Charge Points of both kinds and Central Systems of both versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import ip_network
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from bridge.app import Gateway
from tests.admin.asked import api_of
from tests.e2e.raw_peer import Asked, RawPeer, Reply, Respond, answered, answering_well, enveloped, http, result
from tests.e2e.stage import (
    AT,
    AT_MOST,
    CS,
    SAMPLES,
    Answer,
    Connection,
    Listening,
    dialled,
    envelope,
    fault,
    logged,
    post,
    reachable,
    receiver,
    running,
    settings,
)
from tests.ports import free_port

ACTIONS = ("StartTransaction", "StopTransaction", "MeterValues", "Heartbeat")
TRANSACTION_RELATED = ACTIONS[:3]
CENTRAL_SYSTEMS = ("ocpp1.6s", "ocpp1.5s")
_MISCONFIGURED = b'ocpp_bridge_central_system_misconfigured{central_system="main"} %d.0'
QUICK = {"reconnect_min": 0.05, "reconnect_max": 0.2}
_BODIES = {
    "StartTransaction": f"<connectorId>1</connectorId><idTag>DRIVER-1</idTag><timestamp>{AT}</timestamp>"
    "<meterStart>12000</meterStart>",
    "StopTransaction": f"<transactionId>1</transactionId><timestamp>{AT}</timestamp><meterStop>12680</meterStop>",
    "MeterValues": f"<connectorId>1</connectorId><meterValue><timestamp>{AT}</timestamp>"
    "<sampledValue><value>230.10</value></sampledValue></meterValue>",
    "Heartbeat": "",
}


class Kind(Enum):
    """What a row is."""

    DELIVERED = auto()  # a verdict: the response
    REFUSED = auto()  # a verdict: a Fault
    THIS_CALL = auto()  # a link failure of this Call only
    UNREACHABLE = auto()  # a link failure, and the party is unreachable for this Charge Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What comes back, and what that is. `of` are the actions that it can come back to."""

    kind: Kind
    reply: Callable[[Asked, str], Reply]
    of: tuple[str, ...] = ACTIONS


def _plain(
    status: str, body: bytes = b"", content_type: str = "text/html", **headers: str
) -> Callable[[Asked, str], Reply]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda asked, protocol: Reply(octets=http(status, body, content_type=content_type, headers=named))


def _fault(status: str, side: str = "Receiver") -> Callable[[Asked, str], Reply]:
    def reply(asked: Asked, protocol: str) -> Reply:
        return Reply(octets=http(status, enveloped(fault("InternalError", side=side), asked.message_id)))

    return reply


def _result(status: str) -> Callable[[Asked, str], Reply]:
    return lambda asked, protocol: Reply(octets=answered(asked, protocol=protocol, status=status))


def _body(content: Callable[[Asked, str], str], status: str = "200 OK") -> Callable[[Asked, str], Reply]:
    """An envelope with `content` in its Body."""
    return lambda asked, protocol: Reply(octets=http(status, enveloped(content(asked, protocol), asked.message_id)))


def _half_envelope(asked: Asked, protocol: str) -> Reply:
    whole = enveloped(result(asked.action, protocol=protocol), asked.message_id)
    return Reply(octets=http("200 OK", whole[: len(whole) - 20]))


def _half_body(asked: Asked, protocol: str) -> Reply:
    whole = enveloped(result(asked.action, protocol=protocol), asked.message_id)
    return Reply(octets=http("200 OK", whole[:-20], length=len(whole)), then="close")


def _half_head(asked: Asked, protocol: str) -> Reply:
    return Reply(octets=b"HTTP/1.1 200 OK\r\nContent-Le", then="close")


_HTML = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Log in</body></html>"
_AWAY = {
    f"{status}, {what}": Row(kind=Kind.UNREACHABLE, reply=reply)
    for status in ("502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout")
    for what, reply in {
        "nothing": _plain(status),
        "HTML": _plain(status, _HTML),
        "a Fault": _fault(status),
        "the response": _result(status),
    }.items()
}
_NOT_NOW = {
    f"{status}, {what}": Row(kind=Kind.THIS_CALL, reply=reply)
    for status in ("408 Request Timeout", "425 Too Early", "429 Too Many Requests")
    for what, reply in {"nothing": _plain(status), "a Fault": _fault(status), "the response": _result(status)}.items()
}
_ELSEWHERE = {
    f"{status}, {what}": Row(kind=Kind.THIS_CALL, reply=reply)
    for status in (
        "301 Moved Permanently",
        "302 Found",
        "307 Temporary Redirect",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "405 Method Not Allowed",
        "407 Proxy Authentication Required",
    )
    for what, reply in {
        "HTML": _plain(status, _HTML, Location="http://127.0.0.1:9/"),
        "a Fault": _fault(status, "Sender"),
        "the response": _result(status),
    }.items()
}
_NO_ENVELOPE = {
    f"{what}, {status}": Row(kind=Kind.THIS_CALL, reply=_plain(status, body, content_type))
    for status in ("200 OK", "400 Bad Request", "500 Internal Server Error")
    for what, (body, content_type) in {
        "nothing": (b"", "application/soap+xml"),
        "HTML": (_HTML, "text/html"),
        "text": (b"try later", "text/plain"),
        "JSON": (b'{"error": "try later"}', "application/json"),
        "other XML": (b"<error/>", "text/xml"),
    }.items()
}
_NO_ANSWER = {
    "half an envelope": Row(kind=Kind.THIS_CALL, reply=_half_envelope),
    "half a body, then the end": Row(kind=Kind.THIS_CALL, reply=_half_body),
    "an empty Body": Row(kind=Kind.THIS_CALL, reply=_body(lambda asked, protocol: "")),
    "a request in the Body": Row(
        kind=Kind.THIS_CALL,
        reply=_body(lambda asked, protocol: result(asked.action, protocol=protocol).replace("Response", "Request")),
    ),
    "the response to another action": Row(
        kind=Kind.THIS_CALL, reply=_body(lambda asked, protocol: result("Authorize", protocol=protocol))
    ),
    "an unknown element": Row(kind=Kind.THIS_CALL, reply=_body(lambda asked, protocol: '<ok xmlns="urn:x"/>')),
    "a response without its required part": Row(
        kind=Kind.THIS_CALL,
        reply=_body(
            lambda asked, protocol: result(
                asked.action, protocol=protocol, parts="<idTagInfo><status>Accepted</status></idTagInfo>"
            )
        ),
        of=("StartTransaction",),
    ),
    "a response without any part": Row(
        kind=Kind.THIS_CALL,
        reply=_body(lambda asked, protocol: result(asked.action, protocol=protocol, parts="")),
        of=("StartTransaction", "Heartbeat"),
    ),
}
_HUNG_UP = {
    "half a head, then the end": Row(kind=Kind.UNREACHABLE, reply=_half_head),
    "the end": Row(kind=Kind.UNREACHABLE, reply=lambda asked, protocol: Reply(then="close")),
    "a reset": Row(kind=Kind.UNREACHABLE, reply=lambda asked, protocol: Reply(then="reset")),
}
_DELIVERED = {
    f"the response, {status}": Row(kind=Kind.DELIVERED, reply=_result(status))
    for status in ("200 OK", "202 Accepted", "400 Bad Request", "500 Internal Server Error")
}
_REFUSED = {
    f"a Fault, {status}": Row(kind=Kind.REFUSED, reply=_fault(status))
    for status in ("200 OK", "400 Bad Request", "500 Internal Server Error")
}
GROUPS = {
    "away": _AWAY,
    "not now": _NOT_NOW,
    "elsewhere": _ELSEWHERE,
    "no envelope": _NO_ENVELOPE,
    "no answer": _NO_ANSWER,
    "hung up": _HUNG_UP,
    "delivered": _DELIVERED,
    "refused": _REFUSED,
}
ROWS = {f"{group}: {name}": row for group, rows in GROUPS.items() for name, row in rows.items()}


@asynccontextmanager
async def bridged(peer: RawPeer, protocol: str = "ocpp1.6s", **tables: Any) -> AsyncIterator[Gateway]:
    """A gateway whose only Central System is `peer`."""
    system = {"protocol": protocol} | QUICK | tables.pop("central_system", {})
    told: dict[str, Any] = {"soap": reachable()} | tables
    async with running(settings(peer.url, central_system=system, **told)) as gateway:
        yield gateway


def request(action: str, identity: str = "CP 1") -> bytes:
    """What a SOAP Charge Point sends."""
    name = action[:1].lower() + action[1:]
    return envelope(f'<{name}Request xmlns="{CS}">{_BODIES[action]}</{name}Request>', identity=identity)


# A SOAP Charge Point.


def link_failed(answer: Answer) -> bool:
    """D1: "HTTP 503, Fault Receiver/InternalError"."""
    return answer.status == 503 and answer.fault == receiver("InternalError")


async def delivered(gateway: Listening, body: bytes) -> Answer:
    """Send it again as long as the link fails, as a Charge Point does; gives the verdict."""
    async with asyncio.timeout(AT_MOST):
        while True:
            answer = await post(gateway, body)
            if not link_failed(answer):
                return answer
            await asyncio.sleep(0.05)  # a Charge Point's own pause


def _first(row: Row, action: str, protocol: str) -> Respond:
    """The first request of `action` gets the row, everything else its good answer."""
    done: list[Asked] = []

    def respond(asked: Asked) -> Reply:
        if asked.action == action and not done:
            done.append(asked)
            return row.reply(asked, protocol)
        return Reply(octets=answered(asked, protocol=protocol))

    return respond


def _holds_its_message_id(peer: RawPeer, action: str) -> None:
    """D5: a Start's or Stop's repetition without an answer goes out under the same UniqueId."""
    ids = {asked.message_id for asked in peer.of(action)}
    if action in ("StartTransaction", "StopTransaction"):
        assert len(ids) == 1, f"{action} was repeated under another MessageID: {ids}"


@pytest.mark.parametrize("protocol", CENTRAL_SYSTEMS)
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_what_a_soap_charge_point_gets(row: Row, protocol: str) -> None:
    async with RawPeer(answering_well(protocol)) as peer, bridged(peer, protocol) as gateway:
        for action in row.of:
            body = request(action, f"CP {action}")
            peer.respond = _first(row, action, protocol)
            answer = await post(gateway, body)
            if row.kind is Kind.DELIVERED:
                assert (answer.status, answer.fault) == (200, None), action
            elif row.kind is Kind.REFUSED:
                assert answer.status in (400, 500), action
                assert answer.fault is not None, action
            else:
                assert link_failed(answer), (action, answer.status, answer.body)
                # "A SOAP Charge Point's party is tried at its next Call."
                again = await post(gateway, body)
                assert (again.status, again.fault) == (200, None), (action, again.body)
                assert len(peer.of(action)) == 2
                _holds_its_message_id(peer, action)


# A JSON Charge Point.


def call(action: str, number: int = 1) -> list[Any]:
    """What a JSON Charge Point sends."""
    return [2, f"{action} {number}", action, SAMPLES[action]]


async def _closed_and_back(connection: Connection, gateway: Gateway, action: str) -> None:
    """D1: close 1013; HTTP 503 at the handshake until the back-off lets one in, whose first POST decides."""
    assert (await connection.ended())[0] == 1013, action
    async with asyncio.timeout(AT_MOST):
        while True:
            try:
                async with dialled(gateway, f"CP%20{action}") as again:
                    assert (await again.ask(call(action, 2)))[:2] == [3, f"{action} 2"]
                    return
            except InvalidStatus as refused:
                assert refused.response.status_code == 503
                await asyncio.sleep(0.05)  # a Charge Point's own pause


async def _this_call_failed(connection: Connection, action: str) -> None:
    """D1: no answer to what is transaction-related, CALLERROR InternalError to the rest. The connection stays."""
    if action not in TRANSACTION_RELATED:
        assert (await connection.receive())[:3] == [4, f"{action} 1", "InternalError"]
    # Calls are answered in their order: the next frame would be the answer to the first, if there were one.
    assert (await connection.ask([2, "after", "DataTransfer", {"vendorId": "v"}]))[1] == "after", action
    assert (await connection.ask(call(action, 2)))[:2] == [3, f"{action} 2"], action


@pytest.mark.parametrize("protocol", CENTRAL_SYSTEMS)
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_what_a_json_charge_point_gets(row: Row, protocol: str) -> None:
    async with RawPeer(answering_well(protocol)) as peer, bridged(peer, protocol) as gateway:
        for action in row.of:
            peer.respond = _first(row, action, protocol)
            async with dialled(gateway, f"CP%20{action}") as connection:
                await connection.send(call(action))
                if row.kind is Kind.DELIVERED:
                    assert (await connection.receive())[:2] == [3, f"{action} 1"]
                elif row.kind is Kind.REFUSED:
                    assert (await connection.receive())[:3] == [4, f"{action} 1", "InternalError"]
                elif row.kind is Kind.UNREACHABLE:
                    await _closed_and_back(connection, gateway, action)
                else:
                    await _this_call_failed(connection, action)
            if row.kind in (Kind.UNREACHABLE, Kind.THIS_CALL):
                assert len(peer.of(action)) == 2
                _holds_its_message_id(peer, action)


# Nobody listens.


@pytest.mark.parametrize("protocol", CENTRAL_SYSTEMS)
@pytest.mark.parametrize("action", ACTIONS)
async def test_a_refused_connection(action: str, protocol: str) -> None:
    slow = {"reconnect_min": 600, "reconnect_max": 600}
    async with RawPeer(answering_well(protocol)) as peer, bridged(peer, protocol, central_system=slow) as gateway:
        async with dialled(gateway) as connection:
            assert (await connection.ask([2, "before", "DataTransfer", {"vendorId": "v"}]))[0] == 3
            await peer.down()
            assert link_failed(await post(gateway, request(action, "CP S")))
            await connection.send(call(action))
            assert (await connection.ended())[0] == 1013
        with pytest.raises(InvalidStatus) as refused:
            async with dialled(gateway):
                raise AssertionError("it was let in before the back-off was over")
        assert refused.value.response.status_code == 503
        await peer.up()
        assert (await post(gateway, request(action, "CP S"))).status == 200
        assert len(peer.of(action)) == 1


async def test_unreachable_is_kept_for_the_charge_point_that_saw_it() -> None:
    """The back-off is long here, so that it is certainly not over: the one is refused, the other is let in."""
    slow = {"reconnect_min": 600, "reconnect_max": 600}
    async with RawPeer(answering_well()) as peer, bridged(peer, central_system=slow) as gateway:
        peer.respond = _first(_AWAY["502 Bad Gateway, HTML"], "StartTransaction", "ocpp1.6s")
        async with dialled(gateway, "CP%20A") as connection, dialled(gateway, "CP%20B") as other:
            await connection.send(call("StartTransaction"))
            assert (await connection.ended())[0] == 1013
            with pytest.raises(InvalidStatus) as refused:
                async with dialled(gateway, "CP%20A"):
                    raise AssertionError("it was let in before the back-off was over")
            assert refused.value.response.status_code == 503
            assert (await other.ask(call("StartTransaction")))[0] == 3
        async with dialled(gateway, "CP%20C") as third:
            assert (await third.ask(call("Heartbeat")))[0] == 3


async def test_the_first_post_after_the_back_off_decides() -> None:
    """It fails: the Charge Point is disconnected and refused again. How long, tests/core/test_session.py says."""
    system = {"reconnect_min": 2, "reconnect_max": 4}
    away = _AWAY["502 Bad Gateway, HTML"]
    raw = RawPeer(lambda asked: away.reply(asked, "ocpp1.6s"))
    async with raw as peer, bridged(peer, central_system=system) as gateway:
        for number in (1, 2):
            async with dialled(gateway) as connection:
                await connection.send(call("StartTransaction"))
                assert (await connection.ended())[0] == 1013
            assert len(peer.requests) == number
            await _refused_and_let_in(gateway)
        peer.respond = answering_well()
        async with dialled(gateway) as connection:
            assert (await connection.ask(call("StartTransaction")))[0] == 3


async def _refused_and_let_in(gateway: Gateway) -> None:
    """Until a handshake is let in, each gets HTTP 503 with Retry-After."""
    times = 0
    async with asyncio.timeout(AT_MOST):
        while True:
            try:
                async with dialled(gateway):
                    assert times > 0
                    return
            except InvalidStatus as refused:
                times += 1
                assert refused.response.status_code == 503
                assert int(refused.response.headers["Retry-After"]) >= 1
                await asyncio.sleep(0.05)  # a Charge Point's own pause


# Retry-After.


@pytest.mark.parametrize("status", ["408 Request Timeout", "425 Too Early", "429 Too Many Requests"])
async def test_retry_after_is_kept_to(status: str) -> None:
    row = Row(kind=Kind.THIS_CALL, reply=_plain(status, Retry_After="1"))
    async with RawPeer(_first(row, "StartTransaction", "ocpp1.6s")) as peer, bridged(peer) as gateway:
        assert link_failed(await post(gateway, request("StartTransaction")))
        assert (await delivered(gateway, request("StartTransaction"))).status == 200
        first, second = peer.of("StartTransaction")
        assert second.at - first.at >= 1
        assert first.message_id == second.message_id


# Who is told.


@pytest.mark.parametrize(
    ("row", "failure"),
    [
        (_ELSEWHERE["404 Not Found, HTML"], "misconfigured"),
        (_AWAY["502 Bad Gateway, HTML"], "unreachable"),
        (Row(kind=Kind.THIS_CALL, reply=_plain("429 Too Many Requests", _HTML)), "overloaded"),
    ],
    ids=["404", "502", "429"],
)
async def test_status_and_first_line_are_in_the_log_once_a_minute(row: Row, failure: str) -> None:
    async with RawPeer(lambda asked: row.reply(asked, "ocpp1.6s")) as peer, bridged(peer) as gateway:
        with logged() as lines:
            for _ in range(3):
                assert link_failed(await post(gateway, request("Heartbeat")))
        [said] = [line for line in lines if " link failure " in line]
        wanted = ("central_system=main", f"failure={failure}", "HTTP 4" if failure != "unreachable" else "HTTP 502")
        assert [words for words in (*wanted, "<!DOCTYPE html>") if words not in said] == []


@pytest.mark.parametrize("protocol", CENTRAL_SYSTEMS)
async def test_a_misconfigured_central_system_is_named_until_it_answers(protocol: str) -> None:
    """`/readyz` says what came, and is degraded; the metric is 1. Both end with the next right answer."""
    page = _plain("404 Not Found", _HTML)
    async with (
        RawPeer(lambda asked: page(asked, protocol)) as peer,
        bridged(peer, protocol) as gateway,
        api_of(gateway) as admin,
    ):
        assert link_failed(await post(gateway, request("Heartbeat")))
        health = await admin.get("//readyz")
        told = health["central_systems"]["main"]
        assert (health["status"], told["degraded"]) == ("degraded", True)
        assert told["misconfigured"] == "HTTP 404, text/html"
        assert _MISCONFIGURED % 1 in (await admin.get("//metrics")).splitlines()

        peer.respond = answering_well(protocol)
        assert (await post(gateway, request("Heartbeat"))).status == 200
        health = await admin.get("//readyz")
        told = health["central_systems"]["main"]
        assert (health["status"], told["degraded"], "misconfigured" in told) == ("ready", False, False)
        assert _MISCONFIGURED % 0 in (await admin.get("//metrics")).splitlines()


# Two bridges in a row.


@asynccontextmanager
async def two_bridges(far: RawPeer, near: str) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Charge Point -> A -> B -> `far`; A speaks SOAP to B."""
    async with bridged(far) as second:
        host, port = second.soap_address
        url = f"http://{host}:{port}/services/CentralSystemService"
        system = {"protocol": "ocpp1.6s"} | QUICK
        async with running(settings(url, soap=reachable(), central_system=system)) as first:
            yield first, second


@pytest.mark.parametrize("action", ACTIONS)
async def test_two_bridges_in_a_row_give_what_one_gives(action: str) -> None:
    """The 503 that the second bridge sends is a link failure to the first."""
    async with RawPeer(answering_well()) as far, two_bridges(far, "soap") as (first, _):
        assert (await post(first, request(action))).status == 200
        async with dialled(first, "CP%20J") as connection:
            assert (await connection.ask(call("Heartbeat")))[0] == 3
            await far.down()
            assert link_failed(await post(first, request(action, "CP 2")))
            await connection.send(call(action))
            assert (await connection.ended())[0] == 1013
        await far.up()
        assert (await delivered(first, request(action, "CP 2"))).status == 200


@pytest.mark.parametrize(
    "refusing",
    [
        {"charge_point": "nobody"},
        {"authentication": "basic"},
        {"authentication": "network", "networks": (ip_network("192.0.2.0/24"),)},
    ],
    ids=["no route", "a password", "networks"],
)
async def test_the_refusals_of_a_second_bridge_are_link_failures(refusing: dict[str, Any]) -> None:
    """Whom it does not let in is a matter of its configuration, and no verdict on a message."""
    async with RawPeer(answering_well()) as far, bridged(far, route=refusing) as second:
        host, port = second.soap_address
        url = f"http://{host}:{port}/services/CentralSystemService"
        system = {"protocol": "ocpp1.6s"} | QUICK
        async with running(settings(url, soap=reachable(), central_system=system)) as first:
            assert link_failed(await post(first, request("StartTransaction")))
            async with dialled(first) as connection:
                await connection.send(call("StartTransaction"))
                assert (await connection.ask([2, "x", "DataTransfer", {"vendorId": "v"}]))[:2] == [4, "x"]
        assert far.requests == []


async def test_a_port_where_nobody_ever_listened() -> None:
    system = {"protocol": "ocpp1.6s"} | QUICK
    url = f"http://127.0.0.1:{free_port()}/"
    async with running(settings(url, soap=reachable(), central_system=system)) as gateway:
        for action in ACTIONS:
            assert link_failed(await post(gateway, request(action)))
