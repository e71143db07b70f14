"""The admin listener: is the process alive, is it able to serve.

An unreachable Central System degrades the gateway, it does not make it unready: the Charge Points of the others are
served, and its own are told to wait, which needs the gateway. Nor does a store that cannot be written: it serves on
from memory.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from aiohttp import web
from msgspec import Struct, to_builtins


class CentralSystemHealth(Struct, kw_only=True):
    """How many Links to it are open, and how many could not be opened when they were last tried."""

    connected: int = 0
    unreachable: int = 0


class StoreHealth(Struct, kw_only=True):
    """Why nothing is written to it, for a person; None if all is well."""

    trouble: str | None = None


class Health(Struct, kw_only=True):
    """`central_systems` by their names."""

    store: StoreHealth
    central_systems: dict[str, CentralSystemHealth]

    @property
    def degraded(self) -> bool:
        """It serves, but something around it is not as it should be."""
        return self.store.trouble is not None or any(each.unreachable for each in self.central_systems.values())


class AdminServer:
    """`/healthz` and `/readyz`."""

    def __init__(self, health: Callable[[], Health]) -> None:
        self._health = health
        self._runner: web.AppRunner | None = None
        self.address: tuple[str, int] = ("", 0)

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Listen. Raises OSError where that is not possible."""
        application = web.Application()
        application.router.add_get("/healthz", self._alive)
        application.router.add_get("/readyz", self._ready)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, ssl_context=tls).start()
        self.address = self._runner.addresses[0][:2]

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _alive(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, request: web.Request) -> web.Response:
        """200 while it serves: `degraded` names no fault of ours, but of what it depends on."""
        health = self._health()
        status = {"status": "degraded" if health.degraded else "ready"}
        return web.json_response(status | to_builtins(health))
