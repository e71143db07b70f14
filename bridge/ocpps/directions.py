"""What people are told at the OCPP-S port: what is served here, and where to go who is at the wrong door."""

from __future__ import annotations

import html
from collections.abc import Collection

from bridge.ocpps.door import Door


class Directions:
    """Of one listener. `public_url` is its address as others see it, `elsewhere` that of the OCPP-J listener."""

    def __init__(self, doors: Collection[Door], public_url: str, elsewhere: str) -> None:
        self._doors = doors
        self._public_url = public_url.rstrip("/")
        self._elsewhere = elsewhere

    def url(self, door: Door) -> str:
        """The address to type into a peer."""
        return self._public_url + door.path

    def text(self, why: str) -> str:
        """For somebody at the wrong door."""
        lines = [why, "", *(f"SOAP Charge Points (OCPP-S): POST {self.url(door)}" for door in self._doors)]
        lines.append(f"JSON Charge Points (OCPP-J): {self._elsewhere}")
        return "\n".join(lines) + "\n"

    def page(self) -> str:
        """For somebody with a browser."""
        rows = "".join(
            f"<li>{html.escape(name)} {html.escape(version)}: <code>{html.escape(self.url(door))}</code> "
            f'(<a href="{html.escape(door.path)}?wsdl&amp;version={html.escape(version)}">WSDL</a>)</li>'
            for door in self._doors
            for version, service in door.services.items()
            for name in (service.service.name,)
        )
        return (
            "<!doctype html><meta charset=utf-8><title>ocpp-bridge</title><h1>ocpp-bridge</h1>"
            f"<p>Addresses to type into a Charge Point:</p><ul>{rows}"
            f"<li>OCPP-J: <code>{html.escape(self._elsewhere)}</code></li></ul>"
        )
