"""Let an operator who signs in at one of several processes be signed in at all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from bridge.admin.shared_sessions import SessionValues
from bridge.oidc.attempts import SignInAttempt


class OtherSignIns(Protocol):
    """The sign-ins that have begun at other processes: `bridge.gateway.sign_in_forwarding.SignInForwarding`."""

    @property
    def maker(self) -> str:
        """The name of this process in the cookies that it makes."""

    def answer_with(self, ending: Callable[[str, str], SignInAttempt]) -> None:
        """Let `ending` end the sign-ins that have begun here. It gets the cookie and the state."""

    async def end(self, maker: str, cookie: str, state: str) -> SignInAttempt:
        """End a sign-in at the process that has made its cookie. Raises SignInRefused."""


class SharedSignIn(Struct, frozen=True, kw_only=True):
    """The sessions that the processes share, and the sign-ins about which they ask each other.

    Attributes:
        values: The sessions that all of them have.
        others: The sign-ins that have begun at others.
        may_act: Returns whether this process is one of the cluster now.
        lease: The seconds for which a process goes on without the others.
    """

    values: SessionValues
    others: OtherSignIns
    may_act: Callable[[], bool]
    lease: float
