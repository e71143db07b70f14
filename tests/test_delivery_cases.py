"""docs/delivery.md says what the tests over real sockets show."""

from __future__ import annotations

from tests.delivery_cases import SECTIONS, kinds
from tests.e2e.test_delivery import GROUPS

CASES = [case for cases in SECTIONS.values() for case in cases]


def test_every_row_of_octets_is_of_one_case() -> None:
    named = [group for case in CASES for group in case.groups]
    assert sorted(named) == sorted(GROUPS)


def test_what_a_case_says_is_what_its_rows_are() -> None:
    for case in CASES:
        if case.groups:
            assert kinds(case.groups) == {case.kind}, case.what


def test_every_case_is_shown_by_a_test() -> None:
    for case in CASES:
        assert case.shown, case.what
        assert all(test.__name__.startswith("test_") for test in case.shown), case.what
