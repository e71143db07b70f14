"""A SOAP request that belongs to another process of the cluster, and its response, as octets."""

from __future__ import annotations

from typing import Protocol

import msgspec
from msgspec import Struct

from bridge.net.http_server import HeaderFields, HttpRequest
from bridge.net.proxies.rules import Origin
from bridge.ocpp.actions import Party
from bridge.ocpps.replies import Reply

# What no key of another kind begins with: a UniqueId has no blank.
_SHARED = "POST "


def shared_key(process: str, key: str) -> str:
    """Return the key under which a SOAP request is known in all processes of a cluster.

    Args:
        process: The process that received the request, by a name that no other process ever has.
        key: The key of the request in that process.
    """
    return f"{_SHARED}{process}/{key}"


def is_shared_key(key: str) -> bool:
    """Return whether `shared_key` has made a key: the request has it in whichever process handles it."""
    return key.startswith(_SHARED)


class ForwardedPost(Struct, frozen=True, kw_only=True):
    """A POST as it came, with what the listener knows of its sender.

    Attributes:
        listener: The name of the listener that received the POST.
        key: The key of the request, which no other request has in any process.
        path: The path, without the query.
        query: The query.
        authority: The host and port in a target in absolute form, None without one.
        fields: The names and values of the head's fields.
        body: The content, decompressed.
        origin: The sender.
        tenant: The tenant of the sender.
    """

    listener: str
    key: str
    path: str
    query: str
    authority: str | None
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    origin: Origin
    tenant: str

    @classmethod
    def of(cls, listener: str, request: HttpRequest, origin: Origin, tenant: str, process: str) -> ForwardedPost:
        """Return a request to forward it. `process` is the process that received it, as in `shared_key`."""
        return cls(
            listener=listener,
            key=shared_key(process, request.key),
            path=request.path,
            query=request.query,
            authority=request.authority,
            fields=tuple(request.headers),
            body=request.body,
            origin=origin,
            tenant=tenant,
        )

    def request(self, sender: str) -> HttpRequest:
        """Return the request, as it came to the process `sender`."""
        headers = HeaderFields()
        for name, value in self.fields:
            headers.add(name, value)
        return HttpRequest(
            method="POST",
            # A process of an earlier version sends a key that other processes may have, too.
            key=self.key if is_shared_key(self.key) else f"{sender}/{self.key}",
            path=self.path,
            query=self.query,
            headers=headers,
            body=self.body,
            authority=self.authority,
            stays=True,
        )


class ForwardedReply(Struct, frozen=True, kw_only=True):
    """The HTTP response to a forwarded request."""

    status: int
    body: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...]
    closes: bool


class Holders(Protocol):
    """Says which process has a Charge Point, and reaches that process."""

    process: str
    """This process, by a name that no other process ever has."""

    def key_of(self, sender: Party, name: str) -> str:
        """Return the key of the Charge Point that a message of `sender` names.

        A SOAP Central System may call the Charge Point otherwise than the Charge Point calls itself.
        """

    def is_here(self, key: str) -> bool:
        """Return whether this process has the Charge Point, and may act for it now."""

    async def is_here_when_loaded(self, key: str) -> bool:
        """Return whether this process has the Charge Point, after its records are loaded if that is under way."""

    async def forward(self, key: str, post: ForwardedPost) -> Reply | None:
        """Let the process that has the Charge Point answer a POST.

        Returns: The response; None if this process has the Charge Point by now.

        Raises:
            Unavailable: No process has had the Charge Point for a whole lease.
        """

    async def forward_unread(self, key: str, post: ForwardedPost) -> Reply | None:
        """Let the process that seems to have the Charge Point answer a POST that nobody has read.

        Returns: The response; None if that process is not reached, or does not have the Charge Point.
        """


_read_post = msgspec.msgpack.Decoder(ForwardedPost).decode
_read_reply = msgspec.msgpack.Decoder(ForwardedReply).decode
_encode = msgspec.msgpack.Encoder().encode


def post_octets(post: ForwardedPost) -> bytes:
    """Return a POST as octets."""
    return _encode(post)


def post_of(octets: bytes) -> ForwardedPost:
    """Return the POST of `octets`. Raises msgspec.MsgspecError."""
    return _read_post(octets)


def reply_octets(reply: Reply) -> bytes:
    """Return a response as octets. What only its sender reports of it, losses and the error, is left out."""
    return _encode(
        ForwardedReply(
            status=reply.status,
            body=reply.body,
            content_type=reply.content_type,
            headers=reply.headers,
            closes=reply.closes,
        )
    )


def reply_of(octets: bytes) -> Reply:
    """Return the response of `octets`. Raises msgspec.MsgspecError."""
    read = _read_reply(octets)
    return Reply(
        status=read.status,
        body=read.body,
        content_type=read.content_type,
        headers=read.headers,
        closes=read.closes,
    )
