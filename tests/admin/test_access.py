"""Who may ask: the token, the Origin, the Host."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

import msgspec
import pytest
from multidict import CIMultiDict

from bridge.admin.access import Access, Asking, Credential, Names
from bridge.admin.operator_sessions import OperatorSession
from bridge.admin.problems import RequestRefused
from bridge.config import Admin, AdminToken, Listen, Secret, SecretFile, Settings
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.admin.asked import api_of
from tests.e2e.stage import json_charge_point, running, settings

LOOPBACK, OTHER = "127.0.0.1", "192.0.2.7"
API, PAGE = "/api/v1/charge-points", "/"
SHOWN: dict[str, Any] = {"Authorization": "Bearer secret"}
ONLY_THIS_MACHINE = Names()


def refusal(
    path: str = API,
    peer: str | None = LOOPBACK,
    token: bytes = b"secret",
    origins: tuple[str, ...] = (),
    open_metrics: bool = True,
    secure: bool = False,
    authority: str | None = None,
    method: str = "GET",
    names: Names = ONLY_THIS_MACHINE,
    session: OperatorSession | None = None,
    **headers: Any,
) -> int | None:
    """The HTTP status with which a request is turned away, None if it is let in. An underscore stands for a dash."""
    told = CIMultiDict({"Host": "127.0.0.1:8081"} | {name.replace("_", "-"): text for name, text in headers.items()})
    credentials = (
        Credential(name="token", token=token, role="operate"),
        Credential(name="night desk", token=b"look only", role="read"),
    )
    access = Access(credentials, origins, open_metrics=open_metrics, names=names, session_of=lambda cookies: session)
    try:
        access.check(Asking(path=path, peer=peer, secure=secure, headers=told, authority=authority, method=method))
    except RequestRefused as refused:
        if refused.status is HTTPStatus.UNAUTHORIZED:
            assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        return refused.status
    return None


@pytest.mark.parametrize(
    ("token", "scope", "tenant", "status"),
    [
        ("all", "tenant", "", None),
        ("all", "tenant", "acme", None),
        ("all", "bridge", "", None),
        ("ours", "tenant", "", None),
        ("ours", "tenant", "acme", 403),
        ("ours", "bridge", "", 403),
        ("ours", "everybody", "acme", None),
        ("acme", "tenant", "acme", None),
        ("acme", "tenant", "", 403),
        ("acme", "tenant", "beta", 403),
        ("acme", "bridge", "acme", 403),
        ("acme", "everybody", "", None),
    ],
)
def test_the_tenant_of_a_token(token: str, scope: Any, tenant: str, status: int | None) -> None:
    tenants = {"all": "*", "ours": "", "acme": "acme"}
    credentials = tuple(
        Credential(name=name, token=name.encode(), role="operate", tenant=whose) for name, whose in tenants.items()
    )
    access = Access(credentials, (), open_metrics=False, names=ONLY_THIS_MACHINE, shared=True)
    headers = CIMultiDict({"Host": "127.0.0.1:8081", "Authorization": f"Bearer {token}"})
    asking = Asking(path=API, peer=LOOPBACK, secure=False, headers=headers)
    assert access.admits(asking, scope, tenant) is (status is None)
    if status is not None:
        with pytest.raises(RequestRefused) as caught:
            access.check_scope(asking, scope, tenant)
        assert caught.value.status == status
    assert access.may_use(asking, tenant) is (tenants[token] in ("*", tenant))
    assert access.sees_all(asking) is (token == "all")
    assert access.admits(msgspec.structs.replace(asking, path="/metrics")) is (token == "all")
    access.shared = False  # without other tenants, a token of the default tenant is for all there is
    assert access.admits(asking, "bridge", "") is True


@pytest.mark.parametrize("peer", [LOOPBACK, "::1", "::ffff:127.0.0.1", OTHER, "10.0.0.1", "2001:db8::1", None, "unix"])
def test_everybody_needs_a_token(peer: str | None) -> None:
    assert refusal(peer=peer) == 401
    assert refusal(peer=peer, **SHOWN) is None
    assert refusal(PAGE, peer=peer) is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_who_may_read_changes_nothing(method: str) -> None:
    looking: dict[str, Any] = {"Authorization": "Bearer look only"}
    assert refusal(method=method, **looking) == 403
    assert refusal(**looking) is None
    assert refusal("/metrics", open_metrics=False, **looking) is None
    assert refusal(method=method, **SHOWN) is None


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "x-forwarded-for"])
def test_what_a_proxy_adds_changes_nothing(header: str) -> None:
    passed_on: dict[str, Any] = {header: OTHER}
    assert refusal(**passed_on) == 401
    assert refusal(**passed_on, **SHOWN) is None


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


SESSION = OperatorSession(subject="1", name="ann", role="operate", csrf="told", began=0, used=0)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, None),
        ({"Sec_Fetch_Site": "same-origin"}, None),
        ({"Sec_Fetch_Site": "none"}, None),
        ({"Sec_Fetch_Site": "same-site"}, 401),
        ({"Sec_Fetch_Site": "cross-site"}, 401),
        ({"Sec_Fetch_Site": "cross-site", "Authorization": "Bearer secret"}, None),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Basic b3BzOmZvciB0aGUgcHJveHk="}, None),
    ],
)
def test_a_session_is_taken_from_our_own_page_only(headers: dict[str, Any], status: int | None) -> None:
    """A server at another port of the same host is the same site to a browser, which sends it our cookie."""
    assert refusal(session=SESSION, **headers) == status


def test_a_change_with_a_session_needs_the_header() -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert refusal(session=SESSION, method=method) == 403
        assert refusal(session=SESSION, method=method, X_CSRF_Token="guessed") == 403
        assert refusal(session=SESSION, method=method, X_CSRF_Token="told") is None
    assert refusal(session=SESSION, method="POST", X_CSRF_Token="told", Origin="http://127.0.0.1:8082") == 403


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
        assert refusal(path, peer=OTHER, Authorization="Bearer wrong") is None
    for peer in (OTHER, LOOPBACK):
        assert refusal("/metrics", peer=peer, open_metrics=False) == 401
        assert refusal("/metrics", peer=peer, open_metrics=False, **SHOWN) is None
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
    assert refusal(Origin="http://127.0.0.1:8081", **SHOWN) is None
    assert refusal(Origin="https://127.0.0.1:8081", secure=True, **SHOWN) is None
    assert refusal(Origin="https://ocpp.example.com", origins=("https://ocpp.example.com",), **SHOWN) is None
    assert refusal(Origin="http://ocpp.example.com", origins=("https://ocpp.example.com",)) == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8081", "127.0.0.1.evil.example", "", "[", "192.0.2.7"])
@pytest.mark.parametrize("path", [API, "/metrics", "/readyz"])
def test_a_name_that_was_made_to_lead_here(path: str, host: str) -> None:
    """The page of http://evil.example:8081 has the right Origin for its Host, and no token."""
    assert refusal(path, Host=host, Origin=f"http://{host}") == 403
    assert refusal(path, Host=host) == 403
    assert refusal(path, Host=host, Authorization="Bearer wrong") == 403
    assert refusal(path, Host=host, **SHOWN) is None


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8081", "127.0.0.1", "[::1]:8081", "ocpp.example.com"])
def test_names_of_this_machine(host: str) -> None:
    assert refusal("/metrics", Host=host, origins=("https://ocpp.example.com",)) is None


@pytest.mark.parametrize("host", ["10.0.0.7:8081", "[2001:db8::7]:8081", "bridge:8081", "gateway.example.com"])
def test_names_by_which_others_may_reach_it(host: str) -> None:
    """Prometheus in a network of containers scrapes `bridge:8081`, Kubernetes an address."""
    names = Names(hosts=frozenset({"gateway.example.com"}), beyond=True)
    assert refusal("/metrics", Host=host, names=names) is None
    assert refusal("/metrics", Host="evil.example", names=names) == 403
    assert refusal("/metrics", Host="", names=names) == 403
    assert refusal("/metrics", Host=host) == 403


# The same over sockets.


def guarded(token: str | None = None, host: str = "127.0.0.1", url: str = "ws://127.0.0.1:1/") -> Settings:
    """Settings whose admin listener has `token`, on `host`, with a Central System at `url`."""
    told = settings(url)
    secret = None if token is None else Secret(token.encode())
    return msgspec.structs.replace(told, admin=Admin(listen=Listen(host, 0), token=secret))


async def test_with_a_token_in_the_configuration() -> None:
    async with running(guarded("secret")) as gateway, api_of(gateway) as api:
        for path in ("/charge-points", "/openapi.json", "/nothing", "//nothing"):
            answer = await api("GET", path)
            assert (answer.status, answer.data["status"]) == (401, 401)
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="ocpp-bridge"'
        assert (await api("POST", "/charge-points/CP%201/disconnect")).status == 401
        assert await api.get("/charge-points", headers={"Authorization": "Bearer secret"})
        assert (await api("GET", "//healthz")).status == 200


async def test_without_one_the_bridge_makes_its_own() -> None:
    """From loopback, and from what looks to the listener as if it came from elsewhere, all the same."""
    async with running(guarded()) as gateway, api_of(gateway) as api:
        assert await api.get("/charge-points")
        assert gateway.admin_token is not None and len(gateway.admin_token) >= 40
        for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong"}):
            for method, path in (("GET", "/charge-points"), ("POST", "/charge-points/CP%201/disconnect")):
                answer = await api(method, path, headers=headers)
                assert answer.status == 401 and "ocpp-bridge token" in answer.data["detail"]
            for path in ("//", "//healthz", "//readyz", "//metrics"):
                assert (await api("GET", path, headers=headers)).status == 200


async def test_people_have_their_own() -> None:
    """The audit names them, and who may only read is told so."""
    roles: dict[str, Literal["read", "operate"]] = {"alice": "operate", "wall": "read"}
    tokens = tuple(AdminToken(name=name, file=SecretFile(name.encode()), role=role) for name, role in roles.items())
    async with JsonCentralSystem() as central:
        told = guarded(url=central.url)
        told = msgspec.structs.replace(told, admin=msgspec.structs.replace(told.admin, tokens=tokens))
        async with running(told) as gateway, api_of(gateway) as api, json_charge_point(gateway):
            for name, status in (("alice", 204), ("wall", 403)):
                answer = await api("POST", "/charge-points/CP%201/disconnect", headers=bearer(name))
                assert answer.status == status
            assert answer.data["detail"] == "the token of wall may read, and not change anything"
            (audited,) = (await api.get("/audit", headers=bearer("wall")))["items"]
            assert (audited["who"], audited["what"]) == ("127.0.0.1 (alice)", "disconnect")


@pytest.mark.parametrize(
    ("scope", "tenant", "admitted"),
    [
        ("tenant", "", True),
        ("tenant", "acme", False),
        ("bridge", "", False),
        ("everybody", "acme", True),
    ],
)
def test_who_has_signed_in_at_the_provider_is_of_the_default_tenant(scope: Any, tenant: str, admitted: bool) -> None:
    access = Access(
        (), (), open_metrics=False, names=ONLY_THIS_MACHINE, session_of=lambda cookies: SESSION, shared=True
    )
    asking = Asking(path=API, peer=LOOPBACK, secure=False, headers=CIMultiDict({"Host": "127.0.0.1:8081"}))
    assert access.admits(asking, scope, tenant) is admitted
    assert (access.may_use(asking, tenant), access.sees_all(asking)) == (tenant == "", False)
    metrics = msgspec.structs.replace(asking, path="/metrics")
    assert not access.admits(metrics)
    access.shared = False
    assert access.sees_all(asking) and access.admits(metrics)


def bearer(token: str) -> dict[str, str]:
    """The header that shows `token`."""
    return {"Authorization": f"Bearer {token}"}


async def test_a_name_that_was_made_to_lead_here_over_http() -> None:
    async with running(guarded()) as gateway, api_of(gateway) as api:
        for path in ("//metrics", "//readyz", "/charge-points"):
            headers = {"Host": "evil.example:8081", "Authorization": ""}
            assert (await api("GET", path, headers=headers)).status == 403
        assert (await api("GET", "//healthz", headers=headers)).status == 200


async def test_a_page_of_another_origin_over_http() -> None:
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


async def test_every_answer_says_what_a_browser_may_do_with_it() -> None:
    async with running(guarded()) as gateway, api_of(gateway) as api:
        for path in ("//", "/charge-points", "/nothing", "//healthz"):
            headers = (await api("GET", path)).headers
            policy = headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in policy and "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert "Access-Control-Allow-Origin" not in headers
        assert (await api("GET", "/charge-points")).headers["Cache-Control"] == "no-store"


def test_the_host_in_the_request_target_counts_instead_of_the_header() -> None:
    """RFC 9112 section 3.2.2."""
    assert refusal("/metrics", authority="evil.example:8081") == 403
    assert refusal("/metrics", authority="localhost:8081", Host="evil.example") is None
    assert refusal("/metrics", authority="localhost:8081", Origin="http://localhost:8081") is None
    assert refusal(authority="localhost:8081", Origin="http://127.0.0.1:8081") == 403
