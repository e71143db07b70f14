"""What a sign-in ends with: an operator, or the reason of a refusal."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

from msgspec import Struct

OperatorRole = Literal["read", "operate"]


class Identified(Struct, frozen=True, kw_only=True):
    """An operator whom the provider has identified.

    Attributes:
        subject: The identifier that the provider never gives to anybody else.
        name: The name for the audit, printable and bounded.
        role: The role, None if no claim gives one.
        lacks: Why there is no role, for the log; "" with a role.
    """

    subject: str
    name: str
    role: OperatorRole | None
    lacks: str = ""


class SignInRefused(Exception):
    """A sign-in is refused.

    Args:
        reason: A sentence for the browser and the log. It holds nothing that a stranger chose.
        status: The HTTP status of the page.
        detail: More for the log. It holds no secret.
    """

    def __init__(self, reason: str, status: HTTPStatus = HTTPStatus.FORBIDDEN, detail: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.detail = detail


class ProviderFailed(SignInRefused):
    """The provider does not answer, or its answer cannot be used."""

    def __init__(self, reason: str, detail: str | None = None) -> None:
        super().__init__(reason, HTTPStatus.BAD_GATEWAY, detail)
