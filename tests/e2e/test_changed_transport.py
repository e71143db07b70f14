"""A Charge Point whose firmware goes from SOAP to JSON, or back: one identity, one Session, the newest way counts."""

from __future__ import annotations

from bridge.gateway.public_addresses import CENTRAL_SYSTEM_SERVICE
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.ocpps.wsdl import default_folder
from tests.e2e.stage import running, settings


async def test_it_is_served_in_the_new_way_and_the_old_connection_is_closed() -> None:
    await _there_and_back()


async def _there_and_back() -> None:
    async with JsonCentralSystem() as central_system, running(settings(central_system.url)) as gateway:
        soap_url = f"http://127.0.0.1:{gateway.soap_address[1]}{CENTRAL_SYSTEM_SERVICE}"
        json_url = f"ws://127.0.0.1:{gateway.websocket_address[1]}/ocpp"
        async with JsonChargePoint(url=json_url, identity="CP") as by_json:
            await by_json.call("Heartbeat", {})
            async with SoapChargePoint(url=soap_url, identity="CP", wsdl=default_folder() / "ocpp16") as by_soap:
                await by_soap.call("Heartbeat", {})
                await by_json.wait_closed(10)
                assert by_json.close_code == 1012
                await central_system.wait_for("CP", 10)
                await central_system.call("CP", "Reset", {"type": "Soft"})
                assert by_soap.received == [("Reset", {"type": "Soft"})]
        async with JsonChargePoint(url=json_url, identity="CP") as by_json:
            await by_json.call("Heartbeat", {})
            await central_system.call("CP", "ClearCache", {})
            assert by_json.received == [("ClearCache", {})]
        assert central_system.violations == []
