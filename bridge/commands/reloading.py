"""Reload the configuration on request: read it in a thread, and apply it in the event loop."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from bridge.commands.notify import Notifier
from bridge.config import Settings
from bridge.errors import ConfigurationError
from bridge.net.tasks import Tasks, Threads
from bridge.watching import logs

_log = logging.getLogger("bridge.serve")


class Reloading:
    """Reloads the configuration on request, in a separate thread because a large file takes long to read.

    Args:
        load: Returns the configuration. Called in the thread. May raise ConfigurationError.
        apply: Applies the configuration. May raise ConfigurationError; then it has changed nothing.
        notifier: Is told of the reload, and of a refused configuration.
        refused: Called with the complaints about a configuration that is not taken over.
    """

    def __init__(
        self,
        load: Callable[[], Settings],
        apply: Callable[[Settings], Awaitable[None]],
        notifier: Notifier,
        refused: Callable[[list[str]], None] = lambda complaints: None,
    ) -> None:
        self._refused = refused
        self._load = load
        self._apply = apply
        self._notifier = notifier
        self._tasks = Tasks()
        self._thread = Threads(1, name="configuration")
        self._again = self._reads = False

    def begin(self) -> None:
        """Begin to reload the configuration.

        If a reload is running, another one follows it, because the file may have changed meanwhile.
        """
        self._again = True
        if not self._reads:
            self._reads = True
            self._notifier.reloading()
            self._tasks.spawn(self._run(), name="reading the configuration again")

    async def close(self) -> None:
        """Cancel a running reload, whose configuration is not applied."""
        await self._tasks.close()
        self._thread.close()

    async def _run(self) -> None:
        while self._again:
            self._again = False
            await self._read()
        self._reads = False
        self._notifier.ready()

    async def _read(self) -> None:
        """Read and apply the configuration. An invalid one is reported, and changes nothing."""
        try:
            await self._apply(await self._thread.run(self._load))
        except ConfigurationError as error:
            complaints = [str(complaint) for complaint in error.complaints]
            self._refused(complaints)
            if not self._notifier.refused(complaints):
                for complaint in complaints:
                    logs.fields(_log, logging.ERROR, "configuration not taken over", complaint=complaint)
