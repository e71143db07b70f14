"""What the fuzzers begin with: messages as we write them ourselves, and the shapes of attacks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

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
