"""How long a SOAP Charge Point may be silent."""

from __future__ import annotations

import pytest
from msgspec import structs

from bridge.core.silence import Presence, Silence
from bridge.ocpp.enums import ConfigurationStatus, RegistrationStatus
from bridge.ocpp.messages import (
    ChangeConfigurationRequest,
    ChangeConfigurationResponse,
    GetConfigurationRequest,
    GetConfigurationResponse,
)
from bridge.ocpp.types import KeyValue
from tests.core.samples import BOOT, HEARTBEAT, HEARTBEAT_CONF, boot_conf

QUARTER = 900.0
HOUR = 3600.0


def silence(**known: object) -> Silence:
    return Silence(structs.replace(Presence(), **known), QUARTER)


def change(value: str, key: str = "HeartbeatInterval") -> ChangeConfigurationRequest:
    return ChangeConfigurationRequest(key=key, value=value)


@pytest.mark.parametrize(
    ("known", "allowed"),
    [
        ({}, QUARTER),
        ({"interval": 60}, QUARTER),
        ({"interval": 3600}, 3 * HOUR),
        ({"interval": 60, "configured": 1800}, 1.5 * HOUR),
        ({"interval": 3600, "configured": 60}, 3 * HOUR),
        ({"interval": 60, "pause": 7200.0}, 6 * HOUR),
        ({"interval": 0}, QUARTER),
        ({"interval": -5}, QUARTER),
        ({"pending": True}, float("inf")),
    ],
)
def test_the_largest_of_what_is_known_counts(known: dict[str, object], allowed: float) -> None:
    assert silence(**known).allowed() == allowed


@pytest.mark.parametrize("status", [RegistrationStatus.Pending, RegistrationStatus.Rejected])
def test_only_an_accepted_interval_counts(status: RegistrationStatus) -> None:
    one = silence(interval=400)
    one.see(BOOT, structs.replace(boot_conf(9000), status=status))
    assert one.known == Presence(interval=400, pending=status is RegistrationStatus.Pending)
    assert one.see(BOOT, boot_conf(500))
    assert one.known == Presence(interval=500)
    assert not one.see(BOOT, boot_conf(500))


@pytest.mark.parametrize("status", list(ConfigurationStatus))
def test_a_value_that_the_charge_point_accepts_counts(status: ConfigurationStatus) -> None:
    one, taken = silence(), status in (ConfigurationStatus.Accepted, ConfigurationStatus.RebootRequired)
    assert one.see(change("1200"), ChangeConfigurationResponse(status=status)) is taken
    assert one.known.configured == (1200 if taken else None)


@pytest.mark.parametrize("key", ["HeartbeatInterval", "HeartBeatInterval", " heartbeatinterval "])
def test_a_value_that_the_charge_point_tells_counts(key: str) -> None:
    one = silence()
    keys = (KeyValue(key="Other", readonly=False, value="5"), KeyValue(key=key, readonly=False, value="1200"))
    assert one.see(GetConfigurationRequest(), GetConfigurationResponse(configurationKey=keys))
    assert (one.known.configured, one.interval) == (1200, 1200)


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "9" * 10])
def test_what_is_no_number_of_seconds_does_not(value: str) -> None:
    one = silence()
    assert not one.see(change(value), ChangeConfigurationResponse(status=ConfigurationStatus.Accepted))
    assert not one.see(HEARTBEAT, HEARTBEAT_CONF)
    assert one.known == Presence()


class TestPauses:
    def test_the_longest_counts_and_is_worth_keeping_when_it_is_much_longer(self) -> None:
        one = silence()
        assert [one.paused(seconds, booted=False) for seconds in (301, 350, 400)] == [True, False, True]
        assert one.known.pause == 400

    @pytest.mark.parametrize(("seconds", "booted"), [(300.0, False), (26 * HOUR + 1, False), (2000.0, True)])
    def test_none_that_changes_nothing_or_in_which_it_was_away(self, seconds: float, booted: bool) -> None:
        one = silence()
        assert not one.paused(seconds, booted=booted)
        assert one.known.pause is None
