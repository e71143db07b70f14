"""The Charge Points of a siege. Each keeps a transaction-related message until it is told a verdict, and sends it again
(OCPP 1.6 section 3.7.1); what it was told is written down."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

from lxml import etree
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from bridge.net.tasks import Tasks
from tests.attacks.siege_ledger import Sent, Told, Verdict
from tests.attacks.siege_messages import payload, posted
from tests.e2e.processes import Bridge
from tests.e2e.stage import post

ACTIONS_OF_A_TRANSACTION = ("StartTransaction", "MeterValues", "MeterValues", "StopTransaction")
_TWICE = 0.1
"""How many frames of a JSON Charge Point are sent twice at once."""


@dataclass(slots=True)
class Minutes:
    """What Charge Points share. `tell` is called with each answer, `sent` and `told` hold all of them. A JSON Charge
    Point sends again after `patience` seconds what nobody answered: more than the call_timeout of a siege."""

    bridge: Bridge
    random: Random
    pause: float
    tell: Callable[[Told], None]
    patience: float = 5.0
    sent: list[Sent] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    is_over: bool = False

    def attempt(self, sent: Sent) -> None:
        """Write down that a message is sent now."""
        self.sent.append(sent)

    def note(self, told: Told) -> None:
        """Write down an answer."""
        self.told.append(told)
        self.tell(told)

    async def rest(self) -> None:
        """The pause of a Charge Point between two messages."""
        await asyncio.sleep(self.pause * 2 * self.random.random())

    async def rest_after_failure(self) -> None:
        """The pause between two attempts."""
        await self.rest()


@dataclass(slots=True)
class _Message:
    """One that is kept until its verdict. `done` has that."""

    number: int
    action: str
    done: asyncio.Future[Told]


class Point:
    """One Charge Point, "S 12" or "J 12"."""

    def __init__(self, identity: str, shared: Minutes) -> None:
        self.identity = identity
        self._shared = shared

    async def live(self) -> None:
        """Charge, one transaction after the other, until the siege is over and the last is told stopped."""
        number = 0
        while not self._shared.is_over or number == 0:
            transaction = 0
            for action in ACTIONS_OF_A_TRANSACTION:
                number += 1
                told = await self._delivered(number, action, transaction)
                transaction = told.transaction or transaction
                await self._shared.rest()

    async def _delivered(self, number: int, action: str, transaction: int) -> Told:
        raise NotImplementedError

    def _told(self, message: _Message | tuple[int, str], unique_id: str, verdict: Verdict, number: Any = None) -> Told:
        which, action = (message.number, message.action) if isinstance(message, _Message) else message
        told = Told(
            identity=self.identity,
            number=which,
            action=action,
            unique_id=unique_id,
            verdict=verdict,
            transaction=number if number is None else int(number),
        )
        self._shared.note(told)
        return told


class SoapPoint(Point):
    """It POSTs, each message on a connection of its own."""

    async def _delivered(self, number: int, action: str, transaction: int) -> Told:
        while True:
            unique_id = str(uuid.uuid4())
            self._shared.attempt(Sent(identity=self.identity, number=number, action=action, unique_id=unique_id))
            told = await self._posted(number, action, transaction, unique_id)
            if told.verdict is not Verdict.FAILED:
                return told
            await self._shared.rest_after_failure()

    async def _posted(self, number: int, action: str, transaction: int, unique_id: str) -> Told:
        body = posted(self.identity, action, number, transaction, unique_id)
        try:
            answer = await post(self._shared.bridge, body)
        except (OSError, EOFError, TimeoutError):
            return self._told((number, action), unique_id, Verdict.FAILED)
        if answer.status in (429, 503):
            return self._told((number, action), unique_id, Verdict.FAILED)
        content = answer.content
        if etree.QName(content).localname == "Fault":
            return self._told((number, action), unique_id, Verdict.REFUSED)
        return self._told((number, action), unique_id, Verdict.DELIVERED, content.findtext("{*}transactionId"))


class JsonPoint(Point):
    """It is connected as long as it is let; one Call at a time."""

    def __init__(self, identity: str, shared: Minutes) -> None:
        super().__init__(identity, shared)
        self._connection: ClientConnection | None = None
        self._reading: asyncio.Task[Any] | None = None
        self._tasks = Tasks()
        self._calls: dict[str, _Message] = {}  # by UniqueId, every attempt

    async def live(self) -> None:
        try:
            await super().live()
        finally:
            if self._connection is not None:
                await self._connection.close()
            await self._tasks.close()

    async def _delivered(self, number: int, action: str, transaction: int) -> Told:
        message = _Message(number, action, asyncio.get_running_loop().create_future())
        sent = payload(action, number, transaction)
        # The first attempt only: what is known already is answered before the second copy is looked at.
        copies = 2 if self._shared.random.random() < _TWICE else 1
        while True:
            if self._connection is None and not await self._connected():
                await self._shared.rest_after_failure()
                continue
            unique_id = str(uuid.uuid4())
            self._calls[unique_id] = message
            self._shared.attempt(Sent(identity=self.identity, number=number, action=action, unique_id=unique_id))
            assert self._connection is not None
            await _send(self._connection, json.dumps([2, unique_id, action, sent]), copies)
            copies = 1
            assert self._reading is not None
            patience = self._shared.patience
            await asyncio.wait({self._reading, message.done}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if message.done.done():
                return message.done.result()
            self._told(message, unique_id, Verdict.FAILED)
            await self._shared.rest_after_failure()

    async def _connected(self) -> bool:
        url = f"{self._shared.bridge.websocket_url}/{quote(self.identity)}"
        only = [Subprotocol("ocpp1.6")]
        try:
            connection = await connect(url, subprotocols=only, compression=None, proxy=None, close_timeout=1)
        except (OSError, TimeoutError, EOFError, InvalidHandshake):
            self._told((0, "handshake"), "", Verdict.FAILED)
            return False
        self._connection = connection
        self._reading = self._tasks.spawn(self._read(connection), name=f"reading of {self.identity}")
        return True

    async def _read(self, connection: ClientConnection) -> None:
        """Until it is closed. A late answer to an earlier attempt is a verdict on its message all the same."""
        try:
            with contextlib.suppress(ConnectionClosed):
                async for text in connection:
                    kind, unique_id, *rest = json.loads(text)
                    message = self._calls.get(unique_id)
                    if message is None or kind not in (3, 4):
                        continue
                    verdict = Verdict.DELIVERED if kind == 3 else Verdict.REFUSED
                    told = self._told(message, unique_id, verdict, rest[0].get("transactionId") if kind == 3 else None)
                    if not message.done.done():
                        message.done.set_result(told)
        finally:
            self._connection = None


async def _send(connection: ClientConnection, frame: str, copies: int) -> None:
    """All in one piece: the second copy is certainly there before the first can have been answered."""
    with contextlib.suppress(ConnectionClosed):
        async with connection.send_context():
            for _ in range(copies):
                connection.protocol.send_text(frame.encode())
            connection.transport.write(b"".join(connection.protocol.data_to_send()))
