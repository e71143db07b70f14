"""The record of a message on the wire, and the exception for a refusal, which all simulators use."""

from __future__ import annotations

import base64
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

Payload: TypeAlias = dict[str, Any]
"""The fields of one message, named as on the wire."""

Behaviour: TypeAlias = Callable[[Payload], Payload | Awaitable[Payload]]
"""Carries out a request: takes its payload and returns the answer's payload, or raises Refused."""

Party: TypeAlias = Literal["charge_point", "central_system"]
Direction: TypeAlias = Literal["sent", "received"]
Kind: TypeAlias = Literal["call", "result", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireMessage:
    """A message that `party` sent or received. An answer has the action and the unique id of its Call."""

    direction: Direction
    party: Party
    text: str
    action: str
    unique_id: str
    kind: Kind
    at: float = field(default_factory=time.perf_counter)
    elapsed: float | None = None
    """The seconds from a Call of `party` to this answer; None for any other message."""


Observer: TypeAlias = Callable[[WireMessage], None]


class CallRefused(Exception):
    """A Call was answered with a CALLERROR or a SOAP Fault. A behaviour raises Refused to answer so.

    JSON: `code`, `description` and `details` are those of the CALLERROR.
    SOAP: `code` is Sender or Receiver, `subcode` the local name of the Subcode, `description` the Reason. `details` are
    the children of the Detail by local name. A received Fault also has the `http_status` and the whole `body`.
    The code of an HTTP error without a Fault is HTTP.
    """

    def __init__(
        self,
        code: str,
        description: str = "",
        details: Mapping[str, Any] | None = None,
        *,
        subcode: str = "",
        http_status: int = 0,
        body: str = "",
    ) -> None:
        super().__init__(code, subcode, description)
        self.code = code
        self.description = description
        self.details: Payload = dict(details or {})
        self.subcode = subcode
        self.http_status = http_status
        self.body = body

    def __str__(self) -> str:
        name = f"{self.code}/{self.subcode}" if self.subcode else self.code
        return f"{name}: {self.description}" if self.description else name


def now() -> str:
    """Return the current time in the form of OCPP: UTC, milliseconds, Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def basic_authorization(identity: str, password: bytes | None) -> dict[str, str]:
    """Return the header for HTTP Basic (RFC 7617) with the identity as the user; no header without a password."""
    if password is None:
        return {}
    credentials = base64.b64encode(identity.encode() + b":" + password)
    return {"Authorization": f"Basic {credentials.decode()}"}


async def answer_of(behaviour: Behaviour, payload: Payload) -> Payload:
    """Return the answer of `behaviour`, which is an ordinary function or a coroutine function."""
    answer = behaviour(payload)
    return await answer if inspect.isawaitable(answer) else answer
