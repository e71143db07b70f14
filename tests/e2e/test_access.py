"""Each way in and each failure, on both doors, over real sockets; and that what failed has left no trace."""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from bridge.access import passwords
from bridge.app import Gateway
from bridge.config import TLS, ChargePoint, Listen, Secret, Store
from tests.authority import Authority
from tests.e2e.stage import (
    CP,
    PATH,
    RawCentralSystem,
    dialled,
    envelope,
    logged,
    post,
    reachable,
    receiver,
    running,
    sender,
    settings,
    soap_central_system,
)

PASSWORD = b"\x00\xff:\xc3 raw"
HASHED = str(passwords.hashed(PASSWORD, b"0123456789abcdef")).encode()
TOKEN = "Zq3vJx8wTn5rKp2mLs7yBd4c"
HERE, ELSEWHERE = "127.0.0.3", "127.0.0.2"


def basic(user: str, password: bytes) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(user.encode() + b':' + password).decode()}"}


@asynccontextmanager
async def guarded(authentication: str = "auto", route: Any = None, **own: Any) -> AsyncIterator[Gateway]:
    """A gateway where CP 1 has what `own` says; beside it is CP 2, with another password and another token."""
    other = ChargePoint(password=Secret(b"two"), token=Secret(b"another-token-of-24-chars"))
    told = {"authentication": authentication} | dict(route or {})
    async with RawCentralSystem() as central:
        points = {"CP 1": ChargePoint(**own), "CP 2": other}
        soon = {"call_timeout": 0.2}  # what is let in over SOAP waits so long for an answer that does not come
        async with running(settings(central.url, gateway=soon, route=told, charge_points=points)) as gateway:
            yield gateway


async def over_json(gateway: Gateway, segment: str = "CP%201", *, peer: str = "127.0.0.1", **headers: str) -> int:
    """The status of a handshake, 101 if it was let in."""
    try:
        async with dialled(gateway, segment, headers=[*headers.items()], local_addr=(peer, 0)):
            return 101
    except InvalidStatus as error:
        said = (error.response.body or b"").decode()
        assert TOKEN not in said
        if error.response.status_code == 401:
            assert error.response.headers["WWW-Authenticate"].startswith('Basic realm="')
        if error.response.status_code == 429:
            assert int(error.response.headers["Retry-After"]) >= 1
        return error.response.status_code


async def over_soap(
    gateway: Gateway, path: str = "", *, identity: str | None = "CP 1", peer: str = "127.0.0.1", **headers: str
) -> int:
    """The status of a Heartbeat that has a callback address with it; it is 503 where it was let in, for the Central
    System here answers nothing. What is refused is a Fault."""
    body = envelope(identity=identity, source="http://127.0.0.1:9/stolen")
    answer = await post(gateway, body, path=PATH + path, headers=headers, peer=peer)
    assert TOKEN not in answer.text
    if answer.status == 401:
        assert answer.headers["WWW-Authenticate"].startswith('Basic realm="')
    assert answer.fault is not None
    allowed = [sender("SecurityError"), sender("IdentityMismatch"), receiver("InternalError")]
    assert answer.fault in allowed
    return answer.status


def nobody(gateway: Gateway, *segments: str) -> bool:
    """Whether the session table knows of nobody: what was refused was not acted upon."""
    return len(gateway._sessions) == 0


WAYS: dict[str, tuple[str, dict[str, Any], str, dict[str, str], int]] = {
    # What the route asks for, what CP 1 has, what it puts before its identity, the headers, and the status.
    "nothing": ("none", {}, "", {}, 101),
    "nothing, whatever is shown": ("none", {}, "", basic("CP 1", b"x"), 101),
    "a password": ("auto", {"password": Secret(PASSWORD)}, "", basic("CP 1", PASSWORD), 101),
    "a password at rest": ("basic", {"password": Secret(HASHED)}, "", basic("CP 1", PASSWORD), 101),
    "another spelling": ("basic", {"password": Secret(HASHED)}, "", basic("cp 1", PASSWORD), 101),
    "the hash itself": ("basic", {"password": Secret(HASHED)}, "", basic("CP 1", HASHED), 401),
    "a wrong password": ("basic", {"password": Secret(PASSWORD)}, "", basic("CP 1", b"wrong"), 401),
    "a wrong password at rest": ("basic", {"password": Secret(HASHED)}, "", basic("CP 1", b"wrong"), 401),
    "another's password": ("basic", {"password": Secret(PASSWORD)}, "", basic("CP 2", b"two"), 401),
    "another's name": ("basic", {"password": Secret(PASSWORD)}, "", basic("CP 2", PASSWORD), 401),
    "no password": ("basic", {"password": Secret(PASSWORD)}, "", {}, 401),
    "none configured": ("basic", {}, "", basic("CP 1", b""), 401),
    "a bearer": ("basic", {"password": Secret(PASSWORD)}, "", {"Authorization": "Bearer x"}, 401),
    "a token": ("token", {"token": Secret(TOKEN.encode())}, f"/{TOKEN}", {}, 101),
    "a wrong token": ("token", {"token": Secret(TOKEN.encode())}, f"/{TOKEN[:-1]}x", {}, 403),
    "a shorter token": ("token", {"token": Secret(TOKEN.encode())}, f"/{TOKEN[:-1]}", {}, 403),
    "another's token": ("token", {"token": Secret(TOKEN.encode())}, "/another-token-of-24-chars", {}, 403),
    "a password for a token": ("token", {"token": Secret(TOKEN.encode())}, "", basic("CP 1", PASSWORD), 403),
    "no token configured": ("token", {}, f"/{TOKEN}", {}, 403),
    "its network": ("network", {"networks": (ip_network("127.0.0.0/30"),)}, "", {}, 101),
    "another network": ("network", {"networks": (ip_network("127.0.0.4/30"),)}, "", {}, 403),
    "no network": ("network", {"password": Secret(PASSWORD)}, "", basic("CP 1", PASSWORD), 403),
    "no certificate": ("certificate", {"password": Secret(PASSWORD)}, "", basic("CP 1", PASSWORD), 403),
}


@pytest.mark.parametrize(("asks", "own", "before", "shown", "status"), WAYS.values(), ids=WAYS)
async def test_each_way_in(asks: str, own: dict[str, Any], before: str, shown: dict[str, str], status: int) -> None:
    async with guarded(asks, **own) as gateway:
        with logged() as lines:
            assert await over_json(gateway, f"{before}/CP%201".lstrip("/"), **shown) == status
            refused = [line for line in lines if "handshake refused" in line]
            assert len(refused) == (status != 101)
            assert status == 101 or nobody(gateway)
    async with guarded(asks, **own) as gateway:
        with logged() as lines:
            for path in (before, f"{before}/CP%201"):
                assert await over_soap(gateway, path, **shown) == (503 if status == 101 else status)
            assert status == 101 or nobody(gateway)
            assert not any(TOKEN[:12] in line or "raw" in line for line in lines)


async def test_a_network_of_the_route_is_that_of_all_who_have_none_of_their_own() -> None:
    async with guarded("network", route={"networks": (ip_network("127.0.0.3/32"),)}) as gateway:
        assert await over_json(gateway, peer=HERE) == 101
        assert await over_json(gateway, peer=ELSEWHERE) == 403
        assert await over_soap(gateway, peer=ELSEWHERE) == 403


@pytest.mark.parametrize(
    ("path", "identity", "headers", "status"),
    [
        ("/CP%202", "CP 1", {}, 403),
        ("/CP%202", "CP 1", basic("CP 1", PASSWORD), 403),
        ("/CP%202", "CP 1", basic("CP 2", b"two"), 403),
        ("", "CP 1", basic("CP 2", b"two"), 401),
        ("/CP%202", "CP 2", basic("CP 1", PASSWORD), 401),
        ("/cp%201", "CP 1", basic("CP 1", PASSWORD), 503),
    ],
)
async def test_names_that_disagree(path: str, identity: str, headers: dict[str, str], status: int) -> None:
    async with guarded(password=Secret(PASSWORD)) as gateway:
        assert await over_soap(gateway, path, identity=identity, **headers) == status
        assert status == 503 or nobody(gateway)


async def test_a_token_that_stands_where_it_does_not_belong_is_told_nobody() -> None:
    async with guarded("none", token=Secret(TOKEN.encode())) as gateway:
        with logged() as lines:
            assert await over_json(gateway, TOKEN) == 404
            assert await over_json(gateway, f"{TOKEN[:-1]}x") == 404
            assert await over_json(gateway, f"{TOKEN}/CP%201") == 404
            assert await over_json(gateway, f"x/{TOKEN}/CP%201") == 404
            assert await over_soap(gateway, f"/{TOKEN}", identity=None) == 404
            assert (await post(gateway, b"", path=f"/{TOKEN}")).status == 404
            assert (await post(gateway, b"", path=f"{PATH}/{TOKEN}", method="PUT")).status == 405
            assert (await post(gateway, envelope(), path=f"{PATH}/1.5/{TOKEN}")).status == 403
        assert lines
        assert not any(TOKEN[:12] in line for line in lines)


@asynccontextmanager
async def guessed(gateway: Gateway, identity: str = "CP 1") -> AsyncIterator[None]:
    """Somebody guesses all the while: of 40 guesses at once, each another, as many wait as may."""
    began = [f"{number}-{os.urandom(4).hex()}".encode() for number in range(40)]
    guesses = [
        asyncio.ensure_future(over_soap(gateway, identity=identity, peer=ELSEWHERE, **basic(identity, guess)))
        for guess in began
    ]
    while sum(guess.done() for guess in guesses) < 30:  # these were looked at, or turned away
        await asyncio.wait([guess for guess in guesses if not guess.done()], return_when=asyncio.FIRST_COMPLETED)
    yield
    for guess in guesses:
        guess.cancel()
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    assert {status for status in outcomes if isinstance(status, int)} == {401, 429}


async def test_who_is_right_is_let_in_however_many_were_wrong_before() -> None:
    async with guarded(password=Secret(HASHED)) as gateway:
        for number in range(7):
            assert await over_json(gateway, peer=ELSEWHERE, **basic("CP 1", b"%d" % number)) == 401
        assert await over_json(gateway, peer=ELSEWHERE, **basic("CP 1", PASSWORD)) == 101


@pytest.mark.parametrize("password", [HASHED, PASSWORD], ids=["a hash", "in clear"])
async def test_who_never_guessed_wrong_goes_before_those_who_do(password: bytes) -> None:
    async with guarded(password=Secret(password)) as gateway, guessed(gateway):
        assert await over_json(gateway, peer=HERE, **basic("CP 1", PASSWORD)) == 101
        assert await over_soap(gateway, peer=HERE, **basic("CP 1", PASSWORD)) == 503


async def test_guesses_for_one_keep_out_nobody_else_behind_the_same_address() -> None:
    async with guarded(password=Secret(HASHED)) as gateway, guessed(gateway):
        for number in range(30):
            assert await over_soap(gateway, identity="CP 2", peer=ELSEWHERE, **basic("CP 2", b"two")) == 503, number


@pytest.mark.parametrize("password", [HASHED, PASSWORD], ids=["a hash", "in clear"])
async def test_what_was_right_before_does_not_wait_though_the_queue_is_full(password: bytes) -> None:
    async with guarded(password=Secret(password)) as gateway:
        assert await over_soap(gateway, peer=ELSEWHERE, **basic("CP 1", PASSWORD)) == 503
        async with guessed(gateway):
            assert await over_soap(gateway, peer=ELSEWHERE, **basic("CP 1", PASSWORD)) == 503


@pytest.mark.parametrize("password", [HASHED, PASSWORD], ids=["a hash", "in clear"])
async def test_what_was_right_before_a_restart_does_not_wait_after_it(password: bytes, tmp_path: Path) -> None:
    kept = Store(url=f"sqlite:///{tmp_path}/store.db")
    points = {"CP 1": ChargePoint(password=Secret(password))}
    async with RawCentralSystem() as central:
        told = settings(central.url, gateway={"call_timeout": 0.2}, charge_points=points)
        told = msgspec.structs.replace(told, store=kept)
        async with running(told) as gateway:
            assert await over_soap(gateway, peer=ELSEWHERE, **basic("CP 1", PASSWORD)) == 503
        async with running(told) as gateway, guessed(gateway):
            assert await over_soap(gateway, peer=ELSEWHERE, **basic("CP 1", PASSWORD)) == 503
    assert PASSWORD not in (tmp_path / "store.db").read_bytes()


async def test_many_guesses_at_once_are_hashed_no_more_often_than_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[bytes] = []
    matches = passwords.matches

    def counting(expected: Any, shown: bytes) -> bool:
        hashed.append(shown)
        return matches(expected, shown)

    monkeypatch.setattr("bridge.gateway.gatekeeper.matches", counting)
    async with guarded(password=Secret(HASHED)) as gateway:
        guesses = [over_soap(gateway, peer=ELSEWHERE, **basic("CP 1", b"%d" % n)) for n in range(40)]
        statuses = await asyncio.gather(*guesses)
        assert set(statuses) == {401, 429}
        assert len(hashed) <= 15  # five, and one a second for ten that wait
        # And what was right once is not hashed again.
        hashed.clear()
        for _ in range(5):
            assert await over_soap(gateway, peer=HERE, **basic("CP 1", PASSWORD)) == 503
        assert hashed == [PASSWORD]


LOOKS: dict[str, tuple[str, int]] = {
    "../admin": ("..%2Fadmin", 400),
    "..": ("%2E%2E", 400),
    "NUL": ("CP%001", 400),
    "CR LF": ("CP%0D%0A1", 400),
    "10 kB": ("x" * 5000, 400),
    "full-width": ("%EF%BC%A3P%201", 400),
    "an encoded slash": ("CP%2F1", 101),
    "encoded twice": ("CP%25201", 101),
}


@pytest.mark.parametrize(("segment", "status"), LOOKS.values(), ids=LOOKS)
async def test_odd_identities(segment: str, status: int) -> None:
    async with guarded(password=Secret(PASSWORD)) as gateway:
        assert await over_json(gateway, segment) == status


async def test_another_normal_form_is_the_same_charge_point() -> None:
    own = {"Zu\u0308rich": ChargePoint(password=Secret(PASSWORD))}
    async with RawCentralSystem() as central:
        told = settings(central.url, route={"charge_point": "Z\u00fcrich*"}, charge_points=own)
        async with running(told) as gateway:
            for segment in ("Z%C3%BCrich", "Zu%CC%88rich", "zU%CC%88RICH"):
                assert await over_json(gateway, segment) == 401
                assert await over_json(gateway, segment, **basic("Z\u00fcrich", PASSWORD)) == 101
            assert len(gateway._sessions) == 1


async def test_a_strict_route_wants_the_user_letter_for_letter() -> None:
    async with guarded(route={"tolerance": "strict"}, password=Secret(PASSWORD)) as gateway:
        assert await over_json(gateway, **basic("cp 1", PASSWORD)) == 401
        assert await over_json(gateway, **basic("CP 1", PASSWORD)) == 101


# Certificates.


async def test_a_certificate_is_that_of_one_charge_point(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    mine = authority.client(authority.issue("mine", "CP-1.example", common_name="CP 1"))
    theirs = authority.client(authority.issue("theirs", "CP-2.example", common_name="CP 2"))
    fleet = authority.client(authority.issue("fleet", "fleet.example"))
    none = authority.client()

    async def status(gateway: Gateway, segment: str, client: Any, **headers: str) -> int:
        host, port = gateway.websocket_address
        url = f"wss://{host}:{port}/ocpp/{segment}"
        spoken = [Subprotocol("ocpp1.6")]
        try:
            async with connect(url, ssl=client, subprotocols=spoken, additional_headers=headers, proxy=None):
                return 101
        except InvalidStatus as error:
            return error.response.status_code

    tls = TLS(**authority.issue("gateway", "127.0.0.1"), client_ca=authority.file, client_certificate="asked")
    points = {"CP 1": ChargePoint(), "CP 3": ChargePoint(certificate_name="fleet.example")}
    anywhere = {"listen": Listen("127.0.0.1", 0), "tls": tls}
    async with RawCentralSystem() as central:
        told = settings(central.url, websocket=anywhere, route={"authentication": "certificate"}, charge_points=points)
        async with running(told) as gateway:
            assert await status(gateway, "CP%201", mine) == 101
            assert await status(gateway, "cp%201", mine) == 101
            assert await status(gateway, "CP%201", theirs) == 403
            assert await status(gateway, "CP%201", none) == 403
            assert await status(gateway, "CP%203", fleet) == 101
            assert await status(gateway, "CP%203", mine) == 403
        basically = {"CP 1": ChargePoint(password=Secret(PASSWORD))}
        told = settings(central.url, websocket=anywhere, charge_points=basically)
        async with running(told) as gateway:
            # Where Basic is asked no certificate is needed, but that of somebody else harms.
            assert await status(gateway, "CP%201", none, **basic("CP 1", PASSWORD)) == 101
            assert await status(gateway, "CP%201", mine, **basic("CP 1", PASSWORD)) == 101
            assert await status(gateway, "CP%201", mine) == 401
            assert await status(gateway, "CP%201", theirs, **basic("CP 1", PASSWORD)) == 403


async def test_over_soap_likewise(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "other")
    mine = authority.client(authority.issue("mine", "CP-1.example", common_name="CP 1"))
    theirs = authority.client(authority.issue("theirs", "CP-2.example", common_name="CP 2"))
    none = authority.client()
    forged = authority.client(stranger.issue("forged", "CP-1.example", common_name="CP 1"))

    async def status(gateway: Gateway, client: Any, path: str = "", **headers: str) -> int:
        host, port = gateway.soap_address
        url = f"https://{host}:{port}{PATH}{path}"
        said = {"Content-Type": "application/soap+xml; charset=utf-8"} | headers
        async with aiohttp.ClientSession() as http:
            response = await http.post(url, data=envelope(), ssl=client, headers=said)
            return response.status

    tls = TLS(**authority.issue("gateway", "127.0.0.1"), client_ca=authority.file, client_certificate="asked")
    listener = {"listen": Listen("127.0.0.1", 0), "tls": tls}
    async with RawCentralSystem() as central:
        tables: dict[str, Any] = {"soap": listener, "gateway": {"call_timeout": 0.2}}
        told = settings(central.url, route={"authentication": "certificate"}, **tables)
        async with running(told) as gateway:
            assert await status(gateway, theirs) == 403
            assert await status(gateway, none) == 403
            assert await status(gateway, none, **basic("CP 1", PASSWORD)) == 403
            with pytest.raises(aiohttp.ClientError):  # of an authority that nobody trusts here
                await status(gateway, forged)
            assert nobody(gateway)
            # Let in: the Central System does not answer here.
            assert [await status(gateway, mine), await status(gateway, mine, "/CP%201")] == [503, 503]
            assert await status(gateway, mine, "/CP%202") == 403
        basically = {"CP 1": ChargePoint(password=Secret(PASSWORD))}
        async with running(settings(central.url, charge_points=basically, **tables)) as gateway:
            # Where Basic is asked no certificate is needed, but that of somebody else harms.
            assert await status(gateway, theirs, **basic("CP 1", PASSWORD)) == 403
            assert await status(gateway, mine) == 401
            assert nobody(gateway)
            assert await status(gateway, none, **basic("CP 1", PASSWORD)) == 503
            assert await status(gateway, mine, **basic("CP 1", PASSWORD)) == 503


# Commands of a SOAP Central System.


@pytest.mark.parametrize(
    ("keys", "headers", "peer", "status"),
    [
        ({}, {}, ELSEWHERE, 500),
        ({"networks": (ip_network("127.0.0.3/32"),)}, {}, HERE, 500),
        ({"networks": (ip_network("127.0.0.3/32"),)}, {}, ELSEWHERE, 403),
        ({"password": Secret(HASHED)}, basic("anybody", PASSWORD), ELSEWHERE, 500),
        ({"password": Secret(HASHED)}, basic("anybody", b"wrong"), ELSEWHERE, 401),
        ({"password": Secret(HASHED)}, {}, ELSEWHERE, 401),
        (
            {"password": Secret(HASHED), "networks": (ip_network("127.0.0.3/32"),)},
            basic("x", PASSWORD),
            ELSEWHERE,
            403,
        ),
    ],
    ids=["open", "its network", "another network", "its password", "a wrong one", "none", "both are needed"],
)
async def test_commands_are_taken_from_the_central_system(
    keys: dict[str, Any], headers: dict[str, str], peer: str, status: int
) -> None:
    async with soap_central_system() as central:
        told = settings(central.url, soap=reachable(), central_system={"protocol": "ocpp1.6s"} | keys)
        async with running(told) as gateway:
            body = envelope(f'<clearCacheRequest xmlns="{CP}"/>', identity=None)
            path = "/services/ChargePointService/CP%201"
            answer = await post(gateway, body, path=path, headers=headers, peer=peer)
            assert answer.status == status


async def test_a_gateway_that_is_open_says_so() -> None:
    async with soap_central_system() as central:
        with logged() as lines:
            async with running(settings(central.url, central_system={"protocol": "ocpp1.6s"})):
                pass
        assert any("caution" in line and "whoever reaches the SOAP listener" in line for line in lines)


def test_salts_differ() -> None:
    assert passwords.hashed(PASSWORD, os.urandom(16)) != passwords.hashed(PASSWORD, os.urandom(16))
