"""The tables of the configuration: one frozen record for each, with the type, the bounds and the default of each key.

The reader derives the known keys and the names of environment variables from these records. `conf/bridge.toml` explains
each key; a test compares that file with the records. This module does no I/O. Rules about several keys, such as that an
address fits a protocol, are in `checking`.

A field of type `Secret` has two keys in a file: `password` holds the value, `password_file` the path of a file with it.
Each name in a table of secrets has the same two keys.
"""

from __future__ import annotations

import hmac
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

# Upper bounds, so that a mistyped number does not overflow a timer or a socket: some thirty years, one gigabyte.
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
PositiveSeconds = Annotated[float, Meta(gt=0, le=1e9)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Rate = Annotated[float, Meta(gt=0, le=1e9)]
Hours = Annotated[float, Meta(gt=0, le=8760)]
Octets = Annotated[int, Meta(ge=1, le=1_000_000_000)]
# Limits of the libraries: header lines of 8190 octets, 128 header lines, XML elements nested 256 deep.
HeaderOctets = Annotated[int, Meta(ge=256, le=1_048_576)]
HeaderCount = Annotated[int, Meta(ge=8, le=120)]
XmlDepth = Annotated[int, Meta(ge=8, le=256)]
JsonDepth = Annotated[int, Meta(ge=8, le=256)]
LogLine = Annotated[int, Meta(ge=300, le=1_000_000)]
# A shorter lease ends while a busy machine only hesitates; within a longer one, Charge Points wait too long.
LeaseSeconds = Annotated[float, Meta(ge=1, le=60)]
WorkerCount = Annotated[int, Meta(ge=1, le=256)]

LogFormat = Literal["text", "json"]
MoveWhen = Literal["idle", "now"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogCalls = Literal["all", "errors", "sampled"]
Protocol = Literal["ocpp1.6j", "ocpp1.6s", "ocpp1.5s", "ocpp1.2s"]
Tolerance = Literal["tolerant", "strict"]
Overlong = Literal["truncate", "drop", "refuse"]
UnknownValues = Literal["drop", "pass", "refuse"]
Celsius = Literal["Celsius", "Celcius"]
Soap11 = Literal["answer", "refuse"]
Accept = Literal["any", "listed"]
# A file holds true, false or "auto".
ReplayBoot = bool | Literal["auto"]
# A file holds a number or "auto".
Workers = WorkerCount | Literal["auto"]
Authentication = Literal["auto", "none", "basic", "certificate", "network", "token"]
TLSVersion = Literal["1.0", "1.1", "1.2", "1.3"]
ClientCertificate = Literal["required", "asked"]
ProxyMode = Literal["protocol", "forwarded"]
CertificateFormat = Literal["pem", "der", "xfcc", "rfc9440"]
Role = Literal["read", "operate"]
ObserverRole = Literal["observer", "shadow"]
PolicySender = Literal["charge_point", "central_system"]
PolicyTreatment = Literal["answer", "refuse", "drop_field", "delay"]
PolicyCode = Literal[
    "NotSupported",
    "NotImplemented",
    "SecurityError",
    "InternalError",
    "GenericError",
    "ProtocolError",
    "FormationViolation",
    "PropertyConstraintViolation",
    "OccurenceConstraintViolation",
    "TypeConstraintViolation",
]
# A table with any keys: the content of a message.
Content = dict[str, object]
Network = IPv4Network | IPv6Network
EventKind = Literal["webhook", "mqtt", "nats"]
# The types of `bridge.outgoing_events.records`, to which a test compares these.
EventType = Literal["boot", "status", "transaction_started", "transaction_ended", "link", "move", "loss"]

_LISTEN = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[A-Za-z0-9_.-]+)):(?P<port>[0-9]{1,5})")


class Secret:
    """A value that no log, no traceback and no complaint shows.

    The value is bytes, because keys in OCPP-J 1.6 section 6.2.2 are 20 raw bytes. Text is held as UTF-8. Two secrets
    with the same value are equal.

    Attributes:
        file: Path of the secret's own file; "" if the value is in the configuration file, None if it comes from the
            environment.
    """

    __slots__ = ("_value", "file")

    def __init__(self, value: bytes, file: str | None = "") -> None:
        self._value = value
        self.file = file

    def reveal(self) -> bytes:
        """Return the value of the secret. Call this only to send or compare the value."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return hmac.compare_digest(self._value, other._value) if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not copied out of the process")


class SecretFile(Secret):
    """A secret whose key holds the path of a file. The configuration file cannot hold the value itself."""

    __slots__ = ()


class Listen(Struct, frozen=True):
    """Address that a listener binds to.

    Attributes:
        host: Name or address, without the brackets of IPv6.
        port: Port; for 0 the system chooses one.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listen:
        """Parse `HOST:PORT` or `[IPV6]:PORT`. Raises ValueError."""
        match = _LISTEN.fullmatch(text)
        if match is None or int(match["port"]) > 65535:
            raise ValueError
        if match["ipv6"] is not None:
            IPv6Address(match["ipv6"])
        elif not match["host"].strip("0123456789."):
            IPv4Address(match["host"])
        return cls(match["ipv6"] or match["host"], int(match["port"]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Table(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base class of all tables."""


class TLS(Table, frozen=True, kw_only=True):
    """TLS of a listener.

    Attributes:
        certificate: PEM file with the certificate and its chain.
        key: PEM file with the certificate's key.
        client_ca: PEM file with the authorities of client certificates; "" requests no client certificate.
        client_certificate: With "asked", peers without a certificate may connect too.
        minimum_version: Lowest TLS version.
        ciphers: List in OpenSSL's syntax; "" is OpenSSL's default.
    """

    certificate: str
    key: str
    client_ca: str = ""
    client_certificate: ClientCertificate | None = None
    minimum_version: TLSVersion = "1.2"
    ciphers: str = ""


class ClientTLS(Table, frozen=True, kw_only=True):
    """TLS of the connections that the bridge opens. The name of the host is always verified.

    Attributes:
        ca: PEM file with the only authorities to trust; "" trusts the system's authorities.
        certificate: PEM file with the bridge's client certificate and its chain; "" sends none.
        key: PEM file with the certificate's key.
        minimum_version: Lowest TLS version.
        ciphers: List in OpenSSL's syntax; "" is OpenSSL's default.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    minimum_version: TLSVersion = "1.2"
    ciphers: str = ""


class Gateway(Table, frozen=True, kw_only=True):
    """Settings for all messages.

    Attributes:
        workers: Number of processes that share the work; "auto" is the number of CPUs. Anything but 1 needs
            `ocpp-bridge[cluster]`.
        call_timeout: Seconds from the receipt of a Call to its answer.
        drain_timeout: Seconds that open Calls have to be answered when the bridge stops.
        max_in_flight: Highest number of open Calls, half of them commands.
        late_answers: Seconds after `call_timeout` in which a POST of a StartTransaction or StopTransaction may still be
            answered.
        drain_hours: Hours for which a Central System that a Charge Point was moved away from keeps its transactions, if
            they do not end.
        move_when: When a Charge Point takes a Central System that a changed configuration gives it: "now", or "idle"
            for as soon as it has no open transaction.
        log_format: Form of the log's lines.
        log_level: Lowest level that is logged.
        log_calls: Which Calls have a line. "errors" are those that end with anything but a result, "sampled" are those
            and one in a hundred of the others.
        quirks: Paths of files of quirk packs, and of folders with such files.
        manage_authorization_key: Whether an AuthorizationKey that a Central System sets replaces the Charge Point's
            password in the bridge.
    """

    workers: Workers = 1
    call_timeout: PositiveSeconds = 30.0
    drain_timeout: Seconds = 10.0
    max_in_flight: Count = 2000
    late_answers: Seconds = 150.0
    drain_hours: PositiveSeconds = 48.0
    move_when: MoveWhen = "now"
    log_format: LogFormat = "text"
    log_level: LogLevel = "info"
    log_calls: LogCalls = "all"
    quirks: tuple[str, ...] = ()
    manage_authorization_key: bool = False


class Proxied(Table, frozen=True, kw_only=True):
    """A listener that may have reverse proxies in front of it.

    Attributes:
        proxies: Networks of the proxies whose statements about a peer are trusted.
        proxy: How the proxies transmit the peer's address.
        proxy_certificate_header: HTTP header with the client certificate that a proxy has verified; "" accepts none.
        proxy_certificate_format: Encoding of the certificate in that header.
    """

    proxies: tuple[Network, ...] = ()
    proxy: ProxyMode | None = None
    proxy_certificate_header: str = ""
    proxy_certificate_format: CertificateFormat | None = None


class Listener(Proxied, frozen=True, kw_only=True):
    """A kind of listener of which the file may hold several: one table, or a list of tables.

    Attributes:
        name: Name in logs and metrics; "" is the name of the table, from the second listener on with its number.
        peers: Networks whose peers may connect; empty allows all.
        tenant: Tenant of all peers. Without it, the host name in the address decides, and a host name that belongs to
            no tenant is that of the default tenant.
    """

    name: str = ""
    peers: tuple[Network, ...] = ()
    tenant: str = ""


class Soap(Listener, frozen=True, kw_only=True):
    """A listener for SOAP requests, OCPP-S.

    Attributes:
        listen: Address to bind to.
        public_url: URL of this listener for SOAP Central Systems, sent in wsa:From.
        max_body: Largest request, in octets.
        connection_per_call: Whether each POST to a Charge Point opens a new TCP connection. Only the first listener
            has this key; it applies to the whole bridge.
        callback_networks: Networks that may contain the callback address of a Charge Point, besides the address of its
            request's sender.
        wsdl: Folder with the WSDL files; "" uses the files of the package. Only the first listener has this key; it
            applies to the whole bridge.
        tls: None for a listener without TLS.
    """

    listen: Listen = Listen("127.0.0.1", 8080)
    public_url: str = "http://127.0.0.1:8080"
    max_body: Octets = 1_048_576
    connection_per_call: bool = True
    callback_networks: tuple[Network, ...] = ()
    wsdl: str = ""
    tls: TLS | None = None


class WebSocket(Listener, frozen=True, kw_only=True):
    """A listener for WebSockets, OCPP-J.

    Attributes:
        listen: Address to bind to.
        path: Path of the URL before the identity, without a slash at its end unless the path is "/".
        ping_interval: Seconds between WebSocket pings; 0 sends none.
        tls: None for a listener without TLS.
    """

    listen: Listen = Listen("127.0.0.1", 9000)
    path: str = "/ocpp"
    ping_interval: Seconds = 30.0
    tls: TLS | None = None


class AdminToken(Table, frozen=True, kw_only=True):
    """A token of the admin API for one person or program.

    Attributes:
        name: Name of the person or program in the audit log.
        file: File with the token.
        role: "read" may see everything and change nothing, "operate" may also send commands and change state.
        tenant: The only tenant that the token is for; "" is the default tenant, "*" all tenants and the whole bridge.
    """

    name: str
    file: SecretFile
    role: Role = "read"
    tenant: str = ""


class Oidc(Table, frozen=True, kw_only=True):
    """Sign-in of operators at an OpenID Connect provider, for the console.

    Attributes:
        issuer: URL of the provider, as in its discovery document.
        client_id: Identifier of the bridge at the provider.
        client_secret: Secret of the bridge at the provider; none for a public client.
        public_url: URL under which browsers reach the console, without a path; "" is the listener's own. The provider
            redirects browsers to its `/login/callback`.
        name: Name of the provider on the login page; "" is the host of the issuer.
        scopes: Scopes that are requested.
        role_claim: Claim of the ID token that decides about the role. Dots lead into nested claims.
        read: Values of the claim that give the role "read".
        operate: Values of the claim that give the role "operate".
        session_hours: Hours after which an operator must sign in again.
        idle_hours: Hours without a request after which an operator must sign in again.
        tls: None for the defaults of TLS.
    """

    issuer: str
    client_id: str
    client_secret: Secret | None = None
    public_url: str = ""
    name: str = ""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    role_claim: str = "groups"
    read: tuple[str, ...] = ()
    operate: tuple[str, ...] = ()
    session_hours: Hours = 10.0
    idle_hours: Hours = 1.0
    tls: ClientTLS | None = None


class Admin(Proxied, frozen=True, kw_only=True):
    """The listener of the admin API, the console and the metrics.

    Attributes:
        listen: Address to bind to.
        token: Token with all rights; by default the bridge creates a token in a file beside the store.
        tokens: Further tokens.
        oidc: None for no sign-in at an OpenID Connect provider.
        allowed_origins: Origins of web pages, besides the console's own, that may send requests.
        open_metrics: Whether the metrics can be read without a token.
        tls: None for a listener without TLS.
    """

    listen: Listen = Listen("127.0.0.1", 8081)
    token: Secret | None = None
    tokens: tuple[AdminToken, ...] = ()
    oidc: Oidc | None = None
    allowed_origins: tuple[str, ...] = ()
    open_metrics: bool = True
    tls: TLS | None = None


class Store(Table, frozen=True, kw_only=True):
    """The store for state that survives a restart.

    Attributes:
        url: `sqlite:///` and the path of a file, or `memory:`. An absolute path makes four slashes. Several processes
            keep their records in NATS, and only the other files beside this one.
    """

    url: str = "sqlite:///var/ocpp-bridge.db"


class ClusterTLS(Table, frozen=True, kw_only=True):
    """TLS of the links between nodes, and of connections to servers whose URL begins with `tls://`.

    Attributes:
        certificate: PEM file with the certificate of this node and its chain.
        key: PEM file with the certificate's key.
        ca: PEM file with the only authorities of the other nodes and of the servers.
    """

    certificate: str
    key: str
    ca: str


class Cluster(Table, frozen=True, kw_only=True):
    """The processes that share the Charge Points: the workers of this machine, and those of others.

    Attributes:
        servers: URLs of the NATS servers, version 2.12 or newer; empty starts one for the workers of this machine.
        node: Name of this machine in the cluster; "" is its host name. Worker 2 of `a` is the node `a-2`.
        listen: Address at which nodes on other machines reach the first worker; each further one has the next port.
        lease: Seconds after which the others take the Charge Points of a node that is not seen any more.
        server_binary: Path of the NATS server to start; "" is that of `ocpp-bridge[cluster]`.
        username: Username at the NATS servers; "" for none.
        password: Password at the NATS servers; without a username, the token.
        credentials: Credentials at the NATS servers in the form of a `.creds` file, in place of a password.
        tls: None for links within this machine only, without TLS.
    """

    servers: tuple[str, ...] = ()
    node: str = ""
    listen: Listen | None = None
    lease: LeaseSeconds = 2.5
    server_binary: str = ""
    username: str = ""
    password: Secret | None = None
    credentials: Secret | None = None
    tls: ClusterTLS | None = None


class Recorder(Table, frozen=True, kw_only=True):
    """The recorder of messages, whose file is beside the store.

    Attributes:
        enabled: Whether messages are recorded.
        messages_per_charge_point: Highest number of messages kept of each Charge Point.
        max_age: Seconds for which a message is kept.
        mask_id_tags: Whether the idTags of drivers are masked. Credentials are always masked.
        max_bytes: Highest number of octets of all messages together.
    """

    enabled: bool = True
    messages_per_charge_point: Count = 1000
    max_age: PositiveSeconds = 604_800.0
    mask_id_tags: bool = True
    max_bytes: Octets = 1_000_000_000


class Limits(Table, frozen=True, kw_only=True):
    """Limits on what a peer may use, so that a hostile or broken peer harms only itself.

    Sizes are in octets, times in seconds.

    Attributes:
        connections: Highest number of open connections of each listener.
        connections_per_address: Highest number of open connections of one remote address at each listener.
        header_timeout: Time for the TLS handshake and the head of a request to arrive.
        header_bytes: Largest head of a request. One line of it may have 8190 octets.
        header_count: Highest number of header lines in a request.
        body_timeout: Time for the body of a request to arrive after its head.
        idle_timeout: Time after which an idle SOAP connection is closed.
        send_timeout: Time after which the connection of a peer that reads nothing is closed.
        max_frame: Largest WebSocket message, all fragments together.
        max_fragments: Highest number of fragments in a WebSocket message.
        max_unsent: Highest number of octets that wait for a WebSocket peer to read them. The connection of a peer with
            more is closed.
        xml_depth: Deepest nesting of XML elements.
        xml_nodes: Highest number of XML elements and attributes in a message.
        json_depth: Deepest nesting of JSON objects and arrays.
        json_members: Highest number of members of JSON objects and items of JSON arrays in a message.
        messages_per_second: Long-term rate of messages of each Charge Point.
        messages_burst: Number of messages that each Charge Point may send at once.
        waiting_per_charge_point: Highest number of Calls that wait for one party to answer an earlier Call.
        log_line: Highest number of characters in a line of the log. The end of a longer line is cut off.
        charge_points: Highest number of known Charge Points. Those with a table of their own always have room.
        new_identities_per_minute: New identities that one remote address may use in a minute. An identity is new until
            a Central System has accepted its BootNotification. Those with a table of their own are never new.
    """

    connections: Count = 10_000
    connections_per_address: Count = 1_000
    header_timeout: PositiveSeconds = 10.0
    header_bytes: HeaderOctets = 16_384
    header_count: HeaderCount = 64
    body_timeout: PositiveSeconds = 30.0
    idle_timeout: PositiveSeconds = 75.0
    send_timeout: PositiveSeconds = 30.0
    max_frame: Octets = 1_048_576
    max_fragments: Count = 1_024
    max_unsent: Octets = 4_194_304
    xml_depth: XmlDepth = 32
    xml_nodes: Count = 80_000
    json_depth: JsonDepth = 32
    json_members: Count = 20_000
    messages_per_second: Rate = 50.0
    messages_burst: Count = 500
    waiting_per_charge_point: Count = 100
    log_line: LogLine = 4_096
    charge_points: Count = 50_000
    new_identities_per_minute: Count = 60


class Tracing(Table, frozen=True, kw_only=True):
    """Export of OpenTelemetry spans.

    Attributes:
        endpoint: Full URL that spans are sent to, as OTLP over HTTP; "" makes no spans.
        service_name: Service name in the spans.
    """

    endpoint: str = ""
    service_name: str = "ocpp-bridge"


class CentralSystem(Table, frozen=True, kw_only=True):
    """A Central System that Charge Points are connected to.

    Attributes:
        protocol: OCPP version and transport.
        url: URL of the Central System. The identity replaces `{identity}` in its path or query. In a URL without
            `{identity}`, the identity is appended for JSON, and left out for SOAP.
        subprotocols: WebSocket subprotocols, in lower case, that a JSON Charge Point may use. Messages between two JSON
            parties are relayed without decoding.
        replay_boot: When the bridge repeats the last BootNotification: on each connection, never, or, for "auto", on
            request.
        html_escaped: Whether the JSON Central System escapes its texts for HTML. The bridge removes the escapes.
        ping_interval: Seconds between WebSocket pings; 0 sends none.
        reconnect_min: Seconds before the first attempt to reconnect. The time doubles with each failure.
        reconnect_max: Highest number of seconds between two attempts.
        networks: Networks from which a SOAP Central System sends its commands; empty allows all.
        password: Password that a SOAP Central System sends with its commands, or the hash of the password.
        outgoing_username: User of HTTP Basic towards the Central System; "" is the Charge Point's identity there.
        outgoing_password: Password of HTTP Basic towards the Central System, for Charge Points without a password of
            their own there.
        outgoing_headers: Header fields of each handshake with, and POST to, the Central System.
        ready_after: While the Central System is a shadow: sessions of a Charge Point without a difference that a driver
            feels, after which the Charge Point is ready to be moved to it.
        tenant: The only tenant whose Charge Points may use the Central System; "" is the default tenant, "*" all.
        tls: None for the defaults of TLS.
    """

    protocol: Protocol = "ocpp1.6j"
    url: str
    subprotocols: tuple[str, ...] = ("ocpp1.6",)
    replay_boot: ReplayBoot = "auto"
    html_escaped: bool = False
    ping_interval: Seconds = 30.0
    reconnect_min: PositiveSeconds = 1.0
    reconnect_max: PositiveSeconds = 60.0
    networks: tuple[Network, ...] = ()
    password: Secret | None = None
    outgoing_username: str = ""
    outgoing_password: Secret | None = None
    outgoing_headers: dict[str, Secret] = field(default_factory=dict)
    ready_after: Count = 20
    tenant: str = ""
    tls: ClientTLS | None = None


class Quirks(Table, frozen=True, kw_only=True):
    """Settings for devices that deviate from the specification.

    None takes the value of the first pack that matches the Charge Point, else the default from
    `bridge.ocpp.device_profile`. For `connection_per_call` the default is the value of the SOAP listener.

    Attributes:
        overlong: Treatment of descriptive texts that are longer than OCPP 1.6 allows: cut, left out, or the message is
            refused.
        unknown_values: Treatment of words outside their enumeration: left out, passed on to JSON parties, or the
            message is refused.
        celsius: Spelling of the unit for JSON Central Systems.
        assumed_zone: Zone of times without a zone, such as "+01:00" or "Europe/Paris".
        must_understand: Whether the SOAP headers that the bridge sends have mustUnderstand.
        connection_per_call: Whether each POST to the Charge Point opens a new TCP connection. A route and a pack that
            leave it out follow the SOAP listener.
        close_after_answer: Whether the connection of a SOAP request is closed after its answer.
        soap11: Whether SOAP 1.1 is answered in SOAP 1.1 or refused with VersionMismatch.
        fractions: Whether times to a SOAP Charge Point have fractions of a second.
        heartbeat_interval: Whether a SOAP Charge Point of OCPP 1.6 gets heartbeatInterval beside interval.
        prefix: Prefix of the OCPP namespace in SOAP messages to the Charge Point.
    """

    overlong: Overlong | None = None
    unknown_values: UnknownValues | None = None
    celsius: Celsius | None = None
    assumed_zone: str | None = None
    must_understand: bool | None = None
    connection_per_call: bool | None = None
    close_after_answer: bool | None = None
    soap11: Soap11 | None = None
    fractions: bool | None = None
    heartbeat_interval: bool | None = None
    prefix: str | None = None


class Match(Table, frozen=True, kw_only=True):
    """Globs that the fields of a Charge Point's BootNotification must match, without regard to letter case."""

    vendor: str = "*"
    model: str = "*"
    firmware: str = "*"


class Pack(Table, frozen=True, kw_only=True):
    """A quirk pack, a file with the settings that a kind of Charge Point needs.

    Attributes:
        evidence: How the need for the settings is known.
        match: The Charge Points that the pack is for.
        set: The settings.
    """

    evidence: str
    match: Match = Match()
    set: Quirks = Quirks()


class FurtherCentralSystem(Table, frozen=True, kw_only=True):
    """A further Central System of a route, which gets the messages of the Charge Points as well.

    Attributes:
        central_system: Name of the Central System.
        role: "observer" gets messages, and nothing that it answers matters. "shadow" also gets Authorize, and its
            answers are compared with those of the route's Central System.
        commands: Actions that it may send to the Charge Points; "*" is all.
        id_tag: Token that it gets in place of the drivers' tokens; "" for the tokens.
        actions: Actions that it gets; "*" is all.
    """

    central_system: str
    role: ObserverRole = "observer"
    commands: tuple[str, ...] = ()
    id_tag: str = ""
    actions: tuple[str, ...] = ("*",)


class Route(Quirks, frozen=True, kw_only=True):
    """Assigns Charge Points to a Central System.

    Attributes:
        charge_point: Glob on the identity, without regard to letter case. The first route that matches applies.
        central_system: Name of the Central System.
        tenant: The only tenant whose Charge Points the route takes; "" is the default tenant.
        central_system_identity: Template of the Charge Point's identity at the Central System; "" is its own identity.
        tolerance: "strict" refuses messages that "tolerant" repairs.
        emulate_trigger: Whether the bridge answers a TriggerMessage with the last message of that kind, for Charge
            Points whose OCPP version lacks TriggerMessage.
        infer_status: Whether a Central System of OCPP 1.6 receives Charging and Finishing for connectors that report
            only Occupied.
        accept: "listed" accepts only Charge Points that have a table of their own.
        authentication: The only accepted authentication. "auto" is "basic" for Charge Points with a password and "none"
            for the others.
        networks: Networks of the Charge Points, for the authentication "network".
        heartbeat_max: Longest heartbeat interval, in seconds, that a SOAP Charge Point is told; by default any length.
        wake_url: URL that receives a POST when a command cannot be delivered; "" for none.
        command_timeout: Seconds that a command waits if it cannot be delivered; by default `gateway.call_timeout`.
        also: Further Central Systems of the Charge Points.
    """

    charge_point: str
    central_system: str
    tenant: str = ""
    central_system_identity: str = ""
    tolerance: Tolerance = "tolerant"
    emulate_trigger: bool = False
    infer_status: bool = True
    accept: Accept = "any"
    authentication: Authentication = "auto"
    networks: tuple[Network, ...] = ()
    heartbeat_max: Count | None = None
    wake_url: str = ""
    command_timeout: PositiveSeconds | None = None
    also: tuple[FurtherCentralSystem, ...] = ()


class Observers(Table, frozen=True, kw_only=True):
    """The queues of further Central Systems: in a file beside the store, or in the records that processes share.

    Attributes:
        max_bytes: Highest number of octets of all messages together that wait in a process for further Central Systems.
    """

    max_bytes: Octets = 500_000_000


class Policy(Table, frozen=True, kw_only=True):
    """Decides what happens to the messages of one action. The first policy that matches applies.

    Attributes:
        charge_point: Glob on the identity, without regard to letter case.
        sender: Party whose messages the policy takes; the key `from` of the file.
        central_system: Name of the Central System at the other end; "" is any.
        tenant: The only tenant that the policy is for; "" is the default tenant, "*" all.
        action: Name of the action.
        do: What the bridge does with a message.
        answer: For "answer": content of the answer.
        code: For "refuse": error code; None is "NotSupported".
        field: For "drop_field": path of an optional field, with dots between the names.
        seconds: For "delay": seconds that a message waits before it is passed on.
    """

    charge_point: str = "*"
    sender: PolicySender = field(name="from")
    central_system: str = ""
    tenant: str = ""
    action: str
    do: PolicyTreatment
    answer: Content | None = None
    code: PolicyCode | None = None
    field: str = ""
    seconds: PositiveSeconds | None = None


class ChargePoint(Table, frozen=True, kw_only=True):
    """Settings of one Charge Point, in addition to those of its route.

    Attributes:
        callback_url: URL for POSTs to a SOAP Charge Point; "" learns the URL from its messages.
        central_system_identity: Identity at the Central System; "" is its own identity.
        password: Password that the Charge Point sends, or the hash of the password.
        central_system_password: Password that the bridge sends to the Central System for this Charge Point.
        certificate_name: Name in the Charge Point's certificate; "" is its identity.
        networks: Networks of the Charge Point, in place of its route's.
        token: Token in the URL of the Charge Point.
        tls: TLS of POSTs to an https callback URL; None for the defaults.
    """

    callback_url: str = ""
    central_system_identity: str = ""
    password: Secret | None = None
    central_system_password: Secret | None = None
    certificate_name: str = ""
    networks: tuple[Network, ...] = ()
    token: Secret | None = None
    tls: ClientTLS | None = None


class Tenant(Table, frozen=True, kw_only=True):
    """An operator that shares the bridge with others. Its name is in lower case; "default" is taken.

    Attributes:
        hosts: Host names in the address of its Charge Points, without a port.
        charge_points: Settings of its Charge Points, as in `charge_points`.
    """

    hosts: tuple[str, ...] = ()
    charge_points: dict[str, ChargePoint] = field(default_factory=dict)


class EventReceiver(Table, frozen=True, kw_only=True):
    """A system that gets events about Charge Points.

    Attributes:
        name: Name in logs and metrics, and in the queue on disk: a receiver with another name begins anew.
        kind: The protocol. A webhook gets each event as a POST, MQTT and NATS as a message.
        url: URL of the webhook, of the MQTT broker or of the NATS server.
        types: Types of the events; empty for all.
        charge_point: Glob on the identity, without regard to letter case.
        tenant: The only tenant whose events the system gets; "" is the default tenant, "*" all.
        secret: Secret of the signature of a webhook.
        topic: Topic of MQTT or subject of NATS, with {charge_point}, {type} and {tenant}; "" is the default of the
            protocol.
        username: Username of MQTT or NATS; "" for none.
        password: Password of MQTT or NATS; without a username, the token of NATS.
        timeout: Seconds that one attempt may take.
        max_events: Highest number of events that wait.
        max_bytes: Highest number of octets of the events that wait.
        max_age: Seconds for which an event waits.
        tls: None for the defaults of TLS.
    """

    name: str
    kind: EventKind
    url: str
    types: tuple[EventType, ...] = ()
    charge_point: str = "*"
    tenant: str = ""
    secret: Secret | None = None
    topic: str = ""
    username: str = ""
    password: Secret | None = None
    timeout: PositiveSeconds = 10.0
    max_events: Count = 100_000
    max_bytes: Octets = 100_000_000
    max_age: PositiveSeconds = 604_800.0
    tls: ClientTLS | None = None


def _main() -> dict[str, CentralSystem]:
    return {"main": CentralSystem(url="ws://127.0.0.1:9100/ocpp")}


class Settings(Table, frozen=True, kw_only=True):
    """The whole configuration, whose defaults are `Settings()`.

    `central_systems` and `tenants` are keyed by name and `charge_points` by identity, as written in the file. `packs`
    is no key of the file: it holds the content of the files that `gateway.quirks` names.

    Attributes:
        include: Patterns of further files, relative to the file. Their tables are read as if they were in the file.
    """

    include: tuple[str, ...] = ()
    gateway: Gateway = field(default_factory=Gateway)
    soap: tuple[Soap, ...] = (Soap(),)
    websocket: tuple[WebSocket, ...] = (WebSocket(),)
    admin: Admin = field(default_factory=Admin)
    limits: Limits = field(default_factory=Limits)
    store: Store = field(default_factory=Store)
    cluster: Cluster = field(default_factory=Cluster)
    recorder: Recorder = field(default_factory=Recorder)
    observers: Observers = field(default_factory=Observers)
    tracing: Tracing = field(default_factory=Tracing)
    central_systems: dict[str, CentralSystem] = field(default_factory=_main)
    routes: tuple[Route, ...] = (Route(charge_point="*", central_system="main"),)
    policies: tuple[Policy, ...] = ()
    charge_points: dict[str, ChargePoint] = field(default_factory=dict)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    events: tuple[EventReceiver, ...] = ()
    packs: tuple[Pack, ...] = ()
