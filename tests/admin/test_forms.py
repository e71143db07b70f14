"""What a form is made of is what the codec takes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from bridge.admin.forms import DANGEROUS, forms
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.messages import Request
from tests.admin.asked import api_of
from tests.e2e.stage import COMMANDS, running, settings
from tests.ocpp.strategies import calls

_number = msgspec.json.Encoder(decimal_format="number").encode


def fits(action: str, payload: Any) -> bool:
    """As a form sees it."""
    return Draft202012Validator(forms()[action].request_schema).is_valid(payload)


@pytest.mark.parametrize("action", COMMANDS)
def test_a_good_command_fits_its_form(action: str) -> None:
    assert fits(action, COMMANDS[action])
    assert not fits(action, COMMANDS[action] | {"unknown": 1})


@given(calls(soap=False, wide_ids=True))
def test_everything_that_the_model_has_fits(call: tuple[str, Party, Request]) -> None:
    action, _, request = call
    payload = msgspec.json.decode(_number(request))
    errors = Draft202012Validator(forms()[action].request_schema).iter_errors(payload)
    # Multiples of 0.1 are for decimals; a validator that counts in binary is no judge of them.
    assert [error.message for error in errors if error.validator != "multipleOf"] == []


def test_who_may_send_what_and_what_is_asked_twice() -> None:
    assert {name for name, form in forms().items() if form.dangerous} == DANGEROUS
    assert "RemoteStopTransaction" in DANGEROUS, "it interrupts charging as a Reset does"
    for name, form in forms().items():
        assert set(form.direction) == {party.value for party in ACTIONS[name].senders}
    assert forms()["DataTransfer"].direction == [Party.CHARGE_POINT, Party.CENTRAL_SYSTEM]


def test_a_form_in_a_browser_knows_no_python() -> None:
    """No pattern in Python's syntax, no null where a field is left out, numbers that are numbers."""
    told = msgspec.json.encode(forms()).decode()
    assert "\\\\A" not in told and '"null"' not in told and '"decimal"' not in told
    limit = forms()["SetChargingProfile"].request_schema["$defs"]["ChargingSchedulePeriod"]["properties"]["limit"]
    assert limit == {"type": "number", "multipleOf": 0.1}
    expiry = forms()["ReserveNow"].request_schema["$defs"]["ReserveNowRequest"]["properties"]["expiryDate"]
    assert expiry == {"type": "string", "format": "date-time"}


async def test_they_are_served() -> None:
    async with running(settings("ws://127.0.0.1:1/")) as gateway, api_of(gateway) as api:
        assert (await api.get("/actions")).keys() == ACTIONS.keys()
