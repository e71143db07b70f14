"""What the API needs of the rest of the bridge: whoever implements these can be administered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from msgspec import Raw, Struct

from bridge.admin.facts import (
    Addresses,
    Audits,
    CallOutcome,
    CentralSystems,
    ChargePoints,
    Details,
    Moved,
    Routes,
)
from bridge.recorder.messages import Message, Page, Recorded


class Wanted(Struct, frozen=True, kw_only=True):
    """Which Charge Points: `identity` is a glob, letter case aside; None is any."""

    identity: str | None = None
    state: Literal["up", "down", "stale"] | None = None
    transport: Literal["soap", "json"] | None = None
    central_system: str | None = None


class Overview(Protocol):
    """What there is to see."""

    def charge_points(self, wanted: Wanted, after: str | None, limit: int) -> ChargePoints:
        """Those that fit, by identity, from behind `after` on; `next` is the last one, if there are more."""

    def charge_point(self, identity: str) -> Details:
        """One of them. Raises Refused (404)."""

    def routes(self) -> Routes:
        """Who belongs where."""

    def central_systems(self) -> CentralSystems:
        """All, with their health."""

    def addresses(self) -> Addresses:
        """What to type into a Charge Point."""

    def audit(self, before: int | None, limit: int) -> Audits:
        """What operators did, the newest first, from before the one with the id `before` on."""


class Steering(Protocol):
    """What an operator can do. `who` asks, for the audit. Everything raises Refused for what cannot be done."""

    async def call(self, identity: str, action: str, payload: Raw, who: str) -> CallOutcome:
        """Send a command. Raises Refused: 400, 404, 409 not reachable now, 503 draining or busy, 504 unanswered."""

    async def disconnect(self, identity: str, who: str) -> None:
        """Close its links; it comes back by itself. Raises Refused (404)."""

    async def move(self, identity: str, central_system: str | None, who: str) -> Moved:
        """Give it to another Central System; None: to that of its Route. Raises Refused: 400 unknown, 404."""


class Recordings(Protocol):
    """What was said: the recorder."""

    on_message: Callable[[Message], None] | None

    def messages(
        self,
        identity_glob: str | None = None,
        action: str | None = None,
        outcome: str | None = None,
        sender: str | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
        cursor: str | None = None,
        identity: str | None = None,
    ) -> Awaitable[Page]:
        """The newest first; `identity` is one Charge Point's. Cursors are numbers."""

    def flush(self) -> Awaitable[None]:
        """Until all that was said so far can be read."""

    def message(self, number: int) -> Awaitable[Recorded | None]:
        """The one with this id, if it is still there."""
