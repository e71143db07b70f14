"""A test that needs what this machine lacks is skipped, with a line that says so. `.ci/run` forbids that."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacking(why: str) -> NoReturn:
    """Skip the test because of `why`. Fail it instead where OCPP_BRIDGE_NO_SKIP=1."""
    if os.environ.get("OCPP_BRIDGE_NO_SKIP") == "1":
        pytest.fail(f"{why} (OCPP_BRIDGE_NO_SKIP=1)")
    pytest.skip(why)
