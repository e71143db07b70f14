"""A SOAP Central System that misbehaves: `python -m tests.attacks.siege_soap_central_system PORT JOURNAL CALM SEED`.

It records each numbered message before it answers. Most answers are good; some are late, doubled, foreign, half or
missing, or of a proxy in between, drawn by SEED. As soon as the file CALM exists all are good.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from random import Random

from tests.attacks.siege_json_central_system import LATE
from tests.attacks.siege_ledger import Journal, Recorded, transaction_of
from tests.attacks.siege_messages import number_in_envelope
from tests.e2e.raw_peer import Asked, RawPeer, Reply, answered, enveloped, http, result
from tests.e2e.stage import fault

_GOOD = 0.9
_HTML = b"<!DOCTYPE html><html><body>Bad gateway</body></html>"
_ELSEWHERE = 50_000
"""Added to a transactionId, it is nobody's."""


class MisbehavingCentralSystem:
    """What a RawPeer asks for each reply."""

    def __init__(self, traffic_log: Journal, calm: Path, random: Random) -> None:
        self._traffic_log = traffic_log
        self._calm = calm
        self._random = random

    def respond(self, asked: Asked) -> Reply:
        """Record what was asked, and answer it well or badly."""
        number = number_in_envelope(asked.action, asked.data)
        good = answered(asked, transaction_of(asked.identity, number or 0))
        bad = self._random.random() >= _GOOD and not self._calm.exists()
        reply, arrives = self._badly(asked, good, number or 0) if bad else (Reply(octets=good), True)
        if number is not None and arrives:
            entry = Recorded(identity=asked.identity, number=number, action=asked.action, unique_id=asked.message_id)
            self._traffic_log.record(entry)
        return reply

    def _badly(self, asked: Asked, good: bytes, number: int) -> tuple[Reply, bool]:
        """A reply, and whether the message is recorded."""
        half = len(good) - 40
        stranger = result(asked.action, transaction_of(asked.identity, number) + _ELSEWHERE)
        foreign = http("200 OK", enveloped(stranger, "urn:uuid:of-nobody"))
        replies = [
            Reply(octets=good, later=LATE),
            Reply(octets=good + good),
            Reply(octets=good, then="again"),
            Reply(octets=good[:half], then="close"),
            Reply(octets=http("200 OK", enveloped(result(asked.action), asked.message_id)[:-30])),
            Reply(octets=http("200 OK", b"")),
            Reply(octets=http("502 Bad Gateway", _HTML, content_type="text/html")),
            Reply(octets=http("503 Service Unavailable", enveloped(fault("InternalError"), asked.message_id))),
            Reply(octets=http("504 Gateway Timeout")),
            Reply(octets=http("404 Not Found", _HTML, content_type="text/html")),
            Reply(octets=http("429 Too Many Requests", headers={"Retry-After": "1"})),
            Reply(then="reset"),
            Reply(then="close"),
            Reply(then="silent"),
        ]
        if asked.place > 1:  # on a connection without an earlier request it is taken for ours
            replies.append(Reply(octets=foreign))
        reply = self._random.choice(replies)
        # A proxy may have passed it on before the answer was lost on the way back.
        answers = reply.octets.startswith(b"HTTP/1.1 200") and reply.octets != foreign
        return reply, (answers and reply.octets != foreign) or self._random.random() < 0.5


async def _main(port: int, central: MisbehavingCentralSystem) -> None:
    async with RawPeer(central.respond, port=port, keeps=False):
        print("listening", file=sys.stderr, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    port, traffic_log, calm, seed = sys.argv[1:]
    asyncio.run(_main(int(port), MisbehavingCentralSystem(Journal(Path(traffic_log)), Path(calm), Random(seed))))


if __name__ == "__main__":
    main()
