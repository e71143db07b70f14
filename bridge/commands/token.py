"""Command `token`: print the token of the admin API, or the console's URL with the token.

It serves operators who cannot see the terminal on which the bridge prints them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import quote

from bridge import config
from bridge.admin import token_file
from bridge.commands import asking
from bridge.config.complaints import one_line
from bridge.config.listeners import admin_url


def run(path: Path | None, *, address: bool) -> int:
    """Print the token of a bridge with the configuration at `path`; with `address`, the console's URL with the token.

    Returns 0, or 1 if there is no token yet. Raises ConfigurationError.
    """
    settings = config.load(path, os.environ)
    token = asking.token_of(settings)
    if token is None:
        file = token_file.beside(settings.store.url)
        why = "the store is in memory, and so is the token" if file is None else f"there is no file {file}"
        hint = "set admin.token_file" if file is None else "the bridge makes it when it starts"
        print(one_line(f"ocpp-bridge token: {why}: {hint}"), file=sys.stderr)
        return 1
    text = token.strip().decode("utf-8", "surrogateescape")
    print(f"{admin_url(settings.admin)}/#token={quote(token.strip(), safe='')}" if address else text)
    return 0
