"""The 28 actions, held to the WSDLs and to the schemas of the `ocpp` package."""

from __future__ import annotations

from pathlib import Path

import ocpp
import pytest

from bridge.ocpp import messages
from bridge.ocpp.actions import ACTIONS, SECURITY_EXTENSIONS, TRANSACTION_RELATED, Action, Party, Profile
from bridge.ocpp.messages import Request, Response
from bridge.ocpps import wsdl

SCHEMAS = Path(ocpp.__file__).parent / "v16" / "schemas"

CALLED = {Party.CHARGE_POINT: "CentralSystemService", Party.CENTRAL_SYSTEM: "ChargePointService"}


def test_there_are_28() -> None:
    assert len(ACTIONS) == 28
    assert [*ACTIONS] == sorted(ACTIONS)
    assert all(name == action.name for name, action in ACTIONS.items())


@pytest.mark.parametrize("party", Party)
def test_senders_are_those_who_can_call_the_service(party: Party) -> None:
    service = wsdl.load(wsdl.default_folder() / "ocpp16" / f"{CALLED[party]}.wsdl")
    assert {name for name, action in ACTIONS.items() if party in action.senders} == {*service.operations}
    assert party.other.other is party is not party.other


@pytest.mark.parametrize("action", ACTIONS.values(), ids=list(ACTIONS))
def test_an_action_names_its_pdus(action: Action) -> None:
    assert issubclass(action.request, Request)
    assert issubclass(action.response, Response)
    assert action.request.__name__ == f"{action.name}Request"
    assert action.response.__name__ == f"{action.name}Response"
    assert isinstance(action.profile, Profile)
    assert action.senders


def test_every_pdu_belongs_to_an_action() -> None:
    defined = {
        item
        for item in vars(messages).values()
        if isinstance(item, type) and issubclass(item, Request | Response) and item not in (Request, Response)
    }
    assert defined == {pdu for action in ACTIONS.values() for pdu in (action.request, action.response)}
    assert len(defined) == 56


# OCPP 1.6 edition 2, section 3.3, the table of messages and their profiles.
@pytest.mark.parametrize(
    ("profile", "count"),
    [
        (Profile.CORE, 16),
        (Profile.FIRMWARE_MANAGEMENT, 4),
        (Profile.LOCAL_AUTH_LIST_MANAGEMENT, 2),
        (Profile.RESERVATION, 2),
        (Profile.SMART_CHARGING, 3),
        (Profile.REMOTE_TRIGGER, 1),
    ],
)
def test_profiles(profile: Profile, count: int) -> None:
    assert len([action for action in ACTIONS.values() if action.profile is profile]) == count


def test_security_extensions_are_the_schemas_without_an_action() -> None:
    requests = {path.stem for path in SCHEMAS.glob("*.json") if not path.stem.endswith("Response")}
    assert requests - ACTIONS.keys() == SECURITY_EXTENSIONS
    assert requests >= ACTIONS.keys()


def test_transaction_related_messages_come_from_the_charge_point() -> None:
    assert {Party.CHARGE_POINT} == {party for name in TRANSACTION_RELATED for party in ACTIONS[name].senders}
