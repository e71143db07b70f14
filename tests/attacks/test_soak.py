"""Ten minutes' worth of honest and hostile traffic leaves the bridge as it was after the first of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks.soak import cannot, soak
from tests.e2e.stage import run
from tests.lacking import lacking


@pytest.fixture(autouse=True)
def measurable() -> None:
    if why := cannot():
        lacking(why)


@pytest.mark.timeout(6000)
def test_memory_and_files_stay_what_they_were(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    soaked = run(soak(tmp_path), within=5000)
    plugins = request.config.pluginmanager
    reporter, capture = plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        reporter.write_line("")
        reporter.write_line(str(soaked))
    assert soaked.violations == []
    assert soaked.memory < 0.1
    assert soaked.most < 0.1
    assert soaked.files < 0.1
