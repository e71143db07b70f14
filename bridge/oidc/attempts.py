"""A sign-in that has begun. The browser that began it keeps it in a cookie, which nobody else can make.

The bridge keeps nothing until the browser comes back, so that strangers who begin sign-ins cost no memory and displace
nobody's. A sign-in ends once: its state is remembered until it would have expired anyway.

Each process has a key of its own. Where there are several, a sign-in ends at the process that began it, which another
one asks: no key is shared.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct

from bridge.oidc.outcome import SignInRefused

# Seconds that an operator has at the provider.
LASTS = 600.0
# The most states that are remembered. They are of sign-ins that ended in the last LASTS seconds.
_MOST_ENDED = 10_000
_LONGEST_COOKIE = 2048
_OCTETS = 32  # of each secret


class SignInAttempt(Struct, frozen=True, kw_only=True):
    """A sign-in that has begun.

    Attributes:
        state: Ties the answer of the provider to this attempt.
        nonce: Ties the ID token to this attempt.
        verifier: Shows the provider that the code comes from who began (PKCE, RFC 7636).
        back: The page of the console to return to, which begins with `#/`.
        until: The time in unix seconds at which the attempt expires.
    """

    state: str
    nonce: str
    verifier: str
    back: str
    until: float


class SignInAttempts:
    """Begins and ends sign-ins.

    Args:
        clock: Returns the time in unix seconds.
        maker: Tells by a cookie which process has made it, "" for a single process. Letters and digits.
    """

    def __init__(self, clock: Callable[[], float] = time.time, maker: str = "") -> None:
        self._clock = clock
        self._maker = maker
        self._key = secrets.token_bytes(_OCTETS)
        self._ended: dict[str, float] = {}

    def begin(self, back: str) -> SignInAttempt:
        """Return a new attempt, which returns to the page `back` of the console."""
        state, nonce, verifier = (secrets.token_urlsafe(_OCTETS) for _ in range(3))
        return SignInAttempt(state=state, nonce=nonce, verifier=verifier, back=back, until=self._clock() + LASTS)

    def sealed(self, attempt: SignInAttempt) -> str:
        """Return `attempt` as the value of a cookie, in characters that a cookie holds without quotes."""
        text = base64.urlsafe_b64encode(msgspec.json.encode(attempt)).rstrip(b"=")
        maker = f".{self._maker}" if self._maker else ""
        return f"{text.decode()}.{self._seal(text)}{maker}"

    def end(self, cookie: str | None, state: str) -> SignInAttempt:
        """Return the attempt in the cookie, which ends with this.

        Args:
            cookie: The cookie of the browser, None without one.
            state: The state that the provider returned.

        Raises:
            SignInRefused: This browser did not begin the sign-in, or the sign-in is over.
        """
        attempt = self._opened(cookie)
        if attempt is None:
            raise SignInRefused("this browser has not begun a sign-in, or it began one more than ten minutes ago")
        if not hmac.compare_digest(attempt.state.encode(), state.encode("utf-8", "replace")):
            raise SignInRefused("the answer of the provider belongs to another sign-in (state)")
        now = self._clock()
        self._forget(now)
        if attempt.until <= now:
            raise SignInRefused("the sign-in took more than ten minutes")
        if attempt.state in self._ended:
            raise SignInRefused("this answer of the provider was used before (state)")
        self._ended[attempt.state] = attempt.until
        return attempt

    def _forget(self, now: float) -> None:
        """Forget states of attempts that have expired, and the oldest if there are too many. They are in order."""
        for state, until in tuple(self._ended.items()):
            if until > now and len(self._ended) < _MOST_ENDED:
                break
            del self._ended[state]

    def _opened(self, cookie: str | None) -> SignInAttempt | None:
        if cookie is None or len(cookie) > _LONGEST_COOKIE:
            return None
        text, _, rest = cookie.encode("utf-8", "replace").partition(b".")
        seal, _, maker = rest.partition(b".")
        if not hmac.compare_digest(self._seal(text).encode(), seal) or maker != self._maker.encode():
            return None
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(text + b"=="), type=SignInAttempt)
        except (binascii.Error, ValueError):
            return None

    def _seal(self, text: bytes) -> str:
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()


def maker_of(cookie: str | None) -> str:
    """Return which process has made a cookie, as it says itself; "" if it does not say so."""
    parts = [] if cookie is None or len(cookie) > _LONGEST_COOKIE else cookie.split(".")
    return parts[2] if len(parts) == 3 else ""
