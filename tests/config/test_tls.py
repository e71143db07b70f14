"""Tables of TLS that cannot work."""

from __future__ import annotations

import pytest

from tests.config import Files

ROUTE = '[[routes]]\ncharge_point = "*"\ncentral_system = "main"\n'
WSS = '[central_systems.main]\nurl = "wss://cs/ocpp"\n[central_systems.main.tls]\n'
PLAIN = WSS.replace("wss:", "ws:")
LISTENER = "[soap.tls]\ncertificate = 'a.pem'\nkey = 'a.pem'\n"
CALLED = "[charge_points.A]\ncallback_url = 'https://cp/'\n[charge_points.A.tls]\n"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (LISTENER + "client_ca = 'a.pem'\nclient_certificate = 'asked'", None),
        (LISTENER + "client_certificate = 'asked'", "soap.tls.client_certificate: needs client_ca"),
        (LISTENER + "client_certificate = 'x'", "soap.tls.client_certificate: expected one of"),
        (LISTENER + "minimum_version = '1.0'", None),
        (WSS + "ca = 'a.pem'\ncertificate = 'a.pem'\nkey = 'a.pem'\nciphers = 'HIGH'\n" + ROUTE, None),
        (WSS + ROUTE, None),
        (PLAIN + ROUTE, "central_systems.main.tls: is of no use: the address does not begin with https:// or wss://"),
        (WSS + "ca = 'gone'\n" + ROUTE, "central_systems.main.tls.ca: there is no such file"),
        (WSS + "certificate = 'a.pem'\n" + ROUTE, "central_systems.main.tls.key: missing"),
        (WSS + "key = 'a.pem'\n" + ROUTE, "central_systems.main.tls.certificate: missing"),
        (WSS + "ciphers = 'none such'\n" + ROUTE, "central_systems.main.tls.ciphers: OpenSSL knows none of"),
        (WSS + "verify = false\n" + ROUTE, "central_systems.main.tls.verify: unknown key"),
        (CALLED + "ca = 'a.pem'", None),
        (CALLED.replace("https:", "http:"), "charge_points.A.tls: is of no use"),
        ("[charge_points.A.tls]\nca = 'a.pem'", None),
        ("[charge_points.A.tls]\nca = 'gone'", "charge_points.A.tls.ca: there is no such file"),
    ],
)
def test_tables(files: Files, content: str, complaint: str | None) -> None:
    files.write("", "a.pem")
    told = [line.removeprefix("conf.toml: ") for line in files.complaints(content)]
    assert len(told) == (complaint is not None)
    assert all(line.startswith(complaint or "") for line in told)
