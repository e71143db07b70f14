"""What is known of a Charge Point's connectors: what it takes to tell apart what OCPP 1.5 calls Occupied."""

from __future__ import annotations

from msgspec import Struct

from bridge.ocpp.enums import ChargePointStatus


class Known(Struct, frozen=True, kw_only=True):
    """What a Dialect is told of one Charge Point; who keeps track of it is the Session.

    charging    the connectors with an open transaction
    finishing   those whose transaction has ended, and which have not said since that they are free
    now         the time, in the model's spelling; for answers of OCPP 1.2 that leave it out
    """

    charging: frozenset[int] = frozenset()
    finishing: frozenset[int] = frozenset()
    now: str | None = None

    def occupied(self, connector: int | None) -> ChargePointStatus:
        """What an Occupied connector does (soap-wire 5.1, StatusNotification.status):

        a transaction is open on it -> Charging; else one has just ended there -> Finishing; else Preparing.
        """
        if connector in self.charging:
            return ChargePointStatus.Charging
        return ChargePointStatus.Finishing if connector in self.finishing else ChargePointStatus.Preparing
