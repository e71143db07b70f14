"""What a Charge Point said last, for a Central System that asks for it with a TriggerMessage its version does not have.

OCPP 1.6 edition 2, 5.17: a TriggerMessage asks the Charge Point for a message of its own. OCPP 1.5 and 1.2 have no such
request. Where the route says so (`emulate_trigger`), it is answered Accepted and what was last said is sent again.
Nothing in it is changed: a StatusNotification has the time at which its status began to hold, MeterValues that at which
they were read, so that who asked sees how old they are. With no such message at hand the answer stays NotImplemented.

After a restart only the last BootNotification is at hand; the rest as the Charge Point says it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.ocpp.enums import MessageTrigger, TriggerMessageStatus
from bridge.ocpp.losses import Loss, Reason
from bridge.ocpp.messages import (
    BootNotificationRequest,
    DiagnosticsStatusNotificationRequest,
    FirmwareStatusNotificationRequest,
    HeartbeatRequest,
    MeterValuesRequest,
    Request,
    StatusNotificationRequest,
    TriggerMessageRequest,
    TriggerMessageResponse,
)
from bridge.ocpp.rpc import CallResult

_Key = tuple[MessageTrigger, int | None]
# By what is asked for: the message, and whether there is one for each connector.
_TRIGGERED: dict[type[Request], tuple[MessageTrigger, bool]] = {
    BootNotificationRequest: (MessageTrigger.BootNotification, False),
    DiagnosticsStatusNotificationRequest: (MessageTrigger.DiagnosticsStatusNotification, False),
    FirmwareStatusNotificationRequest: (MessageTrigger.FirmwareStatusNotification, False),
    HeartbeatRequest: (MessageTrigger.Heartbeat, False),
    MeterValuesRequest: (MessageTrigger.MeterValues, True),
    StatusNotificationRequest: (MessageTrigger.StatusNotification, True),
}


class LastSaid:
    """The last message of each kind, and of each connector where it is about one; `limit` at most, the newest."""

    def __init__(self, said: Iterable[Request] = (), limit: int = 64) -> None:
        self._limit = limit
        self._last: dict[_Key, Request] = {}
        for request in said:
            self.see(request)

    def see(self, request: Request) -> None:
        """The Charge Point says `request`. What cannot be asked for is not kept."""
        triggered = _TRIGGERED.get(type(request))
        if triggered is None:
            return
        about: Any = request
        key = (triggered[0], about.connectorId if triggered[1] else None)
        self._last.pop(key, None)
        self._last[key] = request
        if len(self._last) > self._limit:
            del self._last[next(iter(self._last))]

    def asked_for(self, trigger: TriggerMessageRequest) -> list[Request]:
        """What to send again, the lowest connector first. Without a connectorId that is the message of each; of what
        is about no connector, a connectorId says nothing (5.17)."""
        kind = trigger.requestedMessage
        found = {connector: request for (what, connector), request in self._last.items() if what is kind}
        if trigger.connectorId is not None:
            found = {number: request for number, request in found.items() if number in (None, trigger.connectorId)}
        return [found[connector] for connector in sorted(found, key=lambda number: number or 0)]


def said_again(request: Request) -> Loss:
    """What marks a repetition: it is the bridge that says it, not the Charge Point."""
    return Loss(message=type(request).__name__, path="", reason=Reason.SAID_AGAIN)


def accepted(unique_id: str) -> CallResult:
    """How a TriggerMessage is answered when there is something to send again."""
    return CallResult(unique_id=unique_id, payload=TriggerMessageResponse(status=TriggerMessageStatus.Accepted))
