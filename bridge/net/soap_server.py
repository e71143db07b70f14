"""The OCPP-S listener: HTTP requests to envelopes, and replies to HTTP responses. It decides nothing about a message.

A SoapEndpoint is the address of a service. The response to a request with any other address lists the right ones.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
import ssl
import zlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import lru_cache, partial
from time import time
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote

from msgspec import Struct
from msgspec.structs import replace

from bridge.access import paths
from bridge.errors import AccessDenied, BridgeError, ErrorCode, HeldElsewhere, MessageError, Unavailable, Why
from bridge.net.descriptors import Inherited
from bridge.net.endpoints import Admission, EndpointDirections, Refused, SoapEndpoint, SoapSender
from bridge.net.forwarding import ForwardedPost, Holders, shared_key
from bridge.net.http_server import HeaderFields, HttpConnection, HttpRequest, HttpServer, HttpServerTerms, Respond
from bridge.net.large import aside
from bridge.net.limits.connections import ConnectionLimits, ConnectionRules
from bridge.net.limits.refusal_summary import RefusalSummary
from bridge.net.limits.request_queue import RequestQueue
from bridge.net.overload import OverloadResponse
from bridge.net.proxies.rules import DIRECT, Misled, Origin, Proxies
from bridge.net.tasks import Tasks
from bridge.ocpp import identity as identities
from bridge.ocpp import tenants
from bridge.ocpp.actions import Party
from bridge.ocpp.device_profile import Boot
from bridge.ocpp.message_size import takes_long
from bridge.ocpp.wire import Octets, Wires
from bridge.ocpps import envelope as soap
from bridge.ocpps.codec import boot_of
from bridge.ocpps.envelope import Addressing, Envelope
from bridge.ocpps.replies import RETRY_AFTER, Reply
from bridge.ocpps.service import PendingRequests, SoapContext, SoapService
from bridge.ocpps.xml import PLAIN_BOUNDS, XmlBounds
from bridge.watching import logs

_log = logging.getLogger("bridge.ocpps")
T = TypeVar("T")
# Seconds until the responses to requests in progress are cut off when the listener closes.
_LAST_WORDS = 0.5
# Seconds between a refusal unread and the report of all such refusals.
_SOON = 0.1
# Seconds after which a peer that has too many requests in progress may try again.
_RETRY_AFTER = 10.0
# Takes the IP address of the sender, the reason, and the number of refused requests.
TurnedAway = Callable[[str, BridgeError, int], None]
# Octets from which a response is compressed, if the peer accepts that (OCPP-S 1.6 section 6.1: peers support gzip and
# deflate).
_WORTH_COMPRESSING = 4096
# The number and length of the paths that are cached: each Charge Point may have a path of its own.
_PLACES, _LONGEST_PATH = 20_000, 300
_NO_WEIGHT = re.compile(r"q\s*=\s*0(?:\.0*)?")
_CODINGS: Mapping[str, Callable[[bytes], bytes]] = {"gzip": partial(gzip.compress, mtime=0), "deflate": zlib.compress}


class SoapServer:
    """The OCPP-S listener.

    Args:
        soap_endpoints: The services and their addresses.
        pending: Holds the requests whose Calls wait for their answer.
        public_url: The URL of this listener as peers see it.
        elsewhere: The URL of the OCPP-J listener, for the help texts.
        max_body: The most octets of a request's content, before and after decompression.
        body_timeout: The most seconds that a content may take.
        idle_timeout: The most seconds between a response and the next request on a connection.
        bounds: The limits on the XML of a request.
        rules: The limits on connections.
        proxies: The proxies whose forwarding headers are trusted.
        most_waiting: The most requests that wait in the request queue.
        refused: Called with each message that is refused before its Call is handled.
        turned_away: Called with the number of requests from an IP address that were refused unread.
        name: The name of the listener.
        admits: Returns whether an IP address may use this listener.
        tenant_at: Returns the tenant for the hosts that a request names, None if they are not of this listener.
        url_for: Returns the URL of this listener as the peers of a tenant see it.
        holders: Says which process has a Charge Point; None if this is the only process.
    """

    def __init__(
        self,
        soap_endpoints: Sequence[SoapEndpoint],
        *,
        pending: PendingRequests,
        public_url: str,
        elsewhere: str,
        max_body: int,
        body_timeout: float,
        idle_timeout: float = 75.0,
        bounds: XmlBounds = PLAIN_BOUNDS,
        rules: ConnectionRules = ConnectionRules(),  # noqa: B008  frozen
        proxies: Proxies = DIRECT,
        most_waiting: int = 1000,
        refused: Refused,
        turned_away: TurnedAway,
        name: str = "soap",
        admits: Callable[[str], bool] = lambda peer: True,
        tenant_at: Callable[[Sequence[str]], str | None] = lambda hosts: tenants.DEFAULT,
        url_for: Callable[[str], str] | None = None,
        holders: Holders | None = None,
    ) -> None:
        self._name = name
        self._holders = holders
        self._tenant_at = tenant_at
        self._url_for = url_for
        self._pending = pending
        self._admits = admits
        self._endpoints = {soap_endpoint.path.lower(): soap_endpoint for soap_endpoint in soap_endpoints}
        self._placed = _at_hand(self._place_of)
        self._directions = EndpointDirections(soap_endpoints, public_url, elsewhere)
        self._refused = refused
        self._turned_away = turned_away
        self._connection_limits = ConnectionLimits(rules, self._hung_up, proxies)
        self._request_queue = RequestQueue(most=most_waiting)
        self._busy = OverloadResponse(soap_endpoints, self._request_queue.full)
        self._refusal_summary = RefusalSummary(_soon, self._were_busy)
        self._bounds = bounds
        self._tasks = Tasks()
        terms = HttpServerTerms(
            serve=self._serve,
            begins=self._begins,
            ends=lambda request: self._connection_limits.connection_count.release(request.counted),
            request_queue=self._request_queue,
            refusal=self._busy,
            refusal_summary=self._refusal_summary,
            max_body=max_body,
            body_timeout=body_timeout,
            idle_timeout=idle_timeout,
        )
        self._http = HttpServer(terms, self._connection_limits)
        self.address: tuple[str, int] = ("", 0)
        self.bound: tuple[tuple[str, int], ...] = ()

    @property
    def listening(self) -> bool:
        """Whether the listener accepts connections."""
        return self._http.listening

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None, inherited: Inherited | None = None) -> None:
        """Listen on each IP address of `host`.

        Args:
            host: An IP address of this machine, or one of its names.
            port: The port, 0 for any.
            tls: The TLS settings; None for plain HTTP.
            inherited: The sockets that another process bound; None binds them here.

        Raises:
            OSError: An address cannot be listened on.
        """
        await self._http.start(host, port, tls, inherited)
        self.bound = self._http.bound
        self.address = self.bound[0]

    async def close(self) -> None:
        """Stop listening, and close the connections."""
        await self._http.close()
        self._request_queue.close()
        self._refusal_summary.tell()
        await self._tasks.close()
        await self._http.hang_up(_LAST_WORDS)

    def _hung_up(self, peer: str, status: int, text: str, why: Why) -> None:
        error = BridgeError(ErrorCode.FormationViolation, f"HTTP {status}: {text}", why=why)
        self._refused(self._nobody(), peer, error, None, Party.CHARGE_POINT, b"")

    def _were_busy(self, peer: str, times: int) -> None:
        text = f"HTTP 503: {self._request_queue.full}" + (f", {times} times" if times > 1 else "")
        self._turned_away(peer, BridgeError(ErrorCode.InternalError, text, why=Why.BUSY), times)

    def _serve(self, request: HttpRequest, connection: HttpConnection, respond: Respond) -> None:
        """Handle a request. Call `respond` once with the reply, now or later."""
        soap_endpoint, version, tail = self._placed(request.path)
        try:
            origin = connection.proxies.origin(connection.came, request.headers.all)
        except Misled as error:
            respond(self._misled(connection.came.address, soap_endpoint, error))
            return
        if not self._admits(origin.address):
            respond(self._turn_away(origin.address, soap_endpoint))
        elif (tenant := self._tenant_at(request.hosts)) is None:
            respond(self._wrong_door(request, origin.address, 404, "This listener is not for that host."))
        elif "websocket" in request.headers.get("Upgrade").lower():
            headers = (("Upgrade", "HTTP/1.1"),)
            respond(self._wrong_door(request, origin.address, 426, "This is the OCPP-S (SOAP) port.", headers))
        elif request.method == "POST" and soap_endpoint is not None:
            self._message(Post(request=request, origin=origin, tenant=tenant), soap_endpoint, version, tail, respond)
        else:
            respond(self._page(request, origin.address, soap_endpoint, version, tail))

    def forwarded(self, sender: str, post: ForwardedPost, respond: Respond) -> None:
        """Handle a POST that another process received. Call `respond` once, now or later.

        Args:
            sender: The process.
            post: The POST.
            respond: Takes the response; None if this process does not have the Charge Point.
        """
        soap_endpoint, version, tail = self._placed(post.path)
        if soap_endpoint is None:  # it was one for the sender, whose configuration is another
            respond(None)
            return
        came = Post(request=post.request(sender), origin=post.origin, tenant=post.tenant, is_forwarded=True)
        self._message(came, soap_endpoint, version, tail, respond)

    def _begins(self, request: HttpRequest, connection: HttpConnection) -> BridgeError | None:
        """Count a request for its sender if the sender shares the connection of a proxy with others.

        Such a sender may have as many requests in progress as other senders may have connections. The request counts
        from its head to its end.
        """
        if not connection.is_shared:
            return None
        try:
            peer = connection.proxies.origin(connection.came, request.headers.all).address
        except Misled:
            return None  # `_serve` refuses the request
        full = self._connection_limits.connection_count.assign(peer)
        if full is not None:
            return Unavailable(full, why=Why.TOO_MANY_CONNECTIONS, retry_after=_RETRY_AFTER)
        request.counted = peer
        return None

    def _place_of(self, path: str) -> tuple[SoapEndpoint | None, str, str]:
        """Return the SoapEndpoint at `path`, the OCPP version that the path names, and the rest of the path.

        Letter case and doubled slashes are ignored: some devices change them.
        """
        path = paths.plain(path)
        lower = path.lower()
        for known, soap_endpoint in self._endpoints.items():
            if lower == known or lower.startswith(f"{known}/"):
                return soap_endpoint, *soap_endpoint.version_in(path[len(known) + 1 :])
        return None, "", ""

    def _nobody(self, hosts: Sequence[str] = ()) -> str | None:
        """Return the key for a refusal without an identity, None in the default tenant."""
        tenant = self._tenant_at(hosts)
        if tenant is None:
            tenant = self._tenant_at(())
        return tenants.key_of(tenant or tenants.DEFAULT, "") or None

    def _address(self, soap_endpoint: SoapEndpoint, tenant: str) -> str:
        """Return the address of an endpoint as the peers of a tenant see it."""
        if not tenant or self._url_for is None:
            return self._directions.url(soap_endpoint)
        return self._url_for(tenant).rstrip("/") + soap_endpoint.path

    def _turn_away(self, peer: str, soap_endpoint: SoapEndpoint | None) -> Reply:
        """Refuse a request from a network that may not use this listener. The response lists no addresses."""
        error = BridgeError(ErrorCode.SecurityError, "this listener is not for its network", why=Why.WRONG_ADDRESS)
        caller = Party.CHARGE_POINT if soap_endpoint is None else soap_endpoint.caller
        self._refused(self._nobody(), peer, error, None, caller, b"")
        return _text(403, "This listener is not for your network.\n", closes=True)

    def _misled(self, peer: str, soap_endpoint: SoapEndpoint | None, error: Misled) -> Reply:
        """Refuse a request whose forwarding headers, from a trusted proxy, cannot be used."""
        refusal = BridgeError(ErrorCode.FormationViolation, f"HTTP 400: {error}", why=Why.MALFORMED)
        caller = Party.CHARGE_POINT if soap_endpoint is None else soap_endpoint.caller
        self._refused(self._nobody(), peer, refusal, None, caller, b"")
        return _text(400, f"Refused: {error}.\n")

    # Requests that are no messages.

    def _page(
        self, request: HttpRequest, peer: str, soap_endpoint: SoapEndpoint | None, version: str, tail: str
    ) -> Reply:
        """Return the response to a request that is no message: a WSDL, the page of /services, or a help text."""
        if request.method == "GET" and soap_endpoint is not None and not tail:
            return self._describe(request, peer, soap_endpoint, version)
        if request.method == "GET" and paths.plain(request.path).lower() == "/services":
            page = self._directions.page().encode()
            return Reply(status=200, body=page, content_type="text/html; charset=utf-8")
        if soap_endpoint is not None:
            why = f"{request.method} is no use here."
            return self._wrong_door(request, peer, 405, why, (("Allow", "GET, POST"),))
        return self._wrong_door(request, peer, 404, f"Nothing is served at {self._path_of(request.path)}.")

    def _wrong_door(
        self, request: HttpRequest, peer: str, status: int, why: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> Reply:
        said = f"wrong door: {request.method[:20]} {self._path_of(request.path)}, HTTP {status}"
        caller = next(iter(self._endpoints.values())).caller
        error = BridgeError(ErrorCode.NotSupported, said, why=Why.WRONG_DOOR)
        self._refused(self._nobody(request.hosts), peer, error, None, caller, b"")
        return _text(status, self._directions.text(why), headers)

    def _path_of(self, path: str) -> str:
        """Return a path as logs and responses may show it, without secrets."""
        return paths.shown(path, [word for path in self._endpoints for word in path.split("/")])

    def _describe(self, request: HttpRequest, peer: str, soap_endpoint: SoapEndpoint, version: str) -> Reply:
        query = {name.lower(): value for name, value in parse_qsl(request.query, keep_blank_values=True)}
        if "wsdl" not in query:
            text = "A SOAP service takes POST; its description is at ?wsdl."
            return self._wrong_door(request, peer, 405, text, (("Allow", "POST"),))
        address = self._directions.url(soap_endpoint) + (f"/{version}" if version else "")
        version = query.get("version", version or next(iter(soap_endpoint.services)))
        service = soap_endpoint.services.get(version)
        if service is None:
            known = ", ".join(soap_endpoint.services)
            return self._wrong_door(request, peer, 404, f"There is no version {version[:20]} here, but {known}.")
        description = service.service.describe(address)
        return Reply(status=200, body=description, content_type="text/xml; charset=utf-8")

    # Messages.

    def _message(self, post: Post, soap_endpoint: SoapEndpoint, version: str, tail: str, respond: Respond) -> None:
        """Handle a POST to an endpoint. Call `respond` once with the reply, now or later."""
        if (failure := post.request.failure) is not None:
            reply = self._refuse(soap_endpoint, _unreadable(), None, post, failure, b"")
            respond(replace(reply, status=413) if failure.why is Why.TOO_LARGE else reply)
            return
        opened = partial(self._opened, post, soap_endpoint, version, tail, respond)
        holders = None if post.is_forwarded else self._holders
        if holders is not None and (identity := soap.probable_identity(post.body)) is not None:
            key = holders.key_of(soap_endpoint.caller, tenants.key_of(post.tenant, identity))
            if not holders.is_here(key):
                self._tasks.spawn(self._forward_unread(key, post, opened, respond, holders), name="forwarding")
                return
        self._open(post, opened)

    def _open(self, post: Post, opened: Callable[[OpenedPost | BridgeError], None]) -> None:
        if takes_long(post.body):
            self._aside(partial(self._read, post.body, is_large=True), opened)
        else:
            opened(self._read(post.body, is_large=False))

    async def _forward_unread(
        self,
        key: str,
        post: Post,
        opened: Callable[[OpenedPost | BridgeError], None],
        respond: Respond,
        holders: Holders,
    ) -> None:
        """Let the process that seems to have the Charge Point read a message and answer it. Else read it here.

        To read it here first would take about as long as all else of the forwarding.
        """
        forwarded = ForwardedPost.of(self._name, post.request, post.origin, post.tenant, holders.process)
        reply = await holders.forward_unread(key, forwarded)
        if reply is None:
            self._open(post, opened)
        else:
            respond(reply)

    def _read(self, body: bytes, *, is_large: bool) -> OpenedPost | BridgeError:
        try:
            opened = soap.read(body, self._bounds)
        except BridgeError as error:
            return error
        fault, boot = soap.read_fault(opened.body), boot_of(opened.body)
        return OpenedPost(envelope=opened, fault=fault, boot=boot, is_large=is_large)

    def _aside(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run `work` in a thread, then call `then` with its result in the loop."""

        async def done() -> None:
            then(await aside(work))

        self._tasks.spawn(done(), name="a large message")

    def _opened(
        self,
        post: Post,
        soap_endpoint: SoapEndpoint,
        version: str,
        tail: str,
        respond: Respond,
        read: OpenedPost | BridgeError,
    ) -> None:
        if isinstance(read, BridgeError):
            respond(self._refuse(soap_endpoint, _unreadable(), None, post, read, post.body))
            return
        opened = read.envelope
        if read.fault is not None:
            self._refused_fault(post, soap_endpoint, opened, read.fault)
            # The response is no Fault: two programs must not exchange Faults without end (delivery.md D3).
            respond(Reply(status=202, body=b"", content_type=opened.soap.content_type))
            return
        if version and version not in soap_endpoint.versions_of(opened):
            shown = self._path_of(post.request.path)
            logs.fields(_log, logging.INFO, "another version than the address says", peer=post.peer, path=shown)
        visit = SoapExchange(post, soap_endpoint, read, respond)
        try:
            version, visit.service = soap_endpoint.service_of(opened)
            path = _segments(tail)
            visit.identity = opened.identity or (path[-1] if path else None)
            if not path or visit.identity != path[-1]:  # a segment of the path is checked already
                visit.identity = _identity(visit.identity)
            sender = SoapSender(
                identity=tenants.key_of(post.tenant, visit.identity),
                peer=post.peer,
                version=version,
                addressing=opened.addressing,
                boot=read.boot,
                listener=self._name,
                address=self._address(soap_endpoint, post.tenant),
                certificate=post.origin.certificate,
                authorization=_authorization(post),
                path=path,
                in_header=visit.identity if opened.identity else None,
            )
        except Exception as error:
            self._not_let_in(visit, error)
            return
        if self._holders is None:
            self._receive(visit, sender)
            return
        visit.charge_point, visit.sender = self._holders.key_of(soap_endpoint.caller, sender.identity), sender
        if self._holders.is_here(visit.charge_point):
            self._receive(visit, sender)
        elif post.is_forwarded:
            self._tasks.spawn(self._receive_when_loaded(visit, sender, self._holders), name="loading")
        else:
            self._tasks.spawn(self._forward(visit, sender, self._holders), name="forwarding")

    async def _receive_when_loaded(self, visit: SoapExchange, sender: SoapSender, holders: Holders) -> None:
        """Handle a message that another process has passed on, or let that process ask the next one."""
        try:
            is_here = await holders.is_here_when_loaded(visit.charge_point)
        except Exception as error:
            self._not_let_in(visit, error, closes=True)
            return
        if is_here:
            self._receive(visit, sender)
        else:
            visit.respond(None)

    async def _forward(self, visit: SoapExchange, sender: SoapSender, holders: Holders) -> None:
        """Let the process that has the Charge Point answer a message."""
        came = visit.post
        post = ForwardedPost.of(self._name, came.request, came.origin, came.tenant, holders.process)
        try:
            reply = await holders.forward(visit.charge_point, post)
        except Exception as error:
            # The next attempt takes another connection, which another process may accept.
            self._not_let_in(visit, error, closes=True)
            return
        if reply is None:
            self._receive(visit, sender)
        else:
            visit.respond(reply)

    def _dropped(self, visit: SoapExchange) -> None:
        """Let another process answer a message whose Charge Point this process has no more."""
        if self._holders is None or visit.post.is_forwarded:
            visit.respond(None)  # the process that has passed it on asks the next one
        else:
            assert visit.sender is not None
            self._tasks.spawn(self._forward(visit, visit.sender, self._holders), name="forwarding")

    def _receive(self, visit: SoapExchange, sender: SoapSender) -> None:
        """Decide on the admission of a message whose Charge Point this process has."""
        try:
            admission = visit.soap_endpoint.receive(sender)
        except Exception as error:
            self._not_let_in(visit, error)
            return
        if isinstance(admission, Admission):
            self._let_in(visit, admission)
        else:
            self._tasks.spawn(self._once_let_in(visit, admission), name="letting in")

    async def _once_let_in(self, visit: SoapExchange, admission: Coroutine[Any, Any, Admission]) -> None:
        try:
            admitted = await admission
        except Exception as error:
            self._not_let_in(visit, error)
        else:
            self._let_in(visit, admitted)

    def _not_let_in(self, visit: SoapExchange, error: Exception, *, closes: bool = False) -> None:
        if isinstance(error, HeldElsewhere):
            self._dropped(visit)
            return
        if not isinstance(error, BridgeError):
            _log.error("a message could not be let in", exc_info=error)
            error = BridgeError(ErrorCode.InternalError, "the bridge failed; its log says why")
        post = visit.post
        reply = self._refuse(visit.soap_endpoint, visit.opened, visit.identity, post, error, post.body)
        visit.respond(replace(reply, closes=True) if closes else reply)

    def _let_in(self, visit: SoapExchange, admission: Admission) -> None:
        opened, service = visit.opened, visit.service
        assert service is not None
        exchange = SoapContext(
            opened,
            admission.unique_id,
            admission.strict,
            admission.handle,
            admission.known,
            admission.profile,
            passes=admission.passes,
            key=self._key_of(visit.post),
            pending=self._pending,
        )
        exchange.charge_point, exchange.drop = visit.charge_point, partial(self._dropped, visit)
        exchange.aside, exchange.is_large = self._aside, visit.is_large
        if opened.soap is soap.SoapVersion.V11 and (admission.strict or not admission.profile.answers_soap11):
            spoken = BridgeError(ErrorCode.ProtocolError, "SOAP 1.1, which the route refuses")
            post, caller = visit.post, visit.soap_endpoint.caller
            self._refused(post.key(visit.identity), post.peer, spoken, exchange.unique_id, caller, post.body)
            visit.respond(service.mismatch(exchange))
            return
        if admission.records:
            exchange.wires = Wires(Octets("soap", time(), visit.post.body))
        service.answer(exchange, partial(self._replied, visit, admission, exchange))

    def _key_of(self, post: Post) -> str:
        """Return the key of a request. In a cluster, it is that which another process gets if this one dies."""
        if self._holders is None or post.is_forwarded:
            return post.request.key
        return shared_key(self._holders.process, post.request.key)

    def _replied(self, visit: SoapExchange, admission: Admission, exchange: SoapContext, reply: Reply) -> None:
        wires = exchange.wires
        if wires is not None:
            wires.answer_sent = Octets("soap", time(), reply.body)
        if reply.losses:
            admission.lost(reply.losses, wires)
        if exchange.refusal is not None:
            post, caller = visit.post, visit.soap_endpoint.caller
            who = post.key(visit.identity)
            self._refused(who, post.peer, exchange.refusal, exchange.unique_id, caller, post.body, wires=wires)
        reply = _told_by_http(reply, visit.soap_endpoint)
        if admission.profile.close_after_answer:
            reply = replace(reply, closes=True)
        visit.respond(_compressed(reply, visit.post))

    def _refused_fault(self, post: Post, soap_endpoint: SoapEndpoint, opened: Envelope, fault: soap.Fault) -> None:
        """Report a Fault that was POSTed: a request cannot be the answer to a Call."""
        text = f"a Fault was POSTed, {fault.side}/{fault.subcode or 'no Subcode'}: {fault.reason:.200}"
        error = BridgeError(ErrorCode.ProtocolError, text)
        unique_id = opened.addressing.message_id
        self._refused(post.key(opened.identity), post.peer, error, unique_id, soap_endpoint.caller, post.body)

    def _refuse(
        self,
        soap_endpoint: SoapEndpoint,
        opened: Envelope,
        identity: str | None,
        post: Post,
        error: BridgeError,
        data: bytes,
    ) -> Reply:
        unique_id = opened.addressing.message_id
        if isinstance(error, AccessDenied) and error.hides_identity:
            identity = None
        reply = soap_endpoint.refuse(opened, error)
        wires = Wires()
        wires.answer_sent = Octets("soap", time(), reply.body)
        self._refused(post.key(identity), post.peer, error, unique_id, soap_endpoint.caller, data, wires=wires)
        if isinstance(error, AccessDenied):
            return replace(reply, status=error.status, headers=tuple(error.headers.items()))
        # The status of a message that could not be read is not changed to 500.
        return reply if opened.body.tag == soap.nothing().tag else _told_by_http(reply, soap_endpoint)


class Post(Struct, frozen=True, kw_only=True):
    """A POST, its origin, and the tenant of its sender."""

    request: HttpRequest
    origin: Origin
    tenant: str = tenants.DEFAULT
    is_forwarded: bool = False
    """Whether another process received the POST."""

    def key(self, identity: str | None) -> str | None:
        """Return the key for what is reported of `identity`, which may be no valid one; None stands for no identity."""
        return tenants.key_of(self.tenant, (identity or "").replace(tenants.SEPARATOR, "")) or identity

    @property
    def peer(self) -> str:
        """The IP address of its sender."""
        return self.origin.address

    @property
    def headers(self) -> HeaderFields:
        """The fields of the request's head."""
        return self.request.headers

    @property
    def body(self) -> bytes:
        """The content of the request."""
        return self.request.body


class OpenedPost(Struct, frozen=True, kw_only=True):
    """The envelope in a POST, with the Fault in it or what a BootNotification in it says; None if it has neither."""

    envelope: Envelope
    fault: soap.Fault | None
    boot: Boot | None
    is_large: bool
    """Whether reading the POST may hold the event loop for long."""


class SoapExchange:
    """A message at a SoapEndpoint, and the function to call with its reply."""

    __slots__ = (
        *("charge_point", "identity", "is_large", "opened", "post", "respond", "sender", "service"),
        "soap_endpoint",
    )

    def __init__(self, post: Post, soap_endpoint: SoapEndpoint, read: OpenedPost, respond: Respond) -> None:
        self.post = post
        self.soap_endpoint = soap_endpoint
        self.opened = read.envelope
        self.is_large = read.is_large
        self.respond = respond
        self.identity: str | None = None
        self.charge_point = ""  # its key, if other processes may have it
        self.sender: SoapSender | None = None
        self.service: SoapService | None = None


def _told_by_http(reply: Reply, soap_endpoint: SoapEndpoint) -> Reply:
    """Set HTTP 500 on the Fault of a command (delivery.md D4, a departure from rule 54).

    CXF, which SteVe uses, shows an operator the reason of a Fault only with HTTP 500. A refusal with Retry-After keeps
    its 503, so that the command may be sent again.
    """
    may_come_again = any(name == RETRY_AFTER for name, _ in reply.headers)
    if soap_endpoint.caller is Party.CENTRAL_SYSTEM and reply.error is not None and not may_come_again:
        return replace(reply, status=500)
    return reply


def _text(status: int, text: str, headers: tuple[tuple[str, str], ...] = (), *, closes: bool = False) -> Reply:
    """Return a response in plain text."""
    content_type = "text/plain; charset=utf-8"
    return Reply(status=status, body=text.encode(), content_type=content_type, headers=headers, closes=closes)


def _compressed(reply: Reply, post: Post) -> Reply:
    """Compress a reply if it is large, or the request was compressed, in a coding that the peer accepts.

    OCPP-S 1.6 section 6.1.
    """
    if len(reply.body) < _WORTH_COMPRESSING and "Content-Encoding" not in post.headers:
        return reply
    accepted = _accepted(post.headers.get("Accept-Encoding"))
    for coding, compress in _CODINGS.items():
        if coding in accepted:
            return replace(reply, body=compress(reply.body), headers=(*reply.headers, ("Content-Encoding", coding)))
    return reply


@lru_cache
def _accepted(header: str) -> frozenset[str]:
    """Return the codings in an Accept-Encoding, without those of weight 0; x-gzip is gzip (RFC 9110 section 12.5.3)."""
    codings = set()
    for item in header.lower().split(","):
        name, _, weight = item.partition(";")
        if not _NO_WEIGHT.fullmatch(weight.strip()):
            codings.add(name.strip().removeprefix("x-"))
    return frozenset(codings)


def _soon(do: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(_SOON, do)


def _authorization(post: Post) -> str | None:
    """Return the value of the Authorization header, None if there is none. Raises AccessDenied if there are two."""
    shown = post.headers.all("Authorization")
    if len(shown) > 1:
        raise AccessDenied(400, "one Authorization header is enough", Why.MALFORMED)
    return shown[0] if shown else None


def _unreadable() -> Envelope:
    """Return an envelope to answer in the place of one that could not be read."""
    return Envelope(soap=soap.SoapVersion.V12, identity=None, addressing=Addressing(), body=soap.nothing())


def _at_hand(read: Callable[[str], T]) -> Callable[[str], T]:
    """Cache the latest results of `read`, by path.

    The results of paths longer than any Charge Point's are not cached: many of them would fill the memory.
    """
    kept = lru_cache(_PLACES)(read)
    return lambda path: kept(path) if len(path) <= _LONGEST_PATH else read(path)


@_at_hand
def _segments(tail: str) -> tuple[str, ...]:
    """Return the segments of a path that are not empty, decoded. Raises MessageError."""
    return tuple([_segment(part) for part in tail.split("/") if part])


def _segment(text: str) -> str:
    """Return a segment of the path, decoded once. Raises MessageError unless it could be an identity."""
    try:
        return _identity(unquote(text, errors="strict") if "%" in text else text)
    except UnicodeDecodeError:
        raise MessageError(ErrorCode.ProtocolError, "the identity in the address is not UTF-8") from None


def _identity(text: str | None) -> str:
    """Return a ChargeBoxIdentity in the form that the bridge uses. Raises MessageError."""
    if text is None:
        raise MessageError(ErrorCode.ProtocolError, "no chargeBoxIdentity in the Header")
    try:
        return identities.read(text)
    except ValueError as error:
        raise MessageError(ErrorCode.ProtocolError, f"chargeBoxIdentity: {error}") from None
