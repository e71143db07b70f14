"""Convert the limits of the configuration into the records of the packages that apply them."""

from __future__ import annotations

from functools import lru_cache

from bridge.config import Limits
from bridge.net.limits.connections import ConnectionRules
from bridge.net.websocket import WebSocketBounds
from bridge.ocpps.xml import XmlBounds


def rules(limits: Limits) -> ConnectionRules:
    """Return the limits on connections that the listeners accept."""
    return ConnectionRules(
        connections=limits.connections,
        connections_per_address=limits.connections_per_address,
        header_bytes=limits.header_bytes,
        header_count=limits.header_count,
        header_timeout=limits.header_timeout,
        send_timeout=limits.send_timeout,
        max_unsent=limits.max_unsent,
    )


@lru_cache
def frame_bounds(limits: Limits) -> WebSocketBounds:
    """Return the limits on a WebSocket, dialled or accepted."""
    return WebSocketBounds(
        max_size=limits.max_frame,
        max_fragments=limits.max_fragments,
        json_depth=limits.json_depth,
        json_members=limits.json_members,
        frames_per_second=limits.messages_per_second,
        frames_burst=limits.messages_burst,
        send_timeout=limits.send_timeout,
        max_unsent=limits.max_unsent,
    )


def xml_bounds(limits: Limits) -> XmlBounds:
    """Return the limits on the XML of a SOAP request or response."""
    return XmlBounds(depth=limits.xml_depth, nodes=limits.xml_nodes)
