"""What the libraries cost as they come: Spyne as the SOAP end, with its own object model and validation by the schema
that it makes of that; zeep as the client, in threads. Both in front of the same WebSocket, JSON by their own means.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from bridge.net.tasks import Tasks
from bridge.ocpps import spyne_on_new_pythons  # noqa: F401  (before Spyne)
from bridge.ocpps.wsdl import default_folder, folder_name
from tests.bench import floor

# isort: split
import zeep.helpers
from aiohttp import web
from spyne import Application, ComplexModel, DateTime, Integer32, ServiceBase, Unicode, rpc
from spyne.context import MethodContext
from spyne.protocol.json import JsonDocument
from spyne.protocol.soap import Soap12
from spyne.server import ServerBase
from spyne.util.dictdoc import get_doc_as_object, get_object_as_doc

_NS = "urn://Ocpp/Cs/2015/10/"
_NAMESPACE = {"__namespace__": _NS}
_THREADS = 32
_AS_DICT = JsonDocument(ignore_wrappers=True, complex_as=dict)
logging.disable(logging.CRITICAL)


def _optional(kind: Any) -> Any:
    return kind.customize(min_occurs=0)


def _model(name: str, fields: list[tuple[str, Any]]) -> Any:
    return type(ComplexModel)(name, (ComplexModel,), {**_NAMESPACE, "_type_info": fields})


def _required(kind: Any, **facets: Any) -> Any:
    return kind.customize(min_occurs=1, nillable=False, **facets)


_ENUM = Unicode(50)
_Boot = _model(
    "BootNotificationRequest",
    [
        ("chargePointVendor", _required(Unicode, max_len=20)),
        ("chargePointModel", _required(Unicode, max_len=20)),
        ("chargePointSerialNumber", _optional(Unicode(25))),
        ("chargeBoxSerialNumber", _optional(Unicode(25))),
        ("firmwareVersion", _optional(Unicode(50))),
        ("iccid", _optional(Unicode(20))),
        ("imsi", _optional(Unicode(20))),
        ("meterType", _optional(Unicode(25))),
        ("meterSerialNumber", _optional(Unicode(25))),
    ],
)
_Booted = _model(
    "BootNotificationResponse",
    [
        ("status", _required(Unicode, values={"Accepted", "Pending", "Rejected"})),
        ("currentTime", _required(DateTime)),
        ("interval", _required(Integer32)),
    ],
)
_HeartbeatAnswer = _model("HeartbeatResponse", [("currentTime", _required(DateTime))])
_Sampled = _model(
    "SampledValue",
    [
        ("value", _required(Unicode)),
        *((name, _optional(_ENUM)) for name in ("context", "format", "measurand", "phase", "location", "unit")),
    ],
)
_MeterValue = _model(
    "MeterValue",
    [("timestamp", _required(DateTime)), ("sampledValue", _required(_Sampled, max_occurs="unbounded"))],
)
_MeterValues = _model(
    "MeterValuesRequest",
    [
        ("connectorId", _required(Integer32)),
        ("transactionId", _optional(Integer32)),
        ("meterValue", _MeterValue.customize(min_occurs=0, max_occurs="unbounded")),
    ],
)
_MeterValuesAnswer = _model("MeterValuesResponse", [])
_Identity = Unicode.customize()
_Identity.__type_name__, _Identity.__namespace__ = "chargeBoxIdentity", _NS

Handle = Callable[[str, str, dict[str, Any]], Awaitable[dict[str, Any]]]


def _operation(action: str, request: Any, response: Any, handle: Handle) -> Any:
    """As it is written with Spyne; but the answer is promised, and awaited by who runs it."""
    first = action[0].lower() + action[1:]

    async def answered(identity: str, payload: dict[str, Any]) -> Any:
        fields = await handle(identity, action, payload)
        return get_doc_as_object(fields, response, protocol_inst=_AS_DICT)

    def run(ctx: Any, message: Any) -> Any:
        return answered(str(ctx.in_header), get_object_as_doc(message, request, protocol_inst=_AS_DICT))

    def run_empty(ctx: Any) -> Any:
        return answered(str(ctx.in_header), {})

    run.__name__ = run_empty.__name__ = action
    declared = rpc(
        *([] if request is None else [request]),
        _returns=response,
        _body_style="bare",
        _in_message_name=f"{{{_NS}}}{first}Request",
        _out_message_name=f"{{{_NS}}}{first}Response",
        _in_header=(_Identity,),
    )
    return declared(run_empty if request is None else run)


class _Server(ServerBase):  # type: ignore[misc]
    transport = "http://aiohttp"


def _server(handle: Handle) -> _Server:
    operations = {
        "BootNotification": _operation("BootNotification", _Boot, _Booted, handle),
        "Heartbeat": _operation("Heartbeat", None, _HeartbeatAnswer, handle),
        "MeterValues": _operation("MeterValues", _MeterValues, _MeterValuesAnswer, handle),
    }
    service = type(ServiceBase)("CentralSystemService", (ServiceBase,), operations)
    protocols = {"in_protocol": Soap12(validator="lxml"), "out_protocol": Soap12()}
    return _Server(Application([service], tns=_NS, name="CentralSystemService", **protocols))


async def respond(server: _Server, envelope: bytes) -> bytes:
    """Spyne's own way of a message, awaited in its middle. Raises RuntimeError where it makes a Fault."""
    context = MethodContext(server, MethodContext.SERVER)
    context.in_string = [envelope]
    (context,) = server.generate_contexts(context)
    if context.in_error is None:
        server.get_in_object(context)
    if context.in_error is not None:
        raise RuntimeError(repr(context.in_error))
    server.get_out_object(context)
    if context.out_error is not None:
        raise RuntimeError(repr(context.out_error))
    if inspect.isawaitable(context.out_object[0]):
        context.out_object = [await context.out_object[0]]
    server.get_out_string(context)
    return b"".join(context.out_string)


async def soap_json(central_system: str) -> int:
    """A POST, Spyne, one WebSocket for each Charge Point, Spyne, the response."""
    sockets: dict[str, ClientConnection] = {}
    locks: dict[str, asyncio.Lock] = {}

    async def handle(identity: str, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        async with locks.setdefault(identity, asyncio.Lock()):
            if identity not in sockets:
                sockets[identity] = await floor.dial(f"{central_system}/{identity}")
            await sockets[identity].send(json.dumps([2, "0" * 36, action, payload]))
            answer: dict[str, Any] = json.loads(await sockets[identity].recv())[2]
        return answer

    server = _server(handle)

    async def answer(request: web.Request) -> web.Response:
        body = await respond(server, await request.read())
        return web.Response(body=body, headers=floor.CONTENT_TYPE)

    return await floor.listening(answer)


class _Zeep:
    """A client in threads, since it waits."""

    def __init__(self, service: str, url: str) -> None:
        wsdl: Path = default_folder() / folder_name("1.6") / f"{service}.wsdl"
        client = zeep.Client(str(wsdl))  # type: ignore[no-untyped-call]
        self._service = client.create_service(next(iter(client.wsdl.bindings)), url)  # type: ignore[no-untyped-call]
        self._threads = ThreadPoolExecutor(_THREADS)

    async def carry(self, near: Connection, identity: str) -> None:
        """Calls that come over `near`, as POSTs."""
        loop = asyncio.get_running_loop()
        with suppress(ConnectionClosed):
            async for frame in near:
                _, unique_id, action, payload = json.loads(frame)
                answer = await loop.run_in_executor(self._threads, self._call, action, identity, payload)
                await near.send(json.dumps([3, unique_id, answer], default=str))

    def _call(self, action: str, identity: str, payload: dict[str, Any]) -> Any:
        answer = self._service[action](**payload, _soapheaders={"ChargeBoxIdentity": identity})
        return zeep.helpers.serialize_object(answer, dict)  # type: ignore[no-untyped-call]


async def json_soap(central_system: str) -> int:
    """A frame, zeep, a POST, zeep, a frame."""
    client = _Zeep("CentralSystemService", central_system)

    async def carry(near: ServerConnection) -> None:
        assert near.request is not None
        await client.carry(near, near.request.path.rpartition("/")[2])

    return await floor.accepting(carry)


async def commands(central_systems: str, charge_points: str, count: int) -> None:
    """The other way round."""
    client, tasks = _Zeep("ChargePointService", charge_points), Tasks()
    for number in range(count):
        identity = f"B{number:04}"
        far = await floor.dial(f"{central_systems}/{identity}")
        tasks.spawn(client.carry(far, identity), name="commands")


async def _main(leg: str, url: str, *rest: str) -> None:
    match leg:
        case "soap-json":
            said: object = await soap_json(url)
        case "json-soap":
            said = await json_soap(url)
        case _:
            await commands(url, rest[0], int(rest[1]))
            said = "up"
    await floor.until_killed(said)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
