"""Operators sign in at a provider: over sockets, with a provider that signs, and one that lies."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import msgspec
import pytest

from bridge.admin import sign_in as signing_in
from bridge.admin.sign_in import SignIn, SignInTerms
from bridge.config import ClientTLS, Oidc, Secret, Settings, load
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.oidc import attempts, provider
from bridge.oidc.attempts import SignInAttempt
from bridge.oidc.outcome import Identified
from tests.admin.asked import Events
from tests.authority import Authority
from tests.e2e.stage import json_charge_point, logged
from tests.oidc.provider import (
    ANN,
    BEN,
    CLIENT_ID,
    EVE,
    SECRET,
    Lies,
    Provider,
    ec,
    rsa,
    signed_with_the_secret_of_the_client,
    signed_with_what_everybody_knows,
    unsigned,
)
from tests.oidc.visitor import TOKEN, Page, Visitor, changed, told, visited

DISCONNECT = "/api/v1/charge-points/CP%201/disconnect"


@pytest.fixture
def every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each refusal has a line, and no failure of the provider is remembered."""
    monkeypatch.setattr(signing_in, "_LINES", 1000)
    monkeypatch.setattr(provider, "_FAILURE_KEPT", 0.0)


async def test_an_operator_signs_in_commands_and_signs_out() -> None:
    async def at_the_console(ann: Visitor) -> None:
        assert await ann.status() == 401
        offer = (await ann.get("/login/options")).data["offer"]
        assert offer == {"name": "127.0.0.1", "url": f"{ann.base}/login/start", "trouble": ""}
        page = await ann.sign_in("?next=%23%2Fmessages")
        assert page.location == "/#/messages"
        assert page.signs_in() and page.cookie("sign-in").value == ""
        session = (await ann.get("/api/v1/session")).data
        assert (session["name"], session["role"]) == ("ann@example.com", "operate")
        assert 35_000 < session["seconds_left"] <= 36_000
        assert (await ann.ask("POST", DISCONNECT, X_CSRF_Token=session["csrf"])).status == 204
        (audited, *_) = (await ann.get("/api/v1/audit")).data["items"]
        assert (audited["who"], audited["what"]) == ("127.0.0.1 (OIDC: ann@example.com)", "disconnect")
        stolen = dict(ann.cookies)
        assert (await ann.ask("DELETE", "/api/v1/session", X_CSRF_Token=session["csrf"])).status == 204
        assert ann.cookies == {}
        ann.cookies = stolen
        assert await ann.status() == 401
        assert (await ann.get("/api/v1/session")).status == 401

    with logged() as lines:
        async with (
            JsonCentralSystem() as central,
            Provider(ANN) as at,
            visited(told(at, central.url)) as (gateway, ann),
            json_charge_point(gateway),
        ):
            await at_the_console(ann)
    assert [line for line in lines if "signed in" in line and "ann@example.com" in line and "operate" in line]
    assert [line for line in lines if "signed out" in line and "ann@example.com" in line]


async def test_who_may_only_read_changes_nothing_and_may_sign_out() -> None:
    async with Provider(BEN) as at, visited(told(at)) as (_, ben):
        assert (await ben.sign_in()).location == "/#/"
        assert await ben.status() == 200
        csrf = await ben.csrf()
        answer = await ben.ask("POST", DISCONNECT, X_CSRF_Token=csrf)
        assert (answer.status, answer.data["detail"]) == (403, "ben@example.com may read, and not change anything")
        assert (await ben.ask("DELETE", "/api/v1/session", X_CSRF_Token=csrf)).status == 204
        assert await ben.status() == 401


async def test_who_has_no_role_is_told_so() -> None:
    with logged() as lines:
        async with Provider(EVE) as at, visited(told(at)) as (_, eve):
            page = await eve.sign_in()
            assert (page.status, page.signs_in()) == (403, False)
            assert "You have no role here: no value of the claim" in page.text
            assert await eve.status() == 401
    assert [line for line in lines if "sign-in refused" in line and "eve@example.com: 1 values give no role" in line]


async def test_a_token_has_no_session_and_goes_before_a_cookie() -> None:
    async with Provider() as at, visited(told(at)) as (_, ann):
        token = {"Authorization": f"Bearer {TOKEN}"}
        for method in ("GET", "DELETE"):
            assert (await ann.ask(method, "/api/v1/session", **token)).status == 404
        await ann.sign_in()
        assert (await ann.get("/api/v1/charge-points", Authorization="Bearer wrong")).status == 401
        # With a token, no header is needed.
        assert (await ann.ask("POST", DISCONNECT, **token)).status == 404


async def test_without_the_table_nobody_can_sign_in() -> None:
    async with Provider() as at:
        settings = told(at)
        without = msgspec.structs.replace(settings, admin=msgspec.structs.replace(settings.admin, oidc=None))
        async with visited(without) as (gateway, ann):
            assert (await ann.get("/login/options")).data == {"offer": None}
            for path in ("start", "callback?code=1&state=2"):
                assert (await ann.get(f"/login/{path}")).status == 404
            await gateway.reload(settings)
            await ann.sign_in()
            assert await ann.status() == 200


# Cookies, and what other pages and servers can do with them.


async def test_a_change_with_a_cookie_needs_the_header() -> None:
    async with Provider() as at, visited(told(at)) as (_, ann):
        await ann.sign_in()
        wrongs: tuple[dict[str, str], ...] = (
            {},
            {"X_CSRF_Token": ""},
            {"X_CSRF_Token": "x" * 43},
            {"X_CSRF_Token": "\u00e9"},
            {"X_CSRF_Token": next(iter(ann.cookies.values()))},
        )
        changes = (("POST", DISCONNECT), ("DELETE", "/api/v1/session"), ("PUT", "/api/v1/charge-points/CP%201"))
        for method, path in changes:
            for wrong in wrongs:
                answer = await ann.ask(method, path, **wrong)
                assert (answer.status, "X-CSRF-Token" in answer.data["detail"]) == (403, True)
        other = ann.another()
        await other.sign_in()
        answer = await ann.ask("POST", DISCONNECT, X_CSRF_Token=await other.csrf())
        assert answer.status == 403
        right = {"X_CSRF_Token": await ann.csrf()}
        assert (await ann.ask("POST", DISCONNECT, **right)).status == 404
        assert (await ann.ask("POST", DISCONNECT, Origin=ann.base, **right)).status == 404
        assert (await ann.ask("POST", DISCONNECT, Origin="https://evil.example", **right)).status == 403
        assert (await ann.get("/api/v1/session", Origin="https://evil.example")).status == 403


@pytest.mark.parametrize(
    ("public_url", "session", "attempt", "secure"),
    [
        ("https://ocpp.example.com", "__Host-ocpp-bridge-session", "__Host-ocpp-bridge-sign-in", True),
        ("https://ocpp.example.com:8443", "__Host-ocpp-bridge-session-8443", "__Host-ocpp-bridge-sign-in-8443", True),
        ("http://localhost:8081", "ocpp-bridge-session-8081", "ocpp-bridge-sign-in-8081", False),
    ],
)
async def test_the_attributes_of_the_cookies(public_url: str, session: str, attempt: str, secure: bool) -> None:
    """Through a proxy, for the bridge, whose own address is another."""
    async with Provider() as at, visited(told(at, public_url=public_url)) as (_, ann):
        host = public_url.partition("//")[2]
        start = await ann.get("/login/start", Host=host)
        assert f"redirect_uri={public_url.replace(':', '%3A').replace('/', '%2F')}%2Flogin%2Fcallback" in start.location
        back = (await ann.get(start.location)).location.removeprefix(public_url)
        page = await ann.get(back, Host=host)
        for response, kind, name in ((start, "sign-in", attempt), (page, "session", session)):
            cookie = response.cookie(kind)
            assert (cookie.key, cookie["path"], cookie["domain"], cookie["samesite"]) == (name, "/", "", "Lax")
            assert (cookie["httponly"], bool(cookie["secure"])) == (True, secure)
        # The browser's own page is at the public address, whatever the proxy makes of the Host.
        right = {"X_CSRF_Token": await ann.csrf(), "Origin": public_url}
        assert (await ann.ask("POST", DISCONNECT, **right)).status == 404
        assert (await ann.get("/readyz", Host=host)).status == 200


async def test_the_host_of_a_request_decides_nothing() -> None:
    async with Provider() as at, visited(told(at)) as (_, ann):
        start = await ann.get("/login/start", Host="evil.example", X_Forwarded_Host="evil.example")
        assert "evil" not in start.location
        assert "evil" not in (await ann.get("/login/options", Host="evil.example")).text


async def test_a_session_is_never_one_that_somebody_else_chose() -> None:
    """Fixation, and cookies that another server of the same host sets beside ours."""
    async with Provider() as at, visited(told(at)) as (_, ann):
        eve = ann.another()
        await eve.sign_in()
        ((name, planted),) = eve.cookies.items()
        ann.cookies[name] = planted
        await ann.sign_in()
        assert ann.cookies[name] != planted
        # The planted one was in Ann's browser: whoever knows it has nothing any more.
        assert await eve.status() == 401
        mine = ann.cookies[name]
        for line in (f"{name}={mine}; {name}={planted}", f"{name}=x; {name}={mine}", f"{name}=", f"{name}"):
            assert (await ann.get("/api/v1/charge-points", Cookie=line)).status == 401
        other_port = re.sub(r"\d+$", "1", name)
        assert (await ann.get("/api/v1/charge-points", Cookie=f"{other_port}={mine}")).status == 401
        assert (await ann.get("/api/v1/charge-points", Cookie=f"a=b; {name}={mine};c")).status == 200


async def test_no_page_is_kept_framed_or_run() -> None:
    async with Provider() as at, visited(told(at)) as (_, ann):
        start = await ann.get("/login/start")
        refused = await ann.get("/login/callback?state=1&code=%3Cscript%3E&error=%3Cscript%3E")
        done = await ann.sign_in()
        session = await ann.get("/api/v1/session")
        for page in (start, refused, done, session, await ann.get("/login/options")):
            assert page.headers["Cache-Control"] == "no-store"
            assert page.headers["X-Frame-Options"] == "DENY"
            assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
            assert page.headers["Referrer-Policy"] == "no-referrer"
        assert "<script" not in refused.text
        for path in ("start", "callback", "options"):
            assert (await ann.ask("HEAD", f"/login/{path}")).status == 405
            assert (await ann.ask("POST", f"/login/{path}")).status == 405


# Where the browser is sent in the end.


BACKS = (
    *("//evil.example", "https://evil.example", "/\\evil.example", "/%5cevil.example", "javascript:alert(1)"),
    *("/#/", "#", "%23", "#//\r\nSet-Cookie: a=b", "#/a b", "#/\u00e9", "\t#/", f"#/{'x' * 600}", "@evil.example"),
)


async def test_it_is_sent_to_no_page_but_the_console(every_line: None) -> None:
    with logged() as lines:
        async with Provider() as at, visited(told(at)) as (_, ann):
            for back in BACKS:
                page = await ann.get("/login/start?" + urlencode({"next": back}))
                assert (back, page.status, "Location" in page.headers) == (back, 400, False)
                assert "The address to return to is no page of the console." in page.text
    told_of = [line for line in lines if "sign-in refused" in line and "the address to return to" in line]
    assert len(told_of) == len(BACKS)


async def test_it_is_sent_to_the_page_where_it_came_from() -> None:
    async with Provider() as at, visited(told(at)) as (_, ann):
        page = await ann.sign_in("?next=%23%2Fcharge-points%2FCP%25201%3Fa%3D%2F%2Fevil.example")
        assert page.location == "/#/charge-points/CP%201?a=//evil.example"


# Answers of the provider that are not for this browser, or not for the first time.

NO_ATTEMPT = "this browser has not begun a sign-in, or it began one more than ten minutes ago"
OTHER_STATE = "the answer of the provider belongs to another sign-in (state)"
USED = "this answer of the provider was used before (state)"


def refused(page: Page, reason: str, status: int = 403) -> None:
    """It says why, and signs nobody in."""
    assert (page.status, page.signs_in()) == (status, False), page
    assert reason[1:] in page.text and page.headers["Content-Type"] == "text/html; charset=utf-8"


async def test_an_answer_is_good_once_and_in_one_browser() -> None:
    with logged() as lines:
        async with Provider() as at, visited(told(at)) as (_, ann):
            eve, back = ann.another(), await ann.begun()
            # Login CSRF: Eve's answer in Ann's browser, and Ann's in Eve's.
            refused(await eve.get(back), NO_ATTEMPT)
            mallory = await eve.begun()
            kept = dict(ann.cookies)
            refused(await ann.get(mallory), OTHER_STATE)
            ann.cookies = dict(kept)
            refused(await ann.get(re.sub("state=[^&]*", "state=", back)), OTHER_STATE)
            ann.cookies = dict(kept)
            refused(await ann.get(back + "&state=x"), "the parameter state stands more than once", 400)
            ann.cookies = dict(kept)
            assert (await ann.get(back)).signs_in()
            ann.cookies |= kept
            refused(await ann.get(back), USED)
            ann.cookies |= kept
            refused(await ann.get(re.sub("code=[^&]*", "code=other", back)), USED)
    for reason in (NO_ATTEMPT, OTHER_STATE, USED):
        assert [line for line in lines if "sign-in refused" in line and reason in line]


async def test_the_cookie_of_a_sign_in_cannot_be_made() -> None:
    async with Provider() as at, visited(told(at)) as (_, ann):
        back = await ann.begun()
        ((name, value),) = ann.cookies.items()
        text, _, seal = value.partition(".")
        for forged in (f"{text}A.{seal}", f"{text}.{seal[:-1]}", text, f".{seal}", "", "x" * 5000, "\u00e9.\u00e9"):
            ann.cookies = {name: forged}
            refused(await ann.get(back), NO_ATTEMPT)


async def test_a_sign_in_that_took_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "LASTS", -1.0)
    async with Provider() as at, visited(told(at)) as (_, ann):
        refused(await ann.sign_in(), "the sign-in took more than ten minutes")


ANSWERS: tuple[tuple[dict[str, str], str, int], ...] = (
    ({"error": "access_denied", "error_description": "no"}, "the provider refuses the sign-in (access_denied)", 403),
    ({"error": "<b>", "error_description": "\x1b[2J"}, "the provider refuses the sign-in.", 403),
    ({"code": ""}, "the answer of the provider has no usable code", 400),
    ({"code": "x" * 5000}, "the answer of the provider has no usable code", 400),
    ({"code": "unknown"}, "the provider answers HTTP 400 to the code", 502),
    ({"iss": "https://evil.example"}, "the answer is from another provider (iss)", 403),
)


async def test_an_answer_that_is_not_good(every_line: None) -> None:
    with logged() as lines:
        async with Provider() as at, visited(told(at)) as (_, ann):
            for redirect, reason, status in ANSWERS:
                at.lies.redirect = redirect
                refused(await ann.sign_in(), reason, status)
            at.lies.redirect = {"iss": ""}
            assert (await ann.sign_in()).signs_in()
        async with Provider() as at:
            at.lies.metadata = {"authorization_response_iss_parameter_supported": True}
            async with visited(told(at)) as (_, ann):
                assert (await ann.sign_in()).signs_in()
                at.lies.redirect = {"iss": ""}
                refused(await ann.sign_in(), "the answer is from another provider (iss)")
    assert len([line for line in lines if "sign-in refused" in line]) == len(ANSWERS) + 1
    assert all(line.isprintable() for line in lines)


# A provider that lies.


Lie = Callable[[Provider], None]


def claiming(**claims: Any) -> Lie:
    """The ID token says this."""

    def lie(at: Provider) -> None:
        at.lies = Lies(claims=claims)

    return lie


def lying(**lies: Any) -> Lie:
    """It lies like this."""

    def lie(at: Provider) -> None:
        at.lies = Lies(**lies)

    return lie


IN_A_WEEK, AN_HOUR_AGO = int(time.time()) + 604_800, int(time.time()) - 3600
NOT_ACCEPTED = "the ID token has a signature that is not accepted"
WRONG_TYPE = "a claim of the ID token is missing or has a wrong type"


TOKENS: tuple[tuple[Lie, str], ...] = (
    (claiming(iss="https://evil.example"), "the ID token is from another issuer"),
    (claiming(iss=None), WRONG_TYPE),
    (claiming(aud="another"), "the ID token is for another client (audience)"),
    (claiming(aud=["another"]), "the ID token is for another client (audience)"),
    (claiming(aud=[]), "the ID token is for another client (audience)"),
    (claiming(aud=[CLIENT_ID, "another"], azp="another"), "the ID token is for another client (azp)"),
    (claiming(aud=[CLIENT_ID, "another"]), "the ID token is for another client (azp)"),
    (claiming(exp=AN_HOUR_AGO), "the ID token has expired"),
    (claiming(exp=None), WRONG_TYPE),
    (claiming(exp="never"), WRONG_TYPE),
    (claiming(iat=IN_A_WEEK), "the ID token was issued in the future"),
    (claiming(nbf=IN_A_WEEK), "the ID token is not valid yet"),
    (claiming(nonce="another"), "the ID token belongs to another sign-in (nonce)"),
    (claiming(nonce=None), WRONG_TYPE),
    (claiming(nonce=""), "the ID token belongs to another sign-in (nonce)"),
    (claiming(at_hash="another"), "the ID token belongs to another access token (at_hash)"),
    (claiming(at_hash=[1]), WRONG_TYPE),
    (claiming(sub=None), WRONG_TYPE),
    (claiming(sub=""), WRONG_TYPE),
    (claiming(sub={"a": 1}), WRONG_TYPE),
    (lying(sign=unsigned), NOT_ACCEPTED),
    (lying(sign=signed_with_what_everybody_knows), NOT_ACCEPTED),
    (lying(sign=signed_with_the_secret_of_the_client), NOT_ACCEPTED),
    (lying(key=rsa("first")), "the signature of the ID token is wrong"),
    (lying(key=rsa("another")), "keys lack the key of the ID token"),
    (lying(token="no JWT"), "the ID token cannot be read"),
    (lying(token="a.b.c"), "the ID token cannot be read"),
    (lying(token="..."), "the ID token cannot be read"),
    (lying(token="x" * 70_000), "the ID token cannot be read"),
)


async def test_an_id_token_that_is_not_good(every_line: None) -> None:
    await assert_refused(TOKENS, 403)


DOCUMENTS: tuple[tuple[Lie, str], ...] = (
    (lying(metadata={"issuer": "https://evil.example"}), "discovery document is of another issuer"),
    (lying(metadata={"token_endpoint": "file:///etc/passwd"}), "has no usable token_endpoint"),
    (lying(metadata={"jwks_uri": "http://a:b@127.0.0.1/"}), "has no usable jwks_uri"),
    (lying(metadata={"authorization_endpoint": "javascript:alert(1)"}), "has no usable authorization_endpoint"),
    (lying(metadata={"authorization_endpoint": "http://x/\r\nSet-Cookie: a=b"}), "has no usable"),
    (lying(metadata={"token_endpoint": 7}), "discovery document cannot be read"),
    (lying(answers={"/.well-known/openid-configuration": b"<html>"}), "discovery document cannot be read"),
    (lying(answers={"/.well-known/openid-configuration": b"[" * 9999}), "discovery document cannot be read"),
    (lying(answers={"/.well-known/openid-configuration": b"x" * 300_000}), "more than 262144 octets"),
    (lying(status={"/.well-known/openid-configuration": 302}), "HTTP 302"),
)


async def test_a_discovery_document_that_is_not_good(every_line: None) -> None:
    await assert_refused(DOCUMENTS, 502, begins=False)


WEAK = msgspec.json.encode({"keys": [{"kty": "RSA", "kid": "first", "n": "AQAB", "e": "AQAB"}]})


OTHERS: tuple[tuple[Lie, str], ...] = (
    (lying(status={"/token": 500}), "HTTP 500 to the code"),
    (lying(answers={"/token": b"{}"}), "answer to the code holds no ID token"),
    (lying(answers={"/token": b'{"id_token": 7}'}), "answer to the code holds no ID token"),
    (lying(answers={"/token": b"x" * 300_000}), "more than 262144 octets"),
    (lying(status={"/keys": 404}), "HTTP 404 to the request for its keys"),
    (lying(keys=b"{}"), "no key that can sign an ID token"),
    (
        lying(keys=b'{"keys": [7, {"kty": "oct", "k": "AA"}, {"kty": "RSA"}, {"kty": "EC"}]}'),
        "no key that can sign",
    ),
    (lying(keys=WEAK), "no key that can sign an ID token"),
    (lying(keys=b"nothing"), "keys cannot be read"),
)


async def test_other_answers_that_are_not_good(every_line: None) -> None:
    await assert_refused(OTHERS, 502)


async def assert_refused(lies: tuple[tuple[Lie, str], ...], status: int, *, begins: bool = True) -> None:
    """Each has a clear page and a line that names the reason; no line has a secret. Then the truth is accepted."""
    secrets: list[str] = [SECRET]
    with logged() as lines:
        async with Provider() as at, visited(told(at)) as (_, ann):
            for lie, reason in lies:
                lie(at)
                page = await (ann.sign_in() if begins else ann.get("/login/start"))
                assert (reason, page.status, page.signs_in()) == (reason, status, False), page
                assert reason[1:] in page.text and "Back to the login page" in page.text
                if at.lies.token and len(at.lies.token) > 10:
                    secrets.append(at.lies.token)
            assert await ann.status() == 401
            secrets.extend(at.codes)
            at.lies = Lies()
            assert (await ann.sign_in()).signs_in()
            secrets.extend(ann.cookies.values())
    told_of = [line for line in lines if "sign-in refused" in line]
    assert [reason for (_, reason), line in zip(lies, told_of, strict=True) if reason not in line] == []
    assert [line for line in lines for secret in secrets if secret in line] == []


async def test_a_flood_of_refusals_is_told_in_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_in, "_SECONDS", 3600.0)
    with logged() as lines:
        async with Provider() as at, visited(told(at)) as (gateway, eve):
            for _ in range(40):
                assert (await eve.get("/login/callback?state=1&code=2")).status == 403
            cast(Any, gateway)._sign_in._unsaid.tell()  # as it does by itself in an hour
    assert len([line for line in lines if "sign-in refused" in line]) == 10
    (rest,) = [line for line in lines if "more sign-ins refused" in line]
    assert NO_ATTEMPT in rest and rest.endswith("times=30")


# A provider that is gone.


async def test_without_the_provider_tokens_work_and_the_login_page_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(provider, "_FAILURE_KEPT", 0.0)
    async with Provider() as at, visited(told(at)) as (_, ann):
        ready = (await ann.get("/readyz")).data
        await at.stop()
        offer = (await ann.get("/login/options")).data["offer"]
        assert offer["trouble"] == "the provider cannot be reached"
        page = await ann.get("/login/start")
        assert page.status == 502 and "The provider cannot be reached." in page.text
        assert (await ann.get("/api/v1/charge-points", Authorization=f"Bearer {TOKEN}")).status == 200
        told_now = (await ann.get("/readyz")).data
        assert (told_now["status"], told_now.keys()) == ("ready", ready.keys())
        await at.start(at.port)
        assert (await ann.get("/login/options")).data["offer"]["trouble"] == ""
        await ann.sign_in()
        await at.stop()
        assert await ann.status() == 200  # who has signed in stays so


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that reads, and waits for the other side to leave."""
    await reader.read()
    writer.close()


async def test_a_provider_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "_DEADLINE", 0.3)
    async with Provider() as at:
        silent = await asyncio.start_server(says_nothing, "127.0.0.1", 0)
        at.issuer = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        async with silent, visited(told(at)) as (_, ann):
            page = await ann.get("/login/start")
            assert page.status == 502 and "does not answer within 0.3 s" in page.text


async def test_no_crowd_waits_for_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "_MOST_WAITING", 0)
    async with Provider() as at, visited(told(at)) as (_, ann):
        refused(await ann.sign_in(), "too many people sign in at once: try again", 503)


async def test_a_failure_is_kept_for_a_while_so_that_strangers_do_not_hammer_the_provider() -> None:
    async with Provider() as at, visited(told(at)) as (_, ann):
        at.lies.status = {"/.well-known/openid-configuration": 503}
        pages = await asyncio.gather(*(ann.get("/login/start") for _ in range(20)))
        assert {page.status for page in pages} == {502}
        assert at.seen["/.well-known/openid-configuration"] < 20


async def test_new_keys_are_fetched_once_a_minute_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "_BETWEEN_KEYS", 3600.0)
    async with Provider() as at, visited(told(at)) as (_, ann):
        assert (await ann.sign_in()).signs_in()
        assert (await ann.sign_in()).signs_in()
        assert at.seen == {"/.well-known/openid-configuration": 1, "/authorize": 2, "/token": 2, "/keys": 1}
        at.key = rsa("second")
        refused(await ann.sign_in(), "keys lack the key of the ID token")
        assert at.seen["/keys"] == 1
        monkeypatch.setattr(provider, "_BETWEEN_KEYS", 0.0)  # a minute later
        assert (await ann.sign_in()).signs_in()
        assert at.seen["/keys"] == 2


@pytest.mark.parametrize("alg", ["ES256", "PS384", "RS512"])
async def test_a_provider_with_tls_of_an_authority_of_its_own(tmp_path: Path, alg: str) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue("provider", "localhost")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(issued["certificate"], issued["key"])
    with logged() as lines:
        at = Provider()
        at.alg = alg
        at.lies.claims = {"at_hash": None}
        if alg.startswith("ES"):
            at.key = ec("curve")
        await at.start(tls=tls)
        try:
            settings = told(at, tls=ClientTLS(ca=authority.file))
            async with visited(settings, authority.client()) as (_, ann):
                assert (await ann.sign_in()).signs_in()
            async with visited(changed(settings, tls=None)) as (_, stranger):
                page = await stranger.get("/login/start")
                assert page.status == 502 and "cannot be reached" in page.text
        finally:
            await at.stop()
    assert [line for line in lines if "sign-in refused" in line and "certificate" in line]


async def test_other_ways_to_show_the_secret() -> None:
    with logged() as lines:
        async with Provider(secret=None) as at, visited(told(at)) as (_, ann):
            assert (await ann.sign_in()).signs_in()
        async with Provider() as at:
            at.lies.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
            async with visited(told(at)) as (_, ann):
                assert (await ann.sign_in()).signs_in()
            async with visited(told(at, client_secret=Secret(b"another"))) as (_, ann):
                page = await ann.sign_in()
                assert page.status == 502 and "HTTP 401 to the code" in page.text
    assert [line for line in lines if "sign-in refused" in line and "invalid_client" in line]


# A configuration that changes, and sessions that end.


async def test_another_secret_holds_at_once_and_ends_no_session() -> None:
    async with Provider() as at:
        settings = told(at)
        async with visited(settings) as (gateway, ann):
            await ann.sign_in()
            ben, back = ann.another(), ""
            back = await ben.begun()
            at.secret = "the next secret"
            await gateway.reload(changed(settings, client_secret=Secret(b"the next secret")))
            assert await ann.status() == 200
            refused(await ben.get(back), NO_ATTEMPT)
            assert (await ben.sign_in()).signs_in()
            await gateway.reload(changed(settings, client_secret=Secret(b"the next secret"), operate=("staff",)))
            assert await ann.status() == 401


async def test_the_files_of_the_configuration_are_read_again(tmp_path: Path) -> None:
    """The secret, and the authority of the provider's certificate."""
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    secret, ca = tmp_path / "secret", tmp_path / "ca.pem"

    def trusted(authority: Authority) -> None:
        ca.write_bytes(Path(authority.file).read_bytes())

    def presenting(authority: Authority) -> ssl.SSLContext:
        issued = authority.issue("provider", "localhost")
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(issued["certificate"], issued["key"])
        return tls

    at = Provider()
    await at.start(tls=presenting(old))
    secret.write_text(SECRET)
    trusted(old)
    known = told(at, tls=ClientTLS(ca=str(ca)))
    assert known.admin.oidc is not None
    file = tmp_path / "bridge.toml"
    file.write_text(
        f"""
            [admin.oidc]
            issuer = "{at.issuer}"
            client_id = "{CLIENT_ID}"
            client_secret_file = "{secret}"
            public_url = "{known.admin.oidc.public_url}"
            read = ["ocpp-viewers"]
            operate = ["ocpp-operators"]
            [admin.oidc.tls]
            ca = "{ca}"
            """
    )

    def read() -> Settings:
        return changed(known, **msgspec.structs.asdict(cast(Oidc, load(file, {}).admin.oidc)))

    trusts = ssl.create_default_context(cafile=old.file)
    trusts.load_verify_locations(new.file)
    async with visited(read(), trusts) as (gateway, ann):
        assert (await ann.sign_in()).signs_in()
        await at.stop()
        at.secret = "the next secret"
        await at.start(at.port, presenting(new))
        ben = ann.another()
        assert (await ben.get("/login/start")).status == 303  # the document is known
        refused(await ben.sign_in(), "the provider cannot be reached", 502)
        secret.write_text("the next secret")
        trusted(new)
        await gateway.reload(read())
        assert (await ben.sign_in()).signs_in()
        assert await ann.status() == 200
    await at.stop()


async def test_a_configuration_that_changes_while_somebody_signs_in() -> None:
    async with Provider() as at:
        settings = told(at)
        async with visited(settings) as (gateway, ann):
            back = await ann.begun()
            sign_in = cast(Any, gateway)._sign_in
            asks = sign_in.terms.provider.identify

            async def late(*asked: Any) -> Any:
                operator = await asks(*asked)
                await gateway.reload(changed(settings, operate=("nobody",)))
                return operator

            sign_in.terms.provider.identify = late
            refused(await ann.get(back), "the configuration has changed during the sign-in")


async def ends(events: Events) -> None:
    """The stream ends."""
    with pytest.raises(EOFError):
        while True:
            await events.next()


@pytest.mark.parametrize("way", ["signed out", "another configuration", "expired"])
async def test_a_live_stream_ends_with_its_session(way: str) -> None:
    async with Provider() as at:
        settings = told(at)
        async with visited(settings) as (gateway, ann):
            await ann.sign_in()
            csrf = await ann.csrf()
            async with ann.events() as events:
                if way == "signed out":
                    await ann.ask("DELETE", "/api/v1/session", X_CSRF_Token=csrf)
                elif way == "another configuration":
                    await gateway.reload(changed(settings, session_hours=1.0))
                else:
                    sign_in = cast(Any, gateway)._sign_in
                    sign_in._sessions._clock = lambda: time.monotonic() + 3601
                    sign_in._forget_ended()
                await ends(events)
            assert await ann.status() == 401


class Nobody:
    """A provider that is never asked."""

    async def ready(self) -> None: ...

    async def address(self, attempt: SignInAttempt) -> str:
        raise AssertionError

    async def identify(self, code: str, issuer: str | None, attempt: SignInAttempt) -> Identified:
        raise AssertionError

    async def close(self) -> None: ...


async def test_a_session_that_nobody_asks_with_ends_by_itself() -> None:
    ended = asyncio.Event()
    sign_in = SignIn(ended.set)
    terms = SignInTerms(
        provider=Nobody(), label="", public_url="http://localhost", lasts=60, idle=0.05, source=1, binding="1"
    )
    await sign_in.take_over(terms)
    ended.clear()
    key = cast(Any, sign_in)._sessions.begin("1", "ann", "read")
    cast(Any, sign_in)._watch()
    await ended.wait()
    assert sign_in.session_of([f"ocpp-bridge-session={key}"]) is None
    await sign_in.close()
