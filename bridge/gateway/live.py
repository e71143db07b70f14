"""What happens, for the live stream: links, refusals, and what else changes about a Charge Point. Messages come from
the recorder, which knows under which number they can be read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from bridge.admin.events import Stream
from bridge.admin.facts import Happening, Refusal, moment
from bridge.errors import BridgeError, Why
from bridge.masking import without_password
from bridge.observing import Observer
from bridge.ocpp.actions import Party
from bridge.ocpp.manners import Boot, Manners

_Kind = Literal["link", "charge-point"]


class Live(Observer):
    """Tells `stream`. `clock` gives unix seconds."""

    def __init__(self, stream: Stream, clock: Callable[[], float] = time.time) -> None:
        self.stream = stream
        self._clock = clock

    def link_up(self, identity: str, party: Party, central_system: str) -> None:
        self._say("link", identity, "up", party, central_system)

    def link_down(self, identity: str, party: Party, central_system: str, reason: str) -> None:
        self._say("link", identity, "down", party, central_system, reason)

    def link_closed(self, identity: str, party: Party, central_system: str, reason: str) -> None:
        self._say("link", identity, "closed", party, central_system, reason)

    def callback_refused(self, identity: str, reason: str) -> None:
        self._say("charge-point", identity, "callback refused", reason=reason)

    def treated(self, identity: str, boot: Boot, manners: Manners) -> None:
        self._say("charge-point", identity, "treated")

    def moved(self, identity: str, central_system: str) -> None:
        """An operator gave it to another Central System."""
        self._say("charge-point", identity, "moved", central_system=central_system)

    def refused(
        self,
        identity: str | None,
        peer: str | None,
        error: BridgeError,
        unique_id: str | None = None,
        by: Party | None = None,
        data: bytes = b"",
    ) -> None:
        if self.stream.live:
            refusal = Refusal(
                identity=identity,
                peer=peer,
                at=moment(self._clock()),
                reason=without_password(error.description),
                why=error.why.value,
                code=error.code.value,
                unique_id=unique_id,
                sender=None if by is None else by.value,
            )
            self.stream.publish("refused", identity, refusal)

    def handshake_refused(self, identity: str | None, peer: str, status: int, reason: str, why: Why) -> None:
        if self.stream.live:
            refusal = Refusal(
                identity=identity,
                peer=peer,
                at=moment(self._clock()),
                reason=without_password(reason),
                why=why.value,
                status=status,
            )
            self.stream.publish("refused", identity, refusal)

    def _say(
        self,
        kind: _Kind,
        identity: str,
        what: str,
        party: Party | None = None,
        central_system: str | None = None,
        reason: str | None = None,
    ) -> None:
        if self.stream.live:
            happening = Happening(
                identity=identity,
                at=moment(self._clock()),
                what=what,
                party=None if party is None else party.value,
                central_system=central_system,
                reason=None if reason is None else without_password(reason),
            )
            self.stream.publish(kind, identity, happening)
