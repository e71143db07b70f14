"""Counts over all Charge Points: what is kept up to date, change by change, is what counting one by one gives."""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bridge.core.commands import Outcome, Report
from bridge.gateway.fleet_tally import UNKNOWN_CODE, FaultCodes, FleetEntry, FleetTally
from bridge.ocpp.actions import Party
from bridge.ocpp.device_profile import Boot
from bridge.ocpp.enums import ChargePointErrorCode, ChargePointStatus
from bridge.ocpp.messages import HeartbeatRequest, StatusNotificationRequest
from bridge.ocpp.rpc import Call
from bridge.ocpp.tenants import key_of, tenant_of
from bridge.watching.facts import CallEnded, ChargePointRemoved, Fact

TENANTS = ["", "acme"]
IDENTITIES = [*(f"Cp {number}" for number in range(3)), key_of("acme", "Cp 1"), key_of("acme", "Cp 2")]
identities = st.sampled_from(IDENTITIES)
names = st.sampled_from(["main", "other"])


class Fleet(RuleBasedStateMachine):
    """Charge Points that come, change and go."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, FleetEntry] = {}
        self.counts = FleetTally(self.known.get, lambda: 0.0)

    @rule(
        identity=identities,
        central_system=st.none() | names,
        route=st.none() | st.sampled_from(["*", "CP*"]),
        transactions=st.lists(names, max_size=3),
        faults=st.lists(st.sampled_from(["GroundFailure", "OtherError"]), max_size=3),
        boot=st.none() | st.sampled_from([Boot(vendor="A"), Boot(vendor="B")]),
    )
    def changes(
        self,
        identity: str,
        central_system: str | None,
        route: str | None,
        transactions: list[str],
        faults: list[str],
        boot: Boot | None,
    ) -> None:
        self.known[identity.casefold()] = FleetEntry(
            identity=identity,
            central_system=central_system,
            route=route,
            transactions=tuple(transactions),
            faults=tuple(faults),
            boot=boot,
        )
        self.counts.update(identity)

    @rule(identity=identities)
    def goes(self, identity: str) -> None:
        self.known.pop(identity.casefold(), None)
        self.counts.update(identity)

    @invariant()
    def they_are_as_counted_one_by_one(self) -> None:
        for tenant in TENANTS:
            entries = [one for one in self.known.values() if tenant_of(one.identity) == tenant]
            counts = self.counts.of(tenant)
            assert counts.charge_points == Counter(one.central_system for one in entries if one.central_system)
            assert counts.routes == Counter(one.route for one in entries if one.route)
            assert counts.transactions == Counter(name for one in entries for name in one.transactions)
            assert self.counts.open_transactions(tenant) == sum(len(one.transactions) for one in entries)
            faults = {code: (connectors, points) for code, connectors, points, _ in counts.faults()}
            assert faults == {
                code: (sum(one.faults.count(code) for one in entries), sum(code in one.faults for one in entries))
                for code in {code for one in entries for code in one.faults}
            }
            examples = [*(identity for *_, identity in counts.faults()), *(one for *_, one in counts.boots())]
            assert {*examples} <= {one.identity for one in entries}
            assert {boot: number for boot, number, _ in counts.boots()} == Counter(
                one.boot for one in entries if one.boot is not None
            )
        every = Counter(name for one in self.known.values() for name in one.transactions)
        assert dict(self.counts.transactions()) == every


TestFleet = Fleet.TestCase


def told(status: ChargePointStatus, code: ChargePointErrorCode, connector: int = 1) -> Fact:
    payload = StatusNotificationRequest(connectorId=connector, status=status, errorCode=code)
    return ended("StatusNotification", payload)


def ended(action: str, payload: StatusNotificationRequest | HeartbeatRequest) -> CallEnded:
    call = Call(unique_id="1", action=action, payload=payload)
    return CallEnded(
        "CP 1", Report(sender=Party.CHARGE_POINT, call=call, outcome=Outcome.RESULT, arrived=0.0, ended=1.0)
    )


def test_a_charge_point_is_looked_at_when_it_tells_something_of_itself() -> None:
    known = {"cp 1": FleetEntry(identity="CP 1")}
    counts = FleetTally(known.get, lambda: 0.0)
    known["cp 1"] = FleetEntry(identity="CP 1", faults=("OtherError",))
    counts.see(ended("Heartbeat", HeartbeatRequest()))
    assert counts.of().faults() == []
    counts.see(told(ChargePointStatus.Faulted, ChargePointErrorCode.OtherError))
    assert counts.of().faults() == [("OtherError", 1, 1, "CP 1")]


def test_a_transaction_of_which_nothing_is_heard_ends_without_a_word() -> None:
    now, known = [0.0], {"cp 1": FleetEntry(identity="CP 1", transactions=("main",))}
    counts = FleetTally(known.get, lambda: now[0])
    counts.begin(["CP 1"])
    known["cp 1"] = msgspec.structs.replace(known["cp 1"], transactions=())
    assert counts.open_transactions() == 1
    now[0] = 601.0
    assert counts.open_transactions() == 0


def test_the_code_of_a_fault_is_known_until_it_is_over() -> None:
    codes = FaultCodes()
    assert codes.of("cp 1", 1) == UNKNOWN_CODE
    codes.see(told(ChargePointStatus.Faulted, ChargePointErrorCode.GroundFailure))
    codes.see(told(ChargePointStatus.Faulted, ChargePointErrorCode.OverVoltage, 2))
    assert (codes.of("cp 1", 1), codes.of("CP 1", 2)) == ("GroundFailure", "OverVoltage")
    codes.see(told(ChargePointStatus.Available, ChargePointErrorCode.NoError))
    assert (codes.of("CP 1", 1), codes.of("CP 1", 2)) == (UNKNOWN_CODE, "OverVoltage")
    codes.see(ChargePointRemoved("CP 1"))
    assert codes.of("CP 1", 2) == UNKNOWN_CODE


def test_a_charge_point_that_makes_up_connectors_fills_no_memory() -> None:
    codes = FaultCodes()
    for connector in range(10_000):
        codes.see(told(ChargePointStatus.Faulted, ChargePointErrorCode.OtherError, connector))
    assert [connector for connector in range(10_000) if codes.of("CP 1", connector) != UNKNOWN_CODE] == [
        *range(9_744, 10_000)
    ]
