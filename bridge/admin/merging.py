"""Merge what several processes know of a fleet, of which each Charge Point is in one of them. No I/O.

What is merged equals what a single process would know of the whole fleet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")
P = TypeVar("P")
H = TypeVar("H", bound=Hashable)


class PlacedPage(Struct, Generic[T, P], frozen=True, kw_only=True):
    """A page of a sorted list.

    Attributes:
        items: The items with their places, in order.
        next: The place to which the page reaches, if items follow it; None if none follows.
    """

    items: list[tuple[P, T]]
    next: P | None = None


def merged_page(
    pages: Iterable[PlacedPage[T, P]], limit: int, order: Callable[[P], Any], *, descending: bool = False
) -> PlacedPage[T, P]:
    """Return a page of a list from the same page of each of its parts.

    Args:
        pages: The pages. Each has at most `limit` items.
        limit: The most items of the page.
        order: Returns what places are compared by.
        descending: Whether the greatest place is the first.
    """
    pages = list(pages)
    reached = [page.next for page in pages if page.next is not None]
    # Not every part has told its items behind the end of the shortest page.
    bound = None if not reached else max(reached, key=order) if descending else min(reached, key=order)
    items = sorted((item for page in pages for item in page.items), key=lambda item: order(item[0]), reverse=descending)
    if bound is not None:
        last = order(bound)
        items = [item for item in items if (order(item[0]) >= last if descending else order(item[0]) <= last)]
    if len(items) > limit:
        items = items[:limit]
        bound = items[-1][0]
    return PlacedPage(items=items, next=bound)


def merged_streams(
    pages: Mapping[str, PlacedPage[T, P]], limit: int, order: Callable[[T], Any]
) -> tuple[list[T], dict[str, P | None]]:
    """Return a page of several lists, each of which has places of its own; the greatest item is the first.

    The order within each list stays. An item comes before all that are less, as far as that order permits.

    Args:
        pages: A page of each list, by its name.
        limit: The most items of the page.
        order: Returns what items are compared by.

    Returns: The items, and the place in each list after which its next page begins. A list that has no more items is
        left out, and None stands for the place from which the page began.
    """
    taken = dict.fromkeys(pages, 0)
    items: list[T] = []
    while len(items) < limit:
        heads = []
        for name, page in pages.items():
            if taken[name] < len(page.items):
                heads.append((order(page.items[taken[name]][1]), name))
            elif page.next is not None:
                heads = []
                break  # what comes next in this list is not known
        if not heads:
            break
        _, name = max(heads)
        items.append(pages[name].items[taken[name]][1])
        taken[name] += 1
    places: dict[str, P | None] = {}
    for name, page in pages.items():
        if taken[name] < len(page.items):
            places[name] = page.items[taken[name] - 1][0] if taken[name] else None
        elif page.next is not None:
            places[name] = page.next
    return items, places


def summed(counts: Iterable[Mapping[H, int]]) -> Counter[H]:
    """Return the sum of several counts."""
    found: Counter[H] = Counter()
    for each in counts:
        found.update(each)
    return found


def earliest(moments: Iterable[str | None]) -> str | None:
    """Return the earliest of several times in the API's form, None if there is none."""
    return min((each for each in moments if each is not None), default=None)


def latest(moments: Iterable[str | None]) -> str | None:
    """Return the latest of several times in the API's form, None if there is none."""
    return max((each for each in moments if each is not None), default=None)


def first(values: Iterable[T | None]) -> T | None:
    """Return the first value that is not None."""
    return next((each for each in values if each is not None), None)


def by_name(lists: Iterable[Sequence[T]], name: Callable[[T], H]) -> list[list[T]]:
    """Return the items that have the same name, in the order in which the names come first."""
    found: dict[H, list[T]] = {}
    for each in lists:
        for item in each:
            found.setdefault(name(item), []).append(item)
    return list(found.values())
