"""The endpoints of the API for the session of the cookie: who has signed in, and how they sign out."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from msgspec import Struct

from bridge.admin.cookies import cookies_of
from bridge.admin.endpoints import AdminEndpoint, ClientRequest, Nothing
from bridge.admin.operator_sessions import OperatorSession
from bridge.admin.problems import RequestRefused
from bridge.admin.sign_in import SignIn


class SessionFact(Struct, frozen=True, kw_only=True):
    """The session of an operator.

    Attributes:
        name: The name in the audit.
        role: "read" permits no changes.
        csrf: The value of the header X-CSRF-Token in requests that change anything.
        seconds_left: The seconds until the operator must sign in again at the latest.
    """

    name: str
    role: str
    csrf: str
    seconds_left: int


def endpoints(sign_in: SignIn) -> list[AdminEndpoint]:
    """Return the endpoints for the session of the cookie."""
    session = _Session(sign_in)
    return [
        AdminEndpoint(
            scope="everybody",
            name="session",
            method="GET",
            path="/session",
            about="The session of who has signed in at the provider; a token has none",
            handle=session.told,
            answer=SessionFact,
            refusals=(HTTPStatus.NOT_FOUND,),
        ),
        AdminEndpoint(
            scope="everybody",
            name="sign-out",
            method="DELETE",
            path="/session",
            about="Sign out, which ends the session and its live streams",
            handle=session.sign_out,
            refusals=(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
        ),
    ]


class _Session:
    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in

    async def told(self, asked: ClientRequest[Nothing, None]) -> SessionFact:
        session = self._of(asked)
        left = self._sign_in.seconds_left(session)
        return SessionFact(name=session.name, role=session.role, csrf=session.csrf, seconds_left=left)

    async def sign_out(self, asked: ClientRequest[Nothing, None]) -> web.Response:
        self._of(asked)
        response = web.Response(status=HTTPStatus.NO_CONTENT)
        await self._sign_in.sign_out(asked.client, response)
        return response

    def _of(self, asked: ClientRequest[Nothing, None]) -> OperatorSession:
        session = self._sign_in.session_of(cookies_of(asked.client))
        if session is None:
            raise RequestRefused(HTTPStatus.NOT_FOUND, "a token has no session")
        return session
