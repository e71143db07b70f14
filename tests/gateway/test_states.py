"""The states of many: what is kept up to date, change by change, is what counting one by one gives."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bridge.core.state import NEVER_SEEN, STATES, Observation, Spoken, State, state_of
from bridge.gateway.states import ChargePointStates
from bridge.ocpp.tenants import key_of, tenant_of

TENANTS = ["", "acme", "b"]
IDENTITIES = [
    *(f"Cp {number}" for number in range(3)),
    key_of("acme", "Cp 1"),
    key_of("acme", "0"),
    key_of("b", "Cp 1"),
]
identities = st.sampled_from(IDENTITIES)


class Fleet(RuleBasedStateMachine):
    """Charge Points that come, speak, lose links and fall silent. Only what has an event is told."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.heard: dict[str, float] = {}
        self.known: dict[str, Observation] = {}
        self.states = ChargePointStates(self.observe, lambda: self.now)

    def observe(self, key: str) -> Observation | None:
        seen = self.known.get(key)
        if seen is None or seen.transport == "unknown":
            return seen
        return Observation(
            transport=seen.transport,
            silent=self.now - self.heard[key],
            interval=seen.interval,
            allowed=seen.allowed,
            connected=seen.connected,
            reachable=seen.reachable,
        )

    @rule(identity=identities)
    def listed(self, identity: str) -> None:
        self.known.setdefault(identity.casefold(), NEVER_SEEN)
        self.states.update(identity)

    @rule(
        identity=identities,
        transport=st.sampled_from(["soap", "json"]),
        interval=st.none() | st.sampled_from([0, 60, 3600]),
        allowed=st.sampled_from([900.0, 10800.0, float("inf")]),
        connected=st.booleans(),
        reachable=st.booleans(),
    )
    def changes(
        self,
        identity: str,
        transport: Spoken,
        interval: int | None,
        allowed: float,
        connected: bool,
        reachable: bool,
    ) -> None:
        key = identity.casefold()
        self.heard.setdefault(key, self.now)
        self.known[key] = Observation(
            transport=transport, interval=interval, allowed=allowed, connected=connected, reachable=reachable
        )
        self.states.update(identity)

    @rule(identity=identities)
    def speaks(self, identity: str) -> None:
        """Told only if that ends a silence, as a record that is older than an interval is written anew."""
        key = identity.casefold()
        if key in self.heard:
            silent = key in self.known and self.states.of(identity) in ("stale", "down")
            self.heard[key] = self.now
            if silent:
                self.states.update(identity)

    @rule(identity=identities)
    def removed(self, identity: str) -> None:
        self.known.pop(identity.casefold(), None)
        self.states.update(identity)

    @rule(seconds=st.sampled_from([1.0, 91.0, 451.0, 901.0, 5401.0, 10801.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def each_has_the_state_that_fits(self) -> None:
        observed = {key: self.observe(key) for key in self.known}
        present: dict[str, State] = {key: state_of(seen) for key, seen in observed.items() if seen is not None}
        assert {key: self.states.of(key) for key in self.known} == present
        counts = Counter((self.known[key].transport, state) for key, state in present.items())
        assert self.states.by_transport() == dict(counts)
        assert list(self.states.keys()) == sorted(self.known)
        for tenant in TENANTS:
            assert list(self.states.keys_of(tenant)) == sorted(key for key in self.known if tenant_of(key) == tenant)
            of_it = Counter(state for key, state in present.items() if tenant_of(key) == tenant)
            assert self.states.of_tenant(tenant) == {state: of_it[state] for state in STATES}
        if not any(map(tenant_of, self.known)):
            assert self.states.keys_of("") is self.states.keys()


TestFleet = Fleet.TestCase
TestFleet.settings = settings(max_examples=60, stateful_step_count=40)


def test_who_is_not_known_has_no_state() -> None:
    assert ChargePointStates(lambda key: None, lambda: 0.0).of("CP 1") is None


def test_times_that_do_not_hold_any_more_do_not_pile_up() -> None:
    now = 0.0
    states = ChargePointStates(lambda key: Observation(transport="soap", allowed=900.0), lambda: now)
    for _ in range(5000):
        now += 1.0
        states.update("CP 1")
    assert len(states._heap) <= 1002


def test_those_that_are_known_at_the_start() -> None:
    seen = {"a": NEVER_SEEN, "b": Observation(transport="json")}
    states = ChargePointStates(seen.get, lambda: 0.0)
    states.begin(["B", "a", "A", "gone"])
    assert list(states.keys()) == ["a", "b"]
    assert states.by_transport() == {("unknown", "never_seen"): 1, ("json", "down"): 1}
