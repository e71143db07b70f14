"""How the path of a request is read, and how it is shown: without what may be a token."""

from __future__ import annotations

import pytest

from bridge.access import paths


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/ocpp/CP1", "/ocpp/CP1"),
        ("/services/CentralSystemServices", "/services/CentralSystemServices"),
        ("/ocpp/Zq3vJx8wTn5rKp2mLs7yBd4c/CP1", "/ocpp/***/CP1"),
        ("/ocpp/Zq3vJx8wTn5r/CP1", "/ocpp/***/CP1"),
        ("/ocpp/%5Aq3vJx8wTn5rKp2mLs7yBd4c/CP1", "/ocpp/***/CP1"),
        ("/known-0123456789/x", "/known-0123456789/x"),
        ("/" + "x" * 500, "/" + "x" * 199),
    ],
)
def test_paths(path: str, shown: str) -> None:
    assert paths.shown(path, ["known-0123456789"]) == shown


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/ocpp/CP1", "/ocpp/CP1"),
        ("/ocpp/CP1?a=http://b//c", "/ocpp/CP1"),
        ("ws://gw:9000/ocpp/CP1", "/ocpp/CP1"),
        ("WSS://GW/ocpp/CP1/?x", "/ocpp/CP1"),
        ("http://u:p@[::1]:80//ocpp///CP1//", "/ocpp/CP1"),
        ("https://gw?x=/ocpp/CP1", "/"),
        ("ws://gw", "/"),
        ("//ocpp//CP1", "/ocpp/CP1"),
        ("/", "/"),
        ("/ocpp/A%2F%2FB", "/ocpp/A%2F%2FB"),  # slashes of the identity itself
        ("/ocpp/http://CP1", "/ocpp/http:/CP1"),
        ("ftp://gw/ocpp/CP1", "ftp:/gw/ocpp/CP1"),  # of no scheme that is served here
        ("*", "*"),
    ],
)
def test_the_path_of_a_request_target(target: str, path: str) -> None:
    assert paths.of_target(target) == path


@pytest.mark.parametrize(
    ("target", "authority"),
    [("/x", None), ("//evil/x", None), ("*", None), ("http://gw:1/x", "gw:1"), ("HTTPS://[::1]?x", "[::1]")],
)
def test_the_authority_of_a_request_target(target: str, authority: str | None) -> None:
    assert paths.authority_of(target) == authority
