"""A simulated Charge Point of OCPP 1.5 and 1.2: its built-in session, and every command to it.

Its far side here is the bridge's own codec with the dialect: what zeep writes is read, and what is written zeep reads.
"""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bridge.core.connectors import Connectors
from bridge.dialects.known import Known
from bridge.lab.simulators import envelope
from bridge.lab.simulators.answers import CentralSystemAnswers, ChargePointAnswers
from bridge.lab.simulators.script import DEFAULT_SCRIPTS, Send, read_script, run_script
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import answer_of, now
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.messages import Request
from bridge.ocpp.rpc import CallError
from bridge.ocpp.shapes import plain
from bridge.ocpp.validation import record_of
from bridge.ocpps import envelope as soap
from bridge.ocpps import wsdl
from bridge.ocpps.envelope import EnvelopeFields
from tests.dialects.strategies import FOLDERS, codec

NOON = "2026-01-02T12:00:00Z"
each_version = pytest.mark.parametrize("version", ["1.5", "1.2"])


def folder(version: str) -> Any:
    return wsdl.default_folder() / FOLDERS[version]


def charge_point(version: str, url: str = "http://127.0.0.1:9/") -> SoapChargePoint:
    return SoapChargePoint(url=url, identity="CP1", wsdl=folder(version), protocol=f"ocpp{version}s")


# --- The built-in sessions ---


@each_version
def test_the_built_in_session_fits_the_wsdl(version: str) -> None:
    service = envelope.load(folder(version) / "CentralSystemService.wsdl")
    text = DEFAULT_SCRIPTS[f"ocpp{version}s"].replace('"$transactionId"', "7").replace("$now", now())
    for step in read_script(text, "built in"):
        assert isinstance(step, Send)
        written = service.encode(step.action, step.payload, envelope.EnvelopeHeaders(), is_request=True)
        assert service.decode(envelope.parsed(written)).action == step.action


class CentralSystem:
    """A Central System behind the codec: `seen` are the requests as 1.6 has them."""

    def __init__(self, version: str) -> None:
        self._codec = codec(version, Party.CHARGE_POINT)
        self._behaviour = CentralSystemAnswers().table()
        self._connectors = Connectors(())
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def _known(self) -> Known:
        connectors = self._connectors.by_number.values()
        return Known(
            charging=frozenset(c.number for c in connectors if c.transaction_id is not None),
            finishing=frozenset(c.number for c in connectors if c.ended),
        )

    async def serve(self, request: web.BaseRequest) -> web.Response:
        opened = soap.read(await request.read())
        call = self._codec.read_call(opened, "1", strict=False, known=self._known())
        payload = plain(call.payload)
        self.seen.append((call.action, payload))
        answer = record_of(await answer_of(self._behaviour[call.action], payload), ACTIONS[call.action].response)
        self._connectors.see(call.payload, answer)
        body, _ = self._codec.write_result(answer, call.action)
        headers = EnvelopeFields(
            action=self._codec.service.operations[call.action].response_action,
            message_id="urn:uuid:1",
            to=soap.anonymous(soap.WSA),
            relates_to=opened.addressing.message_id,
        )
        return web.Response(body=soap.write(body, headers), content_type="application/soap+xml", charset="utf-8")


@each_version
async def test_the_built_in_session_is_carried_and_told_apart(version: str) -> None:
    central_system = CentralSystem(version)
    said: list[str] = []
    runner = web.ServerRunner(web.Server(central_system.serve), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with charge_point(version, f"http://127.0.0.1:{runner.addresses[0][1]}/") as station:
            steps = read_script(DEFAULT_SCRIPTS[f"ocpp{version}s"], "built in")
            went_well = await run_script(station, steps, said.append)
    finally:
        await runner.cleanup()
    assert (went_well, station.violations) == (True, []), said
    statuses = [payload["status"] for action, payload in central_system.seen if action == "StatusNotification"]
    assert statuses == ["Available", "Available", "Preparing", "Charging", "Finishing", "Available"]
    (readings,) = (payload["meterValue"] for action, payload in central_system.seen if action == "MeterValues")
    (stop,) = (payload for action, payload in central_system.seen if action == "StopTransaction")
    assert stop["transactionId"] == 1
    if version == "1.5":
        assert [sample.get("unit") for sample in readings[0]["sampledValue"]] == ["Wh", "V", "A"]
        assert stop["transactionData"][0]["sampledValue"][0]["context"] == "Transaction.End"
    else:
        assert readings[0]["sampledValue"] == ({"value": "12340"},)
    assert any('"heartbeatInterval": 300' in line for line in said)


# --- Commands ---

COMMANDS: dict[str, dict[str, Any]] = {
    "CancelReservation": {"reservationId": 7},
    "ChangeAvailability": {"connectorId": 0, "type": "Operative"},
    "ChangeConfiguration": {"key": "HeartbeatInterval", "value": "60"},
    "ClearCache": {},
    "DataTransfer": {"vendorId": "v", "data": "<&>"},
    "GetConfiguration": {"key": ["HeartbeatInterval", "Nonsense"]},
    "GetDiagnostics": {"location": "ftp://a/b"},
    "GetLocalListVersion": {},
    "RemoteStartTransaction": {"connectorId": 1, "idTag": "A"},
    "RemoteStopTransaction": {"transactionId": 1},
    "ReserveNow": {"connectorId": 1, "expiryDate": NOON, "idTag": "A", "reservationId": 7},
    "Reset": {"type": "Soft"},
    "SendLocalList": {"listVersion": 4, "updateType": "Full", "localAuthorizationList": [{"idTag": "A"}]},
    "UnlockConnector": {"connectorId": 1},
    "UpdateFirmware": {"retrieveDate": NOON, "location": "ftp://a/b"},
}
ANSWERS: dict[str, dict[str, Any]] = {
    "CancelReservation": {"status": "Rejected"},
    "DataTransfer": {"status": "Accepted", "data": "<&>"},
    "GetConfiguration": {
        "configurationKey": ({"key": "HeartbeatInterval", "readonly": False, "value": "60"},),
        "unknownKey": ("Nonsense",),
    },
    "GetDiagnostics": {"fileName": "diagnostics.log"},
    "GetLocalListVersion": {"listVersion": 0},
    "UnlockConnector": {"status": "Unlocked"},
    "UpdateFirmware": {},
}


async def commanded(version: str, actions: list[str]) -> tuple[dict[str, Any], SoapChargePoint]:
    """Each command, as 1.6 has it, sent through the codec; the answers as 1.6 has them, Faults as their code."""
    chosen = codec(version, Party.CENTRAL_SYSTEM)
    station = charge_point(version)

    async def send(http: aiohttp.ClientSession, action: str) -> Any:
        request: Request = record_of(COMMANDS[action], ACTIONS[action].request)
        body, _ = chosen.write_call(request, action)
        headers = EnvelopeFields(
            action=f"/{action}",
            message_id="urn:uuid:1",
            to=station.callback_url,
            identity=(chosen.service.namespace, "CP1"),
            sent_from="http://127.0.0.1:9/",
        )
        async with http.post(station.callback_url, data=soap.write(body, headers)) as response:
            answer = chosen.read_answer(soap.read(await response.read()), action, "1", strict=True)
        return answer.code if isinstance(answer, CallError) else plain(answer.payload)

    async with station, aiohttp.ClientSession() as http:
        return {action: await send(http, action) for action in actions}, station


@each_version
async def test_every_command_has_an_answer(version: str) -> None:
    operations = codec(version, Party.CENTRAL_SYSTEM).service.operations
    answers, station = await commanded(version, [action for action in COMMANDS if action in operations])
    assert answers == {action: ANSWERS.get(action, {"status": "Accepted"}) for action in operations}
    assert station.behaviour.keys() == operations.keys()
    assert {action for action, _ in station.received} == operations.keys()
    assert station.violations == []


async def test_commands_arrive_in_the_words_of_1_5() -> None:
    _, station = await commanded("1.5", ["SendLocalList"])
    assert station.received == [
        ("SendLocalList", {"updateType": "Full", "listVersion": 4, "localAuthorisationList": [{"idTag": "A"}]})
    ]


def test_a_protocol_that_there_is_not() -> None:
    with pytest.raises(ValueError, match=r"'ocpp1\.7s' is none of ocpp1\.6s, ocpp1\.5s, ocpp1\.2s"):
        ChargePointAnswers("ocpp1.7s")
