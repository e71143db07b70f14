"""The parts of pages that are made from the code.

A page holds such a part between two comments: `<!-- NAME: ... -->` and `<!-- end of NAME -->`. `python -m tests.site`
writes all parts, and `tests/site/test_generated.py` fails while one of them is not current.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tests import delivery_cases, losses
from tests.attacks import rows as attacks
from tests.site import admin_api, command_line, glossary, keys, metrics, reasons

PARTS: dict[str, Callable[[], str]] = {
    "keys": keys.reference,
    "commands": command_line.reference,
    "endpoints": admin_api.reference,
    "metrics": metrics.reference,
    "labels": metrics.labels,
    "alerts": metrics.alerts,
    "refusals": reasons.refusals,
    "failures": reasons.failures,
    "losses": losses.table,
    "cases": delivery_cases.table,
    "attacks-in-sum": attacks.summary,
    "glossary": glossary.reference,
}
"""Each generated part by its name. A part is Markdown."""

PAGES = (
    "docs/keys.md",
    "docs/command-line.md",
    "docs/api.md",
    "docs/metrics.md",
    "docs/troubleshooting.md",
    "docs/losses.md",
    "docs/delivery.md",
    "docs/limits.md",
    "docs/glossary.md",
)
"""The pages that hold generated parts."""

_MARKED = re.compile(r"(<!-- (?P<name>[\w-]+): [^>]*-->\n)(?P<part>.*?)(<!-- end of (?P=name) -->)", re.DOTALL)


def parts_of(text: str) -> dict[str, str]:
    """Return the generated parts in the text of a page, by name."""
    return {found["name"]: found["part"] for found in _MARKED.finditer(text)}


def framed(part: str) -> str:
    """Return a part as a page holds it: Markdown needs an empty line between a comment and a table."""
    return f"\n{part.strip()}\n\n"


def rewritten(text: str) -> str:
    """Return the text of a page with current parts. Raises KeyError for a part that nobody makes."""
    return _MARKED.sub(lambda found: found[1] + framed(PARTS[found["name"]]()) + found[4], text)
