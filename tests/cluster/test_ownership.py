"""Which node may use which slot, after deaths, freezes, cuts and lost messages: the real Ownership of many nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from msgspec.structs import replace

from bridge.cluster.cluster_map import Claim
from bridge.cluster.ownership import ClaimSlots, HandOver, Owned, Ownership, ReleaseSlots, Renew
from bridge.cluster.slots import SLOTS
from tests.cluster.simulated import LEASE, PATIENCE, Cluster, FormerOwnership, inflict

FAULTS = ("kill", "freeze", "cut", "leave", "start")


def running(seed: int, names: str) -> Cluster:
    """A cluster whose nodes have shared the slots."""
    cluster = Cluster(seed)
    for name in names:
        cluster.start(name)
    cluster.run(3 * LEASE)
    return cluster


def shares(cluster: Cluster) -> Counter[str]:
    return Counter(name for node in cluster.nodes.values() for name in [node.name] * len(node.ready))


def settled(cluster: Cluster) -> bool:
    return all(len(cluster.users_of(slot)) == 1 for slot in range(SLOTS))


def test_a_single_node_holds_every_slot_as_soon_as_it_has_read_the_map_three_times() -> None:
    cluster = Cluster(1)
    cluster.start("a")

    cluster.run(2 * LEASE)

    assert shares(cluster) == {"a": SLOTS}
    assert settled(cluster)


def test_three_nodes_share_the_slots_and_a_fourth_takes_no_more_than_its_part() -> None:
    cluster = running(2, "abc")
    before = dict(enumerate(cluster.stream.assignment))
    assert sorted(shares(cluster).values()) == [341, 341, 342]

    cluster.start("d")
    cluster.run(3 * LEASE)

    assert shares(cluster) == {"a": 256, "b": 256, "c": 256, "d": 256}
    moved = [slot for slot, node in enumerate(cluster.stream.assignment) if before[slot] != node]
    assert len(moved) == 256
    assert settled(cluster)


def test_the_slots_of_a_killed_node_are_taken_within_two_leases() -> None:
    cluster = running(3, "ab")

    cluster.nodes["a"].is_dead = True
    cluster.run(2 * LEASE)

    assert settled(cluster)
    assert shares(cluster)["b"] == SLOTS


def test_a_node_that_leaves_hands_its_slots_over_without_waiting_for_its_lease() -> None:
    cluster = running(4, "ab")
    node = cluster.nodes["a"]

    node.run(lambda: node.ownership.leave(node.time(), PATIENCE))
    cluster.run(0.8 * LEASE)

    assert not node.ownership.held
    assert len(cluster.nodes["b"].ready) == SLOTS


@pytest.mark.parametrize("moves", ["leave", "start"])
def test_a_node_that_gets_slots_from_another_does_not_claim_them_itself(moves: str) -> None:
    cluster = running(4, "ab")
    claims = {node.name: node.claims for node in cluster.nodes.values()}
    epochs = {slot: claim.epoch for slot, claim in cluster.stream.claims.items()}

    inflict(cluster, moves, "c" if moves == "start" else "a")
    cluster.run(3 * LEASE)

    assert settled(cluster)
    assert {node.name: node.claims for node in cluster.nodes.values()} == claims | (
        {"c": 0} if moves == "start" else {}
    )
    moved = [slot for slot, claim in cluster.stream.claims.items() if claim.epoch != epochs[slot]]
    assert len(moved) == (341 if moves == "start" else 512)


def test_a_node_uses_a_slot_that_it_was_given_before_it_reads_the_map() -> None:
    cluster = running(4, "ab")
    node, slot = cluster.nodes["a"].ownership, next(iter(cluster.nodes["b"].ownership.held))
    at, claim = cluster.nodes["a"].time(), Claim(node="a", incarnation=node.incarnation, epoch=10**6)

    assert node.given({slot: claim}) == [Owned(epochs={slot: 10**6})]

    assert node.holder(slot, at) == "a"
    assert node.given({slot: claim}) == []


def test_a_claim_that_is_no_longer_the_last_or_is_of_another_process_is_not_used() -> None:
    cluster = running(4, "ab")
    node, other = cluster.nodes["a"].ownership, cluster.nodes["b"].ownership
    slot, epoch = next(iter(other.held.items()))
    own = next(iter(node.held))

    assert node.given({slot: Claim(node="a", incarnation=node.incarnation, epoch=epoch - 1)}) == []
    assert node.given({slot: Claim(node="a", incarnation="a/earlier", epoch=10**6)}) == []
    at = cluster.nodes["a"].time()
    claim = Claim(node="a", incarnation=node.incarnation, epoch=node.held[own])
    node.handed_over([own], at)
    assert node.given({own: claim}) == []
    read = cluster.stream.read()  # it still shows the claim that was handed over
    assert not any(isinstance(command, Owned) for command in node.map_read(read, at, at))

    node.leave(at, PATIENCE)
    assert node.given({slot: Claim(node="a", incarnation=node.incarnation, epoch=10**7)}) == []


def test_a_node_that_leaves_uses_a_slot_until_it_is_assigned_to_another() -> None:
    cluster = running(4, "ab")
    node = cluster.nodes["a"]

    commands = node.ownership.leave(node.time(), PATIENCE)

    assert Renew(after=node.ownership.sequence, leaving=True) in commands
    assert not any(isinstance(command, HandOver) for command in commands)
    assert len(cluster.nodes["a"].ready) == SLOTS // 2


def test_the_last_node_that_leaves_hands_all_slots_over_at_once() -> None:
    cluster = running(4, "a")
    node = cluster.nodes["a"]

    (given,) = [command for command in node.ownership.leave(node.time(), PATIENCE) if isinstance(command, HandOver)]

    assert sorted(given.slots) == list(range(SLOTS))
    assert not any(isinstance(command, HandOver) for command in node.ownership.leave(node.time(), PATIENCE))


def test_a_node_that_has_to_end_hands_all_slots_over_although_nobody_claims_them() -> None:
    cluster = running(4, "ab")
    node = cluster.nodes["a"]
    other = cluster.nodes["b"].ownership
    cluster.nodes["b"].run = lambda act: None  # type: ignore[method-assign]

    node.run(lambda: node.ownership.leave(node.time(), 1.0))
    for _ in range(8):
        cluster.run(LEASE / 8)
        cluster.stream.renew("b", other.incarnation, Renew(after=cluster.stream.presences["b"].sequence))

    assert node.ownership.living(node.time()) == {"a", "b"}
    assert not node.ownership.held


def test_no_slot_is_handed_over_towards_a_node_that_leaves_too() -> None:
    cluster = running(4, "abc")
    node, given = cluster.nodes["a"].ownership, set[int]()
    assigned = tuple("b" if slot % 2 else "c" for slot in range(SLOTS))
    presences = {
        name: replace(presence, sequence=presence.sequence + 1, leaving=name == "b")
        for name, presence in cluster.stream.presences.items()
    }
    at = cluster.nodes["a"].time()

    node.leave(at, PATIENCE)
    read = replace(cluster.stream.read(), presences=presences, assignment=assigned)
    for command in node.map_read(read, at, at):
        if isinstance(command, HandOver):
            given |= set(command.slots)

    assert len(given) == 32 and not any(slot % 2 for slot in given)


def test_a_node_says_that_it_leaves_although_a_renewal_is_under_way() -> None:
    cluster = running(4, "a")
    node, at = cluster.nodes["a"].ownership, cluster.nodes["a"].time()
    at = max(at, node.next_at())
    while not any(isinstance(command, Renew) for command in node.tick(at)):
        at += LEASE / 100

    assert not any(isinstance(command, Renew) for command in node.leave(at, PATIENCE))
    node.renewed(node.sequence + 1, at, at)

    assert Renew(after=node.sequence, leaving=True) in node.tick(at)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("moves", ["leave", "start"])
def test_few_slots_are_without_a_node_while_many_move(seed: int, moves: str) -> None:
    chance = Random(seed)
    cluster = Cluster(seed, delay=chance.choice([0.002, 0.02]))
    names = "abcd"[: chance.randrange(2, 5)]
    for name in names:
        cluster.start(name)
    cluster.run(4 * LEASE)
    assert settled(cluster)
    nodes = [node for node in cluster.nodes.values() if node.runs]
    without: list[int] = []

    def count() -> None:
        owners = [node.ownership for node in cluster.nodes.values() if not node.is_dead]
        without.append(SLOTS - sum(len(owner.held) - len(owner._handing_over) for owner in owners))

    inflict(cluster, moves, "e" if moves == "start" else names[0])
    cluster.run(PATIENCE, count)

    givers = len(nodes) if moves == "start" else 1
    assert 0 < max(without) <= 32 * givers
    assert settled(cluster)


def test_a_late_answer_says_nothing_of_what_was_handed_over_again() -> None:
    cluster = running(4, "ab")
    node, other, at = cluster.nodes["a"].ownership, cluster.nodes["b"].ownership, cluster.nodes["a"].time()
    slots = list(node.held)[:32]
    node.handed_over(slots, at)
    claims = {slot: Claim(node="b", incarnation=other.incarnation, epoch=10**6 + slot) for slot in slots}
    node.released(slots, claims, at)

    node.taken({slot: replace(claim, epoch=10**5) for slot, claim in claims.items()}, at)
    assert node._given.keys() == set(slots)
    node.taken(claims, at)
    assert not node._given


@pytest.mark.parametrize("seed", range(5))
def test_few_slots_are_given_to_a_node_that_stands_still(seed: int) -> None:
    cluster = running(seed, "abc")
    inflict(cluster, "start", "d")
    node = cluster.nodes["d"]
    for _ in range(int(8 * LEASE / 0.01)):
        if not node.ready:
            cluster.run(0.01)
    assert node.ready
    waiting: list[int] = []

    def count() -> None:
        given = [slot for slot, claim in cluster.stream.claims.items() if claim.node == "d"]
        waiting.append(len(given) - len(node.ready))

    node.thaws_at = cluster.now + 0.9 * LEASE
    cluster.run(0.9 * LEASE, count)

    assert 0 < max(waiting) <= 32 * 3
    cluster.run(3 * LEASE)
    assert settled(cluster) and len(node.ready) == 256


def test_a_slot_that_was_fenced_is_not_taken_from_an_old_map() -> None:
    cluster = running(4, "ab")
    node, at = cluster.nodes["a"].ownership, cluster.nodes["a"].time()
    slot, epoch = next(iter(node.held.items()))

    node.fenced(slot, epoch)

    assert not any(isinstance(command, Owned) for command in node.map_read(cluster.stream.read(), at, at))


def test_a_slot_that_is_being_released_is_not_taken_from_an_old_map() -> None:
    """The assignment gave it to another node for a moment."""
    cluster = running(4, "ab")
    node, other = cluster.nodes["a"].ownership, cluster.nodes["b"].ownership
    at, slot = cluster.nodes["a"].time(), next(iter(other.held))
    given = Claim(node="a", incarnation=node.incarnation, epoch=10**6)
    read = cluster.stream.read()
    read = replace(read, claims={**read.claims, slot: given})
    (released,) = [one for one in node.map_read(read, at, at) if isinstance(one, ReleaseSlots)]
    assert released.claims == {slot: Claim(node="b", incarnation=other.incarnation, epoch=10**6)}

    read = replace(read, assignment=tuple("a" if one == slot else name for one, name in enumerate(read.assignment)))

    commands = node.map_read(read, at, at)

    assert not any(isinstance(command, Owned) for command in commands)
    assert ClaimSlots(epochs={slot: 10**6}) in commands  # which the server refuses after the release


def test_what_was_given_while_it_was_claimed_is_taken() -> None:
    cluster = running(4, "ab")
    node, at = cluster.nodes["a"].ownership, cluster.nodes["a"].time()
    slot = next(iter(cluster.nodes["b"].ownership.held))
    read = cluster.stream.read()
    free = replace(
        read,
        claims={**read.claims, slot: Claim(epoch=10**6)},
        assignment=tuple("a" if one == slot else name for one, name in enumerate(read.assignment)),
    )
    assert ClaimSlots(epochs={slot: 10**6}) in node.map_read(free, at, at)
    given = Claim(node="a", incarnation=node.incarnation, epoch=10**6 + 1)
    assert node.given({slot: given}) == []

    assert node.claimed({}, [slot]) == [Owned(epochs={slot: 10**6 + 1})]


def test_a_frozen_node_finds_out_that_its_slots_are_held_by_another() -> None:
    cluster = running(5, "ab")
    node = cluster.nodes["a"]

    node.thaws_at = cluster.now + 4 * LEASE
    cluster.run(4 * LEASE)
    assert not node.ownership.may_act(node.time())
    cluster.run(4 * LEASE)

    assert settled(cluster)
    assert sorted(shares(cluster).values()) == [512, 512]


def test_a_node_that_is_cut_off_for_half_a_lease_goes_on_with_the_same_epochs() -> None:
    cluster = running(6, "ab")
    node = cluster.nodes["a"]
    epochs = dict(node.ownership.held)

    node.cut_until = cluster.now + 0.5 * LEASE
    cluster.run(4 * LEASE)

    assert node.ownership.held == epochs
    assert settled(cluster)


@pytest.mark.parametrize("seed", range(10))
def test_nodes_that_were_cut_off_together_take_no_slots_of_each_other(seed: int) -> None:
    """As when three NATS servers elect a leader."""
    cluster = running(seed, "abc")
    epochs = {node.name: dict(node.ownership.held) for node in cluster.nodes.values()}

    for node in cluster.nodes.values():
        node.cut_until = cluster.now + 3 * LEASE
    cluster.run(6 * LEASE)

    assert {node.name: node.ownership.held for node in cluster.nodes.values()} == epochs
    assert settled(cluster)


def test_a_second_process_of_a_name_that_is_in_use_stops() -> None:
    cluster = Cluster(7)
    first = cluster.start("a")
    cluster.run(3 * LEASE)

    second = cluster.start("a")
    cluster.run(4 * LEASE)

    assert second.has_stopped
    assert first.ownership.may_act(first.time())


def test_a_process_that_was_frozen_stops_when_another_has_taken_its_name() -> None:
    cluster = Cluster(8)
    first = cluster.start("a")
    cluster.run(3 * LEASE)
    first.thaws_at = cluster.now + 4 * LEASE
    cluster.start("a")

    cluster.run(8 * LEASE)

    assert first.has_stopped
    assert settled(cluster)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("versions", [(Ownership,), (Ownership, FormerOwnership)])
def test_no_slot_is_written_by_two_nodes_and_every_slot_has_a_node_in_the_end(
    seed: int, versions: Sequence[type[Ownership]]
) -> None:
    chance = Random(seed)
    losses, delay = chance.choice([0.0, 0.05]), chance.choice([0.002, 0.1])
    faults = [
        (chance.choice(FAULTS), chance.randrange(5), chance.uniform(0, 3 * LEASE)) for _ in range(chance.randrange(13))
    ]
    cluster = Cluster(seed, losses=losses, delay=delay)
    names = "abcde"
    for name in names[:3]:
        cluster.start(name, chance.choice(versions))
    probed = cluster.chance.sample(range(SLOTS), 3)
    writers: dict[int, set[str]] = {}

    def write() -> None:
        """Let each node that believes that it holds a slot write a record of it."""
        for slot in probed:
            for node in cluster.users_of(slot):
                epoch = node.ownership.held[slot]
                if cluster.stream.write(slot, epoch, node.ownership.incarnation):
                    writers.setdefault(epoch, set()).add(node.ownership.incarnation)

    cluster.run(3 * LEASE, write)
    for fault, number, pause in faults:
        inflict(cluster, fault, names[number], chance.choice(versions))
        cluster.run(pause, write)
    if not any(node.runs for node in cluster.nodes.values()):
        cluster.start("a", chance.choice(versions))
    cluster.losses, cluster.delay = 0.0, 0.002
    cluster.run(8 * LEASE, write)

    assert all(len(nodes) == 1 for nodes in writers.values())
    epochs: dict[int, list[int]] = {}
    for slot, epoch, _ in cluster.stream.records:
        epochs.setdefault(slot, []).append(epoch)
    assert all(order == sorted(order) for order in epochs.values())
    assert settled(cluster)
    present = [len(node.ready) for node in cluster.nodes.values() if node.runs]
    assert max(present) - min(present) <= 1
