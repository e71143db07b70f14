"""What holds for every walk holds under attack too."""

from __future__ import annotations

from tests.e2e.conftest import endpoints_are_built_once, nothing_fails_unseen

__all__ = ["endpoints_are_built_once", "nothing_fails_unseen"]
