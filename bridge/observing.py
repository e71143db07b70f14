"""Who watches the traffic: the log, the metrics, the recorder and the live stream are Observers, told the same facts.

An Observer is told on the path of every message: it takes a note, it does not wait, and it never raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bridge.core.commands import Drop, Report
from bridge.errors import BridgeError, Why
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.manners import Boot, Manners
from bridge.ocpp.wire import Sighting, Tap


class Observer:
    """Hears of everything and notes nothing: each Observer overrides what it is there for.

    `identity` is the Charge Point's as it was first written, None where it is not known; `peer` the IP address of the
    other end.
    """

    def exchanged(self, identity: str, report: Report) -> None:
        """A Call has ended."""

    def lost(self, identity: str, losses: Sequence[Loss]) -> None:
        """Writing a message cost something. What reading it cost stands in the Report."""

    def dropped(self, identity: str, drop: Drop) -> None:
        """An answer goes nowhere."""

    def refused(
        self,
        identity: str | None,
        peer: str | None,
        error: BridgeError,
        unique_id: str | None = None,
        by: Party | None = None,
        data: bytes = b"",
    ) -> None:
        """A message that `by` sent, as far as that is known, was turned away before it became a Call. `data` is what
        came, where there is something."""

    def handshake_refused(self, identity: str | None, peer: str, status: int, reason: str, why: Why) -> None:
        """A WebSocket was not let in, or hung up on for what it did: the HTTP status, or the close code; and why, in a
        line and in a word."""

    def turned_away(self, peer: str, error: BridgeError, times: int) -> None:
        """So many requests of `peer` were turned away before anybody has read them."""
        self.refused(None, peer, error, None, Party.CHARGE_POINT, b"")

    def link_up(self, identity: str, party: Party, central_system: str) -> None:
        """The way to a party is open."""

    def link_down(self, identity: str, party: Party, central_system: str, reason: str) -> None:
        """The way to a party was lost, or could not be opened."""

    def link_closed(self, identity: str, party: Party, central_system: str, reason: str) -> None:
        """A connection was closed from here."""

    def callback_refused(self, identity: str, reason: str) -> None:
        """A Charge Point gave an address to call it back that must not be used."""

    def treated(self, identity: str, boot: Boot, manners: Manners) -> None:
        """A quirk pack fits a Charge Point, or none any more."""

    def tap(self, identity: str, party: Party) -> Tap | None:
        """Who is told of the bytes to and from one party of a Charge Point; None if it does not want to know. Asked for
        once. Those of the answer to a SOAP request may follow its `exchanged`."""
        return None


class Audience(Observer):
    """Several Observers as one, told in their order."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)
        # What every message is told of is told only to who notes it.
        heard = [observer for observer in self._observers if type(observer).exchanged is not Observer.exchanged]
        self._of_exchanges = tuple(observer.exchanged for observer in heard)

    def exchanged(self, identity: str, report: Report) -> None:
        for exchanged in self._of_exchanges:
            exchanged(identity, report)

    def lost(self, identity: str, losses: Sequence[Loss]) -> None:
        for observer in self._observers:
            observer.lost(identity, losses)

    def dropped(self, identity: str, drop: Drop) -> None:
        for observer in self._observers:
            observer.dropped(identity, drop)

    def refused(
        self,
        identity: str | None,
        peer: str | None,
        error: BridgeError,
        unique_id: str | None = None,
        by: Party | None = None,
        data: bytes = b"",
    ) -> None:
        for observer in self._observers:
            observer.refused(identity, peer, error, unique_id, by, data)

    def handshake_refused(self, identity: str | None, peer: str, status: int, reason: str, why: Why) -> None:
        for observer in self._observers:
            observer.handshake_refused(identity, peer, status, reason, why)

    def turned_away(self, peer: str, error: BridgeError, times: int) -> None:
        for observer in self._observers:
            observer.turned_away(peer, error, times)

    def link_up(self, identity: str, party: Party, central_system: str) -> None:
        for observer in self._observers:
            observer.link_up(identity, party, central_system)

    def link_down(self, identity: str, party: Party, central_system: str, reason: str) -> None:
        for observer in self._observers:
            observer.link_down(identity, party, central_system, reason)

    def link_closed(self, identity: str, party: Party, central_system: str, reason: str) -> None:
        for observer in self._observers:
            observer.link_closed(identity, party, central_system, reason)

    def callback_refused(self, identity: str, reason: str) -> None:
        for observer in self._observers:
            observer.callback_refused(identity, reason)

    def treated(self, identity: str, boot: Boot, manners: Manners) -> None:
        for observer in self._observers:
            observer.treated(identity, boot, manners)

    def tap(self, identity: str, party: Party) -> Tap | None:
        taps = [tap for observer in self._observers if (tap := observer.tap(identity, party)) is not None]
        if len(taps) < 2:
            return taps[0] if taps else None

        def tell(sighting: Sighting) -> None:
            for tap in taps:
                tap.tell(sighting)

        def settle() -> None:
            for tap in taps:
                tap.settle()

        return Tap(taps[0].end, taps[0].clock, tell, settle)
