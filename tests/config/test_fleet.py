"""A CSV file of Charge Points: what is read, what is written, and a sentence for each line that is of no use."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import ChargePoint, ClientTLS
from bridge.config.fleet import COLUMNS, SHOWN, BadLine, described, parse, written
from bridge.config.provisioned import SECRETS
from bridge.config.records import Table

HEADER = b"identity,password\n"


def bad(octets: bytes) -> list[tuple[int, str]]:
    """Line and sentence of each that cannot be used."""
    return [(each.line, each.text) for each in parse(octets).bad]


def settings(octets: bytes, raw: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The settings of each Charge Point, which has `raw` before."""
    fleet = parse(octets)
    assert fleet.bad == ()
    return [row.applied_to(raw or {}) for row in fleet.rows]


def test_there_is_a_column_for_each_key() -> None:
    def names(table: type[Table]) -> list[str]:
        return list(table.__struct_fields__)

    own, tls = names(ChargePoint), names(ClientTLS)
    of_tables = {"identity", *own, *(f"tls.{key}" for key in tls)} - {"tls"}
    assert set(COLUMNS) == of_tables and len(COLUMNS) == len(of_tables)
    assert set(COLUMNS) - set(SHOWN) == set(SECRETS) == {"password", "central_system_password", "token"}


def test_cells_are_the_values_of_keys() -> None:
    octets = b'identity,networks,password,tls.ca\r\nA,10.0.0.0/8 192.168.0.0/16,"a,""b""",\r\n\r\nB,,,ca.pem\r\n'
    first, second = settings(octets)
    assert first == {"networks": ["10.0.0.0/8", "192.168.0.0/16"], "password": 'a,"b"'}
    assert second == {"tls": {"ca": "ca.pem"}}
    assert [row.line for row in parse(octets).rows] == [2, 4]


def test_a_column_that_is_left_out_leaves_the_key_and_an_empty_cell_clears_it() -> None:
    raw = {"password": "scrypt$", "callback_url": "http://h/", "tls": {"ca": "a", "ciphers": "x"}}
    assert settings(b"identity\nA\n", raw) == [raw]
    assert settings(b"identity,callback_url,tls.ca\nA,,\n", raw) == [{"password": "scrypt$", "tls": {"ciphers": "x"}}]
    assert settings(b"identity,tls.ca,tls.ciphers\nA,,\n", {"tls": {"ca": "a", "ciphers": "x"}}) == [{}]
    assert raw["tls"] == {"ca": "a", "ciphers": "x"}


def test_a_mark_of_utf_8_and_a_header_in_capitals() -> None:
    assert settings(b"\xef\xbb\xbfIdentity, Password\nK\xc3\xb6ln,x\n") == [{"password": "x"}]
    assert parse(b"identity\n").rows == ()


@pytest.mark.parametrize(
    ("octets", "lines"),
    [
        (b"", [(1, "the file is empty; its first line names the columns")]),
        (b"\n\n", [(1, "the file is empty; its first line names the columns")]),
        ("identity\nA\n".encode("utf-16"), [(1, "the file is UTF-16; save it as CSV in UTF-8")]),
        (b"identity\nA\nK\xf6ln\n", [(3, "not UTF-8; save the file as CSV in UTF-8")]),
        (b"identity;password\nA;x\n", [(1, "the columns are separated by commas")]),
        (b"identity\tpassword\nA\tx\n", [(1, "the columns are separated by commas")]),
        (b"password\nx\n", [(1, "the column is missing")]),
        (b"identity,pasword\nA,x\n", [(1, "unknown column, did you mean password?")]),
        (b"identity,token,Token\n", [(1, "the column is there twice")]),
        (HEADER + b",x\n", [(2, "the identity is empty")]),
        (HEADER + b'"  ",x\n', [(2, "the identity is empty")]),
        (HEADER + b" A,x\n", [(2, "the identity has blanks around it")]),
        (
            HEADER + b"A,x\nB\nC,x,y\n",
            [
                (3, "has 1 cells, and the header has 2"),
                (4, "has 3 cells, and the header has 2"),
            ],
        ),
        (
            HEADER + b"A,x\n" + b"B" * 256 + b",x\n",
            [
                (3, "an identity has at most 255 characters, none of them a control character"),
            ],
        ),
        (HEADER + b'"A\nB",x\nC,\n', [(2, "an identity has at most 255 characters, none of them a control character")]),
        (HEADER + b"A\0,x\n", [(2, "an identity has at most 255 characters, none of them a control character")]),
        (HEADER + b"..,x\n", [(2, 'no part of an identity between slashes is "." or ".."')]),
        (HEADER + "ＣＰ,x\n".encode(), [(2, "an identity holds no compatibility characters, which look like others")]),
        (
            HEADER + b"A,x\nB,x\na,y\nA,z\n",
            [
                (4, "the same Charge Point is in line 2"),
                (5, "the same Charge Point is in line 2"),
            ],
        ),
        (HEADER + "ü,x\nu\u0308,x\n".encode(), [(3, "the same Charge Point is in line 2")]),
    ],
)
def test_lines_that_cannot_be_used(octets: bytes, lines: list[tuple[int, str]]) -> None:
    assert bad(octets) == lines


@pytest.mark.parametrize(
    "octets", [HEADER + b'A,"x"y\nB,x\n', HEADER + b'A,"x\nB,x\n', HEADER + b"A," + b"x" * 200_000]
)
def test_where_it_is_no_csv_any_more_reading_ends(octets: bytes) -> None:
    ((line, text),) = bad(octets)
    assert line == 2 and text.startswith("not CSV: ")


def test_a_row_of_several_lines_has_the_number_of_its_first() -> None:
    assert bad(HEADER + b'A,"x\ny"\n,x\n') == [(4, "the identity is empty")]


def test_the_sentence_about_a_line() -> None:
    assert described(BadLine(line=3, text="is bad")) == "line 3: is bad"
    whole = BadLine(line=3, text="is bad", column="token", identity='A"\x1b')
    assert described(whole) == 'line 3, column token ("A\\"\\x1b"): is bad'


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=10)
NAMES = st.from_regex(r"[A-Za-z0-9*/,;\"' -]{1,10}", fullmatch=True).map(str.strip).filter(bool)
RAW = st.fixed_dictionaries(
    {},
    optional={
        "callback_url": TEXTS,
        "central_system_identity": TEXTS,
        "certificate_name": TEXTS,
        "networks": st.lists(st.sampled_from(["10.0.0.0/8", "::1/128"]), min_size=1),
        "tls": st.dictionaries(st.sampled_from(["ca", "key", "ciphers"]), TEXTS, min_size=1),
    },
)


@given(st.dictionaries(NAMES, RAW, max_size=5))
def test_what_is_written_is_read_as_it_was(fleet: dict[str, Any]) -> None:
    fleet = {identity: raw for identity, raw in fleet.items() if not set(identity.split("/")) & {".", ".."}}
    fleet = {identity.casefold(): raw for identity, raw in fleet.items()}
    header, rows = written(fleet.items())
    text = header + "".join(rows)
    parsed = parse(text.encode())
    assert parsed.bad == ()
    assert {row.identity: row.applied_to({}) for row in parsed.rows} == fleet
    assert written((row.identity, row.applied_to({})) for row in parsed.rows) == (header, rows)


def test_secrets_are_not_written() -> None:
    text = written([("A", dict.fromkeys(SECRETS, "shibboleth"))])
    assert "shibboleth" not in text and "password" not in text


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode).map(lambda octets: HEADER + octets))
def test_any_octets_are_rows_or_bad_lines(octets: bytes) -> None:
    fleet = parse(octets)
    assert fleet.rows or fleet.bad or octets.decode("utf-8-sig").strip().lower().startswith("identity")
