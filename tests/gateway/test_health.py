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
from bridge.gateway.health import Outages, SessionCounts, standing_of
from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Failure, Unanswered
from bridge.ocpp.tenants import key_of
from bridge.watching.facts import CallEnded, LinkClosed, LinkLost, LinkOpened
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
        if standing.unreachable and each.identity in outages.since:
            since.setdefault(standing.central_system, []).append(outages.since[each.identity])
    for name, moments in since.items():
        found[name].since = datetime.fromtimestamp(min(moments), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return found


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
