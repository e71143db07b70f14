"""What several processes know of a fleet, merged, is what one would know of the whole fleet."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bridge.admin.about import merged_routes
from bridge.admin.charge_points import ListQuery, merged_list, merged_values
from bridge.admin.endpoints import AdminRequest, Nothing
from bridge.admin.facts import ChargePointValues, MovedFact, RouteFact, Routes, Summary, ValueCount
from bridge.admin.fleet_facts import LossFact, LossFacts
from bridge.admin.fleet_parts import merged_losses
from bridge.admin.history import MINUTES, HourCounts, MinuteCounts, merged_hours, told_hour
from bridge.admin.merging import PlacedPage, merged_page, merged_streams, summed
from bridge.admin.messages import MOST_TRACED, TracedMessage, TraceParameters, TracePart, merged_trace
from bridge.admin.operations import FoundChargePoints, ListPlace
from bridge.admin.readiness import ChargePointReadiness
from bridge.core.readiness import ComparisonHistory, ComparisonSum, DifferenceExample, newest_examples
from bridge.gateway.readiness_reports import ReadinessPart, merged_readiness

NODES = 3
# Items and the process that has each.
FLEET = st.dictionaries(st.integers(0, 60), st.integers(0, NODES - 1))


def page_of(items: list[int], limit: int, after: int | None, *, descending: bool, cut: int) -> PlacedPage[int, int]:
    """A page as one process gives it. It has looked through `cut` items at most, and left out every seventh."""
    ordered = sorted(items, reverse=descending)
    if after is not None:
        ordered = [item for item in ordered if (item < after if descending else item > after)]
    seen = ordered[: min(limit, cut)]
    following = seen[-1] if len(ordered) > len(seen) else None
    return PlacedPage(items=[(item, item) for item in seen if item % 7], next=following)


@given(FLEET, st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_the_pages_of_a_list_are_those_of_the_whole_fleet(
    fleet: dict[int, int], limit: int, cut: int, descending: bool
) -> None:
    parts = [[item for item, node in fleet.items() if node == each] for each in range(NODES)]
    found: list[int] = []
    after: int | None = None
    for _ in range(200):
        pages = [page_of(part, limit, after, descending=descending, cut=cut) for part in parts]
        page = merged_page(pages, limit, lambda place: place, descending=descending)
        assert len(page.items) <= limit
        found += [item for _, item in page.items]
        after = page.next
        if after is None:
            break
    assert found == sorted((item for item in fleet if item % 7), reverse=descending)


@given(FLEET, st.integers(1, 9), st.integers(1, 9))
def test_every_message_of_several_recorders_comes_once_and_in_the_order_of_each(
    fleet: dict[int, int], limit: int, cut: int
) -> None:
    parts = {str(each): [item for item, node in fleet.items() if node == each][::-1] for each in range(NODES)}
    found: list[tuple[str, int]] = []
    places: dict[str, int | None] = dict.fromkeys(parts)
    for _ in range(400):
        pages = {}
        for name, begin in places.items():
            start = 0 if begin is None else begin + 1
            seen = [(start + number, (name, item)) for number, item in enumerate(parts[name][start : start + cut])]
            more = len(parts[name]) > start + len(seen)
            pages[name] = PlacedPage(items=seen[:limit], next=seen[:limit][-1][0] if more or seen[limit:] else None)
        items, after = merged_streams(pages, limit, lambda item: item[1])
        assert len(items) <= limit
        found += items
        places = {name: places[name] if place is None else place for name, place in after.items()}
        if not places:
            break
    for name, part in parts.items():
        assert [item for node, item in found if node == name] == part
    assert len(found) == len(fleet)


def test_messages_of_several_recorders_are_ordered_by_the_time() -> None:
    pages = {
        "a": PlacedPage(items=[(9, "12:05"), (8, "12:03")], next=8),
        "b": PlacedPage(items=[(3, "12:04"), (2, "12:02"), (1, "12:01")], next=None),
    }
    assert merged_streams(pages, 9, lambda at: at) == (["12:05", "12:04", "12:03"], {"a": 8, "b": 3})
    assert merged_streams(pages, 2, lambda at: at) == (["12:05", "12:04"], {"a": 9, "b": 3})


def asked(query: Any = None) -> AdminRequest[Any, Any]:
    return AdminRequest(named={}, query=Nothing() if query is None else query, body=None, who="")


def summary(number: int) -> Summary:
    return Summary(identity=f"CP {number}", state="up" if number % 2 else "down", errors=number % 5)


def list_page(numbers: list[int], query: ListQuery) -> FoundChargePoints:
    """The first page of a list by errors."""
    descending = query.order == "desc"
    items = sorted(map(summary, numbers), key=lambda item: (item.errors, item.identity.casefold()), reverse=descending)
    places = [ListPlace(sort="errors", value=float(item.errors), key=item.identity.casefold()) for item in items]
    return FoundChargePoints(
        items=items[: query.limit],
        places=places[: query.limit],
        total=len(items),
        states=dict(Counter(item.state for item in items)),
        next=places[query.limit - 1] if len(items) > query.limit else None,
    )


@given(FLEET, st.integers(1, 9), st.sampled_from(["asc", "desc"]))
def test_a_sorted_page_of_charge_points_is_that_of_the_whole_fleet(
    fleet: dict[int, int], limit: int, order: str
) -> None:
    query = ListQuery(sort="errors", order=order, limit=limit)  # type: ignore[arg-type]
    parts = [list_page([item for item, node in fleet.items() if node == each], query) for each in range(NODES)]
    assert merged_list(asked(query), parts) == list_page(list(fleet), query)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, NODES - 1))))
def test_values_and_losses_are_counted_over_all(found: list[tuple[str, int]]) -> None:
    def values(names: list[str]) -> ChargePointValues:
        counts = sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))
        told = [ValueCount(value=value, count=count) for value, count in counts]
        return ChargePointValues(vendors=told, models=told, firmwares=[])

    def losses(names: list[str]) -> LossFacts:
        return LossFacts(
            items=[
                LossFact(
                    action="A",
                    message="ARequest",
                    field=name,
                    reason="r",
                    dropped=False,
                    central_system="main",
                    count=count,
                    at="t",
                    identity="i",
                )
                for name, count in sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))
            ]
        )

    parts = [[name for name, node in found if node == each] for each in range(NODES)]
    whole = [name for name, _ in found]
    assert merged_values(asked(), list(map(values, parts))) == values(whole)
    assert merged_losses(asked(), list(map(losses, parts))) == losses(whole)


MINUTE = st.builds(
    MinuteCounts,
    messages=st.integers(0, 9),
    errors=st.integers(0, 9),
    times=st.dictionaries(st.integers(0, 100), st.integers(1, 9), max_size=3),
    transactions=st.integers(0, 9),
)


@given(st.lists(st.lists(MINUTE, max_size=MINUTES), min_size=1, max_size=NODES))
def test_the_hour_of_processes_that_began_at_different_times_ends_at_the_same(
    minutes: list[list[MinuteCounts]],
) -> None:
    merged = merged_hours([HourCounts(first=1000 - len(each), minutes=each) for each in minutes])
    longest = max(map(len, minutes))
    assert (merged.first, len(merged.minutes)) == (1000 - longest, longest)
    for number in range(1, longest + 1):
        same = [each[-number] for each in minutes if len(each) >= number]
        assert merged.minutes[-number].messages == sum(each.messages for each in same)
        assert merged.minutes[-number].times == summed(each.times for each in same)
    assert len(told_hour(merged).p50_ms) == longest


def test_routes_are_counted_over_all_even_if_two_are_equal() -> None:
    def part(*counts: int, moved: str) -> Routes:
        items = [
            RouteFact(
                charge_point=glob, central_system="main", tolerance="lenient", accept="known", charge_points=count
            )
            for glob, count in zip(("A*", "A*", "*"), counts, strict=True)
        ]
        return Routes(items=items, moved=[MovedFact(identity=moved, central_system="b", in_force=True)])

    merged = merged_routes(asked(), [part(1, 0, 2, moved="Z"), part(3, 0, 4, moved="B")])
    assert [each.charge_points for each in merged.items] == [4, 0, 6]
    assert [each.identity for each in merged.moved] == ["B", "Z"]


def test_a_trace_has_no_message_that_is_older_than_one_that_is_not_told() -> None:
    def part(*at: str, more: bool = False) -> TracePart:
        return TracePart(messages=[TracedMessage(at=each, lines=[(each, each)]) for each in at], more=more)

    query = asked(TraceParameters())
    merged = merged_trace(query, [part("9", "7", more=True), part("8", "6")])
    assert ([each.at for each in merged.messages], merged.more) == (["9", "8", "7"], True)
    many = [str(number) for number in range(9999, 9999 - MOST_TRACED, -1)]
    merged = merged_trace(query, [part(*many), part("0")])
    assert (len(merged.messages), merged.more) == (MOST_TRACED, True)


COMPARED = st.lists(
    st.tuples(
        st.integers(0, 30), st.integers(0, NODES - 1), st.sampled_from(["Authorize", "Heartbeat"]), st.booleans()
    ),
    unique_by=lambda each: each[0],
)


def readiness_of(fleet: list[tuple[int, str, bool]], limit: int) -> ReadinessPart:
    """What one process knows of Charge Points that have each compared one answer."""
    total = ComparisonSum()
    for number, action, differs in fleet:
        example = DifferenceExample(at=float(number), action=action, field="f", main="1", shadow="2", request="{}")
        history = ComparisonHistory(first=float(number), last=number + 1.0, sessions=number)
        history.compared[action] = 1
        if differs:
            history.differing[action], history.fields[action] = 1, Counter({"f": 1})
            history.latest = [example]
        total.add(f"{number:03}", history)
    page = sorted(f"{number:03}" for number, _, _ in fleet)
    items = [(each, ready_item(each)) for each in page[:limit]]
    return ReadinessPart(
        central_system="b",
        ready_after=1,
        charge_points=len(fleet),
        ready_charge_points=sum(not differs for _, _, differs in fleet),
        sessions=total.sessions,
        first=total.first,
        last=total.last,
        compared=dict(total.compared),
        differing=dict(total.differing),
        fields={action: dict(counts) for action, counts in total.fields.items()},
        examples=total.all_examples(),
        items=items,
        total=len(fleet),
        next=page[limit - 1] if len(page) > limit else None,
    )


def ready_item(identity: str) -> ChargePointReadiness:
    return ChargePointReadiness(
        identity=identity,
        ready=True,
        why="",
        sessions=0,
        clean_sessions=0,
        since=None,
        days=0,
        compared=0,
        differing=0,
        last_difference=None,
    )


@given(COMPARED, st.integers(1, 9))
def test_the_readiness_of_a_fleet_is_that_of_its_parts(fleet: list[tuple[int, int, str, bool]], limit: int) -> None:
    def of(nodes: set[int]) -> ReadinessPart:
        return readiness_of(
            [(number, action, differs) for number, node, action, differs in fleet if node in nodes], limit
        )

    merged, whole = merged_readiness([of({node}) for node in range(NODES)], limit), of(set(range(NODES)))
    assert newest_examples(merged.examples, 50) == newest_examples(whole.examples, 50)
    assert structs.replace(merged, examples=[]) == structs.replace(whole, examples=[])
