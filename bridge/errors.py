"""Everything that can go wrong with a message, and what each side is told about it.

This room knows both error languages, the CALLERROR codes of OCPP-J and the Faults of OCPP-S, and is the only place
that translates between them. It imports nothing of ours and does no I/O.

    BridgeError                something a peer must be told; carries the OCPP-J error code that says it best
        MessageError           a message is at fault: where in it, and what is wrong
        UnknownIdentity        no Route takes this ChargeBoxIdentity
        AccessDenied           who sends this is not let in
        Unavailable            the other side could not be reached or did not answer: the message itself is not at fault
    ConfigurationError         the configuration is at fault; holds every complaint, not only the first
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum


class ErrorCode(StrEnum):
    """The errorCode of a CALLERROR, spelled as in OCPP-J 1.6 table 7.

    OCPP-J errata 5.1 and 5.2 keep the two misspellings, "Occurence" with one r and "FormationViolation", on purpose.
    """

    NotImplemented = "NotImplemented"
    NotSupported = "NotSupported"
    InternalError = "InternalError"
    ProtocolError = "ProtocolError"
    SecurityError = "SecurityError"
    FormationViolation = "FormationViolation"
    PropertyConstraintViolation = "PropertyConstraintViolation"
    OccurenceConstraintViolation = "OccurenceConstraintViolation"
    TypeConstraintViolation = "TypeConstraintViolation"
    GenericError = "GenericError"


class Why(StrEnum):
    """Why something was turned away, in the words that refusals are counted and logged by. There are no others, so
    that no stranger makes a new one."""

    NO_ROUTE = "no_route"
    NO_CREDENTIALS = "no_credentials"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105  the word for one
    WRONG_CERTIFICATE = "wrong_certificate"
    WRONG_TOKEN = "wrong_token"  # noqa: S105
    WRONG_ADDRESS = "wrong_address"
    WRONG_IDENTITY = "wrong_identity"
    WRONG_DOOR = "wrong_door"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    TOO_MANY_MESSAGES = "too_many_messages"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    TOO_SLOW = "too_slow"
    MALFORMED = "malformed"
    NOT_SUPPORTED = "not_supported"
    INVALID = "invalid"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"


class FaultCode(Enum):
    """The Code/Subcode pairs of OCPP-S 1.6 section 4, each with its side and the HTTP status that carries it.

    SOAP 1.2 part 2, 7.5.2: a Sender fault travels with HTTP 400, every other with 500.
    """

    SecurityError = ("SecurityError", "Sender", 400)
    IdentityMismatch = ("IdentityMismatch", "Sender", 400)
    ProtocolError = ("ProtocolError", "Sender", 400)
    NotSupported = ("NotSupported", "Receiver", 500)
    InternalError = ("InternalError", "Receiver", 500)

    def __init__(self, subcode: str, side: str, http_status: int) -> None:
        self.subcode = subcode
        self.side = side
        self.http_status = http_status


# The one error table, from OCPP-J to OCPP-S. What is not in it is InternalError.
_FAULT_OF: dict[str, FaultCode] = {
    ErrorCode.SecurityError: FaultCode.SecurityError,
    ErrorCode.FormationViolation: FaultCode.ProtocolError,
    ErrorCode.ProtocolError: FaultCode.ProtocolError,
    ErrorCode.PropertyConstraintViolation: FaultCode.ProtocolError,
    ErrorCode.OccurenceConstraintViolation: FaultCode.ProtocolError,
    ErrorCode.TypeConstraintViolation: FaultCode.ProtocolError,
    ErrorCode.NotImplemented: FaultCode.NotSupported,
    ErrorCode.NotSupported: FaultCode.NotSupported,
    ErrorCode.InternalError: FaultCode.InternalError,
    ErrorCode.GenericError: FaultCode.InternalError,
}

# Spellings that peers are known to use for a code of the table (OCPP-J errata 5.1, 5.2; rule 19).
_SPELLINGS: dict[str, ErrorCode] = {code.lower(): code for code in ErrorCode} | {
    "formatviolation": ErrorCode.FormationViolation,
    "occurrenceconstraintviolation": ErrorCode.OccurenceConstraintViolation,
}


def known_code(code: str) -> ErrorCode | None:
    """The code of the table that `code` spells, letter case and known misspellings forgiven; None if there is none."""
    return _SPELLINGS.get(code.strip().lower())


def fault_of(code: str) -> FaultCode:
    """The Fault that tells a SOAP peer what the CALLERROR `code` tells a JSON peer (rule 56)."""
    known = known_code(code)
    return FaultCode.InternalError if known is None else _FAULT_OF[known]


def code_of_fault(subcode: str | None, side: str) -> ErrorCode:
    """The CALLERROR code for a Fault, from the local name of its Subcode and its Code (`Sender` or `Receiver`).

    A Subcode that is an OCPP-J code is kept. IdentityMismatch from a Charge Point means that the address we hold for
    it is somebody else's: the Call is not at fault, so InternalError. Any other Subcode (receivers SHALL accept all,
    OCPP-S errata 3.3) says no more than its Code: Sender blames the message, Receiver itself.
    """
    if subcode is not None:
        if subcode.strip().lower() == FaultCode.IdentityMismatch.subcode.lower():
            return ErrorCode.InternalError
        known = known_code(subcode)
        if known is not None:
            return known
    return ErrorCode.ProtocolError if side == "Sender" else ErrorCode.InternalError


# What a refusal is counted as, where whoever raises it does not say.
_WHY_OF: dict[ErrorCode, Why] = {
    ErrorCode.SecurityError: Why.WRONG_IDENTITY,
    ErrorCode.FormationViolation: Why.MALFORMED,
    ErrorCode.NotImplemented: Why.NOT_SUPPORTED,
    ErrorCode.NotSupported: Why.NOT_SUPPORTED,
    ErrorCode.InternalError: Why.FAILED,
    ErrorCode.GenericError: Why.FAILED,
}


class BridgeError(Exception):
    """Something that a peer must be told. `code` is the CALLERROR code, `description` one sentence for a person, `why`
    the word that it is counted by."""

    def __init__(self, code: ErrorCode, description: str, *, why: Why | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.why = why or _WHY_OF.get(code, Why.INVALID)

    @property
    def fault(self) -> FaultCode:
        """How a SOAP peer is told."""
        return fault_of(self.code)


class MessageError(BridgeError):
    """A message is at fault. `path` says where in it, in the names of the wire (`meterValue[0].timestamp`)."""

    def __init__(self, code: ErrorCode, description: str, path: str = "", *, why: Why | None = None) -> None:
        super().__init__(code, f"{path}: {description}" if path else description, why=why)
        self.path = path


class UnknownIdentity(BridgeError):
    """No Route takes this ChargeBoxIdentity. OCPP-S 1.6 section 3.3: IdentityMismatch; OCPP-J 1.6 section 3.2: 404."""

    def __init__(self, identity: str) -> None:
        text = f"no route takes the Charge Point {identity!r}"
        super().__init__(ErrorCode.SecurityError, text, why=Why.NO_ROUTE)
        self.identity = identity

    @property
    def fault(self) -> FaultCode:
        return FaultCode.IdentityMismatch


class AccessDenied(BridgeError):
    """Who sends this is not let in. `status` and `headers` are those of HTTP. OCPP-S 1.6 section 3.3: names that
    disagree are an IdentityMismatch. `hides_identity`: what stands for the identity is a secret, and is told nobody."""

    def __init__(
        self,
        status: int,
        description: str,
        why: Why,
        *,
        headers: dict[str, str] | None = None,
        code: ErrorCode = ErrorCode.SecurityError,
        hides_identity: bool = False,
    ) -> None:
        super().__init__(code, description, why=why)
        self.status = status
        self.headers = headers or {}
        self.hides_identity = hides_identity

    @property
    def fault(self) -> FaultCode:
        mismatch = self.why is Why.WRONG_IDENTITY and self.status != 401
        return FaultCode.IdentityMismatch if mismatch else super().fault


class Unavailable(BridgeError):
    """The other side could not be reached, or did not answer in time: trouble of the link, not of the message."""

    def __init__(self, description: str, *, why: Why = Why.UNAVAILABLE, retry_after: float | None = None) -> None:
        """`retry_after` is after how many seconds it may be tried again, where that is known."""
        super().__init__(ErrorCode.InternalError, description, why=why)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing wrong with the configuration: where it was read, the dotted key, and what is wrong with it."""

    source: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.source}: {self.key}: {self.text}" if self.key else f"{self.source}: {self.text}"


class ConfigurationError(Exception):
    """The configuration cannot be used. Every complaint is on a line of its own."""

    def __init__(self, complaints: list[Complaint]) -> None:
        super().__init__("\n".join(map(str, complaints)))
        self.complaints = complaints
