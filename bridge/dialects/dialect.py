"""A Dialect: the rules of one OCPP version by PDU, and the answers to messages that the version cannot express."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from bridge.dialects.known import Known
from bridge.dialects.rules import At, Rule
from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.actions import ACTIONS
from bridge.ocpp.losses import Loss, Losses, LossReason
from bridge.ocpp.messages import Request, Response

Plain = dict[str, Any]
# Takes a request. Returns the answer that the bridge gives in place of the peer, or None if the request can be sent.
StandIn = Callable[[Any], Response | None]


class Instead(Struct, frozen=True, kw_only=True):
    """The bridge's own answer to a Call that cannot be sent to the peer, and the Losses to report."""

    answer: Response | MessageError
    losses: tuple[Loss, ...] = ()


class Dialect(Struct, frozen=True, kw_only=True):
    """The conversion between one version of OCPP-S and 1.6. The Dialect of 1.6 has no tables.

    Attributes:
        version: The version of OCPP.
        upgrades: The rules of each PDU, from this version to 1.6.
        downgrades: The rules of each PDU, from 1.6 to this version.
        stand_ins: The function that answers in place of the peer, by action.
    """

    version: str
    upgrades: Mapping[str, Sequence[Rule]] = {}
    downgrades: Mapping[str, Sequence[Rule]] = {}
    stand_ins: Mapping[str, StandIn] = {}

    def upgrade(self, message: str, data: Plain, known: Known | None = None) -> tuple[Plain, tuple[Loss, ...]]:
        """Convert a PDU of this version to the form of 1.6.

        Meter values of any form are accepted, see `bridge.ocpp.readings`. The result is not validated.

        Args:
            message: The name of the PDU.
            data: The PDU with text for leaves.
            known: The state of the connectors, which decides what Occupied means.

        Returns:
            The PDU in the form of 1.6, and the Losses.
        """
        return _applied(self.upgrades.get(message), message, data, known or Known())

    def downgrade(self, message: str, data: Plain) -> tuple[Plain, tuple[Loss, ...]]:
        """Convert the valid PDU `message` of 1.6 to the form of this version. Returns the PDU and the Losses.

        Raises MessageError (NotSupported) for a value that this version lacks; `instead` answers such a Call before.
        """
        return _applied(self.downgrades.get(message), message, data, Known())

    def instead(self, action: str, request: Request | None) -> Instead | None:
        """Return the bridge's own answer to a Call that this version lacks, or None if the Call can be sent.

        soap-wire 5.2 and 5.3: the answer is a response of 1.6 if one fits, otherwise the MessageError NotSupported.
        `request` is None for an action without a SOAP form: the 11 actions of the security extensions have no SOAP form
        in any version.
        """
        if request is None or action not in ACTIONS:
            text = f"OCPP {self.version} over SOAP has no {action}"
            return Instead(answer=MessageError(ErrorCode.NotSupported, text))
        stand_in = self.stand_ins.get(action)
        answer = None if stand_in is None else stand_in(request)
        if answer is None:
            return None
        return Instead(
            answer=answer, losses=(Loss(message=f"{action}Request", path="", reason=LossReason.ANSWERED_HERE),)
        )


def _applied(rules: Sequence[Rule] | None, message: str, data: Plain, known: Known) -> tuple[Plain, tuple[Loss, ...]]:
    if not rules:
        return data, ()
    losses = Losses()
    record = dict(data)
    for rule in rules:
        rule(record, At(message=message, losses=losses, known=known))
    return record, losses.all()
