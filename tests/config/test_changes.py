"""What a bridge that runs cannot take over, by the keys that a person wrote."""

from __future__ import annotations

import pytest

from bridge.config.changes import needs_restart
from tests.config import Files

TWO = "[[soap]]\nlisten = '127.0.0.1:1'\n[[soap]]\nlisten = '127.0.0.1:2'\n"
TLS = "[soap.tls]\ncertificate = 'a.pem'\nkey = 'a.pem'\n"


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [
        ("", "", []),
        ("", "[gateway]\ncall_timeout = 5\n[store]\nurl = 'memory:'", ["gateway.call_timeout", "store.url"]),
        ("", "[admin]\nlisten = '127.0.0.1:5'\ntoken = 't'", ["admin.listen"]),
        ("", "[soap]\nmax_body = 5\n[websocket]\npath = '/x'", ["soap.max_body", "websocket.path"]),
        ("", "[soap]\npeers = ['10.0.0.0/8']\ncallback_networks = ['10.0.0.0/8']", []),
        ("", "[soap]\nproxies = ['10.0.0.0/8']\nproxy = 'protocol'", ["soap.proxies", "soap.proxy"]),
        ("", "[websocket]\nproxies = ['10.0.0.0/8']\nproxy = 'forwarded'", ["websocket.proxies", "websocket.proxy"]),
        ("", "[admin]\nproxies = ['10.0.0.0/8']\nproxy = 'forwarded'", ["admin.proxies", "admin.proxy"]),
        ("", "[charge_points.A]\ncallback_url = 'http://cp.example/'", []),
        ("", "[[events]]\nname = 'a'\nkind = 'mqtt'\nurl = 'mqtt://x'", []),
        ("", "[[policies]]\nfrom = 'central_system'\naction = 'Reset'\ndo = 'refuse'", []),
        ("", TWO, ["soap"]),
        (TWO, TWO.replace(":2", ":3"), ["soap[1].listen"]),
        ("", TLS, ["soap.tls"]),
        (TLS, "", ["soap.tls"]),
        (TLS, TLS + "minimum_version = '1.3'\nclient_ca = 'a.pem'", []),
    ],
)
def test_what_differs(files: Files, before: str, after: str, keys: list[str]) -> None:
    files.write("", "a.pem")
    assert needs_restart(files.load(before), files.load(after)) == keys
