"""Names that stand for addresses of the test's choice: no machine has one that surely stands for several."""

from __future__ import annotations

import socket
from typing import Any

import pytest


def stand_for(monkeypatch: pytest.MonkeyPatch, name: str, *addresses: str) -> None:
    """Let `name` stand for `addresses`, in this order; other names and addresses for what they do."""
    real = socket.getaddrinfo

    def look_up(host: str, *others: Any, **named: Any) -> list[Any]:
        hosts = addresses if host == name else (host,)
        return [found for one in hosts for found in real(one, *others, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
