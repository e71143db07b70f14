"""A simulated Charge Point of OCPP-J 1.6. The `ocpp` package reads and checks frames, `websockets` carries them.

The Charge Point breaks no rule by itself, but a test may make it break one: a Call or an answer that does not fit its
schema is sent nevertheless, and written down in `violations`.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from bridge.lab.simulators.answers import ChargePointAnswers
from bridge.lab.simulators.json_link import JsonLink
from bridge.lab.simulators.wire import Behaviour, Observer, Payload, answer_of, basic_authorization
from bridge.net.tasks import Tasks

Hook: TypeAlias = Callable[[str, Payload], Awaitable[None]]

# The time limit of `stop` for the closing handshake, in seconds. A Central System may leave the handshake unanswered.
_CLOSE_TIMEOUT = 1


class ConnectionRefused(ConnectionError):
    """The handshake was answered with an HTTP `status` other than 101, with `headers` and `body`."""

    def __init__(self, status: int, headers: Mapping[str, str], body: str) -> None:
        super().__init__(f"the handshake was refused: HTTP {status}, {body.strip() or 'without a word'}")
        self.status = status
        self.headers = headers
        self.body = body


class JsonChargePoint:
    """A Charge Point that is connected from `start` to `stop`, or inside `async with`. It may be started again.

    Attributes:
        url: The endpoint of the Central System. The percent-encoded identity is appended to the endpoint.
        timeout: The time limit in seconds for the handshake and for each Call.
        behaviour: The answer to each action; see `wire.Behaviour`.
        on_command: The hook that is awaited before a command is answered.
        after_command: The hook that is awaited after a command was answered with a CALLRESULT.
        received: The commands that fit their schema, in the order of arrival.
        violations: Each breach of the specification or of a schema, by either side.
        link: The last connection, None before the first. Public so that a test can break the connection.

    The constructor also takes `password` for Basic authentication (None: no authentication), the `subprotocols` to
    offer, and `tls`, the context for a wss URL. `subprotocol` is the one that the Central System selected.
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
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls
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
        """Open the connection.

        Raises:
            ConnectionRefused: The Central System answered with an HTTP status other than 101.
            ConnectionError: The handshake failed for another reason.
            OSError: No server listens at the address.
            TimeoutError: The handshake took longer than `timeout` seconds.
        """
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
        """Close the connection with close code 1000, and cancel the running behaviours and hooks."""
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
        """Return the URL that the Charge Point connects to."""
        return f"{self.url.rstrip('/')}/{quote(self.identity, safe='')}"

    @property
    def subprotocol(self) -> str | None:
        """Return the subprotocol that the Central System selected, or None."""
        return self.link.websocket.subprotocol if self.link else None

    @property
    def close_code(self) -> int | None:
        """Return the close code of the last connection: 1006 without a closing handshake, None while it is open."""
        return self.link.websocket.close_code if self.link else None

    @property
    def close_reason(self) -> str | None:
        """Return the close reason of the last connection, None while the connection is open."""
        return self.link.websocket.close_reason if self.link else None

    async def wait_closed(self, timeout: float = 30) -> None:  # noqa: ASYNC109
        """Wait until the connection has ended, by either side. Raises TimeoutError after `timeout` seconds."""
        if self._running is not None:
            _, pending = await asyncio.wait({self._running}, timeout=timeout)
            if pending:
                raise TimeoutError(f"{self.identity} is still connected after {timeout} s")

    async def call(self, action: str, payload: Mapping[str, Any]) -> Payload:
        """Send a request to the Central System and return the payload of the answer.

        Requests that start at the same time are sent at the same time. That breaks OCPP-J 1.6, 4.1.1, but a gateway
        must cope with it.

        Raises:
            Refused: The answer is a CALLERROR.
            ConnectionError: The Charge Point is not connected, or the connection ended.
            TimeoutError: No answer arrived within `timeout` seconds.
        """
        if self.link is None:
            raise ConnectionError(f"{self.identity} is not connected")
        return await self.link.call(action, dict(payload), self.timeout)

    async def _connected(self) -> ClientConnection:
        secured: dict[str, Any] = {} if self._tls is None else {"ssl": self._tls}
        try:
            return await connect(
                self.endpoint,
                subprotocols=self._subprotocols or None,
                additional_headers=basic_authorization(self.identity, self._password),
                **secured,
                open_timeout=self.timeout,
                close_timeout=_CLOSE_TIMEOUT,
                compression=None,
                proxy=None,
            )
        except InvalidStatus as refused:
            response = refused.response
            body = (response.body or b"").decode(errors="replace")
            raise ConnectionRefused(response.status_code, response.headers, body) from refused
        except InvalidHandshake as error:
            raise ConnectionError(f"the handshake failed: {error}") from error

    def _find(self, action: str) -> Behaviour | None:
        """Return the behaviour for `action` with the hooks around it, or None when there is no behaviour."""
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
        """Run `hook` when the current task ends: JsonLink serves each command in one task, which sends the answer."""

        def follow(command: asyncio.Task[Any]) -> None:
            if not command.cancelled() and command.exception() is None:
                self._tasks.spawn(_run(hook, action, payload), name=f"{self.identity} after {action}")

        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(follow)


async def _run(hook: Hook, action: str, payload: Payload) -> None:
    await hook(action, payload)
