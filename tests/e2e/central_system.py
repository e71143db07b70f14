"""A Central System in a process of its own, so that it can be killed: `python -m tests.e2e.central_system PORT`.

It says on standard error what it receives, before it answers: identity, action and payload, as JSON, one to a line.
"""

from __future__ import annotations

import asyncio
import json
import sys

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.wire import Payload


class _Said(list[tuple[str, str, Payload]]):
    def append(self, received: tuple[str, str, Payload]) -> None:
        print(json.dumps(received), file=sys.stderr, flush=True)


async def _main(port: int) -> None:
    central = JsonCentralSystem(port=port)
    central.received = _Said()
    async with central:
        print("listening", file=sys.stderr, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
