"""The one watcher that passes each fact to all watchers.

A watcher that raises has a fault. The fault is logged and the traffic goes on, so that no message is lost or delayed
because a watcher failed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from bridge.watching.facts import Fact, Watcher
from bridge.watching.repeat_limiter import RepeatLimiter

_log = logging.getLogger("bridge.watching")


class Audience:
    """A watcher that passes every fact to several watchers, in their order.

    An exception of a watcher is logged, once a minute for each kind of fact. The other watchers get the fact, and the
    caller sees no exception.

    Args:
        watchers: The watchers.
        records: Whether a watcher records the octets of messages, so that the messages have to carry them.
        on_disk: Returns a future that is done when what a watcher has to keep of the facts so far is on disk, or cannot
            be written; None if there is nothing to wait for.
        clock: Returns seconds on a monotonic clock.
    """

    def __init__(
        self,
        watchers: Iterable[Watcher],
        *,
        records: bool = False,
        on_disk: Callable[[], Future[bool] | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watchers = tuple(watchers)
        self.records = records
        self.on_disk = on_disk
        self._gate = RepeatLimiter(clock)

    def see(self, fact: Fact) -> None:
        """Pass a fact to all watchers. Raises nothing."""
        for watcher in self._watchers:
            try:
                watcher.see(fact)
            except Exception as error:  # of any kind: a watcher must not break the traffic
                self._failed(f"{type(watcher).__qualname__} at a {type(fact).__name__}", error)

    def _failed(self, name: str, error: Exception) -> None:
        held = self._gate.passes(name)
        if held is not None:
            text = "a fault of ocpp-bridge itself, please report it: %s failed, and this event is missing there: %r%s"
            more = f" (and {held} more since the last such line)" if held else ""
            _log.error(text, name, error, more, exc_info=error)
