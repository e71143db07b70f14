"""Twice as much as the bridge can do, SOAP -> JSON, from many Charge Points that do not wait for each other: what it
still does, and how what it refuses is refused. What it can do is measured with the same Charge Points: a thousand
Sessions do not lie in the processor's cache as a few do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from tests.bench import parties
from tests.bench.figures import Figure, Plan, figure, percentile, table
from tests.bench.load import GOOD, Done, Open, Work, closed
from tests.bench.subject import Bridge, Subject, allow_files, bridge

_ACTION = "BootNotification"
_TIMES = 2.0
_LONGER = 3
_REFUSED = 503
_AT_ONCE = 32


class _Turns:
    """A Sender that is many, each in its turn: as many Charge Points as later, of which few wait at a time."""

    def __init__(self, work: Sequence[Work]) -> None:
        self._work = deque(work)

    def send(self, data: bytes, done: Done) -> None:
        sender, request = self._work[0]
        self._work.rotate(-1)
        sender.send(request, done)


class Overloaded(Struct, frozen=True, kw_only=True):
    """Per second: at its `peak`, `offered` past it, and answered well then (`goodput`). `refused` and `unsent` (no
    connection was free to go out on) are shares of what was due. Milliseconds from sending to the answer, of which the
    load itself takes `attention` on average. `refusal_of_answer` is the ratio of the p99 of a refusal to that of an
    answer; None where nothing was refused."""

    peak: Figure
    offered: float
    goodput: Figure
    of_peak: float
    refused: Figure
    unsent: Figure
    refusal_p50: float | None
    refusal_p99: float | None
    answer_p50: float
    answer_p99: float
    refusal_of_answer: float | None
    others: dict[str, int]
    attention: float


async def measure(plan: Plan) -> Overloaded | str:
    """The figures, or why there are none."""
    if why := allow_files(3 * plan.crowd + 500):
        return why
    async with (
        parties.json_central_system() as central,
        bridge(Bridge(central_system=central.url)) as subject,
        parties.soap_connections(subject, plan.crowd) as connections,
    ):
        names = parties.identities(plan.crowd)
        requests = [parties.posted(_ACTION, name) for name in names]
        assert await parties.once(connections, requests) == plan.crowd
        work = parties.paired(connections, requests)
        await _used(work)
        return await _measure(work, subject, plan)


async def _used(work: Sequence[Work]) -> None:
    """Each connection, once: one that says nothing at first is hung up on."""
    for begin in range(0, len(work), _AT_ONCE):
        some = work[begin : begin + _AT_ONCE]
        answers = await asyncio.gather(*(parties.answer_of(sender, data) for sender, data in some))
        assert set(answers) == {GOOD}


async def _measure(work: Sequence[Work], subject: Subject, plan: Plan) -> Overloaded:
    at_once = 2 * plan.charge_points
    few = [(_Turns(work[place::at_once]), b"") for place in range(at_once)]
    seconds = _LONGER * plan.seconds
    peaks = [await closed(few, plan.seconds, subject.pid) for _ in range(plan.repetitions + 1)]
    peak = figure(rate.per_second for rate in peaks[1:])
    loads = []
    for _ in range(plan.repetitions):
        load = Open(work, _TIMES * peak.median, seconds, cut=True)
        await load.run()
        loads.append(load)
    goodput = figure(load.good_in_time / seconds for load in loads)
    took = {
        status: sorted(1e3 * (o.ended - o.sent) for load in loads for o in load.outcomes if o.status == status)
        for status in {outcome.status for load in loads for outcome in load.outcomes}
    }
    refusals, answers = took.get(_REFUSED, []), took.get(GOOD, [])
    return Overloaded(
        peak=peak,
        offered=_TIMES * peak.median,
        goodput=goodput,
        of_peak=goodput.median / peak.median,
        refused=figure(sum(o.status == _REFUSED for o in load.outcomes) / load.count for load in loads),
        unsent=figure(load.unsent / load.count for load in loads),
        refusal_p50=percentile(refusals, 0.5) if refusals else None,
        refusal_p99=percentile(refusals, 0.99) if refusals else None,
        answer_p50=percentile(answers, 0.5),
        answer_p99=percentile(answers, 0.99),
        refusal_of_answer=percentile(refusals, 0.99) / percentile(answers, 0.99) if refusals and answers else None,
        attention=1e3 * figure(load.attention for load in loads).median,
        others={str(status): len(each) for status, each in took.items() if status not in (GOOD, _REFUSED)},
    )


def report(figures: Overloaded | str) -> str:
    """For a person."""
    if isinstance(figures, str):
        return f"past capacity: not measured, {figures}"
    said = figures

    def ms(value: float | None) -> str:
        return "none" if value is None else f"{value:.1f} ms"

    rows = [
        ("peak, exchanges/s", said.peak.text()),
        (f"offered, {_TIMES:g} x peak", f"{said.offered:.0f}"),
        ("goodput", said.goodput.text()),
        ("goodput of peak", f"{said.of_peak:.2f}"),
        ("refused with 503, of what was due", said.refused.text(2)),
        ("never sent: all connections waited", said.unsent.text(2)),
        ("a refusal takes, p50", ms(said.refusal_p50)),
        ("a refusal takes, p99", ms(said.refusal_p99)),
        ("an answer takes, p50", ms(said.answer_p50)),
        ("an answer takes, p99", ms(said.answer_p99)),
        ("a refusal of an answer, p99", "none" if said.refusal_of_answer is None else f"{said.refusal_of_answer:.2f}"),
        ("of it waiting for the load, mean", ms(said.attention)),
        ("other answers", ", ".join(f"{status}: {count}" for status, count in said.others.items()) or "none"),
    ]
    return table((f"past capacity, {_ACTION}", "median (spread)"), rows)
