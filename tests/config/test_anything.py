"""Whatever the file and the environment hold, there are settings or a ConfigurationError, and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.config import Settings
from bridge.config.records import Table
from bridge.config.shapes import is_table, keys, listed, named, origin
from bridge.errors import ConfigurationError
from tests.config import Files

_SECRET = "shibboleth"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def toml(value: Any) -> str:
    """The value as TOML, in one line."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(f"\\U{ord(char):08X}" for char in value) + '"'
        case dict():
            return "{" + ", ".join(f"{toml(key)} = {toml(below)}" for key, below in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case _:
            return str(value)


def names(table: type[Table]) -> Iterator[str]:
    for name, key in keys(table).items():
        yield name
        below = named(key.holds) or listed(key.holds) or key.holds
        if is_table(below):
            yield from names(below)


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    TEXT,
    st.dates(),
    st.sampled_from(["main", "ws://h", "http://h/", "127.0.0.1:1", "any", "10.0.0.0/8", "ocpp1.6s", "*"]),
)
NAMES = st.one_of(st.sampled_from(sorted(set(names(Settings)))), TEXT)
VALUES = st.recursive(SCALARS, lambda below: st.lists(below, max_size=4) | st.dictionaries(NAMES, below, max_size=6))


def near(hint: Any) -> st.SearchStrategy[Any]:
    """Values that are nearly what the key takes."""
    if is_table(hint):
        below = {name: near(key.holds) for name, key in keys(hint).items()}
        return st.fixed_dictionaries({}, optional=below) | VALUES
    if (holds := named(hint)) is not None:
        return st.dictionaries(TEXT | st.sampled_from(["main", "A", "a"]), near(holds), max_size=3)
    if (holds := listed(hint)) is not None and is_table(holds):
        return st.lists(near(holds), max_size=3)
    return SCALARS if origin(hint) is None else VALUES


def attempt(folder: Path, content: str | bytes, environ: Mapping[str, str] | None = None) -> str:
    """What is said about the configuration, however it ends."""
    try:
        settings = Files(folder).load(content, environ)
    except ConfigurationError as error:
        assert error.complaints
        assert all(str(complaint).isprintable() for complaint in error.complaints)
        assert len(str(error).splitlines()) == len(error.complaints)
        return str(error)
    assert isinstance(settings, Settings)
    return repr(settings)


@given(content=st.binary() | st.text().map(lambda text: text.encode("utf-8", "replace")))
def test_any_file(folder: Path, content: bytes) -> None:
    attempt(folder, content)


@given(tree=st.dictionaries(NAMES, VALUES) | near(Settings).filter(lambda tree: isinstance(tree, dict)))
@example(tree={"routes": [{"charge_point": "*"}, 1], "central_systems": {"main": {}}})
def test_any_toml(folder: Path, tree: dict[str, Any]) -> None:
    attempt(folder, "\n".join(f"{toml(key)} = {toml(value)}" for key, value in tree.items()))


@given(
    environ=st.dictionaries(
        st.lists(NAMES.map(str.upper) | st.sampled_from(["MAIN", "0", "1"]), min_size=1, max_size=4).map(
            lambda steps: "OCPP_BRIDGE__" + "__".join(steps)
        ),
        st.text() | st.sampled_from(["main", "ws://h", "http://h/", "127.0.0.1:1", "5", "true"]),
        max_size=6,
    )
)
def test_any_environment(folder: Path, environ: dict[str, str]) -> None:
    attempt(folder, "", environ)


def _everywhere(table: type[Table]) -> Iterator[tuple[str, ...]]:
    for name, key in keys(table).items():
        below = named(key.holds) or listed(key.holds) or key.holds
        steps = (name, "main") if named(key.holds) else (name,)
        if is_table(below):
            yield from ((*steps, *rest) for rest in _everywhere(below))
        elif "password" in name or "token" in name or name.endswith("url") or name == "key":
            yield (*steps, name) if named(key.holds) else steps


@pytest.mark.parametrize("path", sorted(set(_everywhere(Settings))))
@given(wrapped=st.sampled_from(["{0}", "http://me:{0}@h:x/", "ws://h/?{0}", " {0}", "{0}\n"]), listed=st.booleans())
def test_no_secret_is_told(folder: Path, path: tuple[str, ...], wrapped: str, listed: bool) -> None:
    value: Any = wrapped.format(_SECRET)
    for step in reversed(path):
        value = {step: [value] if listed and step == path[-1] and "url" not in step and step != "key" else value}
    told = attempt(folder, f"{toml(path[0])} = {toml(value[path[0]])}\nunknown = 1")
    assert _SECRET not in told
