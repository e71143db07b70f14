"""Decide whether a Charge Point is ready to be moved to a Central System that is a shadow until then.

A shadow gets the Calls of the Charge Point, and its answers are compared with those of the main Central System. A
session is a transaction that both Central Systems have named, from its StartTransaction to the StopTransaction that the
main one has answered. The Charge Point is ready after some sessions in a row without a difference that a driver feels:
in the status of an Authorize or a StartTransaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from bridge.ocpp.actions import ACTIONS, SECURITY_EXTENSIONS
from bridge.ocpp.comparison import PlainAnswer

OTHER = "other"
# The bounds of what is kept of one Charge Point. The names of fields are the shadow's choice.
MOST_FIELDS, MOST_EXAMPLES, MOST_RUNNING = 30, 3, 20
_ACTIONS = frozenset(ACTIONS) | SECURITY_EXTENSIONS
_AUTHORIZING = ("Authorize", "StartTransaction")
_FELT_FIELDS = ("", "idTagInfo", "idTagInfo.status")
_DAY = 86_400.0


class DifferenceExample(Struct, frozen=True, kw_only=True):
    """A difference that was seen, for people. The caller has masked and shortened the texts.

    Attributes:
        at: When the shadow had answered, in unix seconds.
        action: The action of the Call.
        field: The path of the field without indexes; "" is the whole answer.
        main: The value in the answer of the main Central System.
        shadow: The value in the answer of the shadow.
        request: The payload of the Call as JSON.
    """

    at: float
    action: str
    field: str
    main: str
    shadow: str
    request: str

    @property
    def may_be_felt(self) -> bool:
        """Return whether the difference is where a driver feels it."""
        return self.action in _AUTHORIZING and self.field in _FELT_FIELDS


class ComparedAnswers(Struct, frozen=True, kw_only=True):
    """Two answers to one Call of a Charge Point.

    Attributes:
        at: When the shadow had answered, in unix seconds.
        action: The action of the Call.
        request: The payload of a StopTransaction as plain data; that of other actions is not needed.
        main: The answer of the main Central System.
        shadow: The answer of the shadow.
        examples: The differences between the answers; there may be fewer examples than differences, but not none.
    """

    at: float
    action: str
    request: Any
    main: PlainAnswer
    shadow: PlainAnswer
    examples: Sequence[DifferenceExample] = ()


class ComparisonHistory(Struct, kw_only=True):
    """What the comparison of a shadow's answers has shown for one Charge Point. It is stored as JSON.

    Attributes:
        first: When the first answer was compared, in unix seconds.
        last: When the last answer was compared.
        compared: The number of compared answers, by action.
        differing: The number of those that differ, by action.
        fields: The number of differences, by action and field.
        sessions: The number of sessions.
        clean: The number of sessions since the last difference that a driver feels.
        running: The transactions that have not ended, by the main Central System's id; whether none of those
            differences was seen since they began.
        felt: The last difference that a driver feels.
        latest: The newest differences, each of another field.
    """

    first: float
    last: float
    compared: dict[str, int] = {}
    differing: dict[str, int] = {}
    fields: dict[str, dict[str, int]] = {}
    sessions: int = 0
    clean: int = 0
    running: dict[int, bool] = {}
    felt: DifferenceExample | None = None
    latest: list[DifferenceExample] = []

    @classmethod
    def beginning(cls, at: float) -> ComparisonHistory:
        """Return the history of a Charge Point before its first answer, which comes at `at`."""
        return cls(first=at, last=at)

    def take(self, answers: ComparedAnswers) -> bool:
        """Count two answers.

        Returns: Whether the history should be stored now: a session began or ended, or a difference is new.
        """
        action = answers.action if answers.action in _ACTIONS else OTHER
        self.last = max(self.last, answers.at)
        self.compared[action] = self.compared.get(action, 0) + 1
        is_news = self._differs(action, answers) if answers.examples else False
        return self._session(answers) or is_news

    def _differs(self, action: str, answers: ComparedAnswers) -> bool:
        self.differing[action] = self.differing.get(action, 0) + 1
        is_news = False
        for field in dict.fromkeys(example.field for example in answers.examples):
            is_news = self._count(action, field) or is_news
        for example in answers.examples[:MOST_EXAMPLES]:
            others = [each for each in self.latest if (each.action, each.field) != (example.action, example.field)]
            self.latest = [example, *others][:MOST_EXAMPLES]
        if not is_felt(answers):
            return is_news
        status = (example for example in answers.examples if example.may_be_felt)
        self.felt = next(status, answers.examples[0])
        self.clean = 0
        self.running = dict.fromkeys(self.running, False)
        return True

    def _count(self, action: str, field: str) -> bool:
        """Count a difference in a field. Returns whether it is the first one there."""
        known = self.fields.setdefault(action, {})
        if field not in known and sum(map(len, self.fields.values())) >= MOST_FIELDS:
            field = OTHER
        known[field] = known.get(field, 0) + 1
        return known[field] == 1

    def _session(self, answers: ComparedAnswers) -> bool:
        """Begin or end a session. Returns whether the answers do so."""
        if answers.main.code is not None:
            return False
        if answers.action == "StartTransaction":
            begun = _transaction(answers.main.payload)
            if begun is None or _transaction(answers.shadow.payload) is None:
                return False
            self.running[begun] = not is_felt(answers)
            while len(self.running) > MOST_RUNNING:
                del self.running[next(iter(self.running))]
            return True
        ended = _transaction(answers.request) if answers.action == "StopTransaction" else None
        if ended is None or ended not in self.running:
            return False
        self.sessions += 1
        self.clean += self.running.pop(ended)
        return True

    def forget_examples(self, before: float) -> bool:
        """Forget the examples from before `before`, in unix seconds. Their counts stay. Returns whether one was."""
        latest = [example for example in self.latest if example.at >= before]
        felt = None if self.felt is None or self.felt.at < before else self.felt
        forgot = len(latest) < len(self.latest) or felt is not self.felt
        self.latest, self.felt = latest, felt
        return forgot

    def lacks(self, ready_after: int) -> str:
        """Return why the Charge Point is not ready, "" if it is. `ready_after` is the sessions that are wanted."""
        if self.clean >= ready_after:
            return ""
        text = f"{self.clean} of {ready_after} sessions without a difference that a driver feels"
        if self.felt is None:
            return text
        field = f" {self.felt.field}" if self.felt.field else ""
        return f"{text}, since {self.felt.action}{field} was {self.felt.main} and here {self.felt.shadow}"


class ComparisonSum:
    """The sum of the histories of several Charge Points.

    Attributes:
        first: When the first answer was compared, in unix seconds; None if there was none.
        last: When the last answer was compared.
        sessions: The number of sessions.
        compared: The number of compared answers, by action.
        differing: The number of those that differ, by action.
        fields: The number of differences, by action and field.
    """

    def __init__(self) -> None:
        self.first: float | None = None
        self.last: float | None = None
        self.sessions = 0
        self.compared: Counter[str] = Counter()
        self.differing: Counter[str] = Counter()
        self.fields: dict[str, Counter[str]] = {}
        self._examples: dict[tuple[str, str], list[tuple[str, DifferenceExample]]] = {}

    def add(self, identity: str, history: ComparisonHistory) -> None:
        """Add the history of a Charge Point."""
        self.first = history.first if self.first is None else min(self.first, history.first)
        self.last = history.last if self.last is None else max(self.last, history.last)
        self.sessions += history.sessions
        self.compared.update(history.compared)
        self.differing.update(history.differing)
        for action, counts in history.fields.items():
            self.fields.setdefault(action, Counter()).update(counts)
        felt = [] if history.felt is None or history.felt in history.latest else [history.felt]
        for example in (*history.latest, *felt):
            known = self._examples.setdefault((example.action, example.field), [])
            known.append((identity, example))
            known.sort(key=lambda each: -each[1].at)
            del known[MOST_EXAMPLES:]

    def all_examples(self) -> list[tuple[str, DifferenceExample]]:
        """Return the newest examples of each field with the identity."""
        return [example for known in self._examples.values() for example in known]


def newest_examples(
    examples: Sequence[tuple[str, DifferenceExample]], most: int
) -> list[tuple[str, DifferenceExample]]:
    """Return the newest examples of each field with the identity, at most `most`: first what a driver feels."""
    kept, found = Counter[tuple[str, str]](), []
    for identity, example in sorted(examples, key=lambda each: -each[1].at):
        kept[example.action, example.field] += 1
        if kept[example.action, example.field] <= MOST_EXAMPLES:
            found.append((identity, example))
    return sorted(found, key=lambda each: (not each[1].may_be_felt, -each[1].at))[:most]


def days_between(first: float | None, last: float | None) -> int:
    """Return the number of days, begun ones included, between two times in unix seconds; 0 if one is unknown."""
    return 0 if first is None or last is None else int((last - first) // _DAY) + 1


def is_felt(answers: ComparedAnswers) -> bool:
    """Return whether a driver feels the difference: the status of an Authorize or a StartTransaction is another one."""
    return answers.action in _AUTHORIZING and _status(answers.main) != _status(answers.shadow)


def _status(answer: PlainAnswer) -> Any:
    """Return the status of an answer. A CALLERROR has none: the driver cannot charge, whatever its code is."""
    match answer.payload:
        case {"idTagInfo": {"status": status}}:
            return status
    return None


def _transaction(payload: Any) -> int | None:
    match payload:
        case {"transactionId": int(number)} if not isinstance(number, bool):
            return number
    return None
