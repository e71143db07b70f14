"""The Sessions of a Charge Point with Central Systems that it was moved away from, while its transactions go on there.

Such a Session has a connection of its own to the Central System, and no connection to the Charge Point: the messages
come from, and the answers go back to, the SessionRunner of the Charge Point's present Central System.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from bridge.core.answers import is_kept_back
from bridge.core.commands import Report
from bridge.core.events import LinkDown, LinkUp, Resumed
from bridge.core.links import Side, Status
from bridge.core.policies import PolicyTable
from bridge.core.transactions import KnownTransaction
from bridge.gateway.session_runner import RunnerParts, SessionRunner
from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Answer, Call, Unanswered
from bridge.ocpp.wire import Wires
from bridge.watching import logs

_log = logging.getLogger("bridge.gateway")
CHARGE_POINT = Party.CHARGE_POINT


class ForwardingTransport:
    """The Charge Point's end of a former Session: the transport of the present Session, for answers only."""

    def __init__(self, present: SessionRunner, side: Side) -> None:
        self._present = present
        self.side = side
        self._actions: dict[str, str] = {}  # of the Calls that wait for their answer, by key

    def expect(self, key: str, action: str) -> None:
        """Note a Call of the Charge Point, whose answer the present Session's transport sends."""
        self._actions[key] = action

    @property
    def version(self) -> str:
        return self._present.transports[CHARGE_POINT].version

    @property
    def address_of_peer(self) -> str:
        return self._present.transports[CHARGE_POINT].address_of_peer

    @property
    def peer(self) -> str | None:
        return self._present.transports[CHARGE_POINT].peer

    def open(self) -> None:
        """Do nothing: the present Session has the connection."""

    def close(self, reason: str, code: int) -> None:
        """Do nothing: the connection stays open for the present Session."""

    async def gone(self) -> None:
        """Do nothing: the connection stays open for the present Session."""

    async def shut(self) -> None:
        """Do nothing: the present Session closes the connection."""

    def lacks(self, call: Call) -> bool:
        return False

    def send_call(self, call: Call, within: float, give_up: float) -> None:
        raise AssertionError("a former Session sends no Calls to the Charge Point")

    def send_answer(self, key: str, answer: Answer, wires: Wires | None) -> None:
        action, side = self._actions.pop(key, ""), self._present.session.sides[CHARGE_POINT]
        # A JSON Charge Point keeps a message only if it gets no answer (rule 13 of the Session).
        if not (isinstance(answer, Unanswered) and is_kept_back(CHARGE_POINT, side, action)):
            self._present.transports[CHARGE_POINT].send_answer(key, answer, wires)

    def send_frame(self, data: bytes) -> None:
        raise AssertionError("a former Session relays no frames")


class FormerRunner(SessionRunner):
    """Runs the Session with a Central System that the Charge Point was moved away from.

    Args:
        parts: The parts of every SessionRunner.
        present: The SessionRunner of the Charge Point's present Central System.
        drain_for: Seconds after which the Session ends although transactions are open.
        ended: Called with this SessionRunner when it takes no more Calls, and the transactions that are given up. It
            has to be retired then.
    """

    def __init__(
        self,
        parts: RunnerParts,
        present: SessionRunner,
        drain_for: float,
        ended: Callable[[FormerRunner, Sequence[KnownTransaction]], None],
    ) -> None:
        super().__init__(*parts)
        self._present = present
        self._ended = ended
        self._given_up = self._loop.call_later(drain_for, self._give_up)
        self.has_left = False
        self._near = ForwardingTransport(present, self.session.sides[CHARGE_POINT])
        self.transports[CHARGE_POINT] = self._near
        self.link_up(CHARGE_POINT)

    async def close(self) -> None:
        """End the Session because the bridge stops."""
        self._given_up.cancel()
        await super().close()

    async def retire(self, left: Callable[[], None]) -> None:
        """Wait for the Calls in progress, then close the connection to the Central System."""
        self._given_up.cancel()
        await super().retire(left)

    @property
    def _name(self) -> str:
        return self.placement.central_system

    def open(self) -> list[KnownTransaction]:
        """Return the open transactions that this Central System named."""
        rows = self.session.transactions.open(self._loop.time())
        return [row for row in rows if row.central_system == self._name]

    def connect(self) -> None:
        """Open the connection to the Central System, so that it can send commands for its transactions."""
        now = self._loop.time()
        self._happen(Resumed(at=now, last_heard=now, at_once=True))

    def check(self) -> None:
        """End the Session if none of its transactions is open and no Call is in progress."""
        if self._over is None and not self.session.in_progress() and not self.open():
            self.leave()

    def _give_up(self) -> None:
        rows = self.open()
        for row in rows:
            text = "a transaction was not ended at the Central System that named it: given up"
            logs.fields(
                _log,
                logging.ERROR,
                text,
                identity=self.identity,
                central_system=self._name,
                transaction_id=row.named,
                connector=row.connector,
            )
        self.leave(rows)

    def leave(self, given_up: Sequence[KnownTransaction] = ()) -> None:
        """End the Session as soon as no Call is in progress.

        `given_up` are the transactions that have not ended in time.
        """
        if not self.has_left:
            self.has_left = True
            self._ended(self, given_up)

    # The reports of the Transport to the Central System. Watchers are not told of the link: for them, the link of a
    # Charge Point is that to its present Central System.

    def link_up(self, party: Party) -> None:
        """Report that the link to `party` is open."""
        if self.session.links[party].status is not Status.UP:
            self._happen(LinkUp(at=self._loop.time(), party=party))

    def link_down(self, party: Party, reason: str, undelivered: str | None = None, code: int | None = None) -> None:
        """Report that the link to `party` was closed, or could not be opened. The arguments are as in SessionRunner."""
        text, named = "link to a former Central System down", self._name
        logs.fields(_log, logging.INFO, text, identity=self.identity, central_system=named, reason=reason)
        self._happen(LinkDown(at=self._loop.time(), party=party, reason=reason, undelivered=undelivered, code=code))

    def called(self, party: Party, key: str, call: Call) -> None:
        """Report a Call. A command of the Central System is passed on only for a transaction of its own."""
        if party is CHARGE_POINT:
            self._near.expect(key, call.action)
        super().called(party, key, call)

    def refused_command(self, report: Report) -> None:
        super().refused_command(report)
        self._loop.call_soon(self.check)

    def _reported(self, report: Report) -> None:
        super()._reported(report)
        self._loop.call_soon(self.check)


class FormerSessions:
    """The former Sessions of one Charge Point, by the name of the Central System.

    Args:
        present: The SessionRunner of the Charge Point's present Central System.
        begin: Returns a new FormerRunner for a Central System; None if that is not configured.
        ending: Returns the SessionRunners that the Charge Point has left and that end their Calls.
    """

    def __init__(
        self,
        present: SessionRunner,
        begin: Callable[[SessionRunner, str], FormerRunner | None],
        ending: Callable[[], Iterable[SessionRunner]],
    ) -> None:
        self._present = present
        self._begin = begin
        self._ending = ending
        self._runners: dict[str, FormerRunner] = {}

    def of(self, central_system: str) -> FormerRunner | None:
        """Return the FormerRunner for `central_system`, a new one if there is none. None if it is not configured."""
        runner = self._runners.get(central_system)
        if runner is not None and not runner.has_left:
            return runner
        runner = self._begin(self._present, central_system)
        if runner is not None:
            self._runners[central_system] = runner
        return runner

    def with_first_of(self, key: str, call: Call) -> SessionRunner | None:
        """Return the SessionRunner that was left, and in which a first copy of `call` is in progress; or None."""
        return next((runner for runner in self._ending() if runner.session.has_first_of(key, call)), None)

    def copy(self, central_system: str, call: Call) -> None:
        """Send a copy of a StatusNotification to `central_system` as well."""
        if (runner := self.of(central_system)) is not None:
            runner.copy(call)

    def resume(self, at: float) -> None:
        """Begin the Sessions of the transactions that are open, and connect to their Central Systems.

        Args:
            at: The time now, on the clock of the event loop, in seconds.
        """
        home = self._present.placement.central_system
        for name in {row.central_system for row in self._present.session.transactions.open(at)} - {home}:
            if (runner := self.of(name)) is not None:
                runner.connect()

    def check(self) -> None:
        """End the Sessions whose transactions have ended."""
        for name, runner in tuple(self._runners.items()):
            runner.check()
            if runner.has_left:
                del self._runners[name]

    def apply_policies(self, policies: PolicyTable) -> None:
        """Apply `policies` to later Calls."""
        for runner in self._runners.values():
            runner.apply_policies(policies)

    def leave(self) -> None:
        """End all Sessions: the Charge Point was moved again, and the next SessionRunner begins its own."""
        for runner in self._runners.values():
            runner.leave()
        self._runners.clear()

    async def close(self) -> None:
        """End all Sessions because the bridge stops."""
        for runner in tuple(self._runners.values()):
            await runner.close()

    def in_progress(self) -> int:
        """Return the number of Calls in progress in all Sessions."""
        return sum(runner.in_progress() for runner in self._runners.values())

    def end(self) -> None:
        """Handle no message any more, because another process has the Charge Point now. `abandon` follows."""
        for runner in self._runners.values():
            runner.end()

    async def abandon(self) -> None:
        """Close the links of all Sessions, which another process has now."""
        runners, self._runners = self._runners, {}
        await asyncio.gather(*(runner.abandon() for runner in runners.values()))
