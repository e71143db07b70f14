"""The four legs and the commands: which subjects there are for each, and what work they get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from msgspec import Struct

from tests.bench import messages, parties, posts
from tests.bench.floor import MEMORY_KEPT
from tests.bench.load import Work
from tests.bench.parties import CENTRAL_SYSTEM_SERVICE, CHARGE_POINT_SERVICE, JsonCentralSystem, paired
from tests.bench.subject import Bridge, Subject, bare, bridge
from tests.bench.without import SHORTCUTS

Working = dict[str, list[Work]]
HTTPTOOLS = "httptools"
"""The floor on httptools: the fastest bare stack."""
# Names of a subject that stand for how the bridge is configured; "bridge" alone is with the recorder off, and POSTs on
# connections that are kept open, as the floor has them.
_OTHERWISE: dict[str, dict[str, bool | str]] = {
    "bridge": {},
    "bridge, recording": {"recording": True},
    "bridge, TLS": {"tls": True},
    "bridge, a connection per Call": {"connection_per_call": True},
    "bridge, log_level warning": {"log_level": "warning"},
    **{f"bridge, without {shortcut}": {"without": shortcut} for shortcut in SHORTCUTS},
    **{f"bridge, {client}": {} for client in (posts.TWO_SEGMENTS, posts.CLOSING)},
}
# Modules of the subjects that are not named as theirs.
_MODULES = {HTTPTOOLS: "floor_httptools"}


class Leg(Struct, frozen=True, kw_only=True):
    """`subjects` to measure, `actions` to measure them with. `hops` are the name of the leg whose messages it carries,
    "" for its own."""

    name: str
    title: str
    hops: str = ""
    subjects: tuple[str, ...]
    actions: tuple[str, ...] = messages.ACTIONS
    soap_central: bool = False
    whole: bool = False

    @property
    def at_a_glance(self) -> tuple[str, ...]:
        """The subjects that show that it works. The `whole` legs show it for every way to configure one."""
        return self.subjects if self.whole else tuple(kind for kind in self.subjects if ", " not in kind)


class Measured(Struct, kw_only=True):
    """A subject that runs, and its work by action."""

    subject: Subject
    work: Working


_BARE = ("floor", f"floor, {MEMORY_KEPT}", HTTPTOOLS)
_PLAIN = ("bridge", "bridge, log_level warning", "bridge, recording", "bridge, TLS")
# Only towards Charge Points has a POST a connection of its own: towards Central Systems they are always kept.
_POSTS = ("bridge", "bridge, a connection per Call", "bridge, log_level warning", "bridge, recording")
_COMMANDED = ("floor", "floor, a connection per Call", HTTPTOOLS, f"{HTTPTOOLS}, a connection per Call", "stock")
# Each kind of client, with both floors and the bridge.
_CLIENTS = tuple(
    subject if client == posts.ONE_SEGMENT else f"{subject}, {client}"
    for client in posts.CLIENTS
    for subject in ("floor", HTTPTOOLS, "bridge")
)
_WITHOUT = ("bridge", *(f"bridge, without {shortcut}" for shortcut in SHORTCUTS))
_LARGER = messages.ACTIONS[1:]
LEGS = {
    leg.name: leg
    for leg in (
        Leg(name="soap-json", title="SOAP -> JSON", subjects=(*_BARE, "stock", *_PLAIN), whole=True),
        Leg(
            name="clients",
            title="SOAP -> JSON, each kind of client",
            hops="soap-json",
            subjects=_CLIENTS,
            actions=_LARGER,
            whole=True,
        ),
        Leg(name="json-json", title="JSON -> JSON", subjects=(*_BARE, *_PLAIN)),
        Leg(name="json-soap", title="JSON -> SOAP", subjects=(*_BARE, "stock", *_PLAIN), soap_central=True),
        Leg(name="soap-soap", title="SOAP -> SOAP", subjects=(*_BARE, *_PLAIN), soap_central=True),
        Leg(
            name="commands-soap",
            title="JSON Central System -> SOAP Charge Point",
            subjects=(*_COMMANDED, *_POSTS),
            actions=messages.COMMANDS,
            whole=True,
        ),
        Leg(
            name="commands-json",
            title="JSON Central System -> JSON Charge Point",
            subjects=(*_BARE, *_PLAIN),
            actions=messages.COMMANDS,
        ),
        Leg(
            name="shortcuts-soap-json",
            title="SOAP -> JSON, without one shortcut",
            hops="soap-json",
            subjects=_WITHOUT,
            actions=_LARGER,
            whole=True,
        ),
        Leg(
            name="shortcuts-json-soap",
            title="JSON -> SOAP, without one shortcut",
            hops="json-soap",
            subjects=_WITHOUT,
            actions=_LARGER,
            soap_central=True,
            whole=True,
        ),
    )
}


@asynccontextmanager
async def measured(leg: Leg, kind: str, charge_points: int) -> AsyncIterator[Measured]:
    """One subject of a leg, with its other parties."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        central = await enter(parties.json_central_system())
        url = await enter(parties.soap_service(CENTRAL_SYSTEM_SERVICE)) if leg.soap_central else central.url
        callback = await enter(parties.soap_service(CHARGE_POINT_SERVICE)) if leg.name == "commands-soap" else ""
        subject = await enter(_subject(leg, kind, url, callback, charge_points))
        around = _Around(
            central=central,
            names=parties.identities(charge_points),
            callback=callback if kind in _OTHERWISE else "",
            client=variant if (variant := kind.partition(", ")[2]) in posts.CLIENTS else posts.ONE_SEGMENT,
        )
        work = await _WORK[leg.hops or leg.name](stack, subject, around)
        yield Measured(subject=subject, work=work)


class _Around(Struct, kw_only=True):
    """What is around a subject: its Central System, the names of its Charge Points, where they say that they can be
    called ("" for a subject that knows it already), and how they send POSTs."""

    central: JsonCentralSystem
    names: list[str]
    callback: str
    client: str


def _subject(leg: Leg, kind: str, url: str, callback: str, count: int) -> AbstractAsyncContextManager[Subject]:
    if kind in _OTHERWISE:
        protocol = "ocpp1.6s" if leg.soap_central else "ocpp1.6j"
        return bridge(Bridge(central_system=url, protocol=protocol, **_OTHERWISE[kind]))  # type: ignore[arg-type]
    name, _, variant = kind.partition(", ")
    module = _MODULES.get(name, name)
    if callback:
        return bare(module, "commands", url, callback, str(count), "per-call" if variant else "kept")
    hops = "json-json" if leg.name == "commands-json" else leg.hops or leg.name
    return bare(module, hops, url, *filter(None, [variant]))


async def _soap(stack: AsyncExitStack, subject: Subject, around: _Around) -> Working:
    names = around.names
    connections = await stack.enter_async_context(parties.soap_connections(subject, len(names), around.client))
    return {a: paired(connections, [parties.posted(a, name) for name in names]) for a in messages.ACTIONS}


async def _json(stack: AsyncExitStack, subject: Subject, around: _Around) -> Working:
    charge_points = await stack.enter_async_context(parties.json_charge_points(subject, around.names))
    return {a: paired(charge_points, [messages.call(a)] * len(around.names)) for a in messages.ACTIONS}


async def _commands(around: _Around) -> Working:
    await around.central.connected(len(around.names))
    systems = [around.central.connections[name] for name in around.names]
    return {action: paired(systems, [messages.call(action)] * len(systems)) for action in messages.COMMANDS}


async def _soap_commands(stack: AsyncExitStack, subject: Subject, around: _Around) -> Working:
    if around.callback:
        async with parties.soap_connections(subject, 1) as connections:
            boots = [parties.posted("BootNotification", name, around.callback) for name in around.names]
            await parties.once(connections, boots)
    return await _commands(around)


async def _json_commands(stack: AsyncExitStack, subject: Subject, around: _Around) -> Working:
    await stack.enter_async_context(parties.json_charge_points(subject, around.names))
    return await _commands(around)


_WORK = {
    "soap-json": _soap,
    "soap-soap": _soap,
    "json-json": _json,
    "json-soap": _json,
    "commands-soap": _soap_commands,
    "commands-json": _json_commands,
}
