"""What the log says of the traffic: one line per message, never a credential, payloads only at debug."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from bridge import logs
from bridge.core.commands import Drop, Outcome, Report
from bridge.errors import BridgeError, Why
from bridge.observing import Observer
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.manners import Boot, Manners
from bridge.ocpp.messages import ChangeConfigurationRequest, GetConfigurationResponse, Request, Response
from bridge.ocpp.rpc import Answer, CallError, CallResult, Unanswered, UnopenedRequest, UnopenedResponse
from bridge.ocpp.types import KeyValue

K = TypeVar("K", ChangeConfigurationRequest, KeyValue)

_log = logging.getLogger("bridge.traffic")
_encoder = msgspec.json.Encoder(decimal_format="number")
# ftp://user:password@host (OCPP 1.6 edition 2, section 8)
_URL_PASSWORD = re.compile(r"(://[^/@:\s\"]*:)[^/\s\"]*@")
# The configuration keys that hold a credential: AuthorizationKey (OCPP-J 1.6 section 6.2.2; white paper A01.FR.09), and
# what vendors call theirs.
_SECRET_KEY = re.compile(r"authorizationkey|passw|passphrase|secret", re.IGNORECASE)


class Journal(Observer):
    """The log of the traffic, on the logger `bridge.traffic`."""

    def exchanged(self, identity: str, report: Report) -> None:
        """A Call has ended: its one line."""
        level = logging.INFO if report.outcome is Outcome.RESULT else logging.WARNING
        if not _log.isEnabledFor(level):
            return
        values: dict[str, Any] = {
            "identity": identity,
            "action": report.call.action,
            "from": report.sender.value,
            "id": report.call.unique_id,
            "hop_id": report.hop_id,
            "outcome": report.outcome.value,
            "ms": round((report.ended - report.arrived) * 1000, 1),
            "reason": _reason(report.answer),
        }
        if _log.isEnabledFor(logging.DEBUG):
            values["request"] = payload(report.call.payload)
            values["response"] = payload(report.answer.payload) if isinstance(report.answer, CallResult) else None
        _say(level, "call", **values)
        self.lost(identity, report.call.losses)
        if isinstance(report.answer, CallResult):
            self.lost(identity, report.answer.losses)

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
        said = {"identity": identity, "peer": sender, "id": unique_id, "code": error.code.value}
        _say(logging.WARNING, "refused", **said, reason=error.description)
        if data and _log.isEnabledFor(logging.DEBUG):
            _say(logging.DEBUG, "unreadable", peer=sender, octets=len(data), begins=_raw(data[:500]))

    def handshake_refused(self, identity: str | None, peer: str, status: int, reason: str, why: Why) -> None:
        """A WebSocket was not let in."""
        _say(logging.WARNING, "handshake refused", identity=identity, peer=peer, reason=f"HTTP {status}: {reason}")

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
    return _without_password(_encoder.encode(message).decode())


def _veiled(setting: K) -> K:
    return msgspec.structs.replace(setting, value="***") if _SECRET_KEY.search(setting.key) else setting


def _without_password(text: str) -> str:
    return _URL_PASSWORD.sub(r"\1***@", text)


def _say(level: int, message: str, /, **values: object) -> None:
    """Whatever a value is, and whoever wrote it: no password of an address gets into the log."""
    safe = {name: _without_password(value) if isinstance(value, str) else value for name, value in values.items()}
    logs.fields(_log, level, message, **safe)


def _raw(data: bytes) -> str:
    """A payload that is only passed on: shown as it is, or not at all if it may hold a credential."""
    text = data.decode("utf-8", "replace")
    plain = _unescaped(data) if "\\" in text else text
    # What JSON's escapes hide from the pattern cannot be cut out of the text as it is written.
    hidden = len(_URL_PASSWORD.findall(plain)) > len(_URL_PASSWORD.findall(text))
    if hidden or _SECRET_KEY.search(plain) or _SECRET_KEY.search(text):
        return "*** (it names a credential)"
    return _without_password(text)


def _unescaped(data: bytes) -> str:
    """JSON without its escapes, as far as it can be read."""
    try:
        return _encoder.encode(msgspec.json.decode(data)).decode()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return data.decode("utf-8", "replace")
