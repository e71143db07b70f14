"""The sign-in of operators at an OpenID Connect provider, and their sessions, at the admin listener.

    /login/options    what the login page offers
    /login/start      redirects the browser to the provider
    /login/callback   where the provider redirects the browser to

None of them wants credentials. The provider itself is in `bridge.oidc`, whose library need not be installed.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Protocol

import msgspec
from aiohttp import web
from msgspec import Struct

from bridge.admin.answers import JSON
from bridge.admin.cookies import Cookies, cookies_of, value_of
from bridge.admin.operator_sessions import OperatorSession, OperatorSessions
from bridge.admin.problems import RequestRefused
from bridge.admin.shared_sessions import SharedSessions
from bridge.admin.shared_sign_in import SharedSignIn
from bridge.admin.sign_in_pages import refusal_page
from bridge.errors import Unavailable
from bridge.net.limits.refusal_summary import RefusalSummary
from bridge.oidc.attempts import LASTS, SignInAttempt, SignInAttempts, maker_of
from bridge.oidc.outcome import Identified, OperatorRole, ProviderFailed, SignInRefused
from bridge.watching import logs

_log = logging.getLogger("bridge.admin")
START, CALLBACK = "/login/start", "/login/callback"
# A page of the console. Nothing else follows the path "/" in the address that a browser is sent to at the end.
_BACK = re.compile(r"#/[\x21-\x7e]{0,500}")
_LONGEST_CODE = 4096
_ERROR = re.compile(r"[a-z_]{1,50}")
# Refusals that have a line of their own in the log within this many seconds. Of the others the log has the count.
_LINES, _SECONDS = 10, 60.0


class IdentityProvider(Protocol):
    """The provider: `bridge.oidc.provider.OidcProvider`."""

    async def ready(self) -> None:
        """Raise ProviderFailed if nobody can sign in now."""

    async def address(self, attempt: SignInAttempt) -> str:
        """Return the URL at which an operator signs in. Raises ProviderFailed."""

    async def identify(self, code: str, issuer: str | None, attempt: SignInAttempt) -> Identified:
        """Return the operator whom the provider has identified. Raises SignInRefused."""

    async def close(self) -> None:
        """Close all connections."""


class SignInTerms(Struct, frozen=True, kw_only=True, eq=False):
    """What the configuration says of the sign-in.

    Attributes:
        provider: The provider.
        label: The name of the provider on the login page.
        public_url: The origin under which browsers reach the console.
        lasts: The seconds after which a session ends.
        idle: The seconds without a request after which a session ends.
        source: What the terms were made from. Equal terms are not taken over again.
        binding: Tells the parts of `source` apart that sessions depend on: they end when it changes.
    """

    provider: IdentityProvider
    label: str
    public_url: str
    lasts: float
    idle: float
    source: object
    binding: str


class SignInOffer(Struct, frozen=True, kw_only=True):
    """The sign-in that the login page offers.

    Attributes:
        name: The name of the provider.
        url: The address that begins a sign-in.
        trouble: Why nobody can sign in now, "" if they can.
    """

    name: str
    url: str
    trouble: str


class _Running:
    """The sign-in under one configuration. `maker` is that of SignInAttempts."""

    def __init__(self, terms: SignInTerms, maker: str) -> None:
        self.terms = terms
        self.cookies = Cookies.of(terms.public_url)
        self.attempts = SignInAttempts(maker=maker)


class SignIn:
    """Signs operators in and out.

    Args:
        ended: Called after a session has ended.
        shared: What several processes share, None for a single process.
    """

    def __init__(self, ended: Callable[[], None], shared: SharedSignIn | None = None) -> None:
        self._ended = ended
        self._shared = shared
        if shared is not None:
            shared.others.answer_with(self._end_own)
        self._running: _Running | None = None
        self._sessions = OperatorSessions(0, 0)
        self._sessions_of_all: SharedSessions | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lines = 0
        self._unsaid = RefusalSummary(self._later, self._say_unsaid)

    @property
    def terms(self) -> SignInTerms | None:
        """Return the terms in force, None if nobody can sign in."""
        return None if self._running is None else self._running.terms

    async def take_over(self, terms: SignInTerms | None) -> None:
        """Use new terms. Sign-ins that have begun end; sessions end if they depend on what has changed."""
        before = self.terms
        if terms is before:
            return
        self._running = None if terms is None else _Running(terms, self._maker)
        if terms is None or before is None or terms.binding != before.binding:
            former, self._sessions_of_all = self._sessions_of_all, self._shared_under(terms)
            self._sessions = OperatorSessions(0, 0) if terms is None else OperatorSessions(terms.lasts, terms.idle)
            if self._sessions_of_all is not None:
                self._sessions = self._sessions_of_all.known
            self._ended()
            if former is not None:
                await former.clear()
                await former.close()
        if before is not None:
            await before.provider.close()

    async def close(self) -> None:
        """Close the connections to the provider. The sessions end, unless other processes have them too."""
        if self._sessions_of_all is not None:
            await self._sessions_of_all.close()
            self._sessions_of_all = None
        await self.take_over(None)
        if self._timer is not None:
            self._timer.cancel()

    # Sessions.

    async def refresh(self, cookies: Sequence[str]) -> None:
        """Learn what other processes have done with the session of a request, before `session_of` is asked.

        Raises RequestRefused (503) if that cannot be known now.
        """
        key = self._key(cookies)
        if self._sessions_of_all is None or key is None:
            return
        try:
            await self._sessions_of_all.refresh(key)
        except Unavailable as error:
            raise _unknown("whether this session lasts is not known now") from error

    def session_of(self, cookies: Sequence[str]) -> OperatorSession | None:
        """Return the session of a request, None without one. `cookies` are the values of its headers Cookie."""
        key = self._key(cookies)
        return None if key is None else self._sessions.find(key)

    def used(self, session: OperatorSession) -> None:
        """Take note of a request, which keeps the session from becoming idle."""
        if self._sessions_of_all is None:
            self._sessions.use(session)
        else:
            self._sessions_of_all.use(session)

    def seconds_left(self, session: OperatorSession) -> int:
        """Return the seconds until the operator must sign in again at the latest."""
        return int(self._sessions.left(session))

    async def sign_out(self, request: web.Request, response: web.StreamResponse) -> None:
        """End the session of a request, and make the browser forget its cookie.

        Raises RequestRefused (503) if the other processes cannot learn of it now.
        """
        cookies, running = cookies_of(request), self._running
        key, session = self._key(cookies), self.session_of(cookies)
        if running is None or key is None or session is None:
            return
        try:
            await self._end_session(key)
        except Unavailable as error:
            raise _unknown("the other processes of the bridge cannot learn of this now: sign out again") from error
        self._ended()
        running.cookies.drop(response, running.cookies.session)
        logs.fields(_log, logging.INFO, "signed out", operator=session.name, peer=request.remote)

    async def _begin_session(self, operator: Identified, role: OperatorRole, old: str | None) -> str:
        """Begin a session in place of the one with the key `old`. Returns: its key. Raises Unavailable."""
        of_all = self._sessions_of_all
        if old is not None:
            if of_all is not None:
                await of_all.refresh(old)
            await self._end_session(old)
        if of_all is not None:
            return await of_all.begin(operator.subject, operator.name, role)
        return self._sessions.begin(operator.subject, operator.name, role)

    async def _end_session(self, key: str) -> None:
        if self._sessions_of_all is None:
            self._sessions.end(key)
        else:
            await self._sessions_of_all.end(key)

    def _shared_under(self, terms: SignInTerms | None) -> SharedSessions | None:
        if terms is None or self._shared is None:
            return None
        return SharedSessions(
            self._shared.values,
            binding=terms.binding,
            lasts=terms.lasts,
            idle=terms.idle,
            ended=self._ended,
            may_act=self._shared.may_act,
            every=self._shared.lease / 4,
            patience=self._shared.lease,
        )

    def _key(self, cookies: Sequence[str]) -> str | None:
        return None if self._running is None else value_of(self._running.cookies.session, cookies)

    def _watch(self) -> None:
        """Set the timer for the next session that ends."""
        if self._timer is not None:
            self._timer.cancel()
        wait = self._sessions.next_end()
        self._timer = None if wait is None else asyncio.get_running_loop().call_later(wait, self._forget_ended)

    def _forget_ended(self) -> None:
        before = len(self._sessions)
        self._sessions.forget_ended()
        if len(self._sessions) != before:
            self._ended()
        self._watch()

    # What a browser asks.

    def add_routes(self, application: web.Application) -> None:
        """Add the addresses that want no credentials."""
        application.router.add_get("/login/options", self._options, allow_head=False)
        application.router.add_get(START, self._start, allow_head=False)
        application.router.add_get(CALLBACK, self._callback, allow_head=False)

    async def _options(self, request: web.Request) -> web.Response:
        running = self._running
        if running is None:
            return _offered(None)
        trouble = ""
        try:
            await running.terms.provider.ready()
        except ProviderFailed as failed:
            trouble = failed.reason
        terms = running.terms
        return _offered(SignInOffer(name=terms.label, url=terms.public_url + START, trouble=trouble))

    async def _start(self, request: web.Request) -> web.StreamResponse:
        try:
            running = self._in_force()
            back = _only(request, "next") or "#/"
            if not _BACK.fullmatch(back):
                raise SignInRefused("the address to return to is no page of the console", HTTPStatus.BAD_REQUEST)
            attempt = running.attempts.begin(back)
            url = await running.terms.provider.address(attempt)
        except SignInRefused as refused:
            return self._refuse(request, refused)
        response = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": url})
        running.cookies.set(response, running.cookies.attempt, running.attempts.sealed(attempt), int(LASTS))
        return response

    async def _callback(self, request: web.Request) -> web.StreamResponse:
        try:
            running = self._in_force()
            attempt = await self._end_attempt(running, request)
            operator = await running.terms.provider.identify(_code(request), _only(request, "iss"), attempt)
            if self._running is not running:
                raise SignInRefused("the configuration has changed during the sign-in")
            if operator.role is None:
                text = "you have no role here: no value of the claim in admin.oidc.role_claim gives one"
                raise SignInRefused(text, detail=f"{operator.name}: {operator.lacks}")
            key = await self._begin_session(operator, operator.role, self._key(cookies_of(request)))
            if self._running is not running:
                raise SignInRefused("the configuration has changed during the sign-in")
        except SignInRefused as refused:
            return self._refuse(request, refused)
        except Unavailable as error:
            text = "the processes of the bridge cannot share a session now: sign in again"
            return self._refuse(request, SignInRefused(text, HTTPStatus.SERVICE_UNAVAILABLE, str(error)))
        response = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": f"/{attempt.back}"})
        self._ended()  # the old session, or one that made room
        self._watch()
        running.cookies.set(response, running.cookies.session, key)
        running.cookies.drop(response, running.cookies.attempt)
        who = {"operator": operator.name, "subject": operator.subject, "role": operator.role}
        logs.fields(_log, logging.INFO, "signed in", **who, peer=request.remote)
        return response

    def _in_force(self) -> _Running:
        if self._running is None:
            raise SignInRefused("admin.oidc is not configured: log in with a token", HTTPStatus.NOT_FOUND)
        return self._running

    async def _end_attempt(self, running: _Running, request: web.Request) -> SignInAttempt:
        state, cookie = _only(request, "state") or "", value_of(running.cookies.attempt, cookies_of(request))
        maker = maker_of(cookie)
        if self._shared is None or cookie is None or maker in ("", self._maker):
            return running.attempts.end(cookie, state)
        return await self._shared.others.end(maker, cookie, state)

    def _end_own(self, cookie: str, state: str) -> SignInAttempt:
        """End a sign-in that has begun here, for another process. Raises SignInRefused."""
        return self._in_force().attempts.end(cookie, state)

    @property
    def _maker(self) -> str:
        return "" if self._shared is None else self._shared.others.maker

    # Refusals.

    def _refuse(self, request: web.Request, refused: SignInRefused) -> web.Response:
        if self._lines < _LINES:
            if self._lines == 0:
                self._later(self._begin_lines)
            self._lines += 1
            peer = request.remote
            logs.fields(
                _log, logging.WARNING, "sign-in refused", reason=refused.reason, peer=peer, detail=refused.detail
            )
        else:
            self._unsaid.add(refused.reason)
        response = web.Response(
            status=refused.status, text=refusal_page(refused.reason), content_type="text/html", charset="utf-8"
        )
        if self._running is not None:
            self._running.cookies.drop(response, self._running.cookies.attempt)
        return response

    def _begin_lines(self) -> None:
        self._lines = 0

    def _later(self, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(_SECONDS, call)

    def _say_unsaid(self, reason: str, times: int) -> None:
        logs.fields(_log, logging.WARNING, "more sign-ins refused", reason=reason, times=times)


def _unknown(text: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, text, headers={"Retry-After": "5"})


def _offered(offer: SignInOffer | None) -> web.Response:
    return web.Response(body=msgspec.json.encode({"offer": offer}), content_type=JSON)


def _code(request: web.Request) -> str:
    """Return the code in the answer of the provider. Raises SignInRefused if the provider refuses, or sends none."""
    error, code = _only(request, "error"), _only(request, "code")
    if error is not None:
        told = f" ({error})" if _ERROR.fullmatch(error) else ""
        raise SignInRefused(f"the provider refuses the sign-in{told}", detail=_only(request, "error_description"))
    if not code or len(code) > _LONGEST_CODE:
        raise SignInRefused("the answer of the provider has no usable code", HTTPStatus.BAD_REQUEST)
    return code


def _only(request: web.Request, name: str) -> str | None:
    """Return a parameter of the query, None without one. Raises SignInRefused if it stands twice."""
    values = request.query.getall(name, [])
    if len(values) > 1:
        raise SignInRefused(f"the parameter {name} stands more than once", HTTPStatus.BAD_REQUEST)
    return values[0] if values else None
