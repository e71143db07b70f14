"""Who has settings of its own: the file's Charge Points go first, the others come and go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.config import ChargePoint, Secret
from bridge.gateway.listed import ListedChargePoints

TOKEN = Secret(b"0123456789-0123456789-abc")
OWN = st.builds(
    ChargePoint,
    central_system_identity=st.sampled_from(["", "NL 1", "nl 1", "{identity}*"]),
    token=st.sampled_from([None, TOKEN, Secret(b"another-0123456789-012345")]),
)
IDENTITIES = st.sampled_from(["A", "a", "B", "ß", "SS"])


def facts(listed: ListedChargePoints) -> object:
    """All that can be asked, but for which of two Charge Points with one name has it."""
    names = ["nl 1", "a*", "b*", "ss*", "ß*"]
    entries = {each.identity: (each.own, each.source) for each in listed}
    return (
        entries,
        [listed.identity_of(name) is not None for name in names],
        listed.has_tokens(""),
        listed.is_token(TOKEN, ""),
    )


@given(st.dictionaries(st.sampled_from(["A", "C"]), OWN), st.lists(st.tuples(IDENTITIES, st.none() | OWN)))
def test_what_comes_and_goes_leaves_no_trace(
    file: dict[str, ChargePoint], changes: list[tuple[str, ChargePoint | None]]
) -> None:
    listed, left = ListedChargePoints(file, {}), dict[str, tuple[str, ChargePoint]]()
    for identity, own in changes:
        if own is None:
            listed.withdraw(identity)
            left.pop(identity.casefold(), None)
        else:
            listed.provision(identity, own)
            left[identity.casefold()] = identity, own
    fresh = ListedChargePoints(file, dict(left.values()))
    assert facts(listed) == facts(fresh)


def test_the_files_entry_holds_and_stays() -> None:
    listed = ListedChargePoints({"A": ChargePoint(certificate_name="file")}, {"a": ChargePoint(), "B": ChargePoint()})
    listed.provision("a", ChargePoint(certificate_name="api"))
    listed.withdraw("A")
    found = listed.get("a")
    assert found is not None and (found.source, found.own.certificate_name) == ("file", "file")
    assert "b" in listed and "c" not in listed
    listed.withdraw("b")
    assert [each.identity for each in listed] == ["A"]


def test_a_name_at_the_central_system() -> None:
    listed = ListedChargePoints({}, {"A": ChargePoint(central_system_identity="NL*{identity}")})
    assert listed.identity_of("nl*a") == "A"
    listed.provision("A", ChargePoint(central_system_identity="DE"))
    assert listed.identity_of("nl*a") is None and listed.identity_of("de") == "A"
    listed.withdraw("A")
    assert listed.identity_of("de") is None
