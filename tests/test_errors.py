"""The one error table, both ways."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bridge.errors import (
    BridgeError,
    Complaint,
    ConfigurationError,
    ErrorCode,
    FaultCode,
    MessageError,
    Unavailable,
    UnknownIdentity,
    code_of_fault,
    fault_of,
    known_code,
)

# CALLERROR -> Fault and HTTP status, as DESIGN section 5 has them.
TO_SOAP = {
    "SecurityError": ("Sender/SecurityError", 400),
    "FormationViolation": ("Sender/ProtocolError", 400),
    "ProtocolError": ("Sender/ProtocolError", 400),
    "PropertyConstraintViolation": ("Sender/ProtocolError", 400),
    "OccurenceConstraintViolation": ("Sender/ProtocolError", 400),
    "TypeConstraintViolation": ("Sender/ProtocolError", 400),
    "NotImplemented": ("Receiver/NotSupported", 500),
    "NotSupported": ("Receiver/NotSupported", 500),
    "InternalError": ("Receiver/InternalError", 500),
    "GenericError": ("Receiver/InternalError", 500),
}
MISSPELLINGS = {
    "FormatViolation": "FormationViolation",
    "OccurrenceConstraintViolation": "OccurenceConstraintViolation",
}
SPELLINGS = {code: code for code in TO_SOAP} | MISSPELLINGS

blanks = st.text(" \t\n", max_size=3)


def written(fault: FaultCode) -> tuple[str, int]:
    return f"{fault.side}/{fault.subcode}", fault.http_status


@st.composite
def sloppy(draw: st.DrawFn, name: str) -> str:
    """`name` in some letter case, with blanks around it."""
    upper = draw(st.lists(st.booleans(), min_size=len(name), max_size=len(name)))
    spelled = "".join(char.upper() if up else char.lower() for char, up in zip(name, upper, strict=True))
    return draw(blanks) + spelled + draw(blanks)


# --- CALLERROR to Fault ---


def test_every_code_is_in_the_table() -> None:
    assert {code.value for code in ErrorCode} == {*TO_SOAP}
    assert all(code.name == code.value for code in ErrorCode)


@pytest.mark.parametrize("code", TO_SOAP)
def test_a_code_as_a_fault(code: str) -> None:
    assert written(fault_of(code)) == TO_SOAP[code]


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(data=st.data())
def test_codes_in_other_spellings(spelling: str, data: st.DataObject) -> None:
    code = SPELLINGS[spelling]
    spelled = data.draw(sloppy(spelling))
    assert known_code(spelled) is ErrorCode(code)
    assert written(fault_of(spelled)) == TO_SOAP[code]


@given(st.text() | st.sampled_from(["", "IdentityMismatch", "Internal Error", "NotSupportedError", "Rejected"]))
def test_any_other_code_is_an_internal_error(code: str) -> None:
    assume(code.strip().lower() not in {spelling.lower() for spelling in SPELLINGS})
    assert known_code(code) is None
    assert written(fault_of(code)) == ("Receiver/InternalError", 500)


# --- Fault to CALLERROR ---


@pytest.mark.parametrize(
    ("side", "subcode", "code"),
    [
        ("Sender", "SecurityError", "SecurityError"),
        # Our address of the Charge Point is stale: the Call is not at fault.
        ("Sender", "IdentityMismatch", "InternalError"),
        ("Sender", "ProtocolError", "ProtocolError"),
        ("Receiver", "InternalError", "InternalError"),
        ("Receiver", "NotSupported", "NotSupported"),
    ],
)
@given(data=st.data())
def test_the_five_faults_of_the_specification(side: str, subcode: str, code: str, data: st.DataObject) -> None:
    assert code_of_fault(data.draw(sloppy(subcode)), side) == code


@pytest.mark.parametrize("side", ["Sender", "Receiver"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_code_of_ocpp_j_as_subcode_is_kept(spelling: str, side: str) -> None:
    assert code_of_fault(spelling, side) == SPELLINGS[spelling]


@given(
    st.none() | st.text() | st.sampled_from(["UrlMismatch", "ActionNotSupported", "MessageAddressingHeaderRequired"])
)
def test_any_other_subcode_says_no_more_than_its_side(subcode: str | None) -> None:
    known = {spelling.lower() for spelling in (*SPELLINGS, "IdentityMismatch")}
    assume(subcode is None or subcode.strip().lower() not in known)
    assert code_of_fault(subcode, "Sender") is ErrorCode.ProtocolError
    assert code_of_fault(subcode, "Receiver") is ErrorCode.InternalError


@pytest.mark.parametrize("fault", [fault for fault in FaultCode if fault is not FaultCode.IdentityMismatch])
def test_a_fault_comes_back_as_itself(fault: FaultCode) -> None:
    assert fault_of(code_of_fault(fault.subcode, fault.side)) is fault


def test_the_faults_are_those_of_the_specification() -> None:
    assert {written(fault) for fault in FaultCode} == {*TO_SOAP.values(), ("Sender/IdentityMismatch", 400)}
    assert all(fault.name == fault.subcode for fault in FaultCode)


# --- What is raised ---


@pytest.mark.parametrize("code", ErrorCode)
def test_an_error_says_its_code_and_one_sentence(code: ErrorCode) -> None:
    error = BridgeError(code, "the sentence")
    assert (error.code, error.description, str(error)) == (code, "the sentence", "the sentence")
    assert error.fault is fault_of(code)


def test_a_message_error_says_where() -> None:
    error = MessageError(ErrorCode.TypeConstraintViolation, "not a number", "meterValue[0].timestamp")
    assert (error.path, error.description) == ("meterValue[0].timestamp", "meterValue[0].timestamp: not a number")
    assert MessageError(ErrorCode.ProtocolError, "nothing in it").description == "nothing in it"


def test_an_unknown_identity_is_a_mismatch_to_soap_and_named() -> None:
    error = UnknownIdentity("RDAM 123")
    assert written(error.fault) == ("Sender/IdentityMismatch", 400)
    assert error.identity == "RDAM 123"
    assert "'RDAM 123'" in error.description


def test_trouble_of_the_link_is_no_fault_of_the_message() -> None:
    error = Unavailable("no answer within 30 s")
    assert (error.code, written(error.fault)) == (ErrorCode.InternalError, ("Receiver/InternalError", 500))
    assert not isinstance(error, MessageError)


def test_a_configuration_error_holds_every_complaint() -> None:
    complaints = [
        Complaint(source="bridge.toml", key="soap.lisen", text="unknown key"),
        Complaint(source="bridge.toml", key="", text="no such file"),
    ]
    error = ConfigurationError(complaints)
    assert error.complaints == complaints
    assert str(error) == "bridge.toml: soap.lisen: unknown key\nbridge.toml: no such file"
    assert not isinstance(error, BridgeError)
