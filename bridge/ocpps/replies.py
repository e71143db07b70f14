"""What goes back over HTTP: results and Faults, in the envelope that the request's sender understands."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from bridge.errors import BridgeError, ErrorCode, FaultCode, Unavailable
from bridge.ocpp.losses import Loss
from bridge.ocpp.manners import Manners
from bridge.ocpp.messages import Response
from bridge.ocpp.rpc import CallError, Unanswered
from bridge.ocpps.codec import Codec
from bridge.ocpps.envelope import Envelope, Headers, Soap, anonymous, version_mismatch, write, write_fault

FAILED = "the bridge failed; its log says why"
_SERVICE_UNAVAILABLE = 503


class Reply(Struct, frozen=True, kw_only=True):
    """A response. `error` is set when it is a Fault; `losses` is what writing it cost."""

    status: int
    body: bytes
    content_type: str
    error: CallError | None = None
    losses: tuple[Loss, ...] = ()


class Replies:
    """Those of one service. `mint` gives a fresh UUID."""

    def __init__(self, codec: Codec, mint: Callable[[], str]) -> None:
        self._codec = codec
        self._mint = mint

    def result(self, asked: Envelope, action: str, payload: Response, manners: Manners) -> Reply:
        """The response of `action`. Raises MessageError for what SOAP cannot carry."""
        body, losses = self._codec.write_result(payload, action, manners)
        headers = self._headers(asked, self._codec.service.operations[action].response_action, manners)
        content = write(body, headers, asked.soap)
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
        headers = self._headers(asked, f"{asked.addressing.namespace}/fault", manners)
        return Reply(
            status=_SERVICE_UNAVAILABLE if away else fault.code.http_status,
            body=write(fault.element(asked.soap), headers, asked.soap),
            content_type=asked.soap.content_type,
            error=fault.error,
        )

    def mismatch(self, asked: Envelope, unique_id: str, manners: Manners) -> Reply:
        """The Fault for SOAP 1.1, where it is not spoken."""
        text = "SOAP 1.1 is not spoken here: OCPP-S demands SOAP 1.2"
        error = CallError.of(unique_id, BridgeError(ErrorCode.ProtocolError, text))
        headers = self._headers(asked, f"{asked.addressing.namespace}/fault", manners)
        body = write(version_mismatch(text), headers, Soap.V11)
        # SOAP 1.1, section 6.2: a Fault travels with HTTP 500.
        return Reply(status=500, body=body, content_type=Soap.V11.content_type, error=error)

    def _headers(self, asked: Envelope, action: str, manners: Manners) -> Headers:
        addressing = asked.addressing
        return Headers(
            action=action,
            message_id=f"urn:uuid:{self._mint()}",
            relates_to=addressing.message_id,
            to=anonymous(addressing.namespace),
            namespace=addressing.namespace,
            must_understand=manners.must_understand,
        )
