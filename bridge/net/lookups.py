"""Name look-ups with limits: a name server that does not answer delays only the party that gave the host name."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address

from bridge.net.tasks import Tasks, Threads

# The most seconds that a caller waits for a look-up. The system's resolver may take longer; until it ends, the look-up
# counts as running.
_WITHIN = 5.0
_OF_ONE = 2
_THREADS = 64

_running: Counter[str] = Counter()
_tasks = Tasks()
# These threads look up the hosts that Charge Points gave. The loop's default threads look up the hosts that the
# operator configured: a connection to a Central System never waits for the name server of a Charge Point.
_told = Threads(_THREADS, name="names that Charge Points told")


def own_threads() -> None:
    """Set the running loop's default executor to threads that only look up names.

    asyncio looks up names in the default executor. All other work has threads of its own.
    """
    executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="name look-ups")
    asyncio.get_running_loop().set_default_executor(executor)


async def look_up(host: str, port: int | None, told_by: str = "") -> list[str]:
    """Return the IP addresses of a host.

    Args:
        host: The host's name, or an IP address.
        port: The port.
        told_by: The Charge Point that gave the host, "" for the operator.

    Raises:
        OSError: The host has no IP address, no name server answered within 5 s, or two look-ups for this Charge Point
            have not ended yet.
    """
    with contextlib.suppress(ValueError):  # an IP address needs no resolver, and no thread that waits for one
        return [str(ip_address(host))]
    if told_by and _running[told_by] >= _OF_ONE:
        raise OSError("two name look-ups for this Charge Point have not ended yet")
    _running[told_by] += 1
    found = _tasks.spawn(_found(host, port, told_by), name=f"looking up {host}")
    try:
        async with asyncio.timeout(_WITHIN):
            outcome: list[str] | OSError = await asyncio.shield(found)
    except TimeoutError:
        raise OSError(f"no name server answered within {_WITHIN:g} s") from None
    if isinstance(outcome, OSError):
        raise outcome
    return outcome


async def _found(host: str, port: int | None, told_by: str) -> list[str] | OSError:
    """Look up a host. The look-up runs to its end, even if its caller no longer waits."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        answers = await (_told.run(ask) if told_by else asyncio.get_running_loop().run_in_executor(None, ask))
        return [str(answer[4][0]) for answer in answers]
    except OSError as error:
        return error
    except UnicodeError as error:
        return OSError(str(error))
    finally:
        _running[told_by] -= 1
        if not _running[told_by]:
            del _running[told_by]
