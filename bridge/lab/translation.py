"""Translate one message between SOAP and JSON with the bridge's codecs, for the command `ocpp-bridge translate`.

Pure: takes bytes, and returns bytes and losses. A Session would know more than the message says: the action that an
answer belongs to, the sender, the time. Here the caller gives them as `TranslationRequest`. The state of connectors is
unknown, so Occupied of OCPP 1.5 becomes Preparing. Addresses are those of the default configuration.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.config import Settings
from bridge.dialects.known import Known
from bridge.dialects.versions import DIALECTS, OCPP16
from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.losses import Loss, LossReason, merged
from bridge.ocpp.messages import MeterValuesResponse, Response
from bridge.ocpp.rpc import Call, CallError, CallResult
from bridge.ocpp.tolerance import nothing_left
from bridge.ocpp.validation import refuse_losses
from bridge.ocppj import codec as ocppj
from bridge.ocppj.codec import CallFrame, ErrorFrame, IgnoredFrame, ResultFrame
from bridge.ocpps import envelope as soap
from bridge.ocpps import wsdl
from bridge.ocpps.codec import Codec
from bridge.ocpps.envelope import Envelope, EnvelopeFields, SoapVersion
from bridge.ocpps.xml import local_name, namespace

# WSDL of the service that receives requests, by the party that sends them.
_WSDL = {Party.CHARGE_POINT: "CentralSystemService.wsdl", Party.CENTRAL_SYSTEM: "ChargePointService.wsdl"}
_URN = "urn:uuid:"


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslationRequest:
    """Information that the message itself does not hold.

    Attributes:
        version: Version of OCPP-S; None for the version of the Body's namespace, or 1.6 for a frame.
        service: The party that calls the service; None to derive the party from the message.
        action: Action that a CALLRESULT answers; None to derive the action from the payload.
        identity: ChargeBoxIdentity in the header of an envelope.
        strict: Whether to refuse messages that would be repaired or lose information.
        now: Current time for answers of OCPP 1.2 that have none.
    """

    version: str | None = None
    service: Party | None = None
    action: str | None = None
    identity: str = "CP-1"
    strict: bool = False
    now: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """The translated message, in UTF-8, and the losses of the translation."""

    document: bytes
    losses: tuple[Loss, ...] = ()


class Underspecified(Exception):
    """The message alone does not determine its translation. The text says which option is needed."""


Codecs = Mapping[str, Mapping[Party, Codec]]
"""Codecs by OCPP version, and by the party that calls the service."""


def codecs() -> Codecs:
    """Return the codecs of all versions, made from the WSDLs of the package. Raises ConfigurationError."""
    return {
        version: {sender: Codec(wsdl.load(wsdl.folder_of(version) / name), dialect) for sender, name in _WSDL.items()}
        for version, dialect in DIALECTS.items()
    }


class Translator:
    """Translates messages of both services, in every version of OCPP-S."""

    def __init__(self, codecs: Codecs, wanted: TranslationRequest) -> None:
        self._every = codecs
        self._codecs = codecs[wanted.version or OCPP16.version]
        self._wanted = wanted

    # Translation to JSON.

    def to_json(self, data: bytes) -> Translation:
        """Return the frame for an envelope. Raises MessageError if the envelope is at fault."""
        message = self._message(soap.read(data))
        losses = () if isinstance(message, CallError) else message.losses
        if isinstance(message, Call) and nothing_left(message.payload):
            raise _nothing_to_say(message)
        return Translation(document=ocppj.encode(message), losses=losses)

    def _message(self, opened: Envelope) -> Call | CallResult | CallError:
        answered = _unique_id(next(iter(opened.addressing.relates_to), None))
        fault = soap.read_fault(opened.body)
        if fault is not None:
            return fault.as_error(answered)
        codec, strict, known = self._codec_of(opened), self._wanted.strict, Known(now=self._wanted.now)
        action = _answered_by(codec, local_name(opened.body))
        if action is not None:
            return codec.read_answer(opened, action, answered, strict=strict, known=known)
        return codec.read_call(opened, _unique_id(opened.addressing.message_id), strict=strict, known=known)

    def _codec_of(self, opened: Envelope) -> Codec:
        """Return the codec for the Body's namespace, whose trailing slash and letter case do not matter."""
        spoken, wanted = namespace(opened.body), self._wanted
        versions = [wanted.version] if wanted.version else [*self._every]
        found = next(((v, sender) for v in versions for sender in _WSDL if self._speaks(v, sender, spoken)), None)
        if wanted.service is not None:
            return self._every[found[0] if found else versions[0]][wanted.service]
        if found is not None:
            return self._every[found[0]][found[1]]
        text = f"<{local_name(opened.body)}> is of the namespace {spoken!r}, which OCPP {_or(versions)} does not have"
        raise MessageError(ErrorCode.NotSupported, text)

    def _speaks(self, version: str, sender: Party, spoken: str) -> bool:
        return spoken.rstrip("/").lower() == self._every[version][sender].service.namespace.rstrip("/").lower()

    # Translation to SOAP.

    def to_soap(self, data: bytes) -> Translation:
        """Return the envelope for a frame.

        Raises:
            MessageError: The frame is at fault, or has no equivalent in SOAP.
            Underspecified: The frame does not determine its translation.
        """
        match ocppj.read_frame(data):
            case CallFrame() as frame:
                return self._call(frame)
            case ResultFrame() as frame:
                return self._result(frame)
            case ErrorFrame(error=error):
                return self._error(error)
            case IgnoredFrame(reason=reason):
                text = f"{reason} is neither a CALL (2), a CALLRESULT (3) nor a CALLERROR (4)"
                raise MessageError(ErrorCode.FormationViolation, text)

    def _call(self, frame: CallFrame) -> Translation:
        sender = self._sender_of(frame.action)
        call = ocppj.decode_call(frame, sender, strict=self._wanted.strict)
        self._refuse_what_is_not_sent(sender, call)
        body, lost = self._codecs[sender].write_call(call.payload, call.action)
        headers = self._call_headers(sender, call)
        losses = merged(call.losses, lost)
        if self._wanted.strict:
            refuse_losses(losses)
        return Translation(document=soap.write(body, headers), losses=losses)

    def _refuse_what_is_not_sent(self, sender: Party, call: Call) -> None:
        """Raise MessageError if the OCPP version has no equivalent of `call`, which the bridge then answers itself."""
        dialect = self._codecs[sender].dialect
        if nothing_left(call.payload):
            raise _nothing_to_say(call)
        instead = dialect.instead(call.action, call.payload)
        if instead is None:
            return
        if isinstance(instead.answer, MessageError):
            raise instead.answer
        raise _answered_here(call, instead.answer, f"OCPP {dialect.version}")

    def _result(self, frame: ResultFrame) -> Translation:
        action = self._wanted.action or self._fitting(frame)
        codec = self._codecs[self._sender_of(action)]
        operation = codec.service.operations.get(action)
        if operation is None:
            raise Underspecified(f"the {codec.service.name} of OCPP {codec.dialect.version} has no {action}")
        result = ocppj.decode_result(frame, action, strict=self._wanted.strict)
        body, lost = codec.write_result(result.payload, action)
        headers = _answer_headers(operation.response_action, result.unique_id)
        # Losses of an answer are reported even in strict mode: the request was already executed.
        return Translation(document=soap.write(body, headers), losses=merged(result.losses, lost))

    def _error(self, error: CallError) -> Translation:
        service = self._codecs[self._wanted.service or Party.CHARGE_POINT].service
        fault = soap.write_fault(error, service.namespace).element(SoapVersion.V12)
        return Translation(document=soap.write(fault, _answer_headers(f"{soap.WSA}/fault", error.unique_id)))

    def _sender_of(self, action: str) -> Party:
        """Return the sender of `action`. For DataTransfer, which both send, the default is the Charge Point."""
        if self._wanted.service is not None:
            return self._wanted.service
        senders = ACTIONS[action].senders if action in ACTIONS else frozenset()
        return Party.CENTRAL_SYSTEM if senders == {Party.CENTRAL_SYSTEM} else Party.CHARGE_POINT

    def _fitting(self, frame: ResultFrame) -> str:
        """Return the only action that `frame` can answer. Raises Underspecified if there is none, or more than one."""
        fitting = [name for name in ACTIONS if self._is_of_service(name) and _fits(frame, name)]
        if len(fitting) == 1:
            return fitting[0]
        choice = f"say with --action which: {', '.join(fitting)}" if fitting else "it fits none: say it with --action"
        raise Underspecified(f"a CALLRESULT does not name the action that it answers; {choice}")

    def _is_of_service(self, action: str) -> bool:
        senders = ACTIONS[action].senders if self._wanted.service is None else (self._wanted.service,)
        return any(action in self._codecs[sender].service.operations for sender in senders)

    def _call_headers(self, sender: Party, call: Call) -> EnvelopeFields:
        codec = self._codecs[sender]
        return EnvelopeFields(
            action=codec.service.operations[call.action].request_action,
            message_id=_urn(call.unique_id),
            to=_address(codec),
            identity=(codec.service.namespace, self._wanted.identity),
            sent_from=_address(self._codecs[sender.other]),
        )


def _nothing_to_say(call: Call) -> MessageError:
    """Return the error for a message without content, with the answer that the bridge would give."""
    frame = ocppj.encode(CallResult(unique_id=call.unique_id, payload=MeterValuesResponse())).decode()
    losses = "; ".join(map(str, call.losses))
    return MessageError(ErrorCode.NotSupported, f"{losses}: {frame}")


def _answered_here(call: Call, answer: Response, where: str) -> MessageError:
    """Return the error for a message without an equivalent, with the answer that the bridge would give."""
    frame = ocppj.encode(CallResult(unique_id=call.unique_id, payload=answer)).decode()
    text = f"{where} cannot carry this {call.action}; the bridge answers it itself: {frame}"
    return MessageError(ErrorCode.NotSupported, text)


def _or(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _answered_by(codec: Codec, name: str) -> str | None:
    """Return the action whose response element has the name `name`, None if there is none."""
    operations = codec.service.operations.values()
    return next((operation.name for operation in operations if operation.response.name == name), None)


def _fits(frame: ResultFrame, action: str) -> bool:
    """Return whether `frame` can answer `action`.

    A frame with unknown fields does not count: the tolerant reader would drop them, and so accept nearly any payload.
    """
    try:
        result = ocppj.decode_result(frame, action, strict=False)
    except MessageError:
        return False
    return all(loss.reason is not LossReason.UNKNOWN_FIELD for loss in result.losses)


def _unique_id(urn: str | None) -> str:
    """Return the UniqueId for a MessageID: the same text if OCPP-J can carry it, else a new one, as in the bridge."""
    found = (urn or "").removeprefix(_URN)
    return found if 0 < len(found) <= ocppj.MAX_UNIQUE_ID else str(uuid.uuid4())


def _urn(unique_id: str) -> str:
    return _URN + soap.printable(unique_id)


def _answer_headers(action: str, unique_id: str) -> EnvelopeFields:
    fresh = _urn(str(uuid.uuid4()))
    return EnvelopeFields(action=action, message_id=fresh, relates_to=_urn(unique_id), to=soap.anonymous(soap.WSA))


def _address(codec: Codec) -> str:
    return f"{Settings().soap[0].public_url}/services/{codec.service.name}"
