"""Waves, pauses, the condition that stops a move, and what is undone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.moves import (
    Choose,
    MemberState,
    Move,
    MoveCommand,
    MoveMachine,
    MoveMember,
    MoveState,
    StopIf,
    Withdraw,
    WrongMoveState,
    selects,
)

WITHIN = 120.0


def machine(count: int = 5, at: float = 0.0, **more: Any) -> MoveMachine:
    """A machine for a move of CP 0, CP 1, ... to `new`."""
    fields: dict[str, Any] = {"when": "now", "wave": 2, "pause": 60.0, "stop_if": ""} | more
    members = [MoveMember(identity=f"CP {number}") for number in range(count)]
    move = Move(id=1, selection="CP *", central_system="new", who="somebody", at=0.0, members=members, **fields)
    return MoveMachine(move, at, WITHIN)


def begun(commands: list[MoveCommand]) -> list[str]:
    """The numbers of the Charge Points that begin."""
    return [command.identity.removeprefix("CP ") for command in commands if isinstance(command, Choose)]


def arrive(made: MoveMachine, *numbers: int, at: float = 0.0) -> None:
    for number in numbers:
        made.took_effect(f"CP {number}", at)
        made.arrived(f"CP {number}")


def states(made: MoveMachine) -> list[str]:
    return [member.state.value for member in made.move.members]


class TestWaves:
    def test_begin_one_after_the_other_with_a_pause_in_between(self) -> None:
        made = machine()
        assert begun(made.advance(0.0)) == ["0", "1"]
        arrive(made, 0, at=10.0)
        assert made.advance(10.0) == []
        arrive(made, 1, at=20.0)
        assert (made.advance(20.0), made.due()) == ([], 80.0)
        assert made.advance(79.0) == []
        assert begun(made.advance(80.0)) == ["2", "3"]
        arrive(made, 2, 3, at=80.0)
        made.advance(80.0)
        assert begun(made.advance(140.0)) == ["4"]
        arrive(made, 4, at=141.0)
        made.advance(141.0)
        assert (made.move.state, made.due()) == (MoveState.DONE, None)

    def test_what_waits_for_idle_holds_up_nobody(self) -> None:
        made = machine(3, when="idle", pause=0.0)
        assert begun(made.advance(0.0)) == ["0", "1"]
        made.waits("CP 0")
        arrive(made, 1)
        assert begun(made.advance(0.0)) == ["2"]
        arrive(made, 2)
        made.advance(1.0)
        assert (made.move.state, made.due()) == (MoveState.RUNNING, None)
        arrive(made, 0, at=9000.0)
        made.advance(9000.0)
        assert made.move.state is MoveState.DONE

    def test_nothing_that_comes_in_time_is_a_failure(self) -> None:
        made = machine(1)
        made.advance(0.0)
        assert made.due() == WITHIN
        made.advance(WITHIN)
        assert made.move.members[0].reason == "nothing came of it within 120 s"
        assert (states(made), made.move.state) == (["failed"], MoveState.DONE)

    def test_a_pause_goes_on_after_a_restart(self) -> None:
        made = machine()
        made.advance(0.0)
        arrive(made, 0, 1)
        made.advance(0.0)
        stored = msgspec.json.decode(msgspec.json.encode(made.stored(25.0)), type=Move)
        again = MoveMachine(stored, 1000.0, WITHIN)
        assert again.due() == 1035.0
        assert begun(again.advance(1035.0)) == ["2", "3"]

    def test_what_is_stored_of_a_charge_point_is_newer_than_the_record_of_the_move(self) -> None:
        made = machine(4, wave=4, when="idle")
        made.advance(0.0)
        arrive(made, 0)
        made.found("CP 0", 5.0, waits=True, took_effect=False)
        made.found("CP 1", 5.0, waits=True, took_effect=False)
        made.found("CP 2", 5.0, waits=False, took_effect=True)
        made.found("CP 3", 5.0, waits=False, took_effect=False)
        assert states(made) == ["done", "waits_for_idle", "moving", "queued"]
        assert [member.moved for member in made.move.members] == [True, False, True, False]
        assert made.due() == 5.0 + WITHIN


class TestOperators:
    def test_a_pause_begins_nobody_and_queues_what_waits(self) -> None:
        made = machine(when="idle", pause=0.0)
        made.advance(0.0)
        made.waits("CP 0")
        assert made.pause() == [Withdraw(identity="CP 0")]
        arrive(made, 1)
        assert (made.advance(1.0), made.due()) == ([], None)
        assert states(made) == ["queued", "done", "queued", "queued", "queued"]
        assert begun(made.resume(2.0)) == ["0", "2"]

    def test_a_rollback_gives_back_what_was_moved_and_withdraws_what_waits(self) -> None:
        made = machine(4, when="idle", pause=600.0)
        made.move.members[0].before = "third"
        made.advance(0.0)
        arrive(made, 0)
        made.waits("CP 1")
        assert made.rollback(1.0) == [
            Withdraw(identity="CP 1"),
            Choose(identity="CP 0", central_system="third", when="now"),
        ]
        arrive(made, 0)
        made.advance(2.0)
        assert (states(made), made.move.state) == (["rolled_back"] * 4, MoveState.ROLLED_BACK)

    def test_a_rollback_has_waves_and_no_pause(self) -> None:
        made = machine(3, wave=1)
        for number in range(3):
            made.advance(number * 60.0)
            arrive(made, number, at=number * 60.0)
            made.advance(number * 60.0)
        assert made.move.state is MoveState.DONE
        assert begun(made.rollback(500.0)) == ["0"]
        arrive(made, 0)
        assert begun(made.advance(500.0) or made.advance(500.0)) == ["1"]

    @pytest.mark.parametrize("step", ["pause", "resume", "rollback"])
    def test_a_move_that_is_rolled_back_does_nothing_more(self, step: str) -> None:
        made = machine(1)
        made.rollback(0.0)
        assert made.move.state is MoveState.ROLLED_BACK
        with pytest.raises(WrongMoveState, match="rolled_back"):
            made.pause() if step == "pause" else getattr(made, step)(1.0)


class TestStopIf:
    def test_more_failures_stop_the_move_and_queue_what_waits(self) -> None:
        made = machine(stop_if="errors>1", when="idle", wave=3)
        made.advance(0.0)
        made.waits("CP 0")
        made.failed("CP 1", "refused")
        assert made.advance(0.0) == []
        made.failed("CP 2", "refused")
        assert made.advance(0.0) == [Withdraw(identity="CP 0")]
        assert made.move.state is MoveState.STOPPED
        assert made.move.reason == "errors>1: 2 of 5 Charge Points have failed"
        # An operator who resumes it has seen these failures.
        assert begun(made.resume(1.0)) == ["0", "3", "4"]

    @pytest.mark.parametrize(
        ("text", "failed", "members", "stops"),
        [
            ("", 9, 9, False),
            ("errors>1%", 3, 300, False),
            ("errors>1%", 4, 300, True),
            (" errors > 0.5 % ", 1, 100, True),
            ("errors>0", 1, 1000, True),
            ("errors>2", 2, 2, False),
        ],
    )
    def test_is_a_number_or_a_part_of_all(self, text: str, failed: int, members: int, stops: bool) -> None:
        assert StopIf.read(text).holds(failed, members) is stops

    @pytest.mark.parametrize("text", ["errors", "errors>", "errors>x", "errors<1%", "failures>1", "errors>1%%", "1%"])
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="errors>1%"):
            StopIf.read(text)


class TestSelection:
    @given(st.text(), st.floats(0, 100), st.floats(0, 100))
    def test_a_larger_part_has_all_of_the_smaller_one(self, identity: str, one: float, other: float) -> None:
        small, large = sorted((one, other))
        assert selects(identity, large) or not selects(identity, small)
        assert selects(identity, 100.0) and not selects(identity, 0.0)
        assert selects(identity, large) is selects(identity.casefold(), large)

    def test_a_part_is_about_as_large_as_it_says(self) -> None:
        assert 150 < sum(selects(f"EVLINK-{number}", 20.0) for number in range(1000)) < 250


@given(st.data())
def test_every_order_of_events_ends_the_move(data: st.DataObject) -> None:
    """No Charge Point is forgotten, and none begins twice but after a pause."""
    stop_if = data.draw(st.sampled_from(["", "errors>1", "errors>30%"]))
    made = machine(data.draw(st.integers(1, 9)), when="idle", wave=data.draw(st.integers(1, 4)), stop_if=stop_if)
    at, commands = 0.0, made.advance(0.0)
    for _ in range(200):
        for member in made.under_way():
            step = data.draw(st.sampled_from(["waits", "arrived", "failed", "nothing"]))
            if step == "waits":
                made.waits(member.identity)
            elif step == "arrived":
                made.took_effect(member.identity, at)
                made.arrived(member.identity)
            elif step == "failed":
                made.failed(member.identity, "refused")
        if made.move.state in (MoveState.STOPPED, MoveState.PAUSED):
            commands = made.resume(at)
        at += 200.0
        commands = made.advance(at)
        if made.move.state is MoveState.DONE:
            break
    if made.move.state is MoveState.DONE:
        assert commands == [] and {member.state for member in made.move.members} <= {
            MemberState.DONE,
            MemberState.FAILED,
        }
    else:  # something waits for idle until the end
        assert made.under_way() or made.move.state is MoveState.STOPPED
