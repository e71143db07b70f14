"""What Spyne costs: both halves of a Spyne server around a protocol that does nothing, with Spyne's own context as it
comes and with ours, and the share of a Boot exchange that this is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from bridge.ocpps import envelope
from bridge.ocpps.service import SoapContext
from tests.bench import messages
from tests.bench.figures import Figure, Plan, figure, table
from tests.bench.legs import LEGS, measured
from tests.bench.load import closed
from tests.bench.timing import taking_turns

# isort: split
from spyne import Application, ServiceBase, Unicode, rpc
from spyne.context import MethodContext
from spyne.protocol import ProtocolBase
from spyne.server import ServerBase

_NAMESPACE = "urn://Ocpp/Cs/2015/10/"
_ACTION = "BootNotification"
_NAME = f"{{{_NAMESPACE}}}bootNotificationRequest"


class Halves(Struct, frozen=True, kw_only=True):
    """Microseconds of processor time that both halves take for one request, and the share that this is of what the
    bridge spends on a Boot exchange, 0 to 1; None where the system does not tell that."""

    name: str
    us: Figure
    of_exchange: float | None


class _Empty(ProtocolBase):  # type: ignore[misc]  # Spyne has no types
    """Finds the operation, and neither reads nor writes a message."""

    def create_in_document(self, ctx: Any, charset: str | None = None) -> None:
        ctx.in_document = _NAME

    def decompose_incoming_envelope(self, ctx: Any, message: object) -> None:
        ctx.method_request_string = _NAME

    def deserialize(self, ctx: Any, message: object) -> None:
        ctx.in_object = ("",)

    def serialize(self, ctx: Any, message: object) -> None:
        ctx.out_document = b""

    def create_out_string(self, ctx: Any, charset: str | None = None) -> None:
        ctx.out_string = (ctx.out_document,)


class _EmptyForOurs(_Empty):
    """Makes no copy of the context, as the bridge's protocol makes none."""

    def generate_method_contexts(self, ctx: Any) -> list[Any]:
        (ctx.descriptor,) = self.get_call_handles(ctx)
        return [ctx]


def halves() -> dict[str, Callable[[], bytes]]:
    """One request through both halves, by the name of the context."""
    theirs, ours = _server(_Empty), _server(_EmptyForOurs)
    read = envelope.read(messages.envelope(_ACTION, "CP 1"))

    def with_theirs() -> bytes:
        (context,) = theirs.generate_contexts(MethodContext(theirs, MethodContext.SERVER))
        answer = _through(theirs, context)
        context.close()
        return answer

    def with_ours() -> bytes:
        exchange = SoapContext(read, "1", False, _no_handler)
        exchange._out_protocol = ours.app.out_protocol
        (context,) = ours.generate_contexts(exchange)
        return _through(ours, context)

    return {"Spyne's MethodContext": with_theirs, "the bridge's Exchange": with_ours}


def _through(server: Any, context: Any) -> bytes:
    server.get_in_object(context)
    server.get_out_object(context)
    server.get_out_string(context)
    (answer,) = context.out_string
    assert isinstance(answer, bytes) and context.out_object is not None
    return answer


def _no_handler(*_: object) -> None:
    raise AssertionError("no Call is made of the message")


def _server(protocol: type[_Empty]) -> Any:
    def run(_: Any, request: str) -> str:
        return request

    declare = rpc(
        Unicode,
        _returns=Unicode,
        _body_style="bare",
        _in_message_name=_NAME,
        _out_message_name=f"{{{_NAMESPACE}}}bootNotificationResponse",
    )
    run.__name__ = _ACTION
    service = type(ServiceBase)("CentralSystemService", (ServiceBase,), {_ACTION: declare(run)})
    return ServerBase(Application([service], tns=_NAMESPACE, in_protocol=protocol(), out_protocol=protocol()))


async def measure(plan: Plan) -> list[Halves]:
    """Both contexts, and a Boot exchange of a bridge that runs beside."""
    exchange = await _exchange(plan)
    timed = taking_turns(halves(), plan)
    return [
        Halves(name=name, us=us, of_exchange=us.median / exchange if exchange else None) for name, us in timed.items()
    ]


async def _exchange(plan: Plan) -> float:
    """Microseconds that the bridge spends on a Boot exchange, SOAP -> JSON; 0.0 where that is not told."""
    async with measured(LEGS["soap-json"], "bridge", plan.charge_points) as one:
        runs = [await closed(one.work[_ACTION], plan.seconds, one.subject.pid) for _ in range(plan.repetitions + 1)]
    spent = figure(1e6 * run.subject / run.per_second for run in runs[1:]).median
    return spent if spent > 0 else 0.0


def report(figures: list[Halves]) -> str:
    """For a person."""
    rows = [
        (one.name, one.us.text(1), "not known" if one.of_exchange is None else f"{one.of_exchange:.1%}")
        for one in figures
    ]
    return table(("both halves of a Spyne server, empty", "CPU, us (spread)", "of a Boot exchange"), rows)
