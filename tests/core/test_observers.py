"""What enters the queues of observers, and what they may command."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from bridge.core.commands import Outcome, Report
from bridge.core.inference import INFERRED
from bridge.core.observers import ObserverRole, ObserverTerms, Thinning, enters, judged, wanted_interval
from bridge.errors import ErrorCode
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.enums import (
    ChargePointErrorCode,
    ChargePointStatus,
    ConfigurationStatus,
    RemoteStartStopStatus,
    ResetStatus,
    ResetType,
)
from bridge.ocpp.messages import (
    AuthorizeRequest,
    ChangeConfigurationRequest,
    ChangeConfigurationResponse,
    DataTransferRequest,
    GetLocalListVersionRequest,
    HeartbeatRequest,
    MeterValuesRequest,
    RemoteStopTransactionRequest,
    RemoteStopTransactionResponse,
    Request,
    ResetRequest,
    ResetResponse,
    StatusNotificationRequest,
    UpdateFirmwareRequest,
)
from bridge.ocpp.rpc import Call, CallError, CallResult
from tests.core.playbook import call_of
from tests.core.samples import NOW, start, stop

COMMANDS = [name for name, action in ACTIONS.items() if Party.CENTRAL_SYSTEM in action.senders]
ALL = ObserverTerms(central_system="ems", commands=frozenset({"*"}))


def report(payload: Request, outcome: Outcome = Outcome.RESULT, **changes: object) -> Report:
    made = Report(
        sender=Party.CHARGE_POINT,
        call=call_of("7", payload),
        outcome=outcome,
        arrived=1.0,
        ended=2.0,
        hop_id="hop",
        sent=1.0,
    )
    return structs.replace(made, **changes)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_message_enters_with_the_verdict_of_the_main_central_system(outcome: Outcome) -> None:
    assert enters(report(HeartbeatRequest(), outcome)) == (outcome in (Outcome.RESULT, Outcome.ERROR))


@pytest.mark.parametrize(
    "one",
    [
        report(start()),  # with the record of its answer
        report(stop(1)),
        report(HeartbeatRequest(), sent=None),  # answered by a policy
        report(HeartbeatRequest(), instead=True),  # a version that lacks it
        report(HeartbeatRequest(), own=True),
        report(HeartbeatRequest(), sender=Party.CENTRAL_SYSTEM),
        report(MeterValuesRequest(connectorId=1, meterValue=())),  # nothing that could be sent
        report(HeartbeatRequest(), call=Call(unique_id="7", action="SignCertificate", payload=HeartbeatRequest())),
    ],
)
def test_what_does_not_enter(one: Report) -> None:
    assert not enters(one)


def test_what_is_inferred_of_a_connector_enters() -> None:
    status = StatusNotificationRequest(
        connectorId=1, status=ChargePointStatus.Charging, errorCode=ChargePointErrorCode.NoError
    )
    call = structs.replace(call_of("7", status), losses=(INFERRED,))
    assert enters(report(status, call=call, own=True)) and not enters(report(status, own=True))


def test_authorize_is_for_shadows_only() -> None:
    observer, shadow = ALL, structs.replace(ALL, role=ObserverRole.SHADOW)
    assert not observer.takes("Authorize") and shadow.takes("Authorize")
    assert observer.takes("Heartbeat") and shadow.is_shadow and not observer.is_shadow
    listed = structs.replace(observer, actions=frozenset({"Authorize", "MeterValues"}))
    assert [listed.takes(action) for action in ("MeterValues", "Authorize", "Heartbeat")] == [True, False, False]


# Commands.


def nothing(named: int) -> int | None:
    raise AssertionError(f"{named} was looked up")


def numbers(**known: int) -> Callable[[int], int | None]:
    return lambda named: known.get(f"n{named}")


@pytest.mark.parametrize("action", COMMANDS)
def test_a_command_that_is_not_listed_is_refused_in_the_form_of_its_action(action: str) -> None:
    call = Call(unique_id="7", action=action, payload=ResetRequest(type=ResetType.Soft))
    terms = ObserverTerms(central_system="ems", commands=frozenset(COMMANDS) - {action})
    verdict = judged(call, terms, nothing)
    assert verdict.unique_id == "7"
    if action in ("GetLocalListVersion", "UpdateFirmware", "GetDiagnostics"):
        assert isinstance(verdict, CallError) and verdict.code == ErrorCode.NotSupported
        assert verdict.description == "the gateway passes on no such command of this Central System"
    else:
        assert isinstance(verdict, CallResult) and type(verdict.payload) is ACTIONS[action].response


def test_a_listed_command_is_passed_on() -> None:
    for payload in (
        ResetRequest(type=ResetType.Soft),
        GetLocalListVersionRequest(),
        DataTransferRequest(vendorId="v"),
        UpdateFirmwareRequest(location="ftp://a", retrieveDate=NOW),
    ):
        call = call_of("7", payload)
        assert judged(call, ALL, nothing) is call
    listed = ObserverTerms(central_system="ems", commands=frozenset({"Reset"}))
    assert isinstance(judged(call_of("7", ResetRequest(type=ResetType.Soft)), listed, nothing), Call)
    assert isinstance(judged(call_of("7", GetLocalListVersionRequest()), listed, nothing), CallError)
    rejected = CallResult(unique_id="7", payload=ResetResponse(status=ResetStatus.Rejected))
    assert judged(call_of("7", ResetRequest(type=ResetType.Soft)), ObserverTerms(central_system="e"), nothing) == (
        rejected
    )


def test_a_transaction_is_the_one_that_the_observer_named() -> None:
    call = call_of("7", RemoteStopTransactionRequest(transactionId=9))
    passed = judged(call, ALL, numbers(n9=3))
    assert isinstance(passed, Call) and passed.payload == RemoteStopTransactionRequest(transactionId=3)
    assert judged(call, ALL, numbers(n9=9)) is call
    unknown = judged(call, ALL, numbers())
    rejected = RemoteStopTransactionResponse(status=RemoteStartStopStatus.Rejected)
    assert unknown == CallResult(unique_id="7", payload=rejected)


@pytest.mark.parametrize(
    ("key", "value", "interval"),
    [
        ("MeterValueSampleInterval", "60", 60),
        ("MeterValueSampleInterval", " 0 ", 0),
        ("MeterValueSampleInterval", "-1", None),
        ("MeterValueSampleInterval", "soon", None),
        ("MeterValueSampleInterval", "", None),
        ("MeterValueSampleInterval", "٣", None),
        ("MeterValueSampleInterval", "9999999999", None),
        ("HeartbeatInterval", "60", None),
        ("AuthorizationKey", "0123456789abcdef", None),
    ],
)
def test_of_configurations_only_the_sample_interval_is_taken(key: str, value: str, interval: int | None) -> None:
    call = call_of("7", ChangeConfigurationRequest(key=key, value=value))
    assert wanted_interval(call) == interval
    status = ConfigurationStatus.Rejected if interval is None else ConfigurationStatus.Accepted
    assert judged(call, ALL, nothing) == CallResult(unique_id="7", payload=ChangeConfigurationResponse(status=status))
    not_listed = judged(call, ObserverTerms(central_system="ems"), nothing)
    rejected = ChangeConfigurationResponse(status=ConfigurationStatus.Rejected)
    assert not_listed == CallResult(unique_id="7", payload=rejected)


def test_meter_values_are_thinned_out_for_each_connector() -> None:
    thinning = Thinning()
    assert thinning.keeps(1, 0.0) and thinning.keeps(1, 0.0)
    thinning.interval = 60
    kept = [at for at in range(0, 300, 20) if thinning.keeps(1, float(at))]
    assert kept == [0, 60, 120, 180, 240]
    assert thinning.keeps(2, 50.0) and not thinning.keeps(2, 70.0)
    assert thinning.keeps(2, 109.5)  # a little early
    thinning.interval = 0
    assert not thinning.keeps(3, 0.0)


def test_authorize_has_a_name_here() -> None:
    assert enters(report(AuthorizeRequest(idTag="TAG")))
