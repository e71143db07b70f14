"""What the simulators have in common: a record of each message on the wire, and the exception for a refusal."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

Payload: TypeAlias = dict[str, Any]
"""The fields of one message, named as on the wire."""

Behaviour: TypeAlias = Callable[[Payload], Payload | Awaitable[Payload]]
"""What a party does with a request: gives the answer's payload, or raises Refused."""

Party: TypeAlias = Literal["charge_point", "central_system"]
Direction: TypeAlias = Literal["sent", "received"]
Kind: TypeAlias = Literal["call", "result", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireMessage:
    """One message as `party` sent or received it. An answer has the action and the unique id of its Call."""

    direction: Direction
    party: Party
    text: str
    action: str
    unique_id: str
    kind: Kind
    at: float = field(default_factory=time.perf_counter)
    elapsed: float | None = None
    """Seconds from our Call to this answer to it; None for everything else."""


Observer: TypeAlias = Callable[[WireMessage], None]


class Refused(Exception):
    """A Call was answered with a CALLERROR or a SOAP Fault; or, raised by a behaviour, is to be answered so.

    JSON: `code`, `description` and `details` are those of the CALLERROR.
    SOAP: `code` is Sender or Receiver, `subcode` the local name of the Subcode, `description` the Reason, `details` the
    children of the Detail by local name; of a received Fault, `http_status` and the whole `body` as well. An HTTP error
    without a Fault in it has the code HTTP.
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
    """The current time as OCPP writes it: UTC, milliseconds, Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def answer_of(behaviour: Behaviour, payload: Payload) -> Payload:
    """What `behaviour` answers, be it an ordinary function or a coroutine function."""
    answer = behaviour(payload)
    return await answer if inspect.isawaitable(answer) else answer
