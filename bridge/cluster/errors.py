"""The reasons why a node did not answer, or why a stream ended.

NodeAway        the node was not reachable, or the link to it ended before its answer
NodeTimedOut    the deadline passed before its answer
NodeRefused     the node answered, with an error
StreamEnded     a frame cannot be sent, because the stream has ended
"""

from __future__ import annotations

from enum import StrEnum

from bridge.errors import SendFailed, Unavailable


class NodeAway(Unavailable):
    """A node was not reachable, or the link to it ended before its answer.

    Attributes:
        node: The name of the node.
        written: Whether the request may have reached the node. If False, it will never reach it.
    """

    def __init__(self, node: str, text: str, *, written: bool) -> None:
        super().__init__(f"the node {node!r} is away: {text}")
        self.node = node
        self.written = written


class NodeTimedOut(Unavailable):
    """A node did not answer before the deadline.

    Attributes:
        node: The name of the node.
        written: Whether the request may have reached the node. If False, it will never reach it.
    """

    def __init__(self, node: str, kind: str, *, written: bool) -> None:
        super().__init__(f"the node {node!r} did not answer {kind!r} before the deadline")
        self.node = node
        self.written = written


class RefusalCode(StrEnum):
    """The codes of the refusals that links make by themselves. Handlers have codes of their own besides."""

    UNKNOWN_KIND = "unknown_kind"
    INTERNAL_ERROR = "internal_error"
    BUSY = "busy"


class NodeRefused(Exception):
    """A node answered with an error. A handler raises this to answer so.

    Attributes:
        code: Tells errors apart. At most 255 octets get to the other node.
        text: A sentence, or what the code demands. At most 65 280 octets get to the other node.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class EndedBy(StrEnum):
    """The side that ended a stream."""

    US = "us"
    PEER = "peer"
    LINK = "link"


class StreamEnded(SendFailed):
    """A stream has ended, so that nothing more can be sent on it.

    Attributes:
        code: The code of the close, 1006 if the link ended.
        reason: The reason of the close.
        by: What ended the stream.
    """

    def __init__(self, code: int, reason: str, by: EndedBy) -> None:
        super().__init__(f"the stream was closed by {by} with code {code}: {reason}")
        self.code = code
        self.reason = reason
        self.by = by
