"""What further Central Systems of a Charge Point get, and what they may command (design/central-systems.md M3).

An observer gets the messages of a Charge Point after its Central System, the main one, has answered them. Nothing that
an observer answers reaches the Charge Point. A shadow is an observer that also gets Authorize, and whose answers are
compared with those of the main Central System.

- A message enters when the main Central System has given its verdict. Link failures, repetitions and messages that the
  bridge answers itself do not enter.
- A StartTransaction or StopTransaction enters with the record of its answer. So it enters once, whenever the bridge is
  killed. One that gets a CALLERROR does not enter: the Charge Point repeats it.
- A command that is not listed is refused with the status that its action has. ChangeConfiguration is never passed on:
  MeterValueSampleInterval thins out the observer's copy of the MeterValues, every other key is rejected.
- A command about a transaction names it as the observer named it. An unknown number is refused.

This module is pure.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct, structs

from bridge.core.commands import Outcome, Report
from bridge.core.former import refusal_of
from bridge.core.inference import is_inferred
from bridge.core.observed import ENDS
from bridge.core.transaction_ids import commanded, commanded_number
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.enums import ConfigurationStatus
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import ChangeConfigurationRequest, ChangeConfigurationResponse
from bridge.ocpp.rpc import Call, CallError, CallResult
from bridge.ocpp.tolerance import nothing_left

ANY = "*"
_WHY = "the gateway passes on no such command of this Central System"
_CHANGE, _SAMPLE_INTERVAL = "ChangeConfiguration", "MeterValueSampleInterval"
_VERDICTS = frozenset({Outcome.RESULT, Outcome.ERROR})
# Seconds by which a sample may be early and still counts as one interval later.
_EARLY = 1.0


class ObserverRole(StrEnum):
    """The role of a further Central System. The answers of a shadow are compared with those of the main one."""

    OBSERVER = "observer"
    SHADOW = "shadow"


class ObserverTerms(Struct, frozen=True, kw_only=True):
    """The settings of a further Central System of a route.

    Attributes:
        central_system: The name of the Central System.
        role: The role.
        commands: The actions that it may send; ANY for all.
        id_tag: What it gets in place of the drivers' tokens, "" for the tokens.
        actions: The actions that it gets; ANY for all.
    """

    central_system: str
    role: ObserverRole = ObserverRole.OBSERVER
    commands: frozenset[str] = frozenset()
    id_tag: str = ""
    actions: frozenset[str] = frozenset({ANY})

    @property
    def is_shadow(self) -> bool:
        """Return whether its answers are compared with those of the main Central System."""
        return self.role is ObserverRole.SHADOW

    def takes(self, action: str) -> bool:
        """Return whether it gets the messages of `action`. Only shadows get Authorize."""
        listed = ANY in self.actions or action in self.actions
        return listed and (action != "Authorize" or self.is_shadow)

    def may_send(self, action: str) -> bool:
        """Return whether it may send commands of `action`."""
        return ANY in self.commands or action in self.commands


def enters(report: Report) -> bool:
    """Return whether a Call that has ended enters the queues of observers.

    StartTransaction and StopTransaction enter with the record of their answer, which does not depend on a Report.
    """
    call = report.call
    if report.sender is not Party.CHARGE_POINT or report.sent is None or report.instead:
        return False
    if call.action in ENDS or call.action not in ACTIONS or nothing_left(call.payload):
        return False
    return report.outcome in _VERDICTS and (not report.own or is_inferred(call))


def judged(call: Call, terms: ObserverTerms, number_for: Callable[[int], int | None]) -> Call | CallResult | CallError:
    """Return a command of an observer as the Charge Point gets it, or the answer to one that is not passed on.

    Args:
        call: The command.
        terms: The settings of the observer.
        number_for: Returns the transactionId that the Charge Point knows, for one that the observer gave; None if
            the observer gave none such.
    """
    if not terms.may_send(call.action):
        return refusal_of(call, _WHY)
    if call.action == _CHANGE:
        taken = wanted_interval(call) is not None
        status = ConfigurationStatus.Accepted if taken else ConfigurationStatus.Rejected
        return CallResult(unique_id=call.unique_id, payload=ChangeConfigurationResponse(status=status))
    named = commanded_number(call)
    if named is None:
        return call
    number = number_for(named)
    if number is None:
        return refusal_of(call, _WHY)
    return call if number == named else structs.replace(call, payload=commanded(call, number))


def wanted_interval(call: Call) -> int | None:
    """Return the seconds between periodic MeterValues that a ChangeConfiguration asks for; None if it asks for none.

    0 asks for no periodic MeterValues at all (OCPP 1.6 edition 2, 9.1.16).
    """
    request = call.payload
    if not isinstance(request, ChangeConfigurationRequest) or request.key != _SAMPLE_INTERVAL:
        return None
    value = request.value.strip()
    return int(value) if value.isascii() and value.isdecimal() and len(value) <= 9 else None


def unnamed(action: str) -> Loss:
    """Return the Loss of a message about a transaction that an observer has not named."""
    return Loss(message=f"{action}Request", path="", reason=LossReason.NO_TRANSACTION_THERE)


class Thinning:
    """Leaves out periodic MeterValues that are closer together than an observer wants.

    Args:
        interval: Seconds between the MeterValues of a connector that are kept; 0 keeps none, None keeps all.
    """

    def __init__(self, interval: int | None = None) -> None:
        self.interval = interval
        self._last: dict[int | None, float] = {}

    def keeps(self, connector: int | None, at: float) -> bool:
        """Return whether the observer gets periodic MeterValues of a connector.

        Args:
            connector: The connectorId.
            at: The time now, in seconds.
        """
        if self.interval is None:
            return True
        last = self._last.get(connector)
        if self.interval == 0 or (last is not None and at - last < self.interval - _EARLY):
            return False
        self._last[connector] = at
        return True
