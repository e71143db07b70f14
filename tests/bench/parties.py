"""The other parties, in the process of the load: Central Systems and Charge Points that answer with what was made
before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.bench import frames, messages, posts
from tests.bench.load import GOOD, Sender, Work
from tests.bench.subject import Subject

CENTRAL_SYSTEM_SERVICE = "/services/CentralSystemService"
CHARGE_POINT_SERVICE = "/services/ChargePointService"
_ALL = (*messages.ACTIONS, *messages.COMMANDS)
_PAYLOADS = {action.encode(): messages.json_answer(action) for action in _ALL}
_ENVELOPES = {f"{action[0].lower()}{action[1:]}Request".encode(): messages.soap_answer(action) for action in _ALL}
_AT_ONCE = 32


class JsonCentralSystem:
    """Its connections, by the last segment of their path."""

    def __init__(self) -> None:
        self.connections: dict[str, frames.Party] = {}
        self.url = ""
        self._another = asyncio.Event()

    def opened(self, party: frames.Party) -> None:
        self.connections[party.path.rpartition("/")[2]] = party
        self._another.set()

    async def connected(self, count: int, seconds: float = 60.0) -> None:
        """Wait until there are `count`. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while len(self.connections) < count:
                self._another.clear()
                await self._another.wait()


@asynccontextmanager
async def json_central_system() -> AsyncIterator[JsonCentralSystem]:
    """One that listens."""
    central = JsonCentralSystem()
    port, close = await frames.accepting(_PAYLOADS, central.opened)
    central.url = f"ws://127.0.0.1:{port}/ocpp"
    try:
        yield central
    finally:
        close()
        for party in central.connections.values():
            party.close()


@asynccontextmanager
async def soap_service(path: str) -> AsyncIterator[str]:
    """The URL of a SOAP Central System or Charge Point."""
    port, close = await posts.answering(_ENVELOPES)
    try:
        yield f"http://127.0.0.1:{port}{path}"
    finally:
        close()


def identities(count: int) -> list[str]:
    """As long as each other, so that messages of one kind are."""
    return [f"B{number:04}" for number in range(count)]


def posted(action: str, identity: str, called_back_at: str = "") -> bytes:
    """The whole request of a SOAP Charge Point. Its path names it too: for the floor, which looks at nothing else."""
    body = messages.envelope(action, identity, called_back_at)
    return messages.http(f"{CENTRAL_SYSTEM_SERVICE}/{identity}", body)


@asynccontextmanager
async def soap_connections(
    subject: Subject, count: int, client: str = posts.ONE_SEGMENT
) -> AsyncIterator[Sequence[posts.Posting]]:
    """Of Charge Points to the subject, which send as `client` says (one of posts.CLIENTS)."""
    opened = await posts.posters(subject.soap, count, subject.tls, client)
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


@asynccontextmanager
async def json_charge_points(subject: Subject, names: Sequence[str]) -> AsyncIterator[list[frames.Party]]:
    """That have dialled the subject."""
    parties: list[frames.Party] = []
    try:
        for name in names:
            parties.append(await frames.dialled(subject.websocket, f"/ocpp/{name}", _PAYLOADS, subject.tls))
        yield parties
    finally:
        for party in parties:
            party.close()


async def answer_of(sender: Sender, data: bytes) -> int:
    """Send once. The status."""
    status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    sender.send(data, status.set_result)
    async with asyncio.timeout(60):
        return await status


async def once(senders: Sequence[Sender], requests: Sequence[bytes]) -> int:
    """Each request once, some at a time. How many were answered well."""
    left = iter(requests)

    async def some(sender: Sender) -> int:
        return sum([await answer_of(sender, data) == GOOD for data in left])

    return sum(await asyncio.gather(*(some(sender) for sender in senders[:_AT_ONCE])))


def paired(senders: Sequence[Sender], requests: Sequence[bytes]) -> list[Work]:
    """One request for each."""
    return list(zip(senders, requests, strict=True))
