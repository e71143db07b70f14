"""One message into the other form: what is told, what is lost, and what has to be said beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from lxml import etree

from bridge.errors import MessageError
from bridge.lab.translation import Translation, TranslationRequest, Translator, Underspecified, codecs
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.rpc import CallResult
from bridge.ocppj import codec as ocppj
from tests.ocpp.strategies import payloads
from tests.reference import CORPUS, needs_corpus

CS, CP = "urn://Ocpp/Cs/2015/10/", "urn://Ocpp/Cp/2015/10/"
WSA = "http://www.w3.org/2005/08/addressing"
ENV = "http://www.w3.org/2003/05/soap-envelope"
NS = {"s": ENV, "a": WSA, "cs": CS, "cp": CP}
CS15, CP15 = "urn://Ocpp/Cs/2012/06/", "urn://Ocpp/Cp/2012/06/"
CS12, CP12 = "urn://Ocpp/Cs/2010/08/", "urn://Ocpp/Cp/2010/08/"
NS |= {"cs15": CS15, "cp15": CP15, "cs12": CS12, "cp12": CP12}
_CODECS = codecs()


def translator(**wanted: object) -> Translator:
    return Translator(_CODECS, TranslationRequest(**wanted))  # type: ignore[arg-type]


def envelope(body: str, headers: str = "", namespace: str = CS) -> bytes:
    return (
        f'<s:Envelope xmlns:s="{ENV}" xmlns:a="{WSA}" xmlns="{namespace}"><s:Header>{headers}</s:Header>'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def frame_of(translation: Translation) -> list[object]:
    frame = json.loads(translation.document)
    assert isinstance(frame, list)
    return frame


def root_of(translation: Translation) -> etree._Element:
    return etree.fromstring(translation.document)


def text(root: etree._Element, path: str) -> str | None:
    return root.findtext(f".//{path}", namespaces=NS)


# To JSON


def test_a_request_becomes_a_call_on_one_line() -> None:
    sent = envelope(
        "<authorizeRequest><idTag>A&amp;B</idTag></authorizeRequest>",
        "<a:MessageID>urn:uuid:4d6c1f5e-8a8e-4d0b-9f3a-0c5d1d7a9b11</a:MessageID>",
    )
    assert translator().to_json(sent).document == (
        b'[2,"4d6c1f5e-8a8e-4d0b-9f3a-0c5d1d7a9b11","Authorize",{"idTag":"A&B"}]'
    )


def test_a_response_becomes_a_result_with_the_id_of_its_call() -> None:
    sent = envelope(
        "<resetResponse><status>Accepted</status></resetResponse>", "<a:RelatesTo>7</a:RelatesTo>", namespace=CP
    )
    assert frame_of(translator().to_json(sent)) == [3, "7", {"status": "Accepted"}]


def test_a_fault_becomes_an_error() -> None:
    fault = (
        "<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>NotSupported</s:Value></s:Subcode></s:Code>"
        '<s:Reason><s:Text xml:lang="en">not here</s:Text></s:Reason></s:Fault>'
    )
    sent = envelope(fault, "<a:RelatesTo>urn:uuid:7</a:RelatesTo>")
    assert frame_of(translator().to_json(sent))[:4] == [4, "7", "NotSupported", "not here"]


@pytest.mark.parametrize("header", ["", f"<a:MessageID>urn:uuid:{'x' * 37}</a:MessageID>"])
def test_an_id_that_json_cannot_carry_is_replaced(header: str) -> None:
    unique_id = frame_of(translator().to_json(envelope("<heartbeatRequest/>", header)))[1]
    assert isinstance(unique_id, str)
    assert len(unique_id) == 36
    assert "x" not in unique_id


def test_data_transfer_is_told_apart_by_its_namespace() -> None:
    body = "<dataTransferRequest><vendorId>v</vendorId></dataTransferRequest>"
    for namespace in (CS, CP, CP.rstrip("/").upper()):
        assert frame_of(translator().to_json(envelope(body, namespace=namespace)))[2] == "DataTransfer"


def test_losses_are_told() -> None:
    sent = envelope(
        "<statusNotificationRequest><connectorId>1</connectorId><status>Available</status><errorCode>NoError</errorCode>"
        "<timestamp>2026-01-02T03:04:05</timestamp><colour>red</colour></statusNotificationRequest>"
    )
    assert [(loss.path, loss.reason.name) for loss in translator().to_json(sent).losses] == [
        ("colour", "UNKNOWN_FIELD"),
        ("timestamp", "ASSUMED_ZONE"),
    ]
    with pytest.raises(MessageError):
        translator(strict=True).to_json(sent)


def test_a_namespace_that_is_not_of_the_version_is_an_error_unless_the_service_is_given() -> None:
    sent = envelope("<heartbeatRequest/>", namespace="urn:other")
    with pytest.raises(MessageError, match="urn:other"):
        translator().to_json(sent)
    assert frame_of(translator(service=Party.CHARGE_POINT).to_json(sent))[2] == "Heartbeat"


@pytest.mark.parametrize("sent", [b"", b"<x/>", b"<!DOCTYPE x><x/>", envelope(""), envelope("<bogusRequest/>")])
def test_what_is_no_message_is_an_error(sent: bytes) -> None:
    with pytest.raises(MessageError):
        translator().to_json(sent)


# To SOAP


def test_a_call_becomes_a_request_with_its_headers() -> None:
    root = root_of(translator(identity="RDAM 123").to_soap(b'[2, "17", "Reset", {"type": "Hard"}]'))
    assert text(root, "cp:resetRequest/cp:type") == "Hard"
    assert text(root, "cp:chargeBoxIdentity") == "RDAM 123"
    assert text(root, "a:MessageID") == "urn:uuid:17"
    assert text(root, "a:Action") == "/Reset"
    assert (text(root, "a:To") or "").endswith("/services/ChargePointService")
    assert (text(root, "a:From/a:Address") or "").endswith("/services/CentralSystemService")


def test_data_transfer_is_the_central_systems_unless_told_otherwise() -> None:
    call = b'[2, "17", "DataTransfer", {"vendorId": "v"}]'
    assert text(root_of(translator().to_soap(call)), "cs:vendorId") == "v"
    assert text(root_of(translator(service=Party.CENTRAL_SYSTEM).to_soap(call)), "cp:vendorId") == "v"


def test_a_call_of_the_wrong_service_is_an_error() -> None:
    with pytest.raises(MessageError, match="not for a charge point to send"):
        translator(service=Party.CHARGE_POINT).to_soap(b'[2, "17", "Reset", {"type": "Hard"}]')


def test_the_action_of_a_result_is_found_if_only_one_fits() -> None:
    sent = b'[3, "17", {"transactionId": 5, "idTagInfo": {"status": "Accepted"}}]'
    root = root_of(translator().to_soap(sent))
    assert text(root, "cs:startTransactionResponse/cs:transactionId") == "5"
    assert text(root, "a:RelatesTo") == "urn:uuid:17"
    assert text(root, "a:Action") == "/StartTransactionResponse"


def test_a_result_that_tolerance_reads_fits_as_well() -> None:
    root = root_of(translator().to_soap(b'[3, "17", {"currentTime": "2026-01-02 03:04:05+01:00"}]'))
    assert text(root, "cs:heartbeatResponse/cs:currentTime") == "2026-01-02T02:04:05Z"


def test_the_action_of_another_result_has_to_be_said() -> None:
    sent = b'[3, "17", {"idTagInfo": {"status": "Accepted"}}]'
    with pytest.raises(Underspecified, match="Authorize, StopTransaction"):
        translator().to_soap(sent)
    root = root_of(translator(action="Authorize").to_soap(sent))
    assert text(root, "cs:authorizeResponse/cs:idTagInfo/cs:status") == "Accepted"
    with pytest.raises(Underspecified, match="fits none"):
        translator().to_soap(b'[3, "17", {"colour": "red"}]')
    with pytest.raises(Underspecified, match=r"ChargePointService of OCPP 1\.6 has no Authorize"):
        translator(service=Party.CENTRAL_SYSTEM, action="Authorize").to_soap(sent)


def test_an_error_becomes_a_fault_of_the_service() -> None:
    sent = b'[4, "17", "NotImplemented", "what?", {"a": 1}]'
    root = root_of(translator().to_soap(sent))
    assert text(root, "s:Subcode/s:Value") == "c:NotSupported"
    assert text(root, "a:RelatesTo") == "urn:uuid:17"
    assert root.find(".//s:Fault", NS).nsmap["c"] == CS  # type: ignore[union-attr]
    other = root_of(translator(service=Party.CENTRAL_SYSTEM).to_soap(sent))
    assert other.find(".//s:Fault", NS).nsmap["c"] == CP  # type: ignore[union-attr]
    assert frame_of(translator().to_json(etree.tostring(root))) == [4, "17", "NotImplemented", "what?", {"a": 1}]


def test_what_is_lost_on_the_way_to_soap_is_told_or_refused() -> None:
    sent = b'[2, "17", "GetConfiguration", {"key": []}]'
    assert [loss.path for loss in translator().to_soap(sent).losses] == ["key"]
    with pytest.raises(MessageError, match="strict"):
        translator(strict=True).to_soap(sent)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{}",
        b"[]",
        b'[5, "17", {}]',
        b'[2, "17", "Bogus", {}]',
        b'[2, "17", "Reset", {}]',
        b'[2, "17", "Authorize", {"idTag": "\\u0000"}]',
    ],
)
def test_what_is_no_frame_is_an_error(sent: bytes) -> None:
    with pytest.raises(MessageError):
        translator().to_soap(sent)


def test_an_id_that_xml_cannot_carry_is_made_printable() -> None:
    root = root_of(translator().to_soap(b'[2, "1\\u0001", "Heartbeat", {}]'))
    assert text(root, "a:MessageID") == "urn:uuid:1\N{REPLACEMENT CHARACTER}"


# Older versions


def test_the_bodys_namespace_decides_the_version() -> None:
    reading = '<timestamp>2026-01-02T03:04:05Z</timestamp><value unit="Volt">230.10</value>'
    sent = f"<meterValuesRequest><connectorId>1</connectorId><values>{reading}</values></meterValuesRequest>"
    assert frame_of(translator().to_json(envelope(sent, namespace=CS15)))[3] == {
        "connectorId": 1,
        "meterValue": [
            {"timestamp": "2026-01-02T03:04:05Z", "sampledValue": [{"value": "230.10", "unit": "V"}]},
        ],
    }
    unlocked = envelope("<unlockConnectorResponse><status>Accepted</status></unlockConnectorResponse>", namespace=CP12)
    assert frame_of(translator().to_json(unlocked))[2] == {"status": "Unlocked"}


def test_a_version_that_is_wanted_is_the_only_one() -> None:
    sent = envelope("<heartbeatRequest/>", namespace=CS15)
    assert frame_of(translator(version="1.5").to_json(sent))[2] == "Heartbeat"
    with pytest.raises(MessageError, match=r"2012/06/', which OCPP 1\.2 does not have"):
        translator(version="1.2").to_json(sent)
    with pytest.raises(MessageError, match=r"which OCPP 1\.6, 1\.5 or 1\.2 does not have"):
        translator().to_json(envelope("<heartbeatRequest/>", namespace="urn:other"))
    other = envelope("<resetResponse><status>Accepted</status></resetResponse>", namespace="urn:other")
    assert frame_of(translator(version="1.2", service=Party.CENTRAL_SYSTEM).to_json(other))[2] == {"status": "Accepted"}


def test_what_an_older_message_leaves_out_is_assumed_and_told() -> None:
    occupied = envelope(
        "<statusNotificationRequest><connectorId>1</connectorId><status>Occupied</status><errorCode>NoError</errorCode>"
        "</statusNotificationRequest>",
        namespace=CS15,
    )
    translation = translator().to_json(occupied)
    assert frame_of(translation)[3] == {"connectorId": 1, "status": "Preparing", "errorCode": "NoError"}
    assert [str(loss).partition(":")[0] for loss in translation.losses] == ["StatusNotificationRequest.status"]
    with pytest.raises(MessageError, match="strict"):
        translator(strict=True).to_json(occupied)
    boot = envelope("<bootNotificationResponse><status>Accepted</status></bootNotificationResponse>", namespace=CS12)
    assert frame_of(translator(now="2026-01-02T03:04:05Z").to_json(boot))[2] == {
        "status": "Accepted",
        "currentTime": "2026-01-02T03:04:05Z",
        "interval": 300,
    }


def test_a_call_is_written_in_the_version_that_is_wanted() -> None:
    sent = b'[2, "17", "SendLocalList", {"listVersion": 4, "updateType": "Full", "localAuthorizationList": \
[{"idTag": "A"}]}]'
    root = root_of(translator(version="1.5").to_soap(sent))
    assert text(root, "cp15:sendLocalListRequest/cp15:localAuthorisationList/cp15:idTag") == "A"
    assert text(root, "cp15:chargeBoxIdentity") == "CP-1"
    stop = b'[2, "17", "StopTransaction", {"transactionId": 5, "meterStop": 7, "reason": "Local", \
"timestamp": "2026-01-02T03:04:05Z"}]'
    translation = translator(version="1.2").to_soap(stop)
    assert text(root_of(translation), "cs12:stopTransactionRequest/cs12:meterStop") == "7"
    assert [loss.path for loss in translation.losses] == ["reason"]
    with pytest.raises(MessageError, match="strict"):
        translator(version="1.2", strict=True).to_soap(stop)


@pytest.mark.parametrize("strict", [False, True])
def test_what_an_answer_costs_is_told_and_never_refused(strict: bool) -> None:
    pending = b'[3, "17", {"status": "Pending", "currentTime": "2026-01-02T03:04:05Z", "interval": 20}]'
    down = translator(version="1.5", action="BootNotification", strict=strict).to_soap(pending)
    assert text(root_of(down), "cs15:status") == "Rejected"
    assert [loss.path for loss in down.losses] == ["status"]
    sent = envelope("<sendLocalListResponse><status>HashError</status></sendLocalListResponse>", namespace=CP15)
    up = translator(strict=strict).to_json(sent)
    assert frame_of(up)[2] == {"status": "Failed"}
    assert [loss.path for loss in up.losses] == ["status"]


def test_data_transfer_goes_both_ways_in_1_5() -> None:
    call = b'[2, "17", "DataTransfer", {"vendorId": "v", "data": "<d>"}]'
    for service, prefix in ((Party.CHARGE_POINT, "cs15"), (Party.CENTRAL_SYSTEM, "cp15")):
        there = translator(version="1.5", service=service).to_soap(call)
        assert text(root_of(there), f"{prefix}:data") == "<d>"
        assert frame_of(translator().to_json(there.document))[2:] == ["DataTransfer", {"vendorId": "v", "data": "<d>"}]


@pytest.mark.parametrize(
    ("version", "call", "answer"),
    [
        ("1.5", '"TriggerMessage", {"requestedMessage": "Heartbeat"}', r'\[3,"17",{"status":"NotImplemented"}\]'),
        ("1.2", '"GetConfiguration", {"key": ["a"]}', r'\[3,"17",{"unknownKey":\["a"\]}\]'),
        ("1.5", '"FirmwareStatusNotification", {"status": "Idle"}', r'\[3,"17",{}\]'),
    ],
)
def test_a_call_that_the_version_lacks_is_not_written_and_the_answer_is_said(
    version: str, call: str, answer: str
) -> None:
    with pytest.raises(MessageError, match=f"OCPP {version} cannot carry this .*; the bridge answers it .*{answer}"):
        translator(version=version).to_soap(f'[2, "17", {call}]'.encode())


def test_a_message_that_says_nothing_in_json_is_an_error() -> None:
    sent = "<meterValuesRequest><connectorId>1</connectorId></meterValuesRequest>"
    with pytest.raises(MessageError, match="without a value"):
        translator().to_json(envelope(sent, namespace=CS15))


def test_an_answer_of_an_action_that_the_version_lacks_has_no_form() -> None:
    with pytest.raises(Underspecified, match=r"ChargePointService of OCPP 1\.5 has no TriggerMessage"):
        translator(version="1.5", action="TriggerMessage").to_soap(b'[3, "17", {"status": "Accepted"}]')
    result = b'[3, "17", {"status": "Accepted", "currentTime": "2026-01-02T03:04:05Z", "interval": 300}]'
    root = root_of(translator(version="1.5").to_soap(result))
    assert text(root, "cs15:bootNotificationResponse/cs15:heartbeatInterval") == "300"
    with pytest.raises(Underspecified, match="ClearCache"):
        translator(version="1.2", service=Party.CENTRAL_SYSTEM).to_soap(b'[3, "17", {"status": "Accepted"}]')


# There and back


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_a_result_comes_back_as_it_went(action: str) -> None:
    @given(payloads(ACTIONS[action].response))
    def check(payload: object) -> None:
        sent = ocppj.encode(CallResult(unique_id="17", payload=payload))  # type: ignore[arg-type]
        there = translator(action=action).to_soap(sent)
        back = translator().to_json(there.document)
        assert there.losses or json.loads(back.document) == json.loads(sent)

    check()


@needs_corpus
@pytest.mark.parametrize("folder", ["soap", "json"])
def test_real_messages_are_translated_or_refused_in_words(folder: str) -> None:
    for path in sorted(Path(CORPUS / folder).iterdir()):
        try:
            made = translator()
            translation = made.to_json(path.read_bytes()) if folder == "soap" else made.to_soap(path.read_bytes())
        except (MessageError, Underspecified) as error:
            assert str(error)
        else:
            assert translation.document
