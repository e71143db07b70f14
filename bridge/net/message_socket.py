"""A WebSocket as its owner sees it, whichever process accepted it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from websockets.exceptions import ConnectionClosed


class MessageSocket(Protocol):
    """A WebSocket of this process, or one that another process accepted."""

    receiver: Callable[[bytes], bool] | None
    """Handles a message at once. If it returns False, the message and all later ones wait for `recv`."""
    on_control: Callable[[], None] | None
    """Called for each sign of life that is no message."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed on in the handshake, None if none was."""

    @property
    def remote_address(self) -> tuple[str, int] | None:
        """The peer's IP address and port, None if they are not known."""

    @property
    def end(self) -> ConnectionClosed:
        """The Close frames of both ends, with their codes and reasons. Available when the connection has ended."""

    def send(self, data: bytes) -> None:
        """Send a text message, in UTF-8."""

    async def recv(self) -> bytes | None:
        """Return the next message that `receiver` did not take, None at the end. Call `one_read` when it is handled."""

    def one_read(self) -> None:
        """Note that a message from `recv` is handled."""

    def close(self, code: int, reason: str) -> None:
        """Close the WebSocket after the messages that were sent before."""

    async def closed(self) -> None:
        """Wait until the connection has ended."""
