"""The client of nats-py, which gives each message to one function, with its headers unread.

The library reads all headers of a message, character by character, and passes the message through a queue and a task.
A slot is loaded with a message for each record, of which two headers count: all of that took half of the time of
loading. This client overrides the method that receives a message. The library does not document that method: `missing`
says whether it is as in the version that the bridge was tested with. Methods of the library that wait for a message,
such as `Client.request`, get none.
"""

from __future__ import annotations

import inspect
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct
from nats.aio.client import Client

_METHOD, _PARAMETERS = "_process_msg", ["self", "sid", "subject", "reply", "data", "headers"]
# The head of a message that has a status begins with this.
_BEFORE_STATUS = b"NATS/1.0 "


def missing() -> str | None:
    """Return a sentence if the installed nats-py is another one than this client is made for, else None."""
    try:
        parameters = list(inspect.signature(getattr(Client, _METHOD)).parameters)
    except (AttributeError, TypeError, ValueError):
        parameters = []
    if parameters == _PARAMETERS:
        return None
    return f"nats-py has no Client.{_METHOD} of the known form: install nats-py 2.16"


class ReceivedMessage(Struct, frozen=True, kw_only=True, gc=False):
    """A message from the server.

    Attributes:
        subject: Its subject.
        body: Its body.
        head: Its headers and its status as they came, b"" for none.
    """

    subject: bytes
    body: bytes
    head: bytes = b""

    @property
    def status(self) -> str:
        """The status, "" for none."""
        return next(iter(self._status_line), "")

    @property
    def description(self) -> str:
        """The text that explains the status, "" for none."""
        return " ".join(self._status_line[1:])

    @property
    def _status_line(self) -> list[str]:
        """The status and the words of its description, none for most messages."""
        if not self.head.startswith(_BEFORE_STATUS):
            return []
        return self.head.partition(b"\r\n")[0].removeprefix(_BEFORE_STATUS).decode(errors="replace").split()

    def header(self, name: bytes) -> str:
        """Return the value of a header, "" if there is none. `name` is written as the server writes it."""
        start = self.head.rfind(b"\r\n" + name + b":")  # the server writes its own behind those of a stored message
        if start < 0:
            return ""
        start += len(name) + 3
        return self.head[start : self.head.find(b"\r\n", start)].decode(errors="replace").strip()


class NatsClient(Client):
    """A client whose messages all go to one function, whatever their subscription is.

    Args:
        received: Called with each message.
    """

    def __init__(self, received: Callable[[ReceivedMessage], object]) -> None:
        super().__init__()
        self._received = received

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        self._received(ReceivedMessage(subject=bytes(subject), body=data, head=headers or b""))

    def drop_unsent(self) -> None:
        """Close the socket at once. What is still to be sent is never sent.

        When the library closes a connection, it waits until everything is sent: up to a quarter of an hour if nothing
        comes through. This method uses names that the library may change. Then closing waits again.
        """
        self._pending, self._pending_data_size = [], 0
        writer = getattr(self._transport, "_io_writer", None)
        if writer is None:
            return
        if (found := writer.get_extra_info("socket")) is not None:
            with suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
