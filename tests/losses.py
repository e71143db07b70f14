"""Where each Loss comes from: for every Reason the conversions that it costs, each with a message that shows it.

The README's table of losses is made from the Reasons and from this list (`python -m tests.readme`), so that no place
stands there that no conversion proves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec
from lxml import etree

from bridge.core.triggers import LastSaid, said_again
from bridge.dialects.known import Known
from bridge.dialects.versions import DIALECTS
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.enums import MessageTrigger
from bridge.ocpp.losses import Loss, Reason
from bridge.ocpp.manners import PLAIN, Manners, Overlong
from bridge.ocpp.messages import TriggerMessageRequest
from bridge.ocpp.rpc import Call, CallResult
from bridge.ocppj import codec as ocppj
from bridge.ocpps import wsdl
from bridge.ocpps.codec import Codec
from bridge.ocpps.envelope import Addressing, Envelope, Soap

Losses = tuple[Loss, ...]
Conversion = Callable[[], Losses]

AT = "2026-01-02T03:04:05Z"
CENTRAL_SYSTEM, CHARGE_POINT = "CentralSystemService", "ChargePointService"


@cache
def codec(version: str, service: str) -> Codec:
    folder = wsdl.default_folder() / f"ocpp{version.replace('.', '')}"
    return Codec(wsdl.load(folder / f"{service}.wsdl"), DIALECTS[version])


def from_soap(
    action: str,
    inside: str,
    *,
    version: str = "1.6",
    service: str = CENTRAL_SYSTEM,
    answer: bool = False,
    known: Known | None = None,
    manners: Manners = PLAIN,
) -> Conversion:
    """The request, or the answer, of `action` with `inside` in it, as it is read."""

    def conversion() -> Losses:
        reader = codec(version, service)
        operation = reader.service.operations[action]
        name = (operation.response if answer else operation.request).name
        body = etree.fromstring(f'<{name} xmlns="{reader.service.namespace}">{inside}</{name}>')
        opened = Envelope(soap=Soap.V12, identity=None, addressing=Addressing(), body=body)
        if answer:
            result = reader.read_answer(opened, action, "1", strict=False, known=known, manners=manners)
            assert isinstance(result, CallResult)
            return result.losses
        return reader.read_call(opened, "1", strict=False, known=known, manners=manners).losses

    return conversion


def from_json(action: str, payload: str, manners: Manners = PLAIN) -> Conversion:
    """The request of `action` as it is read."""
    (sender, *_) = sorted(ACTIONS[action].senders)
    return lambda: _decoded(action, payload, sender, manners).losses


def _decoded(action: str, payload: str, sender: Party, manners: Manners = PLAIN) -> Call:
    frame = ocppj.read_frame(f'[2,"1","{action}",{payload}]')
    assert isinstance(frame, ocppj.CallFrame)
    return ocppj.decode_call(frame, sender, strict=False, manners=manners)


def to_soap(action: str, payload: Mapping[str, Any], *, version: str = "1.6", manners: Manners = PLAIN) -> Conversion:
    """The request of `action` as it is written."""

    def conversion() -> Losses:
        (sender, *_) = sorted(ACTIONS[action].senders)
        call = _decoded(action, msgspec.json.encode(payload).decode(), sender)
        assert call.losses == ()
        service = CENTRAL_SYSTEM if sender is Party.CHARGE_POINT else CHARGE_POINT
        assert not isinstance(call.payload, CallResult)
        return codec(version, service).write_call(call.payload, action, manners)[1]

    return conversion


def instead(action: str, payload: str, version: str) -> Conversion:
    """What answers `action` where the version lacks it."""

    def conversion() -> Losses:
        (sender, *_) = sorted(ACTIONS[action].senders)
        stand_in = DIALECTS[version].instead(action, _decoded(action, payload, sender).payload)
        assert stand_in is not None
        return stand_in.losses

    return conversion


def said_last(action: str, payload: str) -> Conversion:
    """What is sent when a TriggerMessage asks for it, and the Charge Point's version has none."""
    (trigger,) = (kind for kind in MessageTrigger if kind == action)

    def conversion() -> Losses:
        said = LastSaid([_decoded(action, payload, Party.CHARGE_POINT).payload])
        (again,) = said.asked_for(TriggerMessageRequest(requestedMessage=trigger))
        return (said_again(again),)

    return conversion


def to_json(action: str, payload: str, celsius: str) -> Conversion:
    """The request of `action` as it is written to a Central System that spells Celsius so."""
    return lambda: ocppj.respelled(_decoded(action, payload, Party.CHARGE_POINT), celsius)[1]


def _readings(*samples: dict[str, str]) -> dict[str, Any]:
    return {"connectorId": 1, "meterValue": [{"timestamp": AT, "sampledValue": [*samples]}]}


def _status(status: str, connector: int = 1) -> str:
    return f"<connectorId>{connector}</connectorId><status>{status}</status><errorCode>NoError</errorCode>"


_AT_ALL = "<chargePointVendor>v</chargePointVendor><chargePointModel>m</chargePointModel>"
_LONG = f"{_AT_ALL}<firmwareVersion>{'1' * 51}</firmwareVersion>"
_LONG_JSON = f'{{"chargePointVendor":"v","chargePointModel":"m","firmwareVersion":"{"1" * 51}"}}'
_DROP = Manners(overlong=Overlong.DROP)
_START = "<connectorId>1</connectorId><idTag>a</idTag><meterStart>1</meterStart>"
_SCHEDULE = (
    '{"connectorId":1,"csChargingProfiles":{"chargingProfileId":1,"stackLevel":0,"chargingProfileKind":"Relative",'
    '"chargingProfilePurpose":"TxProfile","chargingSchedule":{"chargingRateUnit":"A","chargingSchedulePeriod":'
    '[{"startPeriod":0,"limit":16.05}]}}}'
)
_COMPOSITE = (
    "<status>Accepted</status><chargingSchedule><chargingRateUnit>A</chargingRateUnit><chargingSchedulePeriod>"
    "<startPeriod>0</startPeriod><limit>16.05</limit></chargingSchedulePeriod></chargingSchedule>"
)
_CELSIUS = msgspec.json.encode(_readings({"value": "1", "unit": "Celsius"})).decode()
_STOP = {"transactionId": 1, "timestamp": AT, "meterStop": 1, "reason": "Local"}
_GROUPS = f"<transactionData><values><timestamp>{AT}</timestamp><value>1</value></values></transactionData>" * 2
_STOPPED = f"<transactionId>1</transactionId><timestamp>{AT}</timestamp><meterStop>1</meterStop>"
_NOW = Known(now=AT)

# Reason -> where -> a conversion that costs it. Where no version is named, it holds for all of them.
SOURCES: dict[Reason, dict[str, Conversion]] = {
    Reason.UNKNOWN_FIELD: {
        "from SOAP": from_soap("Authorize", "<idTag>a</idTag><colour>red</colour>"),
        "from JSON": from_json("Authorize", '{"idTag":"a","colour":"red"}'),
    },
    Reason.EMPTY_OPTIONAL: {"from SOAP": from_soap("BootNotification", f"{_AT_ALL}<iccid/>")},
    Reason.EMPTY_LIST: {"to SOAP": to_soap("GetConfiguration", {"key": []})},
    Reason.MARKUP_AS_TEXT: {
        "from SOAP": from_soap("DataTransfer", "<vendorId>v</vendorId><data><a>1</a></data>"),
    },
    Reason.NOT_TEXT: {"from JSON": from_json("DataTransfer", '{"vendorId":"v","data":{"a":1}}')},
    Reason.ASSUMED_ZONE: {
        "from SOAP": from_soap("StartTransaction", f"{_START}<timestamp>2026-01-02T03:04:05</timestamp>"),
        "from JSON": from_json(
            "StartTransaction", '{"connectorId":1,"idTag":"a","meterStart":1,"timestamp":"2026-01-02T03:04:05"}'
        ),
    },
    Reason.ROUNDED: {
        "from SOAP": from_soap("GetCompositeSchedule", _COMPOSITE, service=CHARGE_POINT, answer=True),
        "from JSON": from_json("SetChargingProfile", _SCHEDULE),
    },
    Reason.REPEATED: {"from SOAP": from_soap("Authorize", "<idTag>a</idTag><idTag>b</idTag>")},
    Reason.RESPELLED_UNIT: {
        "to SOAP": to_soap("MeterValues", _readings({"value": "1", "unit": "Celcius"})),
        "to JSON": to_json("MeterValues", _CELSIUS, "Celcius"),
    },
    Reason.DROPPED_UNIT: {"to SOAP": to_soap("MeterValues", _readings({"value": "1", "unit": "Hertz"}))},
    Reason.NOT_IN_VERSION: {
        "to SOAP 1.5": to_soap("StopTransaction", _STOP, version="1.5"),
        "to SOAP 1.2": to_soap("StopTransaction", _STOP, version="1.2"),
    },
    Reason.COLLAPSED: {
        "from SOAP 1.5": from_soap(
            "SendLocalList", "<status>HashError</status>", version="1.5", service=CHARGE_POINT, answer=True
        ),
        "to SOAP 1.5": to_soap(
            "StatusNotification", {"connectorId": 1, "status": "Charging", "errorCode": "NoError"}, version="1.5"
        ),
        "to SOAP 1.2": to_soap(
            "StatusNotification", {"connectorId": 1, "status": "Reserved", "errorCode": "NoError"}, version="1.2"
        ),
    },
    Reason.OCCUPIED: {
        "from SOAP 1.5": from_soap("StatusNotification", _status("Occupied"), version="1.5"),
        "from SOAP 1.2": from_soap("StatusNotification", _status("Occupied"), version="1.2"),
    },
    Reason.CONNECTOR_ZERO: {
        "from SOAP 1.5": from_soap("StatusNotification", _status("Reserved", 0), version="1.5"),
        "from SOAP 1.2": from_soap("StatusNotification", _status("Occupied", 0), version="1.2"),
    },
    Reason.TRUNCATED: {
        "from SOAP": from_soap("BootNotification", _LONG),
        "from JSON": from_json("BootNotification", _LONG_JSON),
    },
    Reason.OVERLONG: {
        "from SOAP": from_soap("BootNotification", _LONG, manners=_DROP),
        "from JSON": from_json("BootNotification", _LONG_JSON, _DROP),
    },
    Reason.FRACTION: {
        "to SOAP": to_soap(
            "UpdateFirmware",
            {"location": "ftp://a/b", "retrieveDate": "2026-01-02T03:04:05.678Z"},
            manners=Manners(fractions=False),
        ),
    },
    Reason.DROPPED_READING: {
        "to SOAP 1.5": to_soap(
            "MeterValues", _readings({"value": "1"}, {"value": "50", "measurand": "SoC"}), version="1.5"
        ),
        "to SOAP 1.2": to_soap("MeterValues", _readings({"value": "1"}, {"value": "230", "unit": "V"}), version="1.2"),
    },
    Reason.WHOLE_WATT_HOURS: {"to SOAP 1.2": to_soap("MeterValues", _readings({"value": "1.5"}), version="1.2")},
    Reason.UNGROUPED: {"from SOAP 1.5": from_soap("StopTransaction", _STOPPED + _GROUPS, version="1.5")},
    Reason.ASSUMED_TIME: {
        "from SOAP 1.2": from_soap(
            "BootNotification", "<status>Accepted</status>", version="1.2", answer=True, known=_NOW
        ),
    },
    Reason.ASSUMED_INTERVAL: {
        "from SOAP 1.2": from_soap(
            "BootNotification", "<status>Accepted</status>", version="1.2", answer=True, known=_NOW
        ),
    },
    Reason.ANSWERED_HERE: {
        "to SOAP 1.5": instead("TriggerMessage", '{"requestedMessage":"Heartbeat"}', "1.5"),
        "to SOAP 1.2": instead("GetConfiguration", "{}", "1.2"),
    },
    Reason.SAID_AGAIN: {"to the Central System, with `emulate_trigger`": said_last("Heartbeat", "{}")},
}
