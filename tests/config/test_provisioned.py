"""Settings that come through the API: read as those of the file, with the same sentences about what is wrong."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from bridge.admin.provisioning import ChargePointChanges, ChargePointSettings, TlsSettings
from bridge.config import ChargePoint, ClientTLS, Secret
from bridge.config.provisioned import identity_fault, read, restored
from tests.config import Files


def test_the_api_has_each_key_of_the_file_with_its_default() -> None:
    assert (
        ChargePointSettings.__struct_fields__ == ChargePoint.__struct_fields__ == ChargePointChanges.__struct_fields__
    )
    assert TlsSettings.__struct_fields__ == ClientTLS.__struct_fields__
    for name in TlsSettings.__struct_fields__:
        assert getattr(TlsSettings(), name) == getattr(ClientTLS(), name)


def test_what_is_read() -> None:
    raw = {"callback_url": "http://10.1.2.3/", "password": "x", "networks": ["10.0.0.0/8"], "tls": {"ciphers": ""}}
    own, faults = read("CP 1", raw | {"callback_url": "https://10.1.2.3/"})
    assert faults == []
    assert own.networks == (ip_network("10.0.0.0/8"),)
    assert own.password == Secret(b"x") and own.tls == ClientTLS()
    assert restored(raw) is not None


@pytest.mark.parametrize(
    ("identity", "raw", "key", "text"),
    [
        ("", {}, "", "the identity is empty"),
        ("A:B", {"password": "x"}, "password", 'the identity "A:B" holds a colon'),
        ("A", {"password": "scrypt$1"}, "password", "expected scrypt$N$r$p$salt$hash"),
        ("A", {"central_system_password": "scrypt$1"}, "central_system_password", "is a hash, but it has to be sent"),
        ("A", {"token": "short1"}, "token", "expected at least 24 letters"),
        ("A", {"networks": ["10.0.0.1/8"]}, "networks[0]", "expected a network such as 10.1.0.0/16"),
        ("A", {"callback_url": "10.1.2.3"}, "callback_url", "expected an address that begins with http://"),
        ("A", {"central_system_identity": " x"}, "central_system_identity", "has blanks around it"),
        ("A", {"tls": {"ca": "missing.pem"}}, "tls.ca", "there is no such file"),
        ("A", {"tls": {"minimum_version": "1.4"}}, "tls.minimum_version", "expected one of"),
        ("A", {"tls": {}, "callback_url": "http://h/"}, "tls", "is of no use"),
    ],
)
def test_what_cannot_work(files: Files, identity: str, raw: dict[str, Any], key: str, text: str) -> None:
    _, (fault,) = read(identity, raw)
    assert fault.key == key and fault.text.startswith(text)
    assert "short1" not in fault.text


def test_a_tls_file_that_is_gone_does_not_make_stored_settings_unreadable() -> None:
    raw = {"tls": {"ca": "gone.pem"}}
    assert read("A", raw)[1] != []
    assert restored(raw) == ChargePoint(tls=ClientTLS(ca="gone.pem"))
    assert restored({"of another version": 1}) is None
    assert restored({"networks": "10.0.0.0/8"}) is None


def test_identities() -> None:
    for identity in ("CP 1", "a/b", "Köln", "x" * 255):
        assert identity_fault(identity) == ""
    for identity in ("", " ", "x" * 256, "\n", ".."):
        assert identity_fault(identity)
