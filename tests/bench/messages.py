"""The messages that are measured, as bytes on both wires."""

from __future__ import annotations

import json

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:a="http://www.w3.org/2005/08/addressing" xmlns:c="urn://Ocpp/Cs/2015/10/"><s:Header>'
    '<c:chargeBoxIdentity s:mustUnderstand="true">{identity}</c:chargeBoxIdentity><a:Action>/{action}</a:Action>'
    "<a:MessageID>urn:uuid:0a8f1d3e-7d0f-4f52-9f0b-6a1f4f6f1c11</a:MessageID>{sender}</s:Header><s:Body>"
)
_TAIL = "</s:Body></s:Envelope>"
_BOOT = (
    "<c:bootNotificationRequest><c:chargePointVendor>Example</c:chargePointVendor><c:chargePointModel>Wallbox 22"
    "</c:chargePointModel><c:chargePointSerialNumber>EX-2026-000117</c:chargePointSerialNumber><c:chargeBoxSerialNumber>"
    "EX-2026-000117</c:chargeBoxSerialNumber><c:firmwareVersion>4.11.2</c:firmwareVersion><c:iccid>89310000000000000001"
    "</c:iccid><c:imsi>204000000000001</c:imsi><c:meterType>MID 3p</c:meterType></c:bootNotificationRequest>"
)
_SAMPLE = (
    "<c:sampledValue><c:value>{value}</c:value><c:context>Sample.Periodic</c:context><c:measurand>Current.Import"
    "</c:measurand><c:phase>L1</c:phase><c:location>Outlet</c:location><c:unit>A</c:unit></c:sampledValue>"
)
_METER_VALUES = (
    "<c:meterValuesRequest><c:connectorId>1</c:connectorId><c:transactionId>4711</c:transactionId><c:meterValue>"
    "<c:timestamp>2026-11-22T12:00:00Z</c:timestamp>{samples}</c:meterValue></c:meterValuesRequest>"
)


def envelope(action: str, identity: str, called_back_at: str = "") -> bytes:
    """The request of a SOAP Charge Point: Heartbeat, BootNotification, or MeterValues with 20 sampled values."""
    samples = "".join(_SAMPLE.format(value=f"{15 + number / 10:.2f}") for number in range(20))
    bodies = {
        "Heartbeat": "<c:heartbeatRequest/>",
        "BootNotification": _BOOT,
        "MeterValues": _METER_VALUES.format(samples=samples),
    }
    sender = f"<a:From><a:Address>{called_back_at}</a:Address></a:From>" if called_back_at else ""
    return (_HEAD.format(identity=identity, action=action, sender=sender) + bodies[action] + _TAIL).encode()


def answer(frame: str) -> str:
    """The Central System's answer to a Call, without looking at more of it than its id and action."""
    unique_id, action = json.loads(frame)[1:3]
    now = {"currentTime": "2026-11-22T12:00:00Z"}
    answers = {"BootNotification": {"status": "Accepted", "interval": 300} | now, "Heartbeat": now}
    return json.dumps([3, unique_id, answers.get(action, {})])
