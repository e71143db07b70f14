"""A JSON Central System that misbehaves: `python -m tests.attacks.siege_json_central_system PORT JOURNAL CALM SEED`.

It records each numbered message before it answers. Most answers are good; some are late, doubled, foreign, half or
missing, drawn by SEED. As soon as the file CALM exists all are good.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bridge.net.tasks import Tasks
from tests.attacks.siege_ledger import Journal, Recorded, transaction_of
from tests.attacks.siege_messages import number_in_payload
from tests.e2e.stage import AT

LATE = 2.5
"""Seconds; more than the call_timeout of a siege."""
_GOOD = 0.9
_MISDEEDS = ("late", "doubled", "foreign", "earlier", "half", "no end", "no transactionId", "hung up", "silent")


class MisbehavingCentralSystem:
    """One for all connections."""

    def __init__(self, traffic_log: Journal, calm: Path, random: Random) -> None:
        self._traffic_log = traffic_log
        self._calm = calm
        self._random = random
        self._tasks = Tasks()

    async def serve(self, port: int) -> None:
        """For ever."""
        only = Subprotocol("ocpp1.6")
        async with serve(self._accepted, "127.0.0.1", port, subprotocols=[only], compression=None):
            print("listening", file=sys.stderr, flush=True)
            await asyncio.Event().wait()

    async def _accepted(self, websocket: ServerConnection) -> None:
        assert websocket.request is not None
        identity = unquote(websocket.request.path.rpartition("/")[2])
        earlier = "none"
        with contextlib.suppress(ConnectionClosed):
            async for text in websocket:
                frame = json.loads(text)
                if frame[0] != 2:
                    continue
                misdeed = self._misdeed()
                if misdeed == "hung up":
                    # Recorded or not, the Charge Point gets no answer.
                    if self._random.random() < 0.5:
                        self._record(identity, frame)
                    websocket.transport.abort()
                    return
                self._record(identity, frame)
                answers = answers_to(identity, frame, misdeed, earlier)
                later = LATE if misdeed == "late" else 0
                self._tasks.spawn(_send(websocket, answers, later), name=f"answer to {identity}")
                if misdeed in ("", "doubled"):  # what has no answer yet would be answered by it
                    earlier = frame[1]

    def _misdeed(self) -> str:
        if self._random.random() < _GOOD or self._calm.exists():
            return ""
        return self._random.choice(_MISDEEDS)

    def _record(self, identity: str, frame: list[Any]) -> None:
        number = number_in_payload(frame[2], frame[3])
        if number is not None:
            self._traffic_log.record(Recorded(identity=identity, number=number, action=frame[2], unique_id=frame[1]))


async def _send(websocket: ServerConnection, frames: list[str], later: float) -> None:
    await asyncio.sleep(later)
    with contextlib.suppress(ConnectionClosed):
        for frame in frames:
            await websocket.send(frame)


def answers_to(identity: str, call: list[Any], misdeed: str, earlier: str) -> list[str]:
    """The frames that are sent for `call`. `earlier` is the UniqueId of a Call that had its answer."""
    _, unique_id, action, sent = call
    number = number_in_payload(action, sent) or 0
    good = json.dumps([3, unique_id, _result(action, transaction_of(identity, number))])
    another = _result(action, transaction_of(identity, number) + 50_000)
    match misdeed:
        case "doubled":
            return [good, good]
        case "foreign":
            return [json.dumps([3, f"foreign-{unique_id}", another]), good]
        case "earlier":
            return [json.dumps([3, earlier, another]), good]
        case "half":
            return [good[: good.index("{") + 1]]
        case "no end":
            return [good[:-1]]
        # Between two JSON parties payloads are passed on as they are.
        case "no transactionId" if action == "StartTransaction" and identity.startswith("S"):
            return [json.dumps([3, unique_id, {"idTagInfo": {"status": "Accepted"}}])]
        case "silent":
            return []
        case _:
            return [good]


def _result(action: str, transaction: int) -> dict[str, Any]:
    accepted = {"status": "Accepted"}
    results: dict[str, dict[str, Any]] = {
        "StartTransaction": {"transactionId": transaction, "idTagInfo": accepted},
        "BootNotification": {"status": "Accepted", "currentTime": AT, "interval": 300},
        "Authorize": {"idTagInfo": accepted},
        "Heartbeat": {"currentTime": AT},
    }
    return results.get(action, {})


def main() -> None:
    """Serve until killed."""
    port, traffic_log, calm, seed = sys.argv[1:]
    central = MisbehavingCentralSystem(Journal(Path(traffic_log)), Path(calm), Random(seed))
    asyncio.run(central.serve(int(port)))


if __name__ == "__main__":
    main()
