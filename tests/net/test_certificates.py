"""The names in a certificate, as Python's ssl gives it, and as its octets have it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.net.certificates import end_of, names_in, names_of


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


def authority() -> tuple[rsa.RSAPrivateKey, x509.CertificateBuilder]:
    key = rsa.generate_private_key(65537, 2048)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return key, builder.issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the authority")]))


KEY, BUILDER = authority()
# X.520: 64 octets are the most of a common name, as `cryptography` counts them.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
    lambda text: len(text.encode()) <= 64
)
HOSTS = st.from_regex(r"[a-z0-9]{1,20}(\.[a-z]{2,8})?", fullmatch=True)


@settings(max_examples=30, deadline=None)
@given(st.lists(TEXT, max_size=2), st.lists(HOSTS, max_size=3), st.lists(HOSTS.map("urn:{}".format), max_size=2))
def test_what_is_read_from_octets(common: list[str], hosts: list[str], addresses: list[str]) -> None:
    """The same names, in the same order."""
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common]
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "fleet")
    builder = BUILDER.subject_name(x509.Name([organization, *names]))
    alternatives = [
        *map(x509.DNSName, hosts),
        *map(x509.UniformResourceIdentifier, addresses),
        x509.IPAddress(ip_address("10.0.0.1")),
        x509.RFC822Name("a@example.com"),
    ]
    builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    der = builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    assert names_in(der) == (*common, *hosts, *addresses)


def test_the_encodings_of_a_common_name() -> None:
    for kind in (_ASN1Type.UTF8String, _ASN1Type.BMPString, _ASN1Type.UniversalString):
        name = x509.NameAttribute(NameOID.COMMON_NAME, "CP é", _type=kind)
        der = BUILDER.subject_name(x509.Name([name])).sign(KEY, hashes.SHA256())
        assert names_in(der.public_bytes(serialization.Encoding.DER)) == ("CP é",)


@given(st.binary(max_size=100), st.data())
def test_octets_that_are_no_certificate(octets: bytes, data: st.DataObject) -> None:
    with pytest.raises(ValueError, match=r"no X\.509 certificate"):
        names_in(octets)
    whole = BUILDER.subject_name(x509.Name([])).sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    for damaged in (whole[: data.draw(st.integers(0, len(whole) - 1))], whole + octets[:1] + b"\x00"):
        with pytest.raises(ValueError, match=r"no X\.509 certificate"):
            names_in(damaged)


EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)
SECONDS = st.integers(1, int((datetime(9999, 12, 31, tzinfo=UTC) - EARLIEST).total_seconds()))


@settings(max_examples=20, deadline=None)
@given(SECONDS)
def test_the_end_of_a_certificate(seconds: int) -> None:
    """In two digits of the year up to 2049, in four from 2050 on."""
    end = EARLIEST + timedelta(seconds=seconds)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the authority")])
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), 1, EARLIEST, end)
    assert end_of(builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)) == end


@pytest.mark.parametrize("octets", [b"", b"x", b"0\x00", b"0\x80", bytes(50)])
def test_octets_without_an_end(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r"no X\.509 certificate"):
        end_of(octets)
