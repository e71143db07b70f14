"""A path is shown without what may be a token."""

from __future__ import annotations

import pytest

from bridge import paths


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/ocpp/CP1", "/ocpp/CP1"),
        ("/services/CentralSystemServices", "/services/CentralSystemServices"),
        ("/ocpp/Zq3vJx8wTn5rKp2mLs7yBd4c/CP1", "/ocpp/***/CP1"),
        ("/ocpp/Zq3vJx8wTn5r/CP1", "/ocpp/***/CP1"),
        ("/ocpp/%5Aq3vJx8wTn5rKp2mLs7yBd4c/CP1", "/ocpp/***/CP1"),
        ("/known-0123456789/x", "/known-0123456789/x"),
        ("/" + "x" * 500, "/" + "x" * 199),
    ],
)
def test_paths(path: str, shown: str) -> None:
    assert paths.shown(path, ["known-0123456789"]) == shown
