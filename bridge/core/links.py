"""The two Links of a Session, one to each party: properties of the transport, status, and time of the next attempt."""

from __future__ import annotations

from enum import Enum, auto

from msgspec import Struct


class Side(Struct, frozen=True, kw_only=True):
    """The properties of a party's transport that matter to a Session.

    Attributes:
        dialable: Whether the bridge opens the connection to the party.
        carries_answers: Whether the answers to the party's own Calls travel on its Link, as on a WebSocket. The answer
            to a POST travels in the POST's own response.
        narrow_ids: Whether the party knows only transactionIds of 32 bits (rule 14 of the Session).
    """

    dialable: bool
    carries_answers: bool
    narrow_ids: bool = False


class SessionTerms(Struct, frozen=True, kw_only=True):
    """The settings of a Session. All times are in seconds."""

    call_timeout: float = 30.0
    command_timeout: float | None = None  # for Calls to the Charge Point; None stands for `call_timeout`
    # Rule 6. Longer than the first pauses of the back-off, shorter than any Charge Point waits for an HTTP response.
    patience: float = 5.0
    reconnect_min: float = 1.0
    reconnect_max: float = 60.0
    spread: float = 5.0
    # Rule 10. Long enough for an answer that is on another connection, short enough for a device that answers late.
    trigger_grace: float = 1.0
    # Rule 9, while no BootNotification.conf has given the heartbeat interval.
    idle_default: float = 900.0
    replay_boot: bool | str = False  # rule 22: True on each connection, "auto" when the Central System asks for it
    emulate_trigger: bool = False  # rule 16
    infer_status: bool = False  # rule 24
    late_answers: float = 150.0  # rule 18
    heartbeat_max: int | None = None  # longest interval in a BootNotification.conf to a SOAP Charge Point
    wakes: bool = False  # rule 25
    central_system: str = ""  # name of the Central System in the configuration
    former: bool = False  # the Charge Point was moved away from this Central System (rule 26)


class SessionTimes(Struct, kw_only=True):
    """The times of the last events of some kinds in a Session, on the clock of the events, in seconds.

    Attributes:
        heard: When the Charge Point was last heard of, None if it was not.
        sent: When a Call was last sent to the Central System.
        woken: When the Charge Point was last asked to wake (rule 25).
    """

    heard: float | None = None
    sent: float = float("-inf")
    woken: float = float("-inf")


class Status(Enum):
    """The status of a Link: closed, being opened, or open."""

    DOWN = auto()
    OPENING = auto()
    UP = auto()


class Link:
    """The state of the connection to one party, as the Session knows it."""

    __slots__ = ("confirmed_at", "eager", "failures", "not_before", "opened_before", "reason", "retry_at", "status")

    def __init__(self) -> None:
        self.status = Status.DOWN
        self.confirmed_at = float("-inf")  # when the Link was opened, or when a Call of its party came last
        self.failures = 0
        self.not_before = float("-inf")  # the party asked for a pause until then (rule 20)
        self.retry_at: float | None = None
        self.eager = False  # a Call need not wait for `retry_at`
        self.reason = "not connected yet"
        self.opened_before = False

    def retry_soon(self, at: float, terms: SessionTerms, chance: float) -> None:
        """Set the time of the next attempt to within `spread` seconds, or at once for a Call.

        Args:
            at: The time now, in seconds.
            terms: The settings of the Session.
            chance: A random number in [0, 1).
        """
        self.retry_at, self.eager = at + chance * terms.spread, True

    def retry_later(self, at: float, terms: SessionTerms, chance: float, *, lost: bool) -> None:
        """Set the time of the next attempt to open the Link (rule 5).

        The pause doubles from `reconnect_min` to `reconnect_max`; `chance` shortens the pause by up to half. A Central
        System that restarts loses all its Charge Points in one moment. They connect again spread over some seconds, or
        at once for a Call.

        Args:
            at: The time now, in seconds.
            terms: The settings of the Session.
            chance: A random number in [0, 1).
            lost: Whether the Link was open before; False if it could not be opened.
        """
        self.eager = lost and self.failures == 0
        if self.eager:
            pause = terms.reconnect_min + chance * terms.spread
        else:
            doubled = terms.reconnect_min * 2 ** min(self.failures, 30)
            pause = min(terms.reconnect_max, doubled) * (1 - chance / 2)
        self.failures += 1
        self.retry_at = at + pause
