"""The README is short, leads to every page, and shows the least configuration as it is."""

from __future__ import annotations

import re

from tests.site.pages import DOCS, PAGES, README, ROOT, blocks


def test_the_readme_fits_on_one_screen() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 150


def test_the_least_configuration_is_the_file_that_is_named() -> None:
    conf = (ROOT / "conf" / "minimal.toml").read_text("utf-8")
    least = "\n".join(line for line in conf.splitlines() if not line.startswith("#")).strip()
    assert least in [block.text.strip() for block in blocks("toml") if block.page == "README.md"]


def test_the_readme_leads_to_every_page_for_operators() -> None:
    linked = {*re.findall(r"\]\(docs/([\w/-]+\.md)", README.read_text("utf-8"))}
    written = {str(page.relative_to(DOCS)) for page in PAGES if page != README}
    assert {page for page in written - linked if not page.startswith("decisions/")} == {"attacks.md"}
