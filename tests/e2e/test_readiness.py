"""A shadow answers real Charge Points, and where it would have let a driver stand is found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.lab.simulators.wire import CallRefused, Payload
from tests.admin.asked import Api, api_of
from tests.e2e.stage import AT_MOST, SAMPLES, running
from tests.e2e.test_observers import KINDS, ONE, Watched, watched

SHADOW = {"role": "shadow"}
TAG = {"idTag": "DRIVER-1"}
AFTER = 20


def accepted(_: Payload) -> Payload:
    return {"idTagInfo": {"status": "Accepted"}}


class OneIn:
    """Answers one Authorize of so many otherwise."""

    def __init__(self, many: int, otherwise: Callable[[Payload], Payload]) -> None:
        self._many = many
        self._otherwise = otherwise
        self._seen = 0

    def __call__(self, payload: Payload) -> Payload:
        self._seen += 1
        return self._otherwise(payload) if self._seen % self._many == 0 else accepted(payload)


def invalid(_: Payload) -> Payload:
    return {"idTagInfo": {"status": "Invalid"}}


def broken(_: Payload) -> Payload:
    raise CallRefused("InternalError", "no database", subcode="InternalError")


async def readiness(api: Api, compared: int, query: str = "") -> Any:
    """The readiness, as soon as so many answers are compared."""
    async with asyncio.timeout(2 * AT_MOST):
        while True:
            told = await api.get(f"/central-systems/ems/readiness{query}")
            if sum(each["compared"] for each in told["actions"]) >= compared:
                return told
            await asyncio.sleep(0.05)


async def charge(stage: Watched, times: int) -> None:
    """A driver comes so many times."""
    for _ in range(times):
        await stage.point.call("Authorize", TAG)
        await stage.stop(await stage.start())


def named_from(first: int) -> Callable[[Payload], Payload]:
    """What a Central System answers to a StartTransaction: numbers from `first` on."""
    numbers = iter(range(first, first + 1000))
    return lambda _: {"transactionId": next(numbers), "idTagInfo": {"status": "Accepted"}}


def shadowed(near: str = "json", far: str = "json", ems: str = "json", **more: Any) -> Any:
    return watched(near, far, ems=ems, also=SHADOW, main_names=(), ems_names=(), **more)


def begin(stage: Watched) -> None:
    """Both Central Systems give numbers that the other one gives, too, to other transactions."""
    stage.main.behaviour["StartTransaction"] = named_from(1)
    stage.observers["ems"].behaviour["StartTransaction"] = named_from(5)
    for party in (stage.main, stage.observers["ems"]):
        party.behaviour["Authorize"] = accepted


@pytest.mark.parametrize(("otherwise", "seen"), [(invalid, "'Invalid'"), (broken, "InternalError: no database")])
@pytest.mark.parametrize("ems", KINDS)
async def test_one_authorize_in_a_hundred_is_found(
    ems: str, otherwise: Callable[[Payload], Payload], seen: str
) -> None:
    async with shadowed("json", "json", ems) as stage, api_of(stage.gateway) as api:
        begin(stage)
        await stage.boots()
        await charge(stage, AFTER)
        told = await readiness(api, 3 * AFTER + 1)
        assert (told["ready"], told["why"], told["sessions"]) == (True, "", AFTER)
        # What differs by itself, between two transports and two Central Systems, is no difference.
        assert [each for each in told["actions"] if each["differing"]] == []
        stage.observers["ems"].behaviour["Authorize"] = OneIn(100, otherwise)
        for _ in range(120):
            assert (await stage.point.call("Authorize", TAG))["idTagInfo"]["status"] == "Accepted"
        told = await readiness(api, 3 * AFTER + 121)
        assert (told["ready"], told["why"]) == (False, "1 of 1 Charge Points are not ready")
        (one,) = told["items"]
        assert (one["ready"], one["clean_sessions"], one["sessions"]) == (False, 0, AFTER)
        assert one["why"].startswith("0 of 20 sessions without a difference that a driver feels, since Authorize")
        (authorize,) = (each for each in told["actions"] if each["differing"])
        assert (authorize["action"], authorize["compared"], authorize["differing"]) == ("Authorize", AFTER + 120, 1)
        (example,) = told["examples"]
        assert (example["identity"], example["action"]) == (ONE, "Authorize")
        assert seen in example["shadow"] and "Accepted" in example["main"]
        assert example["request"] == '{"idTag":"***"}'


@pytest.mark.parametrize("ems", KINDS)
@pytest.mark.parametrize("far", ["json", "soap"])
@pytest.mark.parametrize("near", ["json", "soap"])
async def test_sessions_are_counted_on_every_leg(near: str, far: str, ems: str) -> None:
    async with shadowed(near, far, ems) as stage, api_of(stage.gateway) as api:
        begin(stage)
        await stage.boots()
        await stage.point.call("StatusNotification", SAMPLES["StatusNotification"])
        await charge(stage, 2)
        first, second = await stage.start(1), await stage.start(2)
        await stage.meter(first)
        await stage.stop(second)
        await stage.stop(first)
        await stage.point.call("Heartbeat", {})
        told = await readiness(api, 14)
        (one,) = told["items"]
        assert (one["sessions"], one["clean_sessions"], one["ready"]) == (4, 4, False)
        assert [each for each in told["actions"] if each["differing"]] == []
        assert one["why"] == "4 of 20 sessions without a difference that a driver feels"


async def test_a_session_goes_on_over_a_restart(tmp_path: Path) -> None:
    async with shadowed("soap", store=f"sqlite:///{tmp_path / 'bridge.db'}") as stage:
        begin(stage)
        stage.observers["ems"].behaviour["Authorize"] = OneIn(1, invalid)
        await stage.boots()
        await stage.point.call("Authorize", TAG)
        number = await stage.start()
        async with api_of(stage.gateway) as api:
            await readiness(api, 3)
        await stage.gateway.close()
        async with running(stage.gateway._settings) as gateway, api_of(gateway) as api:
            await stage.stop(number)
            after = await readiness(api, 4)
            (one,) = after["items"]
            assert (one["sessions"], one["clean_sessions"]) == (1, 1)
            assert one["last_difference"]["shadow"] == "'Invalid'"
