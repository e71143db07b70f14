"""The two ways of a Session, to each party one: what their transports are like, how they stand, when to try again."""

from __future__ import annotations

from enum import Enum, auto

from msgspec import Struct


class Side(Struct, frozen=True, kw_only=True):
    """What matters of a party's transport. A WebSocket carries the answers to its own Calls; a POST brings each its own
    way back."""

    dialable: bool
    carries_answers: bool
    narrow_ids: bool = False  # rule 14 of the Session


class Terms(Struct, frozen=True, kw_only=True):
    """The numbers of a Session. All in seconds."""

    call_timeout: float = 30.0
    # Rule 6. Longer than the first pauses of the back-off, shorter than any Charge Point waits for an HTTP response.
    patience: float = 5.0
    reconnect_min: float = 1.0
    reconnect_max: float = 60.0
    spread: float = 5.0
    # Rule 10. Long enough for an answer that is on another connection, short enough for a device that answers late.
    trigger_grace: float = 1.0
    # Rule 9, while no BootNotification.conf has told the heartbeat interval.
    idle_default: float = 900.0
    replay_boot: bool = False
    emulate_trigger: bool = False  # rule 16


class Status(Enum):
    """Of a Link."""

    DOWN = auto()
    OPENING = auto()
    UP = auto()


class Link:
    """What a Session knows of the way to one party."""

    __slots__ = ("confirmed_at", "eager", "failures", "opened_before", "reason", "retry_at", "status")

    def __init__(self) -> None:
        self.status = Status.DOWN
        self.confirmed_at = float("-inf")  # when it was opened, or its party called over another way
        self.failures = 0
        self.retry_at: float | None = None
        self.eager = False  # a Call need not wait for `retry_at`
        self.reason = "not connected yet"
        self.opened_before = False

    def retry_soon(self, at: float, terms: Terms, chance: float) -> None:
        """It is opened again some time soon, and at once for a Call. `chance` is in [0, 1)."""
        self.retry_at, self.eager = at + chance * terms.spread, True

    def retry_later(self, at: float, terms: Terms, chance: float, *, lost: bool) -> None:
        """Rule 5. The pause doubles from `reconnect_min` to `reconnect_max`; chance takes up to half of it away.

        A Central System that restarts loses all its Charge Points in one moment. They come back spread over some
        seconds, those that have something to say at once.
        """
        self.eager = lost and self.failures == 0
        if self.eager:
            pause = terms.reconnect_min + chance * terms.spread
        else:
            doubled = terms.reconnect_min * 2 ** min(self.failures, 30)
            pause = min(terms.reconnect_max, doubled) * (1 - chance / 2)
        self.failures += 1
        self.retry_at = at + pause
