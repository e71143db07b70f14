"""What a Session remembers: answers that were given, transactions renamed, connectors."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bridge.core import memory
from bridge.core.connectors import Connector, Connectors
from bridge.core.memory import Alias, Aliases, Answered, Record, Retries, fingerprint
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
    AUTHORIZE,
    BOOT,
    HEARTBEAT,
    REMOTE_START,
    START,
    START_CONF,
    STOP,
    STOP_CONF,
    TRIGGER,
    data,
    start,
    start_conf,
    stop,
)

MOST = 2**31 - 1
WIDE, WIDER = 2**31, 2**40
DAY = 24 * 3600.0


class TestFingerprint:
    """What makes two messages the same one, sent twice: rule 68 of the field."""

    def test_of_equal_ones_is_equal(self) -> None:
        assert fingerprint(start()) == fingerprint(start()) is not None
        assert fingerprint(stop(7)) == fingerprint(stop(7)) is not None

    @pytest.mark.parametrize(
        "change", [{"connectorId": 2}, {"idTag": "tag"}, {"timestamp": "2026-03-01T12:00:01Z"}, {"meterStart": 1}]
    )
    def test_of_another_start_is_another(self, change: dict[str, Any]) -> None:
        assert fingerprint(structs.replace(START, **change)) != fingerprint(START)

    @pytest.mark.parametrize(
        "change", [{"transactionId": 8}, {"idTag": "TAG"}, {"timestamp": "2026-03-01T12:00:01Z"}, {"meterStop": 1}]
    )
    def test_of_another_stop_is_another(self, change: dict[str, Any]) -> None:
        assert fingerprint(structs.replace(STOP, **change)) != fingerprint(STOP)

    def test_what_else_it_says_does_not_matter(self) -> None:
        """A Charge Point may have learnt more in between."""
        assert fingerprint(structs.replace(START, reservationId=3)) == fingerprint(START)
        assert fingerprint(structs.replace(STOP, transactionData=())) == fingerprint(STOP)

    def test_a_start_is_no_stop(self) -> None:
        first, second = start(connector=7, meter=5), structs.replace(stop(7, meter=5), idTag="TAG")
        assert fingerprint(first) != fingerprint(second)

    @pytest.mark.parametrize("payload", [HEARTBEAT, AUTHORIZE, BOOT, TRIGGER, REMOTE_START, data("x"), None, object()])
    def test_of_what_may_be_sent_twice_there_is_none(self, payload: object) -> None:
        assert fingerprint(payload) is None

    @given(st.text(), st.text(), st.text(), st.text())
    def test_no_text_looks_like_two(self, tag: str, when: str, other_tag: str, other_when: str) -> None:
        first = structs.replace(START, idTag=tag, timestamp=when)
        second = structs.replace(START, idTag=other_tag, timestamp=other_when)
        assert (fingerprint(first) == fingerprint(second)) == ((tag, when) == (other_tag, other_when))


class TestRetries:
    """The answers that were given."""

    def answered(self, number: int) -> Answered:
        return Answered(fingerprint=str(number), answer=start_conf(number))

    def test_an_answer_is_known_by_its_fingerprint(self) -> None:
        retries = Retries([self.answered(1)])
        retries.add(self.answered(2), 0.0)
        assert [retries.answer_to(mark, 0.0) for mark in ("1", "2")] == [start_conf(1), start_conf(2)]

    @pytest.mark.parametrize("mark", [None, "", "3"])
    def test_another_is_not(self, mark: str | None) -> None:
        assert Retries([self.answered(1)]).answer_to(mark, 0.0) is None

    def test_the_oldest_is_forgotten_when_there_are_too_many(self) -> None:
        retries = Retries([self.answered(1), self.answered(2)], limit=2)
        retries.add(self.answered(3), 0.0)
        assert [retries.answer_to(str(number), 0.0) for number in (1, 2, 3)] == [None, start_conf(2), start_conf(3)]

    def test_the_same_takes_no_second_place(self) -> None:
        retries = Retries([self.answered(1), self.answered(2)], limit=2)
        retries.add(structs.replace(self.answered(2), answer=STOP_CONF), 0.0)
        assert [retries.answer_to(mark, 0.0) for mark in ("1", "2")] == [start_conf(1), STOP_CONF]

    def test_a_thousand(self) -> None:
        retries = Retries(self.answered(number) for number in range(1000))
        assert retries.answer_to("0", 0.0) is not None
        retries.add(self.answered(1000), 0.0)
        assert (retries.answer_to("0", 0.0), retries.answer_to("1", 0.0)) == (None, start_conf(1))

    def test_after_a_week_it_is_another_message(self) -> None:
        retries = Retries([Answered(fingerprint="1", answer=start_conf(1), age=DAY)])
        retries.add(self.answered(2), 100.0)
        week = 100.0 + 7 * DAY
        assert [retries.answer_to(mark, week - DAY) for mark in ("1", "2")] == [start_conf(1), start_conf(2)]
        assert [retries.answer_to(mark, week) for mark in ("1", "2")] == [None, start_conf(2)]
        assert retries.answer_to("2", week + 1) is None

    def test_what_is_too_old_takes_no_room(self) -> None:
        retries = Retries([self.answered(1), self.answered(2)])
        retries.add(self.answered(3), 0.0)
        retries.add(self.answered(4), 8 * DAY)
        assert [retries.answer_to(str(number), 0.0) for number in (1, 2, 3, 4)] == [None, None, None, start_conf(4)]


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
        assert connectors.see(status(Preparing), STATUS_CONF) == Connector(number=1, status="Preparing")
        assert connectors.see(START, START_CONF) == Connector(number=1, status="Preparing", transaction_id=7)
        assert connectors.see(status(Charging), STATUS_CONF) == Connector(number=1, status="Charging", transaction_id=7)
        assert connectors.see(STOP, STOP_CONF) == Connector(number=1, status="Charging", ended=True)
        finishing = Connector(number=1, status="Finishing", ended=True)
        assert connectors.see(status(ChargePointStatus.Finishing), STATUS_CONF) == finishing
        assert connectors.see(status(Available), STATUS_CONF) == Connector(number=1, status="Available")
        assert connectors.of(1) == Connector(number=1, status="Available")

    def test_nothing_new_is_no_record(self) -> None:
        connectors = Connectors((Connector(number=1, status="Charging", transaction_id=7),))
        assert connectors.see(status(Charging), STATUS_CONF) is None
        assert connectors.see(START, START_CONF) is None

    @pytest.mark.parametrize(("value", "ended"), [(value, value is not Preparing) for value in ChargePointStatus])
    def test_a_transaction_is_over_until_the_connector_is_free(self, value: ChargePointStatus, ended: bool) -> None:
        free = value in (Available, ChargePointStatus.Reserved, ChargePointStatus.Unavailable)
        connectors = Connectors((Connector(number=1, status="Charging", ended=True),))
        connectors.see(status(value), STATUS_CONF)
        assert connectors.of(1) == Connector(number=1, status=value.value, ended=ended and not free)

    def test_the_next_transaction_begins_anew(self) -> None:
        connectors = Connectors((Connector(number=1, ended=True),))
        assert connectors.see(START, start_conf(8)) == Connector(number=1, transaction_id=8)

    def test_each_is_on_its_own(self) -> None:
        connectors = Connectors((Connector(number=1, transaction_id=7), Connector(number=2, transaction_id=8)))
        connectors.see(status(Available, connector=0), STATUS_CONF)
        assert connectors.see(stop(8), STOP_CONF) == Connector(number=2, ended=True)
        assert connectors.of(1) == Connector(number=1, transaction_id=7)
        assert connectors.of(0) == Connector(number=0, status="Available")
        assert connectors.of(9) == Connector(number=9)

    def test_a_transaction_that_nobody_knows_is_nowhere(self) -> None:
        """It was started before the bridge was there."""
        connectors = Connectors((Connector(number=1),))
        assert connectors.see(STOP, STOP_CONF) is None
        assert connectors.of(1) == Connector(number=1)

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
        connectors = Connectors((Connector(number=1, transaction_id=7),))
        assert connectors.see(request_, response) is None
        assert connectors.of(1) == Connector(number=1, transaction_id=7)

    def test_a_restart_forgets_nothing(self) -> None:
        connectors, records = Connectors(()), dict[int, Connector]()
        for request, response in [(START, START_CONF), (status(Charging), STATUS_CONF), (start(2), start_conf(8))]:
            record = connectors.see(request, response)
            assert record is not None
            records[record.number] = record
        assert Connectors(records.values()).by_number == connectors.by_number


def test_no_message_with_a_transaction_id_is_passed_over() -> None:
    messages = [message for action in ACTIONS.values() for message in (action.request, action.response)]
    with_ids = {message for message in messages if "transactionId" in str(msgspec.json.schema(message))}
    assert with_ids == memory.WITH_IDS


def test_all_of_it_is_records() -> None:
    fields = {"answered", "aliases", "connectors", "boot", "heartbeat"}
    assert set(memory.Memory.__struct_fields__) == fields
    assert Record == Answered | Alias | Connector
