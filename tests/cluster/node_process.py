"""A node for tests: `python -m tests.cluster.node_process NODE ADDRESS LEASE [OTHER=ADDRESS=INCARNATION ...]`.

It prints "up" when it listens, and what its handlers are asked to print.
"""

from __future__ import annotations

import asyncio
import os
import sys

from bridge.cluster.courier import Courier, NodePlace
from bridge.cluster.link_streams import NodeStream
from bridge.cluster.links import LinkTerms
from tests.cluster.nodes import later, name


async def serve(node: str, address: str, lease: float, places: dict[str, NodePlace]) -> None:
    """Answer until the process is killed."""
    courier = Courier(name(node), places.get, terms=LinkTerms(lease=lease, ping_interval=lease / 4))

    async def hang(asking: str, payload: bytes) -> bytes:
        print("hangs", flush=True)
        await asyncio.Event().wait()
        return b""

    async def relay(asking: str, payload: bytes) -> bytes:
        """Ask the asking node in turn."""
        return await courier.ask(asking, "echo", payload, later())

    async def echo_frames(opening: str, payload: bytes, stream: NodeStream) -> None:
        stream.accept()
        async for frame in stream:
            await stream.send(frame)
        assert stream.closed is not None
        print(f"stream closed by {stream.closed.by}", flush=True)

    courier.on("echo", lambda asking, payload: payload)
    courier.on("pid", lambda asking, payload: str(os.getpid()).encode())
    courier.on("hang", hang)
    courier.on("relay", relay)
    courier.on_stream("echo", echo_frames)
    await courier.listen(address)
    print("up", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    node, address, lease, *others = sys.argv[1:]
    places = {}
    for other in others:
        known, at, incarnation = other.split("=")
        places[known] = NodePlace(address=at, incarnation=incarnation)
    asyncio.run(serve(node, address, float(lease), places))


if __name__ == "__main__":
    main()
