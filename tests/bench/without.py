"""`ocpp-bridge` without one of its shortcuts: `python -m tests.bench.without SHORTCUT ARGUMENT...`. What each buys is
what the bridge spends more without it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn

from bridge.commands.cli import main
from bridge.ocpps.codec import Codec
from bridge.ocpps.exact import NotExact


def _odd(*_: Any) -> NoReturn:
    raise NotExact


def _without_exact() -> None:
    """Read each body as one that is not exactly what the WSDL says."""
    Codec._read_exact = _odd  # type: ignore[assignment, method-assign]


def _without_straight() -> None:
    """Write each body as one that needs an escape or a rule of the Dialect."""
    Codec._straight = {}  # type: ignore[assignment]


SHORTCUTS: dict[str, Callable[[], None]] = {
    "exact": _without_exact,
    "straight": _without_straight,
}
"""By name, what makes this process do without it. `exact` reads SOAP, `straight` writes it (bridge/ocpps)."""


if __name__ == "__main__":
    SHORTCUTS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
