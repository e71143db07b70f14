"""The cookies of the admin listener: their names and attributes, and how they are read. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from aiohttp import web
from msgspec import Struct


class Cookies(Struct, frozen=True, kw_only=True):
    """The cookies for one address of the console.

    Cookies do not distinguish the ports of a host, so the port is in the names: several bridges may run on one machine.

    Attributes:
        session: The name of the cookie with the key of a session.
        attempt: The name of the cookie with a sign-in that has begun.
        secure: The console is reached over https. Browsers then accept the names, which begin with `__Host-`, only from
            this host itself and over https (RFC 6265bis section 4.1.3.2).
    """

    session: str
    attempt: str
    secure: bool

    @classmethod
    def of(cls, public_url: str) -> Cookies:
        """Return the cookies for the console at `public_url`."""
        parts = urlsplit(public_url)
        secure = parts.scheme == "https"
        before, behind = "__Host-" if secure else "", f"-{parts.port}" if parts.port else ""
        session, attempt = (f"{before}ocpp-bridge-{kind}{behind}" for kind in ("session", "sign-in"))
        return cls(session=session, attempt=attempt, secure=secure)

    def set(self, response: web.StreamResponse, name: str, value: str, max_age: int | None = None) -> None:
        """Set a cookie that no script can read, and that other sites cannot make a browser send with a change.

        Args:
            response: Gets the cookie.
            name: The name.
            value: The value.
            max_age: Seconds that the browser keeps the cookie, None for until it is closed.
        """
        response.set_cookie(name, value, max_age=max_age, path="/", secure=self.secure, httponly=True, samesite="Lax")

    def drop(self, response: web.StreamResponse, name: str) -> None:
        """Make the browser forget a cookie."""
        self.set(response, name, "", max_age=0)


def value_of(name: str, lines: Sequence[str]) -> str | None:
    """Return the value of a cookie, None without one.

    Another server on the same host can set a cookie of the same name for a path, and the browser then sends both. Which
    of them is ours cannot be known, so none is taken.

    Args:
        name: The name of the cookie.
        lines: The values of the header Cookie.
    """
    pairs = (pair.strip().partition("=") for line in lines for pair in line.split(";"))
    values = [value for found, _, value in pairs if found == name]
    return values[0] if len(values) == 1 else None


def cookies_of(request: web.Request) -> list[str]:
    """Return the values of the headers Cookie of a request."""
    return request.headers.getall("Cookie", [])
