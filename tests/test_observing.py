"""Who watches the traffic: all Observers hear the same, and the bytes only those who asked for them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from bridge.observing import Audience, Observer
from bridge.ocpp.actions import Party
from bridge.ocpp.wire import Tap

NAMES = [name for name, value in vars(Observer).items() if inspect.isfunction(value) and name != "tap"]


class Ear(Observer):
    """Writes down all it hears."""

    def __init__(self, *, keen: bool = False) -> None:
        self._keen = keen
        self.heard: list[tuple[str, Any]] = []

    def tap(self, identity: str, party: Party) -> Tap | None:
        return (lambda *told: self.heard.append(("wire", (identity, party, *told)))) if self._keen else None


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


def test_bytes_only_for_who_wants_them() -> None:
    deaf, keen, keen_too = Ear(), Ear(keen=True), Ear(keen=True)
    assert Audience([deaf]).tap("CP 1", Party.CHARGE_POINT) is None
    for audience in (Audience([deaf, keen]), Audience([keen, deaf, keen_too])):
        tap = audience.tap("CP 1", Party.CHARGE_POINT)
        assert tap is not None
        tap(True, "json", "other", "", None, b"[]")
    heard = ("wire", ("CP 1", Party.CHARGE_POINT, True, "json", "other", "", None, b"[]"))
    assert (deaf.heard, keen.heard, keen_too.heard) == ([], [heard, heard], [heard])
