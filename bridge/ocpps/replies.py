"""The HTTP responses to SOAP requests: results and Faults, in the SOAP version of the request."""

from __future__ import annotations

import math
from collections.abc import Callable

from lxml import etree
from msgspec import Struct

from bridge.errors import BridgeError, FaultCode, Unavailable
from bridge.ocpp.device_profile import DeviceProfile
from bridge.ocpp.losses import Loss
from bridge.ocpp.messages import Response
from bridge.ocpp.rpc import CallError, Failure, Unanswered, Verbatim
from bridge.ocpps.codec import Codec
from bridge.ocpps.envelope import (
    Envelope,
    EnvelopeCode,
    EnvelopeFault,
    blocks_of,
    write_answer,
    write_fault,
)

RETRY_AFTER = "Retry-After"
FAILED = "the bridge failed; its log says why"
_SERVICE_UNAVAILABLE = 503
# The default of Retry-After, in seconds, for a message that the bridge itself refused.
_RETRY_AFTER = 10.0


class Reply(Struct, frozen=True, kw_only=True):
    """An HTTP response.

    Attributes:
        status: The status code.
        body: The content.
        content_type: The value of Content-Type.
        error: The error of a Fault; None for any other response.
        losses: What could not be written in the response.
        headers: The names and values of further fields.
        closes: Whether the connection ends after the response.
    """

    status: int
    body: bytes
    content_type: str
    error: CallError | None = None
    losses: tuple[Loss, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    closes: bool = False


class Replies:
    """The responses of one service. `mint` returns a fresh UUID."""

    def __init__(self, codec: Codec, mint: Callable[[], str]) -> None:
        self._codec = codec
        self._mint = mint

    def result(
        self, asked: Envelope, action: str, payload: Response, profile: DeviceProfile, came: Verbatim | None = None
    ) -> Reply:
        """Return the HTTP response with the result of a Call.

        Args:
            asked: The envelope of the request.
            action: The action of the Call.
            payload: The result.
            profile: The settings for the Charge Point.
            came: The body of the result as it was received; it is passed on if it is in the version of this service.

        Raises:
            MessageError: SOAP cannot carry the result.
        """
        body, losses = self._codec.write_result(payload, action, profile, came)
        content = self._around(body, asked, self._codec.service.operations[action].response_action, profile)
        return Reply(status=200, body=content, content_type=asked.soap.content_type, losses=losses)

    def refusal(self, asked: Envelope, unique_id: str, error: BridgeError, profile: DeviceProfile) -> Reply:
        """Return the Fault for a message that the bridge itself refuses.

        Args:
            asked: The envelope of the request.
            unique_id: The UniqueId of the Call.
            error: The reason.
            profile: The settings for the Charge Point.
        """
        if isinstance(error, Unavailable):
            unanswered = Unanswered(
                unique_id=unique_id,
                reason=error.description,
                failure=Failure.REFUSED_HERE,
                retry_after=error.retry_after,
            )
            return self.failure(asked, unanswered, None, profile)
        code = error if isinstance(error, EnvelopeFault) else error.fault
        return self.failure(asked, CallError.of(unique_id, error), code, profile)

    def failure(
        self,
        asked: Envelope,
        answer: CallError | Unanswered,
        code: FaultCode | EnvelopeFault | None,
        profile: DeviceProfile,
    ) -> Reply:
        """Return the Fault for an answer that is no result.

        Args:
            asked: The envelope of the request.
            answer: The CALLERROR, or the link failure.
            code: The Code and Subcode; None for those of the CALLERROR's error code.
            profile: The settings for the Charge Point.
        """
        fault = write_fault(answer, self._codec.service.namespace, code, profile.prefix)
        blocks = blocks_of(code) if isinstance(code, EnvelopeFault) else ""
        # DESIGN section 5: the HTTP status, too, says that the Central System of a Charge Point is away.
        away = isinstance(answer, Unanswered)
        headers: tuple[tuple[str, str], ...] = ()
        if isinstance(answer, Unanswered) and answer.failure is Failure.REFUSED_HERE:  # delivery.md D2
            wait = _RETRY_AFTER if answer.retry_after is None else answer.retry_after
            headers = ((RETRY_AFTER, str(math.ceil(wait))),)
        return Reply(
            status=_SERVICE_UNAVAILABLE if away else fault.http_status,
            body=self._around(fault.element(asked.soap), asked, _action_of(code, asked), profile, blocks),
            content_type=asked.soap.content_type,
            error=fault.error,
            headers=headers,
        )

    def mismatch(self, asked: Envelope, unique_id: str, profile: DeviceProfile) -> Reply:
        """Return the Fault that refuses SOAP 1.1, written in SOAP 1.1 (SOAP 1.2 part 1, appendix A).

        Args:
            asked: The envelope of the request.
            unique_id: The UniqueId of the Call.
            profile: The settings for the Charge Point.
        """
        text = "SOAP 1.1 is not spoken here: OCPP-S demands SOAP 1.2"
        return self.refusal(asked, unique_id, EnvelopeFault(EnvelopeCode.VersionMismatch, text), profile)

    def _around(
        self, body: etree._Element | bytes, asked: Envelope, action: str, profile: DeviceProfile, blocks: str = ""
    ) -> bytes:
        message_id = f"urn:uuid:{self._mint()}"
        return write_answer(
            body,
            asked,
            action,
            message_id,
            must_understand=profile.must_understand,
            blocks=blocks,
            service=self._codec.service.namespace,
            prefix=profile.prefix,
        )


def _action_of(code: FaultCode | EnvelopeFault | None, asked: Envelope) -> str:
    """Return the Action of a Fault; one of SOAP itself has its own (WS-Addressing 1.0 SOAP Binding, section 6)."""
    of_soap = isinstance(code, EnvelopeFault) and not code.envelope_code.subcodes
    return f"{asked.addressing.namespace}/soap/fault" if of_soap else f"{asked.addressing.namespace}/fault"
