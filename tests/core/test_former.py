"""What a Central System may do with a Charge Point that was moved away from it: stop its transactions, and no more."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from bridge.core.former import REFUSALS, permitted, refusal_of
from bridge.core.transactions import Transactions
from bridge.errors import ErrorCode
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.enums import ResetType
from bridge.ocpp.messages import (
    RemoteStopTransactionRequest,
    Request,
    ResetRequest,
    SetChargingProfileRequest,
)
from bridge.ocpp.rpc import Call, CallError, CallResult, UnopenedRequest
from tests.core.playbook import call_of
from tests.core.samples import start

COMMANDS = [name for name, action in ACTIONS.items() if Party.CENTRAL_SYSTEM in action.senders]
WITHOUT_STATUS = {"GetDiagnostics", "GetLocalListVersion", "UpdateFirmware"}
ALIAS = 2_000_000_000


def table() -> Transactions:
    """`main` named 3, and so did `new`, whose 3 the Charge Point knows by an alias."""
    transactions = Transactions(home="new")
    transactions.started("main", start(), 3, lambda: ALIAS, 0.0)
    transactions.started("new", start(connector=2), 3, lambda: ALIAS, 0.0)
    return transactions


def asked(payload: Request, name: str) -> Request | None:
    allowed = permitted(call_of("1", payload), name, table())
    return None if allowed is None else allowed.payload


@pytest.mark.parametrize("action", COMMANDS)
def test_every_command_has_a_refusal_that_its_sender_can_read(action: str) -> None:
    refusal = refusal_of(Call(unique_id="7", action=action, payload=ResetRequest(type=ResetType.Soft)))
    assert refusal.unique_id == "7"
    if action in WITHOUT_STATUS:
        assert isinstance(refusal, CallError) and refusal.code == ErrorCode.NotSupported
        return
    assert isinstance(refusal, CallResult)
    assert type(refusal.payload) is ACTIONS[action].response
    assert msgspec.json.decode(msgspec.json.encode(refusal.payload), type=ACTIONS[action].response) == refusal.payload


def test_only_commands_have_one() -> None:
    assert set(REFUSALS) == set(COMMANDS) - WITHOUT_STATUS


def test_it_may_stop_its_own_transactions() -> None:
    assert asked(RemoteStopTransactionRequest(transactionId=3), "main") == RemoteStopTransactionRequest(transactionId=3)
    alias = RemoteStopTransactionRequest(transactionId=ALIAS)
    assert asked(RemoteStopTransactionRequest(transactionId=3), "new") == alias
    for name in ("main", "new"):
        assert asked(RemoteStopTransactionRequest(transactionId=4), name) is None
    assert asked(RemoteStopTransactionRequest(transactionId=3), "third") is None


def test_it_may_set_their_charging_profiles_and_no_others() -> None:
    def profile(number: int | None) -> SetChargingProfileRequest:
        inside = {
            "chargingProfileId": 1,
            "stackLevel": 0,
            "chargingProfilePurpose": "TxProfile",
            "chargingProfileKind": "Relative",
            "chargingSchedule": {
                "chargingRateUnit": "A",
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16}],
            },
        } | ({} if number is None else {"transactionId": number})
        return msgspec.convert({"connectorId": 1, "csChargingProfiles": inside}, SetChargingProfileRequest)

    assert asked(profile(3), "main") == profile(3)
    assert asked(profile(3), "new") == profile(ALIAS)
    assert asked(profile(4), "main") is None and asked(profile(None), "main") is None


def test_what_passes_unread_is_judged_as_well() -> None:
    payload = UnopenedRequest(raw=Raw(b'{"transactionId": 3}'))
    allowed = permitted(Call(unique_id="1", action="RemoteStopTransaction", payload=payload), "new", table())
    assert allowed is not None and isinstance(allowed.payload, UnopenedRequest)
    assert msgspec.json.decode(allowed.payload.raw) == {"transactionId": ALIAS}
    assert permitted(Call(unique_id="1", action="Reset", payload=payload), "new", table()) is None
