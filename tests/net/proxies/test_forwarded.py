"""Whom a request is from: the last address that no proxy has, in each of the fields, however many proxies there are."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.net.proxies.forwarded import BrokenForwarding, Sender, sender

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def is_proxy(address: str) -> bool:
    return any(ip_address(address) in network for network in PROXIES)


def told(*lines: tuple[str, str]) -> Sender:
    """Whom a request of the proxy 10.0.0.1 is from, that has these fields."""

    def values(name: str) -> Sequence[str]:
        return [value for field, value in lines if field.lower() == name.lower()]

    return sender("10.0.0.1", is_proxy, values)


FORWARDED, FOR, PROTO = "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto"


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ([], "10.0.0.1"),
        ([(FOR, "192.0.2.1")], "192.0.2.1"),
        ([(FOR, "203.0.113.9, 192.0.2.1")], "192.0.2.1"),
        ([(FOR, "203.0.113.9"), (FOR, "192.0.2.1")], "192.0.2.1"),
        ([(FOR, "192.0.2.1, 10.0.0.3, 10.0.0.2")], "192.0.2.1"),
        ([(FOR, "10.0.0.4, 10.0.0.3")], "10.0.0.4"),
        ([(FOR, "192.0.2.1:4711")], "192.0.2.1"),
        ([(FOR, "2001:db8::1")], "2001:db8::1"),
        ([(FOR, "[2001:db8::1]")], "2001:db8::1"),
        ([(FOR, "[2001:DB8::1]:4711, fd00::2")], "2001:db8::1"),
        ([(FOR, "::ffff:192.0.2.1")], "192.0.2.1"),
        ([(FOR, " , 192.0.2.1, ,")], "192.0.2.1"),
        ([(FOR, "unknown")], "10.0.0.1"),
        ([(FOR, "192.0.2.1, unknown, 10.0.0.2")], "10.0.0.2"),
        ([(FORWARDED, "for=192.0.2.1")], "192.0.2.1"),
        ([(FORWARDED, 'For="[2001:db8:cafe::17]:4711"')], "2001:db8:cafe::17"),
        ([(FORWARDED, "for=192.0.2.43, for=198.51.100.17;by=10.0.0.2;proto=http;host=x")], "198.51.100.17"),
        ([(FORWARDED, "for=192.0.2.43,for=10.0.0.2")], "192.0.2.43"),
        ([(FORWARDED, 'for="192.0.2.43:47011"; by="_x" , for=fd')], None),
        ([(FORWARDED, 'for=192.0.2.43;a="b,c;for=203.0.113.1\\""')], "192.0.2.43"),
        ([(FORWARDED, "for=unknown, for=10.0.0.2")], "10.0.0.2"),
        ([(FORWARDED, "for=_gazonk")], "10.0.0.1"),
        ([(FORWARDED, 'for="_gazonk:_port"')], "10.0.0.1"),
        ([(FORWARDED, "by=10.0.0.1;proto=https")], "10.0.0.1"),
        ([(FORWARDED, "")], "10.0.0.1"),
        ([(FORWARDED, ",,for=192.0.2.1;;proto=http,")], "192.0.2.1"),
        # Forwarded counts, else the others do.
        ([(FORWARDED, "for=192.0.2.1"), (FOR, "203.0.113.9")], "192.0.2.1"),
        # What stands before the last address that is no proxy's, anybody may have written.
        ([(FOR, "nonsense, 192.0.2.1")], "192.0.2.1"),
        ([(FORWARDED, '"for'), (FORWARDED, "for=192.0.2.1")], "192.0.2.1"),
        # A client's text cannot swallow what its proxy adds: the line is refused.
        ([(FORWARDED, 'for="203.0.113.9, for=192.0.2.1')], None),
        ([(FORWARDED, 'for=203.0.113.9;x=", for="[2001:db8::1]"')], None),
        ([(FORWARDED, "for=192.0.2.1;for=203.0.113.9")], None),
        ([(FORWARDED, "for=192.0.2.1;FOR=203.0.113.9")], None),
        ([(FORWARDED, "for")], None),
        ([(FORWARDED, "for=")], None),
        ([(FORWARDED, "for = 192.0.2.1")], None),
        ([(FORWARDED, "for=2001:db8::1")], None),
        ([(FORWARDED, 'for="2001:db8::1"')], None),
        ([(FORWARDED, "for=[2001:db8::1]")], None),
        ([(FORWARDED, 'for="[192.0.2.1]"')], None),
        ([(FORWARDED, "for=192.0.2.256")], None),
        ([(FORWARDED, "for=localhost")], None),
        ([(FOR, "192.0.2.1 203.0.113.9")], None),
        ([(FOR, "192.0.2")], None),
        ([(FOR, "fe80::1%eth0")], None),
        ([(FOR, "192.0.2.1:port")], None),
        ([(FOR, "192.0.2.1, nonsense")], None),
        ([(FOR, "192.0.2.1\t203.0.113.9")], None),
        ([(FOR, "http://192.0.2.1/")], None),
    ],
)
def test_the_last_address_that_is_not_a_proxys(lines: list[tuple[str, str]], address: str | None) -> None:
    if address is not None:
        assert told(*lines).address == address
        return
    with pytest.raises(BrokenForwarding, match="Forwarded"):
        told(*lines)


@pytest.mark.parametrize(
    ("lines", "secure"),
    [
        ([(FOR, "192.0.2.1")], None),
        ([(FOR, "192.0.2.1"), (PROTO, "https")], True),
        ([(FOR, "192.0.2.1"), (PROTO, "http, WSS")], True),
        ([(FOR, "192.0.2.1"), (PROTO, "http")], False),
        ([(FOR, "192.0.2.1"), (PROTO, "nonsense")], None),
        ([(PROTO, "https")], True),
        ([(FORWARDED, "for=192.0.2.1;proto=https"), (PROTO, "http")], True),
        ([(FORWARDED, "for=192.0.2.1;proto=https, for=10.0.0.2;proto=http")], True),
        ([(FORWARDED, "for=192.0.2.1"), (PROTO, "https")], None),
    ],
)
def test_whether_it_came_over_tls(lines: list[tuple[str, str]], secure: bool | None) -> None:
    assert told(*lines).secure is secure


STRANGERS = st.ip_addresses().map(str).filter(lambda address: not is_proxy(address) and "::ffff:" not in address)
BETWEEN = st.lists(st.sampled_from(["10.0.0.9", "10.9.8.7", "fd00::7"]), max_size=3)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40), STRANGERS, BETWEEN)
def test_no_text_of_a_client_changes_who_it_is(text: str, address: str, between: list[str]) -> None:
    """Whatever it sends in the field, and its proxies add to: it is itself, or its request is refused."""
    assert told((FOR, ", ".join([text, address, *between]))).address == address
    quoted = [f'for="[{node}]"' if ":" in node else f"for={node}" for node in (address, *between)]
    assert told((FORWARDED, text), *((FORWARDED, node) for node in quoted)).address == address
    with contextlib.suppress(BrokenForwarding):
        assert told((FORWARDED, ", ".join([text, *quoted]))).address == address


@given(st.lists(st.tuples(st.sampled_from([FORWARDED, FOR, PROTO]), st.text(max_size=30))))
def test_anything_is_an_address_or_broken(lines: list[tuple[str, str]]) -> None:
    try:
        ip_address(told(*lines).address)
    except BrokenForwarding as error:
        assert str(error).isprintable()
