"""The limits of the configuration, as each room wants its own."""

from __future__ import annotations

from functools import lru_cache

from bridge.config import Limits
from bridge.limits.guard import Rules
from bridge.ocppj.bounds import Bounds as FrameBounds
from bridge.ocpps.xml import Bounds as XmlBounds


def rules(limits: Limits) -> Rules:
    """Of the connections that are opened to us."""
    return Rules(
        connections=limits.connections,
        connections_per_address=limits.connections_per_address,
        header_bytes=limits.header_bytes,
        header_count=limits.header_count,
        header_timeout=limits.header_timeout,
        send_timeout=limits.send_timeout,
        max_unsent=limits.max_unsent,
    )


@lru_cache
def frame_bounds(limits: Limits) -> FrameBounds:
    """Of a WebSocket, whoever dialled."""
    return FrameBounds(
        max_size=limits.max_frame,
        max_fragments=limits.max_fragments,
        json_depth=limits.json_depth,
        frames_per_second=limits.messages_per_second,
        frames_burst=limits.messages_burst,
        send_timeout=limits.send_timeout,
        max_unsent=limits.max_unsent,
    )


def xml_bounds(limits: Limits) -> XmlBounds:
    """Of an envelope, and of the answer to one."""
    return XmlBounds(depth=limits.xml_depth, nodes=limits.xml_nodes)
