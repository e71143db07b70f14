"""What is kept of the losses of one message, however many there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.ocpp.losses import FieldsLost, Loss, Losses, LossReason, filled, merged

MOST = 20
_lost = st.lists(
    st.tuples(
        st.sampled_from(["a", "b[0].c", "b[1].c", "b[2].d"]) | st.integers(0, 60).map(str), st.sampled_from(LossReason)
    )
)


def kept(*lost: tuple[str, LossReason]) -> tuple[Loss, ...]:
    losses = Losses()
    for path, reason in lost:
        losses.add("M", path, reason)
    return losses.all()


def test_those_that_differ_in_an_index_are_one_with_a_count() -> None:
    paths = [f"meterValue[{number}].timestamp" for number in range(14_000)]
    [loss] = kept(*[(path, LossReason.ASSUMED_ZONE) for path in paths])
    assert (loss.path, loss.count) == ("meterValue[0].timestamp", 14_000)
    assert str(loss) == f"M.meterValue[0].timestamp: {LossReason.ASSUMED_ZONE} (14000 times)"


def test_another_reason_at_the_same_place_is_another() -> None:
    assert [loss.count for loss in kept(("a", LossReason.ROUNDED), ("a", LossReason.REPEATED))] == [1, 1]


def test_what_has_no_place_is_counted() -> None:
    *told, rest = kept(*[(f"a{number}", LossReason.UNKNOWN_FIELD) for number in range(100_000)])
    assert [loss.path for loss in told] == [f"a{number}" for number in range(MOST - 1)]
    assert (rest.path, rest.reason, rest.count) == ("", LossReason.MORE, 100_000 - len(told))


@given(_lost, _lost)
def test_none_is_forgotten_and_steps_may_be_told_together(
    first: list[tuple[str, LossReason]], second: list[tuple[str, LossReason]]
) -> None:
    together = merged(kept(*first), kept(*second))
    assert sum(loss.count for loss in together) == len(first) + len(second)
    assert len(together) <= MOST
    assert len({(loss.path, loss.reason) for loss in together}) == len(together)


def test_nothing_costs_nothing() -> None:
    assert merged((), ()) == kept() == ()


_found = st.lists(
    st.tuples(
        st.sampled_from(["a", "b[].c", "b[].c[].d"]) | st.integers(0, 60).map(lambda number: f"b[].x{number}"),
        st.lists(st.integers(0, 3), min_size=2, max_size=2),
        st.sampled_from([LossReason.ROUNDED, LossReason.REPEATED]),
    )
)


@given(_found, _found, _found)
def test_a_walk_tells_the_same_as_if_it_wrote_each_path(
    before: list[tuple[str, list[int], LossReason]],
    dropped: list[tuple[str, list[int], LossReason]],
    after: list[tuple[str, list[int], LossReason]],
) -> None:
    """And what it comes back from is forgotten, however deep it went."""
    lost = FieldsLost("M")

    def tell(found: list[tuple[str, list[int], LossReason]]) -> None:
        for path, indexes, reason in found:
            lost.indexes[:] = indexes[: path.count("[]")]
            lost(path, reason)

    tell(before)
    outer = lost.losses.mark()
    tell(dropped)
    inner = lost.losses.mark()
    tell(dropped)
    lost.losses.back_to(inner)
    lost.losses.back_to(outer)
    tell(after)
    assert lost.losses.all() == kept(*[(filled(path, indexes), reason) for path, indexes, reason in before + after])
