"""Which UniqueIds Calls get."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.sessions import mint, mint_for
from bridge.net.forwarding import is_shared_key, shared_key

KEYS = st.text().filter(lambda key: not is_shared_key(key))


@given(process=st.text(max_size=20), keys=st.lists(st.text(max_size=20), unique=True, max_size=20))
def test_a_request_that_processes_share_has_one_unique_id(process: str, keys: list[str]) -> None:
    minted = [mint_for(shared_key(process, key)) for key in keys]
    assert minted == [mint_for(shared_key(process, key)) for key in keys]
    assert len(set(minted)) == len(keys)


@given(KEYS)
def test_any_other_request_has_another_each_time(key: str) -> None:
    assert mint_for(key) != mint_for(key)


@given(st.builds(shared_key, st.text(), st.text()) | KEYS)
def test_a_unique_id_is_a_uuid_of_36_characters(key: str) -> None:
    for minted in (mint_for(key), mint()):
        assert len(minted) == 36
        assert [len(part) for part in minted.split("-")] == [8, 4, 4, 4, 12]
