"""Where each Loss comes from: for every Reason the conversions that it costs, each with a message that shows it.

The table of docs/losses.md is made from the Reasons and from this list (`python -m tests.site`), so that every
place that the table names is proved by a conversion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec
from lxml import etree

from bridge.core.inference import INFERRED
from bridge.core.observers import unnamed
from bridge.core.policies import PolicyRule, Treatment, answer_of
from bridge.core.session import CAPPED, HEARTBEAT_SENT, replayed
from bridge.core.triggers import LastSaid, said_again
from bridge.dialects.known import Known
from bridge.dialects.versions import DIALECTS
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.device_profile import PLAIN, DeviceProfile, Overlong
from bridge.ocpp.enums import MessageTrigger
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import BootNotificationRequest, TriggerMessageRequest
from bridge.ocpp.rpc import Call, CallResult
from bridge.ocppj import codec as ocppj
from bridge.ocpps import wsdl
from bridge.ocpps.codec import Codec
from bridge.ocpps.envelope import Addressing, Envelope, SoapVersion

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
    profile: DeviceProfile = PLAIN,
    namespace: str = "",
) -> Conversion:
    """The request, or the answer, of `action` with `inside` in it, as it is read."""

    def conversion() -> Losses:
        reader = codec(version, service)
        operation = reader.service.operations[action]
        name = (operation.response if answer else operation.request).name
        body = etree.fromstring(f'<{name} xmlns="{namespace or reader.service.namespace}">{inside}</{name}>')
        opened = Envelope(soap=SoapVersion.V12, identity=None, addressing=Addressing(), body=body)
        if answer:
            result = reader.read_answer(opened, action, "1", strict=False, known=known, profile=profile)
            assert isinstance(result, CallResult)
            return result.losses
        return reader.read_call(opened, "1", strict=False, known=known, profile=profile).losses

    return conversion


def answer_from_json(action: str, payload: str) -> Conversion:
    """The answer to `action` as it is read."""

    def conversion() -> Losses:
        frame = ocppj.read_frame(f'[3,"1",{payload}]')
        assert isinstance(frame, ocppj.ResultFrame)
        return ocppj.decode_result(frame, action, strict=False).losses

    return conversion


def from_json(action: str, payload: str, profile: DeviceProfile = PLAIN) -> Conversion:
    """The request of `action` as it is read."""
    (sender, *_) = sorted(ACTIONS[action].senders)
    return lambda: _decoded(action, payload, sender, profile).losses


def _decoded_answer(action: str, payload: str) -> CallResult:
    frame = ocppj.read_frame(f'[3,"1",{payload}]')
    assert isinstance(frame, ocppj.ResultFrame)
    return ocppj.decode_result(frame, action, strict=False)


def _decoded(action: str, payload: str, sender: Party, profile: DeviceProfile = PLAIN) -> Call:
    frame = ocppj.read_frame(f'[2,"1","{action}",{payload}]')
    assert isinstance(frame, ocppj.CallFrame)
    return ocppj.decode_call(frame, sender, strict=False, profile=profile)


def to_soap(
    action: str, payload: Mapping[str, Any], *, version: str = "1.6", profile: DeviceProfile = PLAIN
) -> Conversion:
    """The request of `action` as it is written."""

    def conversion() -> Losses:
        (sender, *_) = sorted(ACTIONS[action].senders)
        call = _decoded(action, msgspec.json.encode(payload).decode(), sender)
        assert call.losses == ()
        service = CENTRAL_SYSTEM if sender is Party.CHARGE_POINT else CHARGE_POINT
        assert not isinstance(call.payload, CallResult)
        return codec(version, service).write_call(call.payload, action, profile)[1]

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


def by_policy(**settings: Any) -> Conversion:
    """A DataTransfer to which a policy applies."""
    rule = PolicyRule(charge_point="*", sender=Party.CHARGE_POINT, central_system="", action="DataTransfer", **settings)
    return lambda: rule.applied(_decoded("DataTransfer", '{"vendorId":"v","data":"d"}', Party.CHARGE_POINT)).losses


def _readings(*samples: dict[str, str]) -> dict[str, Any]:
    return {"connectorId": 1, "meterValue": [{"timestamp": AT, "sampledValue": [*samples]}]}


def _from_readings(inside: str, sample: str = "sampledValue") -> Conversion:
    """A MeterValues of 1.6 with one sampled value."""
    value = f"<meterValue><timestamp>{AT}</timestamp><{sample}>{inside}</{sample}></meterValue>"
    return from_soap("MeterValues", f"<connectorId>1</connectorId>{value}")


def _from_readings_15(value: str) -> Conversion:
    """A MeterValues of 1.5 with one value."""
    values = f"<values><timestamp>{AT}</timestamp>{value}</values>"
    return from_soap("MeterValues", f"<connectorId>1</connectorId>{values}", version="1.5")


def _status(status: str, connector: int = 1) -> str:
    return f"<connectorId>{connector}</connectorId><status>{status}</status><errorCode>NoError</errorCode>"


_SAMPLE = f'{{"connectorId":1,"meterValue":[{{"timestamp":"{AT}","sampledValue":[{{%s}}]}}]}}'
_AT_ALL = "<chargePointVendor>v</chargePointVendor><chargePointModel>m</chargePointModel>"
_LONG = f"{_AT_ALL}<firmwareVersion>{'1' * 51}</firmwareVersion>"
_LONG_JSON = f'{{"chargePointVendor":"v","chargePointModel":"m","firmwareVersion":"{"1" * 51}"}}'
_DROP = DeviceProfile(overlong=Overlong.DROP)
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
_ANYWHERE = "from and to either party, with `policies`"

# Reason -> where -> a conversion that costs it. Where no version is named, it holds for all of them.
SOURCES: dict[LossReason, dict[str, Conversion]] = {
    LossReason.UNKNOWN_FIELD: {
        "from SOAP": from_soap("Authorize", "<idTag>a</idTag><colour>red</colour>"),
        "from JSON": from_json("Authorize", '{"idTag":"a","colour":"red"}'),
    },
    LossReason.EMPTY_OPTIONAL: {
        "from SOAP": from_soap("BootNotification", f"{_AT_ALL}<iccid/>"),
        "from JSON": from_json("BootNotification", '{"chargePointVendor":"v","chargePointModel":"m","iccid":""}'),
    },
    LossReason.EMPTY_LIST: {"to SOAP": to_soap("GetConfiguration", {"key": []})},
    LossReason.MARKUP_AS_TEXT: {
        "from SOAP": from_soap("DataTransfer", "<vendorId>v</vendorId><data><a>1</a></data>"),
    },
    LossReason.NOT_TEXT: {"from JSON": from_json("DataTransfer", '{"vendorId":"v","data":{"a":1}}')},
    LossReason.OLDER_NAME: {
        "from SOAP": from_soap(
            "SendLocalList",
            "<listVersion>1</listVersion><updateType>Full</updateType>"
            "<localAuthorisationList><idTag>A</idTag></localAuthorisationList>",
            service=CHARGE_POINT,
        ),
        "from JSON": lambda: (
            _decoded_answer(
                "BootNotification", f'{{"status":"Accepted","currentTime":"{AT}","heartbeatInterval":300}}'
            ).losses
        ),
    },
    LossReason.SENDERS_NAMESPACE: {"from SOAP": from_soap("Heartbeat", "", namespace="urn://Ocpp/Cp/2015/10/")},
    LossReason.CONVERTED: {
        "from JSON": from_json("TriggerMessage", '{"requestedMessage":"Heartbeat","connectorId":"1"}')
    },
    LossReason.MISNAMED: {
        "from SOAP": _from_readings_15('<value x:unit="kWh" xmlns:x="urn:x">1</value>'),
        "from JSON": from_json("MeterValues", _SAMPLE % '"value":"1","Unit":"kWh"'),
    },
    LossReason.ASSUMED_ZONE: {
        "from SOAP": from_soap("StartTransaction", f"{_START}<timestamp>2026-01-02T03:04:05</timestamp>"),
        "from JSON": from_json(
            "StartTransaction", '{"connectorId":1,"idTag":"a","meterStart":1,"timestamp":"2026-01-02T03:04:05"}'
        ),
    },
    LossReason.RESPELLED_TIME: {
        "from SOAP": from_soap("StartTransaction", f"{_START}<timestamp>2026-01-02T03:04Z</timestamp>"),
        "from JSON": from_json(
            "StartTransaction", '{"connectorId":1,"idTag":"a","meterStart":1,"timestamp":"2026-01-02T03:04Z"}'
        ),
    },
    LossReason.WHOLE_NUMBER: {
        "from SOAP": from_soap(
            "StopTransaction",
            f"<transactionId>1</transactionId><timestamp>{AT}</timestamp><meterStop>1.5</meterStop>",
        ),
        "from JSON": from_json("StopTransaction", f'{{"transactionId":1,"timestamp":"{AT}","meterStop":1.5}}'),
    },
    LossReason.ROUNDED: {
        "from SOAP": from_soap("GetCompositeSchedule", _COMPOSITE, service=CHARGE_POINT, answer=True),
        "from JSON": from_json("SetChargingProfile", _SCHEDULE),
    },
    LossReason.REPEATED: {"from SOAP": from_soap("Authorize", "<idTag>a</idTag><idTag>b</idTag>")},
    LossReason.RESPELLED_UNIT: {
        "to SOAP": to_soap("MeterValues", _readings({"value": "1", "unit": "Celcius"})),
        "to JSON": to_json("MeterValues", _CELSIUS, "Celcius"),
        "from SOAP 1.6": _from_readings("<value>1</value><unit>Amp</unit>"),
        "from JSON": from_json("MeterValues", _SAMPLE % '"value":"1","unit":"Amp"'),
    },
    LossReason.NOT_IN_VERSION: {
        "to SOAP 1.5": to_soap("StopTransaction", _STOP, version="1.5"),
        "to SOAP 1.2": to_soap("StopTransaction", _STOP, version="1.2"),
    },
    LossReason.COLLAPSED: {
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
    LossReason.OCCUPIED: {
        "from SOAP 1.5": from_soap("StatusNotification", _status("Occupied"), version="1.5"),
        "from SOAP 1.2": from_soap("StatusNotification", _status("Occupied"), version="1.2"),
    },
    LossReason.CONNECTOR_ZERO: {
        "from SOAP 1.5": from_soap("StatusNotification", _status("Reserved", 0), version="1.5"),
        "from SOAP 1.2": from_soap("StatusNotification", _status("Occupied", 0), version="1.2"),
    },
    LossReason.UNKNOWN_VALUE: {
        "from SOAP": _from_readings("<value>1</value><unit>Furlong</unit>"),
        "from JSON": from_json("MeterValues", _SAMPLE % '"value":"1","unit":"Furlong"'),
    },
    LossReason.UNKNOWN_AS_OTHER: {
        "from SOAP": from_soap("StopTransaction", f"{_STOPPED}<reason>Finished</reason>"),
        "from JSON": from_json("StatusNotification", '{"connectorId":1,"status":"Faulted","errorCode":"Mode4Error"}'),
    },
    LossReason.UNREADABLE: {
        "from SOAP": from_soap("StopTransaction", f"{_STOPPED}<idTag>{'t' * 21}</idTag>"),
        "from JSON": from_json(
            "StatusNotification", '{"connectorId":1,"status":"Faulted","errorCode":"NoError","timestamp":"now"}'
        ),
    },
    LossReason.INCOMPLETE: {
        "from SOAP": from_soap("StopTransaction", "<idTagInfo><parentIdTag>a</parentIdTag></idTagInfo>", answer=True),
        "from JSON": answer_from_json("StopTransaction", '{"idTagInfo":{"parentIdTag":"a"}}'),
    },
    LossReason.MISLEADING: {
        "from SOAP": _from_readings("<value>1</value><unti>W</unti>"),
        "from JSON": from_json("MeterValues", _SAMPLE % '"value":"1","multiplier":3'),
    },
    LossReason.SIBLING_SHAPE: {
        "from SOAP": _from_readings("<value>1</value><unit>Wh</unit>", sample="value"),
        "from JSON": from_json("MeterValues", f'{{"connectorId":1,"values":[{{"timestamp":"{AT}","value":"1"}}]}}'),
    },
    LossReason.NO_READINGS: {
        "from SOAP": from_soap("MeterValues", "<connectorId>1</connectorId>"),
        "from JSON": from_json("MeterValues", '{"connectorId":1,"meterValue":[]}'),
    },
    LossReason.ASSUMED_STATUS: {
        "from SOAP": from_soap("StartTransaction", "<transactionId>1</transactionId><idTagInfo/>", answer=True),
        "from JSON": answer_from_json("StartTransaction", '{"transactionId":1,"idTagInfo":{}}'),
    },
    LossReason.TRUNCATED: {
        "from SOAP": from_soap("BootNotification", _LONG),
        "from JSON": from_json("BootNotification", _LONG_JSON),
    },
    LossReason.OVERLONG: {
        "from SOAP": from_soap("BootNotification", _LONG, profile=_DROP),
        "from JSON": from_json("BootNotification", _LONG_JSON, _DROP),
    },
    LossReason.FRACTION: {
        "to SOAP": to_soap(
            "UpdateFirmware",
            {"location": "ftp://a/b", "retrieveDate": "2026-01-02T03:04:05.678Z"},
            profile=DeviceProfile(fractions=False),
        ),
    },
    LossReason.DROPPED_READING: {
        "to SOAP 1.5": to_soap(
            "MeterValues", _readings({"value": "1"}, {"value": "50", "measurand": "SoC"}), version="1.5"
        ),
        "to SOAP 1.2": to_soap("MeterValues", _readings({"value": "1"}, {"value": "230", "unit": "V"}), version="1.2"),
    },
    LossReason.WHOLE_WATT_HOURS: {"to SOAP 1.2": to_soap("MeterValues", _readings({"value": "1.5"}), version="1.2")},
    LossReason.UNGROUPED: {"from SOAP 1.5": from_soap("StopTransaction", _STOPPED + _GROUPS, version="1.5")},
    LossReason.ASSUMED_TIME: {
        "from SOAP 1.2": from_soap(
            "BootNotification", "<status>Accepted</status>", version="1.2", answer=True, known=_NOW
        ),
    },
    LossReason.ASSUMED_INTERVAL: {
        "from SOAP 1.2": from_soap(
            "BootNotification", "<status>Accepted</status>", version="1.2", answer=True, known=_NOW
        ),
    },
    LossReason.ANSWERED_HERE: {
        "to SOAP 1.5": instead("TriggerMessage", '{"requestedMessage":"Heartbeat"}', "1.5"),
        "to SOAP 1.2": instead("GetConfiguration", "{}", "1.2"),
    },
    LossReason.MORE: {
        "from SOAP": from_soap("Heartbeat", "".join(f"<a{number}/>" for number in range(21))),
        "from JSON": from_json("Heartbeat", "{" + ",".join(f'"a{number}":1' for number in range(21)) + "}"),
    },
    LossReason.REPLAYED: {
        "to the Central System, after a move and with `replay_boot`": lambda: (replayed(BootNotificationRequest),)
    },
    LossReason.HEARTBEAT: {"to a Central System that speaks SOAP": lambda: (HEARTBEAT_SENT,)},
    LossReason.CAPPED_INTERVAL: {"to a SOAP Charge Point, with `heartbeat_max`": lambda: (CAPPED,)},
    LossReason.SAID_AGAIN: {"to the Central System, with `emulate_trigger`": said_last("Heartbeat", "{}")},
    LossReason.INFERRED_STATUS: {"to a Central System of OCPP 1.6, with `infer_status`": lambda: (INFERRED,)},
    LossReason.POLICY_ANSWERS: {
        _ANYWHERE: by_policy(do=Treatment.ANSWER, answer=answer_of("DataTransfer", {"status": "Accepted"}))
    },
    LossReason.POLICY_REFUSES: {_ANYWHERE: by_policy(do=Treatment.REFUSE)},
    LossReason.POLICY_DROPS: {_ANYWHERE: by_policy(do=Treatment.DROP_FIELD, field=("data",))},
    LossReason.POLICY_DELAYS: {_ANYWHERE: by_policy(do=Treatment.DELAY, seconds=1.0)},
    LossReason.NO_TRANSACTION_THERE: {"to a further Central System": lambda: (unnamed("MeterValues"),)},
}


def table() -> str:
    """One line for each Reason: what is lost, and reading or writing what."""
    rows = [f"| {reason.value} | {', '.join(SOURCES[reason])} |" for reason in LossReason]
    return "\n".join(["| what is lost | when reading from, or writing to |", "|---|---|", *rows, ""])
