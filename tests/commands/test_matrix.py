"""`ocpp-bridge check --matrix`: who may send what to whom."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bridge.commands.cli import main
from bridge.commands.matrix import lines_of, meet
from bridge.config import CentralSystem, FurtherCentralSystem, Policy, Route, Settings
from bridge.ocpp.actions import ACTIONS, Party

JSON, OLDER = "ocpp1.6j", "ocpp1.5s"


def settings(*policies: Policy, **routes: str) -> Settings:
    """Routes by their glob (an underscore is a star) to Central Systems of a protocol."""
    told = routes or {"_": JSON}
    return Settings(
        central_systems={
            name: CentralSystem(protocol=protocol, url="ws://127.0.0.1:1/")  # type: ignore[arg-type]
            for name, protocol in told.items()
        },
        routes=tuple(Route(charge_point=name.replace("_", "*"), central_system=name) for name in told),
        policies=policies,
    )


class Read:
    """The lines of a matrix, by route, party and action."""

    def __init__(self, told: Settings) -> None:
        self.rows: dict[tuple[str, str], dict[str, str]] = {}
        route = party = ""
        for line in lines_of(told):
            if line and not line.startswith(" "):
                route = line.split(" ")[0]
            elif line.startswith("    "):
                action, _, note = line.strip().partition("  ")
                self.rows[route, party][action] = note.strip()
            elif line:
                party = line.strip().removesuffix(" sends").removeprefix("the ").replace(" ", "_").lower()
                self.rows[route, party] = {}


def test_the_further_central_systems_of_a_route_come_last() -> None:
    told = settings()
    also = (
        FurtherCentralSystem(central_system="_", role="shadow", actions=("MeterValues", "StartTransaction")),
        FurtherCentralSystem(central_system="_", commands=("*",)),
    )
    (route,) = told.routes
    lines = list(lines_of(structs.replace(told, routes=(structs.replace(route, also=also),))))
    assert [" ".join(line.split()) for line in lines[-6:]] == [
        "also -> _ (ocpp1.6j, shadow)",
        "gets MeterValues, StartTransaction",
        "may send nothing",
        "also -> _ (ocpp1.6j, observer)",
        "gets every action",
        "may send every action",
    ]


def refused(action: str, sender: str = "charge_point", **keys: str) -> Policy:
    return Policy(sender=sender, action=action, do="refuse", **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize("party", Party)
def test_each_action_stands_below_the_parties_that_send_it(party: Party) -> None:
    rows = Read(settings()).rows["*", party.value]
    assert [*rows] == [*(name for name, action in ACTIONS.items() if party in action.senders), "any other action"]


def test_what_an_older_central_system_does_not_have() -> None:
    rows = Read(settings(_=OLDER)).rows["*", "central_system"]
    assert {name for name, note in rows.items() if note} == {
        *("ClearChargingProfile", "GetCompositeSchedule", "SetChargingProfile", "TriggerMessage")
    }
    assert rows["TriggerMessage"] == "OCPP 1.5 does not have it"
    assert "any other action" not in rows


def test_what_older_charge_points_do_not_have() -> None:
    rows = Read(settings()).rows["*", "central_system"]
    assert rows["Reset"] == ""
    assert rows["TriggerMessage"] == "answered in the place of Charge Points of OCPP 1.5 and 1.2, which lack it"
    assert rows["DataTransfer"] == "answered in the place of Charge Points of OCPP 1.2, which lack it"


def test_what_each_policy_does() -> None:
    policies = (
        refused("Authorize", code="SecurityError"),
        Policy(sender="charge_point", action="Heartbeat", do="answer", answer={}),
        Policy(sender="charge_point", action="StopTransaction", do="drop_field", field="reason"),
        Policy(sender="charge_point", action="MeterValues", do="delay", seconds=2.5),
        refused("SignCertificate"),
    )
    rows = Read(settings(*policies)).rows["*", "charge_point"]
    assert rows["Authorize"] == "refused with SecurityError (policies[0])"
    assert rows["Heartbeat"] == "answered by the bridge (policies[1])"
    assert rows["StopTransaction"] == "passed on without reason (policies[2])"
    assert rows["MeterValues"] == "delayed by 2.5 s (policies[3])"
    assert rows["SignCertificate"] == "refused with NotSupported (policies[4])"
    assert rows["StartTransaction"] == ""


def test_a_policy_stands_where_it_can_match_up_to_the_first_that_takes_all() -> None:
    policies = (
        refused("Authorize", charge_point="B*"),
        refused("Authorize", charge_point="A1*"),
        refused("Authorize", charge_point="a*", central_system="_"),
        refused("Authorize", charge_point="a*"),
        refused("Authorize"),
    )
    rows = Read(settings(*policies, A_=JSON, _=JSON)).rows
    assert rows["A*", "charge_point"]["Authorize"] == (
        "refused with NotSupported for A1* (policies[1]); refused with NotSupported (policies[3])"
    )
    assert [part.split("policies")[1] for part in rows["*", "charge_point"]["Authorize"].split(";")] == [
        *("[0])", "[1])", "[2])", "[3])", "[4])")
    ]
    assert rows["A*", "central_system"]["Reset"] == ""


def test_a_policy_stands_at_the_routes_of_its_tenant() -> None:
    told = settings(refused("Authorize", tenant="acme"), refused("DataTransfer", tenant="*"))
    acme = structs.replace(told.routes[0], tenant="acme", charge_point="*")
    lines = list(lines_of(structs.replace(told, routes=(*told.routes, acme))))
    start = next(index for index, line in enumerate(lines) if line.startswith("* of the tenant acme -> "))
    assert [line.split()[0] for line in lines[:start] if "refused" in line] == ["DataTransfer"]
    assert [line.split()[0] for line in lines[start:] if "refused" in line] == ["Authorize", "DataTransfer"]


def test_the_command_prints_it_after_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bridge.toml"
    content = (
        '[store]\nurl = "memory:"\n[[policies]]\nfrom = "charge_point"\naction = "StopTransaction"\ndo = "refuse"\n'
    )
    path.write_text(content)
    assert main(["check", "--config", str(path), "--matrix"]) == 0
    first, *rest = capsys.readouterr().out.replace(f"{tmp_path}/", "").splitlines()
    assert first == "bridge.toml: ok, 1 central system, 1 route"
    assert (
        "bridge.toml: caution: policies[0]: a StopTransaction is refused here: no Central System hears of it" in rest[0]
    )
    assert rest[1:4] == ["", "* -> main (ocpp1.6j)", "  the Charge Point sends"]
    path.write_text(content.replace("StopTransaction", "StopTransactoin"))
    assert main(["check", "--config", str(path), "--matrix"]) == 2
    told = capsys.readouterr()
    assert told.out == "" and 'has no action "StopTransactoin", did you mean StopTransaction?' in told.err


# Globs.


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("*", "", True),
        ("", "", True),
        ("a", "", False),
        ("A*", "*b", True),
        ("a*b*c", "*x*", True),
        ("EV-?", "ev-12", False),
        ("EV-[12]", "EV-[23]", True),
        ("EV-[12]", "EV-[34]", False),
        ("[!a]b", "ab", False),
        ("[!a]b", "?b", True),
        ("[]]", "]", True),
        ("[a", "[a", True),
    ],
)
def test_globs_that_meet(one: str, other: str, together: bool) -> None:
    assert meet(one, other) is meet(other, one) is together


_glob = st.lists(st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]"]), max_size=5).map("".join)


@given(_glob, _glob, st.text("abc", max_size=6))
def test_two_globs_that_match_one_identity_meet(one: str, other: str, identity: str) -> None:
    if fnmatchcase(identity, one) and fnmatchcase(identity, other):
        assert meet(one, other)
