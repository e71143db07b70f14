"""Settings of Charge Points through the API: given, changed, imported, exported, and refused with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.config import AdminToken, ChargePoint, Secret, SecretFile, Settings, Store
from bridge.store import Store as OpenStore
from tests.admin.asked import Answer, Api, api_of
from tests.e2e.stage import logged, running, settings

ONE = "/charge-points/CP%201"
NOTHING: dict[str, Any] = {
    "callback_url": "",
    "central_system_identity": "",
    "certificate_name": "",
    "networks": [],
    "tls": None,
    "secrets": [],
}
FULL: dict[str, Any] = {
    "callback_url": "http://10.1.2.3:8081/",
    "central_system_identity": "NL*1",
    "password": "shibboleth 1",
    "central_system_password": "shibboleth 2",
    "certificate_name": "cp-1",
    "networks": ["10.0.0.0/8"],
    "token": "0123456789-shibboleth-abc",
}
SECRETS = ("password", "central_system_password", "token")


def told(**tables: Any) -> Settings:
    return settings("ws://127.0.0.1:1/", **tables)


async def imported(api: Api, csv: str | bytes, *, dry_run: bool = False) -> Answer:
    octets = csv.encode() if isinstance(csv, str) else csv
    query = "?dry_run=true" if dry_run else ""
    return await api("POST", f"/charge-points:import{query}", octets, {"Content-Type": "text/csv"})


async def exported(api: Api) -> str:
    answer = await api("GET", "/charge-points:export")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert isinstance(answer.data, bytes)
    return answer.data.decode()


def said(answer: Answer) -> list[tuple[int, str]]:
    """Line and sentence of each that an import names."""
    assert answer.status == 422
    return [(each["line"], each["detail"]) for each in answer.data["lines"]]


def outcome(answer: Answer) -> str:
    assert answer.status == 200, answer
    assert answer.data["kept"] is True
    return str(answer.data["outcome"])


# One by one.


async def test_given_changed_and_removed() -> None:
    async with running(told()) as gateway, api_of(gateway) as api:
        assert (await api("GET", f"{ONE}/settings")).status == 404
        assert (await api("PATCH", ONE, {})).status == 404
        answer = await api("PUT", ONE, FULL)
        shown = NOTHING | {key: value for key, value in FULL.items() if key not in SECRETS}
        shown |= {"identity": "CP 1", "source": "api", "secrets": list(SECRETS)}
        assert (outcome(answer), answer.data["settings"]) == ("created", shown)
        assert await api.get("/charge-points/cp%201/settings") == shown
        assert outcome(await api("PUT", ONE, FULL)) == "unchanged"
        changed = await api("PATCH", "/charge-points/cp%201", {"networks": None, "certificate_name": "x"})
        shown |= {"networks": [], "certificate_name": "x"}
        assert (outcome(changed), changed.data["settings"]) == ("changed", shown)
        assert outcome(await api("PATCH", ONE, {"certificate_name": ""})) == "changed"
        # What a PUT leaves out is gone.
        answer = await api("PUT", ONE, {"token": FULL["token"]})
        left = NOTHING | {"identity": "CP 1", "source": "api", "secrets": ["token"]}
        assert answer.data["settings"] == left
        assert (await api("DELETE", ONE)).status == 204
        assert (await api("GET", f"{ONE}/settings")).status == 404
        assert (await api("DELETE", ONE)).status == 404


async def test_no_secret_is_given_out_and_passwords_are_hashed_in_the_store(tmp_path: Path) -> None:
    kept = msgspec.structs.replace(told(), store=Store(url=f"sqlite:///{tmp_path}/bridge.db"))
    with logged() as lines:
        async with running(kept) as gateway, api_of(gateway) as api:
            answers = [await api("PUT", ONE, FULL), await api("GET", f"{ONE}/settings")]
            answers += [await imported(api, "identity,password\nCP 2,shibboleth 3\n")]
            answers += [await api("GET", "/audit"), await api("GET", "/charge-points:export")]
            assert not any("shibboleth" in str(answer.data) for answer in answers)
    assert not any("shibboleth" in line for line in lines)
    (record, other) = _stored(tmp_path)
    raw = msgspec.json.decode(record)
    assert raw["password"].startswith("scrypt$16384$")
    assert raw["central_system_password"] == FULL["central_system_password"]  # it has to be sent
    assert msgspec.json.decode(other)["password"].startswith("scrypt$512$")


def _stored(folder: Path) -> list[bytes]:
    store = OpenStore(f"sqlite:///{folder}/bridge.db")
    store.open()
    try:
        return [record.settings for record in store.provisioned()]
    finally:
        store.close()


@pytest.mark.parametrize(
    ("path", "body", "status", "where", "detail"),
    [
        (ONE, {"networks": ["10.0.0.1/8"]}, 400, "networks[0]", "expected a network such as 10.1.0.0/16"),
        (ONE, {"callback_url": "ftp://h/"}, 400, "callback_url", "expected an address that begins with http://"),
        (ONE, {"password": "scrypt$1"}, 400, "password", "expected scrypt$N$r$p$salt$hash"),
        (ONE, {"password": ""}, 400, "password", "Expected `str` of length >= 1"),
        (ONE, {"central_system_password": "scrypt$1"}, 400, "central_system_password", "is a hash"),
        (ONE, {"token": "short1"}, 400, "token", "expected at least 24 letters"),
        (ONE, {"tls": {"ca": "missing.pem"}}, 400, "tls.ca", "there is no such file"),
        (ONE, {"pasword": "x"}, 400, "", "unknown field `pasword`"),
        (ONE, {"password_file": "x"}, 400, "", "unknown field `password_file`"),
        ("/charge-points/A%3AB", {"password": "x"}, 400, "password", 'the identity "A:B" holds a colon'),
        (f"/charge-points/{'x' * 256}", {}, 400, "identity", "an identity has at most 255 characters"),
        ("/charge-points/%20", {}, 400, "identity", "the identity is empty"),
        ("/charge-points/LISTED", {}, 409, "", "the configuration file has settings of this Charge Point"),
        ("/charge-points/listed", {}, 409, "", "the configuration file has settings of this Charge Point"),
        ("/charge-points/OTHER", {}, 409, "", "no route takes this identity"),
    ],
)
async def test_what_is_refused(path: str, body: object, status: int, where: str, detail: str) -> None:
    points = {"LISTED": ChargePoint(certificate_name="file")}
    table = told(route={"charge_point": "[!O]*"}, charge_points=points)
    async with running(table) as gateway, api_of(gateway) as api:
        answer = await api("PUT", path, body)
        assert (answer.status, answer.data.get("path", "")) == (status, where)
        assert detail in answer.data["detail"]
        assert "short1" not in answer.data["detail"]
        assert await exported(api) == await exported_empty(api)
        assert (await api.get("/audit"))["items"] == []


async def exported_empty(api: Api) -> str:
    return "".join([(await exported(api)).splitlines(keepends=True)[0]])


async def test_tls_files_that_cannot_be_used(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    async with running(told()) as gateway, api_of(gateway) as api:
        answer = await api("PUT", ONE, {"tls": {"ca": str(bad)}})
        assert (answer.status, answer.data["path"]) == (400, "tls")
        assert answer.data["detail"].startswith("tls: ca: ") and str(tmp_path) not in answer.data["detail"]
        answer = await imported(api, f"identity,tls.ca\nA,\nB,{bad}\n")
        ((line, detail),) = said(answer)
        assert line == 3 and detail.startswith("ca: ")
        assert (await api("GET", "/charge-points/A/settings")).status == 404


async def test_the_files_settings_are_shown_as_the_files() -> None:
    points = {"LISTED": ChargePoint(certificate_name="file", password=Secret(b"shibboleth"))}
    async with running(told(charge_points=points)) as gateway, api_of(gateway) as api:
        shown = await api.get("/charge-points/listed/settings")
        assert shown == NOTHING | {
            "identity": "LISTED",
            "source": "file",
            "certificate_name": "file",
            "secrets": ["password"],
        }
        ((line, detail),) = said(await imported(api, "identity\nCP 1\nListed\n"))
        assert (line, "the configuration file has settings" in detail) == (3, True)
        assert "LISTED" not in await exported(api)


async def test_who_did_it_and_what_changed() -> None:
    async with running(told()) as gateway, api_of(gateway) as api:
        await api("PUT", ONE, FULL)
        await api("PATCH", ONE, {"password": "another", "networks": []})
        await imported(api, "identity\nA\nB\n")
        await api("DELETE", ONE)
        items = (await api.get("/audit"))["items"]
        found = [(each["identity"], each["what"], each["detail"], each["outcome"]) for each in items]
        keys = ", ".join(sorted(FULL))
        assert found == [
            ("CP 1", "remove", "with its settings", "done"),
            ("", "import", "2 Charge Points", "2 created, 0 changed, 0 unchanged"),
            ("CP 1", "settings", "networks, password", "changed"),
            ("CP 1", "settings", keys, "created"),
        ]
        assert {each["who"] for each in items} == {"127.0.0.1 (token)"}


async def test_who_may_only_read(tmp_path: Path) -> None:
    tokens = (AdminToken(name="desk", file=SecretFile(b"a-token-that-only-reads"), role="read"),)
    table = told()
    table = msgspec.structs.replace(table, admin=msgspec.structs.replace(table.admin, tokens=tokens))
    async with running(table) as gateway, api_of(gateway) as api:
        assert outcome(await api("PUT", ONE, {})) == "created"
        reader = api.with_token("a-token-that-only-reads")
        assert (await reader.get("/about"))["role"] == "read"
        for method in ("PUT", "PATCH", "DELETE"):
            assert (await reader(method, ONE, {})).status == 403
        assert (await imported(reader, "identity\nA\n")).status == 403
        assert (await reader.get(f"{ONE}/settings"))["source"] == "api"
        assert "CP 1" in await exported(reader)
        nobody = api.with_token("nobody")
        for method, path in (("GET", f"{ONE}/settings"), ("GET", "/charge-points:export"), ("PUT", ONE)):
            assert (await nobody(method, path)).status == 401


# Files.


def report(answer: Answer) -> Mapping[str, int]:
    assert answer.status == 200, answer
    assert answer.data["kept"] is True
    return {name: answer.data[name] for name in ("rows", "created", "changed", "unchanged")}


async def test_a_fleet_is_imported_and_exported_as_it_was() -> None:
    async with running(told()) as gateway, api_of(gateway) as api:
        empty = await exported(api)
        rows = [f"CP {number:04},http://10.0.0.{number}:80/,NL*{number},,10.0.0.0/8,,,,,\r\n" for number in range(50)]
        csv = empty + "".join(rows)
        assert report(await imported(api, csv, dry_run=True)) == counts(50, created=50)
        assert await exported(api) == empty
        assert report(await imported(api, csv)) == counts(50, created=50)
        assert await exported(api) == csv
        assert report(await imported(api, csv)) == counts(50, unchanged=50)
        assert await exported(api) == csv
        # Secrets are in a file of their own, and stay when the others are imported again.
        secrets = "identity,password\r\n" + "".join(f"CP {number:04},pw {number}\r\n" for number in range(10))
        assert report(await imported(api, secrets)) == counts(10, changed=10)
        assert report(await imported(api, secrets)) == counts(10, unchanged=10)
        assert report(await imported(api, csv)) == counts(50, unchanged=50)
        assert (await api.get("/charge-points/CP%200001/settings"))["secrets"] == ["password"]
        assert report(await imported(api, "identity,password\nCP 0001,\n")) == counts(1, changed=1)
        assert (await api.get("/charge-points/CP%200001/settings"))["secrets"] == []


def counts(rows: int, *, created: int = 0, changed: int = 0, unchanged: int = 0) -> dict[str, int]:
    return {"rows": rows, "created": created, "changed": changed, "unchanged": unchanged}


@pytest.mark.parametrize("dry_run", [False, True])
async def test_one_bad_line_and_nothing_is_done(dry_run: bool) -> None:
    async with running(told(route={"charge_point": "[!O]*"})) as gateway, api_of(gateway) as api:
        csv = "identity,networks,token\nA,10.0.0.0/8,\nA,,\n,,\nOTHER,,\nB,10.0.0.1/8,x\nC\n" + "x" * 300 + ",,\n"
        answer = await imported(api, csv, dry_run=dry_run)
        assert [line for line, _ in said(answer)] == [3, 4, 5, 6, 6, 7, 8]
        details = dict(said(answer))
        assert details[3] == "the same Charge Point is in line 2"
        assert details[4] == "the identity is empty"
        assert details[5] == "no route takes this identity"
        assert [each["column"] for each in answer.data["lines"] if each["line"] == 6] == ["networks[0]", "token"]
        assert answer.data["detail"].startswith("6 lines of the file cannot be used, and nothing was imported; line 3")
        assert await exported(api) == await exported_empty(api)
        assert (await api.get("/audit"))["items"] == []


@pytest.mark.parametrize(
    ("octets", "line", "detail"),
    [
        (b"", 1, "the file is empty"),
        ("identity\nA\n".encode("utf-16"), 1, "the file is UTF-16"),
        (b"identity\nA\nK\xf6ln\n", 3, "not UTF-8"),
        (b"identiy,password\nA,x\n", 1, "unknown column, did you mean identity?"),
        (b'identity,password\nA,"x\n', 2, "not CSV: "),
    ],
)
async def test_files_that_are_none(octets: bytes, line: int, detail: str) -> None:
    async with running(told()) as gateway, api_of(gateway) as api:
        found = said(await imported(api, octets))
        assert found[0][0] == line and found[0][1].startswith(detail)


async def test_a_hundred_thousand_lines() -> None:
    """More than may be known, more than are named, and more octets than are read."""
    async with running(told()) as gateway, api_of(gateway) as api:
        rows = "\n".join(f"CP {number:06}" for number in range(100_000))
        answer = await imported(api, f"identity\n{rows}\n")
        text = "100000 Charge Points would have settings, and limits.charge_points is 50000"
        assert said(answer) == [(50_002, text)]
        assert answer.data["detail"].startswith("1 line of the file cannot be used, and nothing was imported; line")
        answer = await imported(api, "identity\n" + "A\n" * 100_000)
        assert len(said(answer)) == 1000
        assert answer.data["detail"].startswith("99999 lines of the file cannot be used")
        answer = await imported(api, b"identity\n" + b"x" * 33_554_432)
        assert answer.status == 413
        assert await exported(api) == await exported_empty(api)


async def test_no_more_than_may_be_known() -> None:
    async with running(told(limits={"charge_points": 2})) as gateway, api_of(gateway) as api:
        assert outcome(await api("PUT", ONE, {})) == "created"
        assert [line for line, _ in said(await imported(api, "identity\nA\nCP 1\nB\n"))] == [4]
        assert report(await imported(api, "identity\nCP 1\nA\n")) == counts(2, created=1, unchanged=1)
        answer = await api("PUT", "/charge-points/B", {})
        assert (answer.status, "limits.charge_points is 2" in answer.data["detail"]) == (409, True)


async def test_a_file_as_something_else() -> None:
    async with running(told()) as gateway, api_of(gateway) as api:
        kind = {"Content-Type": "application/json"}
        answer = await api("POST", "/charge-points:import", b"identity\nA\n", kind)
        assert (answer.status, answer.data["detail"]) == (415, "a request is sent as text/csv")
        answer = await api("POST", "/charge-points:import?dry_run=maybe", b"identity\n", {"Content-Type": "text/csv"})
        assert answer.status == 400
