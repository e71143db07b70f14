"""A verdict that comes after call_timeout, and a repetition without one ("Delivery", D1 and D5)."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from bridge.net import http_client
from tests.admin.asked import api_of
from tests.e2e.processes import Bridge
from tests.e2e.raw_peer import Asked, RawPeer, Reply, answered
from tests.e2e.stage import dialled, post
from tests.e2e.test_delivery import ACTIONS, CENTRAL_SYSTEMS, QUICK, bridged, call, delivered, link_failed, request
from tests.e2e.test_related_answers import Point, both, versions
from tests.e2e.test_restart import broken, start


async def _walk_late(far: str, action: str, again_before_the_verdict: bool) -> None:
    """Nothing within call_timeout, then the verdict."""
    gate = asyncio.Event()

    def respond(asked: Asked) -> Reply:
        return Reply(octets=answered(asked, protocol=far), after=gate if asked.action == action else None)

    quick = {"call_timeout": 1}
    async with RawPeer(respond) as peer, bridged(peer, far, gateway=quick) as gateway:
        assert link_failed(await post(gateway, request(action)))
        # The lane goes on with the next Call.
        assert (await post(gateway, request("Heartbeat"))).status == 200
        if again_before_the_verdict:  # it waits, and is not sent
            assert link_failed(await post(gateway, request(action)))
        gate.set()
        answer = await delivered(gateway, request(action))
        assert (answer.status, answer.fault) == (200, None)
        if action == "StartTransaction":
            assert answer.content.findtext("{*}transactionId") == "4711"
        assert len(peer.of(action)) == 1


@pytest.mark.parametrize("far", CENTRAL_SYSTEMS)
@pytest.mark.parametrize("again_before_the_verdict", [False, True])
@pytest.mark.parametrize("action", ["StartTransaction", "StopTransaction"])
async def test_a_late_verdict_is_kept_for_the_repetition(action: str, again_before_the_verdict: bool, far: str) -> None:
    await _walk_late(far, action, again_before_the_verdict)


@both
@versions
async def test_nothing_within_call_timeout_is_a_link_failure_of_this_call(protocol: str, point: Point) -> None:
    gate = asyncio.Event()

    def respond(asked: Asked) -> Reply:
        return Reply(octets=answered(asked, protocol=protocol), after=gate if asked.action in ACTIONS else None)

    async with RawPeer(respond) as peer, bridged(peer, protocol, gateway={"call_timeout": 1}) as gateway:

        async def say(action: str) -> str | None:
            async with point(gateway, f"CP {action}") as said:
                return await said(action)

        assert await asyncio.gather(*map(say, ACTIONS)) == [None] * len(ACTIONS)
        gate.set()


async def test_a_repetition_that_waits_gets_the_late_verdict() -> None:
    """It is not sent, and gets the verdict within its own deadline. What another Charge Point says after it is answered
    meanwhile."""
    gate = asyncio.Event()

    def respond(asked: Asked) -> Reply:
        return Reply(octets=answered(asked), after=gate if asked.action == "StartTransaction" else None)

    async with RawPeer(respond) as peer, bridged(peer, gateway={"call_timeout": 3}) as gateway:
        assert link_failed(await post(gateway, request("StartTransaction")))
        async with asyncio.TaskGroup() as group:
            again = group.create_task(delivered(gateway, request("StartTransaction")))
            for _ in range(10):
                assert (await post(gateway, request("Heartbeat", "CP 2"))).status == 200
            gate.set()
        assert again.result().content.findtext("{*}transactionId") == "4711"
        assert len(peer.of("StartTransaction")) == 1


async def test_a_late_post_ends_after_late_answers() -> None:
    """Then the repetition goes out, under the MessageID of the first."""
    gate = asyncio.Event()

    def respond(asked: Asked) -> Reply:
        return Reply(octets=answered(asked), after=None if peer.of(asked.action) else gate)

    quick = {"call_timeout": 1, "late_answers": 2}
    async with RawPeer(respond) as peer, bridged(peer, gateway=quick) as gateway, api_of(gateway) as admin:
        assert link_failed(await post(gateway, request("StartTransaction")))
        assert b"ocpp_bridge_late_posts 1.0" in (await admin.get("//metrics")).splitlines()
        await peer.hung_up(1)
        assert (await delivered(gateway, request("StartTransaction"))).status == 200
        first, second = peer.of("StartTransaction")
        assert first.message_id == second.message_id


async def test_a_json_charge_point_gets_the_late_verdict_too() -> None:
    gate = asyncio.Event()

    def respond(asked: Asked) -> Reply:
        return Reply(octets=answered(asked), after=gate if asked.action == "StartTransaction" else None)

    quick = {"call_timeout": 1}
    async with RawPeer(respond) as peer, bridged(peer, gateway=quick) as gateway, dialled(gateway) as connection:
        await connection.send(call("StartTransaction"))
        # Not answered before the lane goes on, which it does without an answer to the first.
        while (beat := await connection.ask(call("Heartbeat", len(peer.of("Heartbeat")))))[0] != 3:
            assert beat[:3:2] == [4, "InternalError"]
        gate.set()
        answer = await connection.ask(call("StartTransaction", 2))
        assert (answer[:2], answer[2]["transactionId"]) == ([3, "StartTransaction 2"], 4711)
        assert len(peer.of("StartTransaction")) == 1


async def test_a_json_charge_point_that_comes_back_gets_the_late_verdict_too() -> None:
    """It hung up when it got no answer. Its repetition is not sent while the POST of the first goes on."""
    gate = asyncio.Event()

    def respond(asked: Asked) -> Reply:
        return Reply(octets=answered(asked), after=gate if asked.action == "StartTransaction" else None)

    async with RawPeer(respond) as peer, bridged(peer, gateway={"call_timeout": 2}) as gateway:
        async with dialled(gateway) as connection:
            await connection.send(call("StartTransaction"))
            await peer.asked("StartTransaction")
        async with dialled(gateway) as connection:
            await connection.send(call("StartTransaction", 2))
            # Neither of the two is answered in time; what comes after them is.
            while (beat := await connection.ask(call("Heartbeat", len(peer.of("Heartbeat")))))[0] != 3:
                assert beat[:3:2] == [4, "InternalError"]
        async with dialled(gateway) as connection:
            await connection.send(call("StartTransaction", 3))
            gate.set()
            answer = await connection.receive()
            assert (answer[:2], answer[2]["transactionId"]) == ([3, "StartTransaction 3"], 4711)
        assert len(peer.of("StartTransaction")) == 1


async def test_a_late_post_that_dies_is_sent_again_under_its_message_id() -> None:
    gate = asyncio.Event()
    dying = Reply(then="reset", after=gate)

    def respond(asked: Asked) -> Reply:
        first = asked.action == "StartTransaction" and not peer.of("StartTransaction")
        return dying if first else Reply(octets=answered(asked))

    async with RawPeer(respond) as peer, bridged(peer, gateway={"call_timeout": 1}) as gateway:
        assert link_failed(await post(gateway, request("StartTransaction")))
        gate.set()
        await peer.hung_up(1)
        assert (await delivered(gateway, request("StartTransaction"))).status == 200
        assert len({asked.message_id for asked in peer.of("StartTransaction")}) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has sockets that vanish")
async def test_tcp_keep_alive_ends_a_late_post_whose_peer_has_vanished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else would, for 150 s. Here the first probe comes after one second; tests/net/test_http_client.py has
    the numbers that hold."""
    monkeypatch.setattr(http_client, "_KEEPALIVE", (("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 3)))

    def respond(asked: Asked) -> Reply:
        first = asked.action == "StartTransaction" and not peer.of("StartTransaction")
        return Reply(then="silent") if first else Reply(octets=answered(asked))

    async with RawPeer(respond) as peer, bridged(peer, gateway={"call_timeout": 1}) as gateway:
        assert link_failed(await post(gateway, request("StartTransaction")))
        try:
            peer.vanish(1)
        except PermissionError:
            pytest.skip("this user may not make sockets vanish (CAP_NET_ADMIN)")
        assert (await delivered(gateway, request("StartTransaction"))).status == 200
        first, second = peer.of("StartTransaction")
        assert (first.message_id, second.connection) == (second.message_id, 2)


async def test_what_is_not_a_start_or_stop_is_not_waited_for() -> None:
    """A MeterValues without an answer in time is sent again."""
    gate = asyncio.Event()

    def respond(asked: Asked) -> Reply:
        return Reply(octets=answered(asked), after=None if peer.of(asked.action) else gate)

    async with RawPeer(respond) as peer, bridged(peer, gateway={"call_timeout": 1}) as gateway:
        assert link_failed(await post(gateway, request("MeterValues")))
        assert (await delivered(gateway, request("MeterValues"))).status == 200
        assert len(peer.of("MeterValues")) >= 2  # on a busy machine one more may come too late
        gate.set()


async def test_a_late_post_is_outside_of_max_in_flight_and_has_its_connection_to_itself() -> None:
    gate = asyncio.Event()

    def respond(asked: Asked) -> Reply:
        return Reply(octets=answered(asked), after=gate if asked.action == "StartTransaction" else None)

    few = {"call_timeout": 1, "max_in_flight": 1}
    async with RawPeer(respond) as peer, bridged(peer, gateway=few) as gateway, api_of(gateway) as admin:
        for name in ("CP 1", "CP 2", "CP 3"):
            assert link_failed(await post(gateway, request("StartTransaction", name)))
        assert (await post(gateway, request("Heartbeat", "CP 4"))).status == 200
        assert (await post(gateway, request("Heartbeat", "CP 4"))).status == 200
        assert [(asked.connection, asked.place) for asked in peer.of("StartTransaction")] == [
            (1, 1),
            (2, 1),
            (3, 1),
        ]
        assert {asked.connection for asked in peer.of("Heartbeat")} == {4}
        lines = (await admin.get("//metrics")).splitlines()
        assert b"ocpp_bridge_late_posts 3.0" in lines
        assert b"ocpp_bridge_in_flight 0.0" in lines
        gate.set()


async def test_a_fifth_late_post_of_a_charge_point_ends_the_first() -> None:
    """They stand outside of all other limits, but for 4 of a Charge Point."""
    gate = asyncio.Event()
    held = RawPeer(lambda asked: Reply(octets=answered(asked), after=gate))
    async with held as peer, bridged(peer, gateway={"call_timeout": 1}) as gateway, api_of(gateway) as admin:
        for connector in range(1, 6):
            assert link_failed(await post(gateway, start(connector=connector)))
        assert len({asked.connection for asked in peer.requests}) == 5
        await peer.hung_up(1)
        lines = (await admin.get("//metrics")).splitlines()
        assert b"ocpp_bridge_late_posts_closed_total 1.0" in lines
        assert b"ocpp_bridge_late_posts 4.0" in lines
        gate.set()
        # The others' verdicts are kept; the first goes out again, under its MessageID.
        for connector in (2, 3, 4, 5, 1):
            assert (await delivered(gateway, start(connector=connector))).status == 200
        assert len(peer.requests) == 6
        assert peer.requests[5].message_id == peer.requests[0].message_id


def _of(peer: RawPeer) -> dict[str, dict[str, object]]:
    return {"main": {"url": peer.url, "protocol": "ocpp1.6s", **QUICK}}


async def test_a_late_post_has_what_is_left_of_the_drain(tmp_path: Path) -> None:
    """Its verdict is kept over a restart."""
    gate = asyncio.Event()
    held = RawPeer(lambda asked: Reply(octets=answered(asked), after=gate))
    async with held as peer, Bridge(tmp_path, _of(peer), call_timeout=1) as bridge:
        assert link_failed(await post(bridge, start()))
        bridge.told(signal.SIGTERM)
        await bridge.says("draining")
        gate.set()
        assert await bridge.ended() == 0
        await bridge.start()
        answer = await post(bridge, start())
        assert (answer.status, answer.content.findtext("{*}transactionId")) == (200, "4711")
        assert len(peer.requests) == 1


@pytest.mark.parametrize("action", ["StartTransaction", "StopTransaction"])
async def test_a_repetition_after_a_kill_has_the_message_id_of_the_first(tmp_path: Path, action: str) -> None:
    """Whether the first arrived is known to the Central System alone: by the MessageID it can tell (D5)."""
    gate = asyncio.Event()
    held = RawPeer(lambda asked: Reply(octets=answered(asked), after=gate))
    async with held as peer, Bridge(tmp_path, _of(peer)) as bridge:
        async with asyncio.TaskGroup() as group:
            group.create_task(broken(post(bridge, request(action))))
            await peer.asked(action)
            await bridge.kill()
        gate.set()
        await bridge.start()
        assert (await delivered(bridge, request(action))).status == 200
        first, second = peer.of(action)
        assert first.message_id == second.message_id
