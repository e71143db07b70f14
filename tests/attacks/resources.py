"""Attacks on what all share: descriptors, the table, Calls in progress, threads, the recorder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from itertools import count
from pathlib import Path
from typing import cast
from unittest.mock import patch

import msgspec
from aiohttp import web

from bridge.access import passwords
from bridge.app import Gateway
from bridge.config import ChargePoint, Recorder, Secret, Settings, Store
from bridge.lab.simulators.wire import CallRefused, Payload
from bridge.net.descriptors import OURS
from bridge.recorder import MessageFilter
from tests.attacks.callbacks import RESET
from tests.attacks.stage import ATTACKER, Row, Siege
from tests.attacks.weapons import all_of, authorize, basic, posted, text_of, upgraded
from tests.e2e.stage import answering, envelope, listening
from tests.e2e.test_limits import closing, framed
from tests.e2e.test_proxies import Spoken, request

_PASSWORD = b"right"
_AT_REST = Secret(str(passwords.hashed(_PASSWORD, b"0123456789abcdef")).encode())
# Nobody is kept waiting by chance, nor at the end.
_PATIENT = {"call_timeout": 300, "drain_timeout": 0}
_LISTED = {"good S": ChargePoint(), "good J": ChargePoint()}


async def _invented(siege: Siege, identities: int) -> list[str]:
    """As many, on one connection that is kept."""
    got = []
    async with Spoken(siege.gateway.soap_address, ATTACKER) as connection:
        siege.tried(identities)
        for number in range(identities):
            got.append(str(await connection.ask(request("soap", identity=f"invented {number}"))))
    return got


async def _many_identities(siege: Siege) -> str:
    return all_of(await _invented(siege, 200))


async def _descriptors(siege: Siege) -> str:
    """The bridge opens a WebSocket for each, and has some 170 descriptors for that."""
    with patch.object(OURS, "_most", lambda: 350):
        got = await _invented(siege, 300)
        await siege.served()
        assert all_of(got) == f"{got.count('200')} x 200, {got.count('503')} x 503"
    assert [line for line in siege.lines if "Errno 24" in line] == []
    return "200, then 503"


async def _outcomes(siege: Siege, attempts: list[Awaitable[str]], refused: int, go_on: asyncio.Event) -> str:
    """The honest are served when so many attempts were refused and the others hang, which go on then."""
    tasks = [asyncio.ensure_future(attempt) for attempt in attempts]
    for number, each in enumerate(asyncio.as_completed(tasks), start=1):
        await each
        if number == refused:
            break
    await siege.served()
    assert sum(task.done() for task in tasks) == refused
    go_on.set()
    return all_of(sorted(await asyncio.gather(*tasks), reverse=True))


async def _hanging_callbacks(siege: Siege) -> str:
    """A command to each of sixty Charge Points that do not answer, where one Central System may have fifteen in
    progress."""
    go_on = asyncio.Event()

    async def hang(request: bytes) -> web.Response:
        await go_on.wait()
        return await answering(RESET)(request)

    async def command(identity: str) -> str:
        try:
            return str((await siege.central_system.call(identity, "Reset", {"type": "Soft"}))["status"])
        except CallRefused as refusal:
            assert "gateway.max_in_flight" in refusal.description
            return refusal.code

    async with listening(hang, host=ATTACKER) as deaf:
        for number in range(60):
            assert await posted(siege, envelope(identity=f"evil {number}", source=deaf.url)) == "200"
            await siege.central_system.wait_for(f"evil {number}")
        return await _outcomes(siege, [command(f"evil {number}") for number in range(60)], 45, go_on)


async def _hanging_central_system(siege: Siege) -> str:
    """Sixty Calls of one address that the Central System does not answer."""
    go_on = asyncio.Event()

    async def hang(_: Payload) -> Payload:
        await go_on.wait()
        return {"idTagInfo": {"status": "Accepted"}}

    siege.central_system.behaviour["Authorize"] = hang
    bodies = [authorize().replace(b">evil<", b">evil %d<" % number) for number in range(60)]
    return await _outcomes(siege, [posted(siege, body) for body in bodies], 45, go_on)


async def _silent_names(siege: Siege) -> str:
    """Callback addresses whose names no name server answers; somebody else shows a password meanwhile."""
    siege.network.silent = ".silent.example"
    commands: list[Awaitable[str]] = []

    async def command(identity: str) -> str:
        try:
            await siege.central_system.call(identity, "Reset", {"type": "Soft"})
        except CallRefused as refusal:
            return refusal.code
        return "answered"

    for number in range(12):
        source = f"http://cp{number}.silent.example/"
        assert await posted(siege, envelope(identity=f"evil {number}", source=source)) == "200"
        await siege.central_system.wait_for(f"evil {number}")
        commands.append(asyncio.ensure_future(command(f"evil {number}")))
    while len(siege.network.asked) < 12:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    header = {"Authorization": basic("locked", _PASSWORD)}
    got = await posted(siege, envelope(identity="locked"), headers=header, peer="127.0.0.1")
    assert not siege.network.over.is_set()
    siege.network.over.set()
    assert await asyncio.gather(*commands) == ["InternalError"] * 12
    return f"12 x InternalError, {got}"


def _recording(told: Settings, folder: Path) -> Settings:
    store, recorder = Store(url=f"sqlite:///{folder}/bridge.db"), Recorder(max_bytes=20_000_000)
    return msgspec.structs.replace(told, store=store, recorder=recorder)


async def _loud(siege: Siege) -> str:
    """Eighty messages of nearly a megabyte, where twenty may be kept of all."""
    recorder = cast(Gateway, siege.gateway)._recorder
    await recorder.flush()
    before = {item.id for item in (await recorder.messages(MessageFilter(identity="good S"), limit=1000)).items}
    assert before
    numbers = count()
    for _ in range(4):
        siege.tried(19)  # besides the first on the connection
        async with upgraded(siege) as (reader, writer):
            for _ in range(20):
                data = "x" * 950_000
                text = f'[2,"{next(numbers)}","DataTransfer",{{"vendorId":"v","data":"{data}"}}]'
                writer.write(framed(0x81, text.encode()))
                await writer.drain()
                assert (await text_of(reader)).startswith(b"[3,")
            writer.write(framed(0x88, b"\x03\xe8"))
            await closing(reader)
        await recorder.flush()
        assert (siege.folder / "bridge.messages.db").stat().st_size <= 20_000_000
    after = {item.id for item in (await recorder.messages(MessageFilter(identity="good S"), limit=1000)).items}
    assert before <= after
    return f"dropped: {recorder.dropped_messages > 0}"


RESOURCES: dict[str, Row] = {
    "200 identities that it invents, on one connection": Row(
        attack=_many_identities, gets="60 x 200, 140 x 503", tables={"limits": {"new_identities_per_minute": 60}}
    ),
    "200 of them where the table has room for 20": Row(
        attack=_many_identities, gets="200 x 200", tables={"limits": {"charge_points": 20}, "charge_points": _LISTED}
    ),
    "an identity for each file descriptor": Row(attack=_descriptors, gets="200, then 503"),
    "commands to callbacks that hang": Row(
        attack=_hanging_callbacks,
        gets="45 x InternalError, 15 x Accepted",
        tables={"gateway": _PATIENT | {"max_in_flight": 40}},
    ),
    "Calls that nobody answers": Row(
        attack=_hanging_central_system,
        gets="45 x 503 InternalError, 15 x 200",
        tables={"gateway": _PATIENT | {"max_in_flight": 40}},
    ),
    "callback names on a name server that says nothing": Row(
        attack=_silent_names,
        gets="12 x InternalError, 200",
        tables={"gateway": {"call_timeout": 20}, "charge_points": {"locked": ChargePoint(password=_AT_REST)}},
    ),
    "80 messages of a megabyte, to be recorded": Row(attack=_loud, gets="dropped: True", configure=_recording),
}
"""By name, in the order in which they are shown."""
