"""One message into the other form, by the bridge's own codecs: what `ocpp-bridge translate` shows.

Pure: bytes in, bytes and losses out. What a message does not say and the bridge would know from its Session (which
action an answer answers, whose message it is, the time) comes in as `Wanted`. Of connectors nothing is known: what
OCPP 1.5 calls Occupied is Preparing. Addresses are those of the built-in configuration.
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
from bridge.ocpp.losses import Loss, Reason
from bridge.ocpp.rpc import Call, CallError, CallResult
from bridge.ocpp.validation import refuse_losses
from bridge.ocppj import codec as ocppj
from bridge.ocppj.codec import CallFrame, ErrorFrame, IgnoredFrame, ResultFrame
from bridge.ocpps import envelope as soap
from bridge.ocpps import wsdl
from bridge.ocpps.codec import Codec
from bridge.ocpps.envelope import Envelope, Headers, Soap
from bridge.ocpps.xml import local_name, namespace

# By who sends it requests: the service that takes them.
_WSDL = {Party.CHARGE_POINT: "CentralSystemService.wsdl", Party.CENTRAL_SYSTEM: "ChargePointService.wsdl"}
_URN = "urn:uuid:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the message itself does not say.

    version   of OCPP-S; None where the Body's namespace decides, and 1.6 where there is none that does
    service   the called service, by the party that calls it; None where the message decides
    action    what a CALLRESULT answers; None where its payload decides
    now       what an answer of OCPP 1.2 that leaves out the current time is given
    """

    version: str | None = None
    service: Party | None = None
    action: str | None = None
    identity: str = "CP-1"
    strict: bool = False
    now: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """The message in its other form, in UTF-8, and what that cost."""

    document: bytes
    losses: tuple[Loss, ...] = ()


class Underspecified(Exception):
    """The message alone does not decide; the text says what has to be said beside it."""


Codecs = Mapping[str, Mapping[Party, Codec]]
"""By version, and by who calls the service."""


def codecs() -> Codecs:
    """Those of all versions, from our WSDLs. Raises ConfigurationError."""
    return {
        version: {sender: Codec(wsdl.load(wsdl.folder_of(version) / name), dialect) for sender, name in _WSDL.items()}
        for version, dialect in DIALECTS.items()
    }


class Translator:
    """Both services, in every version of OCPP-S."""

    def __init__(self, codecs: Codecs, wanted: Wanted) -> None:
        self._every = codecs
        self._codecs = codecs[wanted.version or OCPP16.version]
        self._wanted = wanted

    # To JSON.

    def to_json(self, data: bytes) -> Translation:
        """The frame for an envelope. Raises MessageError for what is wrong with it."""
        message = self._message(soap.read(data))
        losses = () if isinstance(message, CallError) else message.losses
        return Translation(document=ocppj.encode(message), losses=losses)

    def _message(self, opened: Envelope) -> Call | CallResult | CallError:
        answered = _unique_id(opened.addressing.relates_to)
        fault = soap.read_fault(opened.body)
        if fault is not None:
            return fault.as_error(answered)
        codec, strict, known = self._codec_of(opened), self._wanted.strict, Known(now=self._wanted.now)
        action = _answered_by(codec, local_name(opened.body))
        if action is not None:
            return codec.read_answer(opened, action, answered, strict=strict, known=known)
        return codec.read_call(opened, _unique_id(opened.addressing.message_id), strict=strict, known=known)

    def _codec_of(self, opened: Envelope) -> Codec:
        """By the Body's namespace; its trailing slash and letter case are forgiven, as the listener does."""
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

    # To SOAP.

    def to_soap(self, data: bytes) -> Translation:
        """The envelope for a frame. Raises MessageError for what is wrong with it, Underspecified."""
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
        losses = call.losses + lost
        if self._wanted.strict:
            refuse_losses(losses)
        return Translation(document=soap.write(body, headers), losses=losses)

    def _refuse_what_is_not_sent(self, sender: Party, call: Call) -> None:
        """A message that the version lacks has no other form; the bridge answers it itself."""
        dialect = self._codecs[sender].dialect
        instead = dialect.instead(call.action, call.payload)
        if instead is None:
            return
        if isinstance(instead.answer, MessageError):
            raise instead.answer
        answer = ocppj.encode(CallResult(unique_id=call.unique_id, payload=instead.answer)).decode()
        text = f"OCPP {dialect.version} cannot carry this {call.action}; the bridge answers it itself: {answer}"
        raise MessageError(ErrorCode.NotSupported, text)

    def _result(self, frame: ResultFrame) -> Translation:
        action = self._wanted.action or self._fitting(frame)
        codec = self._codecs[self._sender_of(action)]
        operation = codec.service.operations.get(action)
        if operation is None:
            raise Underspecified(f"the {codec.service.name} of OCPP {codec.dialect.version} has no {action}")
        result = ocppj.decode_result(frame, action, strict=self._wanted.strict)
        body, lost = codec.write_result(result.payload, action)
        headers = _answer_headers(operation.response_action, result.unique_id)
        # Strict or not: an answer cannot be unasked, what it costs is told.
        return Translation(document=soap.write(body, headers), losses=result.losses + lost)

    def _error(self, error: CallError) -> Translation:
        service = self._codecs[self._wanted.service or Party.CHARGE_POINT].service
        fault = soap.write_fault(error, service.namespace).element(Soap.V12)
        return Translation(document=soap.write(fault, _answer_headers(f"{soap.WSA}/fault", error.unique_id)))

    def _sender_of(self, action: str) -> Party:
        """Who sends `action`. DataTransfer goes both ways: a Charge Point's, unless something else is wanted."""
        if self._wanted.service is not None:
            return self._wanted.service
        senders = ACTIONS[action].senders if action in ACTIONS else frozenset()
        return Party.CENTRAL_SYSTEM if senders == {Party.CENTRAL_SYSTEM} else Party.CHARGE_POINT

    def _fitting(self, frame: ResultFrame) -> str:
        """The one action whose answer `frame` can be. Raises Underspecified."""
        fitting = [name for name in ACTIONS if self._is_of_service(name) and _fits(frame, name)]
        if len(fitting) == 1:
            return fitting[0]
        choice = f"say with --action which: {', '.join(fitting)}" if fitting else "it fits none: say it with --action"
        raise Underspecified(f"a CALLRESULT does not name the action that it answers; {choice}")

    def _is_of_service(self, action: str) -> bool:
        senders = ACTIONS[action].senders if self._wanted.service is None else (self._wanted.service,)
        return any(action in self._codecs[sender].service.operations for sender in senders)

    def _call_headers(self, sender: Party, call: Call) -> Headers:
        codec = self._codecs[sender]
        return Headers(
            action=codec.service.operations[call.action].request_action,
            message_id=_urn(call.unique_id),
            to=_address(codec),
            identity=(codec.service.namespace, self._wanted.identity),
            sent_from=_address(self._codecs[sender.other]),
        )


def _or(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _answered_by(codec: Codec, name: str) -> str | None:
    """The action whose response element is called `name`."""
    operations = codec.service.operations.values()
    return next((operation.name for operation in operations if operation.response.name == name), None)


def _fits(frame: ResultFrame, action: str) -> bool:
    """Tolerance would read much as anything by dropping what it does not know."""
    try:
        result = ocppj.decode_result(frame, action, strict=False)
    except MessageError:
        return False
    return all(loss.reason is not Reason.UNKNOWN_FIELD for loss in result.losses)


def _unique_id(urn: str | None) -> str:
    """The UniqueId for a MessageID: the same, if OCPP-J can carry it, else a fresh one as the bridge would mint."""
    found = (urn or "").removeprefix(_URN)
    return found if 0 < len(found) <= ocppj.MAX_UNIQUE_ID else str(uuid.uuid4())


def _urn(unique_id: str) -> str:
    return _URN + soap.printable(unique_id)


def _answer_headers(action: str, unique_id: str) -> Headers:
    fresh = _urn(str(uuid.uuid4()))
    return Headers(action=action, message_id=fresh, relates_to=_urn(unique_id), to=soap.anonymous(soap.WSA))


def _address(codec: Codec) -> str:
    return f"{Settings().soap[0].public_url}/services/{codec.service.name}"
