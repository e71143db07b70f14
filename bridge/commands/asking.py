"""The client of a running gateway's admin API, for the commands that need one.

Finds the URL and the token, sends requests, and turns failures into sentences for a person.
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
from bridge.admin import token_file
from bridge.config import Settings
from bridge.config.listeners import admin_url
from bridge.errors import Complaint, ConfigurationError

API = "/api/v1"
# Longest silence of the gateway, in seconds: on the event stream, where the gateway sends a comment every 15 s, and
# before an answer, which may have to wait for a Charge Point (gateway.call_timeout).
_SILENCE, _PATIENCE = 45.0, 600.0
_PAUSE = 1.0
_JSON = "application/json"
# Octets. A refused import has up to 1000 lines in it.
_MOST_OF_A_PROBLEM = 4_194_304
_Query = Mapping[str, object]


class AskingError(OSError):
    """The gateway did not answer, or refused the request. The text is one sentence.

    `status` is the HTTP status, None if there was no response. `problem` is the content of a refusal, as RFC 9457 has
    it; empty for any other content.
    """

    def __init__(self, text: str, status: int | None = None, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.problem = dict(problem or {})


class Where(Struct, frozen=True, kw_only=True):
    """The options of the command line about the gateway. None takes the environment's or the configuration's value.

    `tenant` None is the default tenant.
    """

    url: str | None = None
    token_file: Path | None = None
    config: Path | None = None
    tenant: str | None = None


class StreamEvent(Struct, frozen=True, kw_only=True):
    """An event of the stream. `kind` is message, link, charge-point, refused or gap."""

    id: str
    kind: str
    data: Any


class AdminClient:
    """The client of the admin API, whose address is `url` followed by `/api/v1`.

    Args:
        url: The address of the admin listener.
        token: The token, None sends none.
        tls: The context of TLS, None for the default context of Python.
        tenant: The tenant that all requests are about, None for the default tenant.
    """

    def __init__(
        self,
        url: str,
        token: bytes | None = None,
        tls: ssl.SSLContext | None = None,
        tenant: str | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._root = API if tenant is None else f"{API}/tenants/{segment(tenant)}"
        self._parts = urlsplit(self.url)
        self._token = token
        self._tls = tls

    def get(self, path: str, **query: object) -> Any:
        """Return the resource at `path` ("/charge-points"). Leaves out parameters that are None. Raises AskingError."""
        return self._ask("GET", path, query)

    def send(self, method: str, path: str, body: object = None) -> Any:
        """Send a request and return the decoded answer, None for an empty one.

        Args:
            method: HTTP method.
            path: Path below the address of the API.
            body: Sent as JSON; None sends no body.

        Raises:
            AskingError: The gateway did not answer, or refused.
        """
        return self._ask(method, path, {}, None if body is None else msgspec.json.encode(body))

    def upload(self, path: str, content: bytes, kind: str, **query: object) -> Any:
        """POST content that is not JSON, and return the decoded answer.

        Args:
            path: Path below the address of the API.
            content: The content.
            kind: Its media type.
            query: The parameters; those that are None are left out.

        Raises:
            AskingError: The gateway did not answer, or refused.
        """
        return self._ask("POST", path, query, content, kind)

    def download(self, path: str) -> bytes:
        """Return the content at `path`, which is not JSON. Raises AskingError."""
        with self._answer("GET", path, {}, None, _PATIENCE) as response:
            try:
                return response.read()
            except (OSError, http.client.HTTPException) as error:
                raise self._no_bridge(f"the answer ended early: {error}", response.status) from error

    def pages(self, path: str, **query: object) -> Iterator[Any]:
        """Return all items of a listing, page by page. Raises AskingError."""
        cursor: str | None = None
        while True:
            page = self.get(path, **{"limit": 1000} | query | {"cursor": cursor})
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def events(self, path: str = "/events", **query: object) -> Iterator[StreamEvent]:
        """Return the events from now on, without end. Reconnects after a failure, and continues after the last event.

        Raises:
            AskingError: The first connection failed, or the gateway refused the request.
        """
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
                pass  # the connection failed: connect again
            time.sleep(_PAUSE)

    def _ask(self, method: str, path: str, query: _Query, body: bytes | None = None, kind: str = _JSON) -> Any:
        with self._answer(method, path, query, body, _PATIENCE, kind=kind) as response:
            try:
                data = response.read()
                return msgspec.json.decode(data) if data else None
            except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
                raise self._no_bridge(f"what answers is not JSON: {error}", response.status) from error

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        query: _Query,
        body: bytes | None,
        silence: float,
        last: str | None = None,
        kind: str = _JSON,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request and return the response if its status is 2xx. Raises AskingError."""
        with closing(self._connection(silence)) as connection:
            try:
                connection.request(
                    method, self._target(path, query), body, self._headers(kind if body is not None else None, last)
                )
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
        return f"{self._parts.path}{self._root}{path}{'?' if given else ''}{urlencode(given)}"

    def _headers(self, kind: str | None, last: str | None) -> dict[str, str]:
        headers = {"User-Agent": f"ocpp-bridge/{__version__}", "Accept": "application/json, text/event-stream"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.decode('latin-1')}"
        if kind is not None:
            headers["Content-Type"] = kind
        return headers if last is None else headers | {"Last-Event-ID": last}

    def _refusal(self, response: http.client.HTTPResponse) -> AskingError:
        status = response.status
        if status == HTTPStatus.UNAUTHORIZED:
            why = "it wants a token" if self._token is None else "the token is not one of those that it takes"
            where = "--token-file, admin.token_file in the configuration, or admin-token beside the store"
            return AskingError(f"{self.url}: {why} ({where})", status)
        try:
            problem = msgspec.json.decode(response.read(_MOST_OF_A_PROBLEM), type=dict[str, Any])
            text = problem.get("detail") or problem["title"]
        except (OSError, http.client.HTTPException, msgspec.MsgspecError, KeyError):
            return self._no_bridge(f"HTTP {status} {response.reason}", status)
        return AskingError(str(text), status, problem)

    def _no_bridge(self, why: str, status: int | None = None) -> AskingError:
        hint = "is it running, and is this its admin address? (--url, OCPP_BRIDGE_ADMIN_URL, [admin] listen)"
        return AskingError(f"no ocpp-bridge answers at {self.url} ({why}): {hint}", status)


def segment(text: str) -> str:
    """Return `text`, such as an identity, percent-encoded as one segment of a path."""
    return quote(text, safe="")


def _events(response: http.client.HTTPResponse) -> Iterator[StreamEvent]:
    """Parse the server-sent events of the gateway.

    Implements the part of https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6, that the
    gateway uses.
    """
    fields: dict[str, str] = {}
    for line in response:
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text:
            name, _, value = text.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            data = msgspec.json.decode(fields["data"])
            yield StreamEvent(id=fields.get("id", ""), kind=fields.get("event", "message"), data=data)
            fields = {}
        else:
            fields = {}


def reach(where: Where, environ: Mapping[str, str]) -> AdminClient:
    """Return the client of the gateway that options, environment and configuration name.

    Raises:
        ConfigurationError: The configuration or the URL is at fault.
        OSError: The file with the token cannot be read.
    """
    named = where.url or environ.get("OCPP_BRIDGE_ADMIN_URL") or None
    if named is not None and where.token_file is not None:
        return AdminClient(_checked(named), where.token_file.read_bytes().strip(), tenant=where.tenant)
    settings = config.load(where.config, environ)
    own = admin_url(settings.admin)
    url = own if named is None else _checked(named)
    if where.token_file is not None:
        return AdminClient(url, where.token_file.read_bytes().strip(), _tls(settings, url), where.tenant)
    # The configured token is sent to the configured gateway and to this machine, and to no other host that --url names.
    token = token_of(settings) if url == own or _is_loopback(url) else None
    return AdminClient(url, token, _tls(settings, url), where.tenant)


def token_of(settings: Settings) -> bytes | None:
    """Return the admin token of a bridge with `settings`: the configured one, else that in the file beside its store.

    Returns None if there is no such file. Raises ConfigurationError if the file cannot be read.
    """
    if settings.admin.token is not None:
        return settings.admin.token.reveal()
    path = token_file.beside(settings.store.url)
    return None if path is None else token_file.found(path)


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
    """Return the context for a gateway on this machine, None for the default context.

    The context trusts the gateway's own certificate, which need not contain the name of the loopback address.
    """
    tls = settings.admin.tls
    if tls is None or not url.startswith("https:") or not _is_loopback(url):
        return None
    context = ssl.create_default_context(cafile=tls.certificate)
    context.check_hostname = False
    return context
