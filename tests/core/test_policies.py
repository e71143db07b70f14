"""Which policy a Call has, what it does to the Call, and how the Session carries it out (rule 27)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs

from bridge.core.charge_point import ChargePoint
from bridge.core.commands import Command, Outcome, SendAnswer, SendCall
from bridge.core.events import CallReceived, CopyReceived, TimerFired
from bridge.core.policies import (
    NO_POLICIES,
    PolicyRule,
    PolicyTable,
    Treatment,
    answer_of,
    path_of_field,
    without,
)
from bridge.core.session import Session
from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.actions import ACTIONS, Action, Party
from bridge.ocpp.enums import DataTransferStatus
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import (
    BootNotificationResponse,
    DataTransferRequest,
    DataTransferResponse,
    MeterValuesRequest,
    Request,
    Response,
    StartTransactionResponse,
)
from bridge.ocpp.rpc import Call, UnopenedRequest
from bridge.ocpp.shapes import Shape, plain, shape_of
from bridge.ocpp.validation import record_of
from tests.core.playbook import (
    CP,
    CS,
    JSON_CENTRAL_SYSTEM,
    JSON_CHARGE_POINT,
    RELAYED_CENTRAL_SYSTEM,
    SOAP_CENTRAL_SYSTEM,
    SOAP_CHARGE_POINT,
    Playbook,
    Stage,
    answers,
    calls,
    closes,
    down,
    sends,
    tells,
    tells_error,
    tells_unanswered,
    up,
    wait,
)
from tests.core.playbook import LEGS as SIDES
from tests.core.samples import (
    AUTHORIZE,
    AUTHORIZE_CONF,
    BOOT,
    HEARTBEAT,
    HEARTBEAT_CONF,
    RESET,
    RESET_CONF,
    START,
    START_CONF,
    boot_conf,
)
from tests.ocpp.strategies import payloads

DONE = DataTransferResponse(status=DataTransferStatus.Accepted)
_written = msgspec.json.Encoder(decimal_format="number")
LEGS = [pytest.param(*sides, id=leg) for leg, sides in SIDES.items()]


def rule(action: str = "Authorize", **settings: Any) -> PolicyRule:
    told = {"charge_point": "*", "sender": CP, "central_system": "", "do": Treatment.REFUSE}
    return PolicyRule(action=action, **(told | settings))


def answering(payload: Response, action: str, sender: Party = CP) -> PolicyRule:
    return rule(action, sender=sender, do=Treatment.ANSWER, answer=payload)


def dropping(action: str, field: str, sender: Party = CP) -> PolicyRule:
    return rule(action, sender=sender, do=Treatment.DROP_FIELD, field=path_of_field(action, field))


def delaying(seconds: float, action: str = "Authorize", sender: Party = CP) -> PolicyRule:
    return rule(action, sender=sender, do=Treatment.DELAY, seconds=seconds)


def by(policy: PolicyRule, event: CallReceived) -> CallReceived:
    """`event` with the policy that was found for it."""
    return structs.replace(event, policy=policy)


def loss(action: str, reason: LossReason, path: str = "", count: int = 1) -> Loss:
    return Loss(message=f"{action}Request", path=path, reason=reason, count=count)


# Which policy applies.


class TestTheFirstThatMatchesApplies:
    @pytest.mark.parametrize(
        ("glob", "identity", "matches"),
        [
            ("*", "CP 1", True),
            ("evlink-*", "EVLINK-7", True),
            ("EVLINK-?", "evlink-77", False),
            ("EV[12]", "ev2", True),
            ("", "CP 1", False),
        ],
    )
    def test_letter_case_of_identities_does_not_count(self, glob: str, identity: str, matches: bool) -> None:
        policies = PolicyTable([rule(charge_point=glob)]).of(identity, "main")
        assert ((CP, "Authorize") in policies) is matches

    def test_the_name_of_the_central_system_counts_and_no_name_is_any(self) -> None:
        table = PolicyTable([rule(central_system="old"), rule("Heartbeat")])
        assert set(table.of("CP 1", "old")) == {(CP, "Authorize"), (CP, "Heartbeat")}
        assert set(table.of("CP 1", "main")) == {(CP, "Heartbeat")}

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["*", "A*", "a1", "B?"]),
                st.sampled_from(Party),
                st.sampled_from(["", "main", "old"]),
                st.sampled_from(["Authorize", "DataTransfer"]),
            ),
            max_size=8,
        ),
        st.sampled_from(["A1", "b2", "c"]),
        st.sampled_from(["main", "old"]),
        st.sampled_from(Party),
        st.sampled_from(["Authorize", "DataTransfer"]),
    )
    def test_in_the_order_of_the_file(
        self, told: list[tuple[str, Party, str, str]], identity: str, system: str, sender: Party, action: str
    ) -> None:
        rules = [
            rule(action_, charge_point=glob, sender=sender_, central_system=system_, seconds=float(number))
            for number, (glob, sender_, system_, action_) in enumerate(told)
        ]
        fits = {"*": {"A1", "b2", "c"}, "A*": {"A1"}, "a1": {"A1"}, "B?": {"b2"}}
        first = next(
            (
                each
                for each in rules
                if identity in fits[each.charge_point]
                and (each.sender, each.action) == (sender, action)
                and each.central_system in ("", system)
            ),
            None,
        )
        assert PolicyTable(rules).of(identity, system).get((sender, action)) == first

    def test_charge_points_with_the_same_policies_share_them(self) -> None:
        table = PolicyTable([rule(), rule("Heartbeat", charge_point="A*")])
        assert table.of("B 1", "main") is table.of("B 2", "main")
        assert table.of("A 1", "main") is not table.of("B 1", "main")
        assert PolicyTable([rule(charge_point="A*")]).of("B 1", "main") is NO_POLICIES


# Answers.


def written(payload: Response) -> dict[str, Any]:
    """A valid answer as an operator writes it: without the time that the bridge fills in."""
    data = json.loads(_written.encode(payload))
    assert isinstance(data, dict)
    data.pop("currentTime", None)
    return data


@given(
    st.sampled_from([*ACTIONS.values()]).flatmap(lambda action: st.tuples(st.just(action), payloads(action.response)))
)
def test_each_answer_of_the_model_is_taken(drawn: tuple[Action, Response]) -> None:
    action, payload = drawn
    answer = answer_of(action.name, written(payload))
    assert type(answer) is action.response
    assert written(answer) == written(payload)


@pytest.mark.parametrize("action", ["Heartbeat", "BootNotification"])
def test_an_answer_tells_the_present_time(action: str) -> None:
    data = {} if action == "Heartbeat" else {"status": "Accepted", "interval": 300}
    policy = answering(answer_of(action, data), action).told_at("2026-01-02T03:04:05Z")
    assert getattr(policy.answer, "currentTime", None) == "2026-01-02T03:04:05Z"
    with pytest.raises(MessageError, match="currentTime: is always the present time"):
        answer_of(action, {**data, "currentTime": "2026-01-02T03:04:05Z"})


@pytest.mark.parametrize(
    ("action", "data", "text"),
    [
        ("Authorize", {}, "idTagInfo: required, and missing"),
        ("Authorize", {"idTagInfo": {"status": "accepted"}}, "idTagInfo.status: Invalid enum value 'accepted'"),
        ("Authorize", {"idTagInfo": {"status": "Accepted"}, "x": 1}, "unknown field `x`"),
        ("StartTransaction", {"transactionId": "1", "idTagInfo": {"status": "Accepted"}}, "transactionId: Expected"),
        ("DataTransfer", {"status": "Accepted", "data": {"a": 1}}, "data: Expected"),
        ("DataTransfer", {"status": "Accepted", "data": object()}, "JSON cannot hold it"),
        ("ClearCache", {"status": float("nan")}, "status"),
    ],
)
def test_an_answer_that_ocpp_does_not_know_is_refused(action: str, data: dict[str, Any], text: str) -> None:
    with pytest.raises(MessageError) as refusal:
        answer_of(action, data)
    assert text in refusal.value.description


def test_what_is_not_an_answer_tells_no_time() -> None:
    assert rule().told_at("x") == rule()
    policy = answering(AUTHORIZE_CONF, "Authorize")
    assert policy.told_at("x") is policy


# Fields.


def every_field(shape: Shape, above: str = "") -> list[tuple[str, bool]]:
    """The path of each field, and whether it is required."""
    found = []
    for field in shape.fields.values():
        found.append((f"{above}{field.name}", field.required))
        if field.shape is not None:
            found += every_field(field.shape, f"{above}{field.name}.")
    return found


FIELDS = [
    (action, path, required) for action in ACTIONS.values() for path, required in every_field(shape_of(action.request))
]


@pytest.mark.parametrize(("action", "path", "required"), FIELDS, ids=lambda part: getattr(part, "name", str(part)))
def test_each_optional_field_can_be_dropped_and_no_required_one(action: Action, path: str, required: bool) -> None:
    if required:
        with pytest.raises(ValueError, match="only an optional field can be dropped"):
            path_of_field(action.name, path)
    else:
        assert ".".join(path_of_field(action.name, path)) == path


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("connector", "StopTransactionRequest has no field connector"),
        ("transactionData.sampledValue.units", "SampledValue has no field units"),
        ("idTag.length", "the field idTag of StopTransactionRequest has no fields inside"),
        ("transactionData..unit", "has no field ,"),
        (".", "has no field ,"),
    ],
)
def test_a_field_that_there_is_not(field: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        path_of_field("StopTransaction", field)


def places_of(value: Any, names: tuple[str, ...], above: str = "") -> list[str]:
    """Where a field stands in plain data, as the Losses write it."""
    name, *rest = names
    if not isinstance(value, dict) or name not in value:
        return []
    inside, here = value[name], above + name
    if not rest:
        return [here]
    if isinstance(inside, list):
        return [each for i, item in enumerate(inside) for each in places_of(item, (*rest,), f"{here}[{i}].")]
    return places_of(inside, (*rest,), f"{here}.")


def pruned(value: Any, names: tuple[str, ...]) -> Any:
    """Plain data without a field."""
    name, *rest = names
    if isinstance(value, list):
        return [pruned(item, names) for item in value]
    if not rest:
        return {key: inner for key, inner in value.items() if key != name}
    return {key: pruned(inner, (*rest,)) if key == name else inner for key, inner in value.items()}


OPTIONAL = [(action, path) for action, path, required in FIELDS if not required]


@given(
    st.sampled_from(OPTIONAL).flatmap(
        lambda each: st.tuples(st.just(each[0]), st.just(each[1]), payloads(each[0].request))
    )
)
def test_a_request_without_a_field_is_valid_and_otherwise_the_same(drawn: tuple[Action, str, Request]) -> None:
    action, path, request = drawn
    names = path_of_field(action.name, path)
    data = json.loads(_written.encode(request))
    changed, places = without(request, names)
    assert places == places_of(data, names)
    assert json.loads(_written.encode(changed)) == pruned(data, names)
    assert record_of(plain(changed), action.request) == changed

    relayed = UnopenedRequest(raw=Raw(_written.encode(request)), read=request)
    passed, same_places = without(relayed, names)
    assert isinstance(passed, UnopenedRequest)
    assert same_places == places
    assert json.loads(bytes(passed.raw)) == pruned(data, names)
    assert passed.read == changed
    assert (passed is relayed) is (places == [])


@given(st.binary(max_size=60) | st.sampled_from([b"null", b"[]", b'{"transactionData":7}', b'{"transactionData":[1]}']))
def test_a_payload_that_cannot_be_read_passes_as_it_is(raw: bytes) -> None:
    request = UnopenedRequest(raw=Raw(raw))
    names = ("transactionData", "sampledValue", "unit")
    assert without(request, names) == (request, [])


def test_what_stands_around_the_field_keeps_its_spelling() -> None:
    raw = b'{ "a" : 1.50, "transactionData":[{"x": 1e400 , "sampledValue":[ {"value":"1","unit":"Wh"}]} ], "b":[ ]}'
    changed, places = without(UnopenedRequest(raw=Raw(raw)), ("transactionData", "sampledValue", "unit"))
    assert isinstance(changed, UnopenedRequest)
    assert places == ["transactionData[0].sampledValue[0].unit"]
    expected = b'{"a":1.50,"transactionData":[{"x":1e400,"sampledValue":[{"value":"1"}]}],"b":[ ]}'
    assert bytes(changed.raw) == expected


def test_one_loss_counts_all_places() -> None:
    reading = {"timestamp": "2026-01-02T03:04:05Z", "sampledValue": [{"value": "1", "unit": "Wh"}] * 2}
    request = record_of({"connectorId": 1, "meterValue": [reading] * 3}, MeterValuesRequest)
    policy = dropping("MeterValues", "meterValue.sampledValue.unit")
    call = policy.applied(Call(unique_id="1", action="MeterValues", payload=request))
    place = "meterValue[0].sampledValue[0].unit"
    assert call.losses == (loss("MeterValues", LossReason.POLICY_DROPS, place, 6),)
    again = policy.applied(structs.replace(call, losses=()))
    assert again.losses == ()


# What the Session does.


def connected(
    charge_point: Any = SOAP_CHARGE_POINT, central_system: Any = JSON_CENTRAL_SYSTEM, **terms: Any
) -> Playbook:
    return Playbook(charge_point, central_system, **terms) << up(CP) << up(CS)


@pytest.mark.parametrize(("charge_point", "central_system"), LEGS)
class TestOnEachLeg:
    """Rule 27."""

    def test_an_answer_goes_to_the_sender_and_nothing_to_the_other_party(
        self, charge_point: Any, central_system: Any
    ) -> None:
        playbook = connected(charge_point, central_system)
        assert (
            playbook
            << by(answering(AUTHORIZE_CONF, "Authorize"), calls(CP, "c1", AUTHORIZE))
            >> tells(CP, "c1", AUTHORIZE_CONF)
            << by(answering(RESET_CONF, "Reset", CS), calls(CS, "s1", RESET))
            >> tells(CS, "s1", RESET_CONF)
            << wait(100)
        )
        assert playbook.session.in_progress() == 0
        assert [(report.outcome, report.hop_id, report.call.losses) for report in playbook.reports] == [
            (Outcome.RESULT, None, (loss("Authorize", LossReason.POLICY_ANSWERS),)),
            (Outcome.RESULT, None, (loss("Reset", LossReason.POLICY_ANSWERS),)),
        ]

    def test_a_refusal_has_the_code_of_the_policy(self, charge_point: Any, central_system: Any) -> None:
        playbook = connected(charge_point, central_system)
        assert (
            playbook
            << by(rule(code=ErrorCode.SecurityError), calls(CP, "c1", AUTHORIZE))
            >> tells_error(CP, "c1", ErrorCode.SecurityError)
            << by(rule("Reset", sender=CS), calls(CS, "s1", RESET))
            >> tells_error(CS, "s1", ErrorCode.NotSupported)
            << wait(100)
        )
        assert [(report.outcome, report.call.losses) for report in playbook.reports] == [
            (Outcome.REFUSED, (loss("Authorize", LossReason.POLICY_REFUSES),)),
            (Outcome.REFUSED, (loss("Reset", LossReason.POLICY_REFUSES),)),
        ]

    def test_a_delayed_call_goes_on_later_with_what_is_left_of_its_time(
        self, charge_point: Any, central_system: Any
    ) -> None:
        lost = (loss("Authorize", LossReason.POLICY_DELAYS),)
        playbook = connected(charge_point, central_system)
        assert (
            playbook
            << by(delaying(20), calls(CP, "c1", AUTHORIZE))
            << wait(19.9)
            << wait(0.1)
            >> sends(CS, "h1", AUTHORIZE, deadline=30, losses=lost)
            << answers(CS, "h1", AUTHORIZE_CONF)
            >> tells(CP, "c1", AUTHORIZE_CONF)
        )

    def test_later_calls_of_the_same_sender_do_not_overtake_it_and_those_of_the_other_do(
        self, charge_point: Any, central_system: Any
    ) -> None:
        playbook = connected(charge_point, central_system)
        assert (
            playbook
            << by(delaying(10), calls(CP, "c1", AUTHORIZE))
            << wait(4)
            << calls(CP, "c2", HEARTBEAT)
            << by(delaying(3), calls(CP, "c3", START))
            << calls(CS, "s1", RESET)
            >> sends(CP, "h1", RESET)
            << answers(CP, "h1", RESET_CONF)
            >> tells(CS, "s1", RESET_CONF)
        )
        assert playbook.session.in_progress() == 3
        assert playbook.session.waiting_for(CS) == 3
        assert (
            playbook
            << wait(6)
            >> sends(CS, "h2", AUTHORIZE, losses=(loss("Authorize", LossReason.POLICY_DELAYS),))
            << answers(CS, "h2", AUTHORIZE_CONF)
            >> tells(CP, "c1", AUTHORIZE_CONF)
            >> sends(CS, "h3", HEARTBEAT)
            << answers(CS, "h3", HEARTBEAT_CONF)
            >> tells(CP, "c2", HEARTBEAT_CONF)
            >> sends(CS, "h4", START, losses=(loss("StartTransaction", LossReason.POLICY_DELAYS),))
        )

    def test_a_field_is_dropped_before_a_repetition_is_recognised(self, charge_point: Any, central_system: Any) -> None:
        request = structs.replace(START, reservationId=7)
        policy = dropping("StartTransaction", "reservationId")
        lost = (loss("StartTransaction", LossReason.POLICY_DROPS, "reservationId"),)
        playbook = connected(charge_point, central_system)
        assert (
            playbook
            << by(policy, calls(CP, "c1", request))
            >> sends(CS, "h1", START, losses=lost)
            << answers(CS, "h1", START_CONF)
            >> tells(CP, "c1", START_CONF)
            << by(policy, calls(CP, "c2", request))
            >> tells(CP, "c2", START_CONF)
        )


_TREATMENTS = st.sampled_from([None, *Treatment])
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(Party), _TREATMENTS, st.sampled_from([0.5, 3.0, 25.0, 40.0]), st.sampled_from([0.0, 0.2, 7.0])
    ),
    max_size=12,
)


@pytest.mark.parametrize(("charge_point", "central_system"), LEGS)
@given(_STEPS, st.booleans())
def test_each_call_gets_one_answer_in_time_and_those_that_pass_stay_in_order(
    charge_point: Any, central_system: Any, steps: list[tuple[Party, Treatment | None, float, float]], silent: bool
) -> None:
    """Rules 1, 2 and 27, for any mixture of policies. If the other party is silent, time ends the Calls."""
    stage = Stage(charge_point, central_system)
    stage.tell(up(CP))
    stage.tell(up(CS))
    began: dict[str, float] = {}
    sent: dict[str, float] = {}
    told: dict[str, float] = {}
    order: dict[Party, list[str]] = {CP: [], CS: []}

    def see(commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, SendCall) and isinstance(command.call.payload, DataTransferRequest):
                name = command.call.payload.messageId or ""
                assert command.deadline == began[name] + 30
                sent[name] = stage.now
                order[command.party].append(name)
                if not silent:
                    see(stage.tell(answers(command.party, command.call.unique_id, DONE)))
            elif isinstance(command, SendAnswer):
                assert command.key not in told
                told[command.key] = stage.now

    passing: dict[Party, list[str]] = {CP: [], CS: []}
    earliest: dict[str, float] = {}
    for number, (party, do, seconds, pause) in enumerate(steps):
        name, policy = str(number), None
        began[name] = stage.now
        if do is not None:
            given = {"answer": DONE} if do is Treatment.ANSWER else {}
            field = ("data",) if do is Treatment.DROP_FIELD else ()
            delay = seconds if do is Treatment.DELAY else 0.0
            policy = rule("DataTransfer", sender=party, do=do, field=field, seconds=delay, **given)
            earliest[name] = stage.now + min(delay, 30.0)
        if policy is None or policy.passes:
            passing[party.other].append(name)
        payload = DataTransferRequest(vendorId="v", messageId=name, data="d")
        event = calls(party, name, payload)
        see(stage.tell(structs.replace(event, policy=policy)))
        for commands in stage.wait(pause):
            see(commands)
    for commands in stage.wait(100):
        see(commands)
    assert stage.session.in_progress() == 0
    assert set(told) == set(began)
    assert all(told[name] <= began[name] + 30 for name in told)
    assert all(sent[name] >= earliest.get(name, 0.0) for name in sent)
    for party, names in order.items():
        late = [name for name in passing[party] if name not in sent]
        assert names == [name for name in passing[party] if name in sent]
        assert all(told[name] == began[name] + 30 for name in late)


def test_a_policy_comes_before_the_memory_of_answers() -> None:
    """A StartTransaction that the Central System has answered is refused, now that a policy says so."""
    other = StartTransactionResponse(transactionId=99, idTagInfo=START_CONF.idTagInfo)
    assert (
        connected()
        << calls(CP, "c1", START)
        >> sends(CS, "h1", START)
        << answers(CS, "h1", START_CONF)
        >> tells(CP, "c1", START_CONF)
        << by(rule("StartTransaction"), calls(CP, "c2", START))
        >> tells_error(CP, "c2", ErrorCode.NotSupported)
        << by(answering(other, "StartTransaction"), calls(CP, "c3", START))
        >> tells(CP, "c3", other)
        << by(delaying(5, "StartTransaction"), calls(CP, "c4", START))
        << wait(5)
        >> tells(CP, "c4", START_CONF)
    )


def test_a_repetition_of_a_delayed_start_waits_behind_it_and_gets_its_answer() -> None:
    playbook = connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
    policy = delaying(10, "StartTransaction")
    assert (
        playbook
        << by(policy, calls(CP, "c1", START))
        << wait(5)
        << by(policy, calls(CP, "c2", START))
        << wait(5)
        >> sends(CS, "h1", START, losses=(loss("StartTransaction", LossReason.POLICY_DELAYS),))
        << wait(5)
        << answers(CS, "h1", START_CONF)
        >> tells(CP, "c1", START_CONF)
        >> tells(CP, "c2", START_CONF)
    )
    assert playbook.session.in_progress() == 0


def test_a_frame_that_repeats_a_delayed_call_gets_no_answer_of_its_own() -> None:
    """Rules 3 and 19."""
    playbook = connected(JSON_CHARGE_POINT, RELAYED_CENTRAL_SYSTEM)
    assert (
        playbook
        << by(delaying(10), calls(CP, "c1", AUTHORIZE))
        << by(delaying(10), calls(CP, "c1", AUTHORIZE))
        << calls(CP, "c1", HEARTBEAT)
        >> tells_error(CP, "c1", ErrorCode.ProtocolError)
        << wait(10)
        >> sends(CS, "h1", AUTHORIZE, losses=(loss("Authorize", LossReason.POLICY_DELAYS),))
    )
    assert [report.outcome for report in playbook.reports] == [Outcome.RETRANSMITTED, Outcome.REFUSED]


def test_a_frame_that_repeats_a_changed_call_is_recognised() -> None:
    """Rule 19 compares the frames as they go on."""
    request, policy = structs.replace(BOOT, iccid="8931"), dropping("BootNotification", "iccid")
    playbook = connected(JSON_CHARGE_POINT, RELAYED_CENTRAL_SYSTEM)
    assert (
        playbook
        << by(policy, calls(CP, "c1", request))
        >> sends(CS, "h1", BOOT, losses=(loss("BootNotification", LossReason.POLICY_DROPS, "iccid"),))
        << by(policy, calls(CP, "c1", request))
    )
    assert [report.outcome for report in playbook.reports] == [Outcome.RETRANSMITTED]


def test_a_delayed_call_of_a_party_that_hangs_up_is_not_sent() -> None:
    """Rule 8."""
    playbook = connected(JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
    assert playbook << by(delaying(10), calls(CP, "c1", AUTHORIZE)) << down(CP) << wait(100)
    assert [report.outcome for report in playbook.reports] == [Outcome.ABANDONED]
    assert playbook.session.in_progress() == 0


def test_a_delay_outlasts_a_lost_link_of_the_receiver() -> None:
    policy = delaying(10)
    lost = (loss("Authorize", LossReason.POLICY_DELAYS),)
    playbook = connected(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
    assert (
        playbook
        << by(policy, calls(CP, "c1", AUTHORIZE))
        << down(CS)
        << wait(9)
        << up(CS)
        << wait(1)
        >> sends(CS, "h1", AUTHORIZE, losses=lost)
    )


def test_a_call_that_comes_before_a_late_timer_does_not_overtake() -> None:
    stage = Stage(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
    for event in (up(CP), up(CS), by(delaying(10), calls(CP, "c1", AUTHORIZE))):
        stage.tell(event)
    stage.now = 11.0  # the timer of second 10 has not fired yet
    sent = [each.call.action for each in stage.tell(calls(CP, "c2", HEARTBEAT)) if isinstance(each, SendCall)]
    assert sent == ["Authorize"]
    sent = [each.call.action for each in stage.tell(answers(CS, "h1", AUTHORIZE_CONF)) if isinstance(each, SendCall)]
    assert sent == ["Heartbeat"]


def test_the_link_to_the_central_system_stays_open_for_a_delayed_call() -> None:
    """Rule 9: the Charge Point is silent because it waits."""
    lost = (loss("Authorize", LossReason.POLICY_DELAYS),)
    playbook = connected(idle_default=5.0)
    assert (
        playbook
        << by(delaying(20), calls(CP, "c1", AUTHORIZE))
        << wait(20)
        >> sends(CS, "h1", AUTHORIZE, losses=lost)
        << answers(CS, "h1", AUTHORIZE_CONF)
        >> tells(CP, "c1", AUTHORIZE_CONF)
        >> closes(CS)
    )


def test_a_delay_never_outlasts_the_time_of_its_call() -> None:
    """Rule 1: also if the time was shortened after the policy was checked."""
    playbook = connected(call_timeout=10)
    assert playbook << by(delaying(40), calls(CP, "c1", AUTHORIZE)) << wait(10) >> tells_unanswered(CP, "c1")
    assert playbook.session.in_progress() == 0


def test_a_boot_that_is_answered_here_sets_the_heartbeat_interval_and_is_never_replayed() -> None:
    answer = boot_conf(interval=7200)
    assert isinstance(answer, BootNotificationResponse)
    playbook = Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM, replay_boot=True) << up(CP)
    assert playbook << by(answering(answer, "BootNotification"), calls(CP, "c1", BOOT)) >> tells(CP, "c1", answer)
    assert playbook.session.heartbeat == 7200
    assert playbook << up(CS)


def test_a_copy_obeys_the_policy_of_its_receiver() -> None:
    """design/central-systems.md M1: a StatusNotification goes to the holder of the connector's transaction as well."""
    call = Call(unique_id="1", action="Authorize", payload=AUTHORIZE)

    def copy(policy: PolicyRule | None) -> CopyReceived:
        return CopyReceived(at=0, call=call, policy=policy)

    assert (
        connected()
        << copy(rule())
        << copy(answering(AUTHORIZE_CONF, "Authorize"))
        << copy(delaying(5))
        << copy(None)
        << wait(5)
        >> sends(CS, "h3", AUTHORIZE, losses=(loss("Authorize", LossReason.POLICY_DELAYS),))
        << answers(CS, "h3", AUTHORIZE_CONF)
        >> sends(CS, "h4", AUTHORIZE)
    )


def test_a_delayed_call_goes_on_in_another_process() -> None:
    stage = Stage(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM)
    stage.tell(up(CP))
    stage.tell(up(CS))
    assert not [each for each in stage.tell(by(delaying(10), calls(CP, "c1", AUTHORIZE))) if hasattr(each, "call")]
    octets = ChargePoint("CP 1", stage.session).snapshot(at=4.0)

    def session(sides: Any) -> Session:
        return Session(sides, stage.terms, mint=lambda: "other", chance=lambda: 0.0)

    restored = ChargePoint.restore(octets, 1004.0, session)
    assert [each for each in restored.session.handle(TimerFired(at=1009.9)) if hasattr(each, "call")] == []
    commands = restored.session.handle(TimerFired(at=1010.0))
    assert sends(CS, "other", AUTHORIZE, deadline=1030.0, losses=commands[0].call.losses) in commands  # type: ignore[union-attr]
