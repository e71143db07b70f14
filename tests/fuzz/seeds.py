"""What the fuzzers begin with: messages as we write them ourselves, and the shapes of attacks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from bridge.cluster.hello import Hello, NodeName, hello_frame, refused_frame
from bridge.cluster.link_frames import GREETING, MORE, FrameType, frame, named
from bridge.errors import MessageError
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocppj import codec as frames
from bridge.ocppj.codec import CallFrame
from bridge.ocpps.codec import Codec
from tests.e2e.stage import COMMANDS, CS, SAMPLES, envelope

FRAMES = (
    b'[3,"1",{}]',
    b'[3,"1",{"currentTime":"2026-01-02T03:04:05Z","interval":300,"status":"Accepted"}]',
    b'[4,"1","InternalError","",{}]',
    b'[4,"1"]',
    b'[2,"1","Heartbeat",null]',
    b'[2,1.0,"heartbeat",{"a":1e999}]',
    b'[2,"\\ud800","Authorize",{"idTag":"\\udc00"}]',
    b'[2,"1","DataTransfer",{"vendorId":"x","data":"' + b"\\u0000" * 20 + b'"}]',
    b"[" * 40 + b"]" * 40,
    b'{"a":' * 40,
    b"[2,-1e400,{},[]]",
    b"\xef\xbb\xbf[]",
    b"\xff\xfe[\x00]\x00",
    b"9" * 5000,
)
ENVELOPES = (
    envelope(),
    envelope(soap="http://schemas.xmlsoap.org/soap/envelope/", source="http://192.0.2.1:8080/"),
    envelope(
        "<s:Fault><s:Code><s:Value>s:Sender</s:Value></s:Code>"
        '<s:Reason><s:Text xml:lang="en">x</s:Text></s:Reason></s:Fault>'
    ),
    envelope(
        f'<a:heartbeatRequest xmlns:a="{CS}" xmlns:xsi="urn:x" xsi:nil="true"><!-- --><?a b?></a:heartbeatRequest>'
    ),
    b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///dev/null">]><x>&e;</x>',
    b'<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><x>&b;</x>',
    b'<!DOCTYPE x [<!ATTLIST x y CDATA "z">]><x/>',
    '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE x><x/>'.encode("utf-16"),
    b'<?xml version="1.0" encoding="UTF-7"?>+ADw-x/+AD4-',
    b"<a>" * 40 + b"</a>" * 40,
    b"<![CDATA[]]>",
    b"&#xD800;&#0;&x;",
    b'xmlns:a="urn:a" a:b="" xmlns=""',
    b"\xef\xbb\xbf \n",
)
CONFIGURATIONS = (
    (Path(__file__).parents[2] / "conf" / "bridge.toml").read_bytes(),
    b'[[soap]]\nlisten = "127.0.0.1:1"\n[[soap]]\nlisten = "[::1]:1"\n',
    b'[[routes]]\ncharge_point = "*"\ncentral_system = "x"\n',
    b'[central_systems.main]\nurl = "ws://u:p@h:99999/?#"\n',
    b"[limits]\nconnections = -1\nheader_timeout = nan\nxml_depth = 1e400\n",
    b'[charge_points."\\u0000"]\npassword = "x"\npassword_file = "/"\n',
    b"a.b.c = {d = [[{}]]}\n",
    b"x = 0x" + b"f" * 200 + b"\n",
    b"[a]\n[a]\n",
    b"x = 2026-13-99T99:99:99Z\n",
    b"\xff",
    b"x = " + b"[" * 200,
)
URLS = (
    b"/ocpp/CP%201",
    b"/OCPP/a/?x=y",
    b"/ocpp/t0ken-t0ken-t0ken-t0ken-t0ken/CP1",
    b"/ocpp/%2e%2e/%2F..%5c",
    b"/ocpp/a%00b%0d%0aX:%20y",
    b"/ocpp/%ff%fe",
    b"/ocpp/" + b"x" * 300,
    "/ocpp/ﬁ/Å/Å/Ａ".encode(),
    "/ocpp/\u202e\u200d\ufeff".encode(),
    b"//ocpp//..//",
    b"http://192.0.2.1:8080/x?y#z",
    b"http://[::ffff:10.0.0.1%25eth0]:0/",
    b"http://0x7f.1:99999/",
    b"https://u:p@10.0.0.1@192.0.2.1/",
    b"http:///path",
    b"http://[",
    b"http://10.0.0.1\r\nHost: x/",
)
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
PREAMBLES = (
    b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 443\r\nGET / HTTP/1.1\r\n",
    b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 0 65535\r\n",
    b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
    b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65536\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
    b"PROXY " + b"1" * 101,
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" * 2,
    _V2 + b"\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x9c\x40\x01\xbb",
    _V2 + b"\x21\x21\x00\x28" + bytes(range(36)) + b"\x04\x00\x01x",
    _V2 + b"\x20\x00\x00\x00\x16\x03\x01",
    _V2 + b"\x21\x31\x00\xd8" + b"/" * 216,
    _V2 + b"\x21\x11\xff\xff",
    _V2 + b"\x2f\xff\x00\x00",
    _V2[:7],
)
# The lines of a request's header fields.
FORWARDING = (
    b"Forwarded: for=192.0.2.1;proto=https;by=_x, for=10.0.0.2",
    b'Forwarded: For="[2001:db8:cafe::17]:4711";host="a\\"b,c"',
    b"Forwarded: for=unknown, for=_hidden;proto=http",
    b'Forwarded: for="192.0.2.1\nForwarded: ,,;for=192.0.2.1',
    b"Forwarded: for=1;for=2",
    b"X-Forwarded-For: 203.0.113.1, 192.0.2.1:4711, 10.0.0.3\nX-Forwarded-Proto: https",
    b"X-Forwarded-For: ::ffff:192.0.2.1\nX-Forwarded-For: [fd00::1]:1, fe80::1%eth0",
    b"X-Forwarded-For: unknown\nX-Forwarded-Proto: wss, nonsense",
    b"X-Client-Cert: -----BEGIN%20CERTIFICATE-----%0AMIIB%2B-----END%20CERTIFICATE-----%0A",
    b"X-Client-Cert: :MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6:;a=1",
    b'X-Client-Cert: By=urn:x;Hash=1;Subject="CN=\\"a\\",O=b";Cert="MIIB";Chain="x",Hash=2;Cert="%FF"',
    b"X-Client-Cert: MIIB\nX-Client-Cert: MIIB",
    b"X-Client-Cert: ",
)


def json_messages() -> Iterator[bytes]:
    """A Call of every action that there is an example of."""
    for action, payload in (SAMPLES | COMMANDS).items():
        yield json.dumps([2, "1", action, payload]).encode()


def soap_messages(codecs: Sequence[Codec]) -> Iterator[bytes]:
    """The same in every version that has it."""
    for action, payload in (SAMPLES | COMMANDS).items():
        sender = Party.CHARGE_POINT if Party.CHARGE_POINT in ACTIONS[action].senders else Party.CENTRAL_SYSTEM
        frame = frames.read_frame(json.dumps([2, "1", action, payload]))
        assert isinstance(frame, CallFrame)
        call = frames.decode_call(frame, sender, strict=False)
        for codec in codecs:
            if action in codec.service.operations:
                with suppress(MessageError):  # an older version has no word for it
                    yield envelope(codec.write_call(call.payload, action)[0].decode())


_GREETED = hello_frame(Hello(sender=NodeName(cluster="c", node="a", incarnation="1"), expected="b"))
LINKS = (
    _GREETED,
    hello_frame(Hello(sender=NodeName(cluster="", node="\n", incarnation=""), expected="", version=2)),
    refused_frame("it is full"),
    frame(FrameType.HELLO, GREETING, b"\xdf\xff\xff\xff\xff"),
    _GREETED + frame(FrameType.REQUEST, 1, named("kind") + b"payload"),
    _GREETED + frame(FrameType.REQUEST | MORE, 1, named("kind")) + frame(FrameType.REQUEST, 1, b"the rest"),
    _GREETED + frame(FrameType.REQUEST | MORE, 1) + frame(FrameType.CANCEL, 1),
    _GREETED + frame(FrameType.TEXT | MORE, 1) + frame(FrameType.CREDIT, 1, b"\0\0\0\1") + frame(FrameType.TEXT, 1),
    _GREETED + frame(FrameType.BINARY | MORE, 1) + frame(FrameType.CLOSE, 1, b"\x03\xe8"),
    _GREETED + b"".join(frame(FrameType.OPEN | MORE, number) for number in range(9)),
    _GREETED + b"\xff\xff\xff\xff\x03\0\0\0\1",
    _GREETED + frame(FrameType.PING, 0) + frame(FrameType.PONG | MORE, 0),
)
