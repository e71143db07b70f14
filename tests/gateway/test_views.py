"""Lists of many Charge Points: complete, in order, and made in slices between which others are served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, cast, get_args

import msgspec
import pytest

from bridge.admin.facts import Addresses
from bridge.admin.operations import ListPlace, Sorting, SortName, Wanted
from bridge.admin.problems import RequestRefused
from bridge.config import Settings
from bridge.gateway.audit import Audit
from bridge.gateway.call_counters import CallCounters
from bridge.gateway.fleet_tally import FaultCodes, FleetTally
from bridge.gateway.health import Outages
from bridge.gateway.known import KnownChargePoints, UnixTimes, ViewSources
from bridge.gateway.persistence import Persistence
from bridge.gateway.placement import Placements
from bridge.gateway.states import ChargePointStates
from bridge.gateway.views import SessionViews
from bridge.ocpp.messages import BootNotificationRequest
from bridge.ocpp.tenants import identity_of, key_of
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
        unix_times=UnixTimes(time.time, lambda: 0.0),
        settings=lambda: settings,
        placements=lambda: placements,
        addresses=lambda tenant: Addresses(soap=[], json=[], central_systems_to_bridge=[]),
        sessions=cast(Any, sessions),
        persistence=persistence,
        states=states,
        fleet=FleetTally(lambda key: KnownChargePoints.of(ground, key).entry(), lambda: 0.0),
        fault_codes=FaultCodes(),
        call_counters=CallCounters(persistence.record_of),
        outages=Outages(),
        audit=Audit(store),
    )
    states.begin(persistence.keys())
    return SessionViews(ground), persistence, states


def booted(store: Store, identity: str, vendor: str, firmware: str | None = None, seen: float = 1.0) -> None:
    boot = BootNotificationRequest(
        chargePointVendor=vendor,
        chargePointModel=f"{vendor} One",
        firmwareVersion=firmware,
        chargePointSerialNumber=f"SN-{identity_of(identity)}",
    )
    record = ChargePointRecord(
        identity=identity,
        last_seen=seen,
        transport="soap",
        version="1.6",
        boot=msgspec.json.encode(boot),
        callback_url=f"http://10.0.0.{len(identity)}:8080/",
    )
    store.put(record)


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
async def test_others_are_served_meanwhile(wanted: Wanted, total: int) -> None:
    seen, *_ = kept(MANY)
    turns = 0

    async def serve_others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        others = group.create_task(serve_others())
        page = await seen.charge_points(wanted, Sorting(), 1000, tenant="")
        others.cancel()
    assert page.total == total == sum(page.states.values())
    assert turns >= MANY // 100


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


async def test_a_page_of_all_looks_at_no_others() -> None:
    """However many there are: they are in order already."""
    seen, _, states = kept(MANY)
    keys = Watched(states.keys())
    states.keys_of = lambda tenant: keys  # type: ignore[method-assign]
    after = ListPlace(sort="identity", value="", key=f"cp-{MANY // 2:05}")
    page = await seen.charge_points(Wanted(), Sorting(after=after), 10, tenant="")
    assert [item.identity for item in page.items] == [f"Cp-{MANY // 2 + n:05}" for n in range(1, 11)]
    assert page.total == MANY
    assert 0 < keys.looked < 40


async def test_pages_are_in_order_and_complete_whoever_comes_meanwhile() -> None:
    seen, persistence, _ = kept(250)
    identities: list[str] = []
    after: ListPlace | None = None
    while True:
        page = await seen.charge_points(Wanted(), Sorting(after=after), 40, tenant="")
        identities += [item.identity for item in page.items]
        if page.next is None:
            break
        after = page.next
        persistence.heard(f"Cp-{len(identities):05}-later", "json")
    assert identities == sorted(identities)
    assert {f"Cp-{number:05}" for number in range(250)} <= set(identities)


def fleet() -> SessionViews:
    store = Store("memory:")
    booted(store, "AMS-1", "Alfen", "4.2", seen=30.0)
    booted(store, "rdam-22", "alfen", None, seen=10.0)
    booted(store, "RDAM-333", "Zeta", "4.10", seen=20.0)
    store.put(ChargePointRecord(identity="quiet", last_seen=5.0, transport="json", version="1.6"))
    seen, *_ = overview(store)
    return seen


async def found(wanted: Wanted, sorting: Sorting = Sorting()) -> list[str]:  # noqa: B008 (frozen)
    return [item.identity for item in (await fleet().charge_points(wanted, sorting, 10, tenant="")).items]


@pytest.mark.parametrize(
    ("text", "identities"),
    [
        ("dam", ["rdam-22", "RDAM-333"]),
        ("ALFEN", ["AMS-1", "rdam-22"]),
        ("zeta one", ["RDAM-333"]),
        ("sn-ams", ["AMS-1"]),
        ("10.0.0.7", ["rdam-22"]),
        ("rdam zeta", ["RDAM-333"]),
        ("rdam nobody", []),
        ("*", []),
    ],
)
async def test_a_search_finds_parts_of_what_a_charge_point_is_known_by(text: str, identities: list[str]) -> None:
    assert await found(Wanted(text=text)) == identities


@pytest.mark.parametrize(
    ("wanted", "identities"),
    [
        (Wanted(vendor="ALFEN"), ["AMS-1", "rdam-22"]),
        (Wanted(model="zeta one"), ["RDAM-333"]),
        (Wanted(firmware="4.10"), ["RDAM-333"]),
        (Wanted(vendor="Alf"), []),
        (Wanted(charging=True), []),
        (Wanted(faulted=True), []),
        (Wanted(failed=True), []),
        (Wanted(last_error="x"), []),
        (Wanted(faulted=False, vendor="zeta"), ["RDAM-333"]),
    ],
)
async def test_a_filter_takes_whole_values(wanted: Wanted, identities: list[str]) -> None:
    assert await found(wanted) == identities


@pytest.mark.parametrize(
    ("by", "ascending"),
    [
        ("last_seen", ["quiet", "rdam-22", "RDAM-333", "AMS-1"]),
        ("model", ["AMS-1", "rdam-22", "RDAM-333", "quiet"]),
        ("firmware", ["RDAM-333", "AMS-1", "quiet", "rdam-22"]),
        ("transport", ["quiet", "AMS-1", "rdam-22", "RDAM-333"]),
        ("identity", ["AMS-1", "quiet", "rdam-22", "RDAM-333"]),
    ],
)
async def test_a_list_is_sorted_and_what_has_no_value_comes_last(by: Any, ascending: list[str]) -> None:
    assert await found(Wanted(), Sorting(by=by)) == ascending
    missing = {"model": ["quiet"], "firmware": ["rdam-22", "quiet"]}.get(by, [])
    having = [identity for identity in ascending if identity not in missing]
    if by == "model":  # those of one model are in the order of their identities, backwards too
        having = ["AMS-1", "rdam-22", "RDAM-333"]
    if by == "transport":
        having = ["quiet", "AMS-1", "rdam-22", "RDAM-333"]
    assert await found(Wanted(), Sorting(by=by, descending=True)) == [*reversed(having), *missing]


SORTS: list[Any] = [*get_args(SortName)]


@pytest.mark.parametrize("by", SORTS)
@pytest.mark.parametrize("descending", [False, True])
async def test_sorted_pages_are_complete(by: Any, descending: bool) -> None:
    seen, *_ = kept(130)
    identities: list[str] = []
    after: ListPlace | None = None
    while True:
        page = await seen.charge_points(Wanted(), Sorting(by=by, descending=descending, after=after), 17, tenant="")
        identities += [item.identity for item in page.items]
        if (after := page.next) is None:
            break
    assert sorted(identities) == [f"Cp-{number:05}" for number in range(130)]


async def test_the_values_there_are_have_the_most_frequent_first() -> None:
    values = await fleet().values(tenant="")
    assert [(one.value, one.count) for one in values.vendors] == [("Alfen", 1), ("alfen", 1), ("Zeta", 1)]
    assert {one.value for one in values.firmwares} == {"4.2", "4.10"}


async def test_a_tenant_sees_and_seeks_its_own() -> None:
    store = Store("memory:")
    for tenant, vendor in (("", "Ours"), ("acme", "Theirs"), ("beta", "Betas")):
        for number in range(30):
            booted(store, key_of(tenant, f"CP-{number:02}"), vendor)
    seen, *_ = overview(store)
    for tenant, shown in (("", "Ours"), ("acme", "Theirs"), ("gone", None)):
        values = await seen.values(tenant=tenant)
        assert [(one.value, one.count) for one in values.vendors] == ([] if shown is None else [(shown, 30)])
        for wanted in (Wanted(), Wanted(identity="cp-*"), Wanted(text="cp"), Wanted(text="one")):
            page = await seen.charge_points(wanted, Sorting(), 1000, tenant=tenant)
            identities = [key_of(tenant, f"CP-{number:02}") for number in range(30)]
            assert [item.identity for item in page.items] == ([] if shown is None else identities)
            assert page.total == sum(page.states.values()) == len(page.items)
        # The name of a tenant is no part of what its Charge Points are known by.
        for wanted in (Wanted(text="acme"), Wanted(identity="acme*"), Wanted(identity="*\x1f*")):
            assert (await seen.charge_points(wanted, Sorting(), 1000, tenant=tenant)).total == 0


@pytest.mark.parametrize("by", SORTS)
@pytest.mark.parametrize("descending", [False, True])
async def test_the_place_of_a_page_holds_no_key(by: Any, descending: bool) -> None:
    store = Store("memory:")
    for tenant in ("", "acme"):
        for number in range(5):
            booted(store, key_of(tenant, f"CP-{number}"), "v")
    seen, *_ = overview(store)
    for tenant in ("", "acme"):
        sorting, identities = Sorting(by=by, descending=descending), []
        while True:
            page = await seen.charge_points(Wanted(), sorting, 2, tenant=tenant)
            identities += [item.identity for item in page.items]
            if page.next is None:
                break
            assert page.next.key == identity_of(page.items[-1].identity).casefold()
            sorting = msgspec.structs.replace(sorting, after=page.next)
        assert sorted(identities) == [key_of(tenant, f"CP-{number}") for number in range(5)]
    place = ListPlace(sort=by, value=None, key=key_of("acme", "cp-1"))
    with pytest.raises(RequestRefused, match="none of ours"):
        await seen.charge_points(Wanted(), Sorting(by=by, after=place), 2, tenant="")


def test_a_moment_has_one_unix_time_until_the_clock_is_set() -> None:
    ahead, loop = 1e9, 5.0
    times = UnixTimes(lambda: loop + ahead, lambda: loop)
    assert times.of(3.0) == 1e9 + 3.0
    ahead, loop = 1e9 + 0.004, 6.0  # the clocks are read one after the other
    assert times.of(3.0) == 1e9 + 3.0
    ahead = 1e9 + 60
    assert times.of(3.0) == 1e9 + 63.0
