"""How fast to write down what was said: as fast as the traffic leaves time for it. Pure: clock readings come in.

There is one interpreter in the process, and the traffic comes first. As long as the process has time to spare, the
thread that records takes of that; when there is none, it gets a small share all the same, or it would stand still.
"""

from __future__ import annotations

from msgspec import Struct

# Of what the process gets, the thread has these shares at least: as a rule, and while somebody waits for it.
PATIENT, HURRIED = 0.005, 0.5
# Of a core, what the process may use up together: with less to spare, the traffic would be slower for it. What it is
# taken to get at least.
_WHOLE, _SOME = 0.8, 0.1
# Seconds over which it is looked how busy the process is. A rest is no longer than the longest.
_WINDOW, _LONGEST = 0.03, 1.0


class Clocks(Struct, frozen=True):
    """A reading, in seconds: of the wall; of the processor time of the process, and of the thread; and of how long the
    event loop waited for a core that others had, 0.0 where that is not known."""

    wall: float
    process: float
    thread: float
    waited: float = 0.0


class Pace:
    """Work a little, ask `rest`, and rest."""

    def __init__(self, now: Clocks) -> None:
        self._since = now
        self._worked = now.thread
        self.busy = 0.0
        """The share of a core that the rest of the process used, or would have if it had got it, at the last look."""
        self._got = 1.0

    def look(self, now: Clocks) -> None:
        """See how busy the process was, if it is time."""
        since = self._since
        wall = now.wall - since.wall
        if wall >= _WINDOW:
            used = now.process - since.process
            others = used - (now.thread - since.thread)
            self.busy = max(0.0, (others + now.waited - since.waited) / wall)
            self._got = min(1.0, max(_SOME, used / wall))
            self._since = now

    def rest(self, now: Clocks, least: float) -> float:
        """How many seconds to rest after the work that was done since it was asked last, for a share of `least`."""
        self.look(now)
        worked, self._worked = now.thread - self._worked, now.thread
        share = max(least * self._got, _WHOLE - self.busy)
        return min(_LONGEST, max(0.0, worked / share - worked))
