"""What is aimed at, beside what was measured: the recorder off, POSTs on connections that are kept open as the floor
keeps them, the log as it ships, to a file; for recording, what the row that records differs from it.

Each aim but that of memory is a ratio to a reference of the same run, so that it says the same on a slow machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from tests.attacks.cluster_faults import AIMS, Outcome
from tests.bench.cluster import HALF, ClusterRates
from tests.bench.cluster_link import Hop
from tests.bench.commits import Commit
from tests.bench.figures import table
from tests.bench.fleet import Imported
from tests.bench.idle import Fleet
from tests.bench.isolation import Row as Beside
from tests.bench.latency import Row as LatencyRow
from tests.bench.legs import LEGS, Leg
from tests.bench.moves import Moved
from tests.bench.observers import Beside as Observed
from tests.bench.overload import Overloaded
from tests.bench.posts import CLIENTS, ONE_SEGMENT
from tests.bench.rates import Row
from tests.bench.spyne_halves import Halves
from tests.bench.startup import Started
from tests.bench.timing import Piece

# Others may take so much of the machine without the figures being in doubt.
_QUIET = 0.05


class Measurements(Struct, kw_only=True):
    """All sections; None was not measured, text says why it could not be."""

    rates: dict[str, list[Row]] = {}
    codec: list[Piece] | None = None
    spyne: list[Halves] | None = None
    start: list[Started] | str | None = None
    idle: list[Fleet] | str | None = None
    latency: list[LatencyRow] | None = None
    overload: Overloaded | str | None = None
    isolation: list[Beside] | None = None
    commits: list[Commit] | None = None
    fleet: list[Imported] | None = None
    observers: list[Observed] | None = None
    cluster_link: list[Hop] | None = None
    moves: list[Moved] | None = None
    cluster: ClusterRates | None = None
    cluster_faults: list[Outcome] | None = None
    # What others took of the machine's cores during each section, 0 to 1; None where that is not known.
    others: dict[str, float | None] = {}
    # Sections that could not be measured to the end, and why.
    failed: dict[str, str] = {}


class Aim(Struct, frozen=True, kw_only=True):
    """`reached` is None where nothing was measured."""

    what: str
    aim: str
    measured: float | None
    reached: bool | None


def judged(measurements: Measurements) -> list[Aim]:
    """Every aim."""
    return list(_judged(measurements))


def _judged(m: Measurements) -> Iterator[Aim]:
    def floor(row: Row) -> float | None:
        """The lower of the two: a floor that the load holds back is not as slow as its rate."""
        ratios = [ratio for ratio in (row.of_floor, row.of_floor_by_cpu) if ratio is not None]
        return min(ratios, default=None)

    def stock(row: Row) -> float | None:
        return row.of_stock

    for client in CLIENTS:
        row = "bridge" if client == ONE_SEGMENT else f"bridge, {client}"
        for action, aim in (("BootNotification", 0.60), ("MeterValues", 0.45)):
            what = f"SOAP -> JSON, {client}, {action}, of floor"
            yield _least(what, aim, _of(m, "clients", floor, action, row))
    yield _least("SOAP -> JSON, BootNotification, x stock", 3, _of(m, "soap-json", stock, "BootNotification"))
    yield _least("SOAP -> JSON, MeterValues x 20, x stock", 6, _of(m, "soap-json", stock, "MeterValues"))
    yield _least("JSON -> SOAP, BootNotification, of floor", 0.75, _of(m, "json-soap", floor, "BootNotification"))
    yield _least("JSON -> SOAP, MeterValues x 20, of floor", 0.65, _of(m, "json-soap", floor, "MeterValues"))
    yield _least("JSON -> JSON, the slowest message, of a bare relay", 0.70, _of(m, "json-json", floor))
    for leg in filter(_is_recorded, LEGS.values()):
        yield _most(f"{leg.title}, recording, the most that an action is slowed, %", 10, _slowed(m, leg.name))
    yield _most("latency, p99 at 50 % load, the slowest message, x floor at 50 %", 3, _late(m))
    codec = [piece.of_alone for piece in m.codec or () if piece.name == "MeterValues, SOAP to JSON"]
    yield _most(
        "codec, MeterValues x 20, XML to Struct to JSON, x lxml and msgspec alone", 2, codec[0] if codec else None
    )
    fleets = m.idle if isinstance(m.idle, list) else []
    yield _most("memory per idle SOAP session, link included, kB", 30, fleets[-1].kb_per_session if fleets else None)
    starts = m.start if isinstance(m.start, list) else []
    yield _most("start to serving, many stored sessions, x floor", 6, starts[-1].of_floor if starts else None)
    past = m.overload if isinstance(m.overload, Overloaded) else None
    yield _least("past capacity, goodput of peak", 0.8, past.of_peak if past else None)
    yield _most("past capacity, a refusal, p99, of an answer's", 0.25, past.refusal_of_answer if past else None)
    halves = [one.of_one.median for one in (m.cluster.exchanges if m.cluster else ()) if one.where == HALF]
    yield _least("2 nodes, exchanges per CPU second, of 1 node's", 0.85, min(halves, default=None))
    for fault, aim in AIMS.items():
        longest = [max(one.waits) for one in m.cluster_faults or () if one.fault == fault]
        yield _most(f"{fault}, the longest wait, s", aim, max(longest, default=None))
    failed = None if m.cluster_faults is None else float(sum(not one.holds for one in m.cluster_faults))
    yield _most("faults of a cluster after which a count is not 0", 0, failed)


def _is_recorded(leg: Leg) -> bool:
    return "bridge, recording" in leg.subjects


def _of(
    m: Measurements, leg: str, ratio: Callable[[Row], float | None], action: str = "", subject: str = "bridge"
) -> float | None:
    """The lowest ratio of the rows that are meant."""
    rows = [row for row in m.rates.get(leg, ()) if row.subject == subject and action in ("", row.action)]
    return min((known for row in rows if (known := ratio(row)) is not None), default=None)


def _slowed(m: Measurements, leg: str) -> float | None:
    """Percent."""
    changes = [row.change for row in m.rates.get(leg, ()) if row.recorded is not None]
    return max((-100 * change for change in changes if change is not None), default=None)


def _late(m: Measurements) -> float | None:
    rows = [row for row in m.latency or () if row.share == 0.5 and row.percentile == "p99"]
    return max((row.of_floor.median for row in rows), default=None)


def _least(what: str, aim: float, measured: float | None) -> Aim:
    reached = None if measured is None else measured >= aim
    return Aim(what=what, aim=f">= {aim:g}", measured=measured, reached=reached)


def _most(what: str, aim: float, measured: float | None) -> Aim:
    reached = None if measured is None else measured <= aim
    return Aim(what=what, aim=f"<= {aim:g}", measured=measured, reached=reached)


def noise(share: float | None) -> str:
    """How quiet it was."""
    return "what others did on the machine is not known" if share is None else f"others took {share:.0%} of all cores"


def _cautions(measurements: Measurements) -> Iterator[str]:
    rows = [row for leg in measurements.rates.values() for row in leg]
    remarks = sorted({row.remark for row in rows if row.remark})
    if remarks:
        count = sum(bool(row.remark) for row in rows)
        yield f"{count} of {len(rows)} rates are not the subject's own: {', '.join(remarks)}"
    if measurements.failed:
        yield f"failed, and not measured: {', '.join(measurements.failed)}"
    loud = [f"{section} {share:.0%}" for section, share in measurements.others.items() if (share or 0) > _QUIET]
    if loud:
        yield f"others took more than {_QUIET:.0%} of all cores: {', '.join(loud)}; measure again when it is quiet"


def report(aims: list[Aim], measurements: Measurements) -> str:
    """For a person."""
    said = {True: "yes", False: "NO", None: "not measured"}
    rows = [
        (aim.what, aim.aim, "" if aim.measured is None else f"{aim.measured:.3g}", said[aim.reached]) for aim in aims
    ]
    judged = table(("what is aimed at", "aim", "measured", "reached"), rows)
    return "\n".join((judged, *_cautions(measurements)))
