"""The number of this node, which no other node has: what it numbers itself is unique in the cluster.

A number belongs to the name of a node, and stays with it. If all numbers are taken, a new node gets the number of the
one that was started longest ago.
"""

from __future__ import annotations

import asyncio

from bridge.cluster import stream_forms as form
from bridge.cluster.nats_connection import OutgoingMessage, PublishRefused, ServersAway
from bridge.cluster.shared_stream import EXPECTED, SHORTLY, SharedStream, messages_of
from bridge.cluster.stream_forms import NUMBERS
from bridge.errors import StartError


async def number_of(stream: SharedStream, node: str, within: float) -> int:
    """Return the number of this node, from 0 to NUMBERS - 1.

    Args:
        stream: The shared stream.
        node: The name of this node. No other process has it now.
        within: The seconds that this may take.

    Raises:
        StartError: No server has answered, or none can write.
    """
    try:
        return await stream.within(within, lambda: _number_of(stream, node))
    except (ServersAway, PublishRefused) as error:
        raise StartError(f"this node has got no number: {error}") from error


async def _number_of(stream: SharedStream, node: str) -> int:
    while True:
        taken = {form.number_in(each.subject): each for each in messages_of(await stream.last([form.ALL_NUMBERS]))}
        own = (number for number, message in taken.items() if message.body == node.encode())
        free = (number for number in range(NUMBERS) if number not in taken)
        number = next(own, None)
        if number is None:
            number = next(free, None)
        if number is None:
            number = min(taken, key=lambda each: taken[each].sequence)
        # Written at each start, so that the number of a node that is started now and then stays with it.
        after = taken[number].sequence if number in taken else 0
        message = OutgoingMessage(
            subject=form.subject_of_number(number), body=node.encode(), headers={EXPECTED: str(after)}
        )
        if await stream.publish([message]) is not None:
            return number
        await asyncio.sleep(SHORTLY)  # another node was faster, or the server that was read lags behind
