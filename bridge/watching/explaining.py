"""Explanations of failures for operators: the first sentence states the failure, the second what to do. No I/O."""

from __future__ import annotations

from bridge.core.commands import Drop, Outcome, Report
from bridge.errors import ErrorCode, Why, known_code
from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import CallError, Unanswered
from bridge.ocpp.validation import AS_STRICT

_NAMES = {Party.CHARGE_POINT: "Charge Point", Party.CENTRAL_SYSTEM: "Central System"}

# The advice for each reason of a refusal.
ADVICE: dict[Why, str] = {
    Why.NO_ROUTE: "Add a route whose charge_point fits this identity, or correct the identity in the Charge Point.",
    Why.NO_CREDENTIALS: "The Charge Point must send its password (Basic authentication): set it there.",
    Why.WRONG_PASSWORD: "The password in the Charge Point is not that of its [charge_points] table: make them alike.",
    Why.WRONG_CERTIFICATE: "The certificate it showed is not of the authority in client_ca, or not in its name.",
    Why.WRONG_TOKEN: "The token is not that of admin.token or admin.token_file.",
    Why.WRONG_ADDRESS: "The address was mistyped: the page of addresses shows the ones to type, the identity last.",
    Why.WRONG_IDENTITY: "The identity in the message is not the one that this connection or address is for.",
    Why.WRONG_DOOR: "It speaks one transport at the other's address: the page of addresses shows the one to type.",
    Why.TOO_MANY_ATTEMPTS: "It failed too often in a row; after a pause it may try again. Correct what failed first.",
    Why.TOO_MANY_CONNECTIONS: "More connect than the configured limit: raise it, or find out who they are.",
    Why.TOO_MANY_MESSAGES: "It sends more than the configured limit: raise it, or find out what makes it send so much.",
    Why.TOO_LARGE: "The message is larger than the configured limit (soap.max_body): raise it if that is meant.",
    Why.TOO_DEEP: "The message is nested deeper than any message of OCPP: its sender is at fault.",
    Why.TOO_SLOW: "It took too long to send its message: look at the network between.",
    Why.TLS: "The listener needs a tls table, or the address in the Charge Point http or ws for https or wss.",
    Why.MALFORMED: "The bytes are not what they should be: the recorded message shows them; its sender is at fault.",
    Why.NOT_SUPPORTED: "The message is not one of this version of OCPP, or not for this side to send.",
    Why.INVALID: "A part of it is not as OCPP has it: the recorded message shows it; its sender is at fault.",
    Why.BUSY: "The bridge has as much to do as it may (gateway.max_in_flight), or is being stopped: it comes again.",
    Why.UNAVAILABLE: "The other side is away or the bridge is being stopped; the sender will try again.",
    Why.FAILED: "That is a fault of the bridge: its log says more, please report it.",
}
_STRICT = 'The route has tolerance = "strict": "tolerant" lets it pass.'
# The advice for a CALLERROR of a party.
_NOT_KNOWN = "It does not have this message: see which feature profiles it supports."
_NOT_THE_MESSAGE = "Its own log says more."
_ITS_OBJECTION = "Compare what was sent with what came in: a quirk key may help where it objects to a form."


def of_refusal(why: Why, text: str) -> str:
    """Return the explanation of a refused message or connection. `text` is the reason in a line."""
    return f"{_sentence(text)} {_STRICT if text.endswith(AS_STRICT) else ADVICE[why]}"


def of_report(report: Report) -> str | None:
    """Return the explanation of a Call that did not end with a CallResult, None for one that did."""
    match report.outcome:
        case Outcome.RESULT:
            return None
        case Outcome.REPEATED:
            return "It was sent again, and got the answer that was given before: nothing is to be done."
        case Outcome.ABANDONED:
            return (
                f"The {_NAMES[report.sender]} hung up before the answer was there. "
                "If it happens often, its patience is shorter than gateway.call_timeout."
            )
    match report.answer:
        case CallError(code=code, description=description):
            return _of_error(report, f"{code}: {description}" if description else code, code)
        case Unanswered(reason=reason):
            return _of_silence(report, reason)
    return _of_silence(report, f"the {_NAMES[report.sender.other]} did not answer")


def _of_error(report: Report, text: str, code: str) -> str:
    if report.outcome is Outcome.REFUSED or report.hop_id is None:
        return f"The bridge refused it: {_sentence(text)}{f' {_STRICT}' if text.endswith(AS_STRICT) else ''}"
    known = known_code(code)
    advice = _ITS_OBJECTION
    if known in (ErrorCode.NotImplemented, ErrorCode.NotSupported):
        advice = _NOT_KNOWN
    elif known in (ErrorCode.InternalError, ErrorCode.GenericError, ErrorCode.SecurityError, None):
        advice = _NOT_THE_MESSAGE
    return f"The {_NAMES[report.sender.other]} refused it: {_sentence(text)} {advice}"


def _of_silence(report: Report, reason: str) -> str:
    sent = report.sent is not None
    if report.sender is Party.CHARGE_POINT:
        late = "It was reached, but took longer than gateway.call_timeout: look at it."
        away = "Is it running, and does the url of its [central_systems] table lead there? The bridge goes on trying."
    else:
        late = "It was reached, but said nothing in time: look at it, and at the network to it."
        away = "Is it on? A SOAP Charge Point must be reachable at the address it gave, or at its callback_url."
    return f"{_sentence(reason)} {late if sent else away}"


def of_drop(drop: Drop) -> str:
    """Return the explanation of an answer that was not passed on."""
    late = "It came too late, or twice; if it happens often, raise gateway.call_timeout."
    return f"An answer of the {_NAMES[drop.party]} was dropped: {_sentence(drop.reason)} {late}"


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"
