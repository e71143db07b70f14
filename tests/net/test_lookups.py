"""Look-ups of names on a name server that says nothing: who else waits for it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.net import lookups
from bridge.net.lookups import look_up
from tests.e2e.test_limits import until

HERE = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]


class NameServer:
    """Answers at once, but names that begin with "silent" only once it is `well`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.well = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(self, host: str, port: int, *others: Any, **hints: Any) -> list[Any]:
        self.asked.append(host)
        if host.startswith("silent"):
            self.well.wait()
        if host.startswith("nobody"):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return HERE

    async def is_asked(self, times: int) -> None:
        await until(lambda: len(self.asked) >= times)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer(monkeypatch)
    yield server
    server.well.set()


async def test_what_is_an_address_is_not_looked_up(server: NameServer) -> None:
    assert await look_up("192.0.2.9", 80, "CP 1") == ["192.0.2.9"]
    assert server.asked == []


@pytest.mark.parametrize("told_by", ["", "CP 1"])
async def test_a_name_leads_somewhere_or_nowhere(server: NameServer, told_by: str) -> None:
    assert await look_up("cp.example", 80, told_by) == ["192.0.2.1"]
    with pytest.raises(OSError, match="no such name"):
        await look_up("nobody.example", 80, told_by)


async def test_at_most_two_of_one_charge_point_run_however_long_they_take(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "_WITHIN", 0.05)
    first = [asyncio.ensure_future(look_up(f"silent{number}", 80, "CP 1")) for number in range(2)]
    await server.is_asked(2)
    for _ in range(2):  # now, and when nobody waits any more for those that go on
        with pytest.raises(OSError, match="two name look-ups for this Charge Point have not ended yet"):
            await look_up("cp.example", 80, "CP 1")
        for each in first:
            with pytest.raises(OSError, match="no name server answered within"):
                await each
    assert len(server.asked) == 2
    assert await look_up("cp.example", 80, "CP 2") == ["192.0.2.1"]
    server.well.set()
    await until(lambda: "CP 1" not in lookups._running)
    assert await look_up("cp.example", 80, "CP 1") == ["192.0.2.1"]


def test_the_deadline_is_five_seconds() -> None:
    assert lookups._WITHIN == 5.0


async def test_names_that_charge_points_told_hold_up_none_that_the_operator_has_written(server: NameServer) -> None:
    """However many: each has two threads at most, and all together have none of the operator's."""
    lookups.own_threads()
    waiting = [
        asyncio.ensure_future(look_up(f"silent{number}", 80, f"CP {number // 2}"))
        for number in range(2 * lookups._THREADS)
    ]
    await server.is_asked(lookups._THREADS)
    assert await look_up("central.example", 80) == ["192.0.2.1"]
    answers = await asyncio.get_running_loop().getaddrinfo("central.example", 80, type=socket.SOCK_STREAM)
    assert answers == HERE
    assert not any(each.done() for each in waiting)
    server.well.set()
    assert await asyncio.gather(*waiting) == [["192.0.2.1"]] * len(waiting)


async def test_more_than_two_of_the_operator_run(server: NameServer) -> None:
    waiting = [asyncio.ensure_future(look_up("silent", 80)) for _ in range(5)]
    await server.is_asked(5)
    server.well.set()
    await asyncio.gather(*waiting)
