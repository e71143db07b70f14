"""Who may import whom (DESIGN section 7). The tables are the rules; the sources are read, not run.

A pattern stands for a module and for all that lies in it. Where several fit a module, the longest counts.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

import bridge
from bridge.gateway import transports

ROOT = Path(bridge.__file__).parent

# The modules of `bridge.net` for each of the two wires. Neither group sees the other, or the other's codecs.
JSON_SOCKETS = (
    *("accepted", "json_channel", "json_client", "json_relayed", "json_server", "message_socket", "websocket"),
)
SOAP_SOCKETS = (
    *("content_codings", "endpoints", "forwarding", "http_client", "http_server", "lookups", "overload"),
    *("soap_client", "soap_server", "verdicts"),
)

# The model, and what everybody may know.
_MODEL = ("bridge.ocpp", "bridge.errors")
_NET = ("bridge.net", "bridge.dialects", *_MODEL)

# What of ours each package, or module, may see.
SEES: dict[str, tuple[str, ...]] = {
    "bridge": (),
    "bridge.distribution": _MODEL,
    "bridge.errors": (),
    "bridge.ocpp": _MODEL,
    "bridge.dialects": ("bridge.dialects", *_MODEL),
    "bridge.core": ("bridge.core", *_MODEL),
    "bridge.ocppj": ("bridge.ocppj", "bridge.dialects", *_MODEL),
    "bridge.ocpps": ("bridge.ocpps", "bridge.dialects", *_MODEL),
    "bridge.ocpps.wsdl": ("bridge.ocpps", "bridge.distribution.files", *_MODEL),
    "bridge.access": ("bridge.access", "bridge.core.networks", *_MODEL),
    "bridge.oidc": ("bridge.oidc",),
    "bridge.config": (
        *("bridge.access.passwords", "bridge.access.paths", "bridge.config", "bridge.core.policies", *_MODEL),
    ),
    "bridge.watching": (
        *("bridge.access.paths", "bridge.core.commands", "bridge.core.observed", "bridge.watching", *_MODEL),
    ),
    # The sockets know the codecs of their own wire.
    "bridge.net": ("bridge.access.paths", "bridge.core.networks", "bridge.watching.logs", *_NET),
    "bridge.net.tls": ("bridge.config", *_NET),
    "bridge.net.proxies": ("bridge.core.destinations", *_NET),
    "bridge.net.large": ("bridge.net.tasks",),
    "bridge.net.tasks": (),
    "bridge.net.descriptors": ("bridge.net.connection_table",),
    "bridge.net.connection_table": (),
    "bridge.net.shared_server": ("bridge.net.descriptors", "bridge.net.tasks"),
    "bridge.net.certificates": (),
    **{f"bridge.net.{module}": ("bridge.access.paths", "bridge.ocppj", *_NET) for module in JSON_SOCKETS},
    **{
        f"bridge.net.{module}": ("bridge.access.paths", "bridge.core", "bridge.ocpps", "bridge.watching.logs", *_NET)
        for module in SOAP_SOCKETS
    },
    "bridge.cluster": (
        *("bridge.cluster", "bridge.net.connection_table", "bridge.net.descriptors", "bridge.net.listening"),
        *("bridge.net.tasks", "bridge.store", "bridge.watching.logs", *_MODEL),
    ),
    "bridge.cluster.link_tls": ("bridge.config.records", "bridge.net.tls"),
    "bridge.store": ("bridge.store", *_MODEL),
    "bridge.recorder": (
        *("bridge.core.commands", "bridge.watching", "bridge.recorder", "bridge.net.tasks"),
        *("bridge.store.files", "bridge.store.schema", "bridge.store.thread", *_MODEL),
    ),
    "bridge.outgoing_events": (
        *("bridge.core.commands", "bridge.outgoing_events", "bridge.net.tasks"),
        *("bridge.store.files", "bridge.store.queue_file", "bridge.store.thread", "bridge.watching", *_MODEL),
    ),
    "bridge.observer_queues": (
        *("bridge.core.observer_ids", "bridge.core.observer_queue", "bridge.net.tasks", "bridge.observer_queues"),
        *("bridge.store.files", "bridge.store.queue_file", "bridge.store.records"),
        *("bridge.store.schema", "bridge.store.thread"),
    ),
    "bridge.outgoing_events.records": ("bridge.ocpp.tenants",),
    "bridge.outgoing_events.queue": (),
    "bridge.admin": (
        *("bridge.access.paths", "bridge.admin", "bridge.core.commands", "bridge.core.state"),
        *("bridge.distribution.build", "bridge.net.descriptors"),
        *("bridge.net.limits.refusal_summary", "bridge.net.listening", "bridge.net.proxies.rules", "bridge.net.tasks"),
        *("bridge.oidc.attempts", "bridge.oidc.outcome"),
        *("bridge.recorder.messages", "bridge.recorder.trace_*", "bridge.watching", *_MODEL),
    ),
    "bridge.gateway": (
        *("bridge.access", "bridge.admin", "bridge.cluster", "bridge.config", "bridge.core", "bridge.gateway"),
        "bridge.watching",
        *("bridge.ocppj", "bridge.ocpps", "bridge.observer_queues", "bridge.oidc", "bridge.outgoing_events"),
        *("bridge.recorder", "bridge.store", *_NET),
    ),
    # What carries out decisions knows no wire, and what reaches a party decides nothing.
    "bridge.gateway.session_runner": (
        *("bridge.core", "bridge.net.limits.bucket", "bridge.watching", *_MODEL),
        *("bridge.gateway.persistence", "bridge.gateway.placement", "bridge.gateway.transports"),
        "bridge.gateway.former_commands",
    ),
    "bridge.gateway.transports": (
        *("bridge.core.addresses", "bridge.core.callback", "bridge.core.destinations", "bridge.core.links"),
        *("bridge.ocppj", "bridge.net.json_channel", "bridge.net.json_client", "bridge.net.soap_client"),
        *("bridge.net.message_socket", "bridge.net.tasks", *_MODEL),
    ),
    "bridge.gateway.persistence": ("bridge.core", "bridge.watching.logs", "bridge.store", *_MODEL),
    "bridge.gateway.placement": (
        *("bridge.access", "bridge.config", "bridge.core", "bridge.gateway.quirks", "bridge.gateway.rules"),
        *("bridge.gateway.limits", "bridge.gateway.listed", "bridge.gateway.outgoing", "bridge.net.json_client"),
        *_MODEL,
    ),
    "bridge.gateway.rules": ("bridge.access", "bridge.config", *_MODEL),
    "bridge.gateway.quirks": ("bridge.config", "bridge.ocpp"),
    "bridge.gateway.gatekeeper": ("bridge.access", "bridge.net.tasks", *_MODEL),
    "bridge.gateway.memory": (),
    "bridge.app": ("bridge",),
    "bridge.lab.simulators": ("bridge.lab.simulators", "bridge.net.listening", "bridge.net.tasks"),
    "bridge.lab.trace": (
        *("bridge.lab.simulators", "bridge.lab.trace", "bridge.recorder.trace_records", "bridge.watching.masking"),
        *_MODEL,
    ),
    "bridge.lab.demo": (
        *("bridge.app", "bridge.config", "bridge.gateway", "bridge.lab.demo", "bridge.lab.simulators"),
        *("bridge.net.tasks", "bridge.ocpps.wsdl", "bridge.watching.lines"),
    ),
    "bridge.lab.translation": ("bridge.config", "bridge.dialects", "bridge.ocppj", "bridge.ocpps", *_MODEL),
    "bridge.lab": (),
    "bridge.commands": ("bridge",),
    "bridge.__main__": ("bridge.commands.cli",),
}

_ENTRANCES = ("bridge.commands", "bridge.lab")

# Where a library may be known.
KNOWN_IN: dict[str, tuple[str, ...]] = {
    "spyne": ("bridge.ocpps.service", "bridge.ocpps.spyne_on_new_pythons"),
    "httptools": ("bridge.net.http_client", "bridge.net.http_server"),
    "zeep": ("bridge.lab.simulators",),
    "ocpp": ("bridge.lab.simulators",),
    "websockets": (
        *("bridge.net.accepted", "bridge.net.json_*", "bridge.net.message_socket", "bridge.net.websocket"),
        "bridge.lab.simulators",
    ),
    "sqlite3": (
        *("bridge.observer_queues.contents", "bridge.observer_queues.database", "bridge.outgoing_events.database"),
        *("bridge.recorder", "bridge.store"),
    ),
    "aiomqtt": ("bridge.outgoing_events.mqtt",),
    "nats": ("bridge.cluster.nats_client", "bridge.cluster.nats_connection", "bridge.outgoing_events.nats"),
    "authlib": ("bridge.oidc.id_token", "bridge.oidc.provider"),
    "joserfc": ("bridge.oidc.id_token", "bridge.oidc.provider"),
    "opentelemetry": ("bridge.watching.spans",),
    "prometheus_client": ("bridge.admin",),
    "asyncio": (
        "bridge.admin",
        "bridge.app",
        *(
            f"bridge.cluster.{room}"
            for room in (
                *("courier", "embedded_server", "followed_records", "link_listener", "link_streams", "links"),
                *(
                    "map_stream",
                    "member",
                    "nats_connection",
                    "node_numbers",
                    "record_import",
                    "record_stream",
                    "shared_store",
                    "shared_stream",
                ),
                "supervisor",
            )
        ),
        "bridge.gateway",
        "bridge.net",
        "bridge.oidc.provider",
        "bridge.recorder.recorder",
        *_ENTRANCES,
        *(f"bridge.outgoing_events.{room}" for room in ("delivery", "mqtt", "nats", "outbox")),
    ),
}

# What pure code has nothing to do with: clocks, chance, sockets, logs, threads, the machine.
_IMPURE = frozenset({"logging", "os", "random", "secrets", "socket", "subprocess", "sys", "threading", "time", "uuid"})
DOES_WITHOUT: dict[str, frozenset[str]] = {
    "bridge.core": _IMPURE,
    "bridge.ocpp": _IMPURE,
    "bridge.errors": _IMPURE,
    "bridge.watching.explaining": _IMPURE | {"asyncio"},
    "bridge.watching.masking": _IMPURE | {"asyncio"},
    **{f"bridge.oidc.{room}": _IMPURE | {"asyncio"} for room in ("id_token", "metadata", "outcome", "roles")},
    **{f"bridge.recorder.{room}": _IMPURE | {"asyncio"} for room in ("reading", "rows", "trace_*")},
    **{f"bridge.outgoing_events.{room}": _IMPURE | {"asyncio"} for room in ("derivation", "queue", "records")},
    **{
        f"bridge.net.proxies.{room}": _IMPURE | {"asyncio"}
        for room in ("client_certificate", "forwarded", "preamble", "rules")
    },
    **{f"bridge.access.{room}": _IMPURE | {"asyncio"} for room in ("attempts", "passwords", "paths", "queue", "rules")},
    **{
        f"bridge.cluster.{room}": _IMPURE | {"asyncio"}
        for room in (
            *("assignment", "cluster_map", "errors", "hello", "link_frames", "node_addresses", "ownership"),
            *("send_queue", "slot_records", "slots", "stream_forms"),
        )
    },
    "bridge.dialects": _IMPURE,
    "bridge.ocppj": _IMPURE,
    **{
        f"bridge.ocpps.{room}": _IMPURE
        for room in ("codec", "envelope", "exact", "forgiving", "headers", "markup", "replies", "straight", "verbatim")
    },
    "bridge.ocpps.xml": _IMPURE,
    "bridge.net.verdicts": _IMPURE | {"asyncio"},
    "bridge.gateway.placement": _IMPURE | {"asyncio"},
    "bridge.gateway.quirks": _IMPURE | {"asyncio"},
    "bridge.net.limits": _IMPURE,
}

# Each class here is a table of the specification, which the module's docstring names.
TABLES_OF_THE_SPECIFICATION = ("bridge.ocpp.enums", "bridge.ocpp.messages")

# Who starts tasks, and how.
STARTS_TASKS = {("bridge.net.tasks", "create_task")}


def _name(path: Path) -> str:
    parts = ["bridge", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in sorted(ROOT.rglob("*.py"))}


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def fits(module: str, pattern: str) -> bool:
    return fnmatchcase(module, pattern) or fnmatchcase(module, f"{pattern}.*")


def fitting(module: str, patterns: tuple[str, ...]) -> bool:
    return any(fits(module, pattern) for pattern in patterns)


def row_of(module: str) -> str | None:
    """The most particular row of SEES. `bridge` is for that module itself, not for all that nobody thought of."""
    rows = [pattern for pattern in SEES if pattern != "bridge" and fits(module, pattern)]
    return "bridge" if module == "bridge" else max(rows, key=len, default=None)


def imported(tree: ast.Module, module: str, *, package: bool) -> Iterator[str]:
    """The modules that a source imports, wherever in it; ours to the last part, `from x import y` being x.y if that
    is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + package]
                base = ".".join([*parents, *([base] if base else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in MODULES else base


def imports(module: str) -> frozenset[str]:
    return frozenset(imported(tree_of(module), module, package=MODULES[module].name == "__init__.py"))


def ours(module: str) -> frozenset[str]:
    """Without `bridge` itself, which holds nothing but the version: anybody may say that."""
    return frozenset(name for name in imports(module) if name.startswith("bridge."))


def libraries(module: str) -> frozenset[str]:
    return frozenset(name.split(".")[0] for name in imports(module)) - {"bridge"}


@pytest.mark.parametrize("module", MODULES)
def test_it_sees_only_what_it_may(module: str) -> None:
    row = row_of(module)
    assert row is not None, f"{module} has no row in SEES"
    assert {name for name in ours(module) if not fitting(name, SEES[row])} == set()


def test_no_module_stands_beside_the_packages_but_these() -> None:
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py", "app.py", "errors.py"}


@pytest.mark.parametrize("library", KNOWN_IN)
def test_a_library_is_known_only_where_it_belongs(library: str) -> None:
    assert [
        module for module in MODULES if library in libraries(module) and not fitting(module, KNOWN_IN[library])
    ] == []


@pytest.mark.parametrize("pattern", DOES_WITHOUT)
def test_what_is_pure_stays_so(pattern: str) -> None:
    modules = [module for module in MODULES if fits(module, pattern)]
    assert modules
    assert {module: found for module in modules if (found := libraries(module) & DOES_WITHOUT[pattern])} == {}


@pytest.mark.parametrize(
    ("codecs", "sockets", "other"),
    [("bridge.ocppj", JSON_SOCKETS, SOAP_SOCKETS), ("bridge.ocpps", SOAP_SOCKETS, JSON_SOCKETS)],
)
def test_the_two_wires_never_meet(codecs: str, sockets: tuple[str, ...], other: tuple[str, ...]) -> None:
    """Whatever the table says."""
    there = "bridge.ocpps" if codecs == "bridge.ocppj" else "bridge.ocppj"
    own = [module for module in MODULES if fits(module, codecs) or module in {f"bridge.net.{name}" for name in sockets}]
    seen = {name for module in own for name in ours(module)}
    assert len(own) > len(sockets)
    assert not {name for name in seen if fits(name, there) or name in {f"bridge.net.{module}" for module in other}}


def test_nobody_asks_which_transport_it_is() -> None:
    """What differs is a property of a Side or of the Transport itself."""
    names = {name for name in vars(transports) if name.endswith("Transport")}
    asking = {
        module
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance")
        or isinstance(node, ast.MatchClass)
        if names & {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    }
    assert len(names) == 4
    assert asking <= {"bridge.gateway.transports"}


def test_tasks_have_one_owner() -> None:
    assert {(module, name) for module in MODULES for name in starts_tasks(tree_of(module))} == STARTS_TASKS


def starts_tasks(tree: ast.Module) -> Iterator[str]:
    """The names by which asyncio starts tasks, where they are used or imported."""
    for node in ast.walk(tree):
        names = [node.attr] if isinstance(node, ast.Attribute) else []
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name in ("create_task", "ensure_future"))


@pytest.mark.parametrize("module", MODULES)
def test_it_says_what_it_is_for(module: str) -> None:
    tree = tree_of(module)
    assert ast.get_docstring(tree), f"{module} has no docstring"
    if module not in TABLES_OF_THE_SPECIFICATION:
        assert list(undocumented(tree.body)) == []


def undocumented(body: list[ast.stmt]) -> Iterator[str]:
    """Public classes, those in them, and public functions that have no docstring."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield node.name
            if isinstance(node, ast.ClassDef):
                yield from undocumented([item for item in node.body if isinstance(item, ast.ClassDef)])


# The tables and the reading of sources are right themselves.


def test_every_row_is_of_use() -> None:
    assert set(SEES) - {row_of(module) for module in MODULES} == set()
    for patterns in [*SEES.values(), *KNOWN_IN.values()]:
        assert [pattern for pattern in patterns if not any(fits(module, pattern) for module in MODULES)] == []
    assert [library for library in KNOWN_IN if not any(library in libraries(module) for module in MODULES)] == []


def test_how_sources_are_read() -> None:
    source = """
import spyne.protocol.soap
from bridge.ocpps import envelope as soap, Anything
from bridge import __version__
def late():
    from ..core import session
    from . import rpc
    from .rpc import Call
"""
    assert set(imported(ast.parse(source), "bridge.ocpp.types", package=False)) == {
        "spyne.protocol.soap",
        "bridge.ocpps.envelope",
        "bridge.ocpps",
        "bridge",
        "bridge.core.session",
        "bridge.ocpp.rpc",
    }
    assert set(imported(ast.parse("from . import rpc"), "bridge.ocpp", package=True)) == {"bridge.ocpp.rpc"}


def test_how_patterns_are_read() -> None:
    assert row_of("bridge") == "bridge"
    assert row_of("bridge.ocpp.types") == "bridge.ocpp"
    assert row_of("bridge.net.soap_server") == "bridge.net.soap_server"
    assert row_of("bridge.gateway.admission") == "bridge.gateway"
    assert row_of("bridge.gateway_table") is None
    assert row_of("bridge.something_new") is None
    assert not fits("bridge.ocppj", "bridge.ocpp") and fits("bridge.ocpp.rpc", "bridge.ocpp")


def test_what_is_undocumented_is_found() -> None:
    source = "class A:\n    'x'\n    class B: ...\n    def c(self): ...\ndef d(): ...\ndef _e(): ...\n"
    assert list(undocumented(ast.parse(source).body)) == ["B", "d"]


# The drawing in ARCHITECTURE.md.


def drawn() -> dict[str, int]:
    """The row of each package and single module, counted from the top."""
    drawing = (ROOT.parent / "ARCHITECTURE.md").read_text(encoding="utf-8").split("```")[1]
    return {name: number for number, row in enumerate(drawing.strip().splitlines()) for name in row.split()}


def package_of(module: str) -> str:
    return module.split(".")[1]


def test_the_drawing_has_each_package_once() -> None:
    assert sorted(drawn()) == sorted({package_of(module) for module in MODULES if module != "bridge"})


@pytest.mark.parametrize("package", drawn())
def test_a_package_imports_from_its_row_and_below(package: str) -> None:
    rows = drawn()
    seen = {package_of(name) for module in MODULES if fits(module, f"bridge.{package}") for name in ours(module)}
    assert {name for name in seen if rows[name] < rows[package]} == set()


def test_a_public_class_has_a_name_of_its_own() -> None:
    """But for tables of the configuration, which have the names of what they configure."""
    places: dict[str, list[str]] = {}
    for module in MODULES:
        for node in tree_of(module).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and module != "bridge.config.records":
                places.setdefault(node.name, []).append(module)
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}
