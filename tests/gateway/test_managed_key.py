"""An AuthorizationKey in the place of a configured password, and how it is put away."""

from __future__ import annotations

import pytest
from msgspec import structs

from bridge.access import passwords
from bridge.access.passwords import Hash
from bridge.gateway.managed_key import NONE, ManagedKey

KEY, TEXT, OLD, CONFIGURED = b"\x00\xff key", b"00ff", b"the old one", b"configured"


def test_towards_us_only_hashes_are_put_away() -> None:
    rested = ManagedKey((KEY, TEXT, OLD), 2, None, CONFIGURED).at_rest(hashed=True)
    assert rested.fresh == 2 and all(isinstance(secret, Hash) for secret in rested.secrets)
    record = rested.record("CP 1", "charge_point", 7.0)
    written = b"".join(record.secrets) + record.replaces.encode()
    assert not any(secret in written for secret in (KEY, OLD, CONFIGURED))
    again = ManagedKey.of(record)
    assert again is not None and again.replaces is not None
    assert [passwords.matches(kept, secret) for kept, secret in zip(again.secrets, (KEY, TEXT, OLD), strict=True)] == [
        True
    ] * 3
    assert passwords.matches(again.replaces, CONFIGURED)


def test_what_has_to_be_shown_stays_as_it_is() -> None:
    rested = ManagedKey((OLD, KEY), 1, None, CONFIGURED).at_rest(hashed=False)
    again = ManagedKey.of(rested.record("CP 1", "central_system", 7.0))
    assert again == ManagedKey((OLD, KEY), 1, rested.replaces, None)


def test_none_is_none() -> None:
    record = NONE.record("CP 1", "charge_point", 7.0)
    assert (record.secrets, record.replaces, ManagedKey.of(record)) == ((), "", None)


def test_one_that_cannot_be_read() -> None:
    record = ManagedKey((KEY,), 1, None, CONFIGURED).at_rest(hashed=True).record("CP 1", "charge_point", 7.0)
    with pytest.raises(ValueError):
        ManagedKey.of(structs.replace(record, replaces="scrypt$nonsense"))


def test_it_is_in_no_repr() -> None:
    assert repr(ManagedKey((KEY,), 1)) == "ManagedKey(***)"
