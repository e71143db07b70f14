"""Which tests are slow, how much Hypothesis may try, and what a test that hangs waits for.

Its profiles: `dev` by default; `ci` where CI=true, the same examples in every run; `quick` with `-m "not slow"`, a few.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from bridge.watching import logs

# What starts processes, browsers, reverse proxies or a gateway for each test, measures, or goes through whole tables.
SLOW = (
    *("admin", "attacks", "bench", "commands", "console", "lab/demo", "e2e", "outgoing_events", "packaging"),
    *(
        "cluster/test_courier.py",
        "cluster/test_embedded_server.py",
        "cluster/test_map_stream.py",
        "cluster/test_record_stream.py",
        "cluster/test_session_stream.py",
        "cluster/test_sessions_of_a_cluster.py",
        "cluster/test_shared_store.py",
        "cluster/test_shared_stream.py",
        "cluster/test_supervisor.py",
    ),
    *("core/test_day.py", "core/test_snapshots.py", "dialects/test_dialects.py"),
    *("net/test_handshakes.py", "net/test_listening.py", "observer_queues/test_shared_writer.py"),
    *("ocpps/test_headers.py", "ocpps/test_other_pythons.py", "ocpps/test_quirk_packs.py", "ocpps/test_quirks.py"),
    *("site/test_walk.py", "store/test_audit.py", "store/test_outages.py"),
    *("test_deploy.py", "test_deploy_cluster.py", "test_deploy_proxies.py"),
)
_QUICK = "not slow"

# A machine that is busy with other things is no defect of the code.
_SLOWNESS = [HealthCheck.too_slow]

settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=_SLOWNESS)
settings.register_profile(
    "ci",
    max_examples=50,
    deadline=None,
    suppress_health_check=_SLOWNESS,
    derandomize=True,
    database=None,
    print_blob=True,
)
settings.register_profile("quick", settings.get_profile("ci"), max_examples=10)
settings.load_profile("ci" if os.environ.get("CI", "").lower() == "true" else "dev")


def is_slow(path: Path) -> bool:
    """Whether the tests in `path`, a folder or a module, are marked as slow."""
    tests = Path(__file__).parent
    return path.is_relative_to(tests) and any(path.is_relative_to(tests / name) for name in SLOW)


def pytest_configure(config: pytest.Config) -> None:
    """For `make test-quick`, a few examples are enough to see that something broke."""
    if config.option.markexpr == _QUICK:
        settings.load_profile("quick")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is slow is not even imported where nobody wants it."""
    return True if config.option.markexpr == _QUICK and is_slow(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow."""
    for item in items:
        if is_slow(item.path):
            item.add_marker(pytest.mark.slow)


def _awaited(task: asyncio.Task[Any]) -> str:
    """The name of `task` and the lines at which it waits, the innermost last."""
    lines = [task.get_name()]
    waiting: Any = task.get_coro()
    while (frame := getattr(waiting, "cr_frame", None)) is not None:
        lines.append(f"  {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}")
        waiting = waiting.cr_await
    return "\n".join(lines)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what each task waits for if a test took too long: the traceback has no more than the event loop."""
    report = yield
    if call.excinfo is not None and str(call.excinfo.value).startswith("Timeout (>"):
        pending = [each for each in gc.get_objects() if isinstance(each, asyncio.Task) and not each.done()]
        report.sections.append(("Tasks that wait", "\n".join(map(_awaited, pending))))
    return report


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    """A test that sets up the log, as every command does, leaves nothing of it to the next."""
    loggers = [logging.getLogger(name) for name in ("bridge", *logs._OTHERS)]
    before = [(logger.level, logger.propagate, logger.handlers[:]) for logger in loggers]
    yield
    for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers
