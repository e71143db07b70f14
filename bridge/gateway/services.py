"""The services that are spoken, from their WSDLs: those that we serve, and the clients of those that others do."""

from __future__ import annotations

from pathlib import Path

from bridge.config import Settings
from bridge.dialects.versions import DIALECTS
from bridge.errors import Complaint, ConfigurationError
from bridge.gateway import limits
from bridge.gateway.doorplates import CENTRAL_SYSTEM_SERVICE, CHARGE_POINT_SERVICE
from bridge.gateway.sessions import Clients, mint
from bridge.ocpps.client import SoapClient
from bridge.ocpps.service import SoapService
from bridge.ocpps.wsdl import Service, default_folder, folder_name, load

Services = dict[str, Service]


def clients_of(settings: Settings, central_system: Services, charge_point: Services) -> Clients:
    """Who POSTs, by what is spoken."""
    soap, public_url = settings.soap[0], settings.soap[0].public_url.rstrip("/")

    def client(service: Service, version: str, sent_from: str) -> SoapClient:
        return SoapClient(
            service,
            DIALECTS[version],
            sent_from=public_url + sent_from,
            mint=mint,
            max_body=soap.max_body,
            bounds=limits.xml_bounds(settings.limits),
        )

    return Clients(
        charge_point={
            version: client(service, version, CENTRAL_SYSTEM_SERVICE) for version, service in charge_point.items()
        },
        central_system={
            protocol: client(central_system[version], version, CHARGE_POINT_SERVICE)
            for protocol, version in (("ocpp1.6s", "1.6"), ("ocpp1.5s", "1.5"))
        },
    )


def served(services: Services) -> dict[str, SoapService]:
    """Each ready to answer."""
    return {version: SoapService(service, mint, DIALECTS[version]) for version, service in services.items()}


def load_services(configured: str) -> tuple[Services, Services]:
    """CentralSystemService and ChargePointService of every version, from the folder that is configured, or ours."""
    folders = {version: _wsdl_folder(configured, version) for version in DIALECTS}
    central_system = {version: load(folder / "CentralSystemService.wsdl") for version, folder in folders.items()}
    charge_point = {version: load(folder / "ChargePointService.wsdl") for version, folder in folders.items()}
    return central_system, charge_point


def _wsdl_folder(configured: str, version: str) -> Path:
    """The folder of one version's WSDLs: the official ones where the operator put them, in `ocpp16` and the like or,
    for 1.6, in the folder itself; ours for what is not there. Raises ConfigurationError if no 1.6 is there."""
    name = folder_name(version)
    ours = default_folder() / name
    if not configured:
        return ours
    candidates = [Path(configured) / name] + ([Path(configured)] if version == "1.6" else [])
    for folder in candidates:
        if (folder / "CentralSystemService.wsdl").is_file():
            return folder
    if version != "1.6":
        return ours
    text = f"{configured} holds no CentralSystemService.wsdl, nor does its folder {name}"
    raise ConfigurationError([Complaint(source="configuration", key="soap.wsdl", text=text)])
