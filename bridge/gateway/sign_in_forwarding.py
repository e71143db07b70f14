"""Let the process at which a sign-in has begun end it: implements `bridge.admin.shared_sign_in.OtherSignIns`.

The cookie of a sign-in is sealed with a key that only its process has. Another process, to which the provider has sent
the browser back, asks that one whether the cookie is good, and is used for the first time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from http import HTTPStatus

import msgspec
from msgspec import Struct

from bridge.cluster.courier import Courier
from bridge.cluster.errors import NodeRefused
from bridge.errors import Unavailable
from bridge.gateway.node import Node
from bridge.oidc.attempts import SignInAttempt
from bridge.oidc.outcome import SignInRefused

_KIND = "sign-in"
_PATIENCE = 5.0  # seconds for the answer
_DIGITS = 16


class _SentEnd(Struct, frozen=True, kw_only=True):
    cookie: str
    state: str


class _Ended(Struct, frozen=True, kw_only=True):
    """The sign-in that has ended; None, and why it is refused."""

    attempt: SignInAttempt | None = None
    refused: str = ""
    status: int = HTTPStatus.FORBIDDEN


_encode = msgspec.msgpack.encode
_sent_end = msgspec.msgpack.Decoder(_SentEnd)
_ended = msgspec.msgpack.Decoder(_Ended)


class SignInForwarding:
    """The sign-ins that have begun at other processes, and the reverse.

    Args:
        own: This process.
        courier: The links to other processes.
    """

    def __init__(self, own: Node, courier: Courier) -> None:
        self._own, self._courier = own, courier

    @property
    def maker(self) -> str:
        """What the cookies of this process say of who has made them: no name, which browsers need not know."""
        return _word(self._own.node)

    def answer_with(self, ending: Callable[[str, str], SignInAttempt]) -> None:
        """Let `ending` end the sign-ins that have begun here. It gets the cookie and the state."""

        def end(node: str, octets: bytes) -> bytes:
            sent = _sent_end.decode(octets)
            try:
                return _encode(_Ended(attempt=ending(sent.cookie, sent.state)))
            except SignInRefused as refused:
                return _encode(_Ended(refused=refused.reason, status=refused.status))

        self._courier.on(_KIND, end)

    async def end(self, maker: str, cookie: str, state: str) -> SignInAttempt:
        """End a sign-in at the process that has made its cookie. Raises SignInRefused."""
        if (node := await self._made_by(maker)) is None:
            raise SignInRefused("the process of the bridge at which this sign-in began has ended: sign in again")
        until = asyncio.get_running_loop().time() + _PATIENCE
        try:
            answer = _ended.decode(
                await self._courier.ask(node, _KIND, _encode(_SentEnd(cookie=cookie, state=state)), until)
            )
        except (Unavailable, NodeRefused) as error:
            text = "the process of the bridge at which this sign-in began does not answer: sign in again"
            raise SignInRefused(text, HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        if answer.attempt is None:
            raise SignInRefused(answer.refused, HTTPStatus(answer.status))
        return answer.attempt

    async def _made_by(self, maker: str) -> str | None:
        """Return the name of a process. One that has just begun to serve may not be known here for a lease."""
        time = asyncio.get_running_loop().time
        until = time() + self._own.lease
        while (node := next((node for node in self._own.others if _word(node) == maker), None)) is None:
            if time() >= until:
                return None
            await self._own.changed(until - time())
        return node


def _word(node: str) -> str:
    return hashlib.sha256(node.encode()).hexdigest()[:_DIGITS]
