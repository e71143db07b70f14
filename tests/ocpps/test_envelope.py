"""The envelope and what stands around a message: read by local names, written as the specification has it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from bridge.errors import ErrorCode, FaultCode, MessageError, UnknownIdentity
from bridge.ocpp.rpc import CallError, Unanswered
from bridge.ocpps import envelope
from bridge.ocpps.envelope import (
    WSA,
    WSA_2004,
    Addressing,
    Envelope,
    EnvelopeFields,
    Fault,
    SoapVersion,
    anonymous,
    probable_identity,
    read,
    read_fault,
    write,
    write_fault,
)
from bridge.ocpps.xml import local_name, namespace, parse, text_of
from tests.mutations import mutated
from tests.ocpp.strategies import texts
from tests.ocpp.test_validation import as_json, json_values

CS = "urn://Ocpp/Cs/2015/10/"
CP = "urn://Ocpp/Cp/2015/10/"
ENV = SoapVersion.V12.value
ENV_11 = SoapVersion.V11.value
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
both_versions = pytest.mark.parametrize("soap", SoapVersion)


def enveloped(header: str = "", body: str = f'<heartbeatRequest xmlns="{CS}"/>', env: str = ENV) -> bytes:
    """An envelope whose namespaces `a` (WS-Addressing) and `c` (the service) are declared."""
    header = header and f"<s:Header>{header}</s:Header>"
    declared = f'xmlns:s="{env}" xmlns:a="{WSA}" xmlns:c="{CS}"'
    return f"<s:Envelope {declared}>{header}<s:Body>{body}</s:Body></s:Envelope>".encode()


def refused(data: bytes) -> str:
    with pytest.raises(MessageError) as caught:
        read(data)
    assert caught.value.code is ErrorCode.FormationViolation
    return caught.value.description


# --- What is an envelope ---


@both_versions
def test_an_envelope(soap: SoapVersion) -> None:
    opened = read(enveloped(env=soap.value))
    assert (opened.soap, opened.identity, opened.addressing) == (soap, None, Addressing())
    assert (local_name(opened.body), namespace(opened.body)) == ("heartbeatRequest", CS)


def test_content_types() -> None:
    assert SoapVersion.V12.content_type == "application/soap+xml; charset=utf-8"
    assert SoapVersion.V11.content_type == "text/xml; charset=utf-8"


def test_comments_and_blanks_are_nowhere_in_the_way() -> None:
    body = f"<?xml version='1.0'?>\n<!-- a --><s:Envelope xmlns:s='{ENV}'> <!-- b --> <?c d?>\n"
    body += f"<s:Header> <!-- e --></s:Header><s:Body>\n<!-- f --><?g h?>text<heartbeatRequest xmlns='{CS}'/> </s:Body>"
    body += "<!-- i --></s:Envelope>"
    opened = read(body.encode())
    assert local_name(opened.body) == "heartbeatRequest"


def test_the_first_element_of_the_body_is_the_message() -> None:
    assert local_name(read(enveloped(body="<one/><two/>")).body) == "one"


def test_order_and_what_else_stands_there_do_not_matter() -> None:
    header = "<s:Header><Action>/One</Action></s:Header>"
    source = f"<s:Envelope xmlns:s='{ENV}'><x/><s:Body><one/></s:Body>{header}</s:Envelope>"
    assert read(source.encode()).addressing.action == "/One"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not well-formed"),
        (b"<html><body>Sign in</body></html>", "not a SOAP envelope, but <html>"),
        (b"<Envelope/>", "unknown SOAP version, ''"),
        (b"<Envelope xmlns='http://www.w3.org/2001/12/soap-envelope'/>", "unknown SOAP version, 'http"),
        (f"<envelope xmlns='{ENV}'/>".encode(), "not a SOAP envelope, but <envelope>"),
        (f"<Envelope xmlns='{ENV}'/>".encode(), "no Body, or nothing in it"),
        (f"<Envelope xmlns='{ENV}'><Header/></Envelope>".encode(), "no Body, or nothing in it"),
        (enveloped(body=""), "no Body, or nothing in it"),
        (enveloped(body=" text <!-- comment --> <?pi x?>"), "no Body, or nothing in it"),
        (b"<!DOCTYPE a>" + enveloped(), "document type"),
    ],
)
def test_what_is_none(data: bytes, says: str) -> None:
    assert says in refused(data)


# --- Headers ---

NAMESPACES = [CS, CP, "urn://Ocpp/Cp/2012/06/", WSA, WSA_2004, "urn:other", ""]


@st.composite
def header(draw: st.DrawFn, name: str, content: str) -> str:
    """A header element in any namespace and letter case, with blanks around its content."""
    ups = draw(st.lists(st.booleans(), min_size=len(name), max_size=len(name)))
    spelled = "".join(char.upper() if up else char.lower() for char, up in zip(name, ups, strict=True))
    blank = draw(st.text(" \t\n", max_size=3))
    must = draw(st.sampled_from(["", ' s:mustUnderstand="true"', ' s:mustUnderstand="1"', ' s:role="urn:x"']))
    return f'<{spelled} xmlns="{draw(st.sampled_from(NAMESPACES))}"{must}>{blank}{content}{blank}</{spelled}>'


@settings(max_examples=100)
@given(data=st.data(), bare=st.booleans())
def test_headers_by_local_name_in_any_namespace_case_and_order(data: st.DataObject, bare: bool) -> None:
    where = "http://10.1.2.3:8081/?a=1&amp;b=2"
    endpoint = where if bare else data.draw(header("Address", where))
    headers = [
        data.draw(header("chargeBoxIdentity", "RDAM 123")),
        data.draw(header("MessageID", "urn:uuid:1")),
        data.draw(header("RelatesTo", "7230")),
        data.draw(header("Action", "/Heartbeat")),
        data.draw(header("From", endpoint)),
        data.draw(header("ReplyTo", anonymous(WSA))),
        data.draw(header("Unknown", "x")),
    ]
    opened = read(enveloped("".join(data.draw(st.permutations(headers)))))
    assert opened.identity == "RDAM 123"
    assert opened.addressing == Addressing(
        message_id="urn:uuid:1",
        relates_to=("7230",),
        action="/Heartbeat",
        sent_from="http://10.1.2.3:8081/?a=1&b=2",
        reply_to=anonymous(WSA),
        namespace=opened.addressing.namespace,
    )


USUAL = ["a:MessageID", "a:RelatesTo", "a:Action", "a:From", "a:ReplyTo", "a:To", "c:chargeBoxIdentity"]
CONTENTS = ["1", " 1 ", "", "1<!-- x -->2", "<a:Address>1</a:Address>", "<c:x/><c:ADDRESS>1</c:ADDRESS>", "<a:b/>"]


@both_versions
@given(parts=st.lists(st.tuples(st.sampled_from(USUAL), st.sampled_from(CONTENTS)), max_size=6))
def test_what_is_spelled_as_it_should_be_is_read_as_what_is_not(
    soap: SoapVersion, parts: list[tuple[str, str]]
) -> None:
    usual = read(enveloped("".join(f"<{name}>{content}</{name}>" for name, content in parts), env=soap.value))
    odd = [(name[2:].swapcase(), content.replace("a:Address", "address")) for name, content in parts]
    other = read(enveloped("".join(f"<{name}>{content}</{name}>" for name, content in odd), env=soap.value))
    assert (usual.soap, usual.identity, usual.addressing) == (other.soap, other.identity, other.addressing)


@pytest.mark.parametrize("content", ["", " ", "<!-- x -->", "<a:Address/>", "<a:Address> </a:Address>"])
def test_a_header_that_says_nothing_is_not_there(content: str) -> None:
    names = ("a:MessageID", "a:RelatesTo", "a:Action", "a:From", "a:ReplyTo", "c:chargeBoxIdentity")
    opened = read(enveloped("".join(f"<{name}>{content}</{name}>" for name in names)))
    assert (opened.identity, opened.addressing) == (None, Addressing())


@pytest.mark.parametrize(
    ("content", "address"),
    [
        ("http://10.1.2.3/", "http://10.1.2.3/"),
        ("<a:Address>http://10.1.2.3/</a:Address>", "http://10.1.2.3/"),
        ("\n <a:Address>\n http://10.1.2.3/\n </a:Address>\n", "http://10.1.2.3/"),
        ("<c:address>http://10.1.2.3/</c:address>", "http://10.1.2.3/"),
        ("http://<!-- x -->10.1.2.3/", "http://10.1.2.3/"),
        ("<a:Other>http://10.1.2.3/</a:Other>", "http://10.1.2.3/"),
        # WS-Addressing 1.0 section 2.1: other properties of an endpoint stand beside its address.
        (
            "<a:Address>http://10.1.2.3/</a:Address><a:ReferenceParameters><c:id>5</c:id></a:ReferenceParameters>"
            "<a:Metadata>x</a:Metadata>",
            "http://10.1.2.3/",
        ),
        ("<a:Address>http://:8082/</a:Address>", "http://:8082/"),
    ],
)
def test_an_endpoint_with_and_without_its_address_element(content: str, address: str) -> None:
    opened = read(enveloped(f"<a:From>{content}</a:From><a:ReplyTo>{content}</a:ReplyTo>"))
    assert (opened.addressing.sent_from, opened.addressing.reply_to) == (address, address)


def test_which_addressing_is_spoken() -> None:
    for wsa, spoken in [(WSA, WSA), (WSA_2004, WSA_2004), ("urn:other", WSA)]:
        assert read(enveloped(f'<MessageID xmlns="{wsa}">1</MessageID>')).addressing.namespace == spoken
    assert read(enveloped()).addressing.namespace == WSA


@given(texts(min_length=1).filter(lambda text: text.strip() == text))
def test_an_identity_of_any_characters(identity: str) -> None:
    root = etree.Element(f"{{{ENV}}}Envelope")
    etree.SubElement(etree.SubElement(root, f"{{{ENV}}}Header"), "chargeBoxIdentity").text = identity
    etree.SubElement(etree.SubElement(root, f"{{{ENV}}}Body"), "x")
    assert read(etree.tostring(root)).identity == identity


# --- Writing ---

HEADERS = EnvelopeFields(
    action="/Reset",
    message_id="urn:uuid:1",
    to="http://10.1.2.3:8081/",
    identity=(CP, "RDAM 123"),
    sent_from="http://127.0.0.1:8080/services",
    relates_to="7230",
)


def test_a_request_is_written_as_the_specification_has_it() -> None:
    body = etree.Element(f"{{{CP}}}resetRequest")
    data = write(body, HEADERS)
    assert data.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n')
    root = parse(data)
    assert root.tag == f"{{{ENV}}}Envelope"
    assert [child.tag for child in root] == [f"{{{ENV}}}Header", f"{{{ENV}}}Body"]
    must = f"{{{ENV}}}mustUnderstand"
    assert [(element.tag, text_of(element), dict(element.attrib)) for element in root[0]] == [
        (f"{{{CP}}}chargeBoxIdentity", "RDAM 123", {must: "true"}),
        (f"{{{WSA}}}Action", "/Reset", {must: "true"}),
        (f"{{{WSA}}}MessageID", "urn:uuid:1", {}),
        (f"{{{WSA}}}RelatesTo", "7230", {}),
        (f"{{{WSA}}}From", "http://127.0.0.1:8080/services", {}),
        (f"{{{WSA}}}ReplyTo", "http://www.w3.org/2005/08/addressing/anonymous", {}),
        (f"{{{WSA}}}To", "http://10.1.2.3:8081/", {must: "true"}),
    ]
    assert [endpoint[0].tag for endpoint in root[0] if len(endpoint)] == [f"{{{WSA}}}Address"] * 2
    assert [child.tag for child in root[1]] == [f"{{{CP}}}resetRequest"]


def test_a_response_has_neither_identity_nor_from_nor_reply_to() -> None:
    headers = EnvelopeFields(action="/ResetResponse", message_id="urn:uuid:2", to=anonymous(WSA))
    root = parse(write(etree.Element("x"), headers))
    assert [local_name(element) for element in root[0]] == ["Action", "MessageID", "To"]


@both_versions
@pytest.mark.parametrize("wsa", [WSA, WSA_2004])
def test_what_is_written_is_read(soap: SoapVersion, wsa: str) -> None:
    headers = EnvelopeFields(
        action="/Reset",
        message_id="urn:uuid:1",
        to="urn:x",
        identity=(CP, "é<&> 1"),
        sent_from="http://a.example/?b&c",
        relates_to="7",
        namespace=wsa,
    )
    opened = read(write(etree.Element(f"{{{CP}}}resetRequest"), headers, soap))
    assert (opened.soap, opened.identity, local_name(opened.body)) == (soap, "é<&> 1", "resetRequest")
    assert opened.addressing == Addressing(
        message_id="urn:uuid:1",
        relates_to=("7",),
        action="/Reset",
        sent_from="http://a.example/?b&c",
        reply_to=anonymous(wsa),
        namespace=wsa,
    )


def test_must_understand_of_soap_1_1_is_a_digit() -> None:
    root = parse(write(etree.Element("x"), HEADERS, SoapVersion.V11))
    assert root[0][0].get(f"{{{ENV_11}}}mustUnderstand") == "1"


def test_anonymous_addresses() -> None:
    assert anonymous(WSA) == "http://www.w3.org/2005/08/addressing/anonymous"
    assert anonymous(WSA_2004) == "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"


# --- Faults, there and back ---


def reopened(fault: etree._Element, soap: SoapVersion) -> Envelope:
    return read(write(fault, EnvelopeFields(action=f"{WSA}/fault", message_id="urn:uuid:1", to=anonymous(WSA)), soap))


def found(body: etree._Element) -> Fault:
    fault = read_fault(body)
    assert fault is not None
    return fault


errors = st.builds(
    CallError,
    unique_id=st.just("1"),
    code=st.sampled_from([*ErrorCode]).map(str) | texts(30, min_length=1),
    description=texts(),
    details=st.dictionaries(st.text(), json_values, max_size=3),
)


@both_versions
@settings(max_examples=150)
@given(sent=errors, service=st.sampled_from([CS, CP]))
@example(CallError(unique_id="1", code="A", details={"\ufffe": "\uffff\x00\x1f\x7f\x85 \r\n"}), CS)
@example(CallError(unique_id="1", code=" A\r\n", description="\r\n ]]> <&>"), CS)
def test_a_call_error_comes_out_of_a_fault_as_it_went_in(soap: SoapVersion, sent: CallError, service: str) -> None:
    fault = write_fault(sent, service).element(soap)
    read = found(reopened(fault, soap).body).as_error("1")
    assert read == sent
    assert as_json(read.details) == as_json(sent.details)


@both_versions
@given(code=st.text(min_size=1), description=st.text())
def test_what_xml_cannot_carry_is_replaced_in_explanations(soap: SoapVersion, code: str, description: str) -> None:
    sent = CallError(unique_id="1", code=code, description=description)
    read = found(reopened(write_fault(sent, CS).element(soap), soap).body).as_error("1")
    for before, after in ((code, read.code), (description, read.description)):
        assert len(before) == len(after)
        assert all(new in (old, "\N{REPLACEMENT CHARACTER}") for old, new in zip(before, after, strict=True))
    assert (read.code, read.description) == (envelope.printable(code), envelope.printable(description))


@given(sent=errors, service=st.sampled_from([CS, CP]))
def test_a_fault_is_valid_soap_1_2(sent: CallError, service: str) -> None:
    """SOAP 1.2 part 1, section 5.4."""
    fault = reopened(write_fault(sent, service).element(SoapVersion.V12), SoapVersion.V12).body
    assert fault.tag == f"{{{ENV}}}Fault"
    code, reason, detail = fault
    assert [part.tag for part in fault] == [f"{{{ENV}}}{name}" for name in ("Code", "Reason", "Detail")]
    value, subcode = code
    assert [part.tag for part in code] == [f"{{{ENV}}}Value", f"{{{ENV}}}Subcode"]
    assert meant(value) in ((ENV, "Sender"), (ENV, "Receiver"))
    assert [part.tag for part in subcode] == [f"{{{ENV}}}Value"]
    assert meant(subcode[0])[0] == service
    assert meant(subcode[0])[1] in FaultCode.__members__
    (text,) = reason
    assert (text.tag, dict(text.attrib)) == (f"{{{ENV}}}Text", {XML_LANG: "en"})
    assert text.text
    assert all(namespace(entry) for entry in detail)


def meant(element: etree._Element) -> tuple[str | None, str]:
    """The namespace and local name of the QName that is an element's text."""
    prefix, _, name = (element.text or "").rpartition(":")
    return element.nsmap[prefix], name


def test_a_fault_of_soap_1_1() -> None:
    error = CallError(unique_id="1", code="SecurityError", description="no")
    fault = reopened(write_fault(error, CS).element(SoapVersion.V11), SoapVersion.V11).body
    # SOAP 1.1 section 4.4: the children have no namespace.
    assert [part.tag for part in fault] == ["faultcode", "faultstring", "detail"]
    prefix, _, code = (fault[0].text or "").partition(":")
    assert (fault[0].nsmap[prefix], code) == (ENV_11, "Client.SecurityError")
    assert fault[1].text == "SecurityError: no"


@pytest.mark.parametrize(
    ("code", "meant_code", "status"),
    [("TypeConstraintViolation", "ProtocolError", 400), ("NotImplemented", "NotSupported", 500)],
)
def test_a_fault_carries_its_status(code: str, meant_code: str, status: int) -> None:
    fault = write_fault(CallError(unique_id="1", code=code), CS)
    assert (fault.code, fault.http_status) == (FaultCode[meant_code], status)
    assert fault.error.code == code


def test_a_fault_of_our_own_choice() -> None:
    error = UnknownIdentity("X")
    fault = write_fault(CallError.of("1", error), CS, error.fault).element(SoapVersion.V12)
    assert found(fault).subcode == "IdentityMismatch"


def test_unanswered_as_a_fault() -> None:
    fault = write_fault(Unanswered(unique_id="1", reason="no answer within 30 s"), CS)
    assert fault.code is FaultCode.InternalError
    assert found(fault.element(SoapVersion.V12)).reason == "InternalError: no answer within 30 s"


def test_the_reason_is_the_code_alone_when_there_is_no_description() -> None:
    assert (
        found(write_fault(CallError(unique_id="1", code="GenericError"), CS).element(SoapVersion.V12)).reason
        == "GenericError"
    )


# --- Faults of others ---


def soap12(code: str, rest: str = "<s:Reason><s:Text xml:lang='en'> it broke </s:Text></s:Reason>") -> str:
    return f"<s:Fault>{code and f'<s:Code>{code}</s:Code>'}{rest}</s:Fault>"


def sub(code: str, subcode: str) -> str:
    return f"<s:Value>{code}</s:Value><s:Subcode><s:Value>{subcode}</s:Value></s:Subcode>"


def fault(body: str, env: str = ENV) -> Fault:
    return found(read(enveloped(body=body, env=env)).body)


@pytest.mark.parametrize(
    ("body", "side", "subcode"),
    [
        (soap12(sub("s:Sender", "c:SecurityError")), "Sender", "SecurityError"),
        (soap12(sub("s:Receiver", "c:InternalError")), "Receiver", "InternalError"),
        (soap12(sub("other:Sender", "xyz:SecurityError")), "Sender", "SecurityError"),
        (soap12(sub("Sender", "SecurityError")), "Sender", "SecurityError"),
        (soap12(sub("\n s:Sender\n", "\n c:SecurityError\n")), "Sender", "SecurityError"),
        (soap12(sub("s:sender", "c:securityerror")), "Sender", "securityerror"),
        # Seen in the open: the Subcode's name in the wrong case, and it or its Value in the wrong namespace.
        (
            soap12("<s:Value>s:Sender</s:Value><c:SubCode><s:Value>c:ProtocolError</s:Value></c:SubCode>"),
            "Sender",
            "ProtocolError",
        ),
        (
            soap12("<s:Value>s:Sender</s:Value><c:SubCode><c:Value>c:ProtocolError</c:Value></c:SubCode>"),
            "Sender",
            "ProtocolError",
        ),
        (soap12("<s:Value>s:Receiver</s:Value><SubCode>NotSupported</SubCode>"), "Receiver", "NotSupported"),
        # A Subcode inside a Subcode: the outer one is OCPP's.
        (
            soap12(
                "<s:Value>s:Sender</s:Value><s:Subcode><s:Value>c:SecurityError</s:Value>"
                "<s:Subcode><s:Value>c:Other</s:Value></s:Subcode></s:Subcode>"
            ),
            "Sender",
            "SecurityError",
        ),
        (soap12("<s:Value>s:Sender</s:Value>"), "Sender", None),
        (soap12("<s:Value>s:Receiver</s:Value>"), "Receiver", None),
        (soap12("<s:Value>s:MustUnderstand</s:Value>"), "MustUnderstand", None),
        (soap12("<s:Value>s:versionMismatch</s:Value>"), "VersionMismatch", None),
        (soap12("<s:Value>s:DataEncodingUnknown</s:Value>"), "DataEncodingUnknown", None),
        (soap12("<s:Value>s:Else</s:Value>"), "Receiver", None),
        (soap12("<s:Value>s:Sender</s:Value><s:Subcode/>"), "Sender", None),
        (soap12(sub("s:Sender", " ")), "Sender", None),
        (soap12("<s:Value/>"), "Receiver", None),
        (soap12(""), "Receiver", None),
        (soap12("<!-- nothing -->"), "Receiver", None),
    ],
)
def test_codes_of_soap_1_2(body: str, side: str, subcode: str | None) -> None:
    read = fault(body)
    assert (read.side, read.subcode, read.reason) == (side, subcode, "it broke")


@pytest.mark.parametrize(
    ("code", "side", "subcode"),
    [
        ("s:Client", "Sender", None),
        ("s:Server", "Receiver", None),
        ("s:Client.SecurityError", "Sender", "SecurityError"),
        ("Client.SecurityError.Detailed", "Sender", "SecurityError"),
        ("s:Server.NotSupported", "Receiver", "NotSupported"),
        ("\n s:Client \n", "Sender", None),
        ("s:Server.", "Receiver", None),
        ("", "Receiver", None),
    ],
)
def test_codes_of_soap_1_1(code: str, side: str, subcode: str | None) -> None:
    read = fault(f"<s:Fault><faultcode>{code}</faultcode><faultstring>it broke</faultstring></s:Fault>", ENV_11)
    assert (read.side, read.subcode, read.reason) == (side, subcode, "it broke")


def test_a_fault_with_nothing_in_it() -> None:
    assert fault("<s:Fault/>") == Fault(side="Receiver", subcode=None, reason="")
    assert fault("<Fault>text</Fault>") == Fault(side="Receiver", subcode=None, reason="")


def test_anything_else_is_no_fault() -> None:
    for body in ("<heartbeatResponse/>", "<c:fault/>", "<Faults/>"):
        assert read_fault(read(enveloped(body=body)).body) is None


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("<s:Reason><s:Text xml:lang='en'>it broke</s:Text></s:Reason>", "it broke"),
        ("<s:Reason>it broke</s:Reason>", "it broke"),
        ("<s:Reason><s:Text>it broke</s:Text><s:Text xml:lang='de'>kaputt</s:Text></s:Reason>", "it broke"),
        ("<c:reason><text>it broke</text></c:reason>", "it broke"),
        ("<s:Reason/>", ""),
    ],
)
def test_reasons(reason: str, text: str) -> None:
    assert fault(soap12("<s:Value>s:Sender</s:Value>", reason)).reason == text


DETAIL = (
    "<s:Detail><code>77</code><c:Subcode><s:Value>c:SecurityError</s:Value></c:Subcode><reason>x</reason></s:Detail>"
)


@pytest.mark.parametrize("detail_first", [True, False])
def test_what_stands_in_the_detail_is_somebody_elses(detail_first: bool) -> None:
    code = "<s:Code><s:Value>s:Sender</s:Value></s:Code><s:Reason><s:Text>it broke</s:Text></s:Reason>"
    read = fault(f"<s:Fault>{DETAIL + code if detail_first else code + DETAIL}</s:Fault>")
    assert (read.side, read.subcode, read.reason) == ("Sender", None, "it broke")
    assert read.detail is not None


# --- Faults of others as CALLERRORs ---


@pytest.mark.parametrize(
    ("code", "subcode", "call_error"),
    [
        ("s:Sender", "c:SecurityError", "SecurityError"),
        ("s:Sender", "c:IdentityMismatch", "InternalError"),
        ("s:Sender", "c:ProtocolError", "ProtocolError"),
        ("s:Receiver", "c:InternalError", "InternalError"),
        ("s:Receiver", "c:NotSupported", "NotSupported"),
        # One peer writes OCPP-J's codes here.
        ("s:Receiver", "c:FormationViolation", "FormationViolation"),
        ("s:Receiver", "c:OccurrenceConstraintViolation", "OccurenceConstraintViolation"),
        ("s:Sender", "a:ActionNotSupported", "ProtocolError"),
        ("s:Receiver", "c:UrlMismatch", "InternalError"),
    ],
)
def test_a_fault_as_a_call_error(code: str, subcode: str, call_error: str) -> None:
    read = fault(soap12(sub(code, subcode))).as_error("7")
    assert (read.unique_id, read.code, read.description) == ("7", call_error, "it broke")
    kept = {} if call_error == subcode[2:] or "Violation" in subcode else {"soapSubcode": subcode[2:]}
    assert read.details == {"soapCode": code[2:]} | kept


def test_a_stale_address_can_be_told_from_other_internal_errors() -> None:
    read = fault(soap12(sub("s:Sender", "c:IdentityMismatch"))).as_error("7")
    assert read.details["soapSubcode"] == "IdentityMismatch"


def test_the_detail_is_kept_as_text_within_limits() -> None:
    rest = f"<s:Detail>\n <a>one</a>\n <b>two{'x' * 2000}</b></s:Detail>"
    read = fault(soap12("<s:Value>s:Receiver</s:Value>", rest)).as_error("7")
    assert read.details["soapDetail"].startswith("one twoxxx")
    assert len(read.details["soapDetail"]) == 1000
    assert "soapDetail" not in fault(soap12("", "<s:Detail> </s:Detail>")).as_error("7").details


WHOLE = "<b:callError xmlns:b='urn:ocpp-bridge:callerror'>{}</b:callError>"


@pytest.mark.parametrize(
    ("content", "code", "details"),
    [
        ("<b:code>X</b:code><b:details>{}</b:details>", "X", {}),
        ("<b:code>X</b:code>", "X", {}),
        ('<b:details>{"a":1}</b:details>', "InternalError", {"a": 1}),
        ("<b:code>X</b:code><b:details>not JSON</b:details>", "X", {"details": "not JSON"}),
        ("<b:code>X</b:code><b:details>[1]</b:details>", "X", {"details": [1]}),
        ("<b:code>X</b:code><b:details>1e99999999999999999999</b:details>", "X", {"details": "1e99999999999999999999"}),
        ("", "InternalError", {}),
    ],
)
def test_a_call_error_in_a_detail_is_taken_as_it_is(content: str, code: str, details: dict[str, Any]) -> None:
    rest = f"<s:Detail>{WHOLE.format(content)}</s:Detail>"
    assert fault(soap12("", rest)).as_error("7") == CallError(unique_id="7", code=code, details=details)


def test_a_call_error_in_a_detail_that_is_nested_without_end() -> None:
    deep = "[" * 5000
    rest = f"<s:Detail>{WHOLE.format(f'<b:details>{deep}</b:details>')}</s:Detail>"
    assert fault(soap12("", rest)).as_error("7").details == {"details": deep}


# --- Anything ---

PIECES = [
    *(
        b"<s:Fault>",
        b"</s:Fault>",
        b"<s:Code/>",
        b"<s:Subcode><s:Value/></s:Subcode>",
        b"<s:Value>:</s:Value>",
        b"<!-- -->",
    ),
    *(
        b"<a:From/>",
        b"<a:From><a:Address/></a:From>",
        b"<s:Body/>",
        b"<s:Header/>",
        b"xmlns=''",
        b"<faultcode>..</faultcode>",
    ),
    *(b"&#13;", b"\xff", b"<?x y?>", b"<s:Detail/>"),
]
envelopes = st.sampled_from(
    [
        enveloped("<c:chargeBoxIdentity>X</c:chargeBoxIdentity><a:From><a:Address>http://x/</a:Address></a:From>"),
        enveloped(body=soap12(sub("s:Sender", "c:SecurityError"))),
        enveloped(
            body=soap12("", f"<s:Detail>{WHOLE.format('<b:code>X</b:code><b:details>{}</b:details>')}</s:Detail>")
        ),
        enveloped(body="<s:Fault><faultcode>s:Client.X</faultcode><faultstring>x</faultstring></s:Fault>", env=ENV_11),
    ]
)


@settings(max_examples=200)
@given(st.binary() | mutated(envelopes, PIECES))
def test_any_bytes(data: bytes) -> None:
    try:
        opened = read(data)
    except MessageError as error:
        assert error.code is ErrorCode.FormationViolation
        return
    read_one = read_fault(opened.body)
    if read_one is not None:
        said = read_one.as_error("1")
        assert said.code
        again = found(reopened(write_fault(said, CS).element(opened.soap), opened.soap).body)
        assert again.as_error("1") == said


@pytest.mark.parametrize(
    ("data", "identity"),
    [
        (enveloped(f'<c:chargeBoxIdentity xmlns:c="{CS}"> CP 1 </c:chargeBoxIdentity>'), "CP 1"),
        (b"<chargeBoxIdentity\n a='b'>caf\xc3\xa9</chargeBoxIdentity>", "caf\u00e9"),
        (b"<chargeBoxIdentity>\xff</chargeBoxIdentity>", None),
        (b"<chargeBoxIdentity>&#65;</chargeBoxIdentity>", None),
        (b"<chargeBoxIdentity>../x</chargeBoxIdentity>", None),
        (b" " * 5000 + b"<chargeBoxIdentity>CP</chargeBoxIdentity>", None),
        (b"", None),
    ],
)
def test_a_hint_of_the_identity(data: bytes, identity: str | None) -> None:
    assert probable_identity(data) == identity
