"""What comes for a Charge Point that another process of the cluster has by now is that process's to answer."""

from __future__ import annotations

from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bridge.app import Gateway
from bridge.errors import HeldElsewhere
from bridge.net.forwarding import ForwardedPost
from bridge.net.soap_server import SoapServer
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import HeartbeatRequest
from bridge.ocpp.rpc import Call
from bridge.ocpps.replies import Reply
from tests.e2e.stage import Leg, leg

ANSWER = Reply(status=503, body=b"the other process", content_type="text/plain")


class OtherProcess:
    """The process that has the Charge Point by now, as this one finds out after it has begun with a message."""

    process = "other.1"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def key_of(self, sender: Party, name: str) -> str:
        return name

    def is_here(self, key: str) -> bool:
        return True

    async def is_here_when_loaded(self, key: str) -> bool:
        return True

    async def forward(self, key: str, post: ForwardedPost) -> Reply | None:
        self.asked.append(key)
        return ANSWER

    async def forward_unread(self, key: str, post: ForwardedPost) -> Reply | None:
        raise AssertionError


async def goes(parties: Leg) -> None:
    """The Charge Point goes to another process."""
    runners = parties.gateway._sessions.release(lambda key: False)
    for runner in runners:
        runner.end()
        await runner.abandon()
    parties.gateway._sessions.has = lambda key: False


def other_process(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> OtherProcess:
    made: Any = OtherProcess()
    for listener in gateway._listeners.of(SoapServer):
        monkeypatch.setattr(listener, "_holders", made)
    return made  # type: ignore[no-any-return]


async def test_a_request_that_begins_no_session_any_more_is_asked_of_the_other_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with leg("soap", "json") as parties:
        await parties.met()
        await goes(parties)
        other = other_process(parties.gateway, monkeypatch)
        with pytest.raises(Exception, match="503"):
            await parties.charge_point.call("Heartbeat", {})
        assert other.asked == [parties.identity] and len(parties.gateway._sessions) == 0


async def test_so_is_one_whose_session_ends_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async with leg("soap", "json") as parties:
        await parties.met()
        (runner,) = parties.gateway._sessions
        runner.end()
        other = other_process(parties.gateway, monkeypatch)
        with pytest.raises(Exception, match="503"):
            await parties.charge_point.call("Heartbeat", {})
        assert other.asked == [parties.identity] and len(parties.gateway._pending) == 0


@pytest.mark.parametrize("far", ["soap", "json"])
async def test_a_websocket_that_was_admitted_before_is_closed(far: str) -> None:
    async with leg("json", far) as parties:
        await parties.met()
        await goes(parties)
        host, port = parties.gateway.websocket_address
        only = [Subprotocol("ocpp1.6")]
        async with connect(f"ws://{host}:{port}/ocpp/CP%202", subprotocols=only) as client:
            with pytest.raises(ConnectionClosed):
                await client.recv()
        assert client.close_code == 1012 and len(parties.gateway._sessions) == 0


@pytest.mark.parametrize("near", ["soap", "json"])
async def test_a_call_that_comes_too_late_counts_for_no_limit(near: str) -> None:
    """A process that stops waits until no Call is in progress."""
    async with leg(near, "json") as parties:
        await parties.met()
        (runner,) = parties.gateway._sessions.release(lambda key: False)
        runner.end()
        runner.called(Party.CHARGE_POINT, "1/1", Call(unique_id="late", action="Heartbeat", payload=HeartbeatRequest()))
        with pytest.raises(HeldElsewhere):
            runner.check_open()
        await runner.abandon()
        assert await parties.gateway._traffic.drained(0.0)


async def test_a_charge_point_that_somebody_waits_for_has_its_session_when_its_records_have_come() -> None:
    """Who waits may be its Central System, which sends a command."""
    async with leg("soap", "soap") as parties:
        await parties.met()
        (runner,) = parties.gateway._sessions.release(lambda key: False)
        runner.end()
        await runner.abandon()
        parties.gateway._charge_point_loaded(parties.identity)
        await parties.central_system.call(parties.identity, "ClearCache", {})


async def test_calls_with_a_former_central_system_are_in_progress_and_end_too() -> None:
    async with leg("soap", "json") as parties:
        await parties.met()
        (runner,) = parties.gateway._sessions.release(lambda key: False)
        former = parties.gateway._sessions._begin_former(runner, "main")
        assert former is not None and runner.elsewhere is not None
        runner.elsewhere._runners["main"] = former  # type: ignore[attr-defined]
        former._begin(Party.CENTRAL_SYSTEM, "main")
        runner.end()
        with pytest.raises(HeldElsewhere):
            former.check_open()
        assert await parties.gateway._traffic.drained(0.0)
        await runner.abandon()
        assert not former.transports
