"""Create the SOAP services and clients from the WSDLs."""

from __future__ import annotations

from pathlib import Path

from bridge.config import Settings
from bridge.dialects.versions import DIALECTS
from bridge.errors import Complaint, ConfigurationError
from bridge.gateway import limits
from bridge.gateway.public_addresses import CENTRAL_SYSTEM_SERVICE, CHARGE_POINT_SERVICE
from bridge.gateway.sessions import Clients, mint
from bridge.net.soap_client import SoapClient
from bridge.ocpps.service import SoapService
from bridge.ocpps.wsdl import Service, default_folder, folder_name, load

Services = dict[str, Service]


def clients_of(settings: Settings, central_system: Services, charge_point: Services) -> Clients:
    """Return the SOAP clients.

    Args:
        settings: The configuration.
        central_system: The CentralSystemService of each version.
        charge_point: The ChargePointService of each version.
    """
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
            for protocol, version in (("ocpp1.6s", "1.6"), ("ocpp1.5s", "1.5"), ("ocpp1.2s", "1.2"))
        },
    )


def served(services: Services) -> dict[str, SoapService]:
    """Return the SOAP service of each version."""
    return {version: SoapService(service, mint, DIALECTS[version]) for version, service in services.items()}


def load_services(configured: str) -> tuple[Services, Services]:
    """Return the CentralSystemService and the ChargePointService of each version.

    `configured` is a folder with WSDLs, "" for the bridge's own.
    """
    folders = {version: _wsdl_folder(configured, version) for version in DIALECTS}
    central_system = {version: load(folder / "CentralSystemService.wsdl") for version, folder in folders.items()}
    charge_point = {version: load(folder / "ChargePointService.wsdl") for version, folder in folders.items()}
    return central_system, charge_point


def _wsdl_folder(configured: str, version: str) -> Path:
    """Return the folder with the WSDLs of one version.

    In the configured folder, official WSDLs may be in a folder `ocpp16` and the like or, for 1.6, in the folder itself.
    The bridge's own WSDLs are used for other versions that the configured folder lacks.

    Raises:
        ConfigurationError: The configured folder lacks 1.6.
    """
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
