"""A conversation with a Session, written as a script.

    assert (
        Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM)
        << calls(CP, "c1", HEARTBEAT)       # what comes in
        >> opens(CS)                        # what must come out
        << up(CS)
        >> sends(CS, "h1", HEARTBEAT)
        << answers(CS, "h1", HEARTBEAT_CONF)
        >> tells(CP, "c1", HEARTBEAT_CONF)
    )

Nothing else may come out. SetTimer is obeyed, Keep answered at once, Notes and Reports are collected, all silently
unless they are asked for; a Keep that is shown is not answered. The UniqueIds that the Session mints are h1, h2, ...
A failure prints both conversations, the written and the played one.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from unittest.mock import ANY

from msgspec import Struct, structs

from bridge.core.commands import CloseLink, Command, Drop, Keep, Note, OpenLink, Report, SendAnswer, SendCall, SetTimer
from bridge.core.events import AnswerReceived, CallReceived, Event, LinkDown, LinkUp, RecordsKept, Resumed, TimerFired
from bridge.core.links import SessionTerms, Side
from bridge.core.memory import Record, SessionMemory
from bridge.core.session import Session
from bridge.errors import ErrorCode
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import Request, Response
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Failure, Unanswered

CP, CS = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM

SOAP_CHARGE_POINT = Side(dialable=False, carries_answers=False, narrow_ids=True)
JSON_CHARGE_POINT = Side(dialable=False, carries_answers=True)
SOAP_CENTRAL_SYSTEM = Side(dialable=False, carries_answers=False)
JSON_CENTRAL_SYSTEM = Side(dialable=True, carries_answers=True)
# That of a JSON Charge Point is dialled with its handshake, not by the Session.
RELAYED_CENTRAL_SYSTEM = Side(dialable=False, carries_answers=True)

LEGS = {
    "soap-json": (SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM),
    "json-soap": (JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM),
    "soap-soap": (SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM),
    "json-json": (JSON_CHARGE_POINT, RELAYED_CENTRAL_SYSTEM),
}

# More than one moment can hold of what a Session has to do: it asks to be woken for nothing.
_MOST_WAKINGS = 1000


class Stage:
    """A Session and a clock: it is told what happens, and is woken when it asked to be."""

    def __init__(
        self,
        charge_point: Side,
        central_system: Side,
        terms: SessionTerms | None = None,
        *,
        chance: Callable[[], float] = lambda: 0.0,
        memory: SessionMemory | None = None,
    ) -> None:
        self._minted = count(1)
        self._chance = chance
        self.terms = terms or SessionTerms()
        self.sides = {CP: charge_point, CS: central_system}
        self.now = 0.0
        self.restart(memory)

    def restart(self, memory: SessionMemory | None) -> None:
        """Another Session in place of the one that was, if there was one: it knows what is in `memory`."""
        self.session = Session(
            self.sides, self.terms, mint=lambda: f"h{next(self._minted)}", chance=self._chance, memory=memory
        )
        self.alarm: float | None = None

    def tell(self, event: Event) -> list[Command]:
        """`event` happens now, whatever it says itself; the commands that follow."""
        commands = self.session.handle(structs.replace(event, at=self.now))
        for command in commands:
            if isinstance(command, SetTimer):
                self.alarm = command.at
        return commands

    def wait(self, seconds: float) -> Iterator[list[Command]]:
        """Let time go by; the commands of each waking."""
        end = self.now + max(0.0, seconds)
        wakings = 0
        while self.alarm is not None and self.alarm <= end:
            wakings = wakings + 1 if self.alarm <= self.now else 0
            assert wakings < _MOST_WAKINGS, f"the Session is woken at {self.now} again and again"
            self.now, self.alarm = max(self.now, self.alarm), None
            yield self.tell(TimerFired(at=self.now))
        self.now = end


class Wait(Struct, frozen=True):
    """So many seconds go by."""

    seconds: float


class Playbook:
    """Plays what was written when it is asked whether it is true. It can be written on afterwards."""

    def __init__(
        self,
        charge_point: Side,
        central_system: Side,
        *,
        chance: Callable[[], float] = lambda: 0.0,
        memory: SessionMemory | None = None,
        showing: tuple[type[Command], ...] = (),
        shows_asked: bool = False,
        **terms: Any,
    ) -> None:
        self._stage = Stage(charge_point, central_system, SessionTerms(**terms), chance=chance, memory=memory)
        self._shown: tuple[type[Command], ...] = (OpenLink, CloseLink, SendCall, SendAnswer, Drop, *showing)
        self._shows_asked = shows_asked
        self._script: list[Event | Wait | Command] = []
        self._written: list[str] = []
        self._played: list[str] = []
        self.reports: list[Report] = []
        self.records: list[Record] = []  # of Keep and Note

    @property
    def session(self) -> Session:
        return self._stage.session

    def __lshift__(self, stimulus: Event | Wait) -> Playbook:
        self._script.append(stimulus)
        return self

    def __rshift__(self, command: Command) -> Playbook:
        assert self._script, "nothing has happened yet"
        self._script.append(command)
        return self

    def __bool__(self) -> bool:
        script, self._script = self._script, []
        came: list[Command] = []
        for line in script:
            if isinstance(line, Event | Wait):
                self._unexpected(came)
                came = [command for command in self._happens(line) if isinstance(command, self._shown)]
            else:
                self._expected(line, came)
        self._unexpected(came)
        if self._written != self._played:
            diff = difflib.ndiff(self._written, self._played)
            raise AssertionError("\n".join(["- as written, + as played", *map(str.rstrip, diff)]))
        return True

    def _happens(self, stimulus: Event | Wait) -> list[Command]:
        line = f"<< {self._stage.now:7.2f}  {_described(stimulus)}"
        self._written.append(line)
        self._played.append(line)
        if isinstance(stimulus, Wait):
            commands = [command for waking in self._stage.wait(stimulus.seconds) for command in waking]
        else:
            commands = self._stage.tell(stimulus)
        commands = [each for command in commands for each in self._asked(command)]
        if Keep not in self._shown:
            keys = [command.key for command in commands if isinstance(command, Keep)]
            for key in keys:
                commands += [each for command in self._stage.tell(kept(key)) for each in self._asked(command)]
        for command in commands:
            self.records += command.records if isinstance(command, Keep | Note) else ()
        self.reports += [command for command in commands if isinstance(command, Report)]
        return commands

    def _asked(self, command: Command) -> list[Command]:
        """The UniqueId of a Call is kept at once, unless that is shown: the Call follows in its place."""
        if self._shows_asked or not isinstance(command, Keep) or not command.key.startswith("asked:"):
            return [command]
        if Keep not in self._shown:
            self.records += command.records
        return [each for next_ in self._stage.tell(kept(command.key)) for each in self._asked(next_)]

    def _expected(self, command: Command, came: list[Command]) -> None:
        if came and command == came[0]:
            text = _described(came.pop(0))
            self._written.append(f"        >>  {text}")
            self._played.append(f"        >>  {text}")
        else:
            self._written.append(f"        >>  {_described(command)}")
            if came:
                self._played.append(f"        >>  {_described(came.pop(0))}")

    def _unexpected(self, came: list[Command]) -> None:
        self._played += [f"        >>  {_described(command)}" for command in came]


def _described(item: object) -> str:
    """On one line, everything but the time."""
    if isinstance(item, Party):
        return item.value
    if not isinstance(item, Struct):
        return "..." if item is ANY else repr(item)
    values = (f"{name}={_described(getattr(item, name))}" for name in item.__struct_fields__ if name not in _UNSAID)
    return f"{type(item).__name__}({', '.join(values)})"


_UNSAID = frozenset({"at", "losses"})


# What comes in.


def wait(seconds: float) -> Wait:
    return Wait(seconds)


def calls(
    party: Party, key: str, payload: Request, *, unique_id: str | None = None, instead: bool = False
) -> CallReceived:
    return CallReceived(at=0, party=party, key=key, call=call_of(unique_id or key, payload), instead=instead)


def commands(key: str, payload: Request) -> CallReceived:
    """An operator's Call to the Charge Point."""
    return CallReceived(at=0, party=CS, key=key, call=call_of(key, payload), operator=True)


def answers(party: Party, hop_id: str, payload: Response, *, instead: bool = False) -> AnswerReceived:
    return AnswerReceived(at=0, party=party, answer=CallResult(unique_id=hop_id, payload=payload), instead=instead)


def refuses(party: Party, hop_id: str, code: ErrorCode = ErrorCode.InternalError) -> AnswerReceived:
    return AnswerReceived(at=0, party=party, answer=CallError(unique_id=hop_id, code=code))


def says_nothing(
    party: Party,
    hop_id: str,
    reason: str = "no response",
    *,
    failure: Failure = Failure.MISCONFIGURED,
    retry_after: float | None = None,
) -> AnswerReceived:
    """What a POST comes to that got no verdict."""
    failed = Unanswered(unique_id=hop_id, reason=reason, failure=failure, retry_after=retry_after)
    return AnswerReceived(at=0, party=party, answer=failed)


def up(party: Party) -> LinkUp:
    return LinkUp(at=0, party=party)


def kept(key: str) -> RecordsKept:
    return RecordsKept(at=0, key=key)


def resumed(last_heard: float) -> Resumed:
    """The bridge was started again."""
    return Resumed(at=0, last_heard=last_heard)


def down(party: Party, undelivered: str | None = None, *, reason: str = "gone", code: int | None = None) -> LinkDown:
    return LinkDown(at=0, party=party, reason=reason, undelivered=undelivered, code=code)


# What must come out.


def opens(party: Party) -> OpenLink:
    return OpenLink(party=party)


def closes(party: Party, *, try_again: bool = False, reason: str = ANY) -> CloseLink:
    return CloseLink(party=party, reason=reason, try_again=try_again)


def keeps(key: str, *records: Record, exchange: Any = ANY) -> Keep:
    return Keep(key=key, records=records, exchange=exchange)


def notes(*records: Record) -> Note:
    return Note(records=records)


def sends(
    party: Party, hop_id: str, payload: Request, *, deadline: float = ANY, give_up: float = ANY, losses: Any = ()
) -> SendCall:
    call = structs.replace(call_of(hop_id, payload), losses=losses)
    return SendCall(party=party, call=call, deadline=deadline, give_up=give_up)


def tells(party: Party, key: str, payload: Response, *, unique_id: str | None = None) -> SendAnswer:
    return _tells(party, key, CallResult(unique_id=unique_id or key, payload=payload))


def tells_error(party: Party, key: str, code: ErrorCode, description: str = ANY) -> SendAnswer:
    return _tells(party, key, CallError(unique_id=key, code=code, description=description))


def tells_unanswered(party: Party, key: str, reason: str = ANY, *, failure: Failure = ANY) -> SendAnswer:
    failed = Unanswered(unique_id=key, reason=reason, failure=failure, evidence=ANY, retry_after=ANY)
    return _tells(party, key, failed)


def drops(party: Party, hop_id: str) -> Drop:
    return Drop(party=party, unique_id=hop_id, reason=ANY, kept=ANY)


def call_of(unique_id: str, payload: Request) -> Call:
    return Call(unique_id=unique_id, action=type(payload).__name__.removesuffix("Request"), payload=payload)


def _tells(party: Party, key: str, answer: Answer) -> SendAnswer:
    return SendAnswer(party=party, key=key, answer=answer)
