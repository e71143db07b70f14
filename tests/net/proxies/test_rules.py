"""What a listener's rules make of a connection and of a request on it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

import pytest

from bridge.net.proxies.rules import DIRECT, Misled, Origin, Proxies

NETWORKS = (ip_network("10.0.0.0/8"),)
BY_HEADER = Proxies(networks=NETWORKS, mode="forwarded")
BY_LINE = Proxies(networks=NETWORKS, mode="protocol")
CERTIFIED = Proxies(networks=NETWORKS, mode="forwarded", certificate_header="X-Client-Cert", certificate_format="pem")
OWN = Origin(address="192.0.2.1", port=5, certificate=("own",), secure=True)
PROXY = Origin(address="10.0.0.1", port=6, proxy="10.0.0.1", certificate=("proxy",))


def lines(**fields: str) -> object:
    def values(name: str) -> Sequence[str]:
        return [value for field, value in fields.items() if field.replace("_", "-") == name.lower()]

    return values


def origin(proxies: Proxies, connection: Origin, **fields: str) -> Origin:
    return proxies.origin(connection, lines(**fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("proxies", [DIRECT, BY_HEADER, BY_LINE, CERTIFIED])
def test_who_comes_by_itself_is_itself(proxies: Proxies) -> None:
    said = {"x_forwarded_for": "192.0.2.9", "forwarded": "nonsense", "x_client_cert": "nonsense"}
    assert origin(proxies, OWN, **said) is OWN
    assert not proxies.shares(OWN)


def test_a_proxy_speaks_for_each_request() -> None:
    """And the certificate on the connection is its own."""
    assert BY_HEADER.shares(PROXY)
    found = origin(BY_HEADER, PROXY, x_forwarded_for="192.0.2.9", x_forwarded_proto="https")
    assert found == Origin(address="192.0.2.9", proxy="10.0.0.1", secure=True)
    assert origin(BY_HEADER, PROXY) == Origin(address="10.0.0.1", proxy="10.0.0.1")


def test_a_header_means_nothing_where_a_line_says_it() -> None:
    """And the certificate on the connection is the peer's, which the bridge has verified."""
    announced = Origin(address="192.0.2.9", port=7, proxy="10.0.0.1", certificate=("own",), secure=True)
    assert origin(BY_LINE, announced, x_forwarded_for="203.0.113.1") == announced
    assert not BY_LINE.shares(announced)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"x_client_cert": "x"}, "the header X-Client-Cert of the proxy holds no certificate"),
        ({"x_forwarded_for": "x"}, "the headers of the proxy cannot be read"),
        ({"forwarded": "x"}, "the headers of the proxy cannot be read: Forwarded is not as RFC 7239"),
    ],
)
def test_what_cannot_be_used_says_why(fields: dict[str, str], reason: str) -> None:
    with pytest.raises(Misled, match=reason):
        origin(CERTIFIED, PROXY, **fields)


def test_no_certificate_is_none() -> None:
    assert origin(CERTIFIED, PROXY, x_forwarded_for="192.0.2.9", x_client_cert="").certificate is None
    assert origin(CERTIFIED, PROXY, x_forwarded_for="192.0.2.9").certificate is None


def test_who_is_one() -> None:
    assert BY_HEADER.include("10.1.2.3") and BY_HEADER.include("::ffff:10.1.2.3")
    assert not BY_HEADER.include("192.0.2.1") and not BY_HEADER.include("") and not DIRECT.include("10.1.2.3")
