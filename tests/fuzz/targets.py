"""One target for each parser: bytes in, nothing out. Its invariant is the line that it begins with; any other
exception is a finding. `seeds` are its corpus: messages of our own encoder, and the shapes of attacks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, get_args

from msgspec import Struct

from bridge import config
from bridge.access import paths
from bridge.cluster.hello import HelloRefused, read_hello
from bridge.cluster.link_frames import PIECE, FrameReader
from bridge.core.addresses import Learning, learn
from bridge.dialects.versions import DIALECTS
from bridge.errors import BridgeError, ConfigurationError, Why
from bridge.net.json_server import HandshakeDenied, HandshakeRequest, JsonServer
from bridge.net.proxies import preamble as preambles
from bridge.net.proxies.client_certificate import Format
from bridge.net.proxies.rules import Misled, Origin, Proxies
from bridge.ocpp import identity
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.rpc import Answer, Call
from bridge.ocppj import codec as frames
from bridge.ocppj.codec import CallFrame, ResultFrame
from bridge.ocpps import envelope
from bridge.ocpps.codec import Codec, boot_of
from bridge.ocpps.wsdl import default_folder, folder_name, load
from bridge.ocpps.xml import local_name
from tests.fuzz.seeds import (
    CONFIGURATIONS,
    ENVELOPES,
    FORWARDING,
    FRAMES,
    LINKS,
    PREAMBLES,
    URLS,
    json_messages,
    soap_messages,
)

_SERVICES = ("CentralSystemService", "ChargePointService")


class Target(Struct, frozen=True, kw_only=True):
    """`run` raises nothing, whatever it is given; `words` are what its format trips over."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    words: tuple[bytes, ...]


@cache
def _codecs() -> tuple[Codec, ...]:
    folder = default_folder()
    return tuple(
        Codec(load(folder / folder_name(version) / f"{service}.wsdl"), dialect)
        for version, dialect in DIALECTS.items()
        for service in _SERVICES
    )


def soap(data: bytes) -> None:
    """Any bytes are an envelope with a Call or an answer, in each of the versions, or a BridgeError."""
    try:
        opened = envelope.read(data)
    except BridgeError as error:
        assert error.description and error.why in Why
        return
    boot_of(opened.body)
    name = local_name(opened.body).removesuffix("Response")
    actions = {"Heartbeat", name[:1].upper() + name[1:]}
    for codec in _codecs():
        for strict in (True, False):
            _or_an_error(codec.read_call, opened, "1", strict=strict)
            for action in actions:
                _or_an_error(codec.read_answer, opened, action, "1", strict=strict)


def json(data: bytes) -> None:
    """Any bytes are a frame with a Call or an answer, of either party, or a BridgeError."""
    try:
        frame = frames.read_frame(data)
    except BridgeError as error:
        assert error.description and error.why in Why
        return
    for strict in (True, False):
        if isinstance(frame, CallFrame):
            frames.boot_of(frame)
            for party in Party:
                _or_an_error(frames.decode_call, frame, party, strict=strict)
        if isinstance(frame, ResultFrame):
            for action in ACTIONS:
                _or_an_error(frames.decode_result, frame, action, strict=strict)


def _or_an_error(read: Callable[..., Call | Answer], *arguments: Any, strict: bool) -> None:
    """What was read can be written again as a frame."""
    try:
        message = read(*arguments, strict=strict)
    except BridgeError as error:
        assert error.description and error.why in Why
    else:
        frames.encode(message)


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="ocpp-bridge-fuzz-"))


def configuration(data: bytes) -> None:
    """Any bytes are Settings, or a ConfigurationError with a line for every complaint."""
    path = _folder() / "conf.toml"
    path.write_bytes(data)
    try:
        config.load(path, {})
    except ConfigurationError as error:
        assert error.complaints
        assert len(str(error).splitlines()) == len(error.complaints)
        assert str(error).replace("\n", "").isprintable()


async def _never(knock: HandshakeRequest) -> object:
    raise AssertionError


@cache
def _listener() -> JsonServer:
    return JsonServer(
        _never,  # type: ignore[arg-type]
        path="/ocpp",
        help_text="",
        ping_interval=None,
        open_timeout=1,
        refused=lambda *_: None,
    )


def url(data: bytes) -> None:
    """Any path names an identity that is printable and in one normal form, or is Refused; any address that a message
    gives is one to call back, or a Refusal."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        named, _ = _listener()._address(text)
    except HandshakeDenied as refusal:
        assert 400 <= refusal.status < 500
        assert refusal.why in Why
    else:
        assert identity.read(named) == named
        assert named.isprintable() and 0 < len(named) <= 255
    paths.shown(text)
    try:
        named = identity.read(text)
    except ValueError:
        pass
    else:
        assert identity.read(named) == named and identity.same(named, text)
    learn(text, None, "192.0.2.1", Learning(networks=(ip_network("10.0.0.0/8"),)))
    learn(None, text, "::1", Learning(loopback=True))


def preamble(data: bytes) -> None:
    """Any octets begin with a PROXY header, or may go on to, or are refused. What was read of a part is what is read of
    the whole."""
    try:
        read = preambles.read(data)
    except preambles.BrokenPreamble as error:
        assert str(error).isprintable()
        return
    if read is None:
        assert preambles.is_begun(data)
        return
    assert preambles.read(data[: read.size]) == read and preambles.read(data[: read.size - 1]) is None
    if read.source is not None:
        address, port = read.source
        assert str(ip_address(address)) == address and 0 <= port <= 65535


def link(data: bytes) -> None:
    """Any octets are messages of a link, up to the first that is none, and are read the same in any pieces. A first
    message names a node, or is refused."""
    whole, pieces = FrameReader(PIECE), FrameReader(PIECE)
    messages = whole.feed(data)
    assert [message for octet in data for message in pieces.feed(bytes((octet,)))] == messages
    assert pieces.broken == whole.broken
    for _, _, payload in messages[:1]:
        try:
            hello = read_hello(payload)
        except HelloRefused as refused:
            assert str(refused)
        else:
            assert hello.sender.node.isprintable()


_PROXY = "10.0.0.1"
_TEN = ip_network("10.0.0.0/8")
_BEHIND = [
    Proxies(networks=(_TEN,), mode="forwarded", certificate_header="X-Client-Cert", certificate_format=form)
    for form in get_args(Format)
]


def forwarded(data: bytes) -> None:
    """Any header fields of a proxy name a peer by its IP address, and perhaps names in a certificate, or mislead. What
    a peer writes before that, which its proxy adds to, does not change who it is."""
    lines = [line.partition(":") for line in data.decode("utf-8", "surrogateescape").splitlines()]

    def all_of(name: str) -> list[str]:
        return [value.strip() for field, _, value in lines if field.lower() == name.lower()]

    for proxies in _BEHIND:
        connection = Origin(address=_PROXY, proxy=_PROXY, certificate=("proxy",))
        try:
            origin = proxies.origin(connection, all_of)
        except Misled as error:
            assert str(error).isprintable()
        else:
            assert str(ip_address(origin.address)) == origin.address and origin.proxy == _PROXY
            assert origin.certificate != ("proxy",)
        stranger = Origin(address="192.0.2.9")
        assert proxies.origin(stranger, all_of) is stranger
    lines = [("X-Forwarded-For", ":", f"{data.decode('utf-8', 'replace')}, 192.0.2.7")]
    assert _BEHIND[0].origin(Origin(address=_PROXY, proxy=_PROXY), all_of).address == "192.0.2.7"


TARGETS: dict[str, Target] = {
    "soap": Target(run=soap, seeds=lambda: iter([*soap_messages(_codecs()), *ENVELOPES]), words=tuple(ENVELOPES)),
    "json": Target(run=json, seeds=lambda: iter([*json_messages(), *FRAMES]), words=tuple(FRAMES)),
    "configuration": Target(run=configuration, seeds=lambda: iter(CONFIGURATIONS), words=tuple(CONFIGURATIONS[1:])),
    "preamble": Target(run=preamble, seeds=lambda: iter(PREAMBLES), words=tuple(PREAMBLES)),
    "forwarded": Target(run=forwarded, seeds=lambda: iter(FORWARDING), words=tuple(FORWARDING)),
    "url": Target(run=url, seeds=lambda: iter(URLS), words=tuple(URLS)),
    "link": Target(run=link, seeds=lambda: iter(LINKS), words=tuple(LINKS)),
}
