"""What the simulated parties of OCPP-S share: how one asks the other's service, and how it answers for its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeAlias

import aiohttp
from aiohttp import web

from bridge.simulators import envelope
from bridge.simulators.envelope import ANONYMOUS, Headers, Service
from bridge.simulators.wire import (
    Behaviour,
    Direction,
    Kind,
    Observer,
    Party,
    Payload,
    Refused,
    WireMessage,
    answer_of,
)

Hook: TypeAlias = Callable[[str, Payload], Awaitable[None]]

CONTENT_TYPE = "application/soap+xml"
_HTTP_STATUS = {"Sender": 400, "Receiver": 500}


@dataclass(frozen=True, slots=True, kw_only=True)
class SoapRequest:
    """What a POST held; with `refusal` it is not carried out."""

    action: str = ""
    payload: Payload = field(default_factory=dict)
    headers: Headers = field(default_factory=Headers)
    refusal: Refused | None = None


class SoapLink:
    """Both directions of `party`.

    object_to   told each breach of the specification or of the WSDL, of either side
    observe     told each envelope
    """

    def __init__(
        self, party: Party, asked: Service, own: Service, *, object_to: Callable[[str], None], observe: Observer
    ) -> None:
        self._party = party
        self._asked = asked
        self._own = own
        self._object_to = object_to
        self._observe = observe

    @classmethod
    async def of(cls, party: Party, wsdl: Path, *, object_to: Callable[[str], None], observe: Observer) -> Self:
        """With the two WSDLs of a folder."""
        # In a thread: reading the two takes a tenth of a second.
        central_system = await asyncio.to_thread(envelope.load, wsdl / "CentralSystemService.wsdl")
        charge_point = await asyncio.to_thread(envelope.load, wsdl / "ChargePointService.wsdl")
        asked, own = (central_system, charge_point) if party == "charge_point" else (charge_point, central_system)
        return cls(party, asked, own, object_to=object_to, observe=observe)

    # Asking.

    async def call(
        self,
        http: aiohttp.ClientSession,
        headers: Headers,
        payload: Mapping[str, Any],
        *,
        within: float,
        what: str,
    ) -> Payload:
        """POST what `headers` say to where they say; gives the answer's payload. `what` names the answer in violations.

        Raises Refused for a Fault or an HTTP error, ValueError for a payload or an answer that does not fit the WSDL,
        ConnectionError when nobody answers, TimeoutError when nobody answers in time.
        """
        action = headers.action.removeprefix("/")
        body = self._asked.encode(action, payload, headers, is_request=True)
        self._tell("sent", "call", action, headers, body)
        begun = time.perf_counter()
        status, answer = await _post(http, headers, body, within)
        elapsed = time.perf_counter() - begun
        try:
            result = self._result(what, headers, status, answer)
        except (Refused, ValueError):
            self._tell("received", "error", action, headers, answer, elapsed)
            raise
        self._tell("received", "result", action, headers, answer, elapsed)
        return result

    def _result(self, what: str, asked: Headers, status: int, answer: bytes) -> Payload:
        """The payload of `answer`, or the exception that it stands for. A Fault is one whatever the HTTP status."""
        text = answer.decode(errors="replace")
        try:
            root = envelope.parsed(answer)
            if fault := envelope.fault_in(root, http_status=status, body=text):
                raise fault
            message = self._asked.decode(root)
        except ValueError as error:
            if status >= 400:
                raise Refused("HTTP", f"status {status}", http_status=status, body=text) from error
            self._object_to(f"{what}: {error}")
            raise
        headers = self._asked.headers_of(root)
        self.expect(f"{what}: HTTP status", status, 200)
        self.expect(f"{what}: Body", (f"/{message.action}", message.is_request), (asked.action, False))
        self.expect(f"{what}: Action", headers.action, f"{asked.action}Response")
        self.expect(f"{what}: RelatesTo", headers.relates_to, asked.message_id)
        return message.payload

    # Answering.

    def read(self, body: bytes, check: Callable[[SoapRequest], None]) -> SoapRequest:
        """What is in `body`; one that cannot be read, or that `check` raises Refused for, has its refusal."""
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
            request = replace(request, refusal=Refused("Sender", str(error), subcode="ProtocolError"))
        except Refused as refusal:
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
        """The answer that the behaviour gives, after `before`; `what` names it in violations. Raises Refused."""
        if request.refusal:
            raise request.refusal
        try:
            if before is not None:
                await before(request.action, request.payload)
            if request.action not in behaviour:
                raise Refused("Receiver", f"{request.action} is not supported here", subcode="NotSupported")
            result = await answer_of(behaviour[request.action], request.payload)
            headers = _reply_headers(request, f"/{request.action}Response", to)
            answer = self._own.encode(request.action, result, headers, is_request=False)
        except Refused:
            raise
        except Exception as error:  # a behaviour is anybody's code, and the other side must hear of its end
            self._object_to(f"{what}: {error!r}")
            raise Refused("Receiver", repr(error), subcode="InternalError") from error
        self._tell("sent", "result", request.action, request.headers, answer)
        return answer

    def refuse(self, request: SoapRequest, refusal: Refused, *, to: str) -> tuple[int, bytes]:
        """The HTTP status and the body that say so: a Fault, but for the code HTTP."""
        body = refusal.body.encode()
        if refusal.code != "HTTP":
            body = self._own.encode_fault(refusal, _reply_headers(request, f"{envelope.WSA}/fault", to))
        self._tell("sent", "error", request.action, request.headers, body)
        return refusal.http_status or _HTTP_STATUS.get(refusal.code, 500), body

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Object to what is not as it should be."""
        if found != wanted:
            self._object_to(f"{what} is {found!r}, not {wanted!r}")

    def expect_headers(self, what: str, request: SoapRequest, url: str) -> None:
        """A header that is lacking or wrong (OCPP-S 1.6, 3.8) is only written down. `url`: where it was sent."""
        headers = request.headers
        self.expect(f"{what}: Action", headers.action, f"/{request.action}")
        self.expect(f"{what}: ReplyTo", headers.reply_to, ANONYMOUS)
        self.expect(f"{what}: To", headers.to, url)
        self.expect(f"{what}: a MessageID", bool(headers.message_id), True)

    def _tell(
        self, direction: Direction, kind: Kind, action: str, headers: Headers, body: bytes, elapsed: float | None = None
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
    """What any other request gets."""
    return web.Response(status=405, text="OCPP-S is spoken here, by POST", headers={"Allow": "POST"})


def response(status: int, body: bytes) -> web.Response:
    """An envelope on its way back."""
    return web.Response(status=status, body=body, content_type=CONTENT_TYPE, charset="utf-8")


async def _post(http: aiohttp.ClientSession, headers: Headers, body: bytes, within: float) -> tuple[int, bytes]:
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


def _reply_headers(request: SoapRequest, action: str, to: str) -> Headers:
    message_id = envelope.new_message_id()
    return Headers(action=action, message_id=message_id, relates_to=request.headers.message_id, to=to)
