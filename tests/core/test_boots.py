"""When the last BootNotification of a SOAP Charge Point is sent again in its name."""

from __future__ import annotations

import pytest
from msgspec import structs

from bridge.core.boots import ALWAYS, AUTO, NEVER, Boots
from bridge.ocpp.enums import RegistrationStatus
from tests.core.samples import BOOT, boot_conf

PENDING = structs.replace(boot_conf(3600), status=RegistrationStatus.Pending)
DAY = 86_400.0


def boots(mode: bool | str = AUTO, *, introduce: bool = False) -> Boots:
    made = Boots(mode, BOOT, introduce=introduce)
    made.connected()
    return made


class TestAConnectionBeginsWithOne:
    @pytest.mark.parametrize(("mode", "first"), [(ALWAYS, True), (AUTO, False), (NEVER, False)])
    def test_always_or_not_at_first(self, mode: bool | str, first: bool) -> None:
        assert boots(mode).comes_first(0) is first

    @pytest.mark.parametrize("mode", [ALWAYS, AUTO, NEVER])
    def test_after_a_move(self, mode: bool | str) -> None:
        made = boots(mode, introduce=True)
        assert made.comes_first(0)
        made.replayed(0)
        made.answered(boot_conf(300), 1, own=True)
        assert not made.introduce

    @pytest.mark.parametrize(
        ("after", "code", "first"),
        [(5, 1008, True), (5, None, True), (5.1, 1008, False), (1, 1001, False), (1, 1012, False), (1, 1013, False)],
    )
    def test_after_one_that_was_closed_soon_after_its_first_call(
        self, after: float, code: int | None, first: bool
    ) -> None:
        made = boots()
        made.sent(100)
        made.sent(103)
        made.disconnected(100 + after, code)
        made.connected()
        assert made.comes_first(200) is first

    def test_not_after_one_without_a_call_or_with_a_boot_that_was_answered(self) -> None:
        made = boots()
        made.disconnected(1, 1008)
        made.connected()
        made.sent(2)
        made.answered(boot_conf(300), 3, own=False)
        made.disconnected(4, 1008)
        made.connected()
        assert not made.comes_first(5)

    def test_none_is_invented(self) -> None:
        for mode in (ALWAYS, AUTO, NEVER):
            made = Boots(mode, None, introduce=True)
            assert (made.comes_first(0), made.may_replay(0)) == (False, False)


class TestReplaysAreRare:
    def test_one_in_ten_minutes_and_then_in_twenty(self) -> None:
        made = boots()
        for at, until in ((0, 600), (600, 1800), (1800, 4200)):
            assert made.may_replay(at)
            made.replayed(at)
            made.answered(boot_conf(300), at, own=True)
            assert (made.may_replay(until - 1), made.may_replay(until)) == (False, True)

    def test_the_pause_is_a_day_at_most_and_begins_anew_after_one(self) -> None:
        made, at = boots(), 0.0
        for _ in range(12):
            made.replayed(at)
            made.answered(boot_conf(300), at, own=True)
            at += DAY
            assert made.may_replay(at)
        at += 2 * DAY
        made.replayed(at)
        assert made.may_replay(at + 600)

    def test_none_after_two_that_did_not_help_until_the_charge_point_boots(self) -> None:
        made = boots()
        made.replayed(0)
        made.replayed(DAY)
        assert not made.may_replay(10 * DAY)
        made.answered(boot_conf(300), 10 * DAY, own=False)
        assert made.may_replay(10 * DAY)

    def test_none_before_a_pending_interval_is_over(self) -> None:
        made = boots()
        made.replayed(0)
        made.answered(PENDING, 10, own=True)
        assert (made.may_replay(3609), made.may_replay(3610)) == (False, True)

    @pytest.mark.parametrize("mode", [ALWAYS, NEVER])
    def test_one_that_has_to_wait_is_tried_again_in_every_mode(self, mode: bool | str) -> None:
        made = boots(mode, introduce=True)
        made.replayed(0)
        made.answered(PENDING, 10, own=True)
        assert (made.may_replay(3609), made.may_replay(3610)) == (False, True)


class TestWhatItMaySendBefore:
    @pytest.mark.parametrize("status", list(RegistrationStatus))
    def test_nothing_while_a_replayed_one_is_not_accepted(self, status: RegistrationStatus) -> None:
        made = boots()
        made.answered(structs.replace(PENDING, status=status), 0, own=True)
        waits = status is not RegistrationStatus.Accepted
        assert (made.waits, made.pending) == (waits, status is RegistrationStatus.Pending)
        made.answered(boot_conf(300), 1, own=False)
        assert (made.waits, made.pending) == (False, False)

    def test_its_own_is_its_own_affair(self) -> None:
        made = boots()
        made.answered(PENDING, 0, own=False)
        assert not made.waits

    def test_one_is_asked_for_only_where_none_was_answered(self) -> None:
        made = boots()
        assert made.is_asked_for()
        made.answered(boot_conf(300), 0, own=False)
        assert not made.is_asked_for()
        made.connected()
        assert made.is_asked_for()
        assert not boots(NEVER).is_asked_for()
