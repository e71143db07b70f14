"""Last messages of a Charge Point, sent again for a TriggerMessage that the Charge Point's OCPP version does not have.

OCPP 1.6 edition 2, 5.17: a TriggerMessage asks the Charge Point for a message. OCPP 1.5 and 1.2 have no such request.
With `emulate_trigger` in the route, the bridge answers Accepted and sends the last such message again, unchanged. The
message shows its age: a StatusNotification has the time at which its status began to hold, MeterValues have the time
of the reading. Without such a message the answer stays NotImplemented.

After a restart only the last BootNotification is known, until the Charge Point sends the other messages again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.ocpp.enums import MessageTrigger, TriggerMessageStatus
from bridge.ocpp.losses import Loss, LossReason
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
# For each request, the name that a TriggerMessage has for it, and whether there is one message for each connector.
_TRIGGERED: dict[type[Request], tuple[MessageTrigger, bool]] = {
    BootNotificationRequest: (MessageTrigger.BootNotification, False),
    DiagnosticsStatusNotificationRequest: (MessageTrigger.DiagnosticsStatusNotification, False),
    FirmwareStatusNotificationRequest: (MessageTrigger.FirmwareStatusNotification, False),
    HeartbeatRequest: (MessageTrigger.Heartbeat, False),
    MeterValuesRequest: (MessageTrigger.MeterValues, True),
    StatusNotificationRequest: (MessageTrigger.StatusNotification, True),
}


class LastSaid:
    """The last message of each kind, and of each connector for messages about a connector.

    Args:
        said: Messages that are known at the start, the oldest first.
        limit: The most messages that are kept; the oldest is removed.
    """

    def __init__(self, said: Iterable[Request] = (), limit: int = 64) -> None:
        self._limit = limit
        self._last: dict[_Key, Request] = {}
        for request in said:
            self.see(request)

    def see(self, request: Request) -> None:
        """Keep `request` of the Charge Point, if a TriggerMessage can ask for it."""
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
        """Return the messages to send again, the lowest connector first.

        Without a connectorId the message of each connector is returned. For a message that is not about a connector,
        the connectorId is ignored (5.17).
        """
        kind = trigger.requestedMessage
        found = {connector: request for (what, connector), request in self._last.items() if what is kind}
        if trigger.connectorId is not None:
            found = {number: request for number, request in found.items() if number in (None, trigger.connectorId)}
        return [found[connector] for connector in sorted(found, key=lambda number: number or 0)]


def said_again(request: Request) -> Loss:
    """Return the Loss that says that the bridge, not the Charge Point, sent `request` again."""
    return Loss(message=type(request).__name__, path="", reason=LossReason.SAID_AGAIN)


def accepted(unique_id: str) -> CallResult:
    """Return the Accepted answer to a TriggerMessage, for messages that are sent again."""
    return CallResult(unique_id=unique_id, payload=TriggerMessageResponse(status=TriggerMessageStatus.Accepted))
