"""The names in a certificate, as Python's ssl gives it."""

from __future__ import annotations

import pytest

from bridge.certificates import names_of


@pytest.mark.parametrize("certificate", [None, {}])
def test_none_was_shown(certificate: dict[str, object] | None) -> None:
    assert names_of(certificate) is None


def test_the_subject_and_its_alternatives() -> None:
    certificate = {
        "subject": ((("countryName", "NL"),), (("organizationName", "fleet"), ("commonName", "CP 1"))),
        "issuer": ((("commonName", "the authority"),),),
        "subjectAltName": (("DNS", "cp1.example"), ("IP Address", "10.0.0.1"), ("URI", "urn:cp:1"), ("email", "a@b")),
        "serialNumber": "01",
    }
    assert names_of(certificate) == ("CP 1", "cp1.example", "urn:cp:1")


def test_one_that_names_nobody() -> None:
    assert names_of({"subject": ((("organizationName", "fleet"),),), "version": 3}) == ()
