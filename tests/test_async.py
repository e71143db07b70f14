"""Tests that are async functions run, and fail as others do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
TESTS = """
import asyncio

import pytest
from hypothesis import given, strategies

LOOPS = []


async def never():
    await asyncio.Event().wait()


async def test_well():
    LOOPS.append(asyncio.get_running_loop())
    task = asyncio.ensure_future(never())  # what is left behind is cancelled
    await asyncio.sleep(0)
    LOOPS.append(task)


async def test_well_in_another_loop():
    assert asyncio.get_running_loop() is not LOOPS[0] and LOOPS[0].is_closed() and LOOPS[1].cancelled()


async def test_wrong():
    await asyncio.sleep(0)
    assert False


class TestWrong:
    async def test_method(self):
        assert False


@pytest.mark.parametrize("even", [True])
@given(number=strategies.integers(0, 9))
async def test_wrong_for_one_example(even, number):
    await asyncio.sleep(0)
    assert number != 7


def test_wrong_as_nothing_is_awaited():
    never()


@pytest.fixture
async def wrong_at_the_end():
    yield
    await asyncio.sleep(0)
    assert False


async def test_well_until_the_end(wrong_at_the_end):
    pass


@pytest.mark.timeout(1)
async def test_wrong_as_it_hangs():
    await never()
"""
GENERATOR = """
async def test_generator():
    yield
"""


def outcome(folder: Path) -> str:
    """What pytest says of the two files, with the configuration of the project."""
    (folder / "test_it.py").write_text(TESTS, "utf-8")
    (folder / "test_generator.py").write_text(GENERATOR, "utf-8")
    of_the_project = ("-c", str(CHECKOUT / "pyproject.toml"), "-p", "tests.conftest", "--rootdir", str(folder))
    how = ("-p", "no:cacheprovider", "-rA", "--continue-on-collection-errors")
    command = [sys.executable, "-m", "pytest", *of_the_project, *how, str(folder)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout


def named(said: str, kind: str) -> set[str]:
    return set(re.findall(rf"^{kind} \S*/(test_\w+\.py\S*)", said, re.MULTILINE))


def test_each_has_its_event_loop_and_a_failure_is_one(tmp_path: Path) -> None:
    said = outcome(tmp_path)
    assert named(said, "PASSED") == {
        "test_it.py::test_well",
        "test_it.py::test_well_in_another_loop",
        "test_it.py::test_well_until_the_end",
    }
    assert named(said, "FAILED") == {
        "test_it.py::test_wrong",
        "test_it.py::TestWrong::test_method",
        "test_it.py::test_wrong_for_one_example[True]",
        "test_it.py::test_wrong_as_nothing_is_awaited",
        "test_it.py::test_wrong_as_it_hangs",
    }
    # What is an asynchronous generator is run by nobody.
    assert named(said, "ERROR") == {"test_it.py::test_well_until_the_end", "test_generator.py"}
    waits = said.partition("Tasks that wait")[2]
    where = r"test_it\.py:\d+ in test_wrong_as_it_hangs\n.*test_it\.py:\d+ in never\n.* in wait\n"
    assert re.search(where, waits), said
