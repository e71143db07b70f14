"""What a strict route asks of the headers of a request, and what a tolerant one does not."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from bridge.lab.simulators.wire import CallRefused
from tests.e2e.stage import (
    CP,
    SOAP11,
    SOAP12,
    WSA,
    Answer,
    answering,
    fault,
    listening,
    logged,
)
from tests.ocpps.test_quirks import HEARTBEAT, ME, bare, site

MESSAGE_ID = "<a:MessageID>urn:uuid:1</a:MessageID>"
SECURITY = '<w:Security xmlns:w="urn:wsse" s:mustUnderstand="{}"/>'
ACTION = "<a:Action>/Heartbeat</a:Action>"
PLAIN = ME + MESSAGE_ID + ACTION


def endpoint(name: str, address: str) -> str:
    return f"<a:{name}><a:Address>{address}</a:Address></a:{name}>"


# What stands in the Header, the Code, and the Subcodes within one another.
REFUSED: dict[str, tuple[str, str, list[str]]] = {
    "what must be understood": (PLAIN + SECURITY.format("true"), "MustUnderstand", []),
    "what must be understood, in digits": (PLAIN + SECURITY.format("1"), "MustUnderstand", []),
    "what must be understood, in no namespace": (PLAIN + '<x s:mustUnderstand="true"/>', "MustUnderstand", []),
    "what the next must understand": (
        PLAIN + f'<x s:mustUnderstand="true" s:role="{SOAP12}/role/next"/>',
        "MustUnderstand",
        [],
    ),
    "an identity of another namespace": (
        MESSAGE_ID + ACTION + f'<p:chargeBoxIdentity xmlns:p="{CP}" s:mustUnderstand="true">CP 1</p:chargeBoxIdentity>',
        "MustUnderstand",
        [],
    ),
    "WS-Addressing of 2004": (
        ME + '<b:MessageID xmlns:b="http://schemas.xmlsoap.org/ws/2004/08/addressing">1</b:MessageID>',
        "Sender",
        ["MessageAddressingHeaderRequired"],
    ),
    "no MessageID": (ME + ACTION, "Sender", ["MessageAddressingHeaderRequired"]),
    "an empty MessageID": (f"{ME}{ACTION}<a:MessageID> </a:MessageID>", "Sender", ["MessageAddressingHeaderRequired"]),
    "two MessageIDs": (PLAIN + MESSAGE_ID, "Sender", ["InvalidAddressingHeader", "InvalidCardinality"]),
    "no Action": (ME + MESSAGE_ID, "Sender", ["MessageAddressingHeaderRequired"]),
    "an empty Action": (f"{ME}{MESSAGE_ID}<a:Action> </a:Action>", "Sender", ["MessageAddressingHeaderRequired"]),
    "two Actions": (PLAIN + ACTION, "Sender", ["InvalidAddressingHeader", "InvalidCardinality"]),
    "another Action": (ME + MESSAGE_ID + "<a:Action>/Authorize</a:Action>", "Sender", ["ActionNotSupported"]),
    "an Action in another case": (
        ME + MESSAGE_ID + "<a:Action>/heartbeat</a:Action>",
        "Sender",
        ["ActionNotSupported"],
    ),
    "the Action of the answer": (
        ME + MESSAGE_ID + "<a:Action>/HeartbeatResponse</a:Action>",
        "Sender",
        ["ActionNotSupported"],
    ),
    "a ReplyTo elsewhere": (
        PLAIN + endpoint("ReplyTo", "http://192.0.2.1/"),
        "Sender",
        ["InvalidAddressingHeader", "OnlyAnonymousAddressSupported"],
    ),
    "a ReplyTo to nobody": (
        PLAIN + endpoint("ReplyTo", f"{WSA}/none"),
        "Sender",
        ["InvalidAddressingHeader", "OnlyAnonymousAddressSupported"],
    ),
    "a FaultTo elsewhere": (
        PLAIN + endpoint("FaultTo", "http://192.0.2.1/"),
        "Sender",
        ["InvalidAddressingHeader", "OnlyAnonymousAddressSupported"],
    ),
    "a ReplyTo without an Address": (
        PLAIN + f"<a:ReplyTo>{WSA}/anonymous</a:ReplyTo>",
        "Sender",
        ["InvalidAddressingHeader", "MissingAddressInEPR"],
    ),
}
TAKEN = {
    "no more than is needed": PLAIN,
    "what need not be understood": PLAIN + SECURITY.format("false") + "<x/>",
    "what somebody else must understand": PLAIN + '<x s:mustUnderstand="true" s:role="urn:somebody"/>',
    "all of WS-Addressing, to be understood": (
        '<c:CHARGEBOXIDENTITY s:mustUnderstand="true">CP 1</c:CHARGEBOXIDENTITY>'
        '<a:MessageID s:mustUnderstand="1">urn:uuid:1</a:MessageID><a:Action s:mustUnderstand="1">/Heartbeat</a:Action>'
        f'<a:To s:mustUnderstand="true">http://gw/</a:To>{endpoint("From", "http://192.0.2.1/")}'
        f"{endpoint('ReplyTo', f'{WSA}/anonymous')}{endpoint('FaultTo', f'{WSA}/anonymous')}"
    ),
}


async def answered(header: str, soap: str = SOAP12, **route: Any) -> Answer:
    async with site(route=route) as here:
        return await here.post(bare(header, soap=soap))


def meant(answer: Answer) -> tuple[str, list[str]]:
    """The Code, and the Subcodes within one another, which are of the right namespaces."""
    values = [*answer.content.iter(f"{{{SOAP12}}}Value")]
    names = []
    for value in values:
        prefix, _, name = (value.text or "").partition(":")
        names.append(etree.QName(value.nsmap[prefix], name))
    assert names[0].namespace == SOAP12
    assert {name.namespace for name in names[1:]} <= {WSA}
    return names[0].localname, [name.localname for name in names[1:]]


@pytest.mark.parametrize(("header", "code", "subcodes"), REFUSED.values(), ids=REFUSED)
async def test_a_strict_route_refuses(header: str, code: str, subcodes: list[str]) -> None:
    answer = await answered(header, tolerance="strict")
    assert meant(answer) == (code, subcodes)
    assert answer.status == (400 if code == "Sender" else 500)
    action = etree.fromstring(answer.body).findtext(".//{*}Action") or ""  # in the version that was used
    assert action.endswith("/addressing/fault" if subcodes else "/addressing/soap/fault")
    if subcodes:
        [problem] = answer.content.iter(f"{{{WSA}}}ProblemHeaderQName")
        assert (problem.text or "").partition(":")[2] in header or subcodes == ["MessageAddressingHeaderRequired"]


@pytest.mark.parametrize("header", TAKEN.values(), ids=TAKEN)
async def test_a_strict_route_takes(header: str) -> None:
    assert (await answered(header, tolerance="strict")).fault is None


@pytest.mark.parametrize("header", [header for header, _, _ in REFUSED.values()], ids=REFUSED)
async def test_a_tolerant_route_takes_all_of_it(header: str) -> None:
    assert (await answered(header)).fault is None


async def test_the_action_of_a_content_type_does_not_stand_in_its_place() -> None:
    """WS-Addressing 1.0 SOAP Binding section 3: it may repeat the header."""
    async with site(route={"tolerance": "strict"}) as here:
        content_type = 'application/soap+xml; charset=utf-8; action="/Heartbeat"'
        answer = await here.post(bare(ME + MESSAGE_ID), headers={"Content-Type": content_type})
    assert meant(answer) == ("Sender", ["MessageAddressingHeaderRequired"])


RESET = f'<resetResponse xmlns="{CP}"><status>Accepted</status></resetResponse>'
RESET_ACTION = "<a:Action>/ResetResponse</a:Action>"
# What stands in the Header of an answer, and what is said of it.
ANSWERS = {
    "what must be understood": (RESET_ACTION + SECURITY.format("true"), "Security must be understood"),
    "no Header": ("", "needs an Action"),
    "no Action": (MESSAGE_ID, "needs an Action"),
    "the Action of the request": ("<a:Action>/Reset</a:Action>", "'/ResetResponse'"),
    "two Actions": (RESET_ACTION * 2, "more than one Action"),
    "a ReplyTo elsewhere": (RESET_ACTION + endpoint("ReplyTo", "http://192.0.2.1/"), "same connection"),
}


async def commanded(answer: bytes, tolerance: str) -> tuple[Any, list[str]]:
    """What the Central System gets for a Reset, and what the log says."""
    with logged() as lines:
        async with site(route={"tolerance": tolerance}) as here, listening(answering(answer)) as point:
            await here.send(source=point.url)
            try:
                return await here.command(), lines
            except CallRefused as refused:
                return refused, lines


@pytest.mark.parametrize(("header", "why"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_breaks_the_rules_is_a_link_failure_on_a_strict_route(header: str, why: str) -> None:
    """Nobody answers an answer with a Fault."""
    told, lines = await commanded(bare(header, RESET), "strict")
    assert isinstance(told, CallRefused) and told.code == "InternalError"
    assert any(why in line for line in lines), lines
    told, _ = await commanded(bare(header, RESET), "tolerant")
    assert told == {"status": "Accepted"}


async def test_an_answer_in_soap_1_1_is_none_on_a_strict_route() -> None:
    told, lines = await commanded(bare(RESET_ACTION, RESET, soap=SOAP11), "strict")
    assert isinstance(told, CallRefused)
    assert any("SOAP 1.2 is spoken" in line for line in lines)
    assert (await commanded(bare(RESET_ACTION, RESET, soap=SOAP11), "tolerant"))[0] == {"status": "Accepted"}


@pytest.mark.parametrize("tolerance", ["strict", "tolerant"])
async def test_an_answer_needs_no_message_id_and_a_fault_no_action(tolerance: str) -> None:
    assert (await commanded(bare(RESET_ACTION, RESET), tolerance))[0] == {"status": "Accepted"}
    told, _ = await commanded(bare(MESSAGE_ID, fault("NotSupported")), tolerance)
    assert told.code == "NotSupported"


async def test_what_was_not_understood_is_named() -> None:
    """SOAP 1.2 part 1, section 5.4.8."""
    other = '<y xmlns="urn:y" s:mustUnderstand="1"/>'
    answer = await answered(PLAIN + SECURITY.format("true") + other, tolerance="strict")
    blocks = [*etree.fromstring(answer.body).iter(f"{{{SOAP12}}}NotUnderstood")]
    named = []
    for block in blocks:
        prefix, _, name = (block.get("qname") or "").rpartition(":")
        named.append((block.nsmap[prefix], name))
    assert named == [("urn:wsse", "Security"), ("urn:y", "y")]
    assert "{urn:wsse}Security" in answer.reason and "strict" in answer.reason


async def test_a_strict_route_speaks_soap_1_2_only() -> None:
    answer = await answered(PLAIN, soap=SOAP11, tolerance="strict")
    assert (answer.status, answer.fault) == (500, (f"{{{SOAP11}}}VersionMismatch", ""))
    assert [*etree.fromstring(answer.body).iter(f"{{{SOAP12}}}SupportedEnvelope")]


@pytest.mark.parametrize("tolerance", ["strict", "tolerant"])
@pytest.mark.parametrize("soap", ["http://www.w3.org/2001/12/soap-envelope", "urn:soap", ""])
async def test_quirk_87_an_envelope_of_no_version_that_is_spoken(soap: str, tolerance: str) -> None:
    async with site(route={"tolerance": tolerance}) as here:
        plain = f"<Envelope><Body>{HEARTBEAT}</Body></Envelope>".encode()
        answer = await here.post(bare(PLAIN, soap=soap) if soap else plain)
    assert (answer.status, answer.fault) == (500, (f"{{{SOAP12}}}VersionMismatch", ""))
    [supported] = etree.fromstring(answer.body).iter(f"{{{SOAP12}}}SupportedEnvelope")
    prefix, _, name = (supported.get("qname") or "").partition(":")
    assert (supported.nsmap[prefix], name) == (SOAP12, "Envelope")


async def test_quirk_86_headers_that_must_be_understood_are_not_looked_at() -> None:
    async with site() as here:
        assert (await here.post(bare(PLAIN + SECURITY.format("true")))).fault is None
        assert here.central.received[-1][:2] == ("CP 1", "Heartbeat")


@pytest.mark.parametrize("code", ["MustUnderstand", "VersionMismatch", "DataEncodingUnknown"])
async def test_a_code_of_soap_keeps_its_name(code: str) -> None:
    broken = fault("Else", side=code).replace("<s:Subcode><s:Value>o:Else</s:Value></s:Subcode>", "")
    async with site() as here, listening(answering(broken, status=500)) as point:
        await here.send(HEARTBEAT, source=point.url)
        await here.central.wait_for("CP 1")
        with pytest.raises(CallRefused) as refused:
            await here.command()
        assert (refused.value.code, refused.value.details["soapCode"]) == ("ProtocolError", code)
