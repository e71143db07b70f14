"""The log of the traffic: one line per message, never a credential, payloads only at debug."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from bridge.core.commands import Outcome, Report
from bridge.errors import ErrorCode, Why
from bridge.ocpp.actions import Party
from bridge.ocpp.device_profile import Boot, DeviceProfile
from bridge.ocpp.losses import Loss
from bridge.ocpp.messages import ChangeConfigurationRequest, GetConfigurationResponse, Request, Response
from bridge.ocpp.rpc import Answer, CallError, CallResult, Unanswered, UnopenedRequest, UnopenedResponse
from bridge.ocpp.types import KeyValue
from bridge.watching import logs, masking
from bridge.watching.facts import (
    AnswerDropped,
    CallbackRefused,
    CallEnded,
    ContentLost,
    Fact,
    HandshakeRefused,
    LinkClosed,
    LinkLost,
    LinkOpened,
    MessageRefused,
    ProfileApplied,
    ProxyFieldsIgnored,
    RequestsUnread,
    ShadowAnswered,
)
from bridge.watching.lines import Sentence
from bridge.watching.repeat_limiter import RepeatLimiter

K = TypeVar("K", ChangeConfigurationRequest, KeyValue)

_log = logging.getLogger("bridge.traffic")
# The line of a Call that ended with a CallResult.
_CALL = Sentence(
    logging.INFO, "call", ("identity", "action", "from", "id", "hop_id", "outcome"), "ms", masking.without_password
)
# The share of the lines about Calls with a result that "sampled" writes.
_SAMPLED = 0.01
# RFC 6455 section 7.4.2: no close code is below 1000. A lower number is an HTTP status.
_FIRST_CLOSE_CODE = 1000
# The most characters of the names of fields, which a shadow may invent.
_LONGEST = 200
_encoder = msgspec.json.Encoder(decimal_format="number")
# Reasons for refusing a message of a Charge Point that was admitted. Such refusals are counted per Charge Point, which
# may share its address with others. For other reasons the identity may be invented, so the address counts alone.
_OF_THE_ADMITTED = frozenset(
    {Why.INVALID, Why.NOT_SUPPORTED, Why.TOO_MANY_MESSAGES, Why.BUSY, Why.UNAVAILABLE, Why.FAILED}
)


class TrafficLog:
    """The log of the traffic, on the logger `bridge.traffic`.

    Args:
        clock: Returns seconds on a monotonic clock.
        calls: Which Calls that ended with a result have a line, and which losses: `all`, none with `errors`, or one in
            a hundred with `sampled`. A Call that ended otherwise always has its line.
        chance: Returns a random number in [0, 1).
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        calls: Literal["all", "errors", "sampled"] = "all",
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._share = {"all": 1.0, "errors": 0.0, "sampled": _SAMPLED}[calls]
        self._chance = chance
        self._gate = RepeatLimiter(clock)

    def see(self, fact: Fact) -> None:
        """Write the line of a fact, if it has one."""
        match fact:
            case CallEnded(identity, report, central_system):
                self._ended(identity, report, central_system)
            case ContentLost(identity, losses, central_system):
                if self._has_line():
                    self._lost(identity, losses, central_system)
            case AnswerDropped(identity, drop):
                said = {"from": drop.party.value, "hop_id": drop.unique_id, "reason": drop.reason}
                _say(logging.WARNING, "answer dropped", identity=identity, **said)
            case MessageRefused():
                self._message_refused(fact)
            case RequestsUnread(peer, code, reason, why, times, identity):
                self._refused(identity, peer, code, reason, why, times=times)
            case HandshakeRefused():
                self._handshake_refused(fact)
            case ProxyFieldsIgnored(peer, fields):
                self._ignored(peer, fields)
            case CallbackRefused(identity, reason):
                _say(logging.WARNING, "callback address refused", identity=identity, reason=reason)
            case ShadowAnswered() if fact.differences:
                self._answered_otherwise(fact)
            case ProfileApplied(identity, boot, profile):
                _applied(identity, boot, profile)
            case _:
                _linked(fact)

    def _ended(self, identity: str, report: Report, central_system: str) -> None:
        """Write the one line of a Call."""
        if report.failed is not None and report.failed.evidence:
            self._link_failed(identity, report.sender.other, report.failed, central_system)
        level = logging.INFO if report.outcome is Outcome.RESULT else logging.WARNING
        if not _log.isEnabledFor(level) or (level == logging.INFO and not self._has_line()):
            return
        call, answer = report.call, report.answer
        ms = round((report.ended - report.arrived) * 1000, 1)
        if level == logging.WARNING or not _told_plainly(identity, report, ms):
            _tell(level, "call", _all_of(identity, report, ms))
        if call.losses:
            self._lost(identity, call.losses, central_system)
        if isinstance(answer, CallResult) and answer.losses:
            self._lost(identity, answer.losses, central_system)

    def _has_line(self) -> bool:
        """Return whether a Call with a result, or a loss, has a line."""
        return self._share == 1.0 or (self._share > 0.0 and self._chance() < self._share)

    def _link_failed(self, identity: str, party: Party, failed: Unanswered, central_system: str) -> None:
        """Write that the response to a POST to `party` is no verdict.

        There is one line a minute for each kind of failure of each Central System, and of each Charge Point that gets
        POSTs.
        """
        name = central_system if party is Party.CENTRAL_SYSTEM else None
        held = self._gate.passes(("link failure", name or identity, party, failed.failure))
        if held is None:
            return
        _say(
            logging.WARNING,
            "link failure",
            identity=identity,
            to=party.value,
            central_system=name,
            failure=failed.failure.value,
            reason=failed.reason,
            begins=_raw(failed.evidence.encode()),
            **({"held_back": held} if held else {}),
        )

    def _lost(self, identity: str, losses: Sequence[Loss], central_system: str) -> None:
        """Write the losses in the translation of a message, all in one line."""
        if not losses:
            return
        first, *others = losses
        said: dict[str, object] = {"identity": identity, "field": first.where, "reason": first.reason.value}
        if first.count > 1:
            said["times"] = first.count
        if others:
            said["more"] = "; ".join(map(str, others))
        if central_system:
            said["central_system"] = central_system
        _say(logging.INFO, "loss", **said)

    def _message_refused(self, fact: MessageRefused) -> None:
        """Write that a message was refused. At debug, also show the first octets of an unreadable one (quirk 21)."""
        sender = fact.by.value if fact.peer is None and fact.by is not None else fact.peer
        self._refused(fact.identity, sender, fact.code, fact.reason, fact.why, fact.unique_id, fact.by)
        if fact.data and _log.isEnabledFor(logging.DEBUG):
            _say(logging.DEBUG, "unreadable", peer=sender, octets=len(fact.data), begins=_raw(fact.data[:500]))

    def _refused(
        self,
        identity: str | None,
        sender: str | None,
        code: ErrorCode,
        reason: str,
        why: Why,
        unique_id: str | None = None,
        by: Party | None = None,
        times: int = 1,
    ) -> None:
        if (more := self._due(identity, sender, why, reason, by, times)) is not None:
            said = {"identity": identity, "peer": sender, "id": unique_id, "code": code.value}
            _say(logging.WARNING, "refused", **said, reason=reason, why=why.value, **more)

    def _handshake_refused(self, fact: HandshakeRefused) -> None:
        closed = fact.status >= _FIRST_CLOSE_CODE
        what, code = ("hung up on", "close") if closed else ("handshake refused", "HTTP")
        if (more := self._due(fact.identity, fact.peer, fact.why, fact.reason)) is not None:
            reason = f"{code} {fact.status}: {fact.reason}"
            said = {"identity": fact.identity, "peer": fact.peer, "reason": reason, "why": fact.why.value}
            _say(logging.WARNING, what, **said, **more)

    def _ignored(self, peer: str, fields: str) -> None:
        """Write, once a minute for each address, that proxy fields of a peer that is no trusted proxy were ignored."""
        if (held := self._gate.passes((peer, fields))) is not None:
            reason = "only who is in `proxies` of the listener speaks for others"
            _say(logging.INFO, "ignored", peer=peer, fields=fields, reason=reason, held_back=held or None)

    def _answered_otherwise(self, fact: ShadowAnswered) -> None:
        """Write that a shadow answered otherwise than the main Central System. At debug, also write both answers.

        There is one line a minute for each action and field of each shadow; at debug there are all.
        """
        debug = _log.isEnabledFor(logging.DEBUG)
        fields = ",".join(dict.fromkeys(difference.field or "answer" for difference in fact.differences))[:_LONGEST]
        held = self._gate.passes(("shadow", fact.central_system, fact.action, fields))
        if held is None and not debug:
            return
        said: dict[str, object] = {
            "identity": fact.identity,
            "central_system": fact.central_system,
            "action": fact.action,
            "fields": fields,
        }
        if debug:
            said |= {"main": _answer(fact.main), "shadow": _answer(fact.shadow)}
        _say(logging.INFO, "answered otherwise", **said, **({"held_back": held} if held else {}))

    def _due(
        self, identity: str | None, peer: str | None, why: Why, text: str, by: Party | None = None, times: int = 1
    ) -> dict[str, int] | None:
        """Return the values that a line about a refusal adds for earlier refusals without a line.

        Returns: None if this refusal gets no line, because its source and reason had one within the last minute. At
        debug every refusal has its line.
        """
        known = identity is not None and why in _OF_THE_ADMITTED
        port = text if why is Why.TLS else ""  # the text names the port, so that each port has its own line
        held = self._gate.passes((identity if known else peer, by, why, port), times)
        if held is None:
            return {} if _log.isEnabledFor(logging.DEBUG) else None
        return {"held_back": held} if held else {}


def _linked(fact: Fact) -> None:
    """Write the line of a link that has opened or ended."""
    match fact:
        case LinkOpened(identity, party, central_system):
            _say(logging.INFO, "link up", identity=identity, to=party.value, central_system=central_system)
        case LinkLost(identity, party, central_system, reason):
            said = {"to": party.value, "central_system": central_system, "reason": reason}
            _say(logging.WARNING, "link down", identity=identity, **said)
        case LinkClosed(identity, party, _, reason):
            _say(logging.INFO, "link closed", identity=identity, to=party.value, reason=reason)


def _applied(identity: str, boot: Boot, profile: DeviceProfile) -> None:
    """Write how the quirk packs that match a Charge Point differ from the defaults."""
    defaults = DeviceProfile()
    names = (name for name in DeviceProfile.__struct_fields__ if getattr(profile, name) != getattr(defaults, name))
    differs = ",".join(f"{name}={getattr(profile, name)}" for name in names)
    said = {"vendor": boot.vendor, "model": boot.model, "firmware": boot.firmware}
    _say(logging.INFO, "treated", identity=identity, **said, profile=differs or "as all")


def _told_plainly(identity: str, report: Report, ms: float) -> bool:
    """Write the plain line of a Call that ended with a CallResult, if it has one. Return whether it was written."""
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


def _answer(answer: CallResult | CallError) -> str | None:
    return payload(answer.payload) if isinstance(answer, CallResult) else _reason(answer)


def payload(message: Request | Response) -> str:
    """Return a payload as JSON, without credentials."""
    match message:
        case UnopenedRequest(raw=raw) | UnopenedResponse(raw=raw):
            return _raw(bytes(raw))
        case ChangeConfigurationRequest():
            message = _veiled(message)
        case GetConfigurationResponse(configurationKey=tuple(keys)):
            message = msgspec.structs.replace(message, configurationKey=tuple(map(_veiled, keys)))
    return masking.masked(_encoder.encode(message), id_tags=False).decode("utf-8", "replace")


def _veiled(setting: K) -> K:
    return msgspec.structs.replace(setting, value=masking.MASK) if masking.is_secret(setting.key) else setting


def _say(level: int, message: str, /, **values: object) -> None:
    if _log.isEnabledFor(level):
        _tell(level, message, values)


def _tell(level: int, message: str, values: dict[str, object]) -> None:
    """Write a line, without the passwords of addresses in any value."""
    # All values are checked at once, because most have no password. No address matches across the line ends between.
    text = "\n".join([value for value in values.values() if isinstance(value, str)])
    if masking.without_password(text) != text:
        for name, value in values.items():
            values[name] = masking.without_password(value) if isinstance(value, str) else value
    logs.event(_log, level, message, values)


def _raw(data: bytes) -> str:
    """Return a payload that is passed on unread as a text; a mask in its place if it may hold a credential."""
    if masking.names_credential(data):
        return masking.HIDDEN
    return masking.without_password(data.decode("utf-8", "replace"))
