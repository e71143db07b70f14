"""PROXY headers: those of the document are read, however they are cut; anything else is refused, with a reason."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.net.proxies.preamble import BrokenPreamble, Preamble, is_begun, read
from tests.net.proxies.preambles import SIGNATURE, local, version_1, version_2

ADDRESSES = (st.ip_addresses() | st.ip_addresses(network="::ffff:0:0/96")).map(str)
PORTS = st.integers(0, 65535)


@given(st.sampled_from([version_1, version_2]), ADDRESSES, PORTS, st.binary(max_size=20))
def test_who_it_speaks_for(written: object, address: str, port: int, rest: bytes) -> None:
    header = written(address, port)  # type: ignore[operator]
    read_in = read(header + rest)
    assert read_in is not None and read_in.size == len(header) and read_in.source is not None
    mapped = getattr(ip_address(address), "ipv4_mapped", None)  # RFC 4291 section 2.5.5.2: ::ffff:0:0 is 0.0.0.0
    assert read_in.source == (str(mapped or address), port)


@given(st.sampled_from([version_1("192.0.2.1"), version_2("2001:db8::1", tlvs=b"\x04\x00\x01x"), local()]), st.data())
def test_one_that_is_not_whole_is_waited_for(header: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(header) - 1))
    assert read(header[:cut]) is None and is_begun(header[:cut])


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
        local(),
        local(b"\x04\x00\x00"),
        SIGNATURE + b"\x21\x00\x00\x00",  # unspecified
        SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216),  # a UNIX socket
        SIGNATURE + b"\x20\x11\x00\x0c" + bytes(12),  # LOCAL: what else it says is of no account
    ],
)
def test_a_proxy_that_speaks_for_itself(header: bytes) -> None:
    assert read(header + b"GET") == Preamble(size=len(header), source=None)


def test_an_ipv4_address_in_ipv6_is_itself() -> None:
    for header in (version_1("::ffff:192.0.2.1"), version_2("::ffff:192.0.2.1")):
        read_in = read(header)
        assert read_in is not None and read_in.source == ("192.0.2.1", 40000)


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\n",
        b"\x16\x03\x01\x00",  # a TLS hello
        b"PROXY\tTCP4",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n" + b" " * 100,
        b"PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY \r\n",
        b"PROXY UNKNOWN\x00\r\n",
        b"PROXY TCP4 \xff 192.0.2.2 1 2\r\n",
        b"PROXY " + b"x" * 110,
        SIGNATURE + b"\x11\x11\x00\x0c",  # version 1 in the octets of version 2
        SIGNATURE + b"\x22\x11\x00\x0c",  # a command that there is not
        SIGNATURE + b"\x21\x12\x00\x0c",  # UDP
        SIGNATURE + b"\x21\x99\x00\x0c",
        SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
        SIGNATURE + b"\x21\x21\x00\x23" + bytes(35),
    ],
)
def test_what_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenPreamble, match="PROXY"):
        read(data)


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda data: SIGNATURE + data))
def test_anything_is_a_header_or_not_yet_or_broken(data: bytes) -> None:
    try:
        read_in = read(data)
    except BrokenPreamble as error:
        assert str(error)
    else:
        assert read_in is None or 15 <= read_in.size <= len(data)
