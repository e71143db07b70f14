"""A fact is counted for its tenant, and for no other."""

from __future__ import annotations

from bridge.admin.by_tenant import ByTenant
from bridge.admin.history import TrafficHistory
from bridge.errors import BridgeError, ErrorCode, Why
from bridge.ocpp.actions import Party
from bridge.ocpp.tenants import key_of
from bridge.watching.facts import ChargePointRemoved, Fact, MessageRefused, ProxyFieldsIgnored, RequestsUnread

ERROR = BridgeError(ErrorCode.SecurityError, "no", why=Why.MALFORMED)


class Seen:
    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.facts: list[Fact] = []

    def see(self, fact: Fact) -> None:
        self.facts.append(fact)


def refused(identity: str | None) -> MessageRefused:
    return MessageRefused.of(identity, "192.0.2.1", ERROR, None, Party.CHARGE_POINT, b"")


def test_each_tenant_sees_its_own() -> None:
    all_of_them = ByTenant(Seen)
    acmes: list[Fact] = [
        ChargePointRemoved(key_of("acme", "CP 1")),
        refused(key_of("acme", "")),
        RequestsUnread.of("192.0.2.1", ERROR, 3, key_of("acme", "")),
    ]
    ours: list[Fact] = [
        ChargePointRemoved("CP 1"),
        refused(None),
        RequestsUnread.of("192.0.2.1", ERROR, 3),
        ProxyFieldsIgnored("192.0.2.1", "X-Forwarded-For"),
    ]
    for fact in (*acmes, *ours):
        all_of_them.see(fact)
    assert all_of_them.of("acme").facts == acmes
    assert all_of_them.of("").facts == ours
    assert (all_of_them.of("beta").facts, all_of_them.of("beta").tenant) == ([], "beta")


def test_the_hour_of_a_tenant_begins_with_the_bridge_and_not_with_its_first_message() -> None:
    now = 600.0
    histories = ByTenant(lambda tenant: TrafficHistory(lambda: 0, lambda: now, 0.0))
    histories.see(refused(key_of("acme", "CP 1")))
    now = 660.0
    assert histories.of("acme").hour().errors == [0] * 10 + [1]
    assert histories.of("").hour().errors == [0] * 11
