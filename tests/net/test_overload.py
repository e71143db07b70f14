"""The refusal that costs nothing: what it says, and in which words."""

from __future__ import annotations

import pytest

from bridge.gateway.services import Services, load_services, served
from bridge.net.endpoints import Admission, SoapEndpoint, SoapSender
from bridge.net.overload import OverloadResponse
from bridge.ocpp.actions import Party
from bridge.ocpps import envelope
from bridge.ocpps.envelope import SoapVersion

REASON = "the bridge is busy"


def door(services: Services, caller: Party) -> SoapEndpoint:
    async def receive(arrival: SoapSender) -> Admission:
        raise AssertionError("nothing is read")

    return SoapEndpoint(path=f"/{caller}", caller=caller, services=served(services), receive=receive)


@pytest.fixture(scope="module")
def busy() -> OverloadResponse:
    central_system, charge_point = load_services("")
    return OverloadResponse(
        [door(central_system, Party.CHARGE_POINT), door(charge_point, Party.CENTRAL_SYSTEM)], REASON
    )


def parts(response: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = response.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    assert status == "HTTP/1.1 503 Service Unavailable"
    headers = dict(line.split(": ") for line in lines)
    assert int(headers["Content-Length"]) == len(body)
    return headers, body


@pytest.mark.parametrize("soap", SoapVersion)
@pytest.mark.parametrize(
    "namespace",
    ["urn://Ocpp/Cs/2010/08/", "urn://Ocpp/Cs/2012/06/", "urn://Ocpp/Cs/2015/10/", "urn://Ocpp/Cp/2015/10/"],
)
def test_it_is_a_fault_in_the_words_in_which_it_was_asked(
    busy: OverloadResponse, soap: SoapVersion, namespace: str
) -> None:
    asked = f'POST / HTTP/1.1\r\n\r\n<s:Envelope xmlns:s="{soap.value}"><heartbeatRequest xmlns="{namespace}"/>'
    headers, body = parts(busy(asked.encode(), True))
    assert headers["Content-Type"] == soap.content_type
    assert headers["Retry-After"] == "10"
    assert "Connection" not in headers
    read = envelope.read(body)
    fault = envelope.read_fault(read.body)
    assert read.soap is soap
    assert fault is not None
    error = fault.as_error("1")
    assert (error.code, REASON in error.description) == ("InternalError", True)
    assert f'"{namespace}"'.encode() in body


def test_of_a_request_that_says_nothing_of_itself_the_first_service_is_taken(busy: OverloadResponse) -> None:
    _, body = parts(busy(b"POST / HTTP/1.1\r\n\r\nhello", True))
    assert envelope.read(body).soap is SoapVersion.V12
    assert envelope.read_fault(envelope.read(body).body) is not None


def test_it_says_when_the_connection_is_closed(busy: OverloadResponse) -> None:
    headers, _ = parts(busy(b"POST / HTTP/1.1\r\n\r\n", False))
    assert headers["Connection"] == "close"
