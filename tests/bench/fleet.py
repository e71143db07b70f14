"""How long it takes to import the settings of a fleet through the admin API, and to export them: seconds.

The export of what was imported has to be equal to the file. The bridge and its store on disk are as they ship.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Awaitable

import msgspec
from msgspec import Struct

from bridge.config import Store
from tests.admin.asked import Answer, Api, api_of
from tests.bench.figures import Figure, Plan, figure, table
from tests.e2e.stage import running, settings

ROWS = 3000
_CSV = {"Content-Type": "text/csv"}


class Imported(Struct, frozen=True, kw_only=True):
    """What was done with so many Charge Points, and how many seconds it took."""

    name: str
    rows: int
    seconds: Figure


async def measure(plan: Plan) -> list[Imported]:
    """Each repetition in a bridge of its own."""
    rows = plan.stored if plan.quick else ROWS
    runs: dict[str, list[float]] = {}
    for _ in range(plan.repetitions):
        with tempfile.TemporaryDirectory() as folder:
            store = Store(url=f"sqlite:///{folder}/store.db")
            told = msgspec.structs.replace(settings("ws://127.0.0.1:1/"), store=store)
            async with running(told) as gateway, api_of(gateway) as api:
                await _measured(api, rows, runs)
    return [Imported(name=name, rows=rows, seconds=figure(each)) for name, each in runs.items()]


def report(imported: list[Imported]) -> str:
    """For a person."""
    rows = [(each.name, f"{each.rows}", each.seconds.text(2)) for each in imported]
    return table(("a fleet's settings", "Charge Points", "s (spread)"), rows)


async def _measured(api: Api, rows: int, runs: dict[str, list[float]]) -> None:
    head = (await api("GET", "/charge-points:export")).data
    plain = (
        head
        + "".join(
            f"CP {number:05},http://10.0.{number // 250}.{number % 250 + 1}:8080/,NL*{number},,10.0.0.0/8,,,,,\r\n"
            for number in range(rows)
        ).encode()
    )
    secrets = "identity,password\r\n" + "".join(f"CP {number:05},password {number}\r\n" for number in range(rows))
    for name, octets, outcome in (
        ("import without passwords", plain, "created"),
        ("import again", plain, "unchanged"),
        ("import of passwords, hashed on the way", secrets.encode(), "changed"),
        ("import of the same passwords", secrets.encode(), "unchanged"),
    ):
        answer = await _timed(name, api("POST", "/charge-points:import", octets, _CSV), runs)
        assert (answer.status, answer.data[outcome], answer.data["kept"]) == (200, rows, True), answer
    answer = await _timed("export", api("GET", "/charge-points:export"), runs)
    assert answer.data == plain


async def _timed(name: str, asked: Awaitable[Answer], runs: dict[str, list[float]]) -> Answer:
    begun = time.perf_counter()
    answer = await asked
    runs.setdefault(name, []).append(time.perf_counter() - begun)
    return answer
