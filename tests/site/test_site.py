"""The site is built from nothing but its own files, strictly, and a browser loads nothing of it from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.site.pages import DOCS, ROOT

NAVIGATION = ROOT / "mkdocs.yml"


def navigation() -> list[str]:
    """Return the pages of the navigation, in order."""

    def pages(entries: list[Any]) -> list[str]:
        found: list[str] = []
        for entry in entries:
            below = next(iter(entry.values())) if isinstance(entry, dict) else entry
            found += pages(below) if isinstance(below, list) else [below]
        return found

    return pages(yaml.safe_load(NAVIGATION.read_text("utf-8"))["nav"])


def test_every_page_is_in_the_navigation_once() -> None:
    listed = navigation()
    assert len(listed) == len({*listed})
    written = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    elsewhere = {"index.md", "architecture.md", "changelog.md", "contributing.md", "security.md"}
    assert {*listed} == written | elsewhere


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built in a folder where nothing else is, as `make docs` builds it."""
    if importlib.util.find_spec("material") is None:
        why = "MkDocs Material is not installed: pip install '.[docs]'"
        if os.environ.get("OCPP_BRIDGE_NO_SKIP") == "1":
            pytest.fail(f"{why} (OCPP_BRIDGE_NO_SKIP=1)")
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("project")
    for path in (*ROOT.glob("*.md"), NAVIGATION):
        shutil.copy(path, folder)
    for name in ("docs", "conf", "deploy"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "build" / "site"


class _Loaded(HTMLParser):
    """Collect what a browser loads for a page, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("script", "img", "iframe", "source") and values.get("src"):
            self.loaded.append(values["src"] or "")
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(values.get("href") or "")
        if tag == "a":
            self.links.append(values.get("href") or "")


def test_a_browser_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        reader = _Loaded()
        reader.feed(page.read_text("utf-8"))
        assert reader.loaded
        assert [url for url in reader.loaded if re.match(r"(\w+:)?//", url)] == [], page


def test_links_to_files_of_the_project_lead_to_copies(site: Path) -> None:
    reader = _Loaded()
    reader.feed((site / "configure" / "index.html").read_text("utf-8"))
    (link,) = {link for link in reader.links if link.endswith("bridge.toml")}
    shown = (site / "configure" / link).resolve()
    assert shown.read_text("utf-8") == (ROOT / "conf" / "bridge.toml").read_text("utf-8")


def test_the_first_page_is_the_readme(site: Path) -> None:
    text = (site / "index.html").read_text("utf-8")
    reader = _Loaded()
    reader.feed(text)
    assert "Does it fit your fleet?" in text
    assert "get-started/" in reader.links and not [link for link in reader.links if link.startswith("docs/")]


def test_no_table_is_left_as_text(site: Path) -> None:
    """A table without an empty line before it is a paragraph in Markdown."""
    for page in sorted(site.rglob("*.html")):
        text = re.sub(r"<(pre|code)[ >].*?</\1>", "", page.read_text("utf-8"), flags=re.DOTALL)
        assert "|---" not in text, page


def test_make_builds_it_into_a_folder_that_git_ignores() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert "docs: $(VENV)/.docs\n\t$(BIN)/python -m mkdocs build --strict" in makefile
    assert yaml.safe_load(NAVIGATION.read_text("utf-8"))["site_dir"] == "build/site"
    assert "/build/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()
