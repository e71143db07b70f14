"""The OCPP services on Spyne: one Application per WSDL, with operations and types that are built from the WSDL.

A Spyne server carries each admitted request: `generate_contexts`, `get_in_object` and `get_out_object` when the request
arrives, `get_out_string` when its answer is known. The codec is the protocol of both directions. The answer arrives by
a call of a function, so that neither a thread nor a task waits for a Charge Point. No other module uses Spyne, except
`spyne_on_new_pythons`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from bridge.dialects.dialect import Dialect
from bridge.dialects.known import Known
from bridge.dialects.versions import OCPP16
from bridge.errors import BridgeError, ErrorCode, HeldElsewhere, MessageError
from bridge.ocpp.device_profile import PLAIN, DeviceProfile
from bridge.ocpp.message_size import is_large
from bridge.ocpp.rpc import Answer, Call, CallResult, Unanswered
from bridge.ocpp.wire import Wires
from bridge.ocpps import headers, spyne_on_new_pythons  # noqa: F401  (before Spyne)
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
from spyne.context import MethodContext
from spyne.descriptor import BODY_STYLE_BARE
from spyne.protocol import ProtocolBase
from spyne.server import ServerBase

logging.getLogger("spyne.util.appreg").setLevel(logging.CRITICAL + 1)

Handle = Callable[[str, Call], None]
"""Takes the key of a request and its Call. `PendingRequests` takes the answer, now or later. Raises BridgeError."""
Tell = Callable[[Reply], None]
# Takes a long computation, and the function to call with its result.
Aside = Callable[[Callable[[], object], Callable[[object], None]], None]
_log = logging.getLogger("bridge.ocpps")


class PendingRequests:
    """The SOAP requests whose Calls wait for their answer, by key.

    A key is data, "CONNECTION/NUMBER": the connection of the request, and its number on that connection. So an answer
    needs no reference to the request that it is for.
    """

    def __init__(self) -> None:
        self._contexts: dict[str, SoapContext] = {}

    def __len__(self) -> int:
        return len(self._contexts)

    def expect(self, key: str, context: SoapContext) -> None:
        """Add a request, whose Call is being handled."""
        self._contexts[key] = context

    def forget(self, key: str) -> None:
        """Remove a request that gets no answer, because its Call could not be handled."""
        self._contexts.pop(key, None)

    def answer(self, key: str, answer: Answer) -> None:
        """Answer the request with this key. Do nothing if no such request waits."""
        context = self._contexts.pop(key, None)
        if context is not None:
            context.answered(answer)

    def drop(self, named: Callable[[str], bool]) -> None:
        """End the requests unanswered that name a Charge Point whose key `named` returns True for."""
        for key, context in tuple(self._contexts.items()):
            if named(context.charge_point):
                self.hand_over(key)

    def hand_over(self, key: str) -> None:
        """End the request with this key unanswered. Another process may answer it."""
        if (context := self._contexts.pop(key, None)) is not None:
            context.tell = None
            context.drop()

    def close(self, reason: str) -> None:
        """Answer all requests that wait as unanswered, for `reason`."""
        for key in tuple(self._contexts):
            self.answer(key, Unanswered(unique_id="", reason=reason))


class SoapContext(MethodContext):  # type: ignore[misc]  # Spyne has no types
    """Spyne's context of one request and its answer.

    Setting an attribute calls no code of Spyne, and no event is fired: Spyne's own code for that costs more than twice
    the rest of reading and writing a message.
    """

    __setattr__ = object.__setattr__

    def __init__(
        self,
        envelope: Envelope,
        unique_id: str,
        strict: bool,
        handle: Handle,
        known: Known | None = None,
        profile: DeviceProfile = PLAIN,
        *,
        passes: bool = False,
        key: str = "",
        pending: PendingRequests | None = None,
    ) -> None:
        self.envelope = envelope
        self.key = key
        self.pending = pending  # holds the request while its Call waits for the answer; None for a refusal
        self.passes = passes  # the receiver speaks the same version: the body is passed on unchanged
        self.known = known
        self.profile = profile
        self.unique_id = unique_id
        self.wires: Wires | None = None  # the octets for the recorder, which the Call carries
        self.strict = strict
        self.handle = handle
        self.tell: Tell | None = None  # takes the one reply; None afterwards
        # Runs long computations on a large message in a thread; None runs them at once.
        self.aside: Aside | None = None
        self.is_large = False  # the request is large
        self.charge_point = ""  # the key of the Charge Point that the request names
        self.drop: Callable[[], None] = lambda: None  # ends the request unanswered
        self.call: Call | None = None
        self.answer: Answer | None = None
        # Writes the reply of a context whose answer has come; None while the Call is passed to its handler. It holds no
        # reference to this context: reference cycles wait for the garbage collector, which stops all traffic.
        self.finish: Callable[[SoapContext], None] | None = None
        self.refusal: BridgeError | None = None  # the error of the Fault, if the bridge refused the request
        self.reply: Reply | None = None
        # The attributes that Spyne reads and writes.
        self.in_document: Envelope | None = None
        self.in_body_doc = envelope.body
        self.in_object: Any = None
        self.out_object: Any = None
        self.out_document: Reply | None = None
        self.out_string: tuple[bytes] | None = None
        self.method_request_string = ""
        self.outprot_ctx = self.protocol = None
        self.in_error: BridgeError | None = None
        self.out_error: BridgeError | None = None
        self.pusher_stack: list[object] = []

    def fire_event(self, event: str, *args: object, **kwargs: object) -> None:
        """Do nothing: no code listens to Spyne's events."""

    def fail(self, error: BridgeError) -> None:
        """Set the error of the Call's handler, unless the handler has given an answer before."""
        if self.answer is None:
            self.out_error = error

    def answered(self, answer: Answer) -> None:
        """Take the answer to the Call, now or later, unless the reply is decided."""
        if self.answer is None and self.out_error is None:
            self.answer = answer
            if self.finish is not None:
                self.finish(self)


class OcppProtocol(ProtocolBase):  # type: ignore[misc]
    """The Spyne protocol of one service, in both directions.

    Its methods set an error in the context and do not raise it: Spyne would log each exception with a traceback.
    """

    def __init__(self, codec: Codec, replies: Replies) -> None:
        super().__init__()
        self._codec = codec
        self._replies = replies
        namespace = codec.service.namespace
        self._names = {name: f"{{{namespace}}}{one.request.name}" for name, one in codec.service.operations.items()}

    def create_in_document(self, ctx: SoapContext, charset: str | None = None) -> None:
        """Set the envelope, which the listener read to find the sender."""
        ctx.in_document = ctx.envelope

    def decompose_incoming_envelope(self, ctx: SoapContext, message: object) -> None:
        """Set the Body of the envelope."""
        ctx.in_body_doc = ctx.envelope.body

    def generate_method_contexts(self, ctx: SoapContext) -> list[SoapContext]:
        """Find the operation, and return the only context: no operation has auxiliary methods of Spyne."""
        try:
            operation = self._codec.operation_of(ctx.in_body_doc)
        except MessageError as error:
            ctx.in_error = error
        else:
            ctx.method_request_string = self._names[operation.name]
            (ctx.descriptor,) = self.get_call_handles(ctx)
        return [ctx]

    def deserialize(self, ctx: SoapContext, message: object) -> None:
        """Read the Call from the message, or set the error."""
        if ctx.in_error is not None:
            return
        try:
            if ctx.strict:
                operation = self._codec.operation_of(ctx.in_body_doc)
                headers.check_request(ctx.envelope, operation.request_action, self._codec.service.namespace)
            ctx.call = self._codec.read_call(
                ctx.envelope,
                ctx.unique_id,
                strict=ctx.strict,
                known=ctx.known,
                profile=ctx.profile,
                passes=ctx.passes,
                wires=ctx.wires,
            )
            # Spyne's method for a request without fields takes no argument.
            ctx.in_object = ctx.call if ctx.descriptor.body_style is BODY_STYLE_BARE else ()
        except MessageError as error:
            ctx.in_error = error
        except Exception:
            _log.exception("a message could not be read")
            ctx.in_error = BridgeError(ErrorCode.InternalError, FAILED)

    def serialize(self, ctx: SoapContext, message: object) -> None:
        """Write the answer, or the Fault."""
        try:
            ctx.reply = self._reply(ctx)
        except Exception:  # a defect of the bridge, not of the party that answered
            _log.exception("an answer could not be told")
            ctx.reply = self.refuse(ctx, BridgeError(ErrorCode.InternalError, FAILED))
        ctx.out_document = ctx.reply

    def create_out_string(self, ctx: SoapContext, charset: str | None = None) -> None:
        """Set the octets of the reply."""
        assert ctx.reply is not None
        ctx.out_string = (ctx.reply.body,)

    def _reply(self, ctx: SoapContext) -> Reply:
        error = ctx.in_error or ctx.out_error
        if error is not None:
            return self.refuse(ctx, error)
        answer = ctx.answer
        assert ctx.call is not None
        assert answer is not None
        if not isinstance(answer, CallResult):
            return self._replies.failure(ctx.envelope, answer, None, ctx.profile)
        try:
            return self._replies.result(ctx.envelope, ctx.call.action, answer.payload, ctx.profile, answer.verbatim)
        except MessageError as failure:
            text = f"the Central System's answer cannot be written in SOAP: {failure.description}"
            return self.refuse(ctx, BridgeError(ErrorCode.InternalError, text))

    def refuse(self, ctx: SoapContext, error: BridgeError) -> Reply:
        """Return the Fault for a request that the bridge refuses, before or after its operation."""
        ctx.refusal = error
        return self._replies.refusal(ctx.envelope, ctx.unique_id, error, ctx.profile)


class SoapService:
    """One service in one OCPP version, which answers requests.

    Args:
        service: The service by its WSDL.
        mint: Returns a fresh UUID.
        dialect: The OCPP version.
    """

    def __init__(self, service: Service, mint: Callable[[], str], dialect: Dialect = OCPP16) -> None:
        self.service = service
        codec = Codec(service, dialect)
        self._replies = Replies(codec, mint)
        self._protocol = OcppProtocol(codec, self._replies)
        application = Application(
            [_service_class(service)],
            tns=service.namespace,
            name=service.name,
            in_protocol=self._protocol,
            out_protocol=OcppProtocol(codec, self._replies),
        )
        self._server = ServerBase(application)

    def answer(self, exchange: SoapContext, tell: Tell) -> None:
        """Read the request and call its handler, if the request can be read. Raises nothing.

        Args:
            exchange: The context of the request.
            tell: Called with the one reply, now or later.
        """
        exchange.tell = tell
        exchange._out_protocol = self._server.app.out_protocol
        self._server.generate_contexts(exchange)
        if exchange.is_large and exchange.aside is not None:
            exchange.aside(partial(self._server.get_in_object, exchange), partial(self._proceed, exchange))
        else:
            self._server.get_in_object(exchange)
            self._proceed(exchange)

    def _proceed(self, exchange: SoapContext, _: object = None) -> None:
        """Pass the Call to the handler, or finish with a Fault if the request could not be read."""
        if exchange.in_error is None:
            self._server.get_out_object(exchange)
        exchange.finish = self._finish
        if exchange.answer is not None or exchange.in_error is not None or exchange.out_error is not None:
            self._finish(exchange)

    def _finish(self, exchange: SoapContext) -> None:
        answer, write = exchange.answer, partial(self._server.get_out_string, exchange)
        if exchange.aside is not None and isinstance(answer, CallResult) and is_large(answer.payload):
            exchange.aside(write, partial(_told, exchange))
        else:
            write()
            _told(exchange)

    def refuse(self, exchange: SoapContext, error: BridgeError) -> Reply:
        """Return the Fault for a message that is not admitted."""
        return self._protocol.refuse(exchange, error)

    def mismatch(self, exchange: SoapContext) -> Reply:
        """Return the Fault for a request in SOAP 1.1, where the route refuses SOAP 1.1."""
        return self._replies.mismatch(exchange.envelope, exchange.unique_id, exchange.profile)


def _told(exchange: SoapContext, _: object = None) -> None:
    """Call `tell` with the reply, at the first call only."""
    tell, exchange.tell = exchange.tell, None
    if tell is not None:
        assert exchange.reply is not None
        tell(exchange.reply)


# From the WSDL to Spyne's types and operations.


def _service_class(service: Service) -> type[Any]:
    types: dict[str, type[Any]] = {}
    methods = {name: _operation(operation, service, types) for name, operation in service.operations.items()}
    made: type[Any] = type(ServiceBase)(service.name, (ServiceBase,), methods)
    return made


def _operation(operation: Operation, service: Service, types: dict[str, type[Any]]) -> Any:
    def run(exchange: SoapContext, call: Call | None = None) -> None:
        """Pass the Call to the handler. The answer arrives later, so this method of Spyne's service returns nothing."""
        assert exchange.call is not None
        assert exchange.pending is not None
        exchange.pending.expect(exchange.key, exchange)
        try:
            exchange.handle(exchange.key, exchange.call)
        except HeldElsewhere:
            exchange.pending.hand_over(exchange.key)
        except BridgeError as error:
            exchange.fail(error)
        except Exception:
            _log.exception("a Call could not be handled")
            exchange.fail(BridgeError(ErrorCode.InternalError, FAILED))
        if exchange.out_error is not None:
            exchange.pending.forget(exchange.key)

    def run_empty(exchange: SoapContext) -> None:
        run(exchange)

    run.__name__ = run_empty.__name__ = operation.name
    header = Unicode.customize()
    header.__type_name__, header.__namespace__ = operation.headers[0], service.namespace
    request = _spyne_type(operation.request, service, types)
    # The method for a request without fields takes no argument: Spyne refuses an empty bare request (trap 3).
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
