"""A Charge Point that speaks OCPP-J 1.6: the `ocpp` package reads and checks, `websockets` carries.

It breaks no rule by itself, but a test may make it: a Call or a behaviour's answer that does not fit its schema is sent
all the same, and written down in `violations`.
"""

from __future__ import annotations

import asyncio
import base64
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from bridge.simulators.answers import ChargePointAnswers
from bridge.simulators.json_link import JsonLink
from bridge.simulators.wire import Behaviour, Observer, Payload, answer_of
from bridge.tasks import Tasks

Hook: TypeAlias = Callable[[str, Payload], Awaitable[None]]

# How long a Central System that does not answer our closing handshake may delay `stop`, in seconds.
_CLOSE_TIMEOUT = 1


class HandshakeRefused(ConnectionError):
    """The handshake was answered with an HTTP `status` other than 101, and with `headers` and `body`."""

    def __init__(self, status: int, headers: Mapping[str, str], body: str) -> None:
        super().__init__(f"the handshake was refused: HTTP {status}, {body.strip() or 'without a word'}")
        self.status = status
        self.headers = headers
        self.body = body


class JsonChargePoint:
    """One Charge Point. Connected from `start` to `stop`, or inside `async with`; may be started again.

    url             the endpoint; the identity is appended to it, percent-encoded
    password        given with the identity in Basic authentication; None: no authentication
    subprotocols    what is offered; `subprotocol` is what was chosen
    timeout         seconds for the handshake, and for each Call
    behaviour       by action, what it answers; see `wire.Behaviour`
    on_command      awaited before a command is answered
    after_command   awaited after a command was answered, unless with a CALLERROR
    received        the commands that fit their schema, in the order they came
    violations      what went over the wire, either way, that the specification or a schema does not allow
    link            the last connection, None before the first; public so that a test can break it
    """

    def __init__(
        self,
        *,
        url: str,
        identity: str,
        password: bytes | None = None,
        subprotocols: Sequence[str] = ("ocpp1.6",),
        observe: Observer | None = None,
        timeout: float = 60,
    ) -> None:
        self.url = url
        self.identity = identity
        self.answers = ChargePointAnswers()
        self.behaviour: dict[str, Behaviour] = self.answers.table()
        self.on_command: Hook | None = None
        self.after_command: Hook | None = None
        self.received: list[tuple[str, Payload]] = []
        self.violations: list[str] = []
        self.link: JsonLink | None = None
        self._password = password
        self._subprotocols = [Subprotocol(name) for name in subprotocols]
        self._observe = observe
        self.timeout = timeout
        self._running: asyncio.Task[None] | None = None
        self._tasks = Tasks()

    async def start(self) -> None:
        """Connect. Raises HandshakeRefused, another ConnectionError, OSError when nobody is there, TimeoutError."""
        websocket = await self._connected()
        self.link = JsonLink(
            websocket,
            party="charge_point",
            find=self._find,
            carried_out=lambda action, payload: self.received.append((action, payload)),
            object_to=lambda breach: self.violations.append(breach),
            observe=self._observe,
        )
        self._running = self._tasks.spawn(self.link.run(), name=f"{self.identity} connection")

    async def stop(self) -> None:
        """Close the connection with 1000; behaviours and hooks that still run are cancelled."""
        if self.link is not None:
            await self.link.websocket.close()
            await self.wait_closed()
        await self._tasks.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def endpoint(self) -> str:
        """Where it connects to."""
        return f"{self.url.rstrip('/')}/{quote(self.identity, safe='')}"

    @property
    def subprotocol(self) -> str | None:
        """What the Central System chose; None when it chose none."""
        return self.link.websocket.subprotocol if self.link else None

    @property
    def close_code(self) -> int | None:
        """Of the last connection, 1006 when it broke without a word; None while it is open."""
        return self.link.websocket.close_code if self.link else None

    @property
    def close_reason(self) -> str | None:
        """Beside `close_code`."""
        return self.link.websocket.close_reason if self.link else None

    async def wait_closed(self, timeout: float = 30) -> None:  # noqa: ASYNC109
        """Until the connection has ended, whoever ended it; TimeoutError when it has not by then."""
        if self._running is not None:
            _, pending = await asyncio.wait({self._running}, timeout=timeout)
            if pending:
                raise TimeoutError(f"{self.identity} is still connected after {timeout} s")

    async def call(self, action: str, payload: Mapping[str, Any]) -> Payload:
        """Ask the Central System; gives the payload of its answer.

        Raises Refused for a CALLERROR, ConnectionError without a connection or when it ends, TimeoutError.
        Several at once are sent at once: that breaks OCPP-J 1.6, 4.1.1, and is what a gateway must cope with.
        """
        if self.link is None:
            raise ConnectionError(f"{self.identity} is not connected")
        return await self.link.call(action, dict(payload), self.timeout)

    async def _connected(self) -> ClientConnection:
        try:
            return await connect(
                self.endpoint,
                subprotocols=self._subprotocols or None,
                additional_headers=self._authorization(),
                open_timeout=self.timeout,
                close_timeout=_CLOSE_TIMEOUT,
                compression=None,
                proxy=None,
            )
        except InvalidStatus as refused:
            response = refused.response
            body = (response.body or b"").decode(errors="replace")
            raise HandshakeRefused(response.status_code, response.headers, body) from refused
        except InvalidHandshake as error:
            raise ConnectionError(f"the handshake failed: {error}") from error

    def _authorization(self) -> dict[str, str]:
        if self._password is None:
            return {}
        credentials = base64.b64encode(self.identity.encode() + b":" + self._password)
        return {"Authorization": f"Basic {credentials.decode()}"}

    def _find(self, action: str) -> Behaviour | None:
        """The behaviour with the hooks around it."""
        behaviour = self.behaviour.get(action)
        return None if behaviour is None else functools.partial(self._carry_out, action, behaviour)

    async def _carry_out(self, action: str, behaviour: Behaviour, payload: Payload) -> Payload:
        if self.on_command is not None:
            await self.on_command(action, payload)
        answer = await answer_of(behaviour, payload)
        if self.after_command is not None:
            self._when_answered(self.after_command, action, payload)
        return answer

    def _when_answered(self, hook: Hook, action: str, payload: Payload) -> None:
        """Run `hook` at the end of the current task: JsonLink carries out each command in one that sends its answer."""

        def follow(command: asyncio.Task[Any]) -> None:
            if not command.cancelled() and command.exception() is None:
                self._tasks.spawn(_run(hook, action, payload), name=f"{self.identity} after {action}")

        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(follow)


async def _run(hook: Hook, action: str, payload: Payload) -> None:
    await hook(action, payload)
