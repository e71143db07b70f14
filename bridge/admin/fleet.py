"""The endpoints about the fleet as a whole: the overview, Central Systems, observers, losses, and quirk packs."""

from __future__ import annotations

from typing import Any, Protocol

from bridge.admin.endpoints import AdminEndpoint, AdminRequest, Nothing, OfAllNodes
from bridge.admin.facts import CentralSystems
from bridge.admin.fleet_facts import LossFacts, ObserverFacts, Overview, PackFacts
from bridge.admin.fleet_parts import (
    CentralSystemPart,
    OverviewPart,
    merged_central_systems,
    merged_losses,
    merged_observers,
    merged_overview,
    merged_packs,
    told_central_systems,
    told_overview,
)


class FleetViews(Protocol):
    """Reads what is known of the fleet as a whole."""

    async def overview(self, *, tenant: str, whole: bool) -> OverviewPart:
        """Return what is wrong now at a tenant, its counts, and its last hour.

        Args:
            tenant: The tenant.
            whole: Whether to tell also what is wrong with what all tenants share.
        """

    def central_systems(self, *, tenant: str) -> list[CentralSystemPart]:
        """Return the Central Systems that a tenant may use, with the health of that tenant's connections."""

    def observers(self, *, tenant: str) -> ObserverFacts:
        """Return the further Central Systems of a tenant's routes, and what waits for them of that tenant."""

    def losses(self, *, tenant: str) -> LossFacts:
        """Return all kinds of losses of a tenant since the start."""

    def packs(self, *, tenant: str) -> PackFacts:
        """Return the quirk packs, and how many Charge Points of a tenant each matches."""


def endpoints(fleet: FleetViews) -> list[AdminEndpoint]:
    """Return the endpoints `/overview`, `/central-systems`, `/observers`, `/losses` and `/quirks`."""
    handlers = _Handlers(fleet)
    listed: list[tuple[str, str, Any, Any]] = [
        ("overview", "What is wrong now, the fleet in numbers, and the last hour", handlers.overview, Overview),
        ("central-systems", "The Central Systems and their health", handlers.central_systems, CentralSystems),
        (
            "observers",
            "The further Central Systems, and what waits for each",
            handlers.observers,
            ObserverFacts,
        ),
        ("losses", "The losses since the start by message, field and reason", handlers.losses, LossFacts),
        ("quirks", "The quirk packs, and how many Charge Points each matches", handlers.packs, PackFacts),
    ]
    of_all = {
        "overview": OfAllNodes(part=OverviewPart, merge=merged_overview, told=told_overview),
        "central-systems": OfAllNodes(
            part=list[CentralSystemPart], merge=merged_central_systems, told=told_central_systems
        ),
        "observers": OfAllNodes(part=ObserverFacts, merge=merged_observers),
        "losses": OfAllNodes(part=LossFacts, merge=merged_losses),
        "quirks": OfAllNodes(part=PackFacts, merge=merged_packs),
    }
    return [
        AdminEndpoint(
            scope="tenant",
            name=name,
            method="GET",
            path=f"/{name}",
            about=text,
            handle=handle,
            of_all=of_all[name],
            answer=answer,
        )
        for name, text, handle, answer in listed
    ]


class _Handlers:
    def __init__(self, fleet: FleetViews) -> None:
        self._fleet = fleet

    async def overview(self, asked: AdminRequest[Nothing, None]) -> OverviewPart:
        return await self._fleet.overview(tenant=asked.tenant, whole=asked.sees_all)

    async def central_systems(self, asked: AdminRequest[Nothing, None]) -> list[CentralSystemPart]:
        return self._fleet.central_systems(tenant=asked.tenant)

    async def observers(self, asked: AdminRequest[Nothing, None]) -> ObserverFacts:
        return self._fleet.observers(tenant=asked.tenant)

    async def losses(self, asked: AdminRequest[Nothing, None]) -> LossFacts:
        return self._fleet.losses(tenant=asked.tenant)

    async def packs(self, asked: AdminRequest[Nothing, None]) -> PackFacts:
        return self._fleet.packs(tenant=asked.tenant)
