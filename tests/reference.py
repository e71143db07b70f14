"""Where the reference material lies: beside a checkout, not in it. Tests that need it are skipped elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

import bridge

_SHARED = Path(bridge.__file__).resolve().parents[2] / "shared"

OFFICIAL_WSDL: Path = _SHARED / "reference" / "wsdl"
CORPUS: Path = _SHARED / "corpus"
CASES: Path = _SHARED / "cases"
TRACES: Path = _SHARED / "reference" / "ocpp-trace"

needs_reference = pytest.mark.skipif(
    not OFFICIAL_WSDL.is_dir(), reason="the reference folder with the official WSDLs is not here"
)
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of messages is not here")
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the cases of field reports are not here")
needs_traces = pytest.mark.skipif(not TRACES.is_dir(), reason="the reference folder with the traces is not here")
