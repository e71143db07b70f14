"""The connections of POSTs. What comes back on them, tests/e2e/test_delivery.py and test_related_answers.py show."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bridge.net.http_client import Connection, Endpoint, HttpClient
from tests.e2e.raw_peer import RawPeer, Reply


@asynccontextmanager
async def connected() -> AsyncIterator[Connection]:
    """A connection to a peer that answers nothing."""
    client = HttpClient(max_body=1000)
    async with RawPeer(lambda asked: Reply(then="silent")) as peer:
        try:
            yield await client.connect(Endpoint(host="127.0.0.1", port=peer.port), fresh=True)
        finally:
            await client.close()


def of_its_socket(connection: Connection, level: int, option: int) -> int:
    """What the system says of the socket that the connection has."""
    assert connection._transport is not None
    return int(connection._transport.get_extra_info("socket").getsockopt(level, option))


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system has no such options")
async def test_a_peer_that_has_vanished_is_noticed_after_25_seconds() -> None:
    """TCP keep-alive: after 10 s of silence, then 3 times at intervals of 5 s."""
    async with connected() as connection:
        assert of_its_socket(connection, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert of_its_socket(connection, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
        assert of_its_socket(connection, socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 5
        assert of_its_socket(connection, socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
