"""A Central System in a process of its own, so that it can be killed: `python -m tests.e2e.central_system PORT GIVEN`.

It has given GIVEN transactionIds before. It says on standard error what it receives, before it answers: identity,
action and payload, as JSON, one to a line; and before that the UniqueId and the action after an equals sign.
"""

from __future__ import annotations

import asyncio
import json
import sys

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.wire import Payload, WireMessage


class _Said(list[tuple[str, str, Payload]]):
    def append(self, received: tuple[str, str, Payload]) -> None:
        print(json.dumps(received), file=sys.stderr, flush=True)


def _seen(message: WireMessage) -> None:
    if (message.direction, message.kind) == ("received", "call"):
        print("=" + json.dumps([message.unique_id, message.action]), file=sys.stderr, flush=True)


async def _main(port: int, given: int) -> None:
    central = JsonCentralSystem(port=port, observe=_seen)
    central.answers.transactions.update({number: {} for number in range(1, given + 1)})
    central.received = _Said()
    async with central:
        print("listening", file=sys.stderr, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(*map(int, sys.argv[1:])))
