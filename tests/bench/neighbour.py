"""A well-behaved Charge Point in a process of its own: `python -m tests.bench.neighbour PORT`.

What an attacker and the Central Systems cost in their process would otherwise be felt here, too, and be taken for the
bridge's. A line on stdin begins a measurement, the next ends it: the latencies are written as JSON, in milliseconds.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time

from tests.bench import posts
from tests.bench.isolation import envelope, post

# Seconds between two Heartbeats.
_PAUSE = 0.005


async def _live(poster: posts.Posting, over: asyncio.Event) -> list[float]:
    """Send a Heartbeat every few milliseconds, and note how long each took."""
    loop = asyncio.get_running_loop()
    request = post(envelope("<heartbeatRequest/>").replace(b"S attacker", b"S neighbour"))
    took: list[float] = []
    while not over.is_set():
        answered: asyncio.Future[int] = loop.create_future()
        begun = time.perf_counter()
        poster.send(request, answered.set_result)
        await asyncio.wait_for(answered, 60)
        took.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(_PAUSE)
    return took


async def main(port: int) -> None:
    poster = await posts.poster(port)
    gc.disable()  # its pause would be felt as one of the bridge
    while await asyncio.to_thread(sys.stdin.readline):
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            living = group.create_task(_live(poster, over))
            await asyncio.to_thread(sys.stdin.readline)
            over.set()
        print(json.dumps(living.result()), flush=True)
    poster.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
