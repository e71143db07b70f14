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
        return _bounded(content.read_nowait(), most)
    body = bytearray()
    try:
        async with asyncio.timeout(within):
            async for chunk in content.iter_any():
                body += _bounded(chunk, most - len(body), most)
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


def _bounded(chunk: bytes, room: int, most: int | None = None) -> bytes:
    if len(chunk) > room:
        text = f"more than {room if most is None else most} bytes"
        raise MessageError(ErrorCode.FormationViolation, text, why=Why.TOO_LARGE)
    return chunk
