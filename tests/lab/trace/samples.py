"""Traces and recorded messages to try things on."""

from __future__ import annotations

from typing import Any

import msgspec

from bridge.recorder.messages import Form, Half, Recorded, Timings
from bridge.recorder.trace_records import DOWN, UP, Record, TraceFailure

SOAP_CALL = (
    '<s:Envelope xmlns:w="http://www.w3.org/2005/08/addressing"><w:MessageID a="b"> urn:uuid:1 </w:MessageID>'
    '<s:Body><authorizeRequest xmlns="urn://Ocpp/Cs/2012/06/"><idTag>***</idTag></authorizeRequest></s:Body></s:Envelope>'
)
SOAP_ANSWER = '<s:Envelope><s:Body><x xmlns="urn://Ocpp/Cs/2012/06/"/></s:Body></s:Envelope>'
SOAP_FAULT = "<s:Envelope><s:Body><s:Fault><s:Code/></s:Fault></s:Body></s:Envelope>"


def at(second: float) -> str:
    return f"2026-01-01T00:00:{second:06.3f}Z"


def form(text: str, second: float, transport: Any = None) -> Form:
    spoken: Any = transport or ("soap" if text.startswith("<") else "json")
    return Form(transport=spoken, at=at(second), octets=len(text), text=text)


def recorded(**facts: Any) -> Recorded:
    """A Charge Point's Authorize over SOAP, answered over JSON, unless said otherwise."""
    request = Half(
        received=form(SOAP_CALL, 1.0),
        model=msgspec.Raw(b'{"idTag":"***"}'),
        sent=form('[2,"f","Authorize",{"idTag":"***"}]', 1.1),
    )
    response = Half(
        received=form('[3,"f",{"idTagInfo":{"status":"Accepted"}}]', 1.2),
        model=msgspec.Raw(b'{"idTagInfo":{"status":"Accepted"}}'),
        sent=form(SOAP_ANSWER, 1.3),
    )
    values: dict[str, Any] = {
        "id": 7,
        "identity": "CP 1",
        "at": at(1.0),
        "ms": 300.0,
        "action": "Authorize",
        "sender": "charge_point",
        "outcome": "result",
        "unique_id": "n",
        "hop_id": "f",
        "request": request,
        "response": response,
        "timings": Timings(total=300.0),
    }
    return Recorded(**(values | facts))


def call(
    message_id: str, action: str, payload: Any = None, *, second: float = 0, up: bool = True, **more: Any
) -> Record:
    return Record(
        schema_version="1.1",
        timestamp=at(second),
        transport="json",
        direction=UP if up else DOWN,
        message_type="CALL",
        message_id=message_id,
        action=action,
        payload={} if payload is None else payload,
        **more,
    )


def result(message_id: str, payload: Any = None, *, second: float = 0, up: bool = True) -> Record:
    """`up`: to a Call that went up."""
    return Record(
        schema_version="1.1",
        timestamp=at(second),
        transport="json",
        direction=DOWN if up else UP,
        message_type="CALLRESULT",
        message_id=message_id,
        payload={} if payload is None else payload,
    )


def error(message_id: str, code: str, *, second: float = 0, up: bool = True) -> Record:
    return Record(
        schema_version="1.1",
        timestamp=at(second),
        transport="json",
        direction=DOWN if up else UP,
        message_type="CALLERROR",
        message_id=message_id,
        error=TraceFailure(code=code),
    )
