"""Where the bridge connects to on the word of others, and that it is never led to itself."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.destinations import Destinations, Network, OwnListeners

HERE = frozenset({"192.0.2.5", "2001:db8::5", "127.0.0.1", "::1"})
OWN = OwnListeners.at(
    [
        ("127.0.0.1", 8081),
        ("192.0.2.5", 8080),
        ("2001:DB8:0::5", 8080),
        ("0.0.0.0", 9000),
        ("::", 9001),
        ("Gateway.example.com", 443),
        ("198.51.100.9", 8080),  # another node
    ],
    HERE.__contains__,
)
ANYWHERE: tuple[Network, ...] = tuple(map(ip_network, ("0.0.0.0/0", "::/0", "127.0.0.0/8", "::1/128")))


@pytest.mark.parametrize(
    ("host", "port", "own"),
    [
        ("127.0.0.1", 8081, True),
        ("::ffff:127.0.0.1", 8081, True),
        ("127.0.0.2", 8081, False),
        ("127.0.0.1", 8082, False),
        ("192.0.2.5", 8080, True),
        ("2001:db8:0:0::5", 8080, True),
        ("2001:db8::6", 8080, False),
        ("198.51.100.9", 8080, True),
        # Every address of this machine, and no other.
        *[(host, port, True) for host in sorted(HERE) for port in (9000, 9001)],
        ("::ffff:192.0.2.5", 9000, True),
        ("203.0.113.1", 9000, False),
        ("192.0.2.5", 9002, False),
        # This machine, wherever it listens.
        *[(host, port, True) for host in ("0.0.0.0", "::", "::ffff:0.0.0.0") for port in (8081, 9000, 9001)],
        ("0.0.0.0", 9002, False),
        # A name is only compared; where it leads is judged once it is looked up.
        ("gateway.example.com", 443, True),
        ("GATEWAY.example.com.", 443, True),
        ("gateway.example.com", 444, False),
        ("other.example.com", 9000, False),
    ],
)
def test_its_own_listeners(host: str, port: int, own: bool) -> None:
    assert OWN.include(host, port) is own


@given(st.ip_addresses().map(str), st.integers(1, 65535))
def test_nobody_is_led_to_them_whatever_is_admitted(address: str, port: int) -> None:
    own = OwnListeners.at([(address, port)])
    for networks in (None, ANYWHERE, (ip_network(address),)):
        refused = Destinations(networks=networks, own=own).why_not(address, port)
        assert refused == "is one of the bridge's own listeners"
        assert Destinations(networks=None).why_not(address, port) is None


@pytest.mark.parametrize(
    ("networks", "address", "why_not"),
    [
        (("0.0.0.0/0",), "203.0.113.1", None),
        (("0.0.0.0/0",), "::ffff:203.0.113.1", None),
        (("0.0.0.0/0", "::/0"), "127.0.0.1", "is link-local or loopback"),
        (("127.0.0.0/8",), "127.0.0.1", None),
        (("::/0",), "::1", "is link-local or loopback"),
        (("::/0",), "fe80::1", "is link-local or loopback"),
        (("169.254.0.0/16",), "169.254.169.254", "is an address that nobody is called back at"),
        (("0.0.0.0/0",), "0.0.0.0", "is an address that nobody is called back at"),
        ((), "203.0.113.1", "is neither the peer 10.0.0.1 nor in soap.callback_networks"),
    ],
)
def test_what_the_operator_admits(networks: tuple[str, ...], address: str, why_not: str | None) -> None:
    destinations = Destinations(networks=tuple(map(ip_network, networks)), own=OWN, peer="10.0.0.1")
    refused = destinations.why_not(address, 80)
    assert refused is None if why_not is None else refused is not None and refused.startswith(why_not)
