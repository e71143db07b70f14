"""The four legs and the commands: which subjects there are for each, and what work they get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from msgspec import Struct

from tests.bench import messages, parties
from tests.bench.floor import MEMORY_KEPT
from tests.bench.load import Work
from tests.bench.parties import CENTRAL_SYSTEM_SERVICE, CHARGE_POINT_SERVICE, JsonCentralSystem, paired
from tests.bench.subject import Bridge, Subject, bare, bridge

Working = dict[str, list[Work]]
# Names of a subject that stand for how the bridge is configured; "bridge" alone is with the recorder off, and POSTs on
# connections that are kept open, as the floor has them.
_OTHERWISE: dict[str, dict[str, bool | str]] = {
    "bridge": {},
    "bridge, recording": {"recording": True},
    "bridge, TLS": {"tls": True},
    "bridge, a connection per Call": {"connection_per_call": True},
    "bridge, log_level warning": {"log_level": "warning"},
}


class Leg(Struct, frozen=True, kw_only=True):
    """`subjects` to measure, `actions` to measure them with."""

    name: str
    title: str
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


_FLOORS = ("floor", f"floor, {MEMORY_KEPT}")
_PLAIN = ("bridge", "bridge, log_level warning", "bridge, recording", "bridge, TLS")
# Only towards Charge Points has a POST a connection of its own: towards Central Systems they are always kept.
_POSTS = ("bridge", "bridge, a connection per Call", "bridge, log_level warning", "bridge, recording")
LEGS = {
    leg.name: leg
    for leg in (
        Leg(name="soap-json", title="SOAP -> JSON", subjects=(*_FLOORS, "stock", *_PLAIN), whole=True),
        Leg(name="json-json", title="JSON -> JSON", subjects=(*_FLOORS, *_PLAIN)),
        Leg(
            name="json-soap",
            title="JSON -> SOAP",
            subjects=(*_FLOORS, "stock", *_PLAIN),
            soap_central=True,
        ),
        Leg(name="soap-soap", title="SOAP -> SOAP", subjects=(*_FLOORS, *_PLAIN), soap_central=True),
        Leg(
            name="commands-soap",
            title="JSON Central System -> SOAP Charge Point",
            subjects=("floor", "floor, a connection per Call", "stock", *_POSTS),
            actions=messages.COMMANDS,
            whole=True,
        ),
        Leg(
            name="commands-json",
            title="JSON Central System -> JSON Charge Point",
            subjects=(*_FLOORS, *_PLAIN),
            actions=messages.COMMANDS,
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
        names = parties.identities(charge_points)
        work = await _WORK[leg.name](stack, subject, central, names, callback if kind in _OTHERWISE else "")
        yield Measured(subject=subject, work=work)


def _subject(leg: Leg, kind: str, url: str, callback: str, count: int) -> AbstractAsyncContextManager[Subject]:
    if kind in _OTHERWISE:
        protocol = "ocpp1.6s" if leg.soap_central else "ocpp1.6j"
        return bridge(Bridge(central_system=url, protocol=protocol, **_OTHERWISE[kind]))  # type: ignore[arg-type]
    module, _, variant = kind.partition(", ")
    if callback:
        return bare(module, "commands", url, callback, str(count), "per-call" if variant else "kept")
    return bare(module, "json-json" if leg.name == "commands-json" else leg.name, url, *filter(None, [variant]))


async def _soap(
    stack: AsyncExitStack, subject: Subject, central: JsonCentralSystem, names: list[str], callback: str
) -> Working:
    connections = await stack.enter_async_context(parties.soap_connections(subject, len(names)))
    return {a: paired(connections, [parties.posted(a, name) for name in names]) for a in messages.ACTIONS}


async def _json(
    stack: AsyncExitStack, subject: Subject, central: JsonCentralSystem, names: list[str], callback: str
) -> Working:
    charge_points = await stack.enter_async_context(parties.json_charge_points(subject, names))
    return {a: paired(charge_points, [messages.call(a)] * len(names)) for a in messages.ACTIONS}


async def _commands(central: JsonCentralSystem, names: list[str]) -> Working:
    await central.connected(len(names))
    systems = [central.connections[name] for name in names]
    return {action: paired(systems, [messages.call(action)] * len(names)) for action in messages.COMMANDS}


async def _soap_commands(
    stack: AsyncExitStack, subject: Subject, central: JsonCentralSystem, names: list[str], callback: str
) -> Working:
    """`callback` is where the Charge Points say that they can be called; the bare ones know it already."""
    if callback:
        async with parties.soap_connections(subject, 1) as connections:
            await parties.once(connections, [parties.posted("BootNotification", name, callback) for name in names])
    return await _commands(central, names)


async def _json_commands(
    stack: AsyncExitStack, subject: Subject, central: JsonCentralSystem, names: list[str], callback: str
) -> Working:
    await stack.enter_async_context(parties.json_charge_points(subject, names))
    return await _commands(central, names)


_WORK = {
    "soap-json": _soap,
    "soap-soap": _soap,
    "json-json": _json,
    "json-soap": _json,
    "commands-soap": _soap_commands,
    "commands-json": _json_commands,
}
