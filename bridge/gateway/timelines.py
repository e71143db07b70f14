"""What happened at one Charge Point, from three sources: recorded messages, stored transactions, and known changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from math import isfinite
from typing import Any

from bridge.admin.facts import moment
from bridge.admin.timeline import MeterSeries, MeterValuesFact, Moment, TimelineFact
from bridge.admin.transactions import TransactionFact, TransactionFilter
from bridge.gateway.change_history import Change, ChangeHistory
from bridge.gateway.transaction_views import TransactionViews
from bridge.gateway.views import SessionViews
from bridge.ocpp.enums import Measurand, UnitOfMeasure
from bridge.ocpp.tenants import identity_of, tenant_of, without_tenants
from bridge.recorder import CallRecord, MessageFilter, Recorder

_SAID = ("BootNotification", "StatusNotification", "StartTransaction", "StopTransaction")
# The points of all series together.
_MOST_POINTS = 20_000
# An item, and its time in unix seconds.
_Timed = tuple[float, Moment]


class TimelineViews:
    """Implements `bridge.admin.timeline.Timelines`.

    Args:
        overview: Knows the Charge Points.
        recorder: Has the messages.
        transactions: Has the transactions.
        changes: Has the changes of connections, states and routes.
    """

    def __init__(
        self, overview: SessionViews, recorder: Recorder, transactions: TransactionViews, changes: ChangeHistory
    ) -> None:
        self._overview = overview
        self._recorder = recorder
        self._transactions = transactions
        self._changes = changes

    async def timeline(self, identity: str, limit: int) -> TimelineFact:
        """Return the newest items of the timeline. Raises RequestRefused (404) for an unknown Charge Point.

        Args:
            identity: The Charge Point.
            limit: The most items.
        """
        identity = self._overview.known(identity).identity
        calls = await self._recorder.calls(MessageFilter(identity=identity, actions=_SAID, sender="charge_point"), 1000)
        of_it = TransactionFilter(identity=_literal(identity_of(identity)))
        transactions = (await self._transactions.page(of_it, None, limit, tenant=tenant_of(identity))).items
        items = [*_of_changes(self._changes.of(identity)), *_of_messages(calls), *_of_transactions(transactions, calls)]
        items.sort(key=lambda item: item[0])
        return TimelineFact(items=[item for _, item in reversed(items)][:limit])

    async def meter_values(self, identity: str, limit: int) -> MeterValuesFact:
        """Return the meter values in the newest messages. Raises RequestRefused (404) for an unknown Charge Point.

        Args:
            identity: The Charge Point.
            limit: The most messages.
        """
        identity = self._overview.known(identity).identity
        return MeterValuesFact(
            series=series_of(
                await self._recorder.calls(MessageFilter(identity=identity, actions=("MeterValues",)), limit)
            )
        )


def _literal(identity: str) -> str:
    """Return a glob that only `identity` fits."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in identity)


def _of_changes(changes: Iterable[Change]) -> Iterator[_Timed]:
    for change in changes:
        yield (
            change.at,
            Moment(
                at=moment(change.at),
                kind=change.kind,
                text=without_tenants(change.text),
                party=None if change.party is None else change.party.value,
                times=change.times,
                since=None if change.since is None else moment(change.since),
            ),
        )


def _of_messages(calls: list[CallRecord]) -> Iterator[_Timed]:
    """Yield the boots, and each status that differs from the one before on its connector."""
    last: dict[object, tuple[object, object]] = {}
    for call in reversed(calls):
        request = call.request if isinstance(call.request, dict) else {}
        if call.action == "BootNotification":
            answer = call.response.get("status") if isinstance(call.response, dict) else None
            yield call.at, Moment(at=moment(call.at), kind="boot", text=str(answer or call.outcome), message=call.id)
        elif call.action == "StatusNotification":
            connector, code = request.get("connectorId"), request.get("errorCode")
            now = (request.get("status"), code)
            if last.get(connector) == now:
                continue
            last[connector] = now
            yield (
                call.at,
                Moment(
                    at=moment(call.at),
                    kind="status",
                    text=_status(request),
                    connector=connector if isinstance(connector, int) else None,
                    message=call.id,
                ),
            )


def _status(request: dict[str, Any]) -> str:
    """Return the status in a StatusNotification, with the error if there is one."""
    status, code = str(request.get("status")), request.get("errorCode")
    if code in (None, "NoError"):
        return status
    more = ", ".join(str(request[name]) for name in ("vendorErrorCode", "info") if request.get(name))
    return f"{status}: {code} ({more})" if more else f"{status}: {code}"


def _of_transactions(transactions: list[TransactionFact], calls: list[CallRecord]) -> Iterator[_Timed]:
    """Yield the start and the end of each. The time is that of the message if it is recorded, else the device's."""
    starts, stops = _numbered(calls, "StartTransaction"), _numbered(calls, "StopTransaction")
    for one in transactions:
        number = one.transaction_id
        start, stop = starts.get(number), stops.get(number)
        at = one.started if start is None else moment(start.at)
        message = None if start is None else start.id
        yield (
            (_seconds(at) or 0.0) if start is None else start.at,
            Moment(
                at=at,
                kind="transaction_started",
                text=f"at {one.central_system}",
                connector=one.connector,
                transaction_id=number,
                message=message,
            ),
        )
        if one.stopped is None:
            continue
        at = one.stopped if stop is None else moment(stop.at)
        yield (
            (_seconds(at) or 0.0) if stop is None else stop.at,
            Moment(
                at=at,
                kind="transaction_ended",
                text=one.reason or "",
                connector=one.connector,
                transaction_id=number,
                energy=one.energy,
                message=None if stop is None else stop.id,
            ),
        )


def _numbered(calls: list[CallRecord], action: str) -> dict[object, CallRecord]:
    """Return the newest Call of an action for each transactionId, which a StartTransaction has in its answer."""
    found: dict[object, CallRecord] = {}
    for call in reversed(calls):
        told = call.response if action == "StartTransaction" else call.request
        if call.action == action and isinstance(told, dict):
            found[told.get("transactionId")] = call
    return found


def series_of(calls: Iterable[CallRecord]) -> list[MeterSeries]:
    """Return the meter values in MeterValues messages, by connector and measurand.

    Args:
        calls: The messages, the newest first. Values that are no numbers are left out.
    """
    found: dict[tuple[int, str, str, str, str], dict[float, float]] = {}
    points = 0
    for connector, at, sample in _samples(calls):
        value = _number(sample.get("value"))
        if value is None or points >= _MOST_POINTS:
            continue
        measurand = str(sample.get("measurand") or Measurand.EnergyActiveImportRegister.value)
        unit = str(sample.get("unit") or (UnitOfMeasure.Wh.value if measurand.startswith("Energy") else ""))
        of = (connector, measurand, unit, str(sample.get("phase") or ""), str(sample.get("location") or ""))
        found.setdefault(of, {}).setdefault(at, value)
        points += 1
    return [
        MeterSeries(
            connector=connector,
            measurand=measurand,
            unit=unit,
            phase=phase or None,
            location=location or None,
            points=sorted(values.items()),
        )
        for (connector, measurand, unit, phase, location), values in sorted(found.items())
    ]


def _samples(calls: Iterable[CallRecord]) -> Iterator[tuple[int, float, dict[str, Any]]]:
    """Yield the connector, the time in unix seconds, and the fields of each sampled value."""
    for call in calls:
        request = call.request if isinstance(call.request, dict) else {}
        connector = request.get("connectorId")
        for group in _listed(request.get("meterValue")):
            at = _seconds(group.get("timestamp")) if isinstance(group, dict) else None
            if at is None or not isinstance(connector, int):
                continue
            for sample in _listed(group.get("sampledValue")):
                if isinstance(sample, dict):
                    yield connector, at, sample


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _seconds(value: Any) -> float | None:
    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
