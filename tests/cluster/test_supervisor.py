"""A supervisor with real processes and a real port. The workers are small ones, so that many can be started."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from bridge.cluster import supervisor
from bridge.cluster.supervisor import Supervisor, WorkerEnded, WorkerPlan
from bridge.cluster.worker import VARIABLE, Handover
from bridge.net.descriptors import listen_at
from bridge.net.tasks import Tasks
from tests.e2e.stage import AT_MOST
from tests.process_states import freeze, frozen, lives

ROOT = Path(__file__).parents[2]


class Site:
    """A supervisor, its port, and the folder that says how its workers behave."""

    def __init__(self, folder: Path, address: tuple[str, int], supervisor: Supervisor) -> None:
        self.folder = folder
        self.address = address
        self.supervisor = supervisor

    async def asked(self) -> str:
        """The name of the worker that has answered a connection."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            return (await reader.read()).decode()
        finally:
            writer.close()

    def pid(self, name: str) -> int:
        """The process of a worker; 0 if it has none at the moment."""
        (worker,) = (each for each in self.supervisor._workers if each.name == name)
        return 0 if worker._process is None else worker._process.pid

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(2 * AT_MOST):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def until_again(self, name: str, before: int) -> None:
        """Wait until a worker has another process than `before`, and that serves."""
        (worker,) = (each for each in self.supervisor._workers if each.name == name)
        await self.until(lambda: self.pid(name) not in (0, before) and worker._is_ready)


@contextlib.asynccontextmanager
async def site(
    folder: Path, workers: int = 3, *, patience: float = AT_MOST, watchdog: float = 0.0, started: bool = True
) -> AsyncIterator[Site]:
    (listening,) = listen_at("127.0.0.1", 0)
    environment = {**os.environ, "WATCHDOG_USEC": str(int(watchdog * 1e6))} if watchdog else dict(os.environ)
    plan = WorkerPlan(
        names=tuple(f"a-{number}" for number in range(1, workers + 1)),
        command=(sys.executable, "-m", "tests.cluster.worker", str(folder)),
        environment=environment | {"PYTHONPATH": str(ROOT)},
        sockets={"soap": (listening.fileno(),)},
        servers=("nats://127.0.0.1:4222",),
        patience=patience,
        watchdog=watchdog,
    )
    supervisor = Supervisor(plan)
    with listening:
        try:
            if started:
                await supervisor.start()
            yield Site(folder, listening.getsockname(), supervisor)
        finally:
            await supervisor.stop()


async def test_all_workers_accept_at_one_port(tmp_path: Path) -> None:
    """Connections that come at once are spread, and each is answered."""

    async with site(tmp_path) as here:
        names: Counter[str] = Counter()
        async with asyncio.timeout(2 * AT_MOST):
            while len(names) < 3:
                names.update(await asyncio.gather(*(here.asked() for _ in range(50))))
        assert {*names} == {"a-1", "a-2", "a-3"}


@pytest.mark.parametrize("it_dies", [False, True])
async def test_a_worker_that_stands_still_or_dies_takes_no_connection_along(tmp_path: Path, it_dies: bool) -> None:
    async with site(tmp_path) as here:
        before = here.pid("a-2")
        if it_dies:
            os.kill(before, signal.SIGKILL)
            await here.until(lambda: not lives(before))
        else:
            freeze(before)
        async with asyncio.timeout(2 * AT_MOST):
            for _ in range(10):
                answers = await asyncio.gather(*(here.asked() for _ in range(20)))
                assert {*answers} <= {"a-1", "a-2", "a-3"}
        if it_dies:
            await here.until_again("a-2", before)
        else:
            os.kill(before, signal.SIGCONT)


async def test_a_worker_that_dies_is_started_again_after_a_pause_that_grows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def said() -> list[str]:
        found = [record.__dict__.get("bridge_fields", {}) for record in caplog.records]
        return [f"{each['worker']} {each['reason']} {each['after']:g}" for each in found if "after" in each]

    with caplog.at_level(logging.ERROR, "bridge.supervisor"), propagating():
        async with site(tmp_path, 2) as here:
            for number in (signal.SIGKILL, signal.SIGTERM):
                before = here.pid("a-1")
                os.kill(before, number)
                await here.until_again("a-1", before)
            (tmp_path / "fail").write_text("3")
            os.kill(here.pid("a-1"), signal.SIGKILL)
            await here.until(lambda: "exit code 3" in "".join(said()))
            (tmp_path / "fail").unlink()
            await here.until_again("a-1", 0)
            assert lives(here.pid("a-2"))
    assert said()[:4] == ["a-1 signal SIGKILL 0.25", "a-1 exit code 0 0.5", "a-1 signal SIGKILL 1", "a-1 exit code 3 2"]


@contextlib.contextmanager
def propagating() -> Iterator[None]:
    """Lets pytest see the log, which an earlier set-up may have taken for itself."""
    log = logging.getLogger("bridge")
    before, log.propagate = log.propagate, True
    try:
        yield
    finally:
        log.propagate = before


async def test_a_worker_that_cannot_start_ends_the_start(tmp_path: Path) -> None:
    """The first one is tried alone: what is wrong with all of them is told once."""

    (tmp_path / "fail").write_text("2")
    async with site(tmp_path, started=False) as here:
        with pytest.raises(WorkerEnded, match="the worker a-1 cannot start: exit code 2") as ended:
            await here.supervisor.start()
        assert ended.value.exit_code == 2
        assert [here.pid(name) for name in ("a-1", "a-2", "a-3")] == [0, 0, 0]


async def test_all_end_when_the_supervisor_stops(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        pids = [here.pid(name) for name in ("a-1", "a-2", "a-3")]
        assert all(map(lives, pids))
        assert await here.supervisor.stop()
        assert not any(map(lives, pids))


async def test_a_worker_that_does_not_end_is_killed(tmp_path: Path) -> None:
    (tmp_path / "deaf").touch()
    async with site(tmp_path, 2, patience=0.3) as here:
        pids = [here.pid(name) for name in ("a-1", "a-2")]
        freeze(pids[0])
        assert not await here.supervisor.stop()
        assert not any(map(lives, pids))


async def test_a_start_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "slow").touch()
    tasks = Tasks()
    async with site(tmp_path, started=False) as here:
        starting = tasks.spawn(here.supervisor.start(), name="starting")
        await here.until(lambda: here.pid("a-1") != 0)
        pid = here.pid("a-1")
        starting.cancel()
        await asyncio.wait([starting])
    assert not lives(pid)


async def test_each_worker_reads_its_configuration_again(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        names = ("a-1", "a-2", "a-3")
        assert await here.supervisor.reload() == {}
        (tmp_path / "refuse").write_text("no “such” file")
        assert await here.supervisor.reload() == {name: ["no “such” file"] for name in names}
        (tmp_path / "refuse").unlink()
        assert await here.supervisor.reload() == {}


async def test_a_worker_that_is_starting_reads_it_again_when_it_serves(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with site(tmp_path, 2) as here:
        (tmp_path / "slow").touch()
        before = here.pid("a-2")
        os.kill(before, signal.SIGKILL)
        await here.until(lambda: here.pid("a-2") not in (0, before))
        assert await here.supervisor.reload() == {}
        (tmp_path / "slow").unlink()
        await here.until_again("a-2", before)
        said = ""
        async with asyncio.timeout(AT_MOST):
            while "a-2 reads" not in said:
                await asyncio.sleep(0.02)
                said += capfd.readouterr().out
    assert said.count("a-2 reads") == 1


async def test_a_worker_that_dies_while_it_reads_hinders_nobody(tmp_path: Path) -> None:
    async with site(tmp_path, 2) as here:
        freeze(here.pid("a-2"))
        tasks = Tasks()
        reloading = tasks.spawn(here.supervisor.reload(), name="reloading")
        await asyncio.sleep(0.1)
        os.kill(here.pid("a-2"), signal.SIGKILL)
        async with asyncio.timeout(AT_MOST):
            assert await reloading == {}


async def test_a_worker_that_stands_still_hinders_no_later_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor, "_RELOADS_WITHIN", 0.5)

    async with site(tmp_path, 2) as here:
        with frozen(here.pid("a-2")):
            for _ in range(2):
                assert await here.supervisor.reload() == {}
        said = ""
        async with asyncio.timeout(AT_MOST):
            while said.count("a-2 reads") < 1 or said.count("a-1 reads") < 2:
                await asyncio.sleep(0.02)
                said += capfd.readouterr().out


async def test_a_worker_whose_event_loop_stands_still_is_killed(tmp_path: Path) -> None:
    (tmp_path / "still").touch()
    async with site(tmp_path, 1, watchdog=1.0) as here:
        before = here.pid("a-1")
        (tmp_path / "still").unlink()
        await here.until(lambda: not lives(before))
        await here.until_again("a-1", before)


async def test_workers_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    """Also one that stands still."""
    with subprocess.Popen(  # noqa: ASYNC220  the test owns it
        [sys.executable, "-c", _SUPERVISOR, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as supervisor:
        try:
            assert supervisor.stdout is not None
            pids = [int(supervisor.stdout.readline().split()[1]) for _ in range(2)]
            assert all(map(lives, pids))
            freeze(pids[1])
        finally:
            supervisor.kill()
        await _gone(pids)


async def _gone(pids: list[int]) -> None:
    async with asyncio.timeout(AT_MOST):
        while any(map(lives, pids)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


_SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from tests.cluster.test_supervisor import site

async def walk():
    async with site(Path(sys.argv[1]), 2):
        await asyncio.Event().wait()

asyncio.run(walk())
"""


@pytest.mark.parametrize(
    ("value", "said"), [("x", "is for workers that a supervisor starts"), (None, "the supervisor of this worker")]
)
def test_a_worker_without_its_supervisor_does_not_start(value: str | None, said: str) -> None:
    """The second one finds that its parent is another process: the supervisor ended before it could be told."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        handover = Handover(
            name="a-1",
            number=1,
            workers=1,
            supervisor=1,
            sockets={},
            connections=theirs.fileno(),
            servers=(),
        )
        ours.send(handover.message())
        done = subprocess.run(
            [sys.executable, "-m", "bridge", "serve"],
            cwd=ROOT,
            env={**os.environ, VARIABLE: str(theirs.fileno()) if value is None else value},
            pass_fds=[theirs.fileno()],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert said in done.stderr and "Traceback" not in done.stderr
