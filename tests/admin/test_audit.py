"""The audit of the API: pages, filters, and a hundred thousand entries exported by the command line."""

from __future__ import annotations

import asyncio
import csv
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge import config
from bridge.commands import cli
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.store import AuditRecord, Store
from bridge.store.records import LONGEST_AUDIT
from tests.admin.asked import api_of
from tests.e2e.stage import running, settings

MANY = 100_000


def filled(url: str, now: float, number: int) -> None:
    """A store with as many entries, one a second, the last one now."""
    store = Store(url)
    store.open()
    for first in range(0, number, 10_000):
        records = [
            AuditRecord(
                identity=f"CP-{each % 10}",
                id=int((now - number + each) * 1e6),
                at=now - number + each,
                who="10.0.0.1 night desk" if each % 2 else "10.0.0.2 day desk",
                what="move" if each % 4 else "call Reset",
                detail=f"{each}",
                outcome="done",
            )
            for each in range(first, min(number, first + 10_000))
        ]
        assert store.commit(*records).result(30)
    store.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/x.db"


async def test_pages_and_filters(url: str) -> None:
    filled(url, time.time(), 3000)
    async with JsonCentralSystem() as central:
        told = msgspec.structs.replace(settings(central.url), store=config.Store(url=url))
        async with running(told) as gateway, api_of(gateway) as api:

            async def found(**query: Any) -> list[int]:
                asked = "&".join(f"{name}={value}" for name, value in query.items())
                return [int(entry["detail"]) for entry in (await api.get(f"/audit?{asked}"))["items"]]

            assert await found(limit=3) == [2999, 2998, 2997]
            page = await api.get("/audit?limit=1000")
            second = await api.get(f"/audit?limit=1000&cursor={page['next']}")
            assert [int(entry["detail"]) for entry in second["items"]] == [*range(1000, 2000)][::-1]
            third = await api.get(f"/audit?limit=1000&cursor={second['next']}")
            assert len(third["items"]) == 1000 and third["next"] is None
            assert await found(identity="cp-7", limit=2) == [2997, 2987]
            assert await found(who="*DAY*", limit=2) == [2998, 2996]
            assert await found(what="call *", limit=2) == [2996, 2992]
            at = third["items"][-1]["at"]
            assert await found(until=third["items"][-2]["at"]) == [0]
            assert (await found(since=at, limit=1000))[-1] > 1000
            for wrong in ("since=yesterday", "who=", "limit=0", "cursor=x", "nobody=1"):
                assert (await api("GET", f"/audit?{wrong}")).status == 400


async def test_what_is_older_than_90_days_is_not_shown(url: str) -> None:
    filled(url, time.time() - LONGEST_AUDIT + 100, 200)
    async with JsonCentralSystem() as central:
        told = msgspec.structs.replace(settings(central.url), store=config.Store(url=url))
        async with running(told) as gateway, api_of(gateway) as api:
            items = (await api.get("/audit?limit=1000"))["items"]
            assert 0 < len(items) <= 100 and items[0]["detail"] == "199"


async def test_a_hundred_thousand_entries_are_exported(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(url, time.time(), MANY)

    def exported(name: str, *arguments: str) -> str:
        assert cli.main(["audit", "--export", str(tmp_path / name), *arguments]) == 0
        return (tmp_path / name).read_text("utf-8")

    async with JsonCentralSystem() as central:
        told = msgspec.structs.replace(settings(central.url), store=config.Store(url=url))
        async with running(told) as gateway:
            host, port = gateway.admin_address
            token = tmp_path / "token"
            token.write_bytes(gateway.admin_token or b"")
            where = ("--url", f"http://{host}:{port}", "--token-file", str(token))
            lines = (await asyncio.to_thread(exported, "audit.jsonl", *where)).splitlines()
            assert [int(json.loads(line)["detail"]) for line in lines] == [*range(MANY)][::-1]
            text = await asyncio.to_thread(exported, "audit.csv", "cp-7", "--what", "move", *where)
            rows = [*csv.DictReader(text.splitlines())]
            assert [int(row["detail"]) for row in rows] == [each for each in range(MANY)[::-1] if each % 10 == 7]
            assert (tmp_path / "audit.csv").stat().st_mode & 0o077 == 0
    said = capsys.readouterr().out
    assert f"audit.jsonl: {MANY} entries" in said and f"audit.csv: {MANY // 10} entries" in said
