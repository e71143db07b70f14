"""The OCPP services on Spyne: one Application per WSDL, its operations and types built from it at the start.

Spyne dispatches and keeps the order of things; our codec is plugged in as its protocol, and the answer is awaited
between its two halves, so that no thread waits for a Charge Point. Nothing outside this module knows Spyne.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from bridge.dialects.dialect import AnsweredHere, Dialect
from bridge.dialects.known import Known
from bridge.dialects.versions import OCPP16
from bridge.errors import BridgeError, ErrorCode, FaultCode, MessageError, Unavailable
from bridge.ocpp.losses import Loss, Reason
from bridge.ocpp.manners import PLAIN, Manners
from bridge.ocpp.messages import Response
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Unanswered
from bridge.ocpps import spyne_on_new_pythons  # noqa: F401  (before Spyne)
from bridge.ocpps.codec import Codec
from bridge.ocpps.envelope import Envelope, Headers, Soap, anonymous, version_mismatch, write, write_fault
from bridge.ocpps.wsdl import ComplexType, Element, Operation, Service, SimpleType

# isort: split
from spyne import (
    AnyUri,
    Application,
    Boolean,
    ComplexModel,
    DateTime,
    Decimal,
    Fault,
    Integer32,
    MethodContext,
    ServiceBase,
    Unicode,
    rpc,
)
from spyne.protocol.soap import Soap12
from spyne.server import ServerBase

# Spyne would log every refused message in full and with a traceback; the bridge logs its own line about it. What fails
# inside Spyne itself is still said, by `spyne.application`.
for _noisy in ("spyne.server", "spyne.protocol", "spyne.util.appreg"):
    logging.getLogger(_noisy).setLevel(logging.CRITICAL + 1)

Handle = Callable[[Call], Awaitable[Answer]]
_SERVICE_UNAVAILABLE = 503
_FAILED = "the bridge failed; its log says why"
_log = logging.getLogger("bridge.ocpps")


class Reply(Struct, frozen=True, kw_only=True):
    """What goes back over HTTP. `error` is set when it is a Fault; `losses` is what writing it cost."""

    status: int
    body: bytes
    content_type: str
    error: CallError | None = None
    losses: tuple[Loss, ...] = ()


class Exchange:
    """One message on its way through Spyne (its `udc`, the user-defined context)."""

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
        self.call: Call | None = None
        self.refusal: BridgeError | None = None  # why it did not become a Call
        self.reply: Reply | None = None


class _Refused(Fault):  # type: ignore[misc]
    """An answer that is not a CallResult, on Spyne's way for errors."""

    def __init__(self, answer: CallError | Unanswered, code: FaultCode | None = None) -> None:
        super().__init__("Client", "")
        self.answer = answer
        self.code = code


class _Answered(Fault):  # type: ignore[misc]
    """A message that is answered on the spot, on Spyne's way for errors."""

    def __init__(self, answer: Response) -> None:
        super().__init__("Client", "")
        self.answer = answer


class _Protocol(Soap12):  # type: ignore[misc]
    """Spyne's protocol interface over our codec."""

    def __init__(self, codec: Codec, mint: Callable[[], str]) -> None:
        super().__init__()
        self._codec = codec
        self._mint = mint

    def create_in_document(self, ctx: Any, charset: str | None = None) -> None:
        ctx.in_document = ctx.udc.envelope.body

    def decompose_incoming_envelope(self, ctx: Any, message: Any = None) -> None:
        try:
            operation = self._codec.operation_of(ctx.in_document)
        except MessageError as error:
            raise _refusal(ctx.udc, error) from error
        ctx.in_body_doc = ctx.in_document
        ctx.method_request_string = f"{{{self._codec.service.namespace}}}{operation.request.name}"

    def deserialize(self, ctx: Any, message: Any) -> None:
        exchange: Exchange = ctx.udc
        try:
            exchange.call = self._codec.read_call(
                exchange.envelope,
                exchange.unique_id,
                strict=exchange.strict,
                known=exchange.known,
                manners=exchange.manners,
            )
        except AnsweredHere as here:
            if exchange.strict:
                raise _refusal(exchange, here) from here
            # It says nothing that the other side could hear, and is no fault of the sender's.
            raise _Answered(here.answer) from here
        except MessageError as error:
            raise _refusal(exchange, error) from error
        # Spyne hands a bare request on as the one argument, and wants an empty one to be no argument.
        ctx.in_object = exchange.call if ctx.descriptor.in_message._type_info else ()

    def serialize(self, ctx: Any, message: Any) -> None:
        if isinstance(ctx.out_error, _Answered):
            action = self._action(ctx.descriptor.name.rpartition("}")[2])
            reply = self._written(ctx.udc, action, ctx.out_error.answer)
            lost = Loss(message=f"{action}Request", path="", reason=Reason.ANSWERED_HERE)
            ctx.udc.reply = msgspec.structs.replace(reply, losses=(lost, *reply.losses))
        elif ctx.out_error is None:
            ctx.udc.reply = self._result(ctx.udc, ctx.out_object[0])
        else:
            ctx.udc.reply = self.fault(ctx.udc, ctx.out_error)

    def create_out_string(self, ctx: Any, charset: str | None = None) -> None:
        ctx.out_string = [ctx.udc.reply.body]

    def _action(self, request_name: str) -> str:
        """Spyne knows an operation by the name of its request (trap 5)."""
        operations = self._codec.service.operations.values()
        return next(op.name for op in operations if request_name in (op.name, op.request.name))

    def _result(self, exchange: Exchange, result: CallResult) -> Reply:
        assert exchange.call is not None
        return self._written(exchange, exchange.call.action, result.payload)

    def _written(self, exchange: Exchange, action: str, payload: Response) -> Reply:
        try:
            body, losses = self._codec.write_result(payload, action, exchange.manners)
        except MessageError as error:
            text = f"the Central System's answer cannot be written in SOAP: {error.description}"
            return self.fault(exchange, _refusal(exchange, BridgeError(ErrorCode.InternalError, text)))
        soap = exchange.envelope.soap
        headers = self._headers(exchange, self._codec.service.operations[action].response_action)
        return Reply(status=200, body=write(body, headers, soap), content_type=soap.content_type, losses=losses)

    def fault(self, exchange: Exchange, refused: Fault) -> Reply:
        if not isinstance(refused, _Refused):
            refused = _refusal(exchange, BridgeError(ErrorCode.InternalError, _FAILED))
        soap, wsa = exchange.envelope.soap, exchange.envelope.addressing.namespace
        fault = write_fault(refused.answer, self._codec.service.namespace, refused.code)
        # DESIGN section 5: a Charge Point whose Central System is away is told so by HTTP, too.
        away = isinstance(refused.answer, Unanswered)
        return Reply(
            status=_SERVICE_UNAVAILABLE if away else fault.code.http_status,
            body=write(fault.element(soap), self._headers(exchange, f"{wsa}/fault"), soap),
            content_type=soap.content_type,
            error=fault.error,
        )

    def _headers(self, exchange: Exchange, action: str) -> Headers:
        addressing = exchange.envelope.addressing
        return Headers(
            action=action,
            message_id=f"urn:uuid:{self._mint()}",
            relates_to=addressing.message_id,
            to=anonymous(addressing.namespace),
            namespace=addressing.namespace,
            must_understand=exchange.manners.must_understand,
        )

    def mismatch(self, exchange: Exchange) -> Reply:
        text = "SOAP 1.1 is not spoken here: OCPP-S demands SOAP 1.2"
        error = CallError.of(exchange.unique_id, BridgeError(ErrorCode.ProtocolError, text))
        fault = version_mismatch(text)
        headers = self._headers(exchange, f"{exchange.envelope.addressing.namespace}/fault")
        body = write(fault, headers, Soap.V11)
        # SOAP 1.1, section 6.2: a Fault travels with HTTP 500.
        return Reply(status=500, body=body, content_type=Soap.V11.content_type, error=error)


def _refusal(exchange: Exchange, error: BridgeError) -> _Refused:
    exchange.refusal = error
    if isinstance(error, Unavailable):
        return _Refused(Unanswered(unique_id=exchange.unique_id, reason=error.description))
    return _Refused(CallError.of(exchange.unique_id, error), error.fault)


class SoapService:
    """One service in one OCPP version, ready to answer. `mint` gives a fresh UUID."""

    def __init__(self, service: Service, mint: Callable[[], str], dialect: Dialect = OCPP16) -> None:
        self.service = service
        codec = Codec(service, dialect)
        self._protocol = _Protocol(codec, mint)
        application = Application(
            [_service_class(service)],
            tns=service.namespace,
            name=service.name,
            in_protocol=_Protocol(codec, mint),
            out_protocol=self._protocol,
        )
        self._server = ServerBase(application)

    async def answer(self, exchange: Exchange) -> Reply:
        """The reply to `exchange`. Its handler is awaited once, if the request can be read. Raises nothing of Spyne."""
        ctx = MethodContext(self._server, MethodContext.SERVER)
        ctx.udc = exchange
        (ctx,) = self._server.generate_contexts(ctx)
        if ctx.in_error is None:
            self._server.get_in_object(ctx)
        if ctx.in_error is None:
            self._server.get_out_object(ctx)
        if ctx.out_error is None:
            await _settle(ctx)
        self._server.get_out_string(ctx)
        assert exchange.reply is not None
        return exchange.reply

    def refuse(self, exchange: Exchange, error: BridgeError) -> Reply:
        """The Fault for a request that does not come as far as its operation."""
        return self._protocol.fault(exchange, _refusal(exchange, error))

    def mismatch(self, exchange: Exchange) -> Reply:
        """The Fault for a SOAP version that is not spoken."""
        return self._protocol.mismatch(exchange)


async def _settle(ctx: Any) -> None:
    """Wait for the answer that the operation promised. One that is not a CallResult takes Spyne's way for errors."""
    try:
        answer = await ctx.out_object[0]
    except BridgeError as error:
        ctx.out_error = _refusal(ctx.udc, error)
    except Exception:
        _log.exception("a Call could not be handled")
        ctx.out_error = _refusal(ctx.udc, BridgeError(ErrorCode.InternalError, _FAILED))
    else:
        if isinstance(answer, CallResult):
            ctx.out_object = [answer]
        else:
            ctx.out_error = _Refused(answer)


# From the WSDL to Spyne's types and operations.


def _service_class(service: Service) -> type[Any]:
    types: dict[str, type[Any]] = {}
    methods = {name: _operation(operation, service, types) for name, operation in service.operations.items()}
    made: type[Any] = type(ServiceBase)(service.name, (ServiceBase,), methods)
    return made


def _operation(operation: Operation, service: Service, types: dict[str, type[Any]]) -> Any:
    def run(ctx: Any, call: Any) -> Awaitable[Answer]:
        return _handled(ctx.udc)

    def run_empty(ctx: Any) -> Awaitable[Answer]:
        return _handled(ctx.udc)

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


def _handled(exchange: Exchange) -> Awaitable[Answer]:
    assert exchange.call is not None
    return exchange.handle(exchange.call)


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
