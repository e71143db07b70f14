"""Who may ask: the token, this machine, the Origin, the Host."""

from __future__ import annotations

import socket
from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from multidict import CIMultiDict

from bridge.admin.access import Access, Asking
from bridge.admin.problems import Refused
from bridge.config import Admin, Listen, Secret, Settings
from tests.admin.asked import api_of
from tests.e2e.stage import run, running, settings

LOOPBACK, OTHER = "127.0.0.1", "192.0.2.7"
API, PAGE = "/api/v1/charge-points", "/"


def refusal(
    path: str = API,
    peer: str | None = LOOPBACK,
    token: bytes | None = None,
    origins: tuple[str, ...] = (),
    open_metrics: bool = True,
    secure: bool = False,
    **headers: Any,
) -> int | None:
    """The HTTP status with which a request is turned away, None if it is let in. An underscore stands for a dash."""
    told = CIMultiDict({"Host": "127.0.0.1:8081"} | {name.replace("_", "-"): text for name, text in headers.items()})
    access = Access(token, origins, open_metrics=open_metrics)
    try:
        access.check(Asking(path=path, peer=peer, secure=secure, headers=told))
    except Refused as refused:
        if refused.status is HTTPStatus.UNAUTHORIZED:
            assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        return refused.status
    return None


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_needs_no_token_unless_there_is_one(peer: str) -> None:
    assert refusal(peer=peer) is None
    assert refusal(peer=peer, token=b"secret") == 401


@pytest.mark.parametrize("peer", [OTHER, "10.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0", "2001:db8::1", None, "unix"])
def test_nobody_else_is_answered_without_a_token(peer: str | None) -> None:
    assert refusal(peer=peer) == 401
    assert refusal(PAGE, peer=peer) == 401


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "x-forwarded-for"])
def test_a_proxy_on_this_machine_does_not_open_it_to_the_world(header: str) -> None:
    passed_on: dict[str, Any] = {header: OTHER}
    assert refusal(**passed_on) == 401
    assert refusal(**passed_on, token=b"secret", Authorization="Bearer secret") is None


@pytest.mark.parametrize(
    ("shown", "admitted"),
    [
        ("Bearer secret", True),
        ("bearer secret", True),
        ("Bearer  secret ", True),
        ("Bearer Secret", False),
        ("Bearer secretly", False),
        ("Bearer", False),
        ("Basic secret", False),
        ("secret", False),
        ("", False),
    ],
)
def test_the_token(shown: str, admitted: bool) -> None:
    assert refusal(peer=OTHER, token=b"secret", Authorization=shown) == (None if admitted else 401)


def test_a_token_of_any_bytes() -> None:
    assert refusal(token=b"\xff\xc3\xa9", Authorization="Bearer \udcff\u00e9") is None


def test_the_page_itself_is_no_secret_where_a_token_is() -> None:
    """A browser cannot show a token before the page has asked its user for one."""
    for path in (PAGE, "/console/app.js"):
        assert refusal(path, peer=OTHER, token=b"secret") is None
    for path in ("/api/v1/openapi.json", "/consoles", "/console", "/anything"):
        assert refusal(path, peer=OTHER, token=b"secret") == 401


def test_what_monitoring_asks_is_open() -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert refusal(path, peer=OTHER) is None
        assert refusal(path, peer=OTHER, token=b"secret") is None
    assert refusal("/metrics", peer=OTHER, token=b"secret", open_metrics=False) == 401
    assert refusal("/metrics", peer=LOOPBACK, open_metrics=False) is None
    assert refusal("/healthz", peer=OTHER, open_metrics=False) is None


@pytest.mark.parametrize("path", [API, PAGE, "/healthz"])
@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://127.0.0.1",
        "https://127.0.0.1:8081",
        "http://127.0.0.1:8081.evil.example",
    ],
)
def test_a_foreign_page(path: str, origin: str) -> None:
    assert refusal(path, Origin=origin) == 403
    assert refusal(path, token=b"secret", Authorization="Bearer secret", Origin=origin) == 403


def test_our_own_page_and_those_that_the_operator_names() -> None:
    assert refusal(Origin="http://127.0.0.1:8081") is None
    assert refusal(Origin="https://127.0.0.1:8081", secure=True) is None
    assert refusal(Origin="https://ocpp.example.com", origins=("https://ocpp.example.com",)) is None
    assert refusal(Origin="http://ocpp.example.com", origins=("https://ocpp.example.com",)) == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8081", "127.0.0.1.evil.example", "", "[", "192.0.2.7"])
def test_a_name_that_was_made_to_lead_here(host: str) -> None:
    """The page of http://evil.example:8081 has the right Origin for its Host."""
    assert refusal(Host=host, Origin=f"http://{host}") == 403
    assert refusal(Host=host, token=b"secret", Authorization="Bearer secret") is None


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8081", "127.0.0.1", "[::1]:8081", "ocpp.example.com"])
def test_names_of_this_machine(host: str) -> None:
    assert refusal(Host=host, origins=("https://ocpp.example.com",)) is None


# The same over sockets.


def guarded(token: str | None = None, host: str = "127.0.0.1") -> Settings:
    """Settings whose admin listener has `token`, on `host`."""
    told = settings("ws://127.0.0.1:1/")
    secret = None if token is None else Secret(token.encode())
    return msgspec.structs.replace(told, admin=Admin(listen=Listen(host, 0), token=secret))


def test_with_a_token_in_the_configuration() -> None:
    async def walk() -> None:
        async with running(guarded("secret")) as gateway, api_of(gateway) as api:
            for path in ("/charge-points", "/openapi.json", "/nothing", "//nothing"):
                answer = await api("GET", path)
                assert (answer.status, answer.data["status"]) == (401, 401)
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert answer.headers["WWW-Authenticate"] == 'Bearer realm="ocpp-bridge"'
            assert (await api("POST", "/charge-points/CP%201/disconnect")).status == 401
            assert await api.get("/charge-points", headers={"Authorization": "Bearer secret"})
            assert (await api("GET", "//healthz")).status == 200

    run(walk())


def test_from_an_address_that_is_not_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request of this machine that comes from elsewhere, as far as the listener can tell."""
    monkeypatch.setattr(web.BaseRequest, "remote", OTHER)

    async def walk() -> None:
        async with running(guarded()) as gateway, api_of(gateway) as api:
            for method, path in (
                ("GET", "/charge-points"),
                ("POST", "/charge-points/CP%201/disconnect"),
                ("GET", "//"),
            ):
                assert (await api(method, path)).status == 401
            assert (await api("GET", "//healthz")).status == 200
        async with running(guarded("secret")) as gateway, api_of(gateway) as api:
            assert await api.get("/charge-points", headers={"Authorization": "Bearer secret"})

    run(walk())


def test_from_every_address_that_this_machine_has() -> None:
    """Whatever is not loopback: without leaving the machine."""
    found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET, socket.SOCK_STREAM)
    addresses = {str(each[4][0]) for each in found}

    async def walk() -> None:
        async with running(guarded(host="0.0.0.0")) as gateway, aiohttp.ClientSession() as http:
            port = gateway.admin_address[1]
            for address in addresses | {"127.0.0.1"}:
                async with http.get(f"http://{address}:{port}/api/v1/charge-points") as response:
                    assert response.status == (200 if address.startswith("127.") else 401)

    try:
        run(walk())
    except aiohttp.ClientConnectorError:  # the machine's name leads to an address that it does not have any more
        assert addresses != {"127.0.0.1"}


def test_a_page_of_another_origin_over_http() -> None:
    async def walk() -> None:
        async with running(guarded()) as gateway, api_of(gateway) as api:
            foreign = {"Origin": "https://evil.example"}
            for method, path in (
                ("GET", "/charge-points"),
                ("POST", "/charge-points/CP%201/disconnect"),
                ("GET", "//"),
            ):
                answer = await api(method, path, headers=foreign)
                assert (answer.status, answer.data["title"]) == (403, "Forbidden")
            assert await api.get("/charge-points", headers={"Origin": api.base})

    run(walk())


def test_every_answer_says_what_a_browser_may_do_with_it() -> None:
    async def walk() -> None:
        async with running(guarded()) as gateway, api_of(gateway) as api:
            for path in ("//", "/charge-points", "/nothing", "//healthz"):
                headers = (await api("GET", path)).headers
                policy = headers["Content-Security-Policy"]
                assert "frame-ancestors 'none'" in policy and "unsafe" not in policy
                assert headers["X-Content-Type-Options"] == "nosniff"
                assert headers["Referrer-Policy"] == "no-referrer"
                assert "Access-Control-Allow-Origin" not in headers
            assert (await api("GET", "/charge-points")).headers["Cache-Control"] == "no-store"

    run(walk())
