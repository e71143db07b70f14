"""The codec does not grow slow unnoticed: its instructions for fixed messages are held to a committed baseline."""

from __future__ import annotations

import pytest

from tests.bench.codecs import Work, pieces
from tests.bench.counting import VERSION, baseline, instructions

# The baseline is that of 1eaf26e: what is forgiven since then must not be paid for by what is right.
_MOST = 1.05
PIECES = dict(pieces())


@pytest.mark.parametrize("name", PIECES)
def test_the_codec_takes_no_more_instructions_than_it_did(name: str) -> None:
    """When it fails for a good reason, `python -m tests.bench.counting` makes a new baseline: say why in the commit."""
    allowed = baseline()[VERSION][name] * _MOST
    taken = instructions(PIECES[name])
    assert taken <= allowed, f"{name}: {taken} instructions, {allowed / _MOST:.0f} before"


def test_a_figure_is_the_same_again() -> None:
    work: Work = PIECES["BootNotification, SOAP to JSON"]
    assert instructions(work) == instructions(work)


def test_what_takes_longer_is_seen() -> None:
    work: Work = PIECES["BootNotification, SOAP to JSON"]
    assert instructions(lambda: (work(), work())) > 1.9 * instructions(work)
