"""The code that both simulated parties of OCPP-S share: calling the other side's service and serving its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeAlias

import aiohttp
from aiohttp import web

from bridge.lab.simulators import envelope
from bridge.lab.simulators.envelope import ANONYMOUS, EnvelopeHeaders, SimulatedService
from bridge.lab.simulators.wire import (
    Behaviour,
    CallRefused,
    Direction,
    Kind,
    Observer,
    Party,
    Payload,
    WireMessage,
    answer_of,
)

Hook: TypeAlias = Callable[[str, Payload], Awaitable[None]]

CONTENT_TYPE = "application/soap+xml"
_HTTP_STATUS = {"Sender": 400, "Receiver": 500}


@dataclass(frozen=True, slots=True, kw_only=True)
class SoapRequest:
    """A request in a POST. A request with a `refusal` is not carried out."""

    action: str = ""
    payload: Payload = field(default_factory=dict)
    headers: EnvelopeHeaders = field(default_factory=EnvelopeHeaders)
    refusal: CallRefused | None = None


class SoapLink:
    """The requests and the answers of `party`, in both directions.

    Args:
        party: The party that this end plays.
        asked: The service of the other side.
        own: The service of this side.
        object_to: Called with each breach of the specification or of the WSDL, by either side.
        observe: Called with each envelope.
    """

    def __init__(
        self,
        party: Party,
        asked: SimulatedService,
        own: SimulatedService,
        *,
        object_to: Callable[[str], None],
        observe: Observer,
    ) -> None:
        self._party = party
        self._asked = asked
        self._own = own
        self._object_to = object_to
        self._observe = observe

    @classmethod
    async def of(cls, party: Party, wsdl: Path, *, object_to: Callable[[str], None], observe: Observer) -> Self:
        """Return the link of `party` with the two WSDLs in the folder `wsdl`."""
        # The WSDLs are read in a thread, because reading both takes 0.1 s.
        central_system = await asyncio.to_thread(envelope.load, wsdl / "CentralSystemService.wsdl")
        charge_point = await asyncio.to_thread(envelope.load, wsdl / "ChargePointService.wsdl")
        asked, own = (central_system, charge_point) if party == "charge_point" else (charge_point, central_system)
        return cls(party, asked, own, object_to=object_to, observe=observe)

    # Calling the other side.

    async def call(
        self,
        http: aiohttp.ClientSession,
        headers: EnvelopeHeaders,
        payload: Mapping[str, Any],
        *,
        within: float,
        what: str,
    ) -> Payload:
        """POST the request of `headers` with `payload` to the address in `headers`, and return the answer's payload.

        Args:
            http: The HTTP client.
            headers: The headers of the request. Action and To decide what is sent where.
            payload: The fields of the request.
            within: The time limit in seconds.
            what: The name of the answer in a reported breach.

        Raises:
            Refused: The answer is a Fault or an HTTP error.
            ValueError: The payload or the answer does not fit the WSDL.
            ConnectionError: Nobody answers at the address.
            TimeoutError: No answer arrived within the time limit.
        """
        action = headers.action.removeprefix("/")
        body = self._asked.encode(action, payload, headers, is_request=True)
        self._tell("sent", "call", action, headers, body)
        begun = time.perf_counter()
        status, answer = await _post(http, headers, body, within)
        elapsed = time.perf_counter() - begun
        try:
            result = self._result(what, headers, status, answer)
        except (CallRefused, ValueError):
            self._tell("received", "error", action, headers, answer, elapsed)
            raise
        self._tell("received", "result", action, headers, answer, elapsed)
        return result

    def _result(self, what: str, asked: EnvelopeHeaders, status: int, answer: bytes) -> Payload:
        """Return the payload of `answer`, or raise its exception. A Fault raises Refused with any HTTP status."""
        text = answer.decode(errors="replace")
        try:
            root = envelope.parsed(answer)
            if fault := envelope.fault_in(root, http_status=status, body=text):
                raise fault
            message = self._asked.decode(root)
        except ValueError as error:
            if status >= 400:
                raise CallRefused("HTTP", f"status {status}", http_status=status, body=text) from error
            self._object_to(f"{what}: {error}")
            raise
        headers = self._asked.headers_of(root)
        self.expect(f"{what}: HTTP status", status, 200)
        self.expect(f"{what}: Body", (f"/{message.action}", message.is_request), (asked.action, False))
        self.expect(f"{what}: Action", headers.action, f"{asked.action}Response")
        self.expect(f"{what}: RelatesTo", headers.relates_to, asked.message_id)
        return message.payload

    # Serving the other side.

    def read(self, body: bytes, check: Callable[[SoapRequest], None]) -> SoapRequest:
        """Return the request in `body`. An unreadable request, or one for which `check` raises Refused, has a refusal.

        Args:
            body: The envelope.
            check: Raises Refused for a request that must not be carried out.
        """
        request = SoapRequest()
        try:
            root = envelope.parsed(body)
            request = replace(request, headers=self._own.headers_of(root))
            message = self._own.decode(root)
            request = replace(request, action=message.action, payload=message.payload)
            if not message.is_request:
                raise ValueError("an answer, where a request belongs")
            check(request)
        except ValueError as error:
            request = replace(request, refusal=CallRefused("Sender", str(error), subcode="ProtocolError"))
        except CallRefused as refusal:
            request = replace(request, refusal=refusal)
        self._tell("received", "call", request.action, request.headers, body)
        return request

    async def answer(
        self,
        request: SoapRequest,
        behaviour: Mapping[str, Behaviour],
        *,
        to: str,
        what: str,
        before: Hook | None = None,
    ) -> bytes:
        """Return the envelope of the answer.

        Args:
            request: The request to answer.
            behaviour: The behaviour of each action.
            to: The address in the answer's To header.
            what: The name of the answer in a reported breach.
            before: The hook that is awaited before the behaviour runs.

        Raises:
            Refused: The request has a refusal, the action is unknown, or the behaviour refuses or fails.
        """
        if request.refusal:
            raise request.refusal
        try:
            if before is not None:
                await before(request.action, request.payload)
            if request.action not in behaviour:
                raise CallRefused("Receiver", f"{request.action} is not supported here", subcode="NotSupported")
            result = await answer_of(behaviour[request.action], request.payload)
            headers = _reply_headers(request, f"/{request.action}Response", to)
            answer = self._own.encode(request.action, result, headers, is_request=False)
        except CallRefused:
            raise
        except Exception as error:  # a behaviour may raise anything, and the other side must get an answer
            self._object_to(f"{what}: {error!r}")
            raise CallRefused("Receiver", repr(error), subcode="InternalError") from error
        self._tell("sent", "result", request.action, request.headers, answer)
        return answer

    def refuse(self, request: SoapRequest, refusal: CallRefused, *, to: str) -> tuple[int, bytes]:
        """Return the HTTP status and the body of the refusal. The body is a Fault, except with the code HTTP."""
        body = refusal.body.encode()
        if refusal.code != "HTTP":
            body = self._own.encode_fault(refusal, _reply_headers(request, f"{envelope.WSA}/fault", to))
        self._tell("sent", "error", request.action, request.headers, body)
        return refusal.http_status or _HTTP_STATUS.get(refusal.code, 500), body

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Report a breach when `found` differs from `wanted`."""
        if found != wanted:
            self._object_to(f"{what} is {found!r}, not {wanted!r}")

    def expect_headers(self, what: str, request: SoapRequest, url: str) -> None:
        """Report each lacking or wrong header of `request` (OCPP-S 1.6, 3.8). `url` is the address it was sent to."""
        headers = request.headers
        self.expect(f"{what}: Action", headers.action, f"/{request.action}")
        self.expect(f"{what}: ReplyTo", headers.reply_to, ANONYMOUS)
        self.expect(f"{what}: To", headers.to, url)
        self.expect(f"{what}: a MessageID", bool(headers.message_id), True)

    def _tell(
        self,
        direction: Direction,
        kind: Kind,
        action: str,
        headers: EnvelopeHeaders,
        body: bytes,
        elapsed: float | None = None,
    ) -> None:
        message = WireMessage(
            direction=direction,
            party=self._party,
            text=body.decode(errors="replace"),
            action=action,
            unique_id=headers.message_id,
            kind=kind,
            elapsed=elapsed,
        )
        self._observe(message)


def only_post() -> web.Response:
    """Return the response to a request with another HTTP method than POST."""
    return web.Response(status=405, text="OCPP-S is spoken here, by POST", headers={"Allow": "POST"})


def response(status: int, body: bytes) -> web.Response:
    """Return the HTTP response with the envelope `body`."""
    return web.Response(status=status, body=body, content_type=CONTENT_TYPE, charset="utf-8")


async def _post(http: aiohttp.ClientSession, headers: EnvelopeHeaders, body: bytes, within: float) -> tuple[int, bytes]:
    content_type = f'{CONTENT_TYPE}; charset=utf-8; action="{headers.action}"'
    try:
        async with (
            asyncio.timeout(within),
            http.post(headers.to, data=body, headers={"Content-Type": content_type}) as answer,
        ):
            return answer.status, await answer.read()
    except TimeoutError as error:
        raise TimeoutError(f"{headers.action}: no answer within {within} s") from error
    except aiohttp.ClientError as error:
        raise ConnectionError(f"{headers.action}: {error}") from error


def _reply_headers(request: SoapRequest, action: str, to: str) -> EnvelopeHeaders:
    message_id = envelope.new_message_id()
    return EnvelopeHeaders(action=action, message_id=message_id, relates_to=request.headers.message_id, to=to)
