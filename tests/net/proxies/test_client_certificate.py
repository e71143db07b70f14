"""A client certificate from a header: read in each of the ways that proxies write it, the leaf only."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from typing import get_args
from urllib.parse import quote

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from bridge.net.proxies.client_certificate import Format, NoCertificate, names


@cache
def pem(name: str) -> str:
    blob = trustme.CA().issue_cert(f"{name}.example", common_name=name).cert_chain_pems[0]
    return blob.bytes().decode()


def base64(text: str) -> str:
    return b64encode(ssl.PEM_cert_to_DER_cert(text)).decode()


def encoded(text: str) -> str:
    return quote(text, safe="")


LEAF, OTHER = pem("CP1"), pem("authority")
BARE = "".join(LEAF.split("\n")[1:-2])  # as Traefik writes it

READ: list[tuple[Format, str]] = [
    ("pem", encoded(LEAF)),
    ("pem", encoded(LEAF + OTHER)),
    ("pem", encoded(BARE)),
    ("pem", f"{encoded(BARE)},{encoded(base64(OTHER))}"),
    ("pem", LEAF.replace("\n", "\n\t")),  # as old nginx does
    ("pem", LEAF.replace("\n", " ")),
    ("der", base64(LEAF)),
    ("rfc9440", f":{base64(LEAF)}:"),
    ("rfc9440", f" :{base64(LEAF)}:;a=1 "),
    ("xfcc", f'Cert="{encoded(LEAF)}"'),
    ("xfcc", f'By=spiffe://x;Hash=00;Subject="CN=\\"a, b\\";Cert=";CERT="{encoded(LEAF)}";URI=urn:x;DNS=a;DNS=b'),
    ("xfcc", f'Hash=00;Chain="{encoded(LEAF + OTHER)}"'),
    ("xfcc", f'Cert="{encoded(OTHER)}";Hash=1,Hash=2;Cert="{encoded(LEAF)}"'),
    ("xfcc", f'Cert="{encoded(LEAF)}";Chain="{encoded(OTHER)}"'),
]


@pytest.mark.parametrize(("form", "text"), READ)
def test_the_names_in_the_leaf(form: Format, text: str) -> None:
    assert names(text, form) == ("CP1", "cp1.example")


@pytest.mark.parametrize("form", get_args(Format))
def test_an_empty_header_shows_none(form: Format) -> None:
    assert names("", form) is names(" \t", form) is None


@pytest.mark.parametrize(
    ("form", "text"),
    [
        *[(form, text) for form in get_args(Format) for text in ("x", "-", "(null)", ":", '"', ",", ";", "\x00", "é")],
        ("der", base64(OTHER)[:-8]),
        ("rfc9440", f":{base64(OTHER)[:-8]}:"),
        ("der", f"{base64(LEAF)}AAAA"),
        ("der", f"{base64(LEAF)},{base64(OTHER)}"),
        ("der", encoded(LEAF)),
        ("pem", f"-----BEGIN CERTIFICATE-----{BARE}"),
        ("pem", "-----BEGIN PRIVATE KEY-----AAAA-----END PRIVATE KEY-----"),
        ("pem", "%FF%FE"),
        ("rfc9440", base64(LEAF)),
        ("rfc9440", f":{base64(LEAF)}:, :{base64(OTHER)}:"),
        ("xfcc", f'Cert="{encoded(LEAF)}",Hash=1'),
        ("xfcc", f'Cert="{encoded(LEAF)}'),
        ("xfcc", encoded(LEAF)),
    ],
)
def test_what_is_no_certificate(form: Format, text: str) -> None:
    with pytest.raises(NoCertificate):
        names(text, form)


@given(st.sampled_from(get_args(Format)), st.text(max_size=80))
def test_anything_is_a_certificate_or_not(form: Format, text: str) -> None:
    try:
        assert names(text, form) is None
    except NoCertificate as error:
        assert str(error).isprintable()


@given(st.sampled_from(READ), st.data())
def test_one_that_was_damaged(sample: tuple[Format, str], data: st.DataObject) -> None:
    form, text = sample
    at = data.draw(st.integers(0, len(text) - 1))
    damaged: Callable[[str], str] = data.draw(st.sampled_from([lambda t: t[:at], lambda t: t[:at] + "A" + t[at + 1 :]]))
    try:
        names(damaged(text), form)
    except NoCertificate as error:
        assert str(error).isprintable()
