"""What the log says of the traffic: one line for each message, all that helps to find it again, and no credential."""

from __future__ import annotations

import io
import logging
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from bridge.config import ChargePoint, Secret
from bridge.core.commands import Outcome, Report
from bridge.errors import Unavailable, UnknownIdentity, Why
from bridge.lab.simulators.wire import CallRefused, Payload
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import (
    ChangeConfigurationRequest,
    DataTransferRequest,
    GetConfigurationResponse,
    GetDiagnosticsRequest,
    HeartbeatRequest,
    HeartbeatResponse,
    Request,
    Response,
)
from bridge.ocpp.rpc import Call, CallError, CallResult, Failure, Unanswered, UnopenedRequest, UnopenedResponse
from bridge.ocpp.types import KeyValue
from bridge.watching import logs, traffic_log
from bridge.watching.facts import (
    CallEnded,
    ContentLost,
    HandshakeRefused,
    LinkClosed,
    LinkLost,
    LinkOpened,
    MessageRefused,
    RequestsUnread,
    ShadowAnswered,
)
from bridge.watching.traffic_log import TrafficLog
from tests.e2e.stage import AT, SAMPLES, envelope, logged, post, stage

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


async def lines_of(level: int, talk: Any, **tables: Any) -> list[str]:
    """The lines about the traffic while `talk` goes on."""
    async with stage("RDAM 123", **tables) as scene:
        with logged(level) as lines:
            await talk(scene)
    return lines


async def test_one_line_for_each_message_with_all_that_finds_it_again() -> None:
    async def talk(scene: Any) -> None:
        await scene.charge_point.call("Heartbeat", {})
        scene.central_system.behaviour["Authorize"] = refuse
        with pytest.raises(CallRefused):
            await scene.charge_point.call("Authorize", {"idTag": "a"})
        await scene.central_system.call("RDAM 123", "Reset", {"type": "Soft"})
        scene.charge_point.behaviour["ClearCache"] = refuse
        with pytest.raises(CallRefused):
            await scene.central_system.call("RDAM 123", "ClearCache", {})

    def refuse(_: Payload) -> Payload:
        raise CallRefused("SecurityError", "not you", subcode="SecurityError")

    *links, first, second, third, fourth = await lines_of(logging.INFO, talk)
    calls = [first, second, third, fourth]
    assert [line.partition(" ")[2] for line in links] == [
        'INFO  link up identity="RDAM 123" to=charge_point central_system=main',
        'INFO  link up identity="RDAM 123" to=central_system central_system=main',
    ]
    expected = [
        rf'INFO  call identity="RDAM 123" action=Heartbeat from=charge_point id=urn:uuid:{UUID} hop_id={UUID}'
        r" outcome=result ms=[0-9.]+",
        rf'WARN  call identity="RDAM 123" action=Authorize from=charge_point id=urn:uuid:{UUID} hop_id={UUID}'
        r' outcome=error ms=[0-9.]+ reason="SecurityError: not you"',
        rf'INFO  call identity="RDAM 123" action=Reset from=central_system id={UUID} hop_id={UUID}'
        r" outcome=result ms=[0-9.]+",
        rf'WARN  call identity="RDAM 123" action=ClearCache from=central_system id={UUID} hop_id={UUID}'
        r' outcome=error ms=[0-9.]+ reason="SecurityError: not you"',
    ]
    assert len(calls) == len(expected)
    for line, pattern in zip(calls, expected, strict=True):
        assert re.fullmatch(rf"[-0-9T:.]+Z {pattern}", line), line
    ids = re.findall(UUID, " ".join(calls))
    assert len(ids) == len(set(ids)) == 8  # every hop has its own


async def test_payloads_only_at_debug() -> None:
    async def talk(scene: Any) -> None:
        await scene.charge_point.call("Authorize", {"idTag": "DEADBEEF"})

    assert not any("DEADBEEF" in line for line in await lines_of(logging.INFO, talk))
    [line] = [line for line in await lines_of(logging.DEBUG, talk) if "action=Authorize" in line]
    assert r'request="{\"idTag\":\"DEADBEEF\"}" response="{\"idTagInfo\":{\"status\":\"Accepted\"}}"' in line


async def test_no_credential_at_any_level() -> None:
    secret = "S3cr3t!"

    async def talk(scene: Any) -> None:
        point, central = scene.charge_point, scene.central_system
        await point.call("Heartbeat", {})
        point.answers.configuration["AuthorizationKey"] = type(point.answers.configuration["HeartbeatInterval"])(secret)
        for action, payload in {
            "ChangeConfiguration": {"key": "AuthorizationKey", "value": secret},
            "GetConfiguration": {"key": ["AuthorizationKey"]},
            "GetDiagnostics": {"location": f"ftp://user:{secret}@files.example/x"},
            "UpdateFirmware": {"location": f"ftp://user:{secret}@files.example/y", "retrieveDate": AT},
        }.items():
            await central.call("RDAM 123", action, payload)
        # A stranger's address, a Fault's words, a CALLERROR's.
        await post(scene.gateway, envelope(source=f"ftp://user:{secret}@[::1", identity="other"))

        def refuse(_: Payload) -> Payload:
            raise CallRefused("Receiver", f"cannot fetch ftp://user:{secret}@files.example/", subcode="InternalError")

        point.behaviour["GetDiagnostics"] = central.behaviour["Heartbeat"] = refuse
        with pytest.raises(CallRefused, match=re.escape(secret)):
            await central.call("RDAM 123", "GetDiagnostics", {"location": f"ftp://user:{secret}@files.example/x"})
        with pytest.raises(CallRefused, match=re.escape(secret)):
            await point.call("Heartbeat", {})

    told = {"RDAM 123": ChargePoint(central_system_password=Secret(secret.encode()))}
    lines = await lines_of(logging.DEBUG, talk, charge_points=told)
    assert len([line for line in lines if "outcome=" in line]) == 8
    basic = b64encode(f"RDAM 123:{secret}".encode()).decode()
    assert [line for line in lines if secret in line or basic in line] == []
    assert [line for line in lines if "ftp://user:***@files.example/y" in line] != []


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (ChangeConfigurationRequest(key="authorizationKey ", value="x"), '{"key":"authorizationKey ","value":"***"}'),
        (ChangeConfigurationRequest(key="WifiPassword", value="x"), '{"key":"WifiPassword","value":"***"}'),
        (ChangeConfigurationRequest(key="HeartbeatInterval", value="60"), '{"key":"HeartbeatInterval","value":"60"}'),
        (
            GetConfigurationResponse(
                configurationKey=(
                    KeyValue(key="AuthorizationKey", readonly=False, value="x"),
                    KeyValue(key="HeartbeatInterval", readonly=False, value="60"),
                )
            ),
            '{"configurationKey":[{"key":"AuthorizationKey","readonly":false,"value":"***"},'
            '{"key":"HeartbeatInterval","readonly":false,"value":"60"}]}',
        ),
        (GetConfigurationResponse(unknownKey=("x",)), '{"unknownKey":["x"]}'),
        (GetDiagnosticsRequest(location="ftp://u:p@h/"), '{"location":"ftp://u:***@h/"}'),
        (GetDiagnosticsRequest(location="ftp://u:p@ss@h/"), '{"location":"ftp://u:***@h/"}'),
        (GetDiagnosticsRequest(location="ftp://u:@h/a@b"), '{"location":"ftp://u:***@h/a@b"}'),
        (GetDiagnosticsRequest(location="http://h:80/a@b"), '{"location":"http://h:80/a@b"}'),
        (DataTransferRequest(vendorId="v", data="at 3:00, a@b"), '{"vendorId":"v","data":"at 3:00, a@b"}'),
    ],
)
def test_a_payload_is_shown_without_its_secrets(message: Request | Response, shown: str) -> None:
    assert traffic_log.payload(message) == shown


def test_what_is_refused_says_who_and_why() -> None:
    with logged() as lines:
        TrafficLog().see(MessageRefused.of("CP 1", "192.0.2.1", Unavailable("no way to ftp://u:p@h/"), "id"))
        TrafficLog().see(MessageRefused.of(None, None, Unavailable("no way")))
    first, second = (line.partition(" ")[2] for line in lines)
    assert first == (
        'WARN  refused identity="CP 1" peer=192.0.2.1 id=id code=InternalError reason="no way to ftp://u:***@h/"'
        " why=unavailable"
    )
    assert second == 'WARN  refused code=InternalError reason="no way" why=unavailable'


def test_a_flood_of_refusals_is_a_line_a_minute() -> None:
    now = 100.0

    def refuse(traffic_log: TrafficLog) -> None:
        traffic_log.see(MessageRefused.of("CP 1", "192.0.2.1", Unavailable("no way")))
        traffic_log.see(MessageRefused.of("CP 2", "192.0.2.1", Unavailable("no way")))
        traffic_log.see(MessageRefused.of(f"stranger {now}", "192.0.2.2", UnknownIdentity("stranger")))
        traffic_log.see(HandshakeRefused(f"stranger {now}", "192.0.2.2", 404, "no route", Why.NO_ROUTE))
        traffic_log.see(HandshakeRefused(None, "192.0.2.2", 401, "no", Why.WRONG_PASSWORD))

    with logged() as lines:
        traffic_log = TrafficLog(lambda: now)
        for _ in range(100):
            refuse(traffic_log)
            now += 0.5
        now += 60
        refuse(traffic_log)
    assert len([line for line in lines if "CP 1" in line]) == len([line for line in lines if "CP 2" in line]) == 2
    assert len([line for line in lines if "why=no_route" in line]) == 2
    assert len([line for line in lines if "why=wrong_password" in line]) == 2
    assert len(lines) == 8
    assert [line.rpartition(" ")[2] for line in lines[4:]] == ["held_back=99"] * 2 + ["held_back=199", "held_back=99"]


def unanswered(sender: Party, failure: Failure, evidence: str) -> Report:
    """A Call to which `evidence` came back instead of a verdict."""
    call = Call(unique_id="1", action="Heartbeat", payload=HeartbeatRequest())
    failed = Unanswered(unique_id="1", reason="HTTP 502, text/html", failure=failure, evidence=evidence)
    return Report(sender=sender, call=call, outcome=Outcome.UNANSWERED, arrived=0.0, ended=1.0, failed=failed)


def test_what_came_instead_of_a_verdict_is_a_line_a_minute() -> None:
    """For each kind of failure of a Central System, and of a Charge Point that gets POSTs."""
    now = 100.0
    with logged() as lines:
        traffic_log = TrafficLog(lambda: now)
        for identity in ("CP 1", "CP 2"):
            for failure in (Failure.UNREACHABLE, Failure.MISCONFIGURED):
                traffic_log.see(CallEnded(identity, unanswered(Party.CHARGE_POINT, failure, "'<html>'"), "main"))
            traffic_log.see(
                CallEnded(identity, unanswered(Party.CENTRAL_SYSTEM, Failure.MISCONFIGURED, "'<html>'"), "main")
            )
        now += 61
        traffic_log.see(CallEnded("CP 2", unanswered(Party.CHARGE_POINT, Failure.UNREACHABLE, "'<html>'"), "main"))
        traffic_log.see(CallEnded("CP 2", unanswered(Party.CHARGE_POINT, Failure.TIMEOUT, ""), "main"))
    said = [line.partition(" ")[2] for line in lines if " link failure " in line]
    came = """reason="HTTP 502, text/html" begins='<html>'"""
    assert said == [
        f'WARN  link failure identity="CP 1" to=central_system central_system=main failure=unreachable {came}',
        f'WARN  link failure identity="CP 1" to=central_system central_system=main failure=misconfigured {came}',
        f'WARN  link failure identity="CP 1" to=charge_point failure=misconfigured {came}',
        f'WARN  link failure identity="CP 2" to=charge_point failure=misconfigured {came}',
        f'WARN  link failure identity="CP 2" to=central_system central_system=main failure=unreachable {came}'
        " held_back=1",
    ]


def test_what_came_instead_shows_no_credential() -> None:
    with logged() as lines:
        for begin in ("http://u:p4ss@h/", '{"AuthorizationKey": "p4ss"}'):
            TrafficLog().see(CallEnded("CP 1", unanswered(Party.CHARGE_POINT, Failure.MISCONFIGURED, repr(begin))))
    assert len([line for line in lines if " link failure " in line]) == 2
    assert "p4ss" not in "".join(lines)


def test_requests_that_nobody_read_are_told_in_sums() -> None:
    now = 0.0
    told = TrafficLog(lambda: now)
    error = Unavailable("the bridge is busy", why=Why.BUSY)
    with logged() as lines:
        for times in (1, 700, 2):
            told.see(RequestsUnread.of("192.0.2.1", error, times))
        now = 61.0
        told.see(RequestsUnread.of("192.0.2.1", error, 5))
    first, second = lines
    assert "peer=192.0.2.1" in first and "why=busy" in first and "held_back" not in first
    assert "held_back=706" in second


def shadow_answered(main: Response, shadow: Response) -> ShadowAnswered:
    call = Call(unique_id="1", action="Authorize", payload=HeartbeatRequest())
    answers = (CallResult(unique_id="1", payload=payload) for payload in (main, shadow))
    return ShadowAnswered.of("CP 1", "ems", call, *answers)


def test_a_shadow_that_answers_otherwise_has_a_line_a_minute_for_each_field() -> None:
    now = 0.0
    told = TrafficLog(lambda: now)
    main, same, other, longer = (
        UnopenedResponse(raw=Raw(text))
        for text in (b'{"a": "DEADBEEF"}', b'{"a":"DEADBEEF"}', b'{"a": "BAD"}', b'{"a": 1, "%s": 2}' % (b"x" * 500))
    )
    with logged() as lines:
        for shadow in (same, other, other, longer):
            told.see(shadow_answered(main, shadow))
        now = 61.0
        told.see(shadow_answered(main, other))
    first, second, third = (line.partition(" ")[2] for line in lines)
    assert first == 'INFO  answered otherwise identity="CP 1" central_system=ems action=Authorize fields=a'
    assert "fields=a,xxx" in second and len(second) < 400
    assert third == f"{first} held_back=1"


def test_only_at_debug_both_answers_are_shown_and_every_difference() -> None:
    main, shadow = (UnopenedResponse(raw=Raw(text)) for text in (b'{"a": "DEADBEEF"}', b'{"a": "ftp://u:pw@h/"}'))
    with logged(logging.DEBUG) as lines:
        told = TrafficLog(lambda: 100.0)
        for _ in range(2):
            told.see(shadow_answered(main, shadow))
    assert len(lines) == 2
    assert r'main="{\"a\": \"DEADBEEF\"}" shadow="{\"a\": \"ftp://u:***@h/\"}"' in lines[0]


def test_at_debug_every_refusal_has_its_line() -> None:
    with logged(logging.DEBUG) as lines:
        traffic_log = TrafficLog(lambda: 100.0)
        for _ in range(3):
            traffic_log.see(MessageRefused.of("CP 1", "192.0.2.1", Unavailable("no way")))
    assert len(lines) == 3


def test_what_becomes_of_a_link_is_said_with_its_ends() -> None:
    with logged(logging.INFO) as lines:
        TrafficLog().see(LinkOpened("CP 1", Party.CHARGE_POINT, "main"))
        TrafficLog().see(LinkLost("CP 1", Party.CENTRAL_SYSTEM, "main", "ws://u:p@h/ cannot be reached"))
        TrafficLog().see(LinkClosed("CP 1", Party.CENTRAL_SYSTEM, "main", "the Charge Point has not been heard of"))
    assert [line.partition(" ")[2] for line in lines] == [
        'INFO  link up identity="CP 1" to=charge_point central_system=main',
        'WARN  link down identity="CP 1" to=central_system central_system=main'
        ' reason="ws://u:***@h/ cannot be reached"',
        'INFO  link closed identity="CP 1" to=central_system reason="the Charge Point has not been heard of"',
    ]


def test_a_handshake_that_was_refused_says_who_and_why() -> None:
    with logged() as lines:
        TrafficLog().see(
            HandshakeRefused("CP 1", "192.0.2.1", 401, "the password is not that of it", Why.WRONG_PASSWORD)
        )
        TrafficLog().see(HandshakeRefused(None, "192.0.2.1", 404, "ftp://u:p@h/ is no path", Why.WRONG_DOOR))
    assert [line.partition(" ")[2] for line in lines] == [
        'WARN  handshake refused identity="CP 1" peer=192.0.2.1 reason="HTTP 401: the password is not that of it"'
        " why=wrong_password",
        'WARN  handshake refused peer=192.0.2.1 reason="HTTP 404: ftp://u:***@h/ is no path" why=wrong_door',
    ]


HIDDEN = "*** (it names a credential)"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b'{"idTag" : "A",\t"x":[1]}', '{"idTag" : "A",\t"x":[1]}'),
        (b'{"location":"ftp://u:p@h/"}', '{"location":"ftp://u:***@h/"}'),
        (b'{"location":"\\u0066tp://u:s3cr3t@h/"}', '{"location":"\\u0066tp://u:***@h/"}'),
        (b'{"key":"AuthorizationKey","value":"s3cr3t"}', HIDDEN),
        (b'{"value":"s3cr3t","key":"WifiPassword"}', HIDDEN),
        (b'{"configurationKey":[{"key":"authorizationKEY ","readonly":true,"value":"s3cr3t"}]}', HIDDEN),
        (b'{"connectionData":{"apn":{"apnUserName":"u","apnPassword":"s3cr3t"}}}', HIDDEN),
        (b'{"component":{"name":"SecurityCtrlr"},"variable":{"name":"BasicAuthPassword"},"v":"s3cr3t"}', HIDDEN),
        (b"\xff", "\ufffd"),
    ],
)
def test_what_is_only_passed_on_is_shown_as_it_is_or_not_at_all(raw: bytes, shown: str) -> None:
    """Between two JSON parties nobody has looked at what it says; 2.0.1 and its SetVariables included."""
    assert traffic_log.payload(UnopenedRequest(raw=Raw(raw))) == shown
    assert traffic_log.payload(UnopenedResponse(raw=Raw(raw))) == shown


@pytest.mark.parametrize(
    "raw",
    [
        b'{"location":"ftp:\\/\\/u:s3cr3t@h\\/"}',  # as PHP writes it
        b'{"key":"\\u0041uthorizationKey","value":"s3cr3t"}',
        b'{"key":"authorization\\u004bey","value":"s3cr3t"}',
        b'{"location":"ftp\\u003a\\u002f/u\\u003As3cr3t\\u0040h/"}',
    ],
)
def test_nor_do_its_escapes_show_a_credential(raw: bytes) -> None:
    assert "s3cr3t" not in traffic_log.payload(UnopenedRequest(raw=Raw(raw)))


def test_a_call_that_is_only_passed_on_shows_no_credential() -> None:
    secret = b'{"key":"AuthorizationKey","value":"s3cr3t"}'
    report = Report(
        sender=Party.CENTRAL_SYSTEM,
        call=Call(unique_id="1", action="ChangeConfiguration", payload=UnopenedRequest(raw=Raw(secret))),
        outcome=Outcome.RESULT,
        arrived=1.0,
        ended=2.0,
        answer=CallResult(unique_id="1", payload=UnopenedResponse(raw=Raw(secret))),
    )
    with logged(logging.DEBUG) as lines:
        TrafficLog().see(CallEnded("CP 1", report))
    [line] = lines
    assert f'request="{HIDDEN}" response="{HIDDEN}"' in line and "s3cr3t" not in line


async def test_what_a_translation_cost_is_on_a_line_of_its_own() -> None:
    async def talk(scene: Any) -> None:
        assert SAMPLES["Heartbeat"] == {}
        body = '<heartbeatRequest xmlns="urn://Ocpp/Cs/2015/10/"><mood>good</mood></heartbeatRequest>'
        assert (await post(scene.gateway, envelope(body, identity="RDAM 123"))).status == 200

    [line] = [line for line in await lines_of(logging.INFO, talk) if "loss" in line]
    assert 'loss identity="RDAM 123" field=HeartbeatRequest.mood reason="a field that OCPP 1.6 does not know' in line


async def test_what_costs_much_is_one_line_too() -> None:
    unknown = "".join(f"<a{number}/>" for number in range(10_000))

    async def talk(scene: Any) -> None:
        body = f'<heartbeatRequest xmlns="urn://Ocpp/Cs/2015/10/">{unknown}{"<mood/>" * 5_000}</heartbeatRequest>'
        assert (await post(scene.gateway, envelope(body, identity="RDAM 123"))).status == 200

    [line] = [line for line in await lines_of(logging.INFO, talk) if "loss" in line]
    assert line.count("HeartbeatRequest") == 20
    assert "(14981 times)" in line
    assert len(line) < 5_000


_told = st.text(max_size=20) | st.sampled_from(
    [
        "RDAM 123",
        "ftp://u:s3cr3t@h/",
        "/CentralSystemService/s3cr3ts3cr3ts3cr3t",
        "a from=b",
        "é",
        "x" * 400,
        "urn:uuid:1",
    ]
)
_answers = (
    st.none()
    | st.builds(CallError, unique_id=_told, code=_told, description=_told)
    | st.builds(Unanswered, unique_id=_told, reason=_told)
)
_reports = st.builds(
    Report,
    sender=st.sampled_from(Party),
    call=st.builds(Call, unique_id=_told, action=_told, payload=st.just(HeartbeatRequest())),
    outcome=st.sampled_from(Outcome),
    arrived=st.just(0.0),
    ended=st.floats(0, 1e4),
    hop_id=st.none() | _told,
    answer=_answers,
)


@given(
    _told, _reports, st.sampled_from(["text", "json"]), st.sampled_from([300, 4096]), st.sampled_from(["info", "debug"])
)
def test_the_short_way_to_a_line_leads_to_the_same_one(
    identity: str, report: Report, log_format: str, longest: int, level: str
) -> None:
    def line(linger: float) -> str:
        stream = io.StringIO()
        with unsettled():
            logs.setup(log_format, level, stream, longest=longest, linger=linger)
            TrafficLog().see(CallEnded(identity, report))
            for handler in logging.getLogger("bridge").handlers:
                handler.flush()
        return re.sub(r"[-0-9]{10}T[:0-9.]{12}Z", "", stream.getvalue(), count=1)

    short = line(linger=3600)
    assert short == line(linger=0)
    assert short.count("\n") == 1 and "s3cr3t" not in short


@contextmanager
def unsettled() -> Iterator[None]:
    """The loggers are as before, afterwards."""
    loggers = [logging.getLogger(name) for name in ("bridge", *logs._OTHERS)]
    before = [(logger, logger.level, logger.propagate, logger.handlers[:]) for logger in loggers]
    try:
        yield
    finally:
        for logger, level, propagate, handlers in before:
            logger.setLevel(level)
            logger.propagate = propagate
            logger.handlers[:] = handlers


# Which Calls have a line.


def told_of(calls: Any, chance: float = 0.5) -> list[str]:
    """The lines about a Call with a result and a loss, one without a result, and a loss by itself."""
    report = Report(
        sender=Party.CHARGE_POINT,
        call=Call(unique_id="1", action="Heartbeat", payload=HeartbeatRequest(), losses=(LOSS,)),
        outcome=Outcome.RESULT,
        arrived=0.0,
        ended=0.1,
        answer=CallResult(unique_id="1", payload=HeartbeatResponse(currentTime=AT)),
    )
    failed = msgspec.structs.replace(report, outcome=Outcome.UNANSWERED, answer=None)
    told = TrafficLog(calls=calls, chance=lambda: chance)
    with logged() as lines:
        for fact in (CallEnded("CP 1", report), CallEnded("CP 2", failed), ContentLost("CP 3", (LOSS,))):
            told.see(fact)
    return [f"{line.split()[2]} {line.partition('identity=')[2][1:5]}" for line in lines]


LOSS = Loss(message="HeartbeatRequest", path="x", reason=LossReason.UNKNOWN_FIELD)
FAILED = ["call CP 2", "loss CP 2"]
EVERYTHING = ["call CP 1", "loss CP 1", *FAILED, "loss CP 3"]


def test_all_calls_have_a_line_unless_the_operator_says_otherwise() -> None:
    assert told_of("all") == EVERYTHING
    assert told_of("errors") == FAILED


def test_of_those_that_ended_well_one_in_a_hundred_is_a_sample() -> None:
    assert told_of("sampled", chance=0.0099) == EVERYTHING
    assert told_of("sampled", chance=0.01) == FAILED


async def test_the_operator_says_so_in_the_configuration() -> None:
    async def talk(scene: Any) -> None:
        await scene.charge_point.call("Heartbeat", {})
        scene.central_system.behaviour["Authorize"] = lambda _: {"idTagInfo": 7}
        with pytest.raises(CallRefused):
            await scene.charge_point.call("Authorize", {"idTag": "a"})

    lines = await lines_of(logging.INFO, talk, gateway={"log_calls": "errors"})
    (call,) = [line for line in lines if " call " in line]
    assert "action=Authorize" in call and "outcome=unanswered" in call
