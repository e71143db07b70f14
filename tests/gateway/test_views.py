"""Lists of many Charge Points: complete, in order, and made in slices between which others are served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, cast

import pytest

from bridge.admin.facts import Addresses
from bridge.admin.operations import Wanted
from bridge.config import Settings
from bridge.gateway.audit import Audit
from bridge.gateway.call_counters import CallCounters
from bridge.gateway.health import Outages
from bridge.gateway.known import KnownChargePoints, ViewSources
from bridge.gateway.persistence import Persistence
from bridge.gateway.placement import Placements
from bridge.gateway.states import ChargePointStates
from bridge.gateway.views import SessionViews
from bridge.store import ChargePointRecord, Store

MANY = 3000


def overview(store: Store) -> tuple[SessionViews, Persistence, ChargePointStates]:
    """Of what is kept; nobody has a Session."""
    settings = Settings()
    states = ChargePointStates(lambda key: KnownChargePoints.of(ground, key).observed(), lambda: 0.0)
    persistence = Persistence(store, changed=states.update)
    placements = Placements(settings)
    sessions: dict[str, Any] = {}
    ground = ViewSources(
        clock=time.time,
        loop_clock=lambda: 0.0,
        settings=lambda: settings,
        placements=lambda: placements,
        addresses=lambda tenant: Addresses(soap=[], json=[], central_systems_to_bridge=[]),
        sessions=cast(Any, sessions),
        persistence=persistence,
        states=states,
        call_counters=CallCounters(persistence.record_of),
        outages=Outages(),
        audit=Audit(store),
    )
    states.begin(persistence.keys())
    return SessionViews(ground), persistence, states


def kept(count: int) -> tuple[SessionViews, Persistence, ChargePointStates]:
    """As many Charge Points, half of which speak JSON, none of which was heard of lately."""
    store = Store("memory:")
    for number in range(count):
        transport: Any = "json" if number % 2 else "soap"
        store.put(ChargePointRecord(identity=f"Cp-{number:05}", last_seen=1.0, transport=transport, version="1.6"))
    return overview(store)


@pytest.mark.parametrize(
    ("wanted", "total"),
    [
        (Wanted(identity="*", state="down"), MANY),
        (Wanted(transport="json"), MANY // 2),
        (Wanted(identity="cp-000*"), 100),
        (Wanted(identity="cp-0000*", transport="soap"), 5),
    ],
)
def test_others_are_served_meanwhile(wanted: Wanted, total: int) -> None:
    seen, *_ = kept(MANY)

    async def walk() -> None:
        turns = 0

        async def serve_others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            others = group.create_task(serve_others())
            page = await seen.charge_points(wanted, None, 1000, tenant="")
            others.cancel()
        assert page.total == total == sum(page.states.values())
        assert turns >= MANY // 100

    asyncio.run(walk())


class Watched(Sequence[str]):
    """Keys that count how many of them are looked at."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.looked = 0
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: Any) -> Any:
        found = self._keys[index]
        self.looked += len(found) if isinstance(index, slice) else 1
        return found


def test_a_page_of_all_looks_at_no_others() -> None:
    """However many there are: they are in order already."""
    seen, _, states = kept(MANY)
    keys = Watched(states.keys())
    states.keys = lambda: keys  # type: ignore[method-assign]

    async def walk() -> None:
        page = await seen.charge_points(Wanted(), f"cp-{MANY // 2:05}", 10, tenant="")
        assert [item.identity for item in page.items] == [f"Cp-{MANY // 2 + n:05}" for n in range(1, 11)]
        assert page.total == MANY
        assert keys.looked < 40

    asyncio.run(walk())


def test_pages_are_in_order_and_complete_whoever_comes_meanwhile() -> None:
    seen, persistence, _ = kept(250)

    async def walk() -> None:
        identities: list[str] = []
        after: str | None = None
        while True:
            page = await seen.charge_points(Wanted(), after, 40, tenant="")
            identities += [item.identity for item in page.items]
            if page.next is None:
                break
            after = page.next
            persistence.heard(f"Cp-{len(identities):05}-later", "json")
        assert identities == sorted(identities)
        assert {f"Cp-{number:05}" for number in range(250)} <= set(identities)

    asyncio.run(walk())
