"""Thirty processes, and Charge Points that charge while processes die, freeze and are cut off: nothing is lost, and a
transaction is never begun or ended twice. `python -m tests.cluster.simulated_sessions` has twenty thousand of them."""

from __future__ import annotations

from collections import Counter

import pytest

from bridge.cluster.slots import SLOTS, slot_of
from tests.cluster.simulated_sessions import besieged


@pytest.mark.parametrize(("seed", "nodes"), [(0, 30), (1, 30), (2, 5), (3, 5)])
def test_nothing_is_lost_and_no_transaction_is_doubled(seed: int, nodes: int) -> None:
    fleet = besieged(seed, nodes=nodes, sessions=800, faults=40)

    assert fleet.is_done
    found = fleet.ledger
    assert (found.lost, found.doubled, found.sent_again, found.answered_twice) == (0, 0, 0, 0), found


def test_the_ledger_finds_what_happens_without_leases_and_fences() -> None:
    found = [besieged(seed, nodes=30, sessions=800, faults=40, careless=True).ledger for seed in range(3)]

    assert sum(one.doubled for one in found) > 0


def test_identities_are_spread_evenly() -> None:
    counted = Counter(slot_of(f"CP{number}") for number in range(100_000))

    assert len(counted) == SLOTS
    shares = Counter[int]()
    for slot, number in counted.items():
        shares[slot % 30] += number
    assert max(shares.values()) < 1.1 * min(shares.values())
