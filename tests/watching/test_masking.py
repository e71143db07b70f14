"""What is cut out of a message, and that nothing else is touched."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from bridge.watching.masking import HIDDEN, is_secret, masked, masked_around, names_credential, without_password

KEY = "AuthorizationKey"
TOKEN = "Zk3xJvK7wPqLmN5tR8bAx2Qe"
OURS = "/services/CentralSystemService/"

CASES = {
    "an idTag": ('[2,"1","Authorize",{"idTag":"ALFEN"}]', '[2,"1","Authorize",{"idTag":"***"}]'),
    "spaces stay": ('[2, "1", "Authorize", { "idTag" : "A" } ]', '[2, "1", "Authorize", { "idTag" : "***" } ]'),
    "quotes in it": ('{"idTag":"A\\"B\\\\"}', '{"idTag":"***"}'),
    "a number": ('{"idTag":12345,"a":1.10}', '{"idTag":"***","a":1.10}'),
    "another letter case": ('{"IDTAG":"A"}', '{"IDTAG":"***"}'),
    "the parent": (
        '{"idTagInfo":{"parentIdTag":"P","status":"Accepted"}}',
        '{"idTagInfo":{"parentIdTag":"***","status":"Accepted"}}',
    ),
    "what is no text": ('{"idTag":{"a":"A"}}', '{"idTag":"***"}'),
    "an escape in the name": ('{"id\\u0054ag":"A"}', '{"idTag":"***"}'),
    "an escape elsewhere": ('{"idTag":"A","b":"\\u00e4","c":1.10}', '{"idTag":"***","b":"\\u00e4","c":1.10}'),
    "JSON in a text": ('{"data":"{\\"idTag\\":\\"A\\"}"}', '{"data":"{\\"idTag\\":\\"***\\"}"}'),
    "XML in a text": ('{"data":"<idTag>A</idTag>"}', '{"data":"<idTag>***</idTag>"}'),
    "an element": ("<a><idTag>A</idTag></a>", "<a><idTag>***</idTag></a>"),
    "of any prefix": ('<a><c:idTag x="1">A</c:idTag></a>', '<a><c:idTag x="1">***</c:idTag></a>'),
    "CDATA": ("<a><idTag><![CDATA[A<B]]></idTag></a>", "<a><idTag>***</idTag></a>"),
    "an empty one": ("<a><idTag/><idTag></idTag><b>x</b></a>", "<a><idTag/><idTag></idTag><b>x</b></a>"),
    "not its info": ("<a><idTagInfo><status>x</status></idTagInfo></a>",) * 2,
    "an attribute": ("<a idTag='A' b='c'/>", "<a idTag=\"***\" b='c'/>"),
    "JSON in XML": ('<a><data>{"idTag":"A"}</data></a>', '<a><data>{"idTag":"***"}</data></a>'),
    "entities in XML": (
        "<a>{&quot;idTag&quot;:&quot;A&quot;}</a>",
        "<a>{&quot;idTag&quot;:&quot;***&quot;}</a>",
    ),
    "a password": ('{"location":"ftp://u:p@h/x"}', '{"location":"ftp://u:***@h/x"}'),
    "escaped slashes": ('{"location":"ftp:\\/\\/u:p@h"}', '{"location":"ftp:\\/\\/u:***@h"}'),
    "an escaped at sign": ('{"location":"ftp://u:p\\u0040h"}', '{"location":"ftp://u:***@h"}'),
    "a password in XML": ("<a>ftp://u:p@h/x</a>", "<a>ftp://u:***@h/x</a>"),
    "hidden in XML": ("<a>ftp://u:p&#64;h/x</a>", f"<hidden>{HIDDEN}</hidden>"),
    "a setting": (f'{{"key":"{KEY}","value":"S","a":1.10}}', f'{{"key":"{KEY}","value":"***","a":1.10}}'),
    "only that one": (
        f'{{"configurationKey":[{{"key":"a","value":"1"}},{{"value":"S","key":"{KEY}"}}]}}',
        f'{{"configurationKey":[{{"key":"a","value":"1"}},{{"value":"***","key":"{KEY}"}}]}}',
    ),
    "a setting in XML": (
        f"<a><configurationKey><key>a</key><value>1</value></configurationKey>"
        f"<configurationKey><key>{KEY}</key><value>S</value></configurationKey></a>",
        f"<a><configurationKey><key>a</key><value>1</value></configurationKey>"
        f"<configurationKey><key>{KEY}</key><value>***</value></configurationKey></a>",
    ),
    "a change in XML": (
        f"<x:changeConfigurationRequest><x:key>{KEY}</x:key><x:value>S</x:value></x:changeConfigurationRequest>",
        f"<x:changeConfigurationRequest><x:key>{KEY}</x:key><x:value>***</x:value></x:changeConfigurationRequest>",
    ),
    "a vendor's word": ('{"wifiPassword":"S"}', '{"wifiPassword":"***"}'),
    "words about a credential": ('[4,"1","InternalError","AuthorizationKey S is short",{}]', HIDDEN),
    "a frame that is none": ('[9,"1","AuthorizationKey","S"]', HIDDEN),
    "a key that is no text": (
        '{"key":{"AuthorizationKey":1},"value":"S"}',
        '{"key":{"AuthorizationKey":"***"},"value":"***"}',
    ),
    "names in another letter case": (
        f'{{"Key":"{KEY}","Value":"S"}}',
        f'{{"Key":"{KEY}","Value":"***"}}',
    ),
    "broken JSON that names one": ('{"wifiPassword":"S', HIDDEN),
    "WS-Security": (
        "<a><w:Security><w:UsernameToken>S</w:UsernameToken></w:Security></a>",
        "<a><w:Security>***</w:Security></a>",
    ),
    "a password element": ("<a><Password>S</Password></a>", "<a><Password>***</Password></a>"),
    "a token in our address": (
        f"<a><w:To m='1'>http://h/services/CentralSystemService/{TOKEN}/CP-1</w:To></a>",
        "<a><w:To m='1'>http://h/services/CentralSystemService/***/CP-1</w:To></a>",
    ),
    "a part of one": (f"<To>http://h/services/CentralSystemService/{TOKEN[:12]}</To>", f"<To>http://h{OURS}***</To>"),
    "that of a version": (f"<To>http://h{OURS}1.5/{TOKEN}</To>", f"<To>http://h{OURS}1.5/***</To>"),
    "in any letter case": (
        f"<To>http://h/CENTRALsystemservice//{TOKEN}</To>",
        "<To>http://h/CENTRALsystemservice//***</To>",
    ),
    "wherever it stands": (
        f'{{"data":"http:\\/\\/h\\/CentralSystemService\\/{TOKEN}"}}',
        '{"data":"http:\\/\\/h\\/CentralSystemService\\/***"}',
    ),
    "percent-encoded": (f"<To>http://h{OURS}%5A{TOKEN}</To>", f"<To>http://h{OURS}***</To>"),
    "behind a proxy's own path": (
        f"<To><![CDATA[https://h.example/ocpp/{TOKEN}/CP-1]]></To>",
        "<To><![CDATA[https://h.example/ocpp/***/CP-1]]></To>",
    ),
    "a path alone": (f"<To>/ocpp/{TOKEN}</To>", "<To>/ocpp/***</To>"),
    "hidden in an address": (
        f"<To>http://h/services/CentralSystemService&#47;{TOKEN}</To>",
        f"<hidden>{HIDDEN}</hidden>",
    ),
    "a host is no token": (f"<To>http://{TOKEN}.example:80/ocpp</To>",) * 2,
    "nor is an identity": (f"<To>http://h{OURS}RDAM-123</To>",) * 2,
    "nor a long word": (f"<To>http://h{OURS}the-charge-points-of-the-city</To>",) * 2,
    "nor an address of others": (f"<From><Address>http://h/ChargePoint/{TOKEN}</Address></From>",) * 2,
    "nothing to mask": ('[2, "1","Heartbeat",{} ]',) * 2,
    "a word that sounds so": ('{"status":"Accepted","firmware":"no\\u0020idea"}',) * 2,
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_masked(text: str, expected: str) -> None:
    assert masked(text.encode(), id_tags=True).decode() == expected


def test_id_tags_stay_if_so_wished() -> None:
    text = b'{"idTag":"A","location":"ftp://u:p@h"}'
    assert masked(text, id_tags=False) == b'{"idTag":"A","location":"ftp://u:***@h"}'
    assert masked(b"<a><idTag>A</idTag></a>", id_tags=False) == b"<a><idTag>A</idTag></a>"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_two_octets_a_character(encoding: str) -> None:
    assert masked("<a><idTag>A\xe4</idTag>\xe4</a>".encode(encoding), id_tags=True).decode(encoding) == (
        "<a><idTag>***</idTag>\xe4</a>"
    )


def test_nul_octets_that_are_no_text() -> None:
    assert masked(b"\0\xd8\0\xdc", id_tags=True) == b"***"
    assert masked(b"\0\1\2", id_tags=True) == b"***"


def known(header: str = "", request: str = "<c:value>1 idTag</c:value>", behind: str = "") -> str:
    return (
        f'<s:Envelope xmlns:c="urn:c"><s:Header>{header}</s:Header><s:Body xmlns:x="u"><c:meterValuesRequest>{request}'
        f"</c:meterValuesRequest></s:Body>{behind}</s:Envelope>"
    )


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ({}, {}),
        ({"header": "<w:Security>S</w:Security>"}, {"header": "<w:Security>***</w:Security>"}),
        ({"header": f"<a:To>http://h{OURS}{TOKEN}</a:To>"}, {"header": f"<a:To>http://h{OURS}***</a:To>"}),
        ({"header": "<v:idTag>A</v:idTag>"}, {"header": "<v:idTag>***</v:idTag>"}),
        ({"request": "<c:value idTag='A'>1</c:value>"}, {"request": '<c:value idTag="***">1</c:value>'}),
        ({"request": "<!--<idTag>A</idTag>-->"}, {"request": "<!--<idTag>***</idTag>-->"}),
        ({"request": "<c:value>ftp://u:p@h</c:value>"}, {"request": "<c:value>ftp://u:***@h</c:value>"}),
        ({"request": f"<c:value>{OURS}{TOKEN}</c:value>"}, {"request": f"<c:value>{OURS}***</c:value>"}),
        ({"behind": "<v:idTag>A</v:idTag>"}, {"behind": "<v:idTag>***</v:idTag>"}),
        (
            {"request": "</c:meterValuesRequest><idTag>A</idTag><c:meterValuesRequest>"},
            {"request": "</c:meterValuesRequest><idTag>***</idTag><c:meterValuesRequest>"},
        ),
    ],
)
def test_around_what_was_read(hidden: dict[str, str], shown: dict[str, str]) -> None:
    assert masked_around(known(**hidden).encode(), id_tags=True).decode() == known(**shown)


def test_attributes_of_what_was_read() -> None:
    text = known().replace("<c:meterValuesRequest>", '<c:meterValuesRequest xmlns:y="u" idTag="A">')
    assert masked_around(text.encode(), id_tags=True).decode() == text.replace('"A"', '"***"')


TEXTS = st.text(max_size=30)


@given(TEXTS, TEXTS)
def test_json_stays_json(tag: str, other: str) -> None:
    frame = [2, "1", "X", {"idTag": tag, "data": other, "inner": [{"parentIdTag": tag}]}]
    for ascii_only in (True, False):
        text = json.dumps(frame, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        result = masked(text, id_tags=True)
        if "idtag" not in other.lower() and "@" not in other:
            cleaned = [2, "1", "X", {"idTag": "***", "data": other, "inner": [{"parentIdTag": "***"}]}]
            assert json.loads(result) == cleaned


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=30))
def test_xml_stays_xml(tag: str) -> None:
    root = etree.Element("a")
    etree.SubElement(root, "{urn:x}idTag", {"idTag": tag}).text = tag
    read = etree.fromstring(masked(etree.tostring(root, encoding="utf-8"), id_tags=True))
    assert (read[0].text, read[0].get("idTag")) == ("***" if tag.strip() else tag, "***")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_anything_goes(data: bytes) -> None:
    masked(data, id_tags=True)
    masked_around(data, id_tags=True)
    names_credential(data)


@pytest.mark.parametrize(
    "piece",
    ["<idTag>", "<idTag><![CDATA[", "<passw", "<passw>", '"idTag":"', '\\"idTag\\":\\"', "://a:", "<key>", " idTag='"],
)
def test_no_text_makes_it_slow(piece: str) -> None:
    """A quadratic pattern takes minutes for this, and who runs the tests will notice."""
    for head in ("", "<a>", '{"secret'):
        masked((head + piece * (262144 // len(piece))).encode(), id_tags=True)


def test_words() -> None:
    assert is_secret("authorizationKEY") and is_secret("WifiPassphrase") and not is_secret("HeartbeatInterval")
    assert without_password("see ftp://u:p@h/ and ws://h/") == "see ftp://u:***@h/ and ws://h/"
    assert names_credential(b'{"key":"Pass\\u0077ord"}') and names_credential(b'"ftp:\\u002f/u:p@h"')
    assert not names_credential(b'{"location":"ftp://u:p@h"}')


PAIRS = {
    '{"data":"AuthorizationKey=s3cr3t;idTag=04A2&x=1"}': '{"data":"AuthorizationKey=***;idTag=***&x=1"}',
    '{"data":"x;authorizationkey: s3cr3t"}': '{"data":"x;authorizationkey: ***"}',
    '{"data":"AuthorizationKey=\\"s3cr3t\\" x"}': '{"data":"AuthorizationKey=\\"***\\" x"}',
    '{"data":"\\u0069dTag=04A2"}': '{"data":"idTag=***"}',
    '{"data":"parentIdTag = 04A2, wifiPassword=s3cr3t"}': '{"data":"parentIdTag = ***, wifiPassword=***"}',
    "<data>AuthorizationKey=s3cr&amp;3t idTag=04A2</data>": "<data>AuthorizationKey=*** idTag=***</data>",
    "<c:data>a;authorizationKey=&quot;s3cr3t&quot;;b</c:data>": "<c:data>a;authorizationKey=&quot;***&quot;;b</c:data>",
    "<secret:a><b>idTags</b></secret:a>": "<secret:a><b>idTags</b></secret:a>",
    '{"data":"idTag="}': '{"data":"idTag="}',
}


@pytest.mark.parametrize("written", PAIRS)
def test_names_and_values_in_a_plain_text(written: str) -> None:
    assert masked(written.encode(), id_tags=True).decode() == PAIRS[written]
    assert masked(masked(written.encode(), id_tags=True), id_tags=True).decode() == PAIRS[written]


def test_id_tags_in_a_plain_text_stay_where_they_may() -> None:
    written = b'{"data":"AuthorizationKey=s3cr3t;idTag=04A2"}'
    assert masked(written, id_tags=False) == b'{"data":"AuthorizationKey=***;idTag=04A2"}'
