"""What a Session remembers: answers that were given, transactions renamed, connectors."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core import memory, transaction_ids
from bridge.core.authorizations import Authorized
from bridge.core.boots import Booted
from bridge.core.connectors import Connectors, ConnectorState, LastStatus
from bridge.core.memory import Alias, Aliases, Record
from bridge.core.observed import Observed
from bridge.core.repetitions import Answered, Asked
from bridge.core.silence import Presence
from bridge.core.transactions import KnownTransaction
from bridge.ocpp.actions import ACTIONS
from bridge.ocpp.enums import (
    ChargePointErrorCode,
    ChargePointStatus,
    ChargingProfileKindType,
    ChargingProfilePurposeType,
    ChargingRateUnitType,
    RemoteStartStopStatus,
)
from bridge.ocpp.messages import (
    MeterValuesRequest,
    RemoteStartTransactionRequest,
    RemoteStopTransactionRequest,
    RemoteStopTransactionResponse,
    SetChargingProfileRequest,
    StatusNotificationRequest,
    StatusNotificationResponse,
)
from bridge.ocpp.types import ChargingProfile, ChargingSchedule, ChargingSchedulePeriod
from tests.core.samples import (
    BOOT,
    HEARTBEAT,
    REMOTE_START,
    START,
    START_CONF,
    STOP,
    STOP_CONF,
    data,
    start,
    start_conf,
    stop,
)

MOST = 2**31 - 1
WIDE, WIDER = 2**31, 2**40
DAY = 24 * 3600.0


def profile(transaction_id: int | None) -> ChargingProfile:
    schedule = ChargingSchedule(
        chargingRateUnit=ChargingRateUnitType.A,
        chargingSchedulePeriod=(ChargingSchedulePeriod(startPeriod=0, limit=Decimal(16)),),
    )
    return ChargingProfile(
        chargingProfileId=1,
        transactionId=transaction_id,
        stackLevel=0,
        chargingProfilePurpose=ChargingProfilePurposeType.TxProfile,
        chargingProfileKind=ChargingProfileKindType.Relative,
        chargingSchedule=schedule,
    )


def set_profile(transaction_id: int | None) -> SetChargingProfileRequest:
    return SetChargingProfileRequest(connectorId=1, csChargingProfiles=profile(transaction_id))


def remote_start(transaction_id: int | None) -> RemoteStartTransactionRequest:
    return RemoteStartTransactionRequest(idTag="TAG", chargingProfile=profile(transaction_id))


# Wherever OCPP 1.6 has a transactionId, and how it is read there.
PLACES: list[Any] = [
    start_conf,
    stop,
    lambda transaction_id: RemoteStopTransactionRequest(transactionId=transaction_id),
    lambda transaction_id: MeterValuesRequest(connectorId=1, meterValue=(), transactionId=transaction_id),
    set_profile,
    remote_start,
]
# Far and near, and most of all where the names lie.
NEAR = st.integers(-3, 3)
IDS = (
    st.integers()
    | NEAR
    | NEAR.map(lambda n: MOST + n)
    | NEAR.map(lambda n: MOST - 2**20 + n)
    | NEAR.map(lambda n: -(2**31) + n)
    | NEAR.map(lambda n: 2**53 + n)
)


def id_in(payload: Any) -> Any:
    """The transactionId, wherever it is."""
    for name in ("csChargingProfiles", "chargingProfile"):
        payload = getattr(payload, name, None) or payload
    return payload.transactionId


class TestAliases:
    """transactionIds beyond 32 bits."""

    @given(st.lists(st.tuples(st.sampled_from(PLACES), IDS), max_size=30))
    def test_there_and_back_again(self, messages: list[tuple[Any, int]]) -> None:
        """Whatever the ids are: each fits when it goes out, and is what it was when it comes back; then, at once and
        after a restart."""
        aliases, records = Aliases(()), list[Alias]()
        went: dict[int, int] = {}
        for make, transaction_id in messages:
            payload = make(transaction_id)
            outward, made = aliases.outward(payload)
            records += made
            name = id_in(outward)
            assert -(2**31) <= name <= MOST
            assert went.setdefault(transaction_id, name) == name, "it has one name for ever"
            if not -(2**31) <= transaction_id <= MOST:
                assert name > 0
            assert outward == make(name)
            assert aliases.inward(outward) == payload
        assert len(set(went.values())) == len(went), "no two have one name"
        again = Aliases(records)
        for transaction_id, name in went.items():
            assert id_in(again.inward(stop(name))) == transaction_id
            assert again.outward(stop(transaction_id)) == (stop(name), [])

    @given(st.lists(IDS, unique=True, max_size=10), st.lists(IDS, unique=True, max_size=10))
    def test_a_restart_gives_no_name_twice(self, before: list[int], after: list[int]) -> None:
        first = Aliases(())
        records = [alias for wide in before for alias in first.outward(stop(wide))[1]]
        second = Aliases(records)
        records += [alias for wide in after for alias in second.outward(stop(wide))[1]]
        assert len({record.alias for record in records}) == len({record.transaction_id for record in records})
        assert len(records) == len({record.alias for record in records})

    @pytest.mark.parametrize("make", PLACES)
    @pytest.mark.parametrize("small", [-(2**31), -1, 0, 1, 10**9, MOST - 2**20])
    def test_what_fits_passes_as_it_is(self, make: Any, small: int) -> None:
        aliases, payload = Aliases((Alias(transaction_id=WIDE, alias=MOST),)), make(small)
        outward, made = aliases.outward(payload)
        assert outward is payload and not made
        assert aliases.inward(payload) is payload

    @pytest.mark.parametrize("make", [set_profile, remote_start, PLACES[3]])
    def test_what_is_absent_stays_so(self, make: Any) -> None:
        aliases, payload = Aliases((Alias(transaction_id=WIDE, alias=MOST),)), make(None)
        assert aliases.outward(payload) == (payload, [])
        assert aliases.inward(payload) is payload

    @pytest.mark.parametrize("payload", [HEARTBEAT, BOOT, START, REMOTE_START, STOP_CONF, data("x")])
    def test_what_has_no_transaction_passes(self, payload: Any) -> None:
        aliases = Aliases((Alias(transaction_id=WIDE, alias=MOST),))
        assert aliases.outward(payload)[0] is payload is aliases.inward(payload)

    def test_names_are_given_from_the_top_down(self) -> None:
        """Central Systems count from the bottom up."""
        aliases = Aliases(())
        assert aliases.outward(start_conf(WIDE)) == (start_conf(MOST), [Alias(transaction_id=WIDE, alias=MOST)])
        assert aliases.outward(start_conf(-WIDER)) == (
            start_conf(MOST - 1),
            [Alias(transaction_id=-WIDER, alias=MOST - 1)],
        )
        assert aliases.outward(start_conf(WIDE)) == (start_conf(MOST), [])

    def test_one_that_was_forgotten_is_not_given_again(self) -> None:
        """The store keeps the latest."""
        aliases = Aliases((Alias(transaction_id=WIDE, alias=MOST - 1000),))
        assert aliases.outward(stop(WIDER))[0] == stop(MOST - 1001)

    def test_the_oldest_name_is_forgotten_when_there_are_too_many(self) -> None:
        aliases = Aliases((), limit=2)
        for number in range(3):
            assert aliases.outward(stop(WIDE + number))[0] == stop(MOST - number)
        assert aliases.inward(stop(MOST)) == stop(MOST)
        assert aliases.inward(stop(MOST - 1)) == stop(WIDE + 1)
        assert aliases.outward(stop(WIDE))[0] == stop(MOST - 3)

    def test_an_id_that_is_the_name_of_another_gets_one_too(self) -> None:
        aliases = Aliases((Alias(transaction_id=WIDE, alias=MOST),))
        assert aliases.outward(stop(MOST)) == (stop(MOST - 1), [Alias(transaction_id=MOST, alias=MOST - 1)])
        assert aliases.inward(stop(MOST - 1)) == stop(MOST)

    def test_an_id_that_came_first_is_nobody_elses_name(self) -> None:
        aliases = Aliases(())
        assert aliases.outward(stop(MOST)) == (stop(MOST), [Alias(transaction_id=MOST, alias=MOST)])
        assert aliases.outward(stop(WIDE)) == (stop(MOST - 1), [Alias(transaction_id=WIDE, alias=MOST - 1)])
        assert aliases.inward(stop(MOST)) == stop(MOST)

    def test_what_was_never_renamed_comes_back_as_it_is(self) -> None:
        assert Aliases(()).inward(STOP) is STOP
        assert Aliases((Alias(transaction_id=WIDE, alias=MOST),)).inward(STOP) is STOP


def status(value: ChargePointStatus, connector: int = 1) -> StatusNotificationRequest:
    return StatusNotificationRequest(connectorId=connector, status=value, errorCode=ChargePointErrorCode.NoError)


STATUS_CONF = StatusNotificationResponse()
Available, Preparing, Charging = ChargePointStatus.Available, ChargePointStatus.Preparing, ChargePointStatus.Charging


class TestConnectors:
    """What is known of them, from the messages that pass."""

    def test_a_session_of_charging(self) -> None:
        connectors = Connectors(())
        assert connectors.see(status(Preparing), STATUS_CONF) == ConnectorState(number=1, status="Preparing")
        assert connectors.see(START, START_CONF) == ConnectorState(number=1, status="Preparing", transaction_id=7)
        assert connectors.see(status(Charging), STATUS_CONF) == ConnectorState(
            number=1, status="Charging", transaction_id=7
        )
        assert connectors.see(STOP, STOP_CONF) == ConnectorState(number=1, status="Charging", ended=True)
        finishing = ConnectorState(number=1, status="Finishing", ended=True)
        assert connectors.see(status(ChargePointStatus.Finishing), STATUS_CONF) == finishing
        assert connectors.see(status(Available), STATUS_CONF) == ConnectorState(number=1, status="Available")
        assert connectors.of(1) == ConnectorState(number=1, status="Available")

    def test_nothing_new_is_no_record(self) -> None:
        connectors = Connectors((ConnectorState(number=1, status="Charging", transaction_id=7),))
        assert connectors.see(status(Charging), STATUS_CONF) is None
        assert connectors.see(START, START_CONF) is None

    @pytest.mark.parametrize(("value", "ended"), [(value, value is not Preparing) for value in ChargePointStatus])
    def test_a_transaction_is_over_until_the_connector_is_free(self, value: ChargePointStatus, ended: bool) -> None:
        free = value in (Available, ChargePointStatus.Reserved, ChargePointStatus.Unavailable)
        connectors = Connectors((ConnectorState(number=1, status="Charging", ended=True),))
        connectors.see(status(value), STATUS_CONF)
        assert connectors.of(1) == ConnectorState(number=1, status=value.value, ended=ended and not free)

    def test_the_next_transaction_begins_anew(self) -> None:
        connectors = Connectors((ConnectorState(number=1, ended=True),))
        assert connectors.see(START, start_conf(8)) == ConnectorState(number=1, transaction_id=8)

    def test_each_is_on_its_own(self) -> None:
        connectors = Connectors(
            (ConnectorState(number=1, transaction_id=7), ConnectorState(number=2, transaction_id=8))
        )
        connectors.see(status(Available, connector=0), STATUS_CONF)
        assert connectors.see(stop(8), STOP_CONF) == ConnectorState(number=2, ended=True)
        assert connectors.of(1) == ConnectorState(number=1, transaction_id=7)
        assert connectors.of(0) == ConnectorState(number=0, status="Available")
        assert connectors.of(9) == ConnectorState(number=9)

    def test_a_transaction_that_nobody_knows_is_nowhere(self) -> None:
        """It was started before the bridge was there."""
        connectors = Connectors((ConnectorState(number=1),))
        assert connectors.see(STOP, STOP_CONF) is None
        assert connectors.of(1) == ConnectorState(number=1)

    @pytest.mark.parametrize(
        ("request_", "response"),
        [
            (HEARTBEAT, None),
            (START, None),
            (STOP, None),
            (
                RemoteStopTransactionRequest(transactionId=7),
                RemoteStopTransactionResponse(status=RemoteStartStopStatus.Accepted),
            ),
        ],
    )
    def test_other_messages_say_nothing(self, request_: Any, response: Any) -> None:
        connectors = Connectors((ConnectorState(number=1, transaction_id=7),))
        assert connectors.see(request_, response) is None
        assert connectors.of(1) == ConnectorState(number=1, transaction_id=7)

    def test_a_restart_forgets_nothing(self) -> None:
        connectors, records = Connectors(()), dict[int, ConnectorState]()
        for request, response in [(START, START_CONF), (status(Charging), STATUS_CONF), (start(2), start_conf(8))]:
            record = connectors.see(request, response)
            assert record is not None
            records[record.number] = record
        assert Connectors(records.values()).by_number == connectors.by_number


def test_no_message_with_a_transaction_id_is_passed_over() -> None:
    messages = [message for action in ACTIONS.values() for message in (action.request, action.response)]
    with_ids = {message for message in messages if "transactionId" in str(msgspec.json.schema(message))}
    assert with_ids == transaction_ids.WITH_IDS


def test_all_of_it_is_records() -> None:
    fields = {
        "answered",
        "asked",
        "aliases",
        "connectors",
        "transactions",
        "statuses",
        "authorizations",
        "presence",
        "boot",
        "introduce",
        "older_version",
    }
    assert set(memory.SessionMemory.__struct_fields__) == fields
    kept = Answered | Asked | Alias | Authorized | Booted | ConnectorState | LastStatus | Presence | KnownTransaction
    # What was observed is for the further Central Systems, and no Session has to know it again.
    assert kept | Observed == Record
