"""The terms of the code, made from the glossary in `bridge/__init__.py`."""

from __future__ import annotations

import re

import bridge
from tests.site.markdown import table

_TERM = re.compile(r"^ {4}(\S[\w ]*?) {2,}(.+)$", re.MULTILINE)


def terms() -> dict[str, str]:
    """Return each term of the glossary with its meaning."""
    text = (bridge.__doc__ or "").partition("Glossary")[2].partition("\nWalk 1")[0]
    return dict(_TERM.findall(text))


def reference_terms() -> list[tuple[str, str]]:
    """Return the terms in alphabetical order, each meaning as a sentence."""
    return [(name, _sentence(terms()[name])) for name in sorted(terms(), key=str.lower)]


def reference() -> str:
    """Return a table of the terms."""
    return table(("term", "meaning"), reference_terms())


def _sentence(text: str) -> str:
    """Return `text` with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].replace(', ...', ' and others')}."
