"""What a stranger's client makes of our replies: zeep as it comes, with its requests transport, on the WSDL served.

`responses` stands in for the network, and hands zeep the octets and statuses that the service replied with.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import requests
import responses
import zeep
from zeep.exceptions import Fault

from bridge.errors import ErrorCode, MessageError, Unavailable
from bridge.ocpp.messages import HeartbeatResponse
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Unanswered
from bridge.ocpps import envelope, wsdl
from bridge.ocpps.replies import Reply
from bridge.ocpps.service import PendingRequests, SoapContext, SoapService

URL = "http://bridge.example/services/CentralSystemService"
NOW = "2026-11-29T08:15:00Z"
_numbers = count(1)
SERVICE = SoapService(
    wsdl.load(wsdl.folder_of("1.6") / "CentralSystemService.wsdl"), lambda: f"minted-{next(_numbers)}"
)


def answering(answer: Answer | Exception) -> Callable[[requests.PreparedRequest], Any]:
    """The service, which answers each Call so."""

    pending = PendingRequests()

    def handle(key: str, call: Call) -> None:
        if isinstance(answer, Exception):
            raise answer
        pending.answer(key, answer)

    def serve(request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        replies: list[Reply] = []
        assert isinstance(request.body, bytes)
        asked = SoapContext(envelope.read(request.body), "hop-1", False, handle, key="1/1", pending=pending)
        SERVICE.answer(asked, replies.append)
        (reply,) = replies
        return reply.status, {"Content-Type": reply.content_type, **dict(reply.headers)}, reply.body

    return serve


def heartbeat() -> Any:
    client: Any = zeep.Client(f"{URL}?wsdl")  # type: ignore[no-untyped-call]
    return client.service.Heartbeat(_soapheaders={"ChargeBoxIdentity": "CP 1"})


@pytest.fixture
def network() -> Any:
    with responses.RequestsMock() as mock:
        mock.get(f"{URL}?wsdl", body=SERVICE.service.describe(URL), content_type="text/xml")
        yield mock


def test_a_result(network: responses.RequestsMock) -> None:
    result = CallResult(unique_id="1", payload=HeartbeatResponse(currentTime=NOW))
    network.add_callback(responses.POST, URL, answering(result))
    assert heartbeat().isoformat() == NOW.replace("Z", "+00:00")


@pytest.mark.parametrize(
    ("answer", "status", "code", "text"),
    [
        (MessageError(ErrorCode.PropertyConstraintViolation, "too long", "idTag"), 400, "Sender", "idTag: too long"),
        (CallError(unique_id="1", code="GenericError", description="jammed"), 500, "Receiver", "jammed"),
        (Unanswered(unique_id="1", reason="it cannot be reached"), 503, "Receiver", "it cannot be reached"),
        (Unavailable("the bridge is busy"), 503, "Receiver", "the bridge is busy"),
    ],
)
def test_a_fault(
    network: responses.RequestsMock, answer: Answer | Exception, status: int, code: str, text: str
) -> None:
    network.add_callback(responses.POST, URL, answering(answer))
    with pytest.raises(Fault) as raised:
        heartbeat()
    assert raised.value.code.endswith(code)
    assert text in raised.value.message
    assert network.calls[-1].response.status_code == status  # type: ignore[union-attr]


@pytest.mark.parametrize(("status", "body"), [(302, ""), (503, "<html>busy</html>")])
def test_what_the_bridge_never_sends_is_no_answer(network: responses.RequestsMock, status: int, body: str) -> None:
    """A proxy between the two may send it. zeep raises, and knows of no reason."""
    network.post(URL, status=status, body=body, content_type="text/html")
    with pytest.raises(zeep.exceptions.Error) as raised:
        heartbeat()
    assert getattr(raised.value, "code", None) is None
