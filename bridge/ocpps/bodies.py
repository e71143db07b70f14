"""The body of a request: inflated, bounded, in time, or a refusal that says what is wrong with it."""

from __future__ import annotations

import asyncio

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from bridge.errors import ErrorCode, MessageError, Why


async def read_body(request: web.BaseRequest, most: int, within: float) -> bytes:
    """The body, inflated if it was compressed, and never more than `most` octets of it, `within` seconds. Raises
    MessageError."""
    content = request.content
    if content.is_eof() and content.exception() is None:  # it came with the head: nothing to wait for
        whole = content.read_nowait()
        _check(whole, most)
        return whole
    body = bytearray()
    try:
        async with asyncio.timeout(within):
            async for chunk in content.iter_any():
                body += chunk
                _check(body, most)
    except TimeoutError:
        text = f"the body did not arrive within {within:g} s"
        raise MessageError(ErrorCode.FormationViolation, text, why=Why.TOO_SLOW) from None
    except ConnectionError as error:
        raise MessageError(ErrorCode.FormationViolation, "the sender hung up in the middle of the body") from error
    except (ClientPayloadError, HttpProcessingError, web.RequestPayloadError) as error:
        # Nothing can follow. aiohttp would look for more all the same, and log a traceback.
        content.feed_eof()
        raise MessageError(ErrorCode.FormationViolation, f"the body cannot be read: {error}") from error
    return bytes(body)


def _check(body: bytes | bytearray, most: int) -> None:
    if len(body) > most:
        raise MessageError(ErrorCode.FormationViolation, f"more than {most} bytes", why=Why.TOO_LARGE)
