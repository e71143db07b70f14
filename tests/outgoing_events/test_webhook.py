"""Events as POSTs: the signature, and which answers say what."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from bridge.net.tls import ClientContexts
from bridge.outgoing_events.delivery import DeliveryFailed, EventToSend
from bridge.outgoing_events.webhook import Webhook, signature
from tests.outgoing_events.receivers import SECRET, HttpReceiver, checked, http_receiver
from tests.ports import free_port

EVENT = EventToSend(id="id-1", type="boot", charge_point="CP 1", content=b'{"id": "id-1", "reason": "a"}')


@asynccontextmanager
async def webhook(url: str, secret: bytes = SECRET, tls: ssl.SSLContext | None = None) -> AsyncIterator[Webhook]:
    made = Webhook(url, secret, tls or ClientContexts().of(None))
    try:
        yield made
    finally:
        await made.close()


async def refusal(at: HttpReceiver, status: int, **headers: str) -> DeliveryFailed:
    at.answers = lambda event: status
    at.answer_headers = headers
    async with webhook(at.url) as sender:
        with pytest.raises(DeliveryFailed) as caught:
            await sender.send(EVENT)
    return caught.value


def test_a_signature_as_it_is_documented() -> None:
    """Counted out with another tool: printf '1767323045.{}' | openssl dgst -sha256 -hmac key."""
    counted = "1d533de0941004dfdb6d222b1e197476ea94db2c6b6bca39a2ed148ff4b23910"
    assert signature(b"key", 1767323045, b"{}") == f"t=1767323045,v1={counted}"
    assert checked(signature(b"key", 1767323045, b"{}"), b"{}", b"key") == 1767323045


@given(st.binary(min_size=1), st.integers(0, 2**40), st.binary(), st.binary(min_size=1))
def test_whoever_changes_anything_is_found_out(secret: bytes, at: int, body: bytes, more: bytes) -> None:
    signed = signature(secret, at, body)
    assert checked(signed, body, secret) == at
    for changed in [(signed, body + more, secret), (signed.replace(f"t={at}", f"t={at + 1}"), body, secret)]:
        with pytest.raises(AssertionError):
            checked(*changed)


async def test_an_event_arrives_with_its_signature() -> None:
    async with http_receiver() as at, webhook(at.url) as sender:
        await sender.send(EVENT)
        await sender.send(EVENT)
        assert at.events == [{"id": "id-1", "reason": "a"}] * 2
        assert at.headers[0]["User-Agent"].startswith("ocpp-bridge/")


@pytest.mark.parametrize("status", [400, 409, 413, 422])
async def test_these_refuse_one_event(status: int) -> None:
    async with http_receiver() as at:
        failed = await refusal(at, status)
        assert (str(failed), failed.refused) == (f"HTTP {status}", True)


@pytest.mark.parametrize("status", [301, 401, 403, 404, 408, 429, 500, 502, 503])
async def test_these_take_no_event_now(status: int) -> None:
    """A redirect is none either: a POST that is sent elsewhere is told to others than was configured."""
    async with http_receiver() as at, http_receiver() as elsewhere:
        failed = await refusal(at, status, Location=elsewhere.url)
        assert (str(failed), failed.refused) == (f"HTTP {status}", False)
        assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("retry_after", "pause"), [("30", 30), ("999999", 3600), ("", 0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0), ("-1", 0)]
)
async def test_a_receiver_may_ask_for_a_pause(retry_after: str, pause: float) -> None:
    async with http_receiver() as at:
        assert (await refusal(at, 503, **{"Retry-After": retry_after})).pause == pause


async def test_nobody_there() -> None:
    async with webhook(f"http://127.0.0.1:{free_port()}/") as sender:
        with pytest.raises(DeliveryFailed, match=r"^127\.0\.0\.1:\d+ cannot be reached: (?!.*ssl)"):
            await sender.send(EVENT)


async def test_what_answers_is_no_http() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 mail.example.com ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, webhook(f"http://127.0.0.1:{port}/") as sender:
        with pytest.raises(DeliveryFailed):
            await sender.send(EVENT)


async def test_over_tls_the_certificate_is_checked() -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)

    async def take(request: web.BaseRequest) -> web.Response:
        checked(request.headers["X-OCPP-Bridge-Signature"], await request.read())
        return web.Response(status=200)

    runner = web.ServerRunner(web.Server(take), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}/"
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    try:
        async with webhook(url, tls=trusting) as sender:
            await sender.send(EVENT)
        async with webhook(url) as sender:
            with pytest.raises(DeliveryFailed, match="certificate verify failed"):
                await sender.send(EVENT)
    finally:
        await runner.cleanup()
