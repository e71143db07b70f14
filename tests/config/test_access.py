"""Ways in that nobody can take are complaints; what may not be meant is a caution."""

from __future__ import annotations

import pytest

from bridge.config import cautions
from tests.config import Files

TOKEN = "0123456789-0123456789-abc"
SYSTEM = '[[routes]]\ncharge_point = "*"\ncentral_system = "main"\n[central_systems.main]\n'
POINT = '[charge_points."CP 1"]\n'

BEHIND = """
[soap]
proxies = ["10.0.0.0/8"]
proxy = "forwarded"
proxy_certificate_header = "X-Client-Cert"
proxy_certificate_format = "pem"
"""


NOBODY = "routes[0].authentication: nobody gets in by this file: no Charge Point of this route"


def route(asks: str, more: str = "") -> str:
    central = '[central_systems.main]\nurl = "ws://cs"\n'
    return f'{central}[[routes]]\ncharge_point = "*"\ncentral_system = "main"\nauthentication = "{asks}"\n{more}\n'


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (route("certificate"), "routes[0].authentication: no listener asks for certificates"),
        (f'{POINT}token = "short1"', 'charge_points."CP 1".token: expected at least 24 letters, digits'),
        (f'{POINT}token = "no-digit-among-these-letters"', 'charge_points."CP 1".token: expected at least 24'),
        (f'{POINT}token = "0123456789/0123456789/abc"', 'charge_points."CP 1".token: expected at least 24'),
        (f'{POINT}password = "scrypt$1"', 'charge_points."CP 1".password: expected scrypt$N$r$p$salt$hash'),
        (f'{POINT}central_system_password = "scrypt$1"', 'charge_points."CP 1".central_system_password: is a hash'),
        (
            SYSTEM + 'url = "ws://cs"\npassword = "x"',
            "central_systems.main.password: is for Central Systems that speak SOAP",
        ),
        (
            SYSTEM + 'url = "ws://cs"\nnetworks = ["10.0.0.0/8"]',
            "central_systems.main.networks: is for Central Systems that speak SOAP",
        ),
        ('[charge_points."\uff23P"]', 'charge_points."\uff23P": no Charge Point has an identity'),
        ('[charge_points.".."]', 'charge_points."..": no Charge Point has an identity'),
        ('[charge_points."\u00fc"]\n[charge_points."u\u0308"]', "is the same Charge Point as"),
    ],
)
def test_what_cannot_work(files: Files, content: str, complaint: str) -> None:
    [found] = files.complaints(content)
    assert complaint in found
    assert "short1" not in found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", []),
        (route("basic") + f'{POINT}password = "x"', ["routes[0].authentication: Charge Points without a password"]),
        (route("basic", 'accept = "listed"') + f'{POINT}password = "x"', []),
        (route("basic"), [f"{NOBODY} has a password in it"]),
        (route("basic", 'accept = "listed"') + POINT, [f"{NOBODY} has a password in it"]),
        (route("network"), [f"{NOBODY} has networks in it"]),
        (route("network", 'networks = ["10.0.0.0/8"]'), []),
        (
            route("token", 'accept = "listed"') + f'{POINT}token = "{TOKEN}"',
            ["routes[0].authentication: a token on a listener without TLS"],
        ),
        (SYSTEM + 'url = "http://cs"\nprotocol = "ocpp1.6s"\npassword = "x"', []),
        (
            SYSTEM + 'url = "http://cs"\nprotocol = "ocpp1.2s"\npassword = "x"',
            ["central_systems.main.protocol: serves only Charge Points that speak OCPP 1.2"],
        ),
        (f'{POINT}token = "{TOKEN}"', ['charge_points."CP 1".token: is not asked for']),
        (f'{POINT}networks = ["10.0.0.0/8"]', ['charge_points."CP 1".networks: is not asked for']),
        (f'{POINT}password = "x"', []),
        (route("certificate") + BEHIND, []),
        (
            BEHIND.replace("forwarded", "protocol"),
            ["soap.proxy_certificate_header: a proxy that only"],
        ),
        (BEHIND.replace("soap", "admin"), ["admin.proxy_certificate_header: is of no use"]),
        (route("none") + f'{POINT}password = "x"', ['charge_points."CP 1".password: is not asked for']),
    ],
)
def test_what_may_not_be_meant(files: Files, content: str, said: list[str]) -> None:
    found = list(cautions(files.load(content)))
    assert len(found) == len(said)
    assert all(line.startswith(start) for line, start in zip(found, said, strict=True))
    assert not any(TOKEN in line for line in found)
