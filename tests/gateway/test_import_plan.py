"""What an import would change: row by row, beside what there is; passwords are hashed once and then recognised."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.access import passwords
from bridge.config.provisioned import restored
from bridge.gateway.import_plan import at_rest, entries_of, entry_of, outcome_of, plan
from bridge.gateway.stored_settings import StoredEntry

CHEAP = 2


def entry(identity: str, **raw: Any) -> StoredEntry:
    own = restored(raw)
    assert own is not None
    return StoredEntry(identity=identity, raw=raw, own=own)


def test_rows_stand_beside_what_there_is() -> None:
    present = {"a": entry("A", certificate_name="x", token="0123456789-0123456789-abc")}
    octets = b"identity,certificate_name\na,y\nB,\nC,\n"
    planned = plan(octets, lambda identity: present.get(identity.casefold()), lambda identity: "")
    assert planned.bad == ()
    entries = entries_of(planned.rows, CHEAP)
    assert [each.identity for each in entries] == ["A", "B", "C"]
    assert entries[0].raw == {**present["a"].raw, "certificate_name": "y"}
    outcomes = [outcome_of(each, row.before) for each, row in zip(entries, planned.rows, strict=True)]
    assert outcomes == ["changed", "created", "created"]
    assert outcome_of(present["a"], present["a"]) == "unchanged"


def test_bad_lines_are_in_the_order_of_the_file() -> None:
    octets = b"identity,networks\nX,\nA,z\n,\nA,\nX 2,z\n"
    planned = plan(octets, lambda identity: None, lambda identity: "no route" if identity[:1] == "X" else "")
    assert [(each.line, each.column) for each in planned.bad] == [
        *((2, ""), (3, "networks[0]"), (4, ""), (5, "")),
        *((6, "networks[0]"), (6, "")),
    ]
    assert planned.rows == ()


@settings(max_examples=20, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: not text.startswith("scrypt$"))
)
def test_a_password_is_hashed_and_its_hash_stays(password: str) -> None:
    hashed = at_rest({"password": password}, {}, CHEAP)
    kept = passwords.read(hashed["password"].encode())
    assert isinstance(kept, passwords.Hash) and passwords.matches(kept, password.encode())
    assert at_rest({"password": password}, hashed, CHEAP) == hashed
    assert at_rest({"password": password + "x"}, hashed, CHEAP) != hashed
    assert at_rest(hashed, {}, CHEAP) == hashed
    assert at_rest({}, hashed, CHEAP) == {}


def test_the_first_spelling_stays() -> None:
    before = entry("RDAM 123")
    assert entry_of("rdam 123", {}, before, CHEAP).identity == "RDAM 123"
    assert entry_of("rdam 123", {}, None, CHEAP).identity == "rdam 123"


def test_no_secret_is_in_a_text_for_a_log() -> None:
    planned = plan(b"identity,password\nA,shibboleth\n", lambda identity: None, lambda identity: "")
    (row,) = planned.rows
    assert row.raw == {"password": "shibboleth"}
    assert "shibboleth" not in repr(planned) + repr(entry("A", password="shibboleth"))
