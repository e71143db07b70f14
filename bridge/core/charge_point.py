"""The state of a Charge Point while the bridge runs, and that state as a snapshot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.core import snapshots
from bridge.core.callback import CallbackAddress
from bridge.core.session import Session
from bridge.core.snapshots import SnapshotError
from bridge.ocpp.actions import Party
from bridge.ocpp.device_profile import Boot


class ChargePoint:
    """The state of one Charge Point.

    Attributes:
        identity: The ChargeBoxIdentity, as it was first written.
        session: The Links, the Calls between the parties, and what they have told.
        callback: Where commands are POSTed; None for a Charge Point that speaks JSON.
        boot: What the Charge Point said about itself in its last BootNotification, None before one.
        shown: The Authorization header of the Charge Point's connection or latest SOAP request, "" without one.
    """

    __slots__ = ("boot", "callback", "identity", "session", "shown")

    def __init__(self, identity: str, session: Session) -> None:
        self.identity = identity
        self.session = session
        self.callback: CallbackAddress | None = None
        self.boot: Boot | None = None
        self.shown = ""

    @property
    def speaks_json(self) -> bool:
        """Return whether the Charge Point speaks JSON."""
        return self.session.sides[Party.CHARGE_POINT].carries_answers

    def snapshot(self, at: float) -> bytes:
        """Return the whole state as octets, Calls in flight included.

        Args:
            at: The time now, on the clock of the events, in seconds.
        """
        state: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name != "session"}
        return snapshots.write({**state, "sides": self.session.sides, "session": self.session.state()}, at)

    @classmethod
    def restore(cls, octets: bytes, at: float, session: Callable[[dict[Party, Any]], Session]) -> ChargePoint:
        """Return the Charge Point of a snapshot. Its Session goes on with the next event, for example TimerFired.

        Args:
            octets: What `snapshot` returned, in this process or another one.
            at: The time now, on the clock of the events, in seconds.
            session: Returns a new Session with these sides.

        Raises:
            SnapshotError: The octets are no snapshot of this version.
        """
        state = snapshots.read(octets, at)
        try:
            made = cls(state["identity"], session(state["sides"]))
            made.callback, made.boot, made.shown = state["callback"], state["boot"], state["shown"]
            made.session.take_over(state["session"])
        except (KeyError, AttributeError, TypeError) as error:
            raise SnapshotError(f"no snapshot of a Charge Point: {error!r}") from error
        return made
