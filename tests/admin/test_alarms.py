"""What is wrong now: each thing in a sentence, the worst first, and nothing where nothing is."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.admin.alarms import Situation, alarms
from bridge.admin.facts import MovedFact
from bridge.admin.fleet_facts import Alarm, FaultFact
from bridge.admin.health import (
    CentralSystemHealth,
    CertificateHealth,
    Health,
    ListenerHealth,
    ObserverCounts,
    ReceiverCounts,
    StoreHealth,
)
from bridge.admin.moves import MoveSummary

SINCE = "2026-01-02T03:04:05Z"
CALM: dict[str, Any] = {
    "store": StoreHealth(trouble=None),
    "central_systems": {"main": CentralSystemHealth(connected=9)},
}


def found(health: dict[str, Any] | None = None, **changes: Any) -> list[Alarm]:
    return alarms(Situation(health=Health(**(CALM | (health or {}))), **changes))


def stopped() -> MoveSummary:
    told: dict[str, Any] = {"selection": "*", "central_system": "new", "when": "now", "wave": 1, "pause": 0.0}
    told |= {"stop_if": "errors>1", "who": "ann", "at": SINCE, "reason": "2 of 5 failed", "total": 5, "counts": {}}
    return MoveSummary(id=7, state="stopped", **told)


def observer(**changes: Any) -> ObserverCounts:
    told: dict[str, Any] = {"waiting": 0, "octets": 0, "oldest": None, "halted": 0, "trouble": None, "lost": {}}
    return ObserverCounts(**(told | changes))


def test_nothing_is_wrong() -> None:
    assert found(states={"up": 300, "never_seen": 5}) == []
    assert found({"observers": {"ems": observer(waiting=3)}}) == []


def test_a_central_system_that_is_away_and_observes_too_is_told_once() -> None:
    away = {
        "central_systems": {"main": CentralSystemHealth(unreachable=1)},
        "observers": {"main": observer(waiting=3, trouble="refused")},
    }
    assert [alarm.kind for alarm in found(away, states={"no_central_system": 1})] == ["central_system_away"]


@pytest.mark.parametrize(
    ("health", "changes", "wanted"),
    [
        ({"draining": True}, {}, ("draining", "bad", "The bridge is shutting down.", None, None)),
        (
            {"store": StoreHealth(trouble="disk full")},
            {},
            ("store", "bad", "Nothing can be written to the store: disk full", None, None),
        ),
        (
            {"listeners": {"soap": ListenerHealth(address="::1:8080", listening=False)}},
            {},
            ("listener", "bad", "The listener soap at ::1:8080 accepts no connections.", "soap", None),
        ),
        (
            {
                "events": {
                    "crm": ReceiverCounts(
                        waiting=12, oldest=SINCE, trouble="HTTP 500", since=SINCE, delivered=1, dropped={}
                    )
                }
            },
            {},
            ("receiver", "bad", "Events are not delivered to crm, 12 events wait: HTTP 500", "crm", None),
        ),
        (
            {"observers": {"ems": observer(waiting=1, trouble="cannot be reached")}},
            {},
            (
                "observer",
                "warning",
                "The further Central System ems does not get all messages, 1 message waits: cannot be reached",
                "ems",
                None,
            ),
        ),
        (
            {"observers": {"main": observer(waiting=7, halted=2, trouble="no answer within 120 s")}},
            {},
            (
                "observer",
                "warning",
                "The further Central System main does not get all messages, 7 messages wait; the queues of 2 Charge "
                "Points are halted by a message of a transaction that it does not answer: no answer within 120 s",
                "main",
                None,
            ),
        ),
        (
            {"central_systems": {"main": CentralSystemHealth(unreachable=40, since=SINCE)}},
            {"reasons": {"main": "connection refused"}, "states": {"no_central_system": 40}},
            ("central_system_away", "bad", "The Central System main is away: connection refused", "main", 40),
        ),
        (
            {"central_systems": {"main": CentralSystemHealth(connected=3, unreachable=40, since=SINCE)}},
            {"reasons": {"main": "HTTP 502"}, "states": {"no_central_system": 40}},
            (
                "central_system_away",
                "bad",
                "The Central System main is away for some Charge Points: HTTP 502",
                "main",
                40,
            ),
        ),
        (
            {"central_systems": {"main": CentralSystemHealth(unreachable=40, down=15, since=SINCE)}},
            {"reasons": {"main": "refused"}, "states": {"no_central_system": 25, "down": 15}},
            (
                "central_system_away",
                "bad",
                "The Central System main is away: refused. 15 Charge Points are down because of it: JSON Charge Points "
                "are let in only with it.",
                "main",
                40,
            ),
        ),
        (
            {"central_systems": {"main": CentralSystemHealth(misconfigured="200 text/html")}},
            {},
            (
                "central_system_misconfigured",
                "bad",
                "What main answers to POSTs is no answer of a Central System: 200 text/html",
                "main",
                None,
            ),
        ),
        (
            {"certificates": {"soap.tls": CertificateHealth(ends=SINCE, days=1)}},
            {},
            ("certificate", "warning", "The certificate of soap.tls ends in 1 day.", "soap.tls", None),
        ),
        (
            {"certificates": {"soap.tls": CertificateHealth(ends=SINCE, days=-3)}},
            {},
            ("certificate", "bad", f"The certificate of soap.tls ended at {SINCE}.", "soap.tls", None),
        ),
        (
            {},
            {"states": {"no_central_system": 2}},
            ("no_central_system", "bad", "Charge Points are heard of and have no Central System.", None, 2),
        ),
        ({}, {"states": {"down": 12}}, ("down", "warning", "Charge Points are down.", None, 12)),
        (
            {},
            {"faults": [FaultFact(error_code="GroundFailure", connectors=3, charge_points=2, identity="CP 1")]},
            ("fault", "warning", "3 connectors report Faulted: GroundFailure", "GroundFailure", 2),
        ),
        (
            {},
            {"moves": [stopped()]},
            ("move_stopped", "warning", "Move 7 to new has stopped: 2 of 5 failed", "7", None),
        ),
        (
            {},
            {"moved": [MovedFact(identity=name, central_system="old", in_force=False) for name in ("A", "B")]},
            (
                "moved_nowhere",
                "warning",
                "Charge Points were moved to old, which is not configured any more: their routes hold.",
                "old",
                2,
            ),
        ),
        ({}, {"dropped": 4}, ("losses", "warning", "Fields of messages lost content in the last hour.", None, 4)),
        (
            {},
            {"complaints": ["bridge.toml: soap.lisen: unknown key", "bridge.toml: x"]},
            (
                "configuration",
                "warning",
                "The configuration file was not taken over, and the former one holds: bridge.toml: soap.lisen: unknown "
                "key (1 more in the log)",
                None,
                None,
            ),
        ),
        (
            {},
            {"pending": ["gateway.call_timeout", "limits"]},
            (
                "configuration",
                "warning",
                "Changed in the configuration file, to hold from the next start on: gateway.call_timeout, limits",
                None,
                None,
            ),
        ),
        ({}, {"cautions": ["admin.token: short"]}, ("caution", "warning", "admin.token: short", None, None)),
    ],
)
def test_each_is_told(health: dict[str, Any], changes: dict[str, Any], wanted: tuple[object, ...]) -> None:
    (alarm,) = found(health, **changes)
    assert (alarm.kind, alarm.severity, alarm.text, alarm.subject, alarm.count) == wanted


def test_outages_come_first_and_their_charge_points_are_told_once() -> None:
    away = {"central_systems": {"main": CentralSystemHealth(unreachable=5, since=SINCE), "b": CentralSystemHealth()}}
    told = found(away, states={"no_central_system": 5, "stale": 3}, cautions=["soap.public_url: local"])
    assert [(alarm.kind, alarm.severity) for alarm in told] == [
        ("central_system_away", "bad"),
        ("stale", "warning"),
        ("caution", "warning"),
    ]
    assert told[0].since == SINCE
    more = found(away, states={"no_central_system": 6})
    assert [(alarm.kind, alarm.count) for alarm in more] == [("central_system_away", 5), ("no_central_system", 6)]


def test_charge_points_that_are_down_because_of_a_central_system_are_told_with_it() -> None:
    away = {"central_systems": {"main": CentralSystemHealth(unreachable=5, down=2), "b": CentralSystemHealth()}}
    assert [alarm.kind for alarm in found(away, states={"no_central_system": 3, "down": 2})] == ["central_system_away"]
    told = found(away, states={"no_central_system": 4, "down": 6})
    assert [(alarm.kind, alarm.count) for alarm in told] == [
        ("central_system_away", 5),
        ("no_central_system", 4),
        ("down", 4),
    ]
    assert told[2].text == "Charge Points are down for another reason."
