"""The exact addresses of the bridge's SOAP endpoints and WebSocket listeners, as typed into both parties."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote, urlsplit

from bridge.admin.facts import Addresses
from bridge.config import Listen, Settings, Soap, WebSocket
from bridge.config.tenants import urls_of
from bridge.ocpp.tenants import DEFAULT

CENTRAL_SYSTEM_SERVICE = "/services/CentralSystemService"
CHARGE_POINT_SERVICE = "/services/ChargePointService"
IDENTITY = "{identity}"
_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104


def addresses(
    soap: Sequence[Soap], websocket: Iterable[WebSocket], tenant: str = DEFAULT, settings: Settings | None = None
) -> Addresses:
    """Return the addresses of the listeners. `{identity}` stands for the identity of a Charge Point.

    Args:
        soap: The listeners for SOAP.
        websocket: The listeners for WebSockets.
        tenant: The tenant whose addresses they are.
        settings: The configuration, for the host names of tenants; None for that without tenants.
    """
    known = settings or Settings()
    urls = [url.rstrip("/") for each in soap for url in urls_of(each, each.public_url, tenant, known)]
    public = list(dict.fromkeys(urls))
    return Addresses(
        soap=[url + CENTRAL_SYSTEM_SERVICE for url in public],
        json=[url for each in websocket for url in urls_of(each, websocket_url(soap, each), tenant, known)],
        central_systems_to_bridge=[url + CHARGE_POINT_SERVICE for url in public],
    )


def command_address(public_url: str, central_system: str) -> str:
    """Return the address to which a SOAP Central System sends its commands, which says whose they are.

    Args:
        public_url: The URL of the bridge for SOAP parties.
        central_system: The name of the Central System.
    """
    return f"{public_url}{CHARGE_POINT_SERVICE}/{quote(central_system, safe='')}"


def websocket_url(soap: Sequence[Soap], websocket: WebSocket) -> str:
    """Return the URL to which JSON Charge Points connect.

    A listener on all IP addresses gets the host of the first SOAP listener's public URL.
    """
    listen = websocket.listen
    if listen.host in _ANYWHERE:
        listen = Listen(urlsplit(soap[0].public_url).hostname or listen.host, listen.port)
    scheme = "ws" if websocket.tls is None else "wss"
    return f"{scheme}://{listen}{websocket.path.rstrip('/')}/{IDENTITY}"


def of(identity: str, known: Addresses) -> Addresses:
    """Return the addresses for the Charge Point `identity`, from `known`."""
    name = quote(identity, safe="")
    return Addresses(
        soap=known.soap,
        json=[url.replace(IDENTITY, name) for url in known.json],
        central_systems_to_bridge=known.central_systems_to_bridge,
    )
