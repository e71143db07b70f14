"""A Dialect: the rules of one OCPP version by PDU, and what stands in for messages that it cannot carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from bridge.dialects.known import Known
from bridge.dialects.rules import At, Rule
from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.actions import ACTIONS
from bridge.ocpp.losses import Loss, Reason
from bridge.ocpp.messages import Request, Response

Plain = dict[str, Any]
# From a request to the answer that is given in its place; None if the request can be sent.
StandIn = Callable[[Any], Response | None]


class AnsweredHere(MessageError):
    """A message that says nothing in the other form: `answer` answers it, and nothing is sent on.

    A MessageError, so that who does not know better refuses it.
    """

    def __init__(self, answer: Response, description: str, path: str) -> None:
        super().__init__(ErrorCode.OccurenceConstraintViolation, description, path)
        self.answer = answer


class Instead(Struct, frozen=True, kw_only=True):
    """What is given in the place of a message that cannot be carried; nothing is sent on."""

    answer: Response | MessageError
    losses: tuple[Loss, ...] = ()


class Dialect(Struct, frozen=True, kw_only=True):
    """One version of OCPP-S. Without tables: 1.6 itself.

    upgrades     PDU -> rules, from this version to 1.6        stand_ins   action -> what answers in its place
    downgrades   PDU -> rules, from 1.6 to this version
    """

    version: str
    upgrades: Mapping[str, Sequence[Rule]] = {}
    downgrades: Mapping[str, Sequence[Rule]] = {}
    stand_ins: Mapping[str, StandIn] = {}

    def upgrade(self, message: str, data: Plain, known: Known | None = None) -> tuple[Plain, tuple[Loss, ...]]:
        """The PDU `message` of this version in the form of 1.6, leaves as text; and the Losses.

        Raises AnsweredHere for a message without content. Whether the outcome is valid is not looked at.
        """
        return _applied(self.upgrades.get(message), message, data, known or Known())

    def downgrade(self, message: str, data: Plain) -> tuple[Plain, tuple[Loss, ...]]:
        """The valid PDU `message` of 1.6 in the form of this version, and the Losses.

        Raises MessageError (NotSupported) for a value that `instead` answers.
        """
        return _applied(self.downgrades.get(message), message, data, Known())

    def instead(self, action: str, request: Request | None) -> Instead | None:
        """What stands in for a Call towards a peer of this version (soap-wire 5.2 and 5.3); None: it can be sent.

        A fitting answer where 1.6 has one, else the MessageError NotSupported. `request` is None for an action that
        1.6 over SOAP does not have: the 11 of the security extensions have no SOAP form in any version.
        """
        if request is None or action not in ACTIONS:
            text = f"OCPP {self.version} over SOAP has no {action}"
            return Instead(answer=MessageError(ErrorCode.NotSupported, text))
        stand_in = self.stand_ins.get(action)
        answer = None if stand_in is None else stand_in(request)
        if answer is None:
            return None
        return Instead(answer=answer, losses=(Loss(message=f"{action}Request", path="", reason=Reason.ANSWERED_HERE),))


def _applied(rules: Sequence[Rule] | None, message: str, data: Plain, known: Known) -> tuple[Plain, tuple[Loss, ...]]:
    if not rules:
        return data, ()
    losses: list[Loss] = []
    record = dict(data)
    for rule in rules:
        rule(record, At(message=message, losses=losses, known=known))
    return record, tuple(losses)
