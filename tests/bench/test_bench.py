"""`make bench` works: every section, at a glance. What it measures is not judged here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from tests.bench import posts
from tests.bench.__main__ import SECTIONS, Report, main
from tests.bench.aims import Measurements, judged
from tests.bench.figures import QUICK, figure, percentile
from tests.bench.legs import LEGS, measured
from tests.bench.overload import Overloaded
from tests.bench.parties import once
from tests.bench.quiet import Others
from tests.bench.startup import Started
from tests.bench.timing import Piece


def quickly(folder: Path, *sections: str) -> Report:
    file = folder / "bench.json"
    main([*sections, "--quick", "--output", str(file)])
    return msgspec.json.decode(file.read_bytes(), type=Report)


@pytest.mark.parametrize("name", LEGS)
def test_a_leg(name: str, tmp_path: Path) -> None:
    leg = LEGS[name]
    rows = quickly(tmp_path, name).measurements.rates[name]
    assert [(row.action, row.subject) for row in rows] == [(a, s) for a in leg.actions for s in leg.at_a_glance]
    assert all(row.per_second.low > 0 for row in rows)
    assert all((row.of_floor is None) == row.subject.startswith("floor") for row in rows)
    assert all((row.change is not None) == row.subject.startswith("bridge, ") for row in rows)
    assert {row.recorded for row in rows if row.subject == "bridge, recording"} <= {1.0}
    assert all(row.recorded is None for row in rows if row.subject != "bridge, recording")


@pytest.mark.parametrize(
    ("kind", "of_their_own"),
    [
        ("floor", False),
        ("floor, a connection per Call", True),
        ("bridge", False),
        ("bridge, a connection per Call", True),
    ],
)
def test_posts_have_the_connections_that_the_row_says(
    kind: str, of_their_own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[asyncio.BaseTransport] = []
    made = posts.Answering.connection_made

    def counted(answering: posts.Answering, transport: asyncio.BaseTransport) -> None:
        opened.append(transport)
        made(answering, transport)

    async def exchange() -> None:
        async with measured(LEGS["commands-soap"], kind, charge_points=1) as one:
            ((sender, call),) = one.work["RemoteStartTransaction"]
            assert await once([sender], [call] * 5) == 5

    monkeypatch.setattr(posts.Answering, "connection_made", counted)
    asyncio.run(exchange())
    assert len(opened) == (5 if of_their_own else 1)


def test_the_rest(tmp_path: Path) -> None:
    report = quickly(tmp_path, *(name for name in SECTIONS if name not in LEGS))
    found = report.measurements
    assert len(found.codec or ()) == 12
    assert isinstance(found.start, list)
    assert [type(one) for one in found.start] == [Started, Started]
    assert isinstance(found.idle, list)
    assert [fleet.sessions for fleet in found.idle] == list(QUICK.sessions)
    assert len(found.latency or ()) == 2 * 3 * 3  # messages, shares of the capacity, percentiles
    assert isinstance(found.overload, Overloaded)
    assert found.overload.peak.median > 0
    assert report.machine["python"]


def test_a_glance_is_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quickly(tmp_path, "codec").aims == []
    assert "nothing is judged" in capsys.readouterr().out


def test_an_aim_is_judged_by_what_was_measured() -> None:
    slow = Piece(name="MeterValues, SOAP to JSON", us=figure([151.0]))
    reached = [aim.reached for aim in judged(Measurements(codec=[slow]))]
    assert reached.count(None) == len(reached) - 1
    assert reached.count(False) == 1


def test_a_section_that_there_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        quickly(tmp_path, "sloth")
    assert "sloth cannot be measured; sections are soap-json" in capsys.readouterr().err


@pytest.mark.parametrize(("runs", "expected"), [([3.0, 1.0, 2.0], (2.0, 1.0, 3.0)), ([5.0], (5.0, 5.0, 5.0))])
def test_figures_are_medians(runs: Sequence[float], expected: tuple[float, float, float]) -> None:
    made = figure(runs)
    assert (made.median, made.low, made.high) == expected


def test_what_this_process_does_is_not_what_others_do() -> None:
    share = Others().share
    assert share is None or 0 <= share <= 1.5  # the clock of the kernel is coarse


def test_percentiles() -> None:
    assert [percentile(list(range(100)), share) for share in (0.5, 0.99, 0.999)] == [50, 99, 99]
