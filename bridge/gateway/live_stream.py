"""Publish events on the live stream: links, refusals, and other changes of a Charge Point.

Messages come from the recorder, because it knows the number under which each can be read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from bridge.admin.events import Stream
from bridge.admin.facts import Happening, Refusal, moment
from bridge.core.state import State
from bridge.ocpp.actions import Party
from bridge.ocpp.tenants import identity_of
from bridge.watching.facts import (
    CallbackChanged,
    CallbackRefused,
    ChargePointMoved,
    Fact,
    HandshakeRefused,
    LinkClosed,
    LinkLost,
    LinkOpened,
    MessageRefused,
    ProfileApplied,
    RequestsUnread,
)
from bridge.watching.masking import without_password

_Kind = Literal["link", "charge-point"]


class LiveStream:
    """Publishes facts on `stream`. `clock` returns the time in unix seconds."""

    def __init__(self, stream: Stream, clock: Callable[[], float] = time.time) -> None:
        self.stream = stream
        self._clock = clock

    def see(self, fact: Fact) -> None:
        """Publish `fact`, if a client listens to the stream."""
        if not self.stream.live:
            return
        match fact:
            case LinkOpened(identity, party, central_system):
                self._say("link", identity, "up", party, central_system)
            case LinkLost(identity, party, central_system, reason):
                self._say("link", identity, "down", party, central_system, reason)
            case LinkClosed(identity, party, central_system, reason):
                self._say("link", identity, "closed", party, central_system, reason)
            case CallbackRefused(identity, reason):
                self._say("charge-point", identity, "callback refused", reason=reason)
            case CallbackChanged(identity, before, after, peer):
                self._say("charge-point", identity, "callback changed", reason=f"{before} -> {after}, said {peer}")
            case ChargePointMoved(identity, _, after):
                self._say("charge-point", identity, "moved", central_system=after or "")
            case ProfileApplied(identity):
                self._say("charge-point", identity, "treated")
            case MessageRefused():
                sender = None if fact.by is None else fact.by.value
                self._refused(fact, code=fact.code.value, unique_id=fact.unique_id, sender=sender)
            case RequestsUnread(peer, code, reason, why, identity=identity):
                turned_away = MessageRefused(identity, peer, code, reason, why)
                self._refused(turned_away, code=code.value, sender=Party.CHARGE_POINT.value)
            case HandshakeRefused(status=status):
                self._refused(fact, status=status)

    def state_changed(self, identity: str, state: State) -> None:
        """Publish that the state of a Charge Point has changed."""
        self._say("charge-point", identity, "state", reason=state)

    def _refused(self, fact: MessageRefused | HandshakeRefused, **more: Any) -> None:
        refusal = Refusal(
            identity=fact.identity if fact.identity and identity_of(fact.identity) else None,
            peer=fact.peer,
            at=moment(self._clock()),
            reason=without_password(fact.reason),
            why=fact.why.value,
            **more,
        )
        self.stream.publish("refused", fact.identity, refusal)

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
