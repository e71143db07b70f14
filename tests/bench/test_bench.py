"""`make bench` works: every section, at a glance. What it measures is not judged here."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import msgspec
import pytest

from tests.bench import messages, posts
from tests.bench.__main__ import SECTIONS, Report, main
from tests.bench.aims import Measurements, judged
from tests.bench.figures import QUICK, figure, percentile
from tests.bench.legs import LEGS, measured
from tests.bench.load import BROKEN
from tests.bench.overload import Overloaded
from tests.bench.parties import answer_of, once
from tests.bench.quiet import Others
from tests.bench.rates import Row
from tests.bench.spyne_halves import halves
from tests.bench.startup import Started
from tests.bench.subject import all_cores, several_cores, stay_off
from tests.bench.timing import Piece


def quickly(folder: Path, *sections: str) -> Report:
    """In a process of its own: the load collects garbage before each run, and that of all tests before is much."""
    file = folder / "bench.json"
    command = [sys.executable, "-m", "tests.bench", *sections, "--quick", "--output", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(file.read_bytes(), type=Report)


@pytest.mark.parametrize("name", LEGS)
def test_a_leg(name: str, tmp_path: Path) -> None:
    leg = LEGS[name]
    rows = quickly(tmp_path, name).measurements.rates[name]
    assert [(row.action, row.subject) for row in rows] == [(a, s) for a in leg.actions for s in leg.at_a_glance]
    assert all(row.per_second.low > 0 for row in rows)
    compared = not name.startswith("shortcuts-")
    assert all((row.of_floor is None) == (row.subject.startswith("floor") or not compared) for row in rows)
    assert all((row.of_httptools is None) == (row.subject.startswith("httptools") or not compared) for row in rows)
    assert all((row.change is not None) == row.subject.startswith("bridge, ") for row in rows)
    assert all((row.change_of_cpu is not None) <= row.subject.startswith("bridge, ") for row in rows)
    assert {row.recorded for row in rows if row.subject == "bridge, recording"} <= {1.0}
    assert all(row.recorded is None for row in rows if row.subject != "bridge, recording")


@pytest.mark.parametrize(
    ("kind", "of_their_own"),
    [
        ("floor", False),
        ("floor, a connection per Call", True),
        ("httptools", False),
        ("httptools, a connection per Call", True),
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


class Listening(asyncio.Protocol):
    """A server that answers each request with its number, and keeps what it read at once."""

    def __init__(self, reads: list[list[bytes]]) -> None:
        self.reads: list[bytes] = []
        reads.append(self.reads)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.reads.append(data)
        if data.endswith(BODY):
            self.transport.write(posts.response(b"answer"))
            if b"Connection: close" in b"".join(self.reads):
                self.transport.close()


BODY = b"<body/>"
HEAD = messages.http("/", BODY).removesuffix(BODY)


@pytest.mark.parametrize(
    ("client", "connections"),
    [
        (posts.ONE_SEGMENT, [[HEAD + BODY] * 3]),
        (posts.TWO_SEGMENTS, [[HEAD, BODY] * 3]),
        (posts.CLOSING, [[HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + BODY]] * 3),
    ],
)
def test_a_kind_of_client(client: str, connections: list[list[bytes]]) -> None:
    reads: list[list[bytes]] = []

    async def exchange() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Listening(reads), "127.0.0.1", 0)
        (sender,) = await posts.posters(server.sockets[0].getsockname()[1], 1, client=client)
        assert await once([sender], [HEAD + BODY] * 3) == 3
        sender.close()
        server.close()

    asyncio.run(exchange())
    assert reads == connections


def test_bodies_wait_for_other_heads() -> None:
    sent: list[int] = []

    async def send() -> None:
        bodies = posts.Bodies(behind=2)
        for number in range(5):
            bodies.later(partial(sent.append, number))
        assert sent == [0, 1, 2]
        while len(sent) < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    asyncio.run(send())
    assert sent == [0, 1, 2, 3, 4]


def test_a_client_that_is_not_answered() -> None:
    async def exchange() -> int:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        (sender,) = await posts.posters(server.sockets[0].getsockname()[1], 1, client=posts.CLOSING)
        try:
            return await answer_of(sender, HEAD + BODY)
        finally:
            server.close()

    assert asyncio.run(exchange()) == BROKEN


_TRANSLATED = """
import sys
from collections import Counter
from tests.bench import codecs, without
from bridge.ocpps import exact, straight

for name in sys.argv[1:]:
    without.SHORTCUTS[name]()
taken = Counter()

def counted(name, work):
    def run(*arguments):
        taken[name] += 1
        return work(*arguments)
    return run

exact.record_of = counted("exact", exact.record_of)
straight.write = counted("straight", straight.write)
print([work() for _, work in codecs.pieces()])
print(*sorted(taken))
"""


@cache
def translated(*without: str) -> list[str]:
    """Each message of the codec's section in another process, and the shortcuts that were taken."""
    command = [sys.executable, "-c", _TRANSLATED, *without]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.parametrize(("shortcut", "others"), [("exact", "straight"), ("straight", "exact")])
def test_without_a_shortcut_the_bridge_says_the_same(shortcut: str, others: str) -> None:
    said, taken = translated()
    assert taken == "exact straight"
    assert translated(shortcut) == [said, others]


def test_a_request_passes_both_halves_of_an_empty_server() -> None:
    assert [request() for request in halves().values()] == [b"", b""]


def test_the_rest(tmp_path: Path) -> None:
    # tests/attacks/test_cluster_faults.py has the faults.
    report = quickly(tmp_path, *(name for name in SECTIONS if name not in LEGS and name != "cluster-faults"))
    found = report.measurements
    assert len(found.codec or ()) == 12 + 3  # and what lxml and msgspec take for each message
    assert [piece.name for piece in found.codec or () if piece.of_alone] == [
        f"{action}, SOAP to JSON" for action in ("Heartbeat", "BootNotification", "MeterValues")
    ]
    assert [one.us.median > 0 for one in found.spyne or ()] == [True, True]
    assert isinstance(found.start, list)
    assert [type(one) for one in found.start] == [Started, Started]
    assert isinstance(found.idle, list)
    assert [fleet.sessions for fleet in found.idle] == list(QUICK.sessions)
    assert len(found.latency or ()) == 2 * 3 * 3  # messages, shares of the capacity, percentiles
    assert [each.rows for each in found.fleet or ()] == [QUICK.stored] * 5
    assert [row.percentile for row in found.observers or ()] == ["p50", "p99"]
    assert [hop.of_bare is None for hop in found.cluster_link or ()] == [True, *[False] * 4, True, *[False] * 3]
    assert found.cluster is not None
    assert len(found.cluster.exchanges) == 2 * 2 * 5  # protocols, messages, kinds of clusters
    assert sum(found.cluster.shares.values()) == pytest.approx(1)
    assert [row.kind for row in found.moves or ()] == ["SOAP", "JSON", "bare"]
    assert isinstance(found.overload, Overloaded)
    assert found.overload.peak.median > 0
    assert report.machine["python"]


def test_a_glance_is_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bench.json"
    main(["codec", "--quick", "--output", str(file)])
    assert msgspec.json.decode(file.read_bytes(), type=Report).aims == []
    assert "nothing is judged" in capsys.readouterr().out


def test_an_aim_is_judged_by_what_was_measured() -> None:
    slow = Piece(name="MeterValues, SOAP to JSON", us=figure([151.0]), of_alone=2.1)
    reached = [aim.reached for aim in judged(Measurements(codec=[slow]))]
    assert reached.count(None) == len(reached) - 1
    assert reached.count(False) == 1


@pytest.mark.parametrize("client", posts.CLIENTS)
def test_each_kind_of_client_is_judged(client: str) -> None:
    """By the lower of its two ratios, whatever those of the others are."""
    subject = {posts.ONE_SEGMENT: "bridge"}.get(client, f"bridge, {client}")
    row = msgspec.convert(
        dict.fromkeys(Row.__struct_fields__)
        | {
            "action": "MeterValues",
            "subject": subject,
            "per_second": {"median": 1.0, "low": 1.0, "high": 1.0},
            "of_floor": 0.46,
            "of_floor_by_cpu": 0.44,
            "subject_core": 1.0,
            "cpu_us": 1.0,
            "remark": "",
        },
        Row,
    )
    known = [aim for aim in judged(Measurements(rates={"clients": [row]})) if aim.measured is not None]
    assert [(aim.what, aim.measured, aim.reached) for aim in known] == [
        (f"SOAP -> JSON, {client}, MeterValues, of floor", 0.44, False)
    ]


def test_a_section_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sloth"])
    assert "sloth cannot be measured; sections are soap-json" in capsys.readouterr().err


@pytest.mark.parametrize(("runs", "expected"), [([3.0, 1.0, 2.0], (2.0, 1.0, 3.0)), ([5.0], (5.0, 5.0, 5.0))])
def test_figures_are_medians(runs: Sequence[float], expected: tuple[float, float, float]) -> None:
    made = figure(runs)
    assert (made.median, made.low, made.high) == expected


def test_what_this_process_does_is_not_what_others_do() -> None:
    share = Others().share
    assert share is None or 0 <= share <= 1.5  # the clock of the kernel is coarse


@pytest.mark.skipif(not several_cores(), reason="there is one core")
def test_processes_that_share_the_machine_have_all_cores() -> None:
    before = os.sched_getaffinity(0)
    try:
        stay_off()
        off = os.sched_getaffinity(0)
        with all_cores():
            asked = [sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"]
            assert int(subprocess.check_output(asked)) == os.cpu_count()
        assert os.sched_getaffinity(0) == off != set(range(os.cpu_count() or 1))
    finally:
        os.sched_setaffinity(0, before)


def test_percentiles() -> None:
    assert [percentile(list(range(100)), share) for share in (0.5, 0.99, 0.999)] == [50, 99, 99]
