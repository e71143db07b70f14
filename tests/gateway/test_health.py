"""Since when a Central System cannot be reached: what is heard, in order."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bridge.admin.health import CentralSystemHealth
from bridge.core.commands import Outcome, Report
from bridge.core.links import Side, Status
from bridge.core.state import State
from bridge.errors import Why
from bridge.gateway.health import Outages, SessionCounts, standing_of
from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Failure, Unanswered
from bridge.ocpp.tenants import key_of
from bridge.watching.facts import (
    CallEnded,
    ChargePointMoved,
    ChargePointRemoved,
    HandshakeRefused,
    LinkClosed,
    LinkLost,
    LinkOpened,
)
from tests.admin.test_metrics import report

CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM


def failing() -> Outages:
    """One that heard of two failures, a second apart."""
    times = iter((1.0, 2.0, 3.0))
    outages = Outages(clock=lambda: next(times))
    outages.see(LinkLost("CP 1", CENTRAL_SYSTEM, "main", "refused"))
    outages.see(LinkLost("CP 1", CENTRAL_SYSTEM, "main", "refused again"))
    outages.see(LinkLost("CP 1", CHARGE_POINT, "main", "it hung up"))
    return outages


def test_an_outage_begins_with_the_first_failure() -> None:
    assert failing().since == {"CP 1": 1.0}


def test_it_ends_when_the_way_is_open_or_not_wanted_any_more() -> None:
    outages = failing()
    outages.see(LinkOpened("CP 1", CHARGE_POINT, "main"))
    outages.see(LinkClosed("CP 1", CHARGE_POINT, "main", "why"))
    assert outages.since
    outages.see(LinkOpened("CP 1", CENTRAL_SYSTEM, "main"))
    assert not outages.since
    outages = failing()
    outages.see(LinkClosed("CP 1", CENTRAL_SYSTEM, "main", "the Charge Point is silent"))
    assert not outages.since


def test_it_ends_when_the_central_system_answers() -> None:
    """POSTs open no way of their own."""
    outages = failing()
    outages.see(CallEnded("CP 1", report(outcome=Outcome.UNANSWERED), "main"))
    outages.see(CallEnded("CP 1", report("Reset", sender=CENTRAL_SYSTEM), "main"))
    outages.see(CallEnded("CP 2", report(), "main"))
    assert outages.since
    outages.see(CallEnded("CP 1", report(outcome=Outcome.ERROR), "main"))
    assert not outages.since


# What is no answer of its service.


def failed(failure: Failure) -> Report:
    """A Call that ended without a verdict."""
    unanswered = Unanswered(unique_id="1", reason="HTTP 404, text/html", failure=failure)
    return structs.replace(report(outcome=Outcome.UNANSWERED), sent=0.0, failed=unanswered)


def misconfigured(*told: tuple[str, Report]) -> dict[str, str | None]:
    """What is known of two Central Systems after these ended, whose Charge Points are named after them."""
    outages = Outages()
    for identity, one in told:
        outages.see(CallEnded(identity, one, identity.split()[0]))
    return {name: of.misconfigured for name, of in SessionCounts().central_systems(["main", "other"], outages).items()}


def test_a_misconfigured_central_system_is_known_until_it_answers() -> None:
    odd, sent = failed(Failure.MISCONFIGURED), structs.replace(report(), sent=0.0)
    named = {"main": "HTTP 404, text/html", "other": None}
    assert misconfigured(("main 1", odd)) == named
    # It is one for all its Charge Points; and any verdict is an answer of its service.
    assert misconfigured(("main 1", odd), ("main 2", sent)) == {"main": None, "other": None}
    refused = structs.replace(sent, outcome=Outcome.ERROR)
    assert misconfigured(("main 1", odd), ("main 1", refused)) == {"main": None, "other": None}


def test_what_says_nothing_of_its_service_changes_nothing() -> None:
    odd, sent = failed(Failure.MISCONFIGURED), structs.replace(report(), sent=0.0)
    named = {"main": "HTTP 404, text/html", "other": None}
    others = [failed(failure) for failure in Failure if failure is not Failure.MISCONFIGURED]
    assert misconfigured(*(("main 1", one) for one in others)) == {"main": None, "other": None}
    assert misconfigured(("main 1", odd), *(("main 1", one) for one in others)) == named
    assert misconfigured(("main 1", odd), ("other 1", sent)) == named
    assert misconfigured(("main 1", odd), ("main 1", report())) == named, "it was answered here, and not sent"
    to_charge_point = structs.replace(odd, sender=CENTRAL_SYSTEM)
    assert misconfigured(("main 1", to_charge_point)) == {"main": None, "other": None}


# Counts.


class Session:
    """As much of a Session, its Conductor and their Ways as is counted."""

    def __init__(self, number: int, central_system: str, posts: bool) -> None:
        self.identity = f"CP {number}"
        self.placement = SimpleNamespace(central_system=central_system)
        self.links = {party: SimpleNamespace(status=Status.DOWN, failures=0) for party in Party}
        self.session = self
        self.sides = dict.fromkeys(Party, Side(dialable=False, carries_answers=not posts))


CHANGES = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from(["begin", "end", "near", "far", "fails", "outage", "over"]),
        st.sampled_from(list(Status)),
    ),
    max_size=40,
)


@given(CHANGES)
def test_what_is_counted_as_it_changes_is_what_counting_gives(changes: list[tuple[int, str, Status]]) -> None:
    """Of Sessions that come, go, and change in any order."""
    counts, clock = SessionCounts(), count(1.0)
    heard_of: list[str] = []
    counts.changed = heard_of.append
    outages = Outages(clock=lambda: next(clock))
    sessions = [Session(number, "main" if number % 2 else "other", posts=number > 2) for number in range(6)]
    there: list[Session] = []
    for number, change, status in changes:
        one: Any = sessions[number]
        match change:
            case "begin" if one not in there:
                there.append(one)
                counts.begin(one)
            case "end" if one in there:
                there.remove(one)
                counts.end(one)
            case "near":
                one.links[Party.CHARGE_POINT].status = status
            case "far":
                one.links[Party.CENTRAL_SYSTEM].status = status
            case "fails":
                one.links[Party.CENTRAL_SYSTEM].failures = number % 2
            case "outage":
                outages.see(LinkLost(one.identity, Party.CENTRAL_SYSTEM, one.placement.central_system, ""))
            case "over":
                outages.see(LinkOpened(one.identity, Party.CENTRAL_SYSTEM, one.placement.central_system))
        heard_of.clear()
        counts.update(one)
        assert heard_of == ([one.identity] if one in there else [])
    told = counts.central_systems(["main"], outages)
    assert told == {"main": CentralSystemHealth()} | health(there, outages)
    assert {name: counts.sessions_of(name) for name in ("main", "other")} == {
        name: sum(each.placement.central_system == name for each in there) for name in ("main", "other")
    }


def health(there: list[Session], outages: Outages) -> dict[str, CentralSystemHealth]:
    """Of each Central System with Sessions, one by one."""
    found: dict[str, CentralSystemHealth] = {}
    since: dict[str, list[float]] = {}
    for each in cast(Any, there):
        standing = standing_of(each)
        of_it = found.setdefault(standing.central_system, CentralSystemHealth())
        of_it.connected += standing.connected
        of_it.unreachable += standing.unreachable
        of_it.down += standing.cut_off
        if standing.unreachable and each.identity in outages.since:
            since.setdefault(standing.central_system, []).append(outages.since[each.identity])
    for name, moments in since.items():
        found[name].since = datetime.fromtimestamp(min(moments), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return found


# JSON Charge Points that are not let in.


class Refusals:
    """What is heard of refused handshakes, at times that are set, and of which Charge Points nothing else is known."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.outages = Outages(clock=lambda: self.at)
        self.counts = SessionCounts()
        self.states: dict[str, State] = {}
        self.counts.state_of = lambda identity: self.states.get(identity.upper())

    def refuse(self, identity: str, central_system: str = "main") -> None:
        reason = f"{central_system} cannot be reached"
        self.outages.see(HandshakeRefused(identity, "::1", 503, reason, Why.UNAVAILABLE, central_system))

    def health(self, name: str = "main", tenant: str | None = None) -> CentralSystemHealth:
        return self.counts.central_systems(["main"], self.outages, tenant).get(name, CentralSystemHealth())


def test_a_central_system_is_away_for_the_charge_points_whose_handshakes_are_refused() -> None:
    heard = Refusals()
    heard.states = {"CP 1": "down", "CP 2": "up"}
    heard.outages.see(LinkLost("CP 1", CENTRAL_SYSTEM, "main", "it closed the connection"))
    assert heard.health() == CentralSystemHealth()
    heard.at = 1003.0
    for identity in ("CP 1", "CP 2", "STRANGER", "cp 1"):
        heard.refuse(identity)
    # CP 2 is connected, and STRANGER is no Charge Point that is known.
    assert heard.health() == CentralSystemHealth(unreachable=2, down=1, since="1970-01-01T00:16:40Z")
    failure = heard.outages.failure("main")
    assert failure is not None and failure.reason == "main cannot be reached"
    entry = heard.outages.refused_one("CP 1", "main")
    assert entry is not None and (entry.times, entry.since) == (2, 1000.0)
    assert heard.outages.refused_one("CP 1", "other") is None


def test_other_refusals_say_nothing_of_the_central_system() -> None:
    heard = Refusals()
    heard.outages.see(HandshakeRefused("CP 1", "::1", 401, "wrong", Why.WRONG_PASSWORD))
    heard.outages.see(HandshakeRefused(None, "::1", 503, "full", Why.BUSY))
    assert heard.health() == CentralSystemHealth() and heard.outages.refusing() == []


def test_a_refusal_counts_until_the_charge_point_is_let_in_moved_or_removed_or_tries_no_more() -> None:
    for fact in (
        LinkOpened("CP 1", CENTRAL_SYSTEM, "main"),
        ChargePointMoved("CP 1", "main", "other", None),
        ChargePointRemoved("CP 1"),
    ):
        heard = Refusals()
        heard.refuse("cp 1")
        assert heard.health().unreachable == 1
        heard.outages.see(fact)
        assert heard.health().unreachable == 0
    heard = Refusals()
    heard.refuse("CP 1")
    heard.at += 899.0
    heard.refuse("CP 2")
    assert heard.health().unreachable == 2
    heard.at += 2.0
    assert heard.health().unreachable == 1


def test_once_others_enter_a_refusal_that_is_old_counts_no_more() -> None:
    heard = Refusals()
    heard.refuse("CP 1")
    heard.refuse("CP 2", "other")
    heard.at += 50.0
    heard.refuse("CP 3")
    heard.outages.see(LinkOpened("CP 4", CENTRAL_SYSTEM, "main"))
    assert heard.health().unreachable == 2, "it may have been refused a moment before"
    heard.at += 30.0
    heard.outages.see(LinkOpened("CP 5", CENTRAL_SYSTEM, "main"))
    assert heard.health().unreachable == 1
    assert heard.health("other").unreachable == 1


def test_refusals_are_those_of_a_tenant() -> None:
    heard = Refusals()
    heard.refuse("CP 1")
    heard.refuse(key_of("acme", "CP 1"))
    assert [heard.health(tenant=tenant).unreachable for tenant in (None, "", "acme", "beta")] == [2, 1, 1, 0]


def test_outages_that_are_over_do_not_pile_up() -> None:
    outages = Outages(clock=count(1.0).__next__)
    for _ in range(5000):
        outages.see(LinkLost("CP 1", Party.CENTRAL_SYSTEM, "main", ""))
        outages.see(LinkOpened("CP 1", Party.CENTRAL_SYSTEM, "main"))
    assert len(outages._oldest["main"]) <= 1002
    assert outages.oldest("main", {"CP 1"}) is None


def test_the_last_failure_is_that_of_the_tenant() -> None:
    outages = Outages(clock=count(1.0).__next__)
    outages.see(LinkLost("CP 1", Party.CENTRAL_SYSTEM, "shared", "ours"))
    outages.see(LinkLost(key_of("acme", "CP 1"), Party.CENTRAL_SYSTEM, "shared", "acme's"))
    for tenant, reason in (("", "ours"), ("acme", "acme's")):
        assert [(name, failure.reason) for name, failure in outages.failures_of(tenant)] == [("shared", reason)]
        failure = outages.failure("shared", tenant)
        assert failure is not None and failure.reason == reason
    assert outages.failure("shared", "beta") is None and list(outages.failures_of("beta")) == []
