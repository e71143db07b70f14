"""Give each Charge Point the Placement that it has now, and each Session the Central System of that Placement."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from bridge.config import Settings
from bridge.errors import BridgeError, Complaint, ConfigurationError, UnknownIdentity
from bridge.gateway.persistence import Persistence
from bridge.gateway.placement import Placement, Placements
from bridge.gateway.session_runner import SessionRunner
from bridge.gateway.sessions import Sessions
from bridge.gateway.stored_settings import StoredSettings
from bridge.gateway.tls_contexts import TlsContexts
from bridge.net.tasks import Background
from bridge.ocpp.tenants import takes, tenant_of
from bridge.store.records import ChargePointRecord
from bridge.watching import logs
from bridge.watching.facts import ChargePointMoved, Fact

_log = logging.getLogger("bridge.gateway")
# Charge Points that are examined before other work is served: a few milliseconds.
LOOKED_AT_ONCE = 100
# Seconds for which Sessions are resumed before other work has its time: a few Sessions, with the records of a week.
_TURN = 0.002


class Rerouting:
    """Moves and resumes Sessions as the routes, the settings of Charge Points and the operators' choices say.

    Args:
        settings: Returns the configuration.
        placements: Returns the present Placements.
        tls_contexts: The TLS settings of Central Systems.
        persistence: The records of the Charge Points.
        stored_settings: The settings of Charge Points that operators gave.
        sessions: Returns the table of Sessions.
        see: Called with each fact.
        clock: Returns the time in unix seconds.
        is_stopping: Returns whether the bridge is shutting down.
        background: Shares the event loop.
    """

    def __init__(
        self,
        *,
        settings: Callable[[], Settings],
        placements: Callable[[], Placements],
        tls_contexts: TlsContexts,
        persistence: Persistence,
        stored_settings: StoredSettings,
        sessions: Callable[[], Sessions],
        see: Callable[[Fact], None],
        clock: Callable[[], float],
        is_stopping: Callable[[], bool],
        background: Background,
    ) -> None:
        self._settings, self._placements = settings, placements
        self._tls_contexts = tls_contexts
        self._persistence, self._stored_settings = persistence, stored_settings
        self._sessions = sessions
        self._see = see
        self._clock = clock
        self._is_stopping, self._background = is_stopping, background

    def place(self) -> Placements:
        """Return the Placements for the configuration and the operators' choices. Log the choices without effect."""
        settings = self._settings()
        for identity, name in self._persistence.moved().items():
            system = settings.central_systems.get(name)
            if system is None or not takes(system.tenant, tenant_of(identity)):
                text = "moved to a Central System that is not configured any more: its route holds"
                logs.fields(_log, logging.WARNING, text, identity=identity, central_system=name)
        placements = Placements(
            settings, self._tls_contexts.of, self._persistence.moved_to, self._stored_settings.usable()
        )
        for entry in self._stored_settings:
            if (listed := placements.listed.get(entry.identity)) is not None and listed.source == "file":
                text = "the configuration file has settings of it, which hold: those that an operator gave do not"
                logs.fields(_log, logging.WARNING, text, identity=entry.identity)
        return placements

    async def check(self, settings: Settings) -> None:
        """Raise ConfigurationError if more than half of the known Charge Points that have a route now would have none.

        A configuration file that was cut off has this effect, and no operator means to turn away a whole fleet at once.
        """
        present = self._placements()
        new = Placements(settings, self._tls_contexts.of, provisioned=self._stored_settings.usable())
        lost = stay = 0
        for number, identity in enumerate(tuple(self._persistence.keys()), start=1):
            if number % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
            if new.route_of(identity) is not None:
                stay += 1
            else:
                lost += present.route_of(identity) is not None
        if lost > stay:
            text = f"{lost} of {lost + stay} known Charge Points would have no route any more: restart if that is meant"
            raise ConfigurationError([Complaint(source="configuration", key="routes", text=text)])

    async def move_all(self) -> int:
        """Move all Sessions whose Placement has changed, and give the others the present policies.

        Other work is served in between.

        Returns: The number of moves.
        """
        sessions, moved = self._sessions(), 0
        for number, runner in enumerate(tuple(sessions), start=1):
            if number % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
            if self.move(runner):
                moved += 1
                self._report(runner)
            else:
                runner.apply_policies(sessions.policies)
        return moved

    def move(self, runner: SessionRunner) -> bool:
        """Move a Session if its Placement has changed. Returns: whether it has."""
        sessions = self._sessions()
        if (
            sessions.get(runner.identity) is not runner
            or not self._has_moved(runner)
            or not sessions.has(runner.identity)
        ):
            return False
        sessions.forget(runner)
        after = None
        with suppress(UnknownIdentity):
            placement = self._placements().of(runner.identity)
            after = placement.central_system
            self._introduce(placement, runner)
        sessions.retire(runner, moved=after != runner.placement.central_system)
        return True

    async def resume(self, records: Sequence[ChargePointRecord]) -> None:
        """Resume the Sessions of those Charge Points that were present when their process was last stopped.

        Other work gets more time in between: a message that is answered meanwhile needs many turns of the event loop.
        """
        loop, spent = asyncio.get_running_loop(), 0.0
        for number, record in enumerate(records, start=1):
            if number % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
            if self._is_stopping():
                return
            began = loop.time()
            self.resume_one(record)
            spent += loop.time() - began
            if spent >= _TURN:
                await self._background.make_way(spent)
                spent = 0.0

    def resume_known(self, identity: str) -> None:
        """Resume the Session of a Charge Point to which a Central System has a command, as `resume` would do later."""
        if (record := self._persistence.record_of(identity)) is not None:
            self.resume_one(record)

    def resume_one(self, record: ChargePointRecord) -> None:
        """Resume the Session of a Charge Point, unless it has one, or was not present when its process was stopped."""
        if (
            record.transport != "soap"
            or self._persistence.record_of(record.identity) is None  # another process has it by now
            or self._sessions().get(record.identity)
            or not self._persistence.is_there(record)
        ):
            return
        with suppress(BridgeError):  # no Route takes it, or its Central System does not serve it
            placement = self._placements().of(record.identity)
            placement.check_version(record.version)
            self._sessions().resume(placement, record, max(0.0, self._clock() - record.last_seen))

    def _has_moved(self, runner: SessionRunner) -> bool:
        try:
            return self._placements().of(runner.identity) != runner.placement
        except UnknownIdentity:
            return True

    def _introduce(self, placement: Placement, moved: SessionRunner) -> None:
        """Resume a Charge Point that does not notice the move at its new Central System at once.

        A SOAP Charge Point does not, nor does a JSON Charge Point that keeps its connection.
        """
        record, heard = self._persistence.record_of(moved.identity), moved.session.last_heard
        if moved.charge_point.speaks_json:
            self._sessions().hand_over(placement, moved)
        elif record is not None and record.transport == "soap" and heard is not None:
            ago = asyncio.get_running_loop().time() - heard
            self._sessions().resume(placement, record, ago, at_once=True)

    def _report(self, moved: SessionRunner) -> None:
        """Report the move of a Session if its Central System is another one."""
        before, after = moved.placement.central_system, None
        with suppress(UnknownIdentity):
            after = self._placements().of(moved.identity).central_system
        if before != after:
            self._see(ChargePointMoved(moved.identity, before, after))
