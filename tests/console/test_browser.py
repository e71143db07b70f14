"""Where there is no browser: said in one line, and no excuse where nothing may be skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.console.browser import chromium


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)


def test_without_a_browser_it_is_said_how_to_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCPP_BRIDGE_NO_SKIP", raising=False)
    with pytest.raises(pytest.skip.Exception, match="install Debian's package chromium"):
        chromium()


def test_where_nothing_may_be_skipped_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCPP_BRIDGE_NO_SKIP", "1")
    with pytest.raises(pytest.fail.Exception, match="no Chromium here"):
        chromium()


def test_one_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/opt/chromium")
    assert chromium() == "/opt/chromium"
