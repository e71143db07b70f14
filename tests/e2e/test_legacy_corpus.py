"""The corpus of real OCPP-S messages, each file as it is, over real sockets: read, or refused in words that say why.

A request is POSTed to the door that its Body names; an answer is given by the party that would give it, to a Call of
that action. On the far side the `ocpp` package judges by its JSON schemas what came of it. A table at the end of the
run says of each file what became of it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from lxml import etree

from bridge.gateway.public_addresses import CHARGE_POINT_SERVICE
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.wire import CallRefused
from bridge.ocpp.actions import ACTIONS
from tests.e2e.stage import (
    AT_MOST,
    COMMANDS,
    PATH,
    SAMPLES,
    Answer,
    answering,
    envelope,
    json_charge_point,
    listening,
    logged,
    post,
    running,
    settings,
)
from tests.reference import CORPUS, needs_corpus

pytestmark = needs_corpus

NAMESPACES = {"1.5": "urn://Ocpp/Cs/2012/06/", "1.6": "urn://Ocpp/Cs/2015/10/"}
# Why the bridge refuses a file, in its own words. Every other file is read. Of an answer that is none, a log line says
# why; the peer that waits for it is told only that.
REFUSED = {
    # An operation that OCPP does not have, as an answer to the one that its header names.
    "h_006_1.5_GetLocalList_cp2cs-resp.xml": "<getLocalListResponse> does not answer GetLocalListVersion",
    # `<se:/Text>`
    "h_018_1.6_unknown_unk.xml": "not well-formed XML",
    # Written to be refused.
    "izi16_003_1.6_BootNotification_cp2cs-req.xml": "chargePointModel: required, and missing",
    # What a Charge Point sends, addressed to a Charge Point.
    "izi15_032_1.5_DiagnosticsStatusNotification_cs2cp-req.xml": (
        "the ChargePointService has no request <diagnosticsStatusNotificationRequest>"
    ),
    "shiv_007_1.5_heartbeat_req.xml": "not well-formed XML",
}
NO_ANSWER = "HTTP 200, application/soap+xml: no answer to this Call in SOAP"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """`is_request` and `upwards` (from the Charge Point to the Central System) as its Body says."""

    path: Path
    version: str
    action: str
    upwards: bool
    is_request: bool
    identity: str = "CORPUS"

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a file: `refused` says why not, `lost` what reading it cost."""

    refused: str = ""
    lost: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"refused: {self.refused}" if self.refused else "; ".join(("read", *self.lost))


def file_of(path: Path) -> File:
    version, action = path.name.split("_")[2:4]
    try:
        root = etree.fromstring(path.read_bytes(), etree.XMLParser(resolve_entities=False, no_network=True))
        [content, *_] = root.find("{*}Body").iterchildren(tag=etree.Element)  # type: ignore[union-attr]
    except etree.XMLSyntaxError:
        # Nobody can say what it is: as far as its name goes.
        return File(path=path, version=version, action=action, upwards=True, is_request="_req" in path.name)
    name = etree.QName(content)
    is_request = name.localname.endswith("Request")
    of_charge_point = "/cs/" in (name.namespace or "").lower()
    return File(
        path=path,
        version=version,
        action=action,
        upwards=of_charge_point is is_request,
        is_request=is_request,
        identity=next((found.text or "" for found in root.iter("{*}chargeBoxIdentity")), "CORPUS").strip(),
    )


def files() -> list[File]:
    return [file_of(path) for path in sorted(CORPUS.glob("soap/*.xml"))]


def judged(violations: list[str], lines: list[str], answer: Answer | None = None) -> Outcome:
    """After the message has, or has not, gone through."""
    if answer is not None and (fault := answer.fault) is not None:
        assert answer.status in (400, 500)
        assert fault[0].endswith(("Sender", "Receiver"))
        assert answer.reason
        return Outcome(refused=f"{fault[0].partition('}')[2]}/{fault[1].partition('}')[2]}: {answer.reason}")
    assert violations == []
    return Outcome(lost=tuple(_loss(line) for line in lines if " loss identity=" in line))


def _loss(line: str) -> str:
    field, _, reason = line.partition(" field=")[2].partition(" reason=")
    return field + ": " + reason.strip('"')


async def request_up(file: File, lines: list[str]) -> Outcome:
    """A Charge Point's request, to a Central System that speaks JSON."""
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway:
        central.behaviour["DataTransfer"] = lambda _: {"status": "Accepted"}
        answer = await post(gateway, file.path.read_bytes(), path=f"{PATH}/{quote(file.identity)}")
        outcome = judged(central.violations, lines, answer)
        arrived = [action for _, action, _ in central.received]
        assert arrived == ([] if outcome.refused else [file.action])
        return outcome


async def request_down(file: File, lines: list[str]) -> Outcome:
    """A command of a SOAP Central System, to a Charge Point that speaks JSON."""
    async with listening(answering("")) as central:
        told = settings(central.url, central_system={"protocol": f"ocpp{file.version}s"})
        async with running(told) as gateway, json_charge_point(gateway, file.identity) as point:
            answer = await post(gateway, file.path.read_bytes(), path=CHARGE_POINT_SERVICE)
            outcome = judged(point.violations, lines, answer)
            arrived = [action for action, _ in point.received]
            assert arrived == ([] if outcome.refused else [file.action])
            return outcome


async def answer_down(file: File, lines: list[str]) -> Outcome:
    """What a SOAP Central System answers a Charge Point that speaks JSON."""
    async with listening(answering(file.path.read_bytes())) as central:
        told = settings(central.url, central_system={"protocol": f"ocpp{file.version}s"})
        async with running(told) as gateway, json_charge_point(gateway, "CORPUS") as point:
            # Of these OCPP 1.5 has other words, and without them nothing would be sent.
            status = {"DiagnosticsStatusNotification": "Uploaded", "FirmwareStatusNotification": "Installed"}
            sent = {"status": status[file.action]} if file.action in status else SAMPLES[file.action]
            try:
                await point.call(file.action, sent)
            except CallRefused as refusal:
                return Outcome(refused=str(refusal))
            finally:
                assert len(central.received) == 1
            return judged(point.violations, lines)


async def answer_up(file: File, lines: list[str]) -> Outcome:
    """What a Charge Point answers a Central System that speaks JSON."""
    action = {"GetLocalList": "GetLocalListVersion", "unknown": "ClearCache"}.get(file.action, file.action)

    async def respond(_: bytes) -> web.Response:
        return web.Response(body=file.path.read_bytes(), content_type="application/soap+xml")

    async with (
        listening(respond) as point,
        JsonCentralSystem() as central,
        running(settings(central.url)) as gateway,
    ):
        heartbeat = envelope(
            f'<heartbeatRequest xmlns="{NAMESPACES[file.version]}"/>', identity="CORPUS", source=point.url
        )
        assert (await post(gateway, heartbeat)).status == 200
        await central.wait_for("CORPUS", AT_MOST)
        try:
            await central.call("CORPUS", action, COMMANDS[action])
        except CallRefused as refusal:
            assert len(point.received) == 1
            return Outcome(refused=str(refusal))
        assert len(point.received) == 1
        return judged(central.violations, lines)


WALKS: dict[tuple[bool, bool], Any] = {
    (True, True): request_up,
    (True, False): request_down,
    (False, True): answer_up,
    (False, False): answer_down,
}


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[dict[str, Outcome]]:
    """What became of each file; shown at the end, whether or not output is captured."""
    outcomes: dict[str, Outcome] = {}
    yield outcomes
    plugins = request.config.pluginmanager
    reporter, capture = plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager")
    read = sum(not outcome.refused for outcome in outcomes.values())
    with capture.global_and_fixture_disabled():
        reporter.write_line("")
        reporter.write_line(f"The corpus of OCPP-S messages: {read} read, {len(outcomes) - read} refused")
        for name, outcome in sorted(outcomes.items()):
            reporter.write_line(f"  {name:<60} {outcome}")


@pytest.mark.parametrize("file", files(), ids=lambda file: file.name)
async def test_each_file_is_read_or_refused_in_words(file: File, table: dict[str, Outcome]) -> None:
    with logged() as lines:
        outcome: Outcome = await WALKS[file.is_request, file.upwards](file, lines)
    table[file.name] = outcome
    expected = REFUSED.get(file.name, "")
    assert bool(outcome.refused) is bool(expected), outcome
    if outcome.refused and not file.is_request:
        assert NO_ANSWER in outcome.refused
        told = (" refused ", " link failure ")  # a link failure is what is no answer at all
        assert [line for line in lines if any(kind in line for kind in told) and expected in line]
    else:
        assert expected in outcome.refused


def test_it_is_all_there() -> None:
    names = {file.name for file in files()}
    assert REFUSED.keys() <= names
    assert {file.version for file in files()} <= {"1.5", "1.6"}
    assert {(file.is_request, file.upwards) for file in files()} == WALKS.keys()
    assert all(file.action in ACTIONS for file in files() if file.name not in REFUSED)


def test_what_real_devices_send_and_the_official_types_refuse_is_read() -> None:
    """Long texts, other orders, empty elements: all but what is no message, or lacks what nobody can add."""
    with (CORPUS / "INDEX.tsv").open(encoding="utf-8", newline="") as index:
        rows = [row for row in csv.DictReader(index, delimiter="\t") if row["file"].startswith("soap/")]
    invalid = {Path(row["file"]).name for row in rows if row["schema"] != "valid"}
    assert len(invalid) == 18
    assert invalid & REFUSED.keys() == REFUSED.keys()
