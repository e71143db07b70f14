"""Something that is counted for each tenant alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from bridge.ocpp.tenants import DEFAULT, tenant_of
from bridge.watching.facts import Fact, Watcher

W = TypeVar("W", bound=Watcher)


class ByTenant(Generic[W]):
    """A watcher for each tenant, which sees the facts of that tenant. Facts about nobody are the default tenant's.

    Args:
        make: Returns the watcher of a tenant, before the first fact of that tenant.
    """

    def __init__(self, make: Callable[[str], W]) -> None:
        self._make = make
        self._watchers: dict[str, W] = {}

    def of(self, tenant: str) -> W:
        """Return the watcher of a tenant."""
        watcher = self._watchers.get(tenant)
        if watcher is None:
            watcher = self._watchers[tenant] = self._make(tenant)
        return watcher

    def see(self, fact: Fact) -> None:
        """Pass a fact to the watcher of its tenant."""
        key = getattr(fact, "identity", None)
        self.of(DEFAULT if key is None else tenant_of(key)).see(fact)
