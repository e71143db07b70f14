"""What the log says of the traffic: one line per message, never a credential, payloads only at debug."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from bridge import logs, masking
from bridge.core.commands import Drop, Outcome, Report
from bridge.errors import BridgeError, Why
from bridge.limits.gate import Gate
from bridge.lines import Sentence
from bridge.observing import Observer
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.manners import Boot, Manners
from bridge.ocpp.messages import ChangeConfigurationRequest, GetConfigurationResponse, Request, Response
from bridge.ocpp.rpc import Answer, CallError, CallResult, Unanswered, UnopenedRequest, UnopenedResponse
from bridge.ocpp.types import KeyValue

K = TypeVar("K", ChangeConfigurationRequest, KeyValue)

_log = logging.getLogger("bridge.traffic")
# Of a Call that ended as it should.
_CALL = Sentence(
    logging.INFO, "call", ("identity", "action", "from", "id", "hop_id", "outcome"), "ms", masking.without_password
)
# RFC 6455 section 7.4.2: below it there are none, and HTTP has its own.
_FIRST_CLOSE_CODE = 1000
_encoder = msgspec.json.Encoder(decimal_format="number")
# What only a Charge Point that was let in is refused for: it is the source, whatever address it shares with others.
# Who names himself as he likes is known by his address alone.
_OF_THE_ADMITTED = frozenset(
    {Why.INVALID, Why.NOT_SUPPORTED, Why.TOO_MANY_MESSAGES, Why.BUSY, Why.UNAVAILABLE, Why.FAILED}
)


class Journal(Observer):
    """The log of the traffic, on the logger `bridge.traffic`. `clock` gives seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._gate = Gate(clock)

    def exchanged(self, identity: str, report: Report) -> None:
        """A Call has ended: its one line."""
        level = logging.INFO if report.outcome is Outcome.RESULT else logging.WARNING
        if not _log.isEnabledFor(level):
            return
        call, answer = report.call, report.answer
        ms = round((report.ended - report.arrived) * 1000, 1)
        if level == logging.WARNING or not _told_plainly(identity, report, ms):
            _tell(level, "call", _all_of(identity, report, ms))
        if call.losses:
            self.lost(identity, call.losses)
        if isinstance(answer, CallResult) and answer.losses:
            self.lost(identity, answer.losses)

    def lost(self, identity: str, losses: Sequence[Loss]) -> None:
        """What a translation cost."""
        for loss in losses:
            _say(logging.INFO, "loss", identity=identity, field=loss.where, reason=loss.reason.value)

    def dropped(self, identity: str, drop: Drop) -> None:
        """An answer goes nowhere."""
        _say(
            logging.WARNING,
            "answer dropped",
            identity=identity,
            **{"from": drop.party.value},
            hop_id=drop.unique_id,
            reason=drop.reason,
        )

    def refused(
        self,
        identity: str | None,
        peer: str | None,
        error: BridgeError,
        unique_id: str | None = None,
        by: Party | None = None,
        data: bytes = b"",
    ) -> None:
        """A message was turned away before it became a Call. Of bytes that are no envelope the beginning is shown, for
        who wonders what it is (quirk 21)."""
        sender = by.value if peer is None and by is not None else peer
        self._refused(identity, sender, error, unique_id, by)
        if data and _log.isEnabledFor(logging.DEBUG):
            _say(logging.DEBUG, "unreadable", peer=sender, octets=len(data), begins=_raw(data[:500]))

    def turned_away(self, peer: str, error: BridgeError, times: int) -> None:
        """Requests were turned away unread."""
        self._refused(None, peer, error, times=times)

    def _refused(
        self,
        identity: str | None,
        sender: str | None,
        error: BridgeError,
        unique_id: str | None = None,
        by: Party | None = None,
        times: int = 1,
    ) -> None:
        if (more := self._due(identity, sender, error.why, by, times)) is not None:
            said = {"identity": identity, "peer": sender, "id": unique_id, "code": error.code.value}
            _say(logging.WARNING, "refused", **said, reason=error.description, why=error.why.value, **more)

    def handshake_refused(self, identity: str | None, peer: str, status: int, reason: str, why: Why) -> None:
        """A WebSocket was not let in, or hung up on for what it did."""
        what, code = ("hung up on", "close") if status >= _FIRST_CLOSE_CODE else ("handshake refused", "HTTP")
        if (more := self._due(identity, peer, why)) is not None:
            said = {"identity": identity, "peer": peer, "reason": f"{code} {status}: {reason}", "why": why.value}
            _say(logging.WARNING, what, **said, **more)

    def _due(
        self, identity: str | None, peer: str | None, why: Why, by: Party | None = None, times: int = 1
    ) -> dict[str, int] | None:
        """What a line about a refusal says of those that had none; None if this one has none either, since there was
        one for its source and reason within the last minute. At debug every one has its line."""
        known = identity is not None and why in _OF_THE_ADMITTED
        held = self._gate.passes((identity if known else peer, by, why), times)
        if held is None:
            return {} if _log.isEnabledFor(logging.DEBUG) else None
        return {"held_back": held} if held else {}

    def link_up(self, identity: str, party: Party, central_system: str) -> None:
        """The way to a party is open."""
        values = {"identity": identity, "to": party.value, "central_system": central_system}
        _say(logging.INFO, "link up", **values)

    def link_down(self, identity: str, party: Party, central_system: str, reason: str) -> None:
        """The way to a party was lost, or could not be opened."""
        values = {"identity": identity, "to": party.value, "central_system": central_system, "reason": reason}
        _say(logging.WARNING, "link down", **values)

    def link_closed(self, identity: str, party: Party, central_system: str, reason: str) -> None:
        """A connection was closed from here."""
        _say(logging.INFO, "link closed", identity=identity, to=party.value, reason=reason)

    def callback_refused(self, identity: str, reason: str) -> None:
        """A Charge Point gave an address to call it back that must not be used."""
        _say(logging.WARNING, "callback address refused", identity=identity, reason=reason)

    def treated(self, identity: str, boot: Boot, manners: Manners) -> None:
        """A quirk pack fits a Charge Point, or none any more."""
        defaults = Manners()
        names = (name for name in Manners.__struct_fields__ if getattr(manners, name) != getattr(defaults, name))
        differs = ",".join(f"{name}={getattr(manners, name)}" for name in names)
        said = {"vendor": boot.vendor, "model": boot.model, "firmware": boot.firmware}
        _say(logging.INFO, "treated", identity=identity, **said, manners=differs or "as all")


def _told_plainly(identity: str, report: Report, ms: float) -> bool:
    """Whether the line is said that most Calls have which end as they should."""
    if report.hop_id is None or _log.isEnabledFor(logging.DEBUG):
        return False
    call = report.call
    texts = (identity, call.action, report.sender, call.unique_id, report.hop_id, report.outcome)
    return logs.said(_log, _CALL, texts, ms)


def _all_of(identity: str, report: Report, ms: float) -> dict[str, Any]:
    call, answer = report.call, report.answer
    values: dict[str, Any] = {
        "identity": identity,
        "action": call.action,
        "from": report.sender,
        "id": call.unique_id,
        "hop_id": report.hop_id,
        "outcome": report.outcome,
        "ms": ms,
        "reason": None if report.outcome is Outcome.RESULT else _reason(answer),
    }
    if _log.isEnabledFor(logging.DEBUG):
        values["request"] = payload(call.payload)
        values["response"] = payload(answer.payload) if isinstance(answer, CallResult) else None
    return values


def _reason(answer: Answer | None) -> str | None:
    match answer:
        case CallError(code=code, description=description):
            return f"{code}: {description}" if description else code
        case Unanswered(reason=reason):
            return reason
    return None


def payload(message: Request | Response) -> str:
    """A payload as JSON, without what must not be in a log."""
    match message:
        case UnopenedRequest(raw=raw) | UnopenedResponse(raw=raw):
            return _raw(bytes(raw))
        case ChangeConfigurationRequest():
            message = _veiled(message)
        case GetConfigurationResponse(configurationKey=tuple(keys)):
            message = msgspec.structs.replace(message, configurationKey=tuple(map(_veiled, keys)))
    return masking.without_password(_encoder.encode(message).decode())


def _veiled(setting: K) -> K:
    return msgspec.structs.replace(setting, value=masking.MASK) if masking.is_secret(setting.key) else setting


def _say(level: int, message: str, /, **values: object) -> None:
    if _log.isEnabledFor(level):
        _tell(level, message, values)


def _tell(level: int, message: str, values: dict[str, object]) -> None:
    """Whatever a value is, and whoever wrote it: no password of an address gets into the log."""
    # All of them at once, since most have none; an address does not go on behind the end of a line.
    text = "\n".join([value for value in values.values() if isinstance(value, str)])
    if masking.without_password(text) != text:
        for name, value in values.items():
            values[name] = masking.without_password(value) if isinstance(value, str) else value
    logs.event(_log, level, message, values)


def _raw(data: bytes) -> str:
    """A payload that is only passed on: shown as it is, or not at all if it may hold a credential."""
    if masking.names_credential(data):
        return masking.HIDDEN
    return masking.without_password(data.decode("utf-8", "replace"))
