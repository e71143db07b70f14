"""The state of a Charge Point: one for whatever is known, in the order that the specification gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from bridge.core.state import NEVER_SEEN, STATES, Observation, changes_in, state_of

SOAP = Observation(transport="soap", silent=10.0, interval=300, allowed=900.0)
JSON = Observation(transport="json", silent=10.0, interval=300, connected=True)


@pytest.mark.parametrize("seen", [SOAP, JSON])
def test_who_is_heard_of_in_time_is_up_if_its_central_system_can_be_reached(seen: Observation) -> None:
    assert state_of(seen) == "up"
    assert state_of(replace(seen, reachable=False)) == "no_central_system"


@pytest.mark.parametrize("seen", [SOAP, JSON])
def test_who_is_silent_for_one_and_a_half_intervals_is_stale(seen: Observation) -> None:
    assert state_of(replace(seen, silent=450.0)) == "up"
    assert state_of(replace(seen, silent=450.1)) == "stale"
    assert state_of(replace(seen, silent=450.1, reachable=False)) == "stale", "before no_central_system"
    assert state_of(replace(seen, silent=450.1, interval=3600)) == "up"


@pytest.mark.parametrize("seen", [SOAP, JSON])
def test_an_interval_that_is_not_known_counts_as_five_minutes(seen: Observation) -> None:
    assert state_of(replace(seen, silent=450.0, interval=None)) == "up"
    assert state_of(replace(seen, silent=450.1, interval=None)) == "stale"


@pytest.mark.parametrize("seen", [SOAP, JSON])
def test_who_sends_no_heartbeats_is_not_missed(seen: Observation) -> None:
    assert state_of(replace(seen, silent=800.0, interval=0)) == "up"


def test_a_soap_charge_point_is_down_when_its_connection_was_closed_for_silence() -> None:
    assert state_of(replace(SOAP, silent=900.0)) == "stale"
    assert state_of(replace(SOAP, silent=900.1)) == "down"
    assert state_of(replace(SOAP, silent=900.1, allowed=float("inf"))) == "stale", "its boot is pending"


def test_a_json_charge_point_is_down_without_a_connection() -> None:
    assert state_of(replace(JSON, connected=False)) == "down"
    assert state_of(replace(JSON, connected=False, silent=1e6, reachable=False)) == "down"


def test_who_was_never_heard_of_was_never_seen() -> None:
    assert state_of(NEVER_SEEN) == "never_seen"
    assert state_of(replace(NEVER_SEEN, silent=1e6, reachable=False)) == "never_seen", "first of all"
    assert changes_in(NEVER_SEEN) == float("inf")


seconds = st.floats(0, 1e7)
observations = st.builds(
    Observation,
    transport=st.sampled_from(["soap", "json", "unknown"]),
    silent=st.floats(-1e4, 1e7),
    interval=st.none() | st.integers(0, 10**6),
    allowed=seconds | st.just(float("inf")),
    connected=st.booleans(),
    reachable=st.booleans(),
)


@given(observations)
def test_there_is_one_state_for_whatever_is_known(seen: Observation) -> None:
    assert state_of(seen) in STATES


@given(observations, st.floats(0, 1, exclude_max=True))
def test_no_state_changes_by_silence_before_its_time(seen: Observation, part: float) -> None:
    within = changes_in(seen)
    assert within >= 0
    later = seen.silent + part * (within if within < float("inf") else 1e6)
    assume(later < seen.silent + within)  # unless it was rounded up to the limit
    assert state_of(replace(seen, silent=later)) == state_of(seen)


@given(observations)
def test_a_longer_silence_never_makes_a_better_state(seen: Observation) -> None:
    order: list[Any] = ["up", "no_central_system", "stale", "down", "never_seen"]
    longer = replace(seen, silent=seen.silent + 1000.0)
    before, after = order.index(state_of(seen)), order.index(state_of(longer))
    assert after >= before
