"""Asks a running gateway through its admin API, for the commands that do: where it listens, the token, and what an
answer that is none means to a person.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from bridge import __version__, config
from bridge.config import Listen, Settings
from bridge.errors import Complaint, ConfigurationError

API = "/api/v1"
# Seconds that the gateway may be silent: on its stream, where a comment comes every 15 s; and before an answer, which
# a Charge Point may take its time for (gateway.call_timeout).
_SILENCE, _PATIENCE = 45.0, 600.0
_PAUSE = 1.0
_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (to be reached there)
_Query = Mapping[str, object]


class AskingError(OSError):
    """The gateway gave no answer, or one that is a refusal; the text says so in one sentence. `status` is that of
    HTTP, None if nothing answered."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class Where(Struct, frozen=True, kw_only=True):
    """What the command line says of it; None is: as the environment and the configuration say."""

    url: str | None = None
    token_file: Path | None = None
    config: Path | None = None


class Event(Struct, frozen=True, kw_only=True):
    """One of the stream: `kind` is message, link, charge-point, refused or gap."""

    id: str
    kind: str
    data: Any


class Gateway:
    """The admin API at `url`, below which `/api/v1` lies."""

    def __init__(self, url: str, token: bytes | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.url = url.rstrip("/")
        self._parts = urlsplit(self.url)
        self._token = token
        self._tls = tls

    def get(self, path: str, **query: object) -> Any:
        """What is at `path` ("/charge-points"); parameters that are None are left out. Raises AskingError."""
        return self._ask("GET", path, query)

    def send(self, method: str, path: str, body: object = None) -> Any:
        """The answer to `body`, which goes as JSON; None if it is empty. Raises AskingError."""
        return self._ask(method, path, {}, None if body is None else msgspec.json.encode(body))

    def pages(self, path: str, **query: object) -> Iterator[Any]:
        """All items of a listing, page by page. Raises AskingError."""
        cursor: str | None = None
        while True:
            page = self.get(path, **{"limit": 1000} | query | {"cursor": cursor})
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def events(self, path: str = "/events", **query: object) -> Iterator[Event]:
        """What happens from now on, without end: a stream that breaks is taken up again where it broke. Raises
        AskingError if it cannot be had at first, or is refused."""
        last: str | None = None
        begun = False
        while True:
            try:
                with self._answer("GET", path, query, None, _SILENCE, last) as response:
                    begun = True
                    for event in _events(response):
                        last = event.id or last
                        yield event
            except AskingError as error:
                if not begun or error.status not in (None, HTTPStatus.SERVICE_UNAVAILABLE):
                    raise
            except (OSError, http.client.HTTPException):
                pass  # it broke
            time.sleep(_PAUSE)

    def _ask(self, method: str, path: str, query: _Query, body: bytes | None = None) -> Any:
        with self._answer(method, path, query, body, _PATIENCE) as response:
            try:
                data = response.read()
                return msgspec.json.decode(data) if data else None
            except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
                raise self._no_bridge(f"what answers is not JSON: {error}", response.status) from error

    @contextmanager
    def _answer(
        self, method: str, path: str, query: _Query, body: bytes | None, silence: float, last: str | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """The response, if it is a good one. Raises AskingError."""
        with closing(self._connection(silence)) as connection:
            try:
                connection.request(method, self._target(path, query), body, self._headers(body, last))
                response = connection.getresponse()
            except TimeoutError as error:
                raise AskingError(f"the bridge at {self.url} does not answer") from error
            except ConnectionError as error:
                raise self._no_bridge(error.strerror or "the connection was closed") from error
            except (OSError, http.client.HTTPException) as error:
                raise self._no_bridge(str(error)) from error
            if not 200 <= response.status < 300:
                raise self._refusal(response)
            yield response

    def _connection(self, silence: float) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=silence, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=silence)

    def _target(self, path: str, query: _Query) -> str:
        given = {name.rstrip("_"): value for name, value in query.items() if value is not None}
        return f"{self._parts.path}{API}{path}{'?' if given else ''}{urlencode(given)}"

    def _headers(self, body: bytes | None, last: str | None) -> dict[str, str]:
        headers = {"User-Agent": f"ocpp-bridge/{__version__}", "Accept": "application/json, text/event-stream"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.decode('latin-1')}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        return headers if last is None else headers | {"Last-Event-ID": last}

    def _refusal(self, response: http.client.HTTPResponse) -> AskingError:
        status = response.status
        if status == HTTPStatus.UNAUTHORIZED:
            why = "it wants a token" if self._token is None else "the token is not the one that it was given"
            return AskingError(f"{self.url}: {why} (--token-file, or admin.token_file in the configuration)", status)
        try:
            problem = msgspec.json.decode(response.read(65536), type=dict[str, Any])
            text = problem.get("detail") or problem["title"]
        except (OSError, http.client.HTTPException, msgspec.MsgspecError, KeyError):
            return self._no_bridge(f"HTTP {status} {response.reason}", status)
        return AskingError(str(text), status)

    def _no_bridge(self, why: str, status: int | None = None) -> AskingError:
        hint = "is it running, and is this its admin address? (--url, OCPP_BRIDGE_ADMIN_URL, [admin] listen)"
        return AskingError(f"no ocpp-bridge answers at {self.url} ({why}): {hint}", status)


def segment(text: str) -> str:
    """`text`, an identity for instance, as one segment of a path."""
    return quote(text, safe="")


def _events(response: http.client.HTTPResponse) -> Iterator[Event]:
    """https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6, of what our gateway sends."""
    fields: dict[str, str] = {}
    for line in response:
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text:
            name, _, value = text.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            data = msgspec.json.decode(fields["data"])
            yield Event(id=fields.get("id", ""), kind=fields.get("event", "message"), data=data)
            fields = {}
        else:
            fields = {}


def reach(where: Where, environ: Mapping[str, str]) -> Gateway:
    """The gateway that is meant. Raises ConfigurationError, and OSError for a token that cannot be read."""
    named = where.url or environ.get("OCPP_BRIDGE_ADMIN_URL") or None
    if named is not None and where.token_file is not None:
        return Gateway(_checked(named), where.token_file.read_bytes().strip())
    settings = config.load(where.config, environ)
    own = _address(settings)
    url = own if named is None else _checked(named)
    if where.token_file is not None:
        return Gateway(url, where.token_file.read_bytes().strip(), _tls(settings, url))
    # The configured token is for the configured gateway: it is not sent to wherever --url leads.
    token = settings.admin.token if url == own or _is_loopback(url) else None
    return Gateway(url, None if token is None else token.reveal(), _tls(settings, url))


def _address(settings: Settings) -> str:
    listen = settings.admin.listen
    listen = Listen(_LOOPBACK_OF.get(listen.host, listen.host), listen.port)
    return f"{'http' if settings.admin.tls is None else 'https'}://{listen}"


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and not (parts.query or parts.fragment or "@" in parts.netloc) and url.isprintable()
    except ValueError:
        usable = False
    if usable:
        return url.rstrip("/")
    text = f"expected http://HOST:PORT or https://HOST:PORT, not {url!r}"
    raise ConfigurationError([Complaint(source="--url or OCPP_BRIDGE_ADMIN_URL", key="", text=text)])


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(settings: Settings, url: str) -> ssl.SSLContext | None:
    """On this machine the gateway is known by its own certificate, which need not name the loopback."""
    tls = settings.admin.tls
    if tls is None or not url.startswith("https:") or not _is_loopback(url):
        return None
    context = ssl.create_default_context(cafile=tls.certificate)
    context.check_hostname = False
    return context
