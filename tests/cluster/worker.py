"""A worker of a supervisor, small enough to be started often: `python -m tests.cluster.worker FOLDER`.

It answers each connection with its name and closes it. Files in FOLDER say how it behaves, by their names: `hold` lets
it leave connections open, `fail` ends it with the exit code in the file, `slow` lets it serve only when the file is
gone, `deaf` lets it ignore SIGTERM, `still` ends its watchdog messages, `refuse` has a sentence with which it refuses a
reload.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from bridge.cluster.worker import TakenOver, taken_over
from bridge.commands.notify import Notifier
from bridge.net.listening import servers_at


async def _main(folder: Path, taken: TakenOver) -> int:
    handover = taken.handover
    if (folder / "fail").exists():
        return int((folder / "fail").read_text())
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    notifier = Notifier(os.environ, taken.channel)

    def told_to_stop() -> None:
        if not (folder / "deaf").exists():
            stop.set()

    def told_to_reload() -> None:
        notifier.reloading()
        if (folder / "refuse").exists():
            notifier.refused([(folder / "refuse").read_text()])
        print(f"{handover.name} reads", flush=True)
        notifier.ready()

    loop.add_signal_handler(signal.SIGTERM, told_to_stop)
    loop.add_signal_handler(signal.SIGHUP, told_to_reload)

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(handover.name.encode())
            if not (folder / "hold").exists():
                transport.close()

    while (folder / "slow").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    for inherited in handover.inherited().values():
        await servers_at("", 0, Answering, None, inherited=inherited)
    print(f"{handover.name} {os.getpid()} serves {','.join(handover.servers)}", flush=True)
    if not (folder / "still").exists():
        notifier.watch(loop)
    notifier.ready()
    await stop.wait()
    return 0


if __name__ == "__main__":
    found = taken_over(os.environ)
    assert found is not None
    sys.exit(asyncio.run(_main(Path(sys.argv[1]), found)))
