"""The state of a Charge Point's connectors, from which the bridge infers what Occupied of OCPP 1.5 means."""

from __future__ import annotations

from msgspec import Struct

from bridge.ocpp.enums import ChargePointStatus


class Known(Struct, frozen=True, kw_only=True):
    """The state of one Charge Point that a Dialect needs. The Session keeps it.

    Attributes:
        charging: The connectors with an open transaction.
        finishing: The connectors whose transaction has ended and which have not reported a free status since then.
        now: The time in the spelling of the model, for answers of OCPP 1.2 without a time.
    """

    charging: frozenset[int] = frozenset()
    finishing: frozenset[int] = frozenset()
    now: str | None = None

    def occupied(self, connector: int | None) -> ChargePointStatus:
        """Return the status of 1.6 for Occupied on `connector` (soap-wire 5.1, StatusNotification.status).

        The status is Charging with an open transaction, Finishing when a transaction has just ended, otherwise
        Preparing.
        """
        if connector in self.charging:
            return ChargePointStatus.Charging
        return ChargePointStatus.Finishing if connector in self.finishing else ChargePointStatus.Preparing
