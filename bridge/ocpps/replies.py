"""What goes back over HTTP: results and Faults, in the envelope that the request's sender understands."""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree
from msgspec import Struct

from bridge.errors import BridgeError, ErrorCode, FaultCode, Unavailable
from bridge.ocpp.losses import Loss
from bridge.ocpp.manners import Manners
from bridge.ocpp.messages import Response
from bridge.ocpp.rpc import CallError, Unanswered
from bridge.ocpps.codec import Codec
from bridge.ocpps.envelope import Envelope, Soap, version_mismatch, write_answer, write_fault

FAILED = "the bridge failed; its log says why"
_SERVICE_UNAVAILABLE = 503


class Reply(Struct, frozen=True, kw_only=True):
    """A response. `error` is set when it is a Fault; `losses` is what writing it cost. `closes`: the connection goes no
    further."""

    status: int
    body: bytes
    content_type: str
    error: CallError | None = None
    losses: tuple[Loss, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    closes: bool = False


class Replies:
    """Those of one service. `mint` gives a fresh UUID."""

    def __init__(self, codec: Codec, mint: Callable[[], str]) -> None:
        self._codec = codec
        self._mint = mint

    def result(self, asked: Envelope, action: str, payload: Response, manners: Manners) -> Reply:
        """The response of `action`. Raises MessageError for what SOAP cannot carry."""
        body, losses = self._codec.write_result(payload, action, manners)
        content = self._around(body, asked, self._codec.service.operations[action].response_action, manners)
        return Reply(status=200, body=content, content_type=asked.soap.content_type, losses=losses)

    def refusal(self, asked: Envelope, unique_id: str, error: BridgeError, manners: Manners) -> Reply:
        """The Fault for our own refusal."""
        if isinstance(error, Unavailable):
            unanswered = Unanswered(unique_id=unique_id, reason=error.description)
            return self.failure(asked, unanswered, None, manners)
        return self.failure(asked, CallError.of(unique_id, error), error.fault, manners)

    def failure(
        self, asked: Envelope, answer: CallError | Unanswered, code: FaultCode | None, manners: Manners
    ) -> Reply:
        """The Fault for an answer that is no result."""
        fault = write_fault(answer, self._codec.service.namespace, code)
        # DESIGN section 5: a Charge Point whose Central System is away is told so by HTTP, too.
        away = isinstance(answer, Unanswered)
        return Reply(
            status=_SERVICE_UNAVAILABLE if away else fault.code.http_status,
            body=self._around(fault.element(asked.soap), asked, f"{asked.addressing.namespace}/fault", manners),
            content_type=asked.soap.content_type,
            error=fault.error,
        )

    def mismatch(self, asked: Envelope, unique_id: str, manners: Manners) -> Reply:
        """The Fault for SOAP 1.1, where it is not spoken."""
        text = "SOAP 1.1 is not spoken here: OCPP-S demands SOAP 1.2"
        error = CallError.of(unique_id, BridgeError(ErrorCode.ProtocolError, text))
        body = self._around(version_mismatch(text), asked, f"{asked.addressing.namespace}/fault", manners)
        # SOAP 1.1, section 6.2: a Fault travels with HTTP 500.
        return Reply(status=500, body=body, content_type=Soap.V11.content_type, error=error)

    def _around(self, body: etree._Element | bytes, asked: Envelope, action: str, manners: Manners) -> bytes:
        message_id = f"urn:uuid:{self._mint()}"
        return write_answer(body, asked, action, message_id, must_understand=manners.must_understand)
