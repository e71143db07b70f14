"""What is written down of callback addresses that change: both addresses and who said so, the last one always."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.audit import Audit, CallbackChanges
from bridge.store import Store
from bridge.store.audit import AuditQuery
from bridge.watching.facts import CallbackChanged

FOREVER = 1000.0


async def written(audit: Audit) -> list[tuple[str, str, str, str]]:
    """The oldest first."""
    items = reversed((await audit.page(AuditQuery(), 100)).items)
    return [(item.identity, item.who, item.detail, item.outcome) for item in items]


async def test_each_charge_point_has_a_line_at_once() -> None:
    audit = Audit(Store("memory:"))
    changes = CallbackChanges(audit, FOREVER)
    changes.see(CallbackChanged("A", "http://1/", "http://2/", "10.0.0.1"))
    changes.see(CallbackChanged("B", "http://3/", "http://4/", "10.0.0.2"))
    assert await written(audit) == [
        ("A", "Charge Point at 10.0.0.1", "http://1/ -> http://2/", "taken over"),
        ("B", "Charge Point at 10.0.0.2", "http://3/ -> http://4/", "taken over"),
    ]


async def test_what_changes_again_and_again_has_a_line_of_what_it_came_to() -> None:
    """Nobody hides where commands go behind a change that says nothing."""
    audit = Audit(Store("memory:"))
    changes = CallbackChanges(audit, 0.05)
    for number in range(1, 5):
        changes.see(CallbackChanged("A", f"http://{number}/", f"http://{number + 1}/", f"10.0.0.{number}"))
    assert len(await written(audit)) == 1
    while len(await written(audit)) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    last = ("A", "Charge Point at 10.0.0.4", "http://2/ -> http://5/", "taken over, the last of 3 changes")
    assert (await written(audit))[1:] == [last]
    while changes._held:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert len(await written(audit)) == 2


async def test_what_is_held_back_is_written_at_the_end() -> None:
    audit = Audit(Store("memory:"))
    changes = CallbackChanges(audit, FOREVER)
    for number in range(1, 4):
        changes.see(CallbackChanged("A", f"http://{number}/", f"http://{number + 1}/", "10.0.0.1"))
    changes.see(CallbackChanged("B", "http://1/", "http://2/", "10.0.0.1"))
    changes.settle()
    assert [detail for _, _, detail, _ in await written(audit)][2:] == ["http://2/ -> http://4/"]
    changes.settle()
    assert len(await written(audit)) == 3


async def test_both_addresses_are_there_however_long_they_are() -> None:
    audit = Audit(Store("memory:"))
    fact = CallbackChanged("A", "http://1/" + "x" * 1000, "http://2/", "10.0.0.1")
    CallbackChanges(audit, FOREVER).see(fact)
    ((_, _, detail, _),) = await written(audit)
    assert detail.startswith("http://1/") and detail.endswith(" -> http://2/")


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 999]), st.sampled_from([0.0, 0.000001, 0.5, -3.0]), st.booleans()), max_size=30
    )
)
def test_no_two_processes_give_the_same_id(steps: list[tuple[int, float, bool]]) -> None:
    """Whatever their clocks show, and whether or not they know the records of the others."""
    stores = {number: Store("memory:") for number in (0, 1, 999)}
    now = [1_700_000_000.0]
    audits = {number: Audit(store, lambda: now[0], number=number) for number, store in stores.items()}
    given_ids: list[int] = []
    for number, later, told in steps:
        now[0] += later
        given_ids.append(audits[number].add("A", who="ann", what="move", detail="", outcome=""))
        assert given_ids[-1] % 1000 == number and given_ids[-1] >= int(now[0] * 1e6)
        (record,) = stores[number].audit(limit=1)
        for other, store in stores.items() if told else ():
            store.put(record)
            audits[other].read_again()
    assert len(set(given_ids)) == len(given_ids)
    assert all(store.trouble is None for store in stores.values())
    for number, audit in audits.items():
        audit.close()
        stores[number].close()


def test_the_ids_of_a_single_process_are_its_time() -> None:
    audit = Audit(Store("memory:"), lambda: 1_700_000_000.0)
    ids = [audit.add("A", who="ann", what="move", detail="", outcome="") for _ in range(2)]
    assert ids == [1_700_000_000_000_000, 1_700_000_000_000_001]


def test_a_record_of_another_process_is_a_change_even_if_its_clock_is_behind() -> None:
    store = Store("memory:")
    audit = Audit(store, lambda: 1_700_000_000.0, number=1)
    other = Audit(store, lambda: 1_600_000_000.0, number=2)
    seen = [audit.changes]
    audit.add("A", who="ann", what="move", detail="", outcome="")
    seen.append(audit.changes)
    other.add("B", who="ben", what="move", detail="", outcome="")
    audit.read_again()
    seen.append(audit.changes)
    assert seen == sorted(set(seen)) and len(seen) == 3
