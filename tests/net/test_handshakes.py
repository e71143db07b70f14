"""What websockets turns away by itself is answered, and told of, like everything else that is turned away."""

from __future__ import annotations

import pytest

from tests.net.test_json_server import handshake, hosting, opened, raw

LONG = "X: " + "y" * 9000


@pytest.mark.parametrize(
    ("data", "answered", "told"),
    [
        (b"\x16\x04\x01\r\n\r\n", b"400", "HTTP 400: this is no WebSocket handshake in HTTP/1.1"),
        (b"GET /ocpp/CP1 HTTP/1.1\r\nno\r\n\r\n", b"400", "HTTP 400: this is no WebSocket handshake in HTTP/1.1"),
        (handshake("/ocpp/CP1", "Content-Length: 5"), b"400", "HTTP 400: this is no WebSocket handshake in HTTP/1.1"),
        (handshake("/ocpp/CP1", LONG), b"431", "HTTP 431: no WebSocket handshake: HeaderLineTooLong"),
        (handshake("/ocpp/CP1", key="none"), b"400", "HTTP 400: no WebSocket handshake: InvalidHeaderValue"),
    ],
)
async def test_what_is_no_handshake(data: bytes, answered: bytes, told: str) -> None:
    async with hosting() as host:
        assert (await raw(host, data)).startswith(b"HTTP/1.1 " + answered)
        assert await host.told.get() == (None, "127.0.0.1", told)
        assert host.told.empty()


async def test_who_hangs_up_without_a_word_is_not_turned_away() -> None:
    async with hosting() as host:
        async with opened(host) as (reader, writer):
            writer.write_eof()
            assert await reader.read() == b""
        await raw(host, b"\r\n\r\n")  # somebody after it, of whom is told
        assert (await host.told.get())[1:] != ("127.0.0.1", "")
        assert host.told.empty()
