"""What is forgiven, what that costs, and that what needs no forgiving is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.errors import MessageError
from bridge.ocpp.actions import ACTIONS
from bridge.ocpp.device_profile import DeviceProfile, Overlong
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import AuthorizeResponse
from bridge.ocpp.shapes import Field, Kind, Shape, plain, shape_of, shape_with
from bridge.ocpp.tolerance import ToleranceReading, accepted, mend
from bridge.ocpp.validation import record_of
from tests.ocpp.strategies import payloads, texts
from tests.ocpp.test_validation import json_values

PDUS = {pdu.__name__: pdu for action in ACTIONS.values() for pdu in (action.request, action.response)}
XML, JSON = ToleranceReading(typed=False), ToleranceReading(typed=True)
WIRES = {"xml": XML, "json": JSON}
both_wires = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())

blanks = st.text(" \t\r\n", max_size=3)


def sloppy(name: str) -> st.SearchStrategy[str]:
    """`name` in any letter case, with blanks around it."""
    size = len(name)
    ups = st.lists(st.booleans(), min_size=size, max_size=size)
    cased = ups.map(lambda up: "".join(char.upper() if to else char.lower() for char, to in zip(name, up, strict=True)))
    return st.builds("{}{}{}".format, blanks, cased, blanks)


def fields(shape: Shape) -> Iterator[tuple[Shape, Field]]:
    for field in shape.fields.values():
        yield shape, field
        if field.shape is not None:
            yield from fields(field.shape)


ALL_FIELDS = [pair for pdu in PDUS.values() for pair in fields(shape_of(pdu))]


SINGLE_TEXTS = [(shape, field) for shape, field in ALL_FIELDS if field.kind is not None and not field.many]


def of_kind(*kinds: Kind) -> list[tuple[Shape, Field]]:
    return [(shape, field) for shape, field in ALL_FIELDS if field.kind in kinds]


def read(field: Field, value: Any, wire: ToleranceReading) -> tuple[Any, list[LossReason]]:
    """What becomes of `value` in `field`, standing alone in a record; Ellipsis if it is gone."""
    data = {field.name: [value] if field.many else value}
    mended, losses = mend(data, shape_with("Record", {field.name: field}), "Message", wire)
    assert all((loss.message, loss.path.partition("[")[0]) == ("Message", field.name) for loss in losses)
    (item,) = mended.get(field.name, ...) if field.many else (mended.get(field.name, ...),)
    return item, [loss.reason for loss in losses]


def leaf(kind: Kind, *, required: bool = True, spellings: dict[str, str] | None = None) -> Field:
    return Field(name="field", required=required, many=False, kind=kind, spellings=spellings or {})


TIME, WHOLE, LIMIT, FLAG = map(leaf, (Kind.TIMESTAMP, Kind.INTEGER, Kind.DECIMAL, Kind.BOOLEAN))


# --- What is right stays as it is ---


def as_text(data: Any) -> Any:
    """Plain data as XML brings it: every leaf a text."""
    match data:
        case dict():
            return {name: as_text(value) for name, value in data.items()}
        case tuple():
            return [as_text(value) for value in data]
        case bool():
            return "true" if data else "false"
    return str(data)


def as_lists(data: Any) -> Any:
    match data:
        case dict():
            return {name: as_lists(value) for name, value in data.items()}
        case tuple():
            return [as_lists(value) for value in data]
    return data


@pytest.mark.parametrize("pdu", PDUS)
@settings(max_examples=20)
@given(data=st.data())
def test_a_valid_json_payload_is_left_alone(pdu: str, data: st.DataObject) -> None:
    valid = as_lists(plain(data.draw(payloads(PDUS[pdu], soap=False, wide_ids=True))))
    assert mend(valid, shape_of(PDUS[pdu]), pdu, JSON) == (valid, ())


@pytest.mark.parametrize("pdu", PDUS)
@settings(max_examples=20)
@given(data=st.data())
def test_a_valid_xml_payload_loses_nothing(pdu: str, data: st.DataObject) -> None:
    record = data.draw(payloads(PDUS[pdu], soap=False, wide_ids=True))
    mended, losses = mend(as_text(plain(record)), shape_of(PDUS[pdu]), pdu, XML)
    assert losses == ()
    assert record_of(mended, PDUS[pdu]) == record


@both_wires
@given(
    pdu=st.sampled_from([*PDUS]),
    data=st.data(),
    values=st.dictionaries(st.text(), json_values, max_size=3),
)
def test_whatever_comes_in_is_mended_or_left_to_validation(
    wire: ToleranceReading, pdu: str, data: st.DataObject, values: dict[str, Any]
) -> None:
    shape = shape_of(PDUS[pdu])
    names = [*shape.fields] or ["none"]
    known = data.draw(st.dictionaries(st.sampled_from(names), json_values, max_size=5))
    texts_only = wire is XML
    both: dict[str, Any] = values | known
    mended, losses = mend(as_text(_tuples(both)) if texts_only else both, shape, pdu, wire)
    assert mended.keys() <= shape.fields.keys()
    assert all(loss.message == pdu for loss in losses)
    try:
        accepted(mended, PDUS[pdu])
    except MessageError as error:
        assert error.description


def test_a_list_where_one_record_belongs_is_refused_whatever_is_in_it() -> None:
    mended, _ = mend({"idTagInfo": ["x", {"other": 1}]}, shape_of(AuthorizeResponse), "AuthorizeResponse", JSON)
    with pytest.raises(MessageError, match="idTagInfo"):
        accepted(mended, AuthorizeResponse)


def _tuples(data: Any) -> Any:
    match data:
        case dict():
            return {name: _tuples(value) for name, value in data.items()}
        case list():
            return tuple(map(_tuples, data))
    return data


# --- Enumerations ---


@both_wires
@given(data=st.data())
def test_enumerations_in_any_letter_case(wire: ToleranceReading, data: st.DataObject) -> None:
    _, field = data.draw(st.sampled_from(of_kind(Kind.ENUMERATION)))
    value = data.draw(st.sampled_from(sorted(field.spellings.values())))
    assert read(field, data.draw(sloppy(value)), wire) == (value, [])


@both_wires
@pytest.mark.parametrize("value", ["Furlong", "kW h", "L1_N", "Acepted"])
def test_what_is_no_word_is_dropped_where_it_may_be(wire: ToleranceReading, value: str) -> None:
    for _, field in of_kind(Kind.ENUMERATION):
        assert read(field, value, wire) == ((value, []) if field.required else (..., [LossReason.UNKNOWN_VALUE]))


@both_wires
@pytest.mark.parametrize(("written", "unit"), [("Amp", "A"), ("volt ", "V"), ("AMP", "A")])
def test_units_that_devices_are_known_for(wire: ToleranceReading, written: str, unit: str) -> None:
    (field,) = {field.name: field for _, field in ALL_FIELDS if field.name == "unit"}.values()
    assert read(field, written, wire) == (unit, [LossReason.RESPELLED_UNIT])


@both_wires
@pytest.mark.parametrize("unit", ["Hz", "Hertz", " HZ "])
def test_quirk_52_hertz_is_no_word_of_1_6_and_goes_with_its_value(wire: ToleranceReading, unit: str) -> None:
    """Edition 2, 7.31: a Frequency has no UnitOfMeasure. Energy that lost its Hertz alone would be in Wh."""
    energy = {"value": "50", "measurand": "Energy.Active.Import.Register"}
    for sample in ({"value": "50", "measurand": "Frequency"}, energy, {"value": "50"}):
        group = {"timestamp": "2024-02-29T12:00:00Z", "sampledValue": [{**sample, "unit": unit}, sample]}
        data = {"connectorId": "1" if wire is XML else 1, "meterValue": [group]}
        mended, [loss] = mend(data, shape_of(PDUS["MeterValuesRequest"]), "MeterValuesRequest", wire)
        assert mended["meterValue"][0]["sampledValue"] == [sample]
        assert (loss.path, loss.reason) == ("meterValue[0].sampledValue[0].unit", LossReason.UNKNOWN_VALUE)


# --- Points in time ---


@both_wires
@given(
    moment=st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31)),  # noqa: DTZ001
    minutes=st.integers(-14 * 60, 14 * 60),
    fraction=st.text("0123456789", max_size=12),
    spelling=st.sampled_from(["{}{:02}:{:02}", "{}{:02}{:02}"]),
    between=st.sampled_from("Tt "),
    around=blanks,
)
def test_an_offset_is_the_same_moment_in_utc_with_every_digit(
    wire: ToleranceReading,
    moment: datetime,
    minutes: int,
    fraction: str,
    spelling: str,
    between: str,
    around: str,
) -> None:
    local = moment.replace(microsecond=0)
    zone = spelling.format("-" if minutes < 0 else "+", *divmod(abs(minutes), 60))
    digits = f".{fraction}" if fraction else ""
    there = local.isoformat(sep=between) + digits + zone

    mended, losses = read(TIME, around + there + around, wire)

    assert losses == []
    here, _, kept = mended.removesuffix("Z").partition(".")
    assert kept == fraction
    assert datetime.fromisoformat(here) == local - timedelta(minutes=minutes)


@both_wires
@pytest.mark.parametrize(
    ("written", "mended"),
    [
        ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z"),
        ("2024-02-29T12:00:00.120Z", "2024-02-29T12:00:00.120Z"),
        ("2024-02-29t12:00:00z", "2024-02-29T12:00:00Z"),
        ("2024-02-29 12:00:00Z", "2024-02-29T12:00:00Z"),
        ("\n 2024-02-29T12:00:00Z\t", "2024-02-29T12:00:00Z"),
        ("2024-02-29T12:00:00+00:00", "2024-02-29T12:00:00Z"),
        ("2024-02-29T12:00:00-00:00", "2024-02-29T12:00:00Z"),
        ("2024-03-01T00:30:00.5+01:00", "2024-02-29T23:30:00.5Z"),
        ("2024-02-29T23:30:00-0100", "2024-03-01T00:30:00Z"),
        ("2023-12-31T20:00:00-05:30", "2024-01-01T01:30:00Z"),
        # XML Schema's other name for midnight.
        ("2024-02-28T24:00:00Z", "2024-02-29T00:00:00Z"),
        ("2023-12-31T24:00:00.000Z", "2024-01-01T00:00:00.000Z"),
        ("2024-02-29T24:00:00+02:00", "2024-02-29T22:00:00Z"),
    ],
)
def test_spellings_of_a_moment(wire: ToleranceReading, written: str, mended: str) -> None:
    assert read(TIME, written, wire) == (mended, [])


@both_wires
@pytest.mark.parametrize(
    ("written", "mended"),
    [
        ("2024-02-29T12:00:00", "2024-02-29T12:00:00Z"),
        (" 2024-02-29 12:00:00.000001 ", "2024-02-29T12:00:00.000001Z"),
        ("2024-02-29T24:00:00", "2024-03-01T00:00:00Z"),
    ],
)
def test_without_a_zone_it_is_utc_and_a_loss(wire: ToleranceReading, written: str, mended: str) -> None:
    assert read(TIME, written, wire) == (mended, [LossReason.ASSUMED_ZONE])


@both_wires
@pytest.mark.parametrize(
    ("zone", "written", "mended"),
    [
        (timezone(timedelta(hours=1)), "2024-02-29T00:30:00", "2024-02-28T23:30:00Z"),
        (timezone(-timedelta(hours=5, minutes=30)), " 2024-02-29 20:00:00.500 ", "2024-03-01T01:30:00.500Z"),
        (timezone(timedelta(hours=1)), "2024-02-29T24:00:00", "2024-02-29T23:00:00Z"),
        (ZoneInfo("Europe/Paris"), "2024-01-01T12:00:00", "2024-01-01T11:00:00Z"),
        (ZoneInfo("Europe/Paris"), "2024-07-01T12:00:00", "2024-07-01T10:00:00Z"),
    ],
)
def test_without_a_zone_it_is_in_the_assumed_one(
    wire: ToleranceReading, zone: tzinfo, written: str, mended: str
) -> None:
    shape, terms = (
        shape_of(PDUS["HeartbeatResponse"]),
        ToleranceReading(typed=wire.typed, profile=DeviceProfile(assumed_zone=zone)),
    )
    loss = Loss(message="M", path="currentTime", reason=LossReason.ASSUMED_ZONE)
    assert mend({"currentTime": written}, shape, "M", terms) == ({"currentTime": mended}, (loss,))
    said = {"currentTime": "2024-02-29T12:00:00+02:00"}
    assert mend(said, shape, "M", terms) == ({"currentTime": "2024-02-29T10:00:00Z"}, ())
    for wrong in ("now", 5):
        assert mend({"currentTime": wrong}, shape, "M", terms) == ({"currentTime": wrong}, ())


@both_wires
@pytest.mark.parametrize(
    ("written", "mended"),
    [
        ("2024-02-29T12:00Z", "2024-02-29T12:00:00Z"),  # java.time leaves seconds out that are 0
        ("2024-02-29T12:00+01:00[Europe/Paris]", "2024-02-29T11:00:00Z"),
        ("2024-02-29T12:00:00.250Z[UTC]", "2024-02-29T12:00:00.250Z"),
        ("2024-02-29T14:35:02+02", "2024-02-29T12:35:02Z"),
        ("2024-02-29T12:00:00-05", "2024-02-29T17:00:00Z"),
        ("2024-02-29T12:00:00,5Z", "2024-02-29T12:00:00.5Z"),
        ("20240229T120000Z", "2024-02-29T12:00:00Z"),
        ("20240229T120000+0530", "2024-02-29T06:30:00Z"),
        ("2024-02-29T12Z", "2024-02-29T12:00:00Z"),
        ("2024-02-29T12:30.5Z", "2024-02-29T12:30:30Z"),
        ("2024-02-29T12,25Z", "2024-02-29T12:15:00Z"),
        ("2024-02-28T24:00Z", "2024-02-29T00:00:00Z"),
        ("2024-12-31T23:59:60Z", "2025-01-01T00:00:00Z"),
        ("2024-12-31T23:59:60.5+00:00", "2025-01-01T00:00:00.5Z"),
        ("2024-02-29T12:00:00\u221201:00", "2024-02-29T13:00:00Z"),
        ("2024-02-29T12:00:00+01:00[Europe/Paris][u-ca=gregory]", "2024-02-29T11:00:00Z"),  # RFC 9557
    ],
)
def test_other_forms_of_iso_8601(wire: ToleranceReading, written: str, mended: str) -> None:
    assert read(TIME, written, wire) == (mended, [LossReason.RESPELLED_TIME])


@both_wires
@pytest.mark.parametrize(
    ("written", "mended", "reason"),
    [
        ("2024-02-29", "2024-02-29T00:00:00Z", LossReason.ASSUMED_ZONE),
        ("20240229", "2024-02-29T00:00:00Z", LossReason.ASSUMED_ZONE),
        ("2024-02-29+01:00", "2024-02-28T23:00:00Z", LossReason.RESPELLED_TIME),
    ],
)
def test_a_date_alone_in_an_answer_is_the_start_of_the_day(
    wire: ToleranceReading, written: str, mended: str, reason: LossReason
) -> None:
    answer, losses = mend({"currentTime": written}, shape_of(PDUS["HeartbeatResponse"]), "HeartbeatResponse", wire)
    assert (answer, [loss.reason for loss in losses]) == ({"currentTime": mended}, [reason])
    assert read(TIME, written, wire) == (written, [])


@both_wires
@pytest.mark.parametrize(
    "written",
    [
        "now",
        "12:00:00",
        "2024-02-29T12:00:00Z:",
        "2024-02-29T12:00:00[Europe/Paris]",
        "2024-0229T12:00:00Z",
        "2024-060T12:00:00Z",
        "2024-W09-4T12:00:00Z",
        "2024-02-29T24:01Z",
        "2024-02-29T12:61Z",
        "2024-02-29T12:00:00+1:00",
        "2024-02-29T12:00:00+24:00",
        "2024-02-29T12:00:00+01:60",
        "2024-02-30T12:00:00+01:00",
        "2023-02-28T24:00:01Z",
        "2023-02-28T24:00:00.1Z",
        "2023-02-28T25:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "9999-12-31T24:00:00Z",
        "1709208000",
    ],
)
def test_what_is_no_moment_is_refused(wire: ToleranceReading, written: str) -> None:
    shape = shape_of(PDUS["HeartbeatResponse"])
    mended, _ = mend({"currentTime": written}, shape, "HeartbeatResponse", wire)
    with pytest.raises(MessageError, match="currentTime: not a point in time"):
        record_of(mended, PDUS["HeartbeatResponse"])


def test_early_years_keep_their_zeros() -> None:
    assert read(TIME, "0033-04-03T15:00:00+01:00", XML) == ("0033-04-03T14:00:00Z", [])


# --- Elements that are there and say nothing ---


@both_wires
@pytest.mark.parametrize(("shape", "field"), SINGLE_TEXTS, ids=lambda item: item.name)
def test_an_empty_optional_field_is_absent(wire: ToleranceReading, shape: Shape, field: Field) -> None:
    mended, losses = mend({field.name: ""}, shape, "Message", wire)
    if field.required or (shape.name, field.name) == ("KeyValue", "value"):
        assert (mended, losses) == ({field.name: ""}, ())
    else:
        assert (mended, losses) == ({}, (Loss(message="Message", path=field.name, reason=LossReason.EMPTY_OPTIONAL),))


@both_wires
@given(data=st.data())
def test_blanks_are_a_text_but_no_number(wire: ToleranceReading, data: st.DataObject) -> None:
    shape, field = data.draw(st.sampled_from([pair for pair in SINGLE_TEXTS if not pair[1].required]))
    blank = data.draw(st.text(" \t\n", min_size=1, max_size=3))
    mended, losses = mend({field.name: blank}, shape, "Message", wire)
    if field.kind in (Kind.TEXT, Kind.LONG_TEXT):
        assert (mended, losses) == ({field.name: blank}, ())
    else:
        assert (mended, [loss.reason for loss in losses]) == ({}, [LossReason.EMPTY_OPTIONAL])


def test_an_item_of_a_list_is_not_optional() -> None:
    assert read(shape_of(PDUS["GetConfigurationRequest"]).fields["key"], "", XML) == ("", [])


@pytest.mark.parametrize("nothing", [None, {}, []])
@pytest.mark.parametrize(("shape", "field"), ALL_FIELDS, ids=lambda item: item.name)
def test_what_says_nothing_is_absent(shape: Shape, field: Field, nothing: Any) -> None:
    mended, losses = mend({field.name: nothing}, shape, "Message", JSON)
    if field.many and not field.required and nothing == []:  # who writes it says what that costs
        assert (mended, losses) == ({field.name: []}, ())
    elif field.required:  # validation says so
        assert losses == () and not mended[field.name]
    else:
        assert (mended, [loss.reason for loss in losses]) == ({}, [LossReason.EMPTY_OPTIONAL])


def test_nil_says_that_it_is_absent() -> None:
    assert mend({"iccid": None}, shape_of(PDUS["BootNotificationRequest"]), "BootNotificationRequest", XML) == ({}, ())


# --- Fields that nobody knows ---


@both_wires
@given(name=st.text().filter(lambda name: name != "idTag"), value=json_values)
def test_an_unknown_field_is_dropped(wire: ToleranceReading, name: str, value: Any) -> None:
    data = {name: value, "idTag": "04A2B3"}
    mended, losses = mend(data, shape_of(PDUS["AuthorizeRequest"]), "AuthorizeRequest", wire)
    assert mended == {"idTag": "04A2B3"}
    assert losses == (Loss(message="AuthorizeRequest", path=name, reason=LossReason.UNKNOWN_FIELD),)


@both_wires
def test_a_loss_says_where(wire: ToleranceReading) -> None:
    known = {"timestamp": "2024-02-29T12:00:00Z", "sampledValue": [{"value": "1"}]}
    value = {"timestamp": "2024-02-29T12:00:00", "sampledValue": [{"value": "1"}, {"value": "2", "signed": "x"}]}
    data = {"connectorId": "1" if wire is XML else 1, "meterValue": [known, value]}
    mended, losses = mend(data, shape_of(PDUS["MeterValuesRequest"]), "MeterValuesRequest", wire)
    assert [(loss.path, loss.reason) for loss in losses] == [
        ("meterValue[1].timestamp", LossReason.ASSUMED_ZONE),
        ("meterValue[1].sampledValue[1].signed", LossReason.UNKNOWN_FIELD),
    ]
    record_of(mended, PDUS["MeterValuesRequest"])


# --- Numbers ---


@given(number=st.integers(-(2**63) + 1, 2**63 - 1), zeros=st.sampled_from(["", ".", ".0", ".000"]), around=blanks)
def test_whole_numbers_as_text(number: int, zeros: str, around: str) -> None:
    for sign in ("", "+") if number >= 0 else ("",):
        assert read(WHOLE, f"{around}{sign}{number}{zeros}{around}", XML) == (number, [])


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 3))
def test_whole_numbers_as_floats(number: int, zeros: int) -> None:
    written = Decimal(f"{number}.{'0' * zeros}")
    mended, losses = read(WHOLE, written, JSON)
    assert (mended, type(mended), losses) == (number, int, [])


def test_whole_numbers_in_scientific_notation() -> None:
    assert read(WHOLE, Decimal("3e2"), JSON) == (300, [])


@pytest.mark.parametrize("value", ["", "x", "0x10", "1e", "e3", "1e9999", "1.2.3", "1 000", "1_000", "１", "9" * 41])
def test_what_is_no_whole_number_as_text(value: str) -> None:
    assert read(WHOLE, value, XML) == (value, [])


@pytest.mark.parametrize("value", [Decimal("1e400"), Decimal(2**63), Decimal(-(2**63) - 1), "five", True, [], {}])
def test_what_is_no_whole_number_in_json(value: Any) -> None:
    mended, losses = read(WHOLE, value, JSON)
    assert (mended, type(mended), losses) == (value, type(value), [])


@both_wires
@pytest.mark.parametrize(("written", "whole"), [("1.5", 2), ("2.5", 2), ("1.6", 2), ("-1.5", -2), ("300.4", 300)])
def test_a_fraction_of_a_whole_number_is_rounded(wire: ToleranceReading, written: str, whole: int) -> None:
    value = written if wire is XML else Decimal(written)
    assert read(WHOLE, value, wire) == (whole, [LossReason.WHOLE_NUMBER])
    assert read(WHOLE, value, ToleranceReading(typed=wire.typed, command=True)) == (value, [])


@both_wires
@pytest.mark.parametrize("name", ["meterStart", "meterStop"])
@pytest.mark.parametrize(("written", "whole"), [("1.9", 1), ("-1.9", -1), ("7018.5", 7018)])
def test_a_meter_is_never_said_to_have_counted_more(
    wire: ToleranceReading, name: str, written: str, whole: int
) -> None:
    (field,) = (field for _, field in ALL_FIELDS if field.name == name)
    assert read(field, written if wire is XML else Decimal(written), wire) == (whole, [LossReason.WHOLE_NUMBER])


@pytest.mark.parametrize("kind", [Kind.INTEGER, Kind.DECIMAL, Kind.BOOLEAN])
@pytest.mark.parametrize("text", ["1", " 1 ", "0"])
def test_a_json_text_where_another_type_belongs_is_a_loss(kind: Kind, text: str) -> None:
    mended, losses = read(leaf(kind), text, JSON)
    assert (mended, losses) == (int(text), [LossReason.CONVERTED])
    assert read(leaf(kind), text, XML) == (int(text), [])


def test_a_number_may_come_as_a_json_text() -> None:
    assert read(WHOLE, "5", JSON) == (5, [LossReason.CONVERTED])
    assert read(FLAG, "true", JSON) == (True, [LossReason.CONVERTED])
    assert read(FLAG, 1, JSON) == (True, [LossReason.CONVERTED])
    assert read(FLAG, 2, JSON) == (2, [])


@both_wires
@pytest.mark.parametrize("value", [str(2**31), str(-(2**31) - 1), "9" * 39])
def test_an_integer_that_is_too_large_is_dropped_where_it_may_be(wire: ToleranceReading, value: str) -> None:
    for _, field in of_kind(Kind.INTEGER):
        if field.is_narrow:
            mended, losses = read(field, value, wire)
            # Validation says what is wrong with it.
            assert mended == (int(value) if field.required else ...)
            assert LossReason.UNREADABLE in losses or field.required


tenths = st.integers(-(10**12) + 1, 10**12 - 1).map(lambda number: Decimal(number).scaleb(-1))


@both_wires
@given(tenths)
@example(Decimal("16"))
@example(Decimal("16.00"))
@example(Decimal("1.6E+1"))
def test_tenths_are_left_alone(wire: ToleranceReading, number: Decimal) -> None:
    mended, losses = read(LIMIT, str(number) if wire is XML else number, wire)
    assert (mended, losses) == (number, [])


@both_wires
@given(tenths, st.decimals(Decimal("0.00001"), Decimal("0.09999"), places=5))
def test_a_limit_is_never_more_and_the_least_rate_never_less(
    wire: ToleranceReading, number: Decimal, more: Decimal
) -> None:
    """C 7.14: they are bounds."""
    written = number + more
    value: Any = f" {written} " if wire is XML else written
    assert read(LIMIT, value, wire) == (number, [LossReason.ROUNDED])
    (least,) = {field.name: field for _, field in ALL_FIELDS if field.name == "minChargingRate"}.values()
    assert read(least, value, wire) == (number + Decimal("0.1"), [LossReason.ROUNDED])


@both_wires
@pytest.mark.parametrize(
    ("written", "mended"),
    [("16.05", "16.0"), ("16.19", "16.1"), ("-0.05", "-0.1"), ("1e-30", "0.0")],
)
def test_a_limit_is_rounded_down(wire: ToleranceReading, written: str, mended: str) -> None:
    value = written if wire is XML else Decimal(written)
    assert read(LIMIT, value, wire) == (Decimal(mended), [LossReason.ROUNDED])


def test_other_spellings_of_a_decimal() -> None:
    for written in ("16", "+16", "16.", "016.0", "1.6e1", " 16.0\n"):
        assert read(LIMIT, written, XML) == (Decimal(16), [])
        assert read(LIMIT, written, JSON) == (Decimal(16), [LossReason.CONVERTED])
    assert read(LIMIT, ".5", XML) == (Decimal("0.5"), [])
    assert read(LIMIT, 16, JSON) == (Decimal(16), [])


@pytest.mark.parametrize("value", ["", "x", "NaN", "INF", "Infinity", "1_0", "１６", "16,5", "1e9999", "."])
def test_what_is_no_decimal(value: str) -> None:
    assert read(LIMIT, value, XML) == (value, [])


@pytest.mark.parametrize("value", [True, None, [], {}])
def test_what_is_no_decimal_in_json(value: Any) -> None:
    mended, losses = read(LIMIT, value, JSON)
    assert (mended, type(mended), losses) == (value, type(value), [])


@both_wires
@given(st.decimals(10**12, 10**30, allow_nan=False).map(lambda number: number.copy_abs()))
def test_what_no_device_means_is_left_to_validation(wire: ToleranceReading, number: Decimal) -> None:
    assert read(LIMIT, str(number) if wire is XML else number, wire) == (number, [])


# --- Booleans ---


@pytest.mark.parametrize(("name", "value"), [("true", True), ("false", False), ("1", True), ("0", False)])
@given(data=st.data())
def test_booleans(name: str, value: bool, data: st.DataObject) -> None:
    assert read(FLAG, data.draw(sloppy(name)), XML) == (value, [])


@pytest.mark.parametrize("value", ["", "yes", "on", "2", "-1", "01"])
def test_what_is_no_boolean(value: str) -> None:
    assert read(FLAG, value, XML) == (value, [])


# --- Texts ---


@both_wires
@given(data=st.data(), text=texts())
def test_a_text_is_never_touched(wire: ToleranceReading, data: st.DataObject, text: str) -> None:
    _, field = data.draw(st.sampled_from(of_kind(Kind.TEXT, Kind.LONG_TEXT)))
    text = text[: field.limit]
    mended, losses = read(field, text, wire)
    assert (mended, losses) == (text, []) or (not text and not field.required)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (Decimal("230.10"), "230.10"),
        (True, "true"),
        (["a"], '["a"]'),
        ({"a": [1, None, {"b": "é\n"}]}, '{"a":[1,null,{"b":"é\\n"}]}'),
        (10**40, "1" + "0" * 40),
    ],
)
def test_json_in_an_opaque_text_is_kept_as_its_source(value: Any, text: str) -> None:
    for _, field in of_kind(Kind.LONG_TEXT):
        assert read(field, value, JSON) == (text, [LossReason.NOT_TEXT])


@pytest.mark.parametrize(("value", "text"), [(5, "5"), (True, "true"), (Decimal("1.50"), "1.50")])
def test_a_json_number_in_any_other_text_is_its_source(value: Any, text: str) -> None:
    for _, field in of_kind(Kind.TEXT):
        assert read(field, value, JSON) == (text, [LossReason.NOT_TEXT])


@pytest.mark.parametrize("value", [["a"], {"a": 1}])
def test_json_with_an_inside_is_no_text_that_has_a_limit(value: Any) -> None:
    for _, field in of_kind(Kind.TEXT):
        if not field.many:
            assert read(field, value, JSON) == ((value, []) if field.required else (..., [LossReason.UNREADABLE]))


def test_a_null_is_no_text() -> None:
    assert read(leaf(Kind.LONG_TEXT), None, JSON) == (None, [])
    assert read(leaf(Kind.LONG_TEXT, required=False), None, JSON) == (..., [LossReason.EMPTY_OPTIONAL])


# --- Texts over their limit ---

LIMITED = [pair for pair in ALL_FIELDS if pair[1].limit is not None]
DESCRIPTIVE = [(shape, field) for shape, field in LIMITED if not field.names]


def long_read(shape: Shape, field: Field, wire: ToleranceReading, **profile: Any) -> tuple[Any, list[LossReason]]:
    """What becomes of a text with a character too many; Ellipsis if it is gone."""
    assert field.limit is not None
    text = "é" * field.limit + "x"
    data = {field.name: [text] if field.many else text}
    mended, losses = mend(data, shape, "Message", ToleranceReading(typed=wire.typed, profile=DeviceProfile(**profile)))
    (item,) = mended.get(field.name, [...]) if field.many else (mended.get(field.name, ...),)
    assert all(loss.path == (f"{field.name}[0]" if field.many else field.name) for loss in losses)
    return item, [loss.reason for loss in losses]


def test_which_texts_name_something() -> None:
    """All others describe, and say nearly the same without their end."""
    found = {(shape.name, field.name) for shape, field in LIMITED if field.names}
    assert {name for _, name in found if name in ("idTag", "parentIdTag")} == {"idTag", "parentIdTag"}
    assert {pair for pair in found if pair[1] not in ("idTag", "parentIdTag")} == {
        ("ChangeConfigurationRequest", "key"),
        ("ChangeConfigurationRequest", "value"),
        ("DataTransferRequest", "messageId"),
        ("DataTransferRequest", "vendorId"),
        ("GetConfigurationRequest", "key"),
    }
    assert all(field.names for _, field in LIMITED if field.name in ("idTag", "parentIdTag"))
    assert len(DESCRIPTIVE) == 16


@both_wires
@pytest.mark.parametrize(("shape", "field"), DESCRIPTIVE, ids=lambda item: item.name)
def test_a_descriptive_text_that_is_too_long(wire: ToleranceReading, shape: Shape, field: Field) -> None:
    assert field.limit is not None
    cut = ("é" * field.limit, [LossReason.TRUNCATED])
    assert long_read(shape, field, wire) == cut
    assert read(field, "é" * field.limit, wire) == (cut[0], [])
    # What must stand, or stands in a list, cannot be left out.
    optional = not field.required and not field.many
    assert long_read(shape, field, wire, overlong=Overlong.DROP) == ((..., [LossReason.OVERLONG]) if optional else cut)
    assert long_read(shape, field, wire, overlong=Overlong.REFUSE) == ("é" * field.limit + "x", [])


@both_wires
@pytest.mark.parametrize("overlong", [Overlong.TRUNCATE, Overlong.DROP, Overlong.REFUSE])
def test_what_names_something_is_never_cut(wire: ToleranceReading, overlong: Overlong) -> None:
    for shape, field in LIMITED:
        if field.names:
            assert field.limit is not None
            # It is left out where it may be, if it names a driver: the rest of the message is worth more.
            may_go = field.name in ("idTag", "parentIdTag") and not field.required
            expected = (..., [LossReason.UNREADABLE]) if may_go else ("é" * field.limit + "x", [])
            assert long_read(shape, field, wire, overlong=overlong) == expected


@both_wires
@pytest.mark.parametrize("message", ["AuthorizeRequest", "StartTransactionRequest", "ReserveNowRequest"])
def test_an_id_tag_that_is_too_long_is_refused(wire: ToleranceReading, message: str) -> None:
    valid: dict[str, Any] = {"idTag": "t" * 21, "connectorId": 1, "timestamp": "2024-02-29T12:00:00Z", "meterStart": 0}
    valid |= {"expiryDate": "2024-02-29T12:00:00Z", "reservationId": 1}
    shape = shape_of(PDUS[message])
    data = {name: value for name, value in valid.items() if name in shape.fields}
    mended, _ = mend(data, shape, message, JSON)
    with pytest.raises(MessageError, match=r"idTag: Expected `str` of length <= 20"):
        record_of(mended, PDUS[message])


# --- The wrong shape altogether ---


@both_wires
@pytest.mark.parametrize("value", ["x", 1, [1, 2], True])
def test_what_should_be_a_record_is_left_to_validation(wire: ToleranceReading, value: Any) -> None:
    data = {"status": "Accepted", "idTagInfo": value}
    shape = shape_of(PDUS["AuthorizeResponse"])
    assert mend(data, shape, "AuthorizeResponse", wire)[0]["idTagInfo"] == value


@both_wires
@pytest.mark.parametrize("value", ["x", 1, [1, 2], True, {"status": "Fine"}, {"expiryDate": "2024-02-29T12:00:00Z"}])
def test_what_should_be_a_record_is_dropped_where_it_may_be(wire: ToleranceReading, value: Any) -> None:
    mended, losses = mend({"idTagInfo": value}, shape_of(PDUS["StopTransactionResponse"]), "M", wire)
    assert mended == {} and len(losses) == 1


def test_one_item_is_a_list_of_one() -> None:
    mended, losses = mend(
        {"key": "a"}, shape_of(PDUS["GetConfigurationRequest"]), "GetConfigurationRequest", ToleranceReading(typed=True)
    )
    assert (mended, [loss.reason for loss in losses]) == ({"key": ["a"]}, [LossReason.CONVERTED])
    item = {"key": "K", "readonly": "true", "value": 5}
    answer, losses = mend({"configurationKey": item}, shape_of(PDUS["GetConfigurationResponse"]), "M", JSON)
    assert answer == {"configurationKey": [{"key": "K", "readonly": True, "value": "5"}]}


# --- Numbers as programs write them ---


@both_wires
@pytest.mark.parametrize(
    ("written", "number"),
    [("1.2345678E7", 12345678), ("1.2e4", 12000), (".9", 0), ("-.9", 0), ("7.", 7), ("+7", 7), ("1E-1", 0)],
)
def test_quirk_54_a_whole_number_in_any_notation(wire: ToleranceReading, written: str, number: int) -> None:
    """Java's Double.toString writes 1.2345678E7."""
    meter = shape_of(PDUS["StartTransactionRequest"]).fields["meterStart"]
    assert read(meter, written, wire)[0] == number
