"""Bytes from a stranger: an element, or a MessageError, and nothing else happens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from bridge.errors import ErrorCode, MessageError, Why
from bridge.ocpp.message_size import LARGE
from bridge.ocpps.xml import XmlBounds, children, local_name, markup_of, namespace, parse, text_of
from tests.mutations import mutated
from tests.ocpp.strategies import texts


def refused(data: bytes) -> str:
    """Why `data` is refused."""
    with pytest.raises(MessageError) as caught:
        parse(data)
    assert caught.value.code is ErrorCode.FormationViolation
    assert "\n" not in caught.value.description
    assert len(caught.value.description) < 300
    return caught.value.description


# --- Documents ---


@given(texts())
def test_a_text_there_and_back(text: str) -> None:
    element = etree.Element("a")
    element.text = text
    assert text_of(parse(etree.tostring(element))) == text
    assert text_of(parse(etree.tostring(element, xml_declaration=True, encoding="UTF-8"))) == text


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16", "UTF-16LE", "UTF-16BE", "ISO-8859-1", "US-ASCII"])
def test_encodings_that_are_declared(encoding: str) -> None:
    source = etree.tostring(parse("<a>é\U0001f50c</a>".encode()), encoding=encoding, xml_declaration=True)
    assert text_of(parse(source)) == "é\U0001f50c"


@pytest.mark.parametrize(
    "before",
    [b"", b"\xef\xbb\xbf", b"\n", b" \t\r\n", b"\xef\xbb\xbf\r\n", b"\r\n\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf"],
)
@pytest.mark.parametrize("declaration", [b"", b'<?xml version="1.0" encoding="UTF-8"?>'])
def test_what_real_devices_send_before_the_document(before: bytes, declaration: bytes) -> None:
    assert text_of(parse(before + declaration + b"<a>x</a>\r\n")) == "x"


def test_a_byte_order_mark_of_utf_16() -> None:
    assert text_of(parse("<a>é</a>".encode("utf-16"))) == "é"


def test_a_small_document_does_not_wait_for_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread at a time uses a parser of lxml."""
    used: list[etree.XMLParser] = []
    real = etree.fromstring

    def fromstring(data: bytes, parser: etree.XMLParser) -> etree._Element:
        used.append(parser)
        return real(data, parser)

    monkeypatch.setattr(etree, "fromstring", fromstring)
    for inside in (0, 10, LARGE, LARGE + 1):
        parse(b"<a>%b</a>" % (b" " * inside))
    small, also_small, large, also_large = used
    assert small is also_small
    assert large is also_large
    assert small is not large


# --- What is not a document ---


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \r\n",
        b"\xef\xbb\xbf",
        b"x",
        b"{}",
        b"\x00",
        b"<",
        b"<a>",
        b"<a></b>",
        b"<a/><b/>",
        b"<a/>x",
        b"<a>&lt</a>",
        b"<a>&b;</a>",
        b"<a>\x01</a>",
        b"<a>&#0;</a>",
        b"<a>&#xD800;</a>",
        b"<a>\xff</a>",
        b"<a b='1' b='2'/>",
        b"<a:b/>",
        b"<a><!-- -- --></a>",
        b"<!-- nothing else -->",
        b"<?xml version='1.0'?>",
        b"<?xml version='1.0' encoding='UTF-8'?>\n<html><body><p>Sign in<br></body></html>",
        b"<?xml version='1.0' encoding='no-such'?><a/>",
        b"<?xml version='1.0' encoding='UTF-16'?><a/>",
        b"<?xml version='1.0' encoding='UTF-8'?>" + "<a/>".encode("utf-16"),
        b"\x1f\x8b\x08\x00",
    ],
)
def test_what_is_not_well_formed(data: bytes) -> None:
    assert refused(data).startswith("not well-formed XML")


@pytest.mark.parametrize("data", [b"<a:b/>", b"<a><s:b>x</s:b></a>"])
def test_a_prefix_that_is_not_declared(data: bytes) -> None:
    refused(data)


# --- Document types and entities ---

DOCTYPES = {
    "empty": "<!DOCTYPE a>",
    "internal": "<!DOCTYPE a []>",
    "element": "<!DOCTYPE a [<!ELEMENT a ANY>]>",
    "external": "<!DOCTYPE a SYSTEM 'http://127.0.0.1:9/a.dtd'>",
    "public": "<!DOCTYPE a PUBLIC '-//W3C//DTD XHTML 1.0 Strict//EN' 'http://127.0.0.1:9/a.dtd'>",
    "entity": "<!DOCTYPE a [<!ENTITY b 'c'>]>",
    "parameter": "<!DOCTYPE a [<!ENTITY % b SYSTEM 'http://127.0.0.1:9/b'> %b;]>",
    "attribute": "<!DOCTYPE a [<!ATTLIST a b CDATA 'given'>]>",
}


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16", "UTF-16BE"])
@pytest.mark.parametrize("doctype", DOCTYPES.values(), ids=DOCTYPES.keys())
@pytest.mark.parametrize("content", ["", "&b;"], ids=["unused", "used"])
def test_a_document_type_is_refused(doctype: str, content: str, encoding: str) -> None:
    if encoding == "UTF-8":
        documents = [f"{doctype}<a>{content}</a>".encode(), f"\n<!-- x -->{doctype}<a>{content}</a>".encode()]
    else:
        text = f"<?xml version='1.0' encoding='{encoding}'?>{doctype}<a>{content}</a>"
        documents = [text.encode(encoding)]
    for document in documents:
        refused(document)


@pytest.mark.parametrize("doctype", [value for name, value in DOCTYPES.items() if name != "parameter"])
def test_the_reason_names_the_document_type(doctype: str) -> None:
    assert refused(f"{doctype}<a/>".encode()) == "a SOAP message must not have a document type declaration"


def test_an_entity_that_names_a_file_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("SECRET")
    for entity in (f"SYSTEM '{secret.as_uri()}'", f"SYSTEM '{secret}'", f"PUBLIC 'x' '{secret.as_uri()}'"):
        for document in (
            f"<!DOCTYPE a [<!ENTITY b {entity}>]><a>&b;</a>",
            f"<!DOCTYPE a [<!ENTITY % b {entity}> %b;]><a/>",
            f"<!DOCTYPE a {entity}><a/>",
        ):
            assert "SECRET" not in refused(document.encode())


@pytest.mark.parametrize("place", ["<a>&l9;</a>", '<a b="&l9;"/>'], ids=["text", "attribute"])
def test_an_entity_bomb(place: str) -> None:
    levels = "".join(f"<!ENTITY l{n + 1} '{f'&l{n};' * 10}'>" for n in range(9))
    refused(f"<!DOCTYPE a [<!ENTITY l0 'boom'>{levels}]>{place}".encode())


def test_one_large_entity_used_often() -> None:
    document = f"<!DOCTYPE a [<!ENTITY b '{'x' * 50_000}'>]><a>{'&b;' * 2000}</a>"
    refused(document.encode())
    refused(document.replace("<a>", '<a c="').replace("</a>", '"/>').encode())


def test_inclusions_are_only_elements(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("SECRET")
    source = f'<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="{tmp_path}/secret" parse="text"/>'
    root = parse(f"<a>{source}</a>".encode())
    assert text_of(root) == ""
    assert [local_name(child) for child in root] == ["include"]


# --- Depth and size ---


@pytest.mark.parametrize("depth", [257, 1000, 100_000])
def test_deep_nesting(depth: int) -> None:
    refused(b"<a>" * depth + b"</a>" * depth)


def test_nesting_that_is_allowed() -> None:
    root = parse(b"<a>" * 250 + b"x" + b"</a>" * 250, XmlBounds(depth=250))
    assert text_of(root) == "x"
    assert markup_of(root).count("<a>") == 249


@pytest.mark.parametrize("depth", [9, 32, 100])
def test_depth_has_a_bound(depth: int) -> None:
    parse(b"<a>" * depth + b"</a>" * depth, XmlBounds(depth=depth))
    with pytest.raises(MessageError, match=f"more than {depth} deep") as caught:
        parse(b"<a>" * (depth + 1) + b"</a>" * (depth + 1), XmlBounds(depth=depth))
    assert caught.value.why is Why.TOO_DEEP


@pytest.mark.parametrize(
    ("document", "nodes"),
    [
        ("<a/>", 1),
        ("<a><b/>text = &lt;text&gt; = &amp;<b></b></a>", 3),
        ("<a b='1' c='2'/>", 3),
        ("<a xmlns='urn:a' xmlns:b='urn:b'/>", 3),
        ("<a><!-- = --><?b c?></a>", 3),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-7", "iso-8859-1", "utf-32"])
def test_nodes_have_a_bound_in_any_encoding(document: str, nodes: int, encoding: str) -> None:
    name = "utf-16" if encoding == "utf-16-be" else encoding
    data = f'<?xml version="1.0" encoding="{name}"?>{document}'.encode(encoding)
    parse(data, XmlBounds(nodes=nodes))
    with pytest.raises(MessageError, match=f"more than {nodes - 1} elements") as caught:
        parse(data, XmlBounds(nodes=nodes - 1))
    assert caught.value.why is Why.TOO_LARGE


@pytest.mark.parametrize("nodes", [1, 2, 5, 100])
def test_the_shortest_nodes_are_counted(nodes: int) -> None:
    """Of a document that is too short for more nodes than are allowed, they are not counted: none is that short."""
    for node in (b"<b/>", b"<!---->", b"<?b?>"):
        parse(b"<a>" + node * (nodes - 1) + b"</a>", XmlBounds(nodes=nodes))
        with pytest.raises(MessageError, match=f"more than {nodes} elements"):
            parse(b"<a>" + node * nodes + b"</a>", XmlBounds(nodes=nodes))


def test_a_text_of_more_than_ten_million_characters() -> None:
    refused(b"<a>" + b"x" * 10_000_001 + b"</a>")


# --- Elements ---


def test_names() -> None:
    root = parse(b'<b:a xmlns:b="urn:b"><c/><!-- d --><?e f?></b:a>')
    assert (local_name(root), namespace(root)) == ("a", "urn:b")
    child, comment, instruction = root
    assert (local_name(child), namespace(child)) == ("c", "")
    for part in (comment, instruction):
        assert (local_name(part), namespace(part)) == ("", "")
    assert children(root) == [child]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (b"<a/>", ""),
        (b"<a>x</a>", "x"),
        (b"<a> x\n</a>", " x\n"),
        (b"<a>x<!-- y -->z</a>", "xz"),
        (b"<a><!-- y -->z</a>", "z"),
        (b"<a>x<?y y?>z</a>", "xz"),
        (b"<a><![CDATA[<x>&]]>y</a>", "<x>&y"),
        (b"<a>&lt;&#x1F50C;&amp;</a>", "<\U0001f50c&"),
        (b"<a>x<b>y<c>z</c>1</b>2</a>", "xyz12"),
    ],
)
def test_text(source: bytes, text: str) -> None:
    assert text_of(parse(source)) == text


def test_markup() -> None:
    source = '&lt;x<b c="1">&lt;y</b><!-- z -->&amp;<?d e?>'
    assert markup_of(parse(f"<a>{source}</a>".encode())) == source


def test_markup_stands_on_its_own_and_declares_nothing_else() -> None:
    root = parse(b'<a xmlns:b="urn:b" xmlns:c="urn:c"><c:x/><y/></a>')
    assert markup_of(root) == '<c:x xmlns:c="urn:c"/><y/>'


# --- Anything ---

PIECES = [
    *(
        b"<",
        b">",
        b"&",
        b"]]>",
        b"<![CDATA[",
        b"<!--",
        b"<?",
        b"&#0;",
        b"&#xFFFF;",
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
    ),
    *(
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        b"<?xml version='1.0' encoding='UTF-16'?>",
        b"</a>",
        b"<a>" * 300,
        b"xmlns=''",
    ),
]


@given(st.binary() | st.text().map(str.encode) | st.lists(st.sampled_from(PIECES)).map(b"".join))
@example(b"\xff\xfe")
@example(b"\x00\x00\xfe\xff")
@example(b"\x4c\x6f\xa7\x94")
@example(b"\x2b\x2f\x76\x38")
def test_any_bytes(data: bytes) -> None:
    survive(data)


@settings(max_examples=200)
@given(
    mutated(st.just(b'<?xml version="1.0" encoding="UTF-8"?>\n<b:a xmlns:b="urn:b"><c d="1">x&amp;</c></b:a>'), PIECES)
)
def test_a_broken_document(data: bytes) -> None:
    survive(data)


def survive(data: bytes) -> None:
    try:
        root = parse(data)
    except MessageError as error:
        assert error.code is ErrorCode.FormationViolation
    else:
        for element in root.iter():
            assert isinstance(text_of(element) + markup_of(element) + local_name(element) + namespace(element), str)
