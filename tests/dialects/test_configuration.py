"""Configuration keys: one standard key has another name in OCPP 1.5 and 1.2, and no Loss is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.dialects.dialect import Dialect
from bridge.dialects.ocpp12 import OCPP12
from bridge.dialects.ocpp15 import OCPP15

KEY_VALUE = {"readonly": "false", "value": "300"}
each_version = pytest.mark.parametrize("dialect", [OCPP15, OCPP12], ids=["1.5", "1.2"])
# A PDU with the key in each place that can hold one.
HOLDERS: dict[str, Any] = {
    "ChangeConfigurationRequest": lambda key: {"key": key, "value": "300"},
    "GetConfigurationRequest": lambda key: {"key": ["ConnectionTimeOut", key]},
    "GetConfigurationResponse": lambda key: {
        "configurationKey": [{"key": "ConnectionTimeOut", **KEY_VALUE}, {"key": key, **KEY_VALUE}],
        "unknownKey": ["Vendor", key],
    },
}


@each_version
@pytest.mark.parametrize("message", HOLDERS)
def test_the_heartbeat_interval_is_renamed_both_ways(dialect: Dialect, message: str) -> None:
    holder = HOLDERS[message]
    assert dialect.downgrade(message, holder("HeartbeatInterval")) == (holder("HeartBeatInterval"), ())
    assert dialect.upgrade(message, holder("HeartBeatInterval")) == (holder("HeartbeatInterval"), ())


@each_version
@pytest.mark.parametrize("message", HOLDERS)
def test_letter_case_and_blanks_are_forgiven(dialect: Dialect, message: str) -> None:
    holder = HOLDERS[message]
    assert dialect.downgrade(message, holder(" heartbeatinterval"))[0] == holder("HeartBeatInterval")
    assert dialect.upgrade(message, holder("HEARTBEATINTERVAL "))[0] == holder("HeartbeatInterval")


@each_version
@pytest.mark.parametrize("key", ["ConnectionTimeOut", "MeterValueSampleInterval", "X-HeartBeatInterval", ""])
@pytest.mark.parametrize("message", HOLDERS)
def test_every_other_key_passes_as_it_is(dialect: Dialect, message: str, key: str) -> None:
    data = HOLDERS[message](key)
    assert dialect.downgrade(message, data) == (data, ())
    assert dialect.upgrade(message, data) == (data, ())


@each_version
def test_an_absent_list_of_keys_stays_absent(dialect: Dialect) -> None:
    assert dialect.downgrade("GetConfigurationRequest", {}) == ({}, ())
    assert dialect.upgrade("GetConfigurationResponse", {}) == ({}, ())
