"""The judgement of a response to a POST: a verdict on the Call, or a link failure (design/delivery.md D1). No I/O.

A verdict means that the other party read this message and answered it. A Charge Point that receives a verdict may
drop its message. A Charge Point that receives a link failure keeps a transaction-related message and sends it again
(OCPP 1.6 section 3.7.1, OCPP-J errata 3.2). Only this module distinguishes the two.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from contextlib import suppress
from email.utils import parsedate_to_datetime

from msgspec import Struct

from bridge.dialects.known import Known
from bridge.errors import FaultCode, MessageError
from bridge.net.http_client import HttpResponse
from bridge.ocpp.device_profile import DeviceProfile
from bridge.ocpp.rpc import Call, CallError, CallResult, Failure, Unanswered
from bridge.ocpps import envelope as soap
from bridge.ocpps import headers
from bridge.ocpps.codec import Codec
from bridge.ocpps.envelope import Envelope
from bridge.ocpps.xml import XmlBounds

# Proxies respond with these if a server is away; so does this bridge for a Central System, with a Fault in the body.
_AWAY = frozenset({502, 503, 504})
_OVERLOADED = frozenset({408, 425, 429})
# The request was refused, or is wanted elsewhere, before the service read it.
_REFUSED = frozenset({*range(300, 400), 401, 403, 404, 405, 407})
# For these statuses, the reason of the failure is the status alone.
_SAYS_ALL = _AWAY | _OVERLOADED | _REFUSED
_CENTRAL_SYSTEM_SERVICE = "CentralSystemService"
# Seconds. A mistaken Retry-After must not hold messages back for days.
_LONGEST_RETRY_AFTER = 3600.0
# The most characters of each part of a response that operators see.
_EVIDENCE = 120


class AnswerReading(Struct, frozen=True, kw_only=True):
    """A POST that was sent, and the settings for reading its answer.

    Attributes:
        codec: The codec of the called service.
        bounds: The limits on the XML of the answer.
        strict: Whether an answer that is not valid is refused.
        profile: The settings for the Charge Point.
        known: The values that an answer of an older version may leave out.
        passes: Whether the body is passed on unchanged.
        message_id: The MessageID of the request.
        carried: The number of requests that the connection has carried, this one included.
        now: The current time in Unix seconds, for a Retry-After that is a date.
    """

    codec: Codec
    bounds: XmlBounds
    strict: bool
    profile: DeviceProfile
    known: Known | None
    passes: bool
    message_id: str
    carried: int
    now: float


class Judgement(Struct, frozen=True, kw_only=True):
    """The judgement of a response.

    Attributes:
        answer: The verdict, or Unanswered for a link failure.
        relates: Whether its RelatesTo is empty or names the request.
        wrong_address: Whether another party answered than the one that the Call was for (IdentityMismatch).
    """

    answer: CallResult | CallError | Unanswered
    relates: bool = True
    wrong_address: bool = False


def judge(response: HttpResponse, call: Call, reading: AnswerReading) -> Judgement:
    """Judge whether `response` is a verdict on `call`.

    Args:
        response: The response to the POST.
        call: The Call that was sent, under its UniqueId of this hop.
        reading: The settings for reading the answer.
    """
    if response.status in _AWAY:
        return _failed(call, response, Failure.UNREACHABLE, "")
    if response.status in _OVERLOADED:
        wait = _retry_after(response.retry_after, reading.now)
        return _failed(call, response, Failure.OVERLOADED, "", retry_after=wait)
    if response.status in _REFUSED:
        return _failed(call, response, Failure.MISCONFIGURED, "")
    if response.fault:
        return _failed(call, response, Failure.MISCONFIGURED, response.fault)
    try:
        opened = soap.read(response.body, reading.bounds)
        relates = _relates(opened.addressing.relates_to, reading.message_id)
        if not relates and reading.carried > 1:
            text = "its RelatesTo names another message"
            return _failed(call, response, Failure.FOREIGN_ANSWER, text, relates=False)
        answer = _read(opened, call, reading)
    except MessageError as error:
        return _failed(call, response, Failure.MISCONFIGURED, error.description)
    mismatch = isinstance(answer, CallError) and _is_mismatch(opened)
    if mismatch and reading.codec.service.name == _CENTRAL_SYSTEM_SERVICE:
        # IdentityMismatch from a Central System is an error of its configuration, and no verdict: it did not read the
        # message.
        text = "it does not know this Charge Point (IdentityMismatch)"
        return _failed(call, response, Failure.MISCONFIGURED, "", said=text, relates=relates)
    return Judgement(answer=answer, relates=relates, wrong_address=mismatch)


def _read(opened: Envelope, call: Call, reading: AnswerReading) -> CallResult | CallError:
    if reading.strict:
        service = reading.codec.service
        headers.check_answer(opened, service.operations[call.action].response_actions, service.namespace)
    return reading.codec.read_answer(
        opened,
        call.action,
        call.unique_id,
        strict=reading.strict,
        known=reading.known,
        profile=reading.profile,
        passes=reading.passes,
    )


def _failed(
    call: Call,
    response: HttpResponse,
    failure: Failure,
    fault: str,
    *,
    said: str = "no answer to this Call in SOAP",
    retry_after: float | None = None,
    relates: bool = True,
) -> Judgement:
    # Peers see only the status and the content type. Only operators see the body: a Charge Point that gives a callback
    # address chooses which server's response the bridge reads.
    content_type = response.content_type[:_EVIDENCE] or "no content type"
    came = f"HTTP {response.status}, {content_type}" if response.status else "no HTTP"
    line = " ".join(response.body[:400].decode("utf-8", "replace").split())[:_EVIDENCE]
    evidence = f"{line!r}: {fault[:_EVIDENCE]}" if fault else repr(line)
    return Judgement(
        relates=relates,
        answer=Unanswered(
            unique_id=call.unique_id,
            reason=f"{came}: {said}" if fault or response.status not in _SAYS_ALL else came,
            failure=failure,
            evidence=evidence,
            retry_after=retry_after,
        ),
    )


def _relates(relates_to: Collection[str], message_id: str) -> bool:
    return not relates_to or _bare(message_id) in map(_bare, relates_to)


def _bare(message_id: str) -> str:
    """Return a MessageID without blanks, braces, `urn:` and `uuid:`, in lower case: some programs change these."""
    text = "".join(message_id.split()).strip("{}").lower()
    return text.removeprefix("urn:").removeprefix("uuid:").strip("{}")


def _retry_after(text: str, now: float) -> float | None:
    """Return the seconds from now that a Retry-After means (RFC 9110 section 10.2.3: seconds, or a date)."""
    with suppress(ValueError, OverflowError, TypeError):
        seconds = float(text) if text.strip().isdecimal() else parsedate_to_datetime(text).timestamp() - now
        if not math.isnan(seconds):
            return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)
    return None


def _is_mismatch(opened: Envelope) -> bool:
    """Return whether the Subcode of a Fault is IdentityMismatch, in any letter case, as in the error table."""
    fault = soap.read_fault(opened.body)
    subcode = "" if fault is None else fault.subcode or ""
    return subcode.strip().lower() == FaultCode.IdentityMismatch.subcode.lower()
