"""What an operator does: commands to a Charge Point, hanging up, a move to another Central System; and the audit."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.app import Gateway
from bridge.config import CentralSystem, Settings, Store
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.ocpp.actions import Party
from tests.admin.asked import Answer, Api, api_of
from tests.dialects.strategies import service
from tests.e2e.stage import COMMANDS, charge_point, envelope, json_charge_point, leg, post, running, settings

ONE = "/charge-points/CP%201"


async def call(api: Api, action: str, payload: object = None) -> Answer:
    return await api("POST", f"{ONE}/calls", {"action": action} | ({} if payload is None else {"payload": payload}))


async def audited(api: Api) -> list[str]:
    """The audit, the newest first: what was done, and how it ended."""
    return [f"{each['what']}: {each['outcome']}" for each in (await api.get("/audit"))["items"]]


@pytest.mark.parametrize("near", ["soap", "json"])
@pytest.mark.parametrize("far", ["soap", "json"])
async def test_every_command_of_a_central_system(near: str, far: str) -> None:
    async with leg(near, far) as scene, api_of(scene.gateway) as api:
        await scene.met()
        for action, payload in COMMANDS.items():
            answer = await call(api, action, payload)
            assert (answer.status, answer.data["outcome"]) == (200, "result"), answer
            assert scene.charge_point.received[-1][-2:] == (action, payload)
        # The Central System hears nothing of it.
        assert {each[1] for each in scene.central_system.received} <= {"Heartbeat"}
        assert len(await audited(api)) == len(COMMANDS)


async def test_the_audit_says_what_was_sent_without_secrets() -> None:
    async with leg("soap", "json") as scene, api_of(scene.gateway) as api:
        await scene.met()
        for action, payload in (
            ("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "60"}),
            ("ChangeConfiguration", {"key": "AuthorizationKey", "value": "736563726574"}),
            ("RemoteStartTransaction", {"idTag": "DRIVER-1"}),
            ("DataTransfer", {"vendorId": "V", "data": "x" * 1000}),
        ):
            assert (await call(api, action, payload)).status == 200
        entries = (await api.get("/audit"))["items"]
        sent = [entry["detail"].rpartition(" ")[0] for entry in reversed(entries)]
        assert json.loads(sent[0]) == {"key": "HeartbeatInterval", "value": "60"}
        assert json.loads(sent[1]) == {"key": "AuthorizationKey", "value": "***"}
        assert json.loads(sent[2]) == {"idTag": "***"}
        assert sent[3].endswith("xxx…") and len(sent[3]) == 201
        assert len({entry["detail"].rpartition(" ")[2] for entry in entries}) == 4


async def test_the_charge_points_refusal() -> None:
    async with leg("soap", "json") as scene, api_of(scene.gateway) as api:
        await scene.met()
        del scene.charge_point.behaviour["Reset"]
        answer = await call(api, "Reset", {"type": "Soft"})
        assert (answer.status, answer.data["outcome"], answer.data["payload"]) == (200, "error", None)
        assert answer.data["error"]["code"] in ("NotImplemented", "NotSupported")
        assert (await audited(api))[0] == f"call Reset: error {answer.data['error']['code']}"


@pytest.mark.parametrize(
    ("action", "payload", "detail", "path"),
    [
        ("Reset", {}, "type: required, and missing", "type"),
        ("Reset", {"type": "Sofd"}, "type: Invalid enum value 'Sofd'", "type"),
        ("ClearCache", {"typo": 1}, "ClearCacheRequest.typo", None),
        ("ReserveNow", COMMANDS["ReserveNow"] | {"connectorId": "first"}, "connectorId", "connectorId"),
        ("Rest", {}, "no action is called 'Rest'", ""),
        ("Heartbeat", {}, "Heartbeat is not for a central system to send", ""),
        ("GetLog", {}, "GetLog has no SOAP form", ""),
    ],
)
async def test_what_no_central_system_may_send(action: str, payload: object, detail: str, path: str | None) -> None:
    async with leg("soap", "json") as scene, api_of(scene.gateway) as api:
        await scene.met()
        answer = await call(api, action, payload)
        assert answer.status == 400
        assert path is None or answer.data.get("path", "") == path
        assert path is None or detail in answer.data["detail"]
        assert scene.charge_point.received == []
        assert await audited(api) == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"action": 1}', "application/json", 400),
        (b'{"action": "Reset", "more": 1}', "application/json", 400),
        (b'{"action": "Reset", "payload": [' + b"[" * 100_000, "application/json", 400),
        (b'{"action": "Reset"}', "text/plain", 415),
        (b'{"action": "' + b"x" * 2_000_000 + b'"}', "application/json", 413),
    ],
)
async def test_what_is_no_command(body: bytes, kind: str, status: int) -> None:
    async with running(settings("ws://127.0.0.1:1/")) as gateway, api_of(gateway) as api:
        answer = await api("POST", f"{ONE}/calls", body, {"Content-Type": kind})
        assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")


async def test_a_charge_point_that_cannot_be_called() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        assert (await call(api, "ClearCache")).status == 404
        async with json_charge_point(gateway, "CP 1") as point:
            await point.call("Heartbeat", {})
        answer = await call(api, "ClearCache")
        assert answer.status == 409 and "not connected now" in answer.data["detail"]
        assert (await audited(api))[0].startswith("call ClearCache: not done: ")


async def test_a_soap_charge_point_without_an_address() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        assert (await post(gateway, envelope(identity="CP 1"))).status == 200
        one = await api.get(ONE)
        answer = await call(api, "ClearCache")
        assert answer.status == (409 if one["callback"]["url"] is None else 504)


async def test_a_charge_point_that_does_not_answer_in_time() -> None:
    async with JsonCentralSystem() as central:
        told = settings(central.url, gateway={"call_timeout": 0.2})
        async with running(told) as gateway, api_of(gateway) as api, charge_point(gateway, "CP 1") as point:
            await point.call("Heartbeat", {})
            await point.stop()
            answer = await call(api, "ClearCache")
            assert answer.status == 504 and "did not answer" in answer.data["detail"]


# Links.


async def test_hanging_up() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        async with json_charge_point(gateway, "CP 1") as point:
            await point.call("Heartbeat", {})
            assert (await api("POST", f"{ONE}/disconnect")).status == 204
            one = await api.get(ONE)
            assert (one["charge_point"]["state"], one["central_side"]["state"]) == ("down", "down")
        async with json_charge_point(gateway, "CP 1") as point:  # it comes back
            await point.call("Heartbeat", {})
        assert (await api("POST", f"{ONE}/disconnect")).status == 204
        assert (await audited(api))[-1] == "disconnect: done"
        assert (await api("POST", "/charge-points/nobody/disconnect")).status == 404


async def test_hanging_up_on_the_central_system_of_a_soap_charge_point() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        assert (await post(gateway, envelope(identity="CP 1"))).status == 200
        assert (await api("POST", f"{ONE}/disconnect")).status == 204
        assert (await api.get(ONE))["central_side"]["reason"] == "disconnected by an operator"
        assert (await post(gateway, envelope(identity="CP 1"))).status == 200
        assert (await api.get(ONE))["central_side"]["state"] == "up"


# Places.


class Two:
    """Two Central Systems, and settings that have both, with their store in a file."""

    def __init__(self, folder: Path) -> None:
        self.main, self.other = JsonCentralSystem(), JsonCentralSystem()
        self._url = f"sqlite:///{folder}/bridge.db"

    def settings(self, *, names: tuple[str, ...] = ("main", "other")) -> Settings:
        systems = {"main": self.main.url, "other": self.other.url}
        told = settings(self.main.url)
        return msgspec.structs.replace(
            told,
            store=Store(url=self._url),
            central_systems={name: CentralSystem(url=systems[name]) for name in names},
        )

    def heard(self) -> tuple[int, int]:
        """How many Calls each has had."""
        return len(self.main.received), len(self.other.received)


async def heartbeat(gateway: Gateway) -> None:
    assert (await post(gateway, envelope(identity="CP 1"))).status == 200


async def test_a_charge_point_moves_and_stays_there(tmp_path: Path) -> None:
    two = Two(tmp_path)
    async with AsyncExitStack() as held:
        for central in (two.main, two.other):
            await held.enter_async_context(central)
        async with running(two.settings()) as gateway, api_of(gateway) as api:
            await heartbeat(gateway)
            moved = await api("PUT", f"{ONE}/route", {"central_system": "other"})
            assert (moved.status, moved.data["from"], moved.data["to"]) == (200, "main", "other")
            assert moved.data["kept"] is True
            await heartbeat(gateway)
            assert two.heard() == (1, 1)
            one = await api.get(ONE)
            assert (one["central_system"], one["moved"], one["route"]) == ("other", True, "*")
            (entry,) = (await api.get("/audit"))["items"]
            assert (entry["id"], entry["what"]) == (moved.data["audit_id"], "move")
            assert entry["who"] == "127.0.0.1 (token)"
            assert entry["detail"] == "main -> other"
            await gateway.reload(two.settings())
            await heartbeat(gateway)
            assert two.heard() == (1, 2)
        async with running(two.settings()) as gateway, api_of(gateway) as api:  # started again
            await heartbeat(gateway)
            assert two.heard() == (1, 3)
            assert (await api.get("/routes"))["moved"] == [
                {"identity": "CP 1", "central_system": "other", "in_force": True}
            ]
            back = await api("DELETE", f"{ONE}/route")
            assert (back.status, back.data["from"], back.data["to"]) == (200, "other", "main")
            await heartbeat(gateway)
            assert two.heard() == (2, 3)
            assert await audited(api) == ["move back: done", "move: done"]


async def test_a_central_system_that_is_gone_keeps_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    two = Two(tmp_path)
    async with two.main, two.other, running(two.settings()) as gateway, api_of(gateway) as api:
        await heartbeat(gateway)
        assert (await api("PUT", f"{ONE}/route", {"central_system": "other"})).status == 200
        await gateway.reload(two.settings(names=("main",)))
        assert "moved to a Central System that is not configured any more" in caplog.text
        await heartbeat(gateway)
        assert two.heard() == (2, 0)
        (moved,) = (await api.get("/routes"))["moved"]
        assert moved["in_force"] is False
        await gateway.reload(two.settings())
        await heartbeat(gateway)
        assert two.heard() == (2, 1)


async def test_a_connected_charge_point_speaks_to_its_new_place_at_once(tmp_path: Path) -> None:
    two = Two(tmp_path)
    async with two.main, two.other, running(two.settings()) as gateway, api_of(gateway) as api:
        async with json_charge_point(gateway, "CP 1") as point:
            await point.call("Heartbeat", {})
            assert (await api("PUT", f"{ONE}/route", {"central_system": "other"})).status == 200
            await point.call("Heartbeat", {})
            assert point.close_code is None
        assert two.heard() == (1, 1)


@pytest.mark.parametrize(("spoken", "status"), [("1.6", 409), ("1.5", 409), ("1.2", 200), ("", 409)])
async def test_only_a_charge_point_of_1_2_moves_to_a_central_system_of_1_2(
    spoken: str, status: int, tmp_path: Path
) -> None:
    two = Two(tmp_path)
    old = CentralSystem(url="http://127.0.0.1:1/", protocol="ocpp1.2s")
    async with AsyncExitStack() as held:
        for central in (two.main, two.other):
            await held.enter_async_context(central)
        told = two.settings()
        told = msgspec.structs.replace(told, central_systems={**told.central_systems, "old": old})
        gateway = await held.enter_async_context(running(told))
        api = await held.enter_async_context(api_of(gateway))
        if spoken:
            namespace = service(spoken, Party.CHARGE_POINT).namespace
            body = f'<heartbeatRequest xmlns="{namespace}"/>'
            assert (await post(gateway, envelope(body, identity="CP 1"))).status == 200
        else:
            async with json_charge_point(gateway, "CP 1") as point:
                await point.call("Heartbeat", {})
        moved = await api("PUT", f"{ONE}/route", {"central_system": "old"})
        assert moved.status == status, moved
        assert (await api.get(ONE))["central_system"] == ("old" if status == 200 else "main")
        if status == 409:
            assert "serves no Charge Point that speaks" in moved.data["detail"]
            assert moved.data["path"] == "central_system"
            assert await audited(api) == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (ONE, {"central_system": "nowhere"}, 400),
        (ONE, {}, 400),
        (ONE, {"central_system": None}, 400),
        (ONE, {"central_system": "main", "when": "later"}, 400),
    ],
)
async def test_moves_that_lead_nowhere(path: str, body: Any, status: int) -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        await heartbeat(gateway)
        assert (await api("PUT", f"{path}/route", body)).status == status
        assert await audited(api) == []
