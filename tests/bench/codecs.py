"""The codec alone: fixed messages from one wire to the other, as pieces of work that can be timed or counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
from lxml import etree

from bridge.dialects.versions import DIALECTS
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.messages import Request
from bridge.ocpp.rpc import Call, CallResult
from bridge.ocppj import codec as json_codec
from bridge.ocppj.codec import CallFrame, ResultFrame
from bridge.ocpps import envelope as soap
from bridge.ocpps.codec import Codec
from bridge.ocpps.envelope import EnvelopeFields
from bridge.ocpps.wsdl import default_folder, folder_name, load
from tests.bench import messages

Work = Callable[[], Any]
ALONE = "lxml and msgspec alone"
ACTIONS_MEASURED = ("Heartbeat", "BootNotification", "MeterValues")
_HEADERS = EnvelopeFields(action="/x", message_id="urn:uuid:1", to=soap.anonymous(soap.WSA))


def _codec(version: str) -> Codec:
    folder = default_folder() / folder_name(version)
    return Codec(load(folder / "CentralSystemService.wsdl"), DIALECTS[version])


def pieces() -> Iterator[tuple[str, Work]]:
    """Name and work of each: both directions of each request, and of its answer."""
    codec = _codec("1.6")
    for action in ACTIONS_MEASURED:
        envelope = messages.envelope(action, "CP 1")
        frame = from_soap(codec, envelope)
        answer = messages.answer(frame.decode()).encode()
        yield f"{action}, SOAP to JSON", partial(from_soap, codec, envelope)
        yield f"{action}, JSON to SOAP", partial(from_json, codec, frame)
        yield f"{action}.conf, JSON to SOAP", partial(answer_from_json, codec, action, answer)
        written = answer_from_json(codec, action, answer)
        yield f"{action}.conf, SOAP to JSON", partial(answer_from_soap, codec, action, written)


def references() -> Iterator[tuple[str, Work]]:
    """Name and work of what no codec that stands on lxml and msgspec can leave out: each request from SOAP to JSON."""
    codec = _codec("1.6")
    for action in ACTIONS_MEASURED:
        envelope = messages.envelope(action, "CP 1")
        payload = codec.read_call(soap.read(envelope), "1", strict=False).payload
        yield f"{action}, {ALONE}", partial(_alone, envelope, payload)


def _alone(envelope: bytes, payload: Request) -> tuple[list[tuple[Any, str | None]], bytes]:
    """Parse, look at each element once, and encode what was a Struct before."""
    elements = [(element.tag, element.text) for element in etree.fromstring(envelope).iter()]
    return elements, msgspec.json.encode(payload)


def from_soap(codec: Codec, envelope: bytes) -> bytes:
    """A Charge Point's request, on its way to a JSON Central System."""
    return json_codec.encode(codec.read_call(soap.read(envelope), "1", strict=False))


def from_json(codec: Codec, frame: bytes) -> bytes:
    """A Charge Point's request, on its way to a SOAP Central System."""
    read = json_codec.read_frame(frame)
    assert isinstance(read, CallFrame)
    call: Call = json_codec.decode_call(read, Party.CHARGE_POINT, strict=False)
    return soap.write(codec.write_call(call.payload, call.action)[0], _HEADERS)


def answer_from_json(codec: Codec, action: str, frame: bytes) -> bytes:
    """The answer of a JSON Central System."""
    read = json_codec.read_frame(frame)
    assert isinstance(read, ResultFrame)
    result: CallResult = json_codec.decode_result(read, action, strict=False)
    return soap.write(codec.write_result(result.payload, action)[0], _HEADERS)


def answer_from_soap(codec: Codec, action: str, envelope: bytes) -> bytes:
    """The answer of a SOAP Central System."""
    answer = codec.read_answer(soap.read(envelope), action, "1", strict=False)
    assert isinstance(answer, CallResult) and isinstance(answer.payload, ACTIONS[action].response)
    return json_codec.encode(answer)
