"""Addresses of nodes."""

from __future__ import annotations

import pytest

from bridge.cluster.node_addresses import TCPAddress, UnixAddress, read_address


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("unix:/run/a.sock", UnixAddress("/run/a.sock"), None),
        ("tcp://127.0.0.1:7000", TCPAddress("127.0.0.1", 7000), True),
        ("tcp://[::1]:7000", TCPAddress("::1", 7000), True),
        ("tcp://localhost:0", TCPAddress("localhost", 0), True),
        ("tcp://10.0.0.2:7000", TCPAddress("10.0.0.2", 7000), False),
        ("tcp://0.0.0.0:7000", TCPAddress("0.0.0.0", 7000), False),
        ("tcp://node-b.example:7000", TCPAddress("node-b.example", 7000), False),
    ],
)
def test_an_address(text: str, address: UnixAddress | TCPAddress, loopback: bool | None) -> None:
    assert read_address(text) == address
    assert str(address) == text
    if isinstance(address, TCPAddress):
        assert address.is_loopback is loopback


@pytest.mark.parametrize(
    "text",
    [
        *("", "unix:", "unix:run/a.sock", f"unix:/{'x' * 200}", "tcp://10.0.0.2", "tcp://:7000", "10.0.0.2:7000"),
        *("http://a:1", "tcp://a:1/path", "tcp://me@a:1", "tcp://a:99999", "tcp://a:b"),
    ],
)
def test_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_address(text)
