"""The admin API as its users see it: requests over loopback, and what comes back."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from bridge.app import Gateway
from tests.e2e.stage import AT_MOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status, headers, and what the JSON says; None if there is none."""

    status: int
    headers: Mapping[str, str]
    data: Any


class Api:
    """Requests to a gateway's `/api/v1`. All of them carry `headers`."""

    def __init__(self, base: str, http: aiohttp.ClientSession, token: bytes | None = None) -> None:
        self.base = base
        self.headers = {} if token is None else {"Authorization": f"Bearer {token.decode()}"}
        self._http = http

    def with_token(self, token: str) -> Api:
        """The same, for who shows this token."""
        return Api(self.base, self._http, token.encode())

    async def __call__(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request; `path` is behind the prefix unless it begins with two slashes, which stand for one."""
        url = self.base + (path[1:] if path.startswith("//") else f"/api/v1{path}")
        kind = {} if body is None else {"Content-Type": "application/json"}
        octets = body if isinstance(body, bytes) else None if body is None else msgspec.json.encode(body)
        data = None if octets is None else io.BytesIO(octets)
        told = kind | self.headers | dict(headers or {})
        async with self._http.request(method, url, data=data, headers=told, allow_redirects=False) as response:
            text = await response.read()
            is_json = response.content_type.endswith("json")
            return Answer(
                status=response.status,
                headers=response.headers,
                data=msgspec.json.decode(text) if is_json else text or None,
            )

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """What a GET gives, which succeeds."""
        answer = await self("GET", path, headers=headers)
        assert answer.status == 200, answer
        return answer.data

    @asynccontextmanager
    async def events(self, query: str = "", last: str | None = None) -> AsyncIterator[Events]:
        """The live stream."""
        headers = self.headers | ({} if last is None else {"Last-Event-ID": last})
        async with self._http.get(f"{self.base}/api/v1/events{query}", headers=headers) as response:
            assert response.status == 200
            yield Events(response)


class Events:
    """Those of one stream, one by one."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self, *kinds: str) -> tuple[str, str | None, Any]:
        """The next event of one of `kinds`, any if none is given: kind, id, data. Raises EOFError at the end."""
        async with asyncio.timeout(AT_MOST):
            while True:
                kind, number, data = await self._next()
                if not kinds or kind in kinds:
                    return kind, number, data

    async def _next(self) -> tuple[str, str | None, Any]:
        fields: dict[str, str] = {}
        async for line in self.response.content:
            text = line.decode().rstrip("\n")
            if text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif "event" in fields:
                return fields["event"], fields.get("id"), msgspec.json.decode(fields["data"])
            else:
                fields = {}
        raise EOFError


@asynccontextmanager
async def api_of(gateway: Gateway) -> AsyncIterator[Api]:
    """The API of a gateway, with the token that it made, if it made one."""
    host, port = gateway.admin_address
    async with aiohttp.ClientSession() as http:
        yield Api(f"http://{host}:{port}", http, gateway.admin_token)
