"""What the configuration can say: one frozen record per table; each key, type, bound and default once.

Everything else derives from here: the reader learns the known keys from these records, the environment its names, and
a test holds `conf/bridge.toml` to them. This room does no I/O and decides nothing; that an address fits a protocol, or
that a route leads somewhere, is for `checking`.

A field of type `Secret` is two keys in a file: `password` holds the value, `password_file` names a file that holds it.
"""

from __future__ import annotations

import hmac
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

# Upper bounds keep what is typed by mistake from overflowing a timer or a socket: some thirty years, one gigabyte.
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
PositiveSeconds = Annotated[float, Meta(gt=0, le=1e9)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Rate = Annotated[float, Meta(gt=0, le=1e9)]
Octets = Annotated[int, Meta(ge=1, le=1_000_000_000)]
# What the libraries beneath bear: one header line of 8190 octets, 128 of them, elements within elements 256 deep.
HeaderOctets = Annotated[int, Meta(ge=256, le=1_048_576)]
HeaderCount = Annotated[int, Meta(ge=8, le=120)]
XmlDepth = Annotated[int, Meta(ge=8, le=256)]
JsonDepth = Annotated[int, Meta(ge=8, le=256)]
LogLine = Annotated[int, Meta(ge=300, le=1_000_000)]

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
Protocol = Literal["ocpp1.6j", "ocpp1.6s", "ocpp1.5s"]
Tolerance = Literal["tolerant", "strict"]
Overlong = Literal["truncate", "drop", "refuse"]
Celsius = Literal["Celsius", "Celcius"]
Soap11 = Literal["answer", "refuse"]
Accept = Literal["any", "listed"]
Authentication = Literal["auto", "none", "basic", "certificate", "network", "token"]
TLSVersion = Literal["1.0", "1.1", "1.2", "1.3"]
ClientCertificate = Literal["required", "asked"]
Network = IPv4Network | IPv6Network

_LISTEN = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[A-Za-z0-9_.-]+)):(?P<port>[0-9]{1,5})")


class Secret:
    """A value that no log, no traceback and no complaint shows. Bytes, because OCPP-J 1.6 section 6.2.2 has keys of
    20 raw bytes; text is held as UTF-8.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The value itself, for the one place that sends or compares it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return hmac.compare_digest(self._value, other._value) if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not copied out of the process")


class Listen(Struct, frozen=True):
    """Where a listener binds. `host` is without the brackets of IPv6; `port` 0 lets the system choose one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listen:
        """Read `HOST:PORT` or `[IPV6]:PORT`. Raises ValueError."""
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
    """Marker: a table of the file."""


class TLS(Table, frozen=True, kw_only=True):
    """How a listener speaks TLS. Paths are PEM files; `client_ca` "" asks no certificate of the peer; with one, peers
    must show a certificate, unless `client_certificate` is "asked": then who shows none is let in too. `ciphers` "" is
    OpenSSL's own choice, else a list in OpenSSL's syntax.
    """

    certificate: str
    key: str
    client_ca: str = ""
    client_certificate: ClientCertificate | None = None
    minimum_version: TLSVersion = "1.2"
    ciphers: str = ""


class ClientTLS(Table, frozen=True, kw_only=True):
    """How the bridge speaks TLS where it is the one that connects. Paths are PEM files; `ca` "" trusts the system's
    authorities, else those in the file and no others; `certificate` "" shows none. That a certificate is that of the
    host in the address is always verified.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    minimum_version: TLSVersion = "1.2"
    ciphers: str = ""


class Gateway(Table, frozen=True, kw_only=True):
    """What holds for every message. Times in seconds. `quirks` are files of packs, and folders of such files. With
    `manage_authorization_key`, keys that Central Systems give their Charge Points take the place of passwords here.
    """

    call_timeout: PositiveSeconds = 30.0
    drain_timeout: Seconds = 10.0
    max_in_flight: Count = 1000
    log_format: LogFormat = "text"
    log_level: LogLevel = "info"
    quirks: tuple[str, ...] = ()
    manage_authorization_key: bool = False


class Listener(Table, frozen=True, kw_only=True):
    """A listener that there may be several of: a table of the file, or a list of tables. `name` is for logs; "" is that
    of the table, with its number from the second on. `peers` are the networks that may use it; none: all.
    """

    name: str = ""
    peers: tuple[Network, ...] = ()


class Soap(Listener, frozen=True, kw_only=True):
    """An OCPP-S listener. Of several, the first has what holds for all of the bridge: whether its own POSTs have
    connections of their own, and the folder `wsdl`, where "" is the WSDLs that come with it.
    """

    listen: Listen = Listen("127.0.0.1", 8080)
    public_url: str = "http://127.0.0.1:8080"
    max_body: Octets = 262144
    connection_per_call: bool = True
    callback_networks: tuple[Network, ...] = ()
    wsdl: str = ""
    tls: TLS | None = None


class WebSocket(Listener, frozen=True, kw_only=True):
    """An OCPP-J listener. The identity follows `path`, which does not end with a slash unless it is one."""

    listen: Listen = Listen("127.0.0.1", 9000)
    path: str = "/ocpp"
    tls: TLS | None = None


class Admin(Table, frozen=True, kw_only=True):
    """The listener for people and monitoring. Without `token` its API answers loopback only. `allowed_origins` are
    those of pages that may ask it beside its own; `open_metrics` lets anybody read the metrics.
    """

    listen: Listen = Listen("127.0.0.1", 8081)
    token: Secret | None = None
    allowed_origins: tuple[str, ...] = ()
    open_metrics: bool = True
    tls: TLS | None = None


class Store(Table, frozen=True, kw_only=True):
    """What survives a restart, and where: `sqlite:///` and a path, or `memory:`."""

    url: str = "sqlite:///var/ocpp-bridge.db"


class Recorder(Table, frozen=True, kw_only=True):
    """What is remembered of what was said, beside the store. `max_age` in seconds; `max_bytes` of all messages.

    `mask_id_tags` leaves out the idTags of drivers. Credentials are left out always.
    """

    enabled: bool = True
    messages_per_charge_point: Count = 1000
    max_age: PositiveSeconds = 604_800.0
    mask_id_tags: bool = True
    max_bytes: Octets = 1_000_000_000


class Limits(Table, frozen=True, kw_only=True):
    """How much of everything a peer may have, so that one that is hostile or broken hurts only itself. Sizes in octets,
    times in seconds. `connections` are of each listener; messages a second, and those that wait, of each Charge Point.
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
    xml_nodes: Count = 20_000
    json_depth: JsonDepth = 32
    messages_per_second: Rate = 50.0
    messages_burst: Count = 500
    waiting_per_charge_point: Count = 100
    log_line: LogLine = 4_096
    charge_points: Count = 50_000


class Tracing(Table, frozen=True, kw_only=True):
    """Where spans of OpenTelemetry go, as OTLP over HTTP: an address in full; "" makes none."""

    endpoint: str = ""
    service_name: str = "ocpp-bridge"


class CentralSystem(Table, frozen=True, kw_only=True):
    """A Central System that Charge Points are connected to. Times in seconds; `ping_interval` 0 sends no pings.

    `subprotocols` is what a JSON Charge Point may speak with it, lower case: its messages are passed on unread.
    `networks` is where a SOAP one sends its commands from, and `password` what it shows with them.
    """

    protocol: Protocol = "ocpp1.6j"
    url: str
    subprotocols: tuple[str, ...] = ("ocpp1.6",)
    replay_boot: bool = False
    ping_interval: Seconds = 30.0
    reconnect_min: PositiveSeconds = 1.0
    reconnect_max: PositiveSeconds = 60.0
    networks: tuple[Network, ...] = ()
    password: Secret | None = None
    tls: ClientTLS | None = None


class Quirks(Table, frozen=True, kw_only=True):
    """How messages of sloppy devices are treated. None is: as the first pack that fits the Charge Point says, else the
    default, which `bridge.ocpp.manners` has; of `connection_per_call`, that of the SOAP listener.
    """

    overlong: Overlong | None = None
    celsius: Celsius | None = None
    assumed_zone: str | None = None
    must_understand: bool | None = None
    connection_per_call: bool | None = None
    close_after_answer: bool | None = None
    soap11: Soap11 | None = None
    fractions: bool | None = None
    heartbeat_interval: bool | None = None


class Match(Table, frozen=True, kw_only=True):
    """Globs on what a Charge Point says of itself in its BootNotification, letter case aside."""

    vendor: str = "*"
    model: str = "*"
    firmware: str = "*"


class Pack(Table, frozen=True, kw_only=True):
    """A file of its own: what a kind of Charge Point needs, and how that is known."""

    evidence: str
    match: Match = Match()
    set: Quirks = Quirks()


class Route(Quirks, frozen=True, kw_only=True):
    """Which Charge Points, by a glob on their identity, belong to which Central System.

    `central_system_identity` is a template of what they are called there; "" is their own identity. With
    `emulate_trigger`, a TriggerMessage that their OCPP version lacks is answered with what they said last.
    `authentication` is their one way in: "auto" is "basic" for those that have a password, "none" for the others.
    """

    charge_point: str
    central_system: str
    central_system_identity: str = ""
    tolerance: Tolerance = "tolerant"
    emulate_trigger: bool = False
    accept: Accept = "any"
    authentication: Authentication = "auto"
    networks: tuple[Network, ...] = ()


class ChargePoint(Table, frozen=True, kw_only=True):
    """What one Charge Point needs beyond its route. "" is: learnt from its messages; its own identity.

    `password` is what it shows us, `central_system_password` what we show the Central System in its name. `tls` is for
    the POSTs to its https callback address. `certificate_name`, `networks` and `token` are for the authentication that
    its route asks for; the networks stand in place of the route's.
    """

    callback_url: str = ""
    central_system_identity: str = ""
    password: Secret | None = None
    central_system_password: Secret | None = None
    certificate_name: str = ""
    networks: tuple[Network, ...] = ()
    token: Secret | None = None
    tls: ClientTLS | None = None


def _main() -> dict[str, CentralSystem]:
    return {"main": CentralSystem(url="ws://127.0.0.1:9100/ocpp")}


class Settings(Table, frozen=True, kw_only=True):
    """The whole configuration. `Settings()` is what holds when nothing is configured.

    `central_systems` and `charge_points` are keyed by the name, the identity, as it was written. `packs` is no key: it
    is what stands in the files that `gateway.quirks` names.
    """

    gateway: Gateway = field(default_factory=Gateway)
    soap: tuple[Soap, ...] = (Soap(),)
    websocket: tuple[WebSocket, ...] = (WebSocket(),)
    admin: Admin = field(default_factory=Admin)
    limits: Limits = field(default_factory=Limits)
    store: Store = field(default_factory=Store)
    recorder: Recorder = field(default_factory=Recorder)
    tracing: Tracing = field(default_factory=Tracing)
    central_systems: dict[str, CentralSystem] = field(default_factory=_main)
    routes: tuple[Route, ...] = (Route(charge_point="*", central_system="main"),)
    charge_points: dict[str, ChargePoint] = field(default_factory=dict)
    packs: tuple[Pack, ...] = ()
