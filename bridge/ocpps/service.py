"""The OCPP services on Spyne: one Application per WSDL, its operations and types built from it at the start.

Spyne holds what a service is: the operations under their qualified names, each with its types, checked when it is made.
A message takes its operation from there. Spyne's own way of a message (a context, an object for each element, a thread)
is not taken: our codec reads and writes, and who answers says so when the answer is here, so that neither a thread nor
a task waits for a Charge Point. Nothing outside this module knows Spyne.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from bridge.dialects.dialect import AnsweredHere, Dialect
from bridge.dialects.known import Known
from bridge.dialects.versions import OCPP16
from bridge.errors import BridgeError, ErrorCode, MessageError
from bridge.ocpp.losses import Loss, Reason
from bridge.ocpp.manners import PLAIN, Manners
from bridge.ocpp.rpc import Answer, Call, CallResult
from bridge.ocpps import spyne_on_new_pythons  # noqa: F401  (before Spyne)
from bridge.ocpps.codec import Codec
from bridge.ocpps.envelope import Envelope
from bridge.ocpps.replies import FAILED, Replies, Reply
from bridge.ocpps.wsdl import ComplexType, Element, Operation, Service, SimpleType

# isort: split
from spyne import (
    AnyUri,
    Application,
    Boolean,
    ComplexModel,
    DateTime,
    Decimal,
    Integer32,
    ServiceBase,
    Unicode,
    rpc,
)
from spyne.protocol.soap import Soap12

logging.getLogger("spyne.util.appreg").setLevel(logging.CRITICAL + 1)

Answered = Callable[[Answer], None]
Handle = Callable[[Call, Answered], None]
"""Takes a Call, and what to call with its one answer, now or later. Raises BridgeError."""
Tell = Callable[[Reply], None]
_log = logging.getLogger("bridge.ocpps")


class Exchange:
    """One message and how it is to be answered."""

    def __init__(
        self,
        envelope: Envelope,
        unique_id: str,
        strict: bool,
        handle: Handle,
        known: Known | None = None,
        manners: Manners = PLAIN,
    ) -> None:
        self.envelope = envelope
        self.known = known
        self.manners = manners
        self.unique_id = unique_id
        self.strict = strict
        self.handle = handle
        self.service: SoapService | None = None  # who answers
        self.tell: Tell | None = None  # until it is told
        self.call: Call | None = None
        self.refusal: BridgeError | None = None  # why it did not become a Call

    def answered(self, answer: Answer) -> None:
        """The one answer to its Call, now or later."""
        assert self.service is not None
        self.service.answered(self, answer)


class SoapService:
    """One service in one OCPP version, ready to answer. `mint` gives a fresh UUID."""

    def __init__(self, service: Service, mint: Callable[[], str], dialect: Dialect = OCPP16) -> None:
        self.service = service
        self._codec = Codec(service, dialect)
        self._replies = Replies(self._codec, mint)
        application = Application(
            [_service_class(service)],
            tns=service.namespace,
            name=service.name,
            in_protocol=Soap12(),
            out_protocol=Soap12(),
        )
        methods = application.interface.service_method_map
        self._run: dict[str, Callable[[Exchange], None]] = {
            operation.name: methods[f"{{{service.namespace}}}{operation.request.name}"][0].function
            for operation in service.operations.values()
        }

    def answer(self, exchange: Exchange, tell: Tell) -> None:
        """Tell the one reply to `exchange`, now or later. Its handler is called if the request can be read. Raises
        nothing."""
        exchange.service, exchange.tell = self, tell
        try:
            exchange.call = self._codec.read_call(
                exchange.envelope,
                exchange.unique_id,
                strict=exchange.strict,
                known=exchange.known,
                manners=exchange.manners,
            )
        except MessageError as error:
            here = isinstance(error, AnsweredHere) and not exchange.strict
            _told(exchange, self._answered_here(exchange, error) if here else self.refuse(exchange, error))
            return
        try:
            self._run[exchange.call.action](exchange)
        except BridgeError as error:
            _told(exchange, self.refuse(exchange, error))
        except Exception:
            _told(exchange, self._failed(exchange, "a Call could not be handled"))

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """The answer to its Call is here."""
        try:
            reply = self._reply(exchange, answer)
        except Exception:  # it is nobody's fault but ours, least of all that of who answered
            reply = self._failed(exchange, "an answer could not be told")
        _told(exchange, reply)

    def _reply(self, exchange: Exchange, answer: Answer) -> Reply:
        assert exchange.call is not None
        if not isinstance(answer, CallResult):
            return self._replies.failure(exchange.envelope, answer, None, exchange.manners)
        try:
            return self._replies.result(exchange.envelope, exchange.call.action, answer.payload, exchange.manners)
        except MessageError as error:
            text = f"the Central System's answer cannot be written in SOAP: {error.description}"
            return self.refuse(exchange, BridgeError(ErrorCode.InternalError, text))

    def _failed(self, exchange: Exchange, what: str) -> Reply:
        _log.exception(what)
        return self.refuse(exchange, BridgeError(ErrorCode.InternalError, FAILED))

    def _answered_here(self, exchange: Exchange, here: MessageError) -> Reply:
        """It says nothing that the other side could hear, and is no fault of the sender's."""
        assert isinstance(here, AnsweredHere)
        action = self._codec.operation_of(exchange.envelope.body).name
        reply = self._replies.result(exchange.envelope, action, here.answer, exchange.manners)
        lost = Loss(message=f"{action}Request", path="", reason=Reason.ANSWERED_HERE)
        return msgspec.structs.replace(reply, losses=(lost, *reply.losses))

    def refuse(self, exchange: Exchange, error: BridgeError) -> Reply:
        """The Fault for a request that does not come as far as its operation, or not back from it."""
        exchange.refusal = error
        return self._replies.refusal(exchange.envelope, exchange.unique_id, error, exchange.manners)

    def mismatch(self, exchange: Exchange) -> Reply:
        """The Fault for a SOAP version that is not spoken."""
        return self._replies.mismatch(exchange.envelope, exchange.unique_id, exchange.manners)


def _told(exchange: Exchange, reply: Reply) -> None:
    """Once, whatever happens."""
    tell, exchange.tell = exchange.tell, None
    if tell is not None:
        tell(reply)


# From the WSDL to Spyne's types and operations.


def _service_class(service: Service) -> type[Any]:
    types: dict[str, type[Any]] = {}
    methods = {name: _operation(operation, service, types) for name, operation in service.operations.items()}
    made: type[Any] = type(ServiceBase)(service.name, (ServiceBase,), methods)
    return made


def _operation(operation: Operation, service: Service, types: dict[str, type[Any]]) -> Any:
    def run(exchange: Exchange, request: None = None) -> None:
        assert exchange.call is not None
        exchange.handle(exchange.call, exchange.answered)

    def run_empty(exchange: Exchange) -> None:
        run(exchange)

    run.__name__ = run_empty.__name__ = operation.name
    header = Unicode.customize()
    header.__type_name__, header.__namespace__ = operation.headers[0], service.namespace
    request = _spyne_type(operation.request, service, types)
    # A request without a field is declared without an argument: Spyne refuses an empty bare one (trap 3).
    has_fields = bool(request._type_info)
    declare = rpc(
        *([request] if has_fields else []),
        _returns=_spyne_type(operation.response, service, types),
        _body_style="bare",
        _in_message_name=f"{{{service.namespace}}}{operation.request.name}",
        _out_message_name=f"{{{service.namespace}}}{operation.response.name}",
        _in_header=(header,),
    )
    return declare(run if has_fields else run_empty)


def _spyne_type(element: Element, service: Service, types: dict[str, type[Any]]) -> Any:
    kind = element.type
    if isinstance(kind, SimpleType):
        return _leaf_type(kind)
    if kind.name not in types:
        types[kind.name] = type(ComplexModel)(
            kind.name,
            (ComplexModel,),
            {"__namespace__": service.namespace, "_type_info": _members(kind, service, types)},
        )
    return types[kind.name]


def _members(kind: ComplexType, service: Service, types: dict[str, type[Any]]) -> list[tuple[str, Any]]:
    return [
        (
            element.name,
            _spyne_type(element, service, types).customize(
                min_occurs=element.min_occurs,
                max_occurs="unbounded" if element.max_occurs is None else element.max_occurs,
            ),
        )
        for element in kind.elements
    ]


_LEAVES = {"int": Integer32, "dateTime": DateTime, "decimal": Decimal, "boolean": Boolean, "anyURI": AnyUri}


def _leaf_type(kind: SimpleType) -> Any:
    if kind.base != "string":
        facets = {} if kind.fraction_digits is None else {"fraction_digits": kind.fraction_digits}
        return _LEAVES[kind.base].customize(**facets)
    facets = {} if kind.max_length is None else {"max_len": kind.max_length}
    return Unicode.customize(**facets, **({"values": set(kind.enumeration)} if kind.enumeration else {}))
