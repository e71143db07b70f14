"""Meter values of OCPP 1.5 and 1.2, spoilt in any of the ways in which devices write them.

What arrives never has another measurand, unit, location, format or magnitude than was sent; and whatever can be
understood arrives.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from bridge.errors import MessageError
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import MeterValuesRequest
from bridge.ocpp.rpc import Call
from bridge.ocpp.shapes import plain
from tests.dialects.strategies import codec, service
from tests.ocpps.test_verbatim import opened

CP = Party.CHARGE_POINT
AT = "2026-01-02T03:04:05Z"
WORDS = {
    "measurand": ["Energy.Active.Import.Register", "Energy.Active.Export.Interval", "Power.Active.Import", "Voltage"],
    "unit": ["Wh", "kWh", "W", "kvarh"],
    "location": ["Inlet", "Outlet", "Body"],
    "format": ["Raw", "SignedData"],
    "context": ["Sample.Clock", "Transaction.End"],
}
DEFAULTS = {"measurand": "Energy.Active.Import.Register", "unit": None, "location": "Outlet", "format": "Raw"}
# How one qualifier may be written, and whether it can be understood so.
WAYS = {"plain": True, "prefix": True, "name in capitals": True, "word in capitals": True, "word": False, "name": False}
FORMS = ("attributes", "children", "nested")


@dataclass
class Sample:
    """One value as its sender means it, and how it writes it."""

    value: int
    means: dict[str, str]
    transports: dict[str, str] = field(default_factory=dict)
    form: str = "attributes"
    factor: int = 1

    @property
    def is_signed(self) -> bool:
        """Whether it says that it is, in a way that is understood."""
        return self.means.get("format") == "SignedData" and WAYS[self.transports["format"]]

    @property
    def is_clear(self) -> bool:
        """Whether nothing in it is beyond understanding. A context says only why it was read."""
        readable = all(WAYS[way] for name, way in self.transports.items() if name != "context")
        return self.is_signed or (readable and self.factor == 1)

    def written(self) -> str:
        """The element of the value."""
        parts = [_qualifier(name, word, self.transports[name], self.form) for name, word in self.means.items()]
        if self.factor != 1:
            parts.append(_qualifier("multiplier", str(self.factor), "plain", self.form))
        inside = "".join(parts)
        if self.form == "attributes":
            return f"<value{inside}>{self.value}</value>"
        if self.form == "children":
            return f"<sampledValue><value>{self.value}</value>{inside}</sampledValue>"
        return f"<value><value>{self.value}</value>{inside}</value>"


def _qualifier(name: str, word: str, way: str, form: str) -> str:
    match way:
        case "prefix":
            name = f"p:{name}"
        case "name in capitals":
            name = name.upper()
        case "name":
            name = f"{name}s"
        case "word in capitals":
            word = f" {word.upper()} "
        case "word":
            word = f"{word}x"
    return f' {name}="{escape(word)}"' if form == "attributes" else f"<{name}>{word}</{name}>"


@dataclass
class Group:
    """The values of one point in time. What is `shared` stands beside them, in an attribute or an element."""

    samples: list[Sample]
    shared: dict[str, str]
    in_attributes: bool

    @property
    def meant(self) -> list[tuple[Sample, tuple[Any, ...]]]:
        """Each value, and what it says."""
        factor = int(self.shared.get("multiplier", "1"))
        every = [(sample, {**self.shared, **sample.means}) for sample in self.samples]
        return [(each, meaning(str(each.value * each.factor * factor), means)) for each, means in every]

    def is_clear(self, sample: Sample) -> bool:
        """Whether nothing in it, or beside it, is beyond understanding."""
        return sample.is_clear and "multiplier" not in self.shared

    def written(self, root: str) -> str:
        """The element of the group."""
        form = "attributes" if self.in_attributes else "children"
        beside = "".join(_qualifier(name, word, "plain", form) for name, word in self.shared.items())
        attributes, children = (beside, "") if self.in_attributes else ("", beside)
        inside = "".join(sample.written() for sample in self.samples)
        return f"<{root}{attributes}><timestamp>{AT}</timestamp>{children}{inside}</{root}>"


SHARED = st.fixed_dictionaries({}, optional={"unit": st.sampled_from(WORDS["unit"]), "multiplier": st.just("3")})


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    names = draw(st.lists(st.sampled_from([*WORDS]), unique=True, max_size=4))
    means = {name: draw(st.sampled_from(WORDS[name])) for name in names}
    # Most are right, so that there is a right one beside a wrong one.
    transports = {name: draw(st.sampled_from([*WAYS, *["plain"] * 6])) for name in names}
    number = draw(st.integers(-(10**9), 10**9))
    factor = draw(st.sampled_from([1, 1, 1, 1, 3]))
    return Sample(value=number, means=means, transports=transports, form=draw(st.sampled_from(FORMS)), factor=factor)


GROUPS = st.lists(
    st.builds(
        Group,
        samples=st.lists(samples(), min_size=1, max_size=3),
        shared=st.just({}) | SHARED,
        in_attributes=st.booleans(),
    ),
    min_size=1,
    max_size=2,
)


def meaning(value: str, said: dict[str, Any]) -> tuple[Any, ...]:
    """What a value says, with what is said by saying nothing."""
    return (value, *(said.get(name) or default for name, default in DEFAULTS.items()))


def read(version: str, action: str, body: str) -> Call:
    namespace = service(version, CP).namespace
    name = f"{action[:1].lower()}{action[1:]}Request"
    element = etree.fromstring(f'<{name} xmlns="{namespace}" xmlns:p="urn:p">{body}</{name}>')
    return codec(version, CP).read_call(opened(element), "1", strict=False)


def message(action: str, groups: list[Group], root: str) -> str:
    inside = "".join(group.written(root) for group in groups)
    if action == "MeterValues":
        return f"<connectorId>1</connectorId>{inside}"
    ends = f"<transactionId>1</transactionId><timestamp>{AT}</timestamp><meterStop>1</meterStop>"
    return f"{ends}<transactionData>{inside}</transactionData>"


@pytest.mark.parametrize("root", ["values", "meterValue"])
@pytest.mark.parametrize(
    ("version", "action"), [("1.5", "MeterValues"), ("1.5", "StopTransaction"), ("1.2", "MeterValues")]
)
@settings(max_examples=150)
@given(groups=GROUPS)
def test_what_arrives_was_sent_so_and_what_is_clear_arrives(
    version: str, action: str, root: str, groups: list[Group]
) -> None:
    call = read(version, action, message(action, groups, root))
    named = "meterValue" if isinstance(call.payload, MeterValuesRequest) else "transactionData"
    arrived = [sample for group in plain(call.payload).get(named) or () for sample in group["sampledValue"]]
    every = [(sample, said, group) for group in groups for sample, said in group.meant]
    unsigned = [meaning(sample["value"], sample) for sample in arrived if sample.get("format") != "SignedData"]
    assert set(unsigned) <= {said for _, said, _ in every}
    signed = [sample["value"] for sample in arrived if sample.get("format") == "SignedData"]
    # Values of one group that are written in two forms change places.
    assert sorted(signed) == sorted(str(sample.value) for sample, _, _ in every if sample.is_signed)
    clear = [said for sample, said, group in every if not sample.is_signed and group.is_clear(sample)]
    assert Counter(clear) <= Counter(unsigned)
    assert call.losses or all(sample.is_clear for sample, _, _ in every)


@given(groups=GROUPS)
def test_a_strict_route_takes_none_that_is_spoilt(groups: list[Group]) -> None:
    namespace = service("1.5", CP).namespace
    body = message("MeterValues", groups, "values")
    element = etree.fromstring(f'<meterValuesRequest xmlns="{namespace}" xmlns:p="urn:p">{body}</meterValuesRequest>')
    every = [sample for group in groups for sample in group.samples]
    exact = not any(group.shared for group in groups) and all(
        sample.form == "attributes" and sample.factor == 1 and {*sample.transports.values()} <= {"plain"}
        for sample in every
    )
    if exact:
        assert codec("1.5", CP).read_call(opened(element), "1", strict=True).losses == ()
    else:
        with pytest.raises(MessageError):
            codec("1.5", CP).read_call(opened(element), "1", strict=True)


@pytest.mark.parametrize("word", ["SignedData", " signeddata "])
def test_ocpp_1_2_has_no_format_and_a_value_that_says_it_is_signed_is_read_so(word: str) -> None:
    """Its WSDL has a whole number there. Who writes the attribute of 1.5 means it, and nothing of it is changed."""
    signed = "AP;0;3;AJ2X4;BIHE=="
    values = f'<values><timestamp>{AT}</timestamp><value format="{word}">{signed}</value></values>'
    call = read("1.2", "MeterValues", f"<connectorId>1</connectorId>{values}")
    assert isinstance(call.payload, MeterValuesRequest)
    [group] = call.payload.meterValue
    [sample] = group.sampledValue
    assert (sample.value, sample.format, sample.measurand) == (signed, "SignedData", None)
    assert "format" not in service("1.2", CP).source.decode()


def test_the_measure_sees_another_unit_and_another_magnitude() -> None:
    def meant(shared: dict[str, str], factor: int = 1) -> tuple[Any, ...]:
        [(_, said)] = Group([Sample(value=5, means={}, factor=factor)], shared, in_attributes=True).meant
        return said

    assert meant({}) == meaning("5", {})
    assert meant({"unit": "W"}) == meaning("5", {"unit": "W"}) != meant({})
    assert meant({"multiplier": "3"}) == meant({}, factor=3) == meaning("15", {})
