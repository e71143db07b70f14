"""Help texts of the OCPP-S listener: the addresses that it serves, for people and for requests to a wrong address."""

from __future__ import annotations

import html
from collections.abc import Collection

from bridge.net.endpoints import SoapEndpoint


class EndpointDirections:
    """The help texts of one listener.

    Args:
        soap_endpoints: The endpoints of the listener.
        public_url: The URL of the listener as peers see it.
        elsewhere: The URL of the OCPP-J listener.
    """

    def __init__(self, soap_endpoints: Collection[SoapEndpoint], public_url: str, elsewhere: str) -> None:
        self._endpoints = soap_endpoints
        self._public_url = public_url.rstrip("/")
        self._elsewhere = elsewhere

    def url(self, soap_endpoint: SoapEndpoint) -> str:
        """Return the URL to configure in a peer of `soap_endpoint`."""
        return self._public_url + soap_endpoint.path

    def text(self, why: str) -> str:
        """Return the text of a response to a request with a wrong path or method: `why`, then the right addresses."""
        lines = [
            why,
            "",
            *(f"SOAP Charge Points (OCPP-S): POST {self.url(soap_endpoint)}" for soap_endpoint in self._endpoints),
        ]
        lines.append(f"JSON Charge Points (OCPP-J): {self._elsewhere}")
        return "\n".join(lines) + "\n"

    def page(self) -> str:
        """Return the HTML page of /services: the address and the WSDL of each service."""
        rows = "".join(
            f"<li>{html.escape(name)} {html.escape(version)}: <code>{html.escape(self.url(soap_endpoint))}</code> "
            f'(<a href="{html.escape(soap_endpoint.path)}?wsdl&amp;version={html.escape(version)}">WSDL</a>)</li>'
            for soap_endpoint in self._endpoints
            for version, service in soap_endpoint.services.items()
            for name in (service.service.name,)
        )
        return (
            "<!doctype html><meta charset=utf-8><title>ocpp-bridge</title><h1>ocpp-bridge</h1>"
            f"<p>Addresses to type into a Charge Point:</p><ul>{rows}"
            f"<li>OCPP-J: <code>{html.escape(self._elsewhere)}</code></li></ul>"
        )
