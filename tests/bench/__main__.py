"""`make bench`: what the bridge costs, beside what its transports cost when nothing is parsed and what Spyne and zeep
cost as they come, all in one run. `--help` says what can be measured alone.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from tests.attacks import cluster_faults
from tests.bench import (
    aims,
    cluster,
    cluster_link,
    commits,
    fleet,
    idle,
    isolation,
    latency,
    moves,
    observers,
    overload,
    rates,
    spyne_halves,
    startup,
    timing,
)
from tests.bench.aims import Aim, Measurements
from tests.bench.figures import FULL, QUICK, Plan, machine
from tests.bench.legs import LEGS, Leg
from tests.bench.quiet import Others
from tests.bench.subject import all_cores, stay_off

_OUTPUT = Path("var/bench.json")
SECTIONS = {
    **{name: f"{leg.title}: exchanges per second of {'; '.join(leg.subjects)}" for name, leg in LEGS.items()},
    "codec": "the codec alone: microseconds per message, both directions, beside lxml and msgspec alone",
    "spyne": "both halves of a Spyne server around nothing: microseconds, and the share of a Boot exchange",
    "start": "from exec to serving, with nothing stored and with 10 000 sessions, beside the floor's",
    "idle": "100, 1 000, 10 000 idle SOAP sessions: memory of each, and how fast they are answered",
    "latency": "SOAP -> JSON at 10, 50 and 90 % of capacity, beside the floor at that of its own: p50, p99, p99.9",
    "commits": "until a Start's UniqueId or answer is safe on disk, alone and a hundred at once: milliseconds",
    "fleet": "settings of 3 000 Charge Points imported and exported through the admin API: seconds",
    "isolation": "the worst messages of each kind: the p99 of a neighbour's Heartbeats beside them, as a ratio",
    "observers": "SOAP -> JSON with two observers, one of which hangs, beside without any: p50, p99 of main's answers",
    "cluster-link": "an ask between two nodes, beside a bare echo over the same socket: microseconds of both processes",
    "moves": "300 Charge Points moved in waves of 20: until Boot and status are there, beside bare dials",
    "cluster": "SOAP -> JSON and JSON -> JSON with two nodes, beside one and a single process: CPU time of an exchange",
    "cluster-faults": "each fault of a cluster, 20 times under load: the longest waits, and what is lost or doubled",
    "overload": "twice the capacity: goodput, what is refused, and how soon beside an answer",
}
_ABOUT = """\
Every subject runs alone on the first core; the load and the other parties are one process on another. A section's
subjects take turns, one run of a second each, again and again: the first round is a warm-up, of the others the median
and the spread (least-most) are given. What counts are ratios within a section. Beside each rate stand the processor
time that the subject spent on an exchange, and the shares of their cores that the subject and the load used: a rate is
the subject's own where it had all of its core. Run it on a machine where nothing else does; where something does, "of
floor by CPU" is nearer the truth than "of floor".

floor      the same hops and sizes on bare aiohttp and websockets, nothing parsed. As they come, their processes may or
           may not keep the memory that they free, by chance, which is a third of their time; "memory kept" are told to,
           as the bridge is
httptools  the same on the fastest bare stack that is known: httptools both ways, and websockets' protocols without
           I/O; its memory is kept
stock      Spyne as it comes, validator lxml; where the bridge is a SOAP client, zeep in threads
bridge     `ocpp-bridge serve`, limits per peer raised, recorder off, POSTs on kept connections; as it ships in all
           else: log at info, to a file; store on disk. The rows below it change one thing each, and "change" is that of
           the rate, "change of CPU" that of what an exchange costs. Of the row that records: the share of the messages
           that were recorded in the end, the others are lost, and how long after a run that was; nothing else is
           measured until then

A SOAP client writes head and body of a POST at once on a connection that it keeps. "two segments" writes the head, then
the body; "closing" opens a connection for each POST. Each row is compared with the floor for the same kind of client.
"without" is the bridge without one of its shortcuts: exact reads SOAP, straight writes SOAP.
"""


class Report(msgspec.Struct, kw_only=True):
    """What is written as JSON."""

    machine: dict[str, str | int]
    plan: Plan
    took_s: float
    measurements: Measurements
    aims: list[Aim]


def measured(sections: Sequence[str], plan: Plan) -> Report:
    """Measure `sections`, and print a table of each as soon as it is there."""
    about, begun, result = machine(), time.perf_counter(), Measurements()
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(f"{plan.repetitions} interleaved repetitions of {plan.seconds} s, {plan.charge_points} Charge Points at once")
    for section in sections:
        others = Others()
        try:
            print(f"\n{_measure(section, plan, result)}")
        except (RuntimeError, OSError, TimeoutError, AssertionError) as error:  # the others are not lost with it
            result.failed[section] = f"{type(error).__name__}: {error}"
            print(f"\n{section} FAILED: {result.failed[section]}")
        result.others[section] = others.share
        print(aims.noise(others.share), flush=True)
    judged = [] if plan.quick else aims.judged(result)
    print(f"\n{aims.report(judged, result)}" if judged else "\nnothing is judged: a glance gives no figures")
    took = time.perf_counter() - begun
    return Report(machine=about, plan=plan, took_s=took, measurements=result, aims=judged)


def _measure(section: str, plan: Plan, result: Measurements) -> str:
    """One section, into `result`. Its table."""
    if section in LEGS:
        return _rates(LEGS[section], plan, result)
    match section:
        case "codec":
            result.codec = timing.measure(plan)
            return timing.report(result.codec)
        case "spyne":
            result.spyne = asyncio.run(spyne_halves.measure(plan))
            return spyne_halves.report(result.spyne)
        case "start":
            result.start = asyncio.run(startup.measure(plan))
            return startup.report(result.start)
        case "idle":
            result.idle = asyncio.run(idle.measure(plan))
            return idle.report(result.idle)
        case "latency":
            result.latency = asyncio.run(latency.measure(plan))
            return latency.report(result.latency)
        case "commits":
            result.commits = commits.measure(plan)
            return commits.report(result.commits)
        case "fleet":
            result.fleet = asyncio.run(fleet.measure(plan))
            return fleet.report(result.fleet)
        case "isolation":
            drawn = 1 if plan.quick else isolation.DRAWN
            result.isolation = asyncio.run(isolation.measure(Path().absolute(), plan.seconds * 2, drawn))
            return isolation.report(result.isolation)
        case "observers":
            result.observers = asyncio.run(observers.measure(plan))
            return observers.report(result.observers)
        case "cluster-link":
            result.cluster_link = asyncio.run(cluster_link.measure(plan))
            return cluster_link.report(result.cluster_link)
        case "moves":
            result.moves = asyncio.run(moves.measure(plan))
            return moves.report(result.moves)
        case "cluster":
            result.cluster = asyncio.run(cluster.measure(plan))
            return cluster.report(result.cluster)
        case "cluster-faults":
            with tempfile.TemporaryDirectory() as folder, all_cores():
                result.cluster_faults = asyncio.run(cluster_faults.measured(Path(folder), plan.faults))
            return cluster_faults.report(result.cluster_faults)
        case _:
            result.overload = asyncio.run(overload.measure(plan))
            return overload.report(result.overload)


def _rates(leg: Leg, plan: Plan, result: Measurements) -> str:
    rows = result.rates[leg.name] = asyncio.run(rates.measure(leg, plan))
    return rates.report(leg, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    described = "\n".join(f"  {name:<21}{text}" for name, text in SECTIONS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=_ABOUT,
        epilog=f"sections:\n{described}",
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=120),
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="what to measure; without one, everything")
    parser.add_argument("--quick", action="store_true", help="a glance at everything: shows that it works, no figures")
    parser.add_argument("--output", type=Path, default=_OUTPUT, metavar="FILE", help=f"JSON, in place of {_OUTPUT}")
    parser.add_argument("--repetitions", type=int, metavar="N", help=f"in place of {FULL.repetitions}")
    parser.add_argument("--seconds", type=float, metavar="S", help=f"of a run, in place of {FULL.seconds:g}")
    parser.add_argument("--faults", type=int, metavar="N", help=f"times of each fault, in place of {FULL.faults}")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.sections if name not in SECTIONS]:
        parser.error(f"{', '.join(unknown)} cannot be measured; sections are {', '.join(SECTIONS)}")
    plan = QUICK if chosen.quick else FULL
    given = {name: getattr(chosen, name) for name in ("repetitions", "seconds", "faults")}
    changed = {name: value for name, value in given.items() if value is not None}
    stay_off()
    report = measured(chosen.sections or list(SECTIONS), msgspec.structs.replace(plan, **changed))
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    print(f"\n{report.took_s:.0f} s; written to {chosen.output}")
    if report.measurements.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
