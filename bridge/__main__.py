"""`python -m bridge` is `ocpp-bridge`."""

from __future__ import annotations

import sys

from bridge.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
