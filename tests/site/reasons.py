"""The reasons of refusals and of link failures, made from `bridge.watching.explaining` and `bridge.ocpp.rpc`."""

from __future__ import annotations

from bridge.errors import Why
from bridge.ocpp.rpc import Failure
from bridge.watching.explaining import ADVICE
from tests.site.markdown import code, table

# What each link failure is. `docs/delivery.md` says what the Charge Point gets.
FAILURES: dict[Failure, str] = {
    Failure.UNREACHABLE: "No connection could be opened, or the answer was HTTP 502, 503 or 504.",
    Failure.OVERLOADED: "The answer was HTTP 408, 425 or 429.",
    Failure.MISCONFIGURED: "The answer was another HTTP refusal, a redirection, or not of the service. Check the URL.",
    Failure.MALFORMED_ANSWER: "The answer could not be read, or lacks a required part.",
    Failure.FOREIGN_ANSWER: "The answer names another message in RelatesTo.",
    Failure.TIMEOUT: "No answer came within `gateway.call_timeout`.",
    Failure.CONNECTION_LOST: "The connection ended before the answer.",
    Failure.NOT_BOOTED: "The Central System wants a BootNotification first, or has not accepted it.",
    Failure.REFUSED_HERE: "The bridge is busy or shuts down.",
}


def refusals() -> str:
    """Return a table with each reason of a refusal and what to do about it."""
    return table(("reason", "what to do"), [(code(why.value), ADVICE[why]) for why in Why])


def failures() -> str:
    """Return a table with each reason of a link failure."""
    return table(("reason", "meaning"), [(code(failure.value), FAILURES[failure]) for failure in Failure])
