"""The messages that are measured, as bytes on both wires."""

from __future__ import annotations

import json
from typing import Any

ACTIONS = ("Heartbeat", "BootNotification", "MeterValues")
COMMANDS = ("RemoteStartTransaction",)


def _elements(fields: dict[str, Any]) -> str:
    return "".join(f"<c:{name}>{value}</c:{name}>" for name, value in fields.items())


_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:a="http://www.w3.org/2005/08/addressing" xmlns:c="urn://Ocpp/Cs/2015/10/"><s:Header>'
    '<c:chargeBoxIdentity s:mustUnderstand="true">{identity}</c:chargeBoxIdentity><a:Action>/{action}</a:Action>'
    "<a:MessageID>urn:uuid:0a8f1d3e-7d0f-4f52-9f0b-6a1f4f6f1c11</a:MessageID>{sender}</s:Header><s:Body>"
)
_TAIL = "</s:Body></s:Envelope>"
_BOOTED = {
    "chargePointVendor": "Example",
    "chargePointModel": "Wallbox 22",
    "chargePointSerialNumber": "EX-2026-000117",
    "chargeBoxSerialNumber": "EX-2026-000117",
    "firmwareVersion": "4.11.2",
    "iccid": "89310000000000000001",
    "imsi": "204000000000001",
    "meterType": "MID 3p",
}
_BOOT = f"<c:bootNotificationRequest>{_elements(_BOOTED)}</c:bootNotificationRequest>"
_SAMPLED = {
    "context": "Sample.Periodic",
    "measurand": "Current.Import",
    "phase": "L1",
    "location": "Outlet",
    "unit": "A",
}
_SAMPLE = f"<c:sampledValue><c:value>{{value}}</c:value>{_elements(_SAMPLED)}</c:sampledValue>"
_METER_VALUES = (
    "<c:meterValuesRequest><c:connectorId>1</c:connectorId><c:transactionId>4711</c:transactionId><c:meterValue>"
    "<c:timestamp>2026-11-22T12:00:00Z</c:timestamp>{samples}</c:meterValue></c:meterValuesRequest>"
)
_ANSWER_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:a="http://www.w3.org/2005/08/addressing" xmlns:c="urn://Ocpp/{service}/2015/10/"><s:Header>'
    "<a:Action>/{action}Response</a:Action><a:MessageID>urn:uuid:5d1b0f52-2c57-4c39-8a44-0d3f7f1a9b02</a:MessageID>"
    "</s:Header><s:Body>"
)
_VALUES = tuple(f"{15 + number / 10:.2f}" for number in range(20))
_METER_VALUE = {"timestamp": "2026-11-22T12:00:00Z", "sampledValue": [{"value": value} | _SAMPLED for value in _VALUES]}
_REQUESTS: dict[str, dict[str, Any]] = {
    "Heartbeat": {},
    "BootNotification": _BOOTED,
    "MeterValues": {"connectorId": 1, "transactionId": 4711, "meterValue": [_METER_VALUE]},
    "RemoteStartTransaction": {"connectorId": 1, "idTag": "04A2B3C4D5E6F7"},
}
_ANSWERS: dict[str, dict[str, Any]] = {
    "BootNotification": {"status": "Accepted", "currentTime": "2026-11-22T12:00:00Z", "interval": 300},
    "Heartbeat": {"currentTime": "2026-11-22T12:00:00Z"},
    "RemoteStartTransaction": {"status": "Accepted"},
}


def envelope(action: str, identity: str, called_back_at: str = "") -> bytes:
    """The request of a SOAP Charge Point: Heartbeat, BootNotification, or MeterValues with 20 sampled values."""
    samples = "".join(_SAMPLE.format(value=value) for value in _VALUES)
    bodies = {
        "Heartbeat": "<c:heartbeatRequest/>",
        "BootNotification": _BOOT,
        "MeterValues": _METER_VALUES.format(samples=samples),
    }
    sender = f"<a:From><a:Address>{called_back_at}</a:Address></a:From>" if called_back_at else ""
    return (_HEAD.format(identity=identity, action=action, sender=sender) + bodies[action] + _TAIL).encode()


def http(path: str, body: bytes) -> bytes:
    """A POST of `body`, as it goes over the wire, on a connection that is kept open."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/soap+xml; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answer(frame: str) -> str:
    """The Central System's answer to a Call, without looking at more of it than its id and action."""
    unique_id, action = json.loads(frame)[1:3]
    return json.dumps([3, unique_id, _ANSWERS.get(action, {})])


def call(action: str) -> bytes:
    """A Call in JSON, from its action on: what is the same in all of its kind."""
    return b',"%s",%s]' % (action.encode(), _compact(_REQUESTS[action]))


def json_answer(action: str) -> bytes:
    """The payload of the answer to it."""
    return _compact(_ANSWERS.get(action, {}))


def soap_answer(action: str) -> bytes:
    """The envelope of the answer to it."""
    service = "Cp" if action in COMMANDS else "Cs"
    element = f"{action[0].lower()}{action[1:]}Response"
    fields = _elements(_ANSWERS.get(action, {}))
    return (
        _ANSWER_HEAD.format(service=service, action=action) + f"<c:{element}>{fields}</c:{element}>{_TAIL}"
    ).encode()


def soap_command(identity: str) -> bytes:
    """A SOAP Central System's RemoteStartTransaction."""
    head = _HEAD.format(identity=identity, action="RemoteStartTransaction", sender="").replace("Ocpp/Cs", "Ocpp/Cp")
    fields = _elements(_REQUESTS["RemoteStartTransaction"])
    return f"{head}<c:remoteStartTransactionRequest>{fields}</c:remoteStartTransactionRequest>{_TAIL}".encode()


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
