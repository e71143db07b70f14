"""`charge-points`: who was invented is forgotten, also by the store; a fleet is imported and exported."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.app import Gateway
from bridge.commands.cli import main
from bridge.config import Store
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.admin.asked import api_of
from tests.e2e.stage import SAMPLES, charge_point, envelope, json_charge_point, post, running, settings


async def asked(gateway: Gateway, folder: Path, *arguments: str) -> int:
    """The exit code of the command against `gateway`."""
    host, port = gateway.admin_address
    config = folder / "cli.toml"
    config.write_text(f"[admin]\nlisten = '{host}:{port}'\n[store]\nurl = 'sqlite:///{folder}/bridge.db'\n")
    return await asyncio.to_thread(main, ["charge-points", *arguments, "--config", str(config)])


async def test_those_that_nobody_has_accepted_are_gone_for_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Accepted ones stay, over SOAP and between two JSON parties; and whoever comes back is known again."""
    async with JsonCentralSystem() as central:
        told = settings(central.url)
        told = msgspec.structs.replace(told, store=Store(url=f"sqlite:///{tmp_path}/bridge.db"))
        async with (
            running(told) as gateway,
            api_of(gateway) as api,
            charge_point(gateway, "real 1") as soap,
            json_charge_point(gateway, "real 2") as json,
        ):
            for party in (soap, json):
                await party.call("BootNotification", SAMPLES["BootNotification"])
            invented = {f"Invented {{{number}}}" for number in range(4)}
            for identity in invented:
                assert (await post(gateway, envelope(identity=identity))).status == 200
            assert await everybody(api) == invented | {"real 1", "real 2"}
            assert await asked(gateway, tmp_path, "remove", "nobody*", "--never-accepted") == 1
            assert await asked(gateway, tmp_path, "remove", "*") == 2
            assert "may fit Charge Points that work" in capsys.readouterr().err
            assert await asked(gateway, tmp_path, "remove", "*", "--never-accepted") == 0
            assert capsys.readouterr().out == "4 removed\n"
            assert await everybody(api) == {"real 1", "real 2"}
            assert (await api("DELETE", "/charge-points/Invented%20%7B1%7D")).status == 404
            audit = (await api.get("/audit"))["items"]
            assert [(each["what"], each["outcome"]) for each in audit] == [("remove", "done")] * 4
            assert (await post(gateway, envelope(identity="Invented {0}"))).status == 200
            assert "Invented {0}" in await everybody(api)
            # One that works goes if it is named.
            assert await asked(gateway, tmp_path, "remove", "REAL 1") == 0
            assert await everybody(api) == {"real 2", "Invented {0}"}
        async with running(told) as gateway, api_of(gateway) as api:
            assert await everybody(api) == {"real 2", "Invented {0}"}
            accepted = {each["identity"]: each["accepted"] for each in (await api.get("/charge-points"))["items"]}
            assert accepted == {"real 2": True, "Invented {0}": False}


async def everybody(api: Any) -> set[str]:
    """The identities that are known."""
    return {each["identity"] for each in (await api.get("/charge-points"))["items"]}


async def test_one_that_is_rejected_was_not_accepted() -> None:
    async with JsonCentralSystem() as central:
        rejected = {"status": "Rejected", "currentTime": "2026-01-01T00:00:00Z", "interval": 60}
        central.behaviour["BootNotification"] = lambda _: rejected
        async with (
            running(settings(central.url)) as gateway,
            api_of(gateway) as api,
            charge_point(gateway, "soap") as soap,
            json_charge_point(gateway, "json") as json,
        ):
            for party in (soap, json):
                await party.call("BootNotification", SAMPLES["BootNotification"])
            for accepted, total in (("false", 2), ("true", 0)):
                assert (await api.get(f"/charge-points?accepted={accepted}"))["total"] == total


async def test_a_json_charge_point_is_hung_up_on() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        async with json_charge_point(gateway, "json") as json:
            assert (await api("DELETE", "/charge-points/json")).status == 204
            await json.wait_closed()
            assert json.close_code == 1012
            assert await everybody(api) == set()
        assert (await api("DELETE", "/charge-points/json")).status == 404


# Settings.


async def test_a_fleet_comes_from_a_file_and_goes_into_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = msgspec.structs.replace(settings("ws://127.0.0.1:1/"), store=Store(url=f"sqlite:///{tmp_path}/bridge.db"))
    async with running(told) as gateway:
        file, copy = tmp_path / "fleet.csv", tmp_path / "copy.csv"
        assert await asked(gateway, tmp_path, "export", str(file)) == 0
        file.write_bytes(file.read_bytes() + b"CP 1,http://10.0.0.1/,,,10.0.0.0/8,,,,,\r\nCP 2,,,,,,,,,\r\n")
        capsys.readouterr()
        assert await asked(gateway, tmp_path, "import", str(file), "--dry-run") == 0
        said = "2 Charge Points: 2 created, 0 changed, 0 unchanged"
        assert capsys.readouterr().out == f"{said} (not done: --dry-run)\n"
        assert await asked(gateway, tmp_path, "import", str(file)) == 0
        assert capsys.readouterr().out == f"{said}\n"
        assert await asked(gateway, tmp_path, "export", str(copy)) == 0
        assert copy.read_bytes() == file.read_bytes()
        assert await asked(gateway, tmp_path, "export") == 0
        assert capsys.readouterr().out == file.read_text()


async def test_each_bad_line_is_told_with_its_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = msgspec.structs.replace(settings("ws://127.0.0.1:1/"), store=Store(url=f"sqlite:///{tmp_path}/bridge.db"))
    async with running(told) as gateway:
        file = tmp_path / "fleet.csv"
        file.write_text("identity,networks\nA,\na,\nB\x1b,\nC,x\n,\n")
        assert await asked(gateway, tmp_path, "import", str(file)) == 1
        out, err = capsys.readouterr()
        assert (out, "\x1b" in err) == ("", False)
        lines = [line.removeprefix(f"{file}:") for line in err.splitlines() if not line.startswith("WARNING")]
        assert lines[0] == "3: 'a': the same Charge Point is in line 2"
        assert lines[1].startswith("4: ") and "none of them a control character" in lines[1]
        assert lines[2].startswith("5: 'C': networks[0]: expected a network")
        assert lines[3] == "6: the identity is empty"
        end = "4 lines of the file cannot be used, and nothing was imported"
        assert lines[4:] == [f"ocpp-bridge charge-points import: {end}"]
        file.write_text("identity\n" + "A\n" * 1500)
        assert await asked(gateway, tmp_path, "import", str(file)) == 1
        err = capsys.readouterr().err
        assert "1499 lines of the file cannot be used, and nothing was imported (the first 1000 are above)" in err
        assert await asked(gateway, tmp_path, "import", str(tmp_path / "missing.csv")) == 1
        assert "No such file or directory" in capsys.readouterr().err
