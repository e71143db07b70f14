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

ROOT = Path(bridge.__file__).parent

# The model, and what everybody may know.
_MODEL = ("bridge.ocpp", "bridge.errors")
_TRANSPORT = (
    *_MODEL,
    "bridge.certificates",
    "bridge.dialects",
    "bridge.identity",
    "bridge.limits",
    "bridge.listening",
    "bridge.paths",
    "bridge.tasks",
)

# What of ours each room may see.
SEES: dict[str, tuple[str, ...]] = {
    "bridge": (),
    "bridge.errors": (),
    "bridge.identity": (),
    "bridge.paths": (),
    "bridge.access": ("bridge.access", "bridge.errors", "bridge.identity"),
    "bridge.access.gatekeeper": ("bridge.access", "bridge.errors", "bridge.identity", "bridge.tasks"),
    "bridge.ocpp": ("bridge.ocpp", "bridge.errors"),
    "bridge.dialects": ("bridge.dialects", *_MODEL),
    "bridge.core": ("bridge.core", *_MODEL),
    "bridge.ocppj": ("bridge.ocppj", *_TRANSPORT),
    "bridge.ocpps": ("bridge.ocpps", *_TRANSPORT),
    "bridge.ocpps.server": ("bridge.ocpps", *_TRANSPORT, "bridge.logs"),
    "bridge.store": ("bridge.store", *_MODEL),
    "bridge.config": (
        *("bridge.access.passwords", "bridge.config", "bridge.errors", "bridge.identity", "bridge.paths"),
    ),
    "bridge.tls": ("bridge.config", "bridge.errors"),
    "bridge.certificates": (),
    "bridge.limits": ("bridge.errors", "bridge.limits"),
    "bridge.listening": (),
    "bridge.memory": (),
    "bridge.tasks": (),
    "bridge.lines": (),
    "bridge.logs": ("bridge.lines",),
    "bridge.observing": ("bridge.core.commands", *_MODEL),
    "bridge.explaining": ("bridge.core.commands", *_MODEL),
    "bridge.masking": ("bridge.paths",),
    "bridge.recorder": (
        *(
            "bridge.core.commands",
            "bridge.explaining",
            "bridge.limits.gate",
            "bridge.masking",
            "bridge.observing",
            "bridge.ocppj.codec",
            "bridge.recorder",
            *_MODEL,
        ),
    ),
    "bridge.trace": ("bridge.masking", "bridge.recorder.messages", "bridge.simulators", "bridge.trace", *_MODEL),
    "bridge.journal": (
        *("bridge.core", "bridge.limits.gate", "bridge.lines", "bridge.logs", "bridge.masking", "bridge.observing"),
        *_MODEL,
    ),
    "bridge.spans": ("bridge.core.commands", "bridge.observing", *_MODEL),
    "bridge.simulators": ("bridge.listening", "bridge.simulators", "bridge.tasks"),
    "bridge.admin": (
        *("bridge.admin", "bridge.listening", "bridge.logs", "bridge.recorder.messages", "bridge.tasks"),
        *_MODEL,
    ),
    "bridge.admin.metrics": ("bridge.admin.health", "bridge.core.commands", "bridge.observing", *_MODEL),
    "bridge.gateway": (
        *(
            "bridge.access",
            "bridge.admin",
            "bridge.config",
            "bridge.core",
            "bridge.gateway",
            "bridge.journal",
            "bridge.logs",
        ),
        *("bridge.observing", "bridge.ocppj", "bridge.ocpps", "bridge.recorder", "bridge.spans", "bridge.store"),
        *("bridge.masking", "bridge.tls", *_TRANSPORT),
    ),
    # What carries out decisions knows no wire, and what reaches a party decides nothing.
    "bridge.gateway.conductor": (
        *("bridge.core", "bridge.limits.bucket", "bridge.observing", *_MODEL),
        *("bridge.gateway.keeping", "bridge.gateway.placement", "bridge.gateway.ways"),
    ),
    "bridge.gateway.ways": (
        *("bridge.core.addresses", "bridge.core.links", "bridge.ocppj", "bridge.ocpps.client", "bridge.tasks"),
        *_MODEL,
    ),
    "bridge.gateway.keeping": ("bridge.core", "bridge.logs", "bridge.store", *_MODEL),
    "bridge.gateway.placement": (
        *("bridge.access", "bridge.config", "bridge.core", "bridge.gateway.quirks", "bridge.gateway.rules"),
        *("bridge.gateway.limits", "bridge.identity", "bridge.ocppj.client", "bridge.paths", *_MODEL),
    ),
    "bridge.gateway.rules": ("bridge.access", "bridge.config", "bridge.identity"),
    "bridge.gateway.quirks": ("bridge.config", "bridge.ocpp"),
    "bridge.translate": (
        *("bridge.config", "bridge.dialects", "bridge.ocppj.codec", *_MODEL),
        *("bridge.ocpps.codec", "bridge.ocpps.envelope", "bridge.ocpps.wsdl", "bridge.ocpps.xml"),
    ),
    "bridge.demo": (
        *("bridge.demo", "bridge.config", "bridge.gateway", "bridge.lines", "bridge.ocpps.wsdl", "bridge.simulators"),
    ),
    "bridge.commands": ("bridge",),
    "bridge.cli": ("bridge.commands", "bridge.config", "bridge.errors", "bridge.logs"),
    "bridge.__main__": ("bridge.cli",),
}

_EDGES = (
    *("bridge.gateway", "bridge.limits.guard", "bridge.limits.queueing", "bridge.ocppj.bounds", "bridge.ocppj.client"),
    *("bridge.ocppj.link", "bridge.ocppj.server", "bridge.ocpps.connections", "bridge.ocpps.posts"),
)
_ENTRANCES = ("bridge.cli", "bridge.commands", "bridge.demo", "bridge.simulators")

# Where a library may be known.
KNOWN_IN: dict[str, tuple[str, ...]] = {
    "spyne": ("bridge.ocpps.service", "bridge.ocpps.spyne_on_new_pythons"),
    "zeep": ("bridge.simulators",),
    "ocpp": ("bridge.simulators",),
    "websockets": ("bridge.ocppj", "bridge.simulators"),
    "sqlite3": ("bridge.recorder", "bridge.store"),
    "opentelemetry": ("bridge.spans",),
    "prometheus_client": ("bridge.admin",),
    "asyncio": (
        *("bridge.tasks", "bridge.access.gatekeeper", "bridge.listening", *_EDGES, "bridge.admin"),
        *("bridge.ocpps.bodies", "bridge.ocpps.client", "bridge.ocpps.connections", "bridge.ocpps.server"),
        *("bridge.recorder.recorder", "bridge.trace.replay"),
        *_ENTRANCES,
    ),
}

# What pure code has nothing to do with: clocks, chance, sockets, logs, threads, the machine.
_IMPURE = frozenset({"logging", "os", "random", "secrets", "socket", "subprocess", "sys", "threading", "time", "uuid"})
DOES_WITHOUT: dict[str, frozenset[str]] = {
    "bridge.core": _IMPURE,
    "bridge.ocpp": _IMPURE,
    "bridge.errors": _IMPURE,
    "bridge.explaining": _IMPURE | {"asyncio"},
    "bridge.masking": _IMPURE | {"asyncio"},
    "bridge.recorder.join*": _IMPURE | {"asyncio"},
    **{f"bridge.recorder.{room}": _IMPURE | {"asyncio"} for room in ("begun", "notes", "pace", "reading")},
    "bridge.identity": _IMPURE,
    "bridge.paths": _IMPURE,
    **{f"bridge.access.{room}": _IMPURE | {"asyncio"} for room in ("attempts", "basic", "passwords", "rules")},
    "bridge.dialects": _IMPURE,
    "bridge.ocpp[js].codec": _IMPURE,
    "bridge.ocpps.envelope": _IMPURE,
    "bridge.ocpps.xml": _IMPURE,
    "bridge.gateway.placement": _IMPURE | {"asyncio"},
    "bridge.gateway.quirks": _IMPURE | {"asyncio"},
    "bridge.limits": _IMPURE,
}

# Each class here is a table of the specification, which the module's docstring names.
TABLES_OF_THE_SPECIFICATION = ("bridge.ocpp.enums", "bridge.ocpp.messages")

# Who starts tasks, and how.
STARTS_TASKS = {("bridge.tasks", "create_task")}


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
    return frozenset(name for name in imports(module) if name.split(".")[0] == "bridge")


def libraries(module: str) -> frozenset[str]:
    return frozenset(name.split(".")[0] for name in imports(module)) - {"bridge"}


@pytest.mark.parametrize("module", MODULES)
def test_it_sees_only_what_it_may(module: str) -> None:
    row = row_of(module)
    assert row is not None, f"{module} has no row in SEES"
    assert {name for name in ours(module) if not fitting(name, SEES[row])} == set()


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


@pytest.mark.parametrize(("transport", "other"), [("bridge.ocppj", "bridge.ocpps"), ("bridge.ocpps", "bridge.ocppj")])
def test_the_two_transports_never_meet(transport: str, other: str) -> None:
    """Whatever the table says."""
    seen = {name for module in MODULES if fits(module, transport) for name in ours(module)}
    assert not {name for name in seen if fits(name, other)}
    assert not any(fits(f"{other}.x", pattern) for row in SEES if fits(transport, row) for pattern in SEES[row])


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
    assert row_of("bridge.ocpps.server") == "bridge.ocpps.server"
    assert row_of("bridge.gateway.doors") == "bridge.gateway"
    assert row_of("bridge.gateway_table") is None
    assert row_of("bridge.something_new") is None
    assert not fits("bridge.ocppj", "bridge.ocpp") and fits("bridge.ocpp.rpc", "bridge.ocpp")


def test_what_is_undocumented_is_found() -> None:
    source = "class A:\n    'x'\n    class B: ...\n    def c(self): ...\ndef d(): ...\ndef _e(): ...\n"
    assert list(undocumented(ast.parse(source).body)) == ["B", "d"]
