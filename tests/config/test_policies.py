"""[[policies]]: what each needs, and what is wrong with one that cannot be carried out."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from bridge.config import Policy, cautions
from bridge.errors import ErrorCode
from bridge.gateway.policies import policy_table_of
from bridge.ocpp.actions import ACTIONS, Action, Party
from bridge.ocpp.messages import AuthorizeResponse, Response
from tests.config import Files
from tests.ocpp.strategies import payloads

_written = msgspec.json.Encoder(decimal_format="number")


def table(**keys: Any) -> str:
    """A table with these keys; `sender` is the key `from`."""
    told = {"from": keys.pop("sender", "charge_point")} | {"action": "Authorize", "do": "refuse"} | keys
    return "[[policies]]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in told.items() if value is not None)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def test_without_any_nothing_is_decided(files: Files) -> None:
    assert files.load("").policies == ()


def test_the_keys_and_their_defaults(files: Files) -> None:
    [policy] = files.load(table()).policies
    assert policy == Policy(sender="charge_point", action="Authorize", do="refuse")
    assert (policy.charge_point, policy.central_system, policy.code) == ("*", "", None)
    rule = policy_table_of(files.load(table())).of("CP 1", "main")[Party.CHARGE_POINT, "Authorize"]
    assert rule.code is ErrorCode.NotSupported
    assert policy_table_of(files.load(table(code="SecurityError"))).of("CP 1", "main") != {}


def test_a_variable_sets_a_key_of_a_policy(files: Files) -> None:
    environ = {
        "OCPP_BRIDGE__POLICIES__0__FROM": "charge_point",
        "OCPP_BRIDGE__POLICIES__0__ACTION": "Authorize",
        "OCPP_BRIDGE__POLICIES__0__DO": "answer",
        "OCPP_BRIDGE__POLICIES__0__ANSWER": '{"idTagInfo": {"status": "Blocked"}}',
    }
    rule = policy_table_of(files.load("", environ)).of("CP 1", "main")[Party.CHARGE_POINT, "Authorize"]
    assert isinstance(rule.answer, AuthorizeResponse)
    assert rule.answer.idTagInfo.status == "Blocked"
    assert files.complaints("", environ | {"OCPP_BRIDGE__POLICIES__0__ANSWER": "yes"}) == [
        "environment: OCPP_BRIDGE__POLICIES__0__ANSWER: expected a table, got text"
    ]


@examples(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([*ACTIONS.values()]).flatmap(lambda each: st.tuples(st.just(each), payloads(each.response))))
def test_every_answer_of_the_model_can_be_written(files: Files, drawn: tuple[Action, Response]) -> None:
    action, payload = drawn
    data = json.loads(_written.encode(payload))
    data.pop("currentTime", None)
    sender = sorted(action.senders)[0]
    settings = files.load(table(sender=sender.value, action=action.name, do="answer", answer=data))
    answer = policy_table_of(settings).of("CP 1", "main")[sender, action.name].answer
    told = json.loads(_written.encode(answer))
    told.pop("currentTime", None)
    assert told == data


ACCEPTED = {"idTagInfo": {"status": "Accepted"}}
DELAY: dict[str, Any] = {"do": "delay", "seconds": 25}


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"sender": None}, "from: missing"),
        ({"action": None}, "action: missing"),
        ({"do": None}, "do: missing"),
        ({"sender": "cp"}, 'from: expected one of "charge_point", "central_system", got text "cp"'),
        ({"do": "drop"}, 'do: expected one of "answer", "refuse", "drop_field", "delay", got text "drop"'),
        ({"charge_point": " "}, "charge_point: is empty, a * takes every Charge Point"),
        ({"central_system": "mian"}, 'central_system: no central system is called "mian", did you mean main?'),
        ({"action": "Authorise"}, 'action: OCPP 1.6 has no action "Authorise", did you mean Authorize?'),
        ({"action": "x"}, 'action: OCPP 1.6 has no action "x"'),
        ({"action": "Reset"}, "action: no Charge Point sends Reset"),
        ({"sender": "central_system"}, "action: no Central System sends Authorize"),
        (
            {"action": "SignCertificate", "do": "answer", "answer": {"status": "Accepted"}},
            "action: SignCertificate passes unread: it can only be refused or delayed",
        ),
        ({"code": "Nope"}, 'code: expected one of "NotSupported",'),
        ({"do": "answer"}, 'answer: missing: do = "answer" needs it'),
        ({"do": "answer", "answer": "yes"}, "answer: expected a table, got text"),
        ({"do": "answer", "answer": {}}, "answer: is no answer to Authorize: idTagInfo: required, and missing"),
        (
            {"do": "answer", "answer": {"idTagInfo": {"status": "Yes"}}},
            "answer: is no answer to Authorize: idTagInfo.status: Invalid enum value 'Yes'",
        ),
        (
            {"action": "Heartbeat", "do": "answer", "answer": {"currentTime": "2026-01-02T03:04:05Z"}},
            "answer: is no answer to Heartbeat: currentTime: is always the present time: leave it out",
        ),
        ({"answer": ACCEPTED}, 'answer: is for do = "answer", and this policy has do = "refuse"'),
        ({"do": "drop_field"}, 'field: missing: do = "drop_field" needs it'),
        (
            {"action": "BootNotification", "do": "drop_field", "field": "icid"},
            "field: BootNotificationRequest has no field icid, its fields are: chargePointVendor, chargePointModel,",
        ),
        (
            {"do": "drop_field", "field": "idTag"},
            "field: AuthorizeRequest requires the field idTag: only an optional field can be dropped",
        ),
        ({"do": "delay"}, 'seconds: missing: do = "delay" needs it'),
        ({"do": "delay", "seconds": 0}, "seconds: expected more than 0 and at most 1000000000, got the integer 0"),
        (DELAY | {"seconds": 25.1}, "seconds: is at most 25: gateway.call_timeout is 30, and 5 are for the answer"),
        ({"seconds": 5}, 'seconds: is for do = "delay", and this policy has do = "refuse"'),
        ({"colour": "red"}, "colour: unknown key, known here are charge_point, from, central_system, tenant,"),
    ],
    ids=str,
)
def test_what_cannot_be_carried_out(files: Files, keys: dict[str, Any], complaint: str) -> None:
    content = table(**keys)
    if keys.get("sender", "") is None:
        content = content.replace("from = null\n", "")
    [said] = files.complaints(content)
    assert said.startswith(f"conf.toml: policies[0].{complaint}")


def test_every_policy_is_checked_and_named(files: Files) -> None:
    content = table() + table(action="x") + table(do="delay", seconds=26)
    assert [said.split(": ")[1] for said in files.complaints(content)] == ["policies[1].action", "policies[2].seconds"]


@pytest.mark.parametrize(
    ("timeouts", "sender", "longest", "key"),
    [
        ("[gateway]\ncall_timeout = 12\n", "charge_point", 7, "gateway.call_timeout is 12"),
        ("[gateway]\ncall_timeout = 3\n", "charge_point", 0, "gateway.call_timeout is 3"),
        ("", "central_system", 3, "routes[1].command_timeout is 8"),
        ("", "charge_point", 25, "gateway.call_timeout is 30"),
    ],
)
def test_a_delay_leaves_time_for_the_answer(files: Files, timeouts: str, sender: str, longest: int, key: str) -> None:
    routes = (
        '[central_systems.main]\nurl = "ws://127.0.0.1:1/x"\n'
        '[[routes]]\ncharge_point = "A*"\ncentral_system = "main"\ncommand_timeout = 90\n'
        '[[routes]]\ncharge_point = "*"\ncentral_system = "main"\ncommand_timeout = 8\n'
    )
    action = "DataTransfer"
    told = table(sender=sender, action=action, do="delay", seconds=longest + 0.5)
    assert files.complaints(timeouts + routes + told) == [
        f"conf.toml: policies[0].seconds: is at most {longest}: {key}, and 5 are for the answer"
    ]
    if longest:
        assert (
            files.complaints(timeouts + routes + table(sender=sender, action=action, do="delay", seconds=longest)) == []
        )


@pytest.mark.parametrize(("sender", "action"), [("charge_point", "SignCertificate"), ("central_system", "GetLog")])
def test_an_action_of_the_security_extensions_can_be_refused_and_delayed(
    files: Files, sender: str, action: str
) -> None:
    assert files.complaints(table(sender=sender, action=action)) == []
    assert files.complaints(table(sender=sender, action=action, **DELAY)) == []


def test_whoever_keeps_a_transaction_from_its_central_system_is_told(files: Files) -> None:
    started = {"transactionId": 1} | ACCEPTED
    content = (
        table(action="StartTransaction", do="answer", answer=started)
        + table(action="StopTransaction")
        + table(action="StopTransaction", **DELAY)
        + table(action="MeterValues")
    )
    said = [line for line in cautions(files.load(content)) if line.startswith("policies")]
    rest = "no Central System hears of it, and the Charge Point does not send it again"
    assert said == [
        f"policies[0]: a StartTransaction is answered here: {rest}",
        f"policies[1]: a StopTransaction is refused here: {rest}",
    ]
