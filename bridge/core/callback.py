"""The address to which the Calls to one party are POSTed: a Charge Point's callback address, or a Central System's URL.

This module is pure. `addresses` reads what a message says about the address; this module decides what that changes.
"""

from __future__ import annotations

from msgspec import Struct

from bridge.core import addresses
from bridge.core.addresses import CallbackRefusal, CallbackTarget, Learning

NOT_HEARD = "it has not said yet where it can be called back (wsa:From)"
_MISMATCH = "the address that it gave is another Charge Point's (IdentityMismatch)"


class CallbackChange(Struct, frozen=True, kw_only=True):
    """The change that a message makes to the address of its sender.

    Attributes:
        refused: Why the address in the message must not be used; "" if it is used, or was refused before.
        learnt: The new address, None if it is the one that was known.
        before: The URL that was known before, "" if the URL is the same or none was known.
    """

    refused: str = ""
    learnt: CallbackTarget | None = None
    before: str = ""


UNCHANGED = CallbackChange()


class CallbackAddress:
    """The address to which the Calls to one party are POSTed.

    Args:
        to: The address, None if there is none yet.
        version: The OCPP version that the party speaks.
        fixed: Whether the operator configured the address. Such an address never changes.

    Attributes:
        why_not: Why there is no address; "" if there is one.
        sent_to: The bridge's address to which the party sends, None before its first message. Calls to the party name
            this address as their sender's.
    """

    __slots__ = ("_said", "_url", "fixed", "sent_to", "to", "version", "why_not")

    def __init__(self, to: CallbackTarget | None, version: str, *, fixed: bool = False) -> None:
        self.to = to
        self.version = version
        self.sent_to: str | None = None
        self.fixed = fixed
        self.why_not = NOT_HEARD if to is None else ""
        self._url = "" if to is None else to.url  # the last known URL, also after `forget`
        # From the party's latest message: wsa:From, wsa:ReplyTo, the IP address of the party, and the listener.
        self._said: tuple[str | None, str | None, str, str] | None = None

    @property
    def peer(self) -> str:
        """The IP address that the party's latest message came from, "" if it is not known."""
        return "" if self._said is None else self._said[2]

    def is_new(self, sent_from: str | None, reply_to: str | None, peer: str, listener: str) -> bool:
        """Return whether a message says something else about its sender's address than the message before it.

        Args:
            sent_from: The header wsa:From, None if there is none.
            reply_to: The header wsa:ReplyTo, None if there is none.
            peer: The IP address that the message came from.
            listener: The name of the listener that the message came to.
        """
        said = (sent_from, reply_to, peer, listener)
        if said == self._said:
            return False
        self._said = said
        return True

    def learn(self, learning: Learning) -> CallbackChange:
        """Learn the address from the party's latest message, and return what has changed."""
        if self._said is None or self.fixed:
            return UNCHANGED
        sent_from, reply_to, peer, _ = self._said
        learnt = addresses.learn(sent_from, reply_to, peer, learning)
        if isinstance(learnt, CallbackRefusal):
            return self._refuse(learnt.reason)
        # A guess replaces only another guess, which happens when the Charge Point has a new IP address.
        if learnt is None or (learnt.guessed and self.to is not None and not self.to.guessed):
            return UNCHANGED
        before, changed = self._url, self.to != learnt
        self.to, self.why_not, self._url = learnt, "", learnt.url
        return CallbackChange(
            learnt=learnt if changed else None, before=before if before not in ("", learnt.url) else ""
        )

    def _refuse(self, reason: str) -> CallbackChange:
        why_not = f"its callback address was not accepted: {reason}"
        if self.to is not None or self.why_not == why_not:
            return UNCHANGED
        self.why_not = why_not
        return CallbackChange(refused=reason)

    def limit(self, to: CallbackTarget | None) -> None:
        """Replace the address by `to`, the same restricted to what the operator admits now.

        The next message is examined again, because an address that was refused before may be admitted now.
        """
        self._said = None
        if not self.fixed:
            self.to = to

    def forget(self, to: CallbackTarget) -> str | None:
        """Forget the address `to`: its answer names another Charge Point (DESIGN section 5).

        Returns: The reason, or None if the address has changed meanwhile or the operator configured it.
        """
        if self.fixed or self.to != to:
            return None
        self.to, self.why_not, self._said = None, _MISMATCH, None
        return _MISMATCH
