"""Exceptions of the bridge, and the error code that each peer receives for them.

This module defines the CALLERROR codes of OCPP-J and the Faults of OCPP-S. No other module translates between them.
This module imports nothing else of the bridge and does no I/O.

    BridgeError                an error that is reported to a peer; carries the OCPP-J error code that fits best
        MessageError           a message is at fault; names the field and the fault
        UnknownIdentity        no Route takes this ChargeBoxIdentity
        AccessDenied           the sender of a request or handshake may not connect
        NotConnected           a command is for a Charge Point that has not connected yet
        Unavailable            the other side could not be reached or did not answer; the message is not at fault
    ConfigurationError         the configuration is at fault; holds every complaint, not only the first
    StartError                 the program cannot do what it was started for; says why in one sentence
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
    """Reason of a refusal, as metrics and the log name it.

    The set is closed, so that no remote party can add a label value to the metrics.
    """

    NO_ROUTE = "no_route"
    NO_CREDENTIALS = "no_credentials"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105  the name of a reason, not a password
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
    TLS = "tls"
    MALFORMED = "malformed"
    NOT_SUPPORTED = "not_supported"
    INVALID = "invalid"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"


class FaultCode(Enum):
    """The Subcodes of OCPP-S 1.6 section 4, each with its Code (`side`) and the HTTP status of the response.

    SOAP 1.2 part 2, 7.5.2: a Sender fault has HTTP status 400, every other Fault 500.
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


# Translation of errors from OCPP-J to OCPP-S. A code outside this table becomes InternalError.
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
    """Return the ErrorCode that `code` spells, or None. Letter case and known misspellings are tolerated (rule 19)."""
    return _SPELLINGS.get(code.strip().lower())


def fault_of(code: str) -> FaultCode:
    """Return the Fault that means for a SOAP peer what the CALLERROR `code` means for a JSON peer (rule 56)."""
    known = known_code(code)
    return FaultCode.InternalError if known is None else _FAULT_OF[known]


def code_of_fault(subcode: str | None, side: str) -> ErrorCode:
    """Return the CALLERROR code for a Fault, given the local name of its Subcode and its Code (`Sender`, ...).

    A Subcode that is an OCPP-J code is kept. IdentityMismatch from a Charge Point means that the bridge has the address
    of another Charge Point; the Call is not at fault, so the code is InternalError. For any other Subcode (receivers
    SHALL accept all, OCPP-S errata 3.3) the Code decides: Sender means that the message is at fault, Receiver that the
    sender of the Fault is.
    """
    if subcode is not None:
        if subcode.strip().lower() == FaultCode.IdentityMismatch.subcode.lower():
            return ErrorCode.InternalError
        known = known_code(subcode)
        if known is not None:
            return known
    # MustUnderstand, VersionMismatch and DataEncodingUnknown (SOAP 1.2 part 1, 5.4.6) also mean a fault of the message.
    return ErrorCode.InternalError if side == "Receiver" else ErrorCode.ProtocolError


# The reason that a refusal is counted under if the exception was raised without a reason.
_WHY_OF: dict[ErrorCode, Why] = {
    ErrorCode.SecurityError: Why.WRONG_IDENTITY,
    ErrorCode.FormationViolation: Why.MALFORMED,
    ErrorCode.NotImplemented: Why.NOT_SUPPORTED,
    ErrorCode.NotSupported: Why.NOT_SUPPORTED,
    ErrorCode.InternalError: Why.FAILED,
    ErrorCode.GenericError: Why.FAILED,
}


class BridgeError(Exception):
    """An error that is reported to a peer.

    Attributes:
        code: CALLERROR code.
        description: One sentence for a person.
        why: Reason that the error is counted and logged under.
    """

    def __init__(self, code: ErrorCode, description: str, *, why: Why | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.why = why or _WHY_OF.get(code, Why.INVALID)

    @property
    def fault(self) -> FaultCode:
        """The Fault that a SOAP peer receives."""
        return fault_of(self.code)


class MessageError(BridgeError):
    """A message is at fault. `path` names the field as it is spelled on the wire (`meterValue[0].timestamp`)."""

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
    """The sender of a request or handshake may not connect.

    OCPP-S 1.6 section 3.3: identities that disagree are an IdentityMismatch.

    Attributes:
        status: HTTP status of the response.
        headers: HTTP headers of the response.
        hides_identity: Whether the identity in the request may be a secret, which must not appear in logs or answers.
    """

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


class NotConnected(BridgeError):
    """A command is for a Charge Point that has not connected yet."""

    def __init__(self, identity: str) -> None:
        text = f"the Charge Point {identity!r} has not connected yet"
        super().__init__(ErrorCode.InternalError, text, why=Why.UNAVAILABLE)


class Unavailable(BridgeError):
    """The other side could not be reached, or did not answer in time. The connection is at fault, not the message."""

    def __init__(self, description: str, *, why: Why = Why.UNAVAILABLE, retry_after: float | None = None) -> None:
        """`retry_after` is the number of seconds after which the peer may try again, None if that is unknown."""
        super().__init__(ErrorCode.InternalError, description, why=why)
        self.retry_after = retry_after


class HeldElsewhere(Unavailable):
    """Another process of the cluster has the Charge Point by now, which may answer the message."""

    def __init__(self) -> None:
        super().__init__("another process of the bridge has this Charge Point by now")


@dataclass(frozen=True, slots=True)
class Complaint:
    """A fault of the configuration.

    Attributes:
        source: Where the value was read, such as the name of the file.
        key: Dotted key of the value, "" if no key is at fault.
        text: The fault.
    """

    source: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.source}: {self.key}: {self.text}" if self.key else f"{self.source}: {self.text}"


class SendFailed(Exception):
    """What was to be sent to another process was not, because the connection to that process has ended."""


class ConfigurationError(Exception):
    """The configuration cannot be used. The text has one line for each complaint."""

    def __init__(self, complaints: list[Complaint]) -> None:
        super().__init__("\n".join(map(str, complaints)))
        self.complaints = complaints


class StartError(Exception):
    """The program cannot start, or a command cannot do its work. The text is one sentence for a person.

    `exit_code` is the exit code of the process: 1, or 2 if this version of the program cannot use its input.
    """

    exit_code = 1
