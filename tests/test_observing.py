"""Who watches the traffic: all Observers hear the same, and the bytes only those who asked for them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from bridge.errors import BridgeError, ErrorCode, Why
from bridge.observing import Audience, Observer
from bridge.ocpp.actions import Party
from bridge.ocpp.wire import SEEN, End, Sighting, Tap

END = End("CP 1", True)
SIGHTING: Sighting = (SEEN, END, 1.0, True, "json", "other", "", None, b"[]")
SETTLED = ("settled", None)
NAMES = [name for name, value in vars(Observer).items() if inspect.isfunction(value) and name != "tap"]


class Ear(Observer):
    """Writes down all it hears."""

    def __init__(self, *, keen: bool = False) -> None:
        self._keen = keen
        self.heard: list[tuple[str, Any]] = []

    def tap(self, identity: str, party: Party) -> Tap | None:
        if not self._keen:
            return None
        end = End(identity, party is Party.CHARGE_POINT)
        return Tap(end, lambda: 1.0, lambda seen: self.heard.append(("seen", seen)), lambda: self.heard.append(SETTLED))


def _hear(name: str) -> Any:
    return lambda self, *args: self.heard.append((name, args))


for _name in NAMES:
    setattr(Ear, _name, _hear(_name))


def _arguments(name: str) -> tuple[str, ...]:
    return tuple(list(inspect.signature(getattr(Observer, name)).parameters)[1:])


@pytest.mark.parametrize("name", NAMES)
def test_what_one_is_told_all_are_told_in_the_same_words(name: str) -> None:
    first, second = Ear(), Ear()
    getattr(Audience([first, second]), name)(*_arguments(name))
    assert first.heard == second.heard == [(name, _arguments(name))]


@pytest.mark.parametrize("name", NAMES)
def test_an_observer_that_overrides_nothing_notes_nothing(name: str) -> None:
    assert getattr(Observer(), name)(*_arguments(name)) is None


def test_who_does_not_count_hears_of_many_as_of_one() -> None:
    class Deaf(Observer):
        def refused(self, *told: Any) -> None:
            heard.append(told)

    heard: list[tuple[Any, ...]] = []
    error = BridgeError(ErrorCode.InternalError, "the bridge is busy", why=Why.BUSY)
    Deaf().turned_away("192.0.2.1", error, 7)
    assert heard == [(None, "192.0.2.1", error, None, Party.CHARGE_POINT, b"")]


def test_bytes_only_for_who_wants_them() -> None:
    deaf, keen, keen_too = Ear(), Ear(keen=True), Ear(keen=True)
    assert Audience([deaf]).tap("CP 1", Party.CHARGE_POINT) is None
    for audience in (Audience([deaf, keen]), Audience([keen, deaf, keen_too])):
        tap = audience.tap("CP 1", Party.CHARGE_POINT)
        assert tap is not None and tap.end == END
        tap.tell(SIGHTING)
        tap.settle()
    heard = [("seen", SIGHTING), SETTLED]
    assert (deaf.heard, keen.heard, keen_too.heard) == ([], heard * 2, heard)
