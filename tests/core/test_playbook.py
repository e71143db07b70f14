"""The Playbook fails when a conversation goes another way, and shows how."""

from __future__ import annotations

import pytest

from bridge.core.commands import Keep
from bridge.core.connectors import ConnectorState
from bridge.core.repetitions import Answered, Asked, fingerprint
from tests.core.playbook import (
    CP,
    CS,
    JSON_CENTRAL_SYSTEM,
    SOAP_CHARGE_POINT,
    Playbook,
    answers,
    calls,
    keeps,
    kept,
    opens,
    sends,
    tells,
    up,
    wait,
)
from tests.core.samples import BOOT, HEARTBEAT, START, START_CONF, transaction


def begun() -> Playbook:
    return Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM) << calls(CP, "c1", HEARTBEAT)


def test_what_is_missing() -> None:
    with pytest.raises(AssertionError, match=r"-         >>  OpenLink\(party=charge_point\)"):
        bool(begun() >> opens(CS) << up(CS) >> sends(CS, "h1", HEARTBEAT) >> opens(CP))


def test_what_is_too_much() -> None:
    with pytest.raises(AssertionError, match=r"\+         >>  OpenLink\(party=central_system\)"):
        bool(begun() << wait(1))
    with pytest.raises(AssertionError, match=r"\+         >>  SendCall"):
        bool(begun() >> opens(CS) << up(CS))


def test_what_is_other() -> None:
    with pytest.raises(AssertionError, match="BootNotificationRequest"):
        bool(begun() >> opens(CS) << up(CS) >> sends(CS, "h1", BOOT))


def test_the_rest_is_shown_as_it_was() -> None:
    with pytest.raises(AssertionError) as caught:
        bool(begun() >> opens(CS) << wait(1) >> opens(CS))
    assert "  <<    0.00  CallReceived(party=charge_point, key='c1'" in str(caught.value)
    assert "          >>  OpenLink(party=central_system)\n" in str(caught.value)
    assert "  <<    0.00  Wait(seconds=1)\n" in str(caught.value)


def test_what_is_to_be_kept_is_kept_at_once_unless_it_is_shown() -> None:
    record = Answered(fingerprint=fingerprint(START) or "", answer=START_CONF)
    playbook = Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM) << up(CS) << calls(CP, "c1", START)
    assert playbook >> sends(CS, "h1", START) << answers(CS, "h1", START_CONF) >> tells(CP, "c1", START_CONF)
    asked = Asked(fingerprint=record.fingerprint, unique_id="h1")
    assert playbook.records == [asked, transaction(7), record, ConnectorState(number=1, transaction_id=7)]
    playbook = Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM, showing=(Keep,)) << up(CS) << calls(CP, "c1", START)
    assert playbook >> sends(CS, "h1", START) << answers(CS, "h1", START_CONF) >> keeps("h1", transaction(7), record)
    assert playbook << kept("h1") >> tells(CP, "c1", START_CONF)


def test_it_can_be_written_on() -> None:
    playbook = begun() >> opens(CS)
    assert playbook
    assert playbook << up(CS) >> sends(CS, "h1", HEARTBEAT)
    with pytest.raises(AssertionError):
        bool(playbook << calls(CP, "c2", HEARTBEAT) >> sends(CS, "h2", HEARTBEAT))
