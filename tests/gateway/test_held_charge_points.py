"""Which Charge Points a process has the records of."""

from __future__ import annotations

from bridge.cluster.slots import slot_of
from bridge.gateway.held_charge_points import HeldChargePoints

ONE, SLOT = "CP 1", slot_of("CP 1")
SAME_SLOT = next(f"cp {number}" for number in range(2, 100_000) if slot_of(f"cp {number}") == SLOT)


def test_a_single_process_has_all() -> None:
    held = HeldChargePoints(everyone=True)
    assert held.has(ONE) and held.may_begin(ONE)


def test_one_comes_before_the_rest_of_its_slot() -> None:
    held = HeldChargePoints(everyone=False)
    assert not held.has(ONE) and not held.may_begin(ONE)
    held.take_one(ONE)
    assert held.has(ONE.lower()) and held.may_begin(ONE) and not held.has(SAME_SLOT)
    assert held.take({SLOT}) == {ONE.casefold()}
    assert held.has(ONE) and held.has(SAME_SLOT) and held.slots == {SLOT}
    held.release({SLOT})
    assert not held.has(ONE) and not held.has(SAME_SLOT)


def test_nothing_is_begun_before_a_slot_is_handed_over() -> None:
    held = HeldChargePoints(everyone=False)
    held.take({SLOT})
    held.withdraw({SLOT})
    assert held.has(ONE) and not held.may_begin(ONE)
    held.release({SLOT})
    held.take({SLOT})
    assert held.may_begin(ONE)


def test_a_slot_that_is_lost_before_it_was_loaded() -> None:
    held = HeldChargePoints(everyone=False)
    held.take_one(ONE)
    held.release({SLOT})
    assert not held.has(ONE) and held.take({SLOT}) == set()
