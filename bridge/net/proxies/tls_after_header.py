"""Begin TLS on a connection whose first octets were read already.

asyncio has no documented way for that: `loop.start_tls` waits for octets that have come. So this module makes asyncio's
own `sslproto.SSLProtocol` and feeds it, as the event loop does. `missing` says whether this Python has it as it is
known from those that the bridge was tested with.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import ssl
from typing import Any

_MODULE = "asyncio.sslproto"
_CLASS = "SSLProtocol"
# What `begin` passes and calls.
_POSITIONAL = ("loop", "app_protocol", "sslcontext", "waiter")
_NAMED = ("server_side", "ssl_handshake_timeout")
_METHODS = ("connection_made", "get_buffer", "buffer_updated")


def _protocol() -> Any:
    return getattr(importlib.import_module(_MODULE), _CLASS)


def missing() -> str | None:
    """Return a sentence if the asyncio of this Python cannot begin TLS behind a PROXY header, else None."""
    try:
        made = _protocol()
        names = list(inspect.signature(made).parameters)
    except (ImportError, AttributeError, TypeError, ValueError):
        made, names = None, []
    known = tuple(names[: len(_POSITIONAL)]) == _POSITIONAL and set(_NAMED) <= {*names}
    if known and all(callable(getattr(made, name, None)) for name in _METHODS):
        return None
    return (
        f"TLS behind a PROXY header needs {_MODULE}.{_CLASS} of asyncio, and this Python has another one:"
        " use an earlier Python, or let the proxy end TLS"
    )


def begin(
    transport: asyncio.Transport, connection: asyncio.Protocol, context: ssl.SSLContext, rest: bytes, *, timeout: float
) -> None:
    """Begin the TLS handshake of a server on `transport`, and give what is decrypted to `connection`.

    Args:
        transport: The connection, whose octets up to here were read.
        connection: What the decrypted connection is for.
        context: The TLS context of the listener.
        rest: Octets that were read and belong to TLS.
        timeout: The seconds that the handshake may take.
    """
    tls = _protocol()(
        asyncio.get_running_loop(),
        connection,
        context,
        None,  # no task waits for the handshake
        server_side=True,
        ssl_handshake_timeout=timeout,
    )
    transport.set_protocol(tls)
    tls.connection_made(transport)
    while rest:  # in the way that the loop feeds an asyncio.BufferedProtocol
        buffer = memoryview(tls.get_buffer(len(rest)))
        size = min(len(buffer), len(rest))
        buffer[:size] = rest[:size]
        rest = rest[size:]
        tls.buffer_updated(size)
