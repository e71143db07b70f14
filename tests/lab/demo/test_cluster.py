"""The demo of several processes: one is killed, and the session goes on."""

from __future__ import annotations

import re
import subprocess

import pytest

from bridge.commands.cli import main
from tests.e2e.stage import AT_MOST
from tests.lab.demo.test_demo import COMMAND


def test_a_session_outlives_the_process_that_has_it() -> None:
    done = subprocess.run(
        [*COMMAND, "--workers", "2"], capture_output=True, text=True, timeout=4 * AT_MOST, encoding="utf-8"
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert re.search(r"kill -9 demo-[12], in the middle of transaction 1\n", done.stdout)
    assert re.search(r"demo-[12] .*; the Charge Point has waited [0-9.]+ s\n", done.stdout)
    last = "StopTransaction has arrived once at the Central System, with the transactionId 1."
    assert done.stdout.splitlines()[-1] == last


@pytest.mark.parametrize("arguments", [["--workers", "1"], ["--workers", "2", "--fleet", "3"]])
def test_what_does_not_go_together(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *arguments]) == 2
    assert "--workers" in capsys.readouterr().err
