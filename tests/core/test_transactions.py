"""The table of transactions: who named each, what the Charge Point was told, and when one is over."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs

from bridge.core.transactions import SILENT, KnownTransaction, Transactions, TransactionState
from bridge.ocpp.enums import ChargePointErrorCode, ChargePointStatus, Reason
from bridge.ocpp.messages import (
    DataTransferRequest,
    MeterValuesRequest,
    RemoteStopTransactionRequest,
    Request,
    StatusNotificationRequest,
)
from bridge.ocpp.rpc import Call, UnopenedRequest
from bridge.ocpp.types import MeterValue, SampledValue
from tests.core.playbook import call_of
from tests.core.samples import start, stop

SPARE = 2_000_000_000


def meter(number: int | None, connector: int = 1) -> MeterValuesRequest:
    return MeterValuesRequest(connectorId=connector, transactionId=number, meterValue=())


def status(connector: int, said: ChargePointStatus) -> StatusNotificationRequest:
    return StatusNotificationRequest(connectorId=connector, errorCode=ChargePointErrorCode.NoError, status=said)


def unread(action: str, payload: dict[str, Any], read: Request | None = None) -> Call:
    """As it passes between two JSON parties."""
    return Call(unique_id="1", action=action, payload=UnopenedRequest(raw=Raw(json.dumps(payload).encode()), read=read))


class Table:
    """The transactions of a Charge Point that was at `main` and is at `new`."""

    def __init__(self, known: tuple[KnownTransaction, ...] = ()) -> None:
        self.kept = {row.number: row for row in known}
        self.transactions = Transactions(known, home="main")
        self._spare = iter(range(SPARE, 0, -1))

    def started(self, name: str, named: int, connector: int = 1, at: float = 0.0) -> int:
        number, rows = self.transactions.started(name, start(connector), named, lambda: next(self._spare), at)
        self.kept |= {row.number: row for row in rows}
        return number

    def seen(self, request: Request, at: float = 0.0) -> None:
        rows = self.transactions.see(call_of("1", request), at)
        self.kept |= {row.number: row for row in rows}

    def owner(self, request: Request) -> str | None:
        return self.transactions.owner_of(call_of("1", request))

    def towards(self, name: str, request: Request) -> Any:
        return self.transactions.towards(name, call_of("1", request))

    def open(self, at: float = 0.0) -> list[int]:
        return [row.number for row in self.transactions.open(at)]

    def again(self) -> Table:
        """After a restart: what was kept."""
        return Table(tuple(self.kept.values()))


def test_a_transaction_belongs_to_the_central_system_that_named_it() -> None:
    table = Table()
    assert table.started("main", 3) == 3
    table.transactions.move("new")
    its: list[Request] = [stop(3), meter(3)]
    others: list[Request] = [stop(4), meter(4), meter(None), DataTransferRequest(vendorId="v")]
    assert [table.owner(request) for request in its + others] == ["main"] * 2 + [None] * 4
    assert all(table.towards("main", request) is request for request in its)


def test_two_that_give_the_same_number_are_told_apart() -> None:
    table = Table()
    assert table.started("main", 3) == 3
    table.transactions.move("new")
    alias = table.started("new", 3, connector=2)
    assert alias == SPARE
    assert (table.owner(stop(alias)), table.towards("new", stop(alias))) == ("new", stop(3))
    assert table.owner(stop(3)) == "main"
    assert table.transactions.number_for("new", 3) == alias
    assert table.transactions.number_for("main", 3) == 3
    command = call_of("1", RemoteStopTransactionRequest(transactionId=3))
    assert table.transactions.commanded("new", command) == RemoteStopTransactionRequest(transactionId=alias)
    assert table.transactions.commanded("main", command) is command.payload


def test_a_number_is_free_again_when_its_transaction_has_ended() -> None:
    table = Table()
    table.started("main", 3)
    table.seen(stop(3))
    assert table.kept[3].state is TransactionState.ENDED and table.open() == []
    assert table.started("new", 3) == 3
    assert table.owner(stop(3)) == "new"


def test_an_ended_transaction_still_belongs_to_who_named_it() -> None:
    """Its StopTransaction may be repeated."""
    table = Table()
    table.started("main", 3)
    table.seen(stop(3))
    table.transactions.move("new")
    assert table.owner(stop(3)) == "main"


@pytest.mark.parametrize("number", [0, -1])
def test_a_number_that_names_nothing(number: int) -> None:
    """A StopTransaction with one goes where the last such StartTransaction went."""
    table = Table()
    assert table.started("main", number) == number
    table.transactions.move("new")
    assert table.owner(stop(-1)) == "main" and table.owner(meter(number)) is None
    assert table.open() == []
    restarted = table.again()
    restarted.transactions.move("new")
    assert restarted.owner(stop(0)) == "main"
    command = call_of("1", RemoteStopTransactionRequest(transactionId=number))
    assert table.transactions.commanded("main", command) is command.payload


def test_what_closes_a_transaction() -> None:
    table = Table()
    table.started("main", 1, connector=1)
    table.started("main", 2, connector=2)
    table.started("main", 3, connector=3)
    assert table.open() == [1, 2, 3]
    table.seen(status(1, ChargePointStatus.Charging))
    assert table.open() == [1, 2, 3]
    table.seen(status(1, ChargePointStatus.Available))
    assert table.open() == [2, 3]
    table.started("main", 4, connector=2)
    assert table.open() == [3, 4]
    table.seen(stop(3))
    assert table.open() == [4]
    assert table.kept[1].state is table.kept[2].state is TransactionState.CLOSED


def test_silence_closes_one_and_meter_values_keep_it_open() -> None:
    table = Table()
    table.started("main", 1, connector=1, at=0.0)
    table.started("main", 2, connector=2, at=0.0)
    table.seen(meter(2, connector=2), at=SILENT)
    assert table.open(at=SILENT + 1) == [2]
    restarted = table.again()
    assert restarted.open(at=5.0) == [1, 2] and restarted.open(at=6.0 + SILENT) == []


def test_the_status_of_a_connector_is_of_interest_to_who_holds_its_transaction() -> None:
    table = Table()
    table.started("main", 1, connector=1)
    table.transactions.move("new")

    def holder(connector: int) -> str | None:
        return table.transactions.holder_of(call_of("1", status(connector, ChargePointStatus.Charging)))

    assert (holder(1), holder(2)) == ("main", None)


def test_what_passes_unread_is_read_only_as_far_as_it_must_be() -> None:
    table = Table()
    table.started("main", 3)
    table.transactions.move("new")
    alias = table.started("new", 3, connector=2)
    values = {"connectorId": 2, "transactionId": alias, "meterValue": [{"x": 1.50}], "vendor": "kept"}
    call = unread("MeterValues", values)
    assert table.transactions.owner_of(call) == "new"
    sent = table.transactions.towards("new", call)
    assert isinstance(sent, UnopenedRequest) and json.loads(bytes(sent.raw)) == values | {"transactionId": 3}
    command = unread("RemoteStopTransaction", {"transactionId": 3})
    told = table.transactions.commanded("new", command)
    assert isinstance(told, UnopenedRequest) and json.loads(bytes(told.raw)) == {"transactionId": alias}
    limits = {"transactionId": 3, "stackLevel": 0}
    profile = unread("SetChargingProfile", {"connectorId": 2, "csChargingProfiles": limits})
    told = table.transactions.commanded("new", profile)
    assert isinstance(told, UnopenedRequest)
    assert json.loads(bytes(told.raw))["csChargingProfiles"] == {"transactionId": alias, "stackLevel": 0}
    other = unread("DataTransfer", {"transactionId": alias})
    assert table.transactions.owner_of(other) is None and table.transactions.towards("new", other) is other.payload
    broken = unread("MeterValues", {"transactionId": "x"})
    assert table.transactions.owner_of(broken) is None


def energy(number: int, register: int, connector: int = 1) -> MeterValuesRequest:
    sample = SampledValue(value=str(register))
    values = (MeterValue(timestamp="2026-01-01T00:00:00Z", sampledValue=(sample,)),)
    return MeterValuesRequest(connectorId=connector, transactionId=number, meterValue=values)


def test_how_a_transaction_ended_is_kept() -> None:
    table = Table()
    table.started("main", 3)
    table.seen(structs.replace(stop(3), meterStop=7500, timestamp="2026-03-01T13:00:00Z", reason=Reason.EVDisconnected))
    row = table.kept[3]
    assert (row.meter_stop, row.stopped, row.reason) == (7500, "2026-03-01T13:00:00Z", "EVDisconnected")
    table.started("main", 4)
    (row,) = table.transactions.see(unread("StopTransaction", {"transactionId": 4}), 0.0)
    assert (row.state, row.meter_stop, row.stopped) == (TransactionState.ENDED, None, None)


def test_the_last_register_of_each_transaction_is_known() -> None:
    """So many MeterValues are read in a minute as transactions are open, the first of all of them."""
    table = Table()
    table.started("main", 1, connector=1)
    table.started("main", 2, connector=2)
    register = table.transactions.register_of
    table.seen(energy(1, 100), at=1.0)
    table.seen(energy(2, 200, connector=2), at=2.0)
    assert (register(1), register(2), register(3)) == (100.0, 200.0, None)
    table.seen(energy(1, 101), at=3.0)
    assert register(1) == 100.0
    table.seen(energy(1, 102), at=61.0)
    assert register(1) == 102.0
    assert table.started("main", 1, connector=1) == 1
    assert register(1) is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "stop", "available", "move"]),
        st.sampled_from(["main", "new", "third"]),
        st.integers(-1, 4),
        st.integers(1, 3),
    ),
    max_size=40,
)


@given(STEPS)
def test_no_two_open_transactions_share_a_number_unless_they_are_one_to_their_central_system(steps: Any) -> None:
    """And each message goes where its transaction was named, under the number it has there, after a restart too."""
    table = Table()
    told: dict[int, tuple[str, int]] = {}
    for kind, name, named, connector in steps:
        running = {row.number for row in table.kept.values() if row.state is not TransactionState.ENDED}
        match kind:
            case "start":
                number = table.started(name, named, connector)
                if number > 0:
                    assert number not in running or told[number] == (name, named)
                    told[number] = (name, named)
            case "stop" if told:
                number = [*told][named % len(told)]
                table.seen(stop(number))
            case "available":
                table.seen(status(connector, ChargePointStatus.Available))
            case "move":
                table.transactions.move(name)
        for again in (table, table.again()):
            again.transactions.move("nowhere")
            for number, (owner, there) in told.items():
                assert again.owner(stop(number)) == owner
                assert again.towards(owner, meter(number)) == meter(there)


@given(st.lists(st.integers(1, 10_000), unique=True, max_size=60))
def test_only_so_many_are_kept_and_open_ones_the_longest(numbers: list[int]) -> None:
    transactions = Transactions(limit=10)
    for connector, number in enumerate(numbers, start=1):
        transactions.started("main", structs.replace(start(), connectorId=connector), number, lambda: SPARE, 0.0)
        if number % 2:
            transactions.see(call_of("1", stop(number)), 0.0)
    open_ = [number for number in numbers if number % 2 == 0]
    kept = [row.number for row in transactions.open(0.0)]
    assert kept == open_[-len(kept) :] if kept else True
    assert len(kept) >= min(len(open_), 9)
