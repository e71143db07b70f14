"""The endpoints about the fleet as a whole: the overview, Central Systems, losses, and quirk packs."""

from __future__ import annotations

from typing import Any, Protocol

from bridge.admin.endpoints import AdminEndpoint, AdminRequest, Nothing
from bridge.admin.facts import CentralSystems
from bridge.admin.fleet_facts import LossFacts, Overview, PackFacts


class FleetViews(Protocol):
    """Reads what is known of the fleet as a whole."""

    async def overview(self) -> Overview:
        """Return what is wrong now, the counts, and the last hour."""

    def central_systems(self) -> CentralSystems:
        """Return all Central Systems with their health."""

    def losses(self) -> LossFacts:
        """Return all kinds of losses since the start."""

    def packs(self) -> PackFacts:
        """Return the quirk packs, and how many Charge Points each matches."""


def endpoints(fleet: FleetViews) -> list[AdminEndpoint]:
    """Return the endpoints `/overview`, `/central-systems`, `/losses` and `/quirks`."""
    handlers = _Handlers(fleet)
    listed: list[tuple[str, str, Any, Any]] = [
        ("overview", "What is wrong now, the fleet in numbers, and the last hour", handlers.overview, Overview),
        ("central-systems", "The Central Systems and their health", handlers.central_systems, CentralSystems),
        ("losses", "The losses since the start by message, field and reason", handlers.losses, LossFacts),
        ("quirks", "The quirk packs, and how many Charge Points each matches", handlers.packs, PackFacts),
    ]
    return [
        AdminEndpoint(name=name, method="GET", path=f"/{name}", about=text, handle=handle, answer=answer)
        for name, text, handle, answer in listed
    ]


class _Handlers:
    def __init__(self, fleet: FleetViews) -> None:
        self._fleet = fleet

    async def overview(self, asked: AdminRequest[Nothing, None]) -> Overview:
        return await self._fleet.overview()

    async def central_systems(self, asked: AdminRequest[Nothing, None]) -> CentralSystems:
        return self._fleet.central_systems()

    async def losses(self, asked: AdminRequest[Nothing, None]) -> LossFacts:
        return self._fleet.losses()

    async def packs(self, asked: AdminRequest[Nothing, None]) -> PackFacts:
        return self._fleet.packs()
