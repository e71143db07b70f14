"""The project's own files agree with each other: the version, what is packaged, the pins of CI, the ways to check."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import bridge
from bridge.admin.metrics import exposition, registry_of
from bridge.distribution import build
from tests.admin.test_metrics import meter
from tests.conftest import SLOW, is_slow

CHECKOUT = Path(bridge.__file__).resolve().parents[1]
PYTHONS = ["3.11", "3.12", "3.13"]

pytestmark = pytest.mark.skipif(not (CHECKOUT / "pyproject.toml").is_file(), reason="not run from a checkout")


def read(name: str) -> str:
    return (CHECKOUT / name).read_text("utf-8")


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads(read("pyproject.toml"))


# --- The version ---


def test_the_version_is_written_in_one_place() -> None:
    assert "version" not in pyproject()["project"]
    assert pyproject()["project"]["dynamic"] == ["version"]
    assert pyproject()["tool"]["setuptools"]["dynamic"] == {"version": {"attr": "bridge.__version__"}}
    (line,) = [line for line in read("bridge/__init__.py").splitlines() if line.startswith("__version__")]
    # A plain text: setuptools reads it without running the package, whose libraries are not there yet.
    assert line == f'__version__ = "{bridge.__version__}"'
    written = [
        path
        for path in (CHECKOUT / "bridge").rglob("*.py")
        if re.search(rf"""["']{re.escape(bridge.__version__)}["']""", path.read_text("utf-8"))
    ]
    assert written == [CHECKOUT / "bridge" / "__init__.py"]


def test_everybody_says_the_same_version() -> None:
    assert version("ocpp-bridge") == bridge.__version__
    said = subprocess.run([sys.executable, "-m", "bridge", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(rf"ocpp-bridge {re.escape(bridge.__version__)}, commit \S+\n", said.stdout)
    metrics = exposition(registry_of(meter()), "")[0].decode()
    assert re.search(rf'^ocpp_bridge_build_info{{.*version="{re.escape(bridge.__version__)}"', metrics, re.MULTILINE)


def test_the_changelog_is_kept_as_keep_a_changelog_says() -> None:
    text = read("CHANGELOG.md")
    assert text.startswith("# Changelog\n") and "https://keepachangelog.com/en/1.1.0/" in text
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])
    for section in text.split("\n## ")[1:]:
        kinds = re.findall(r"^### (.*)$", section, re.MULTILINE)
        assert {*kinds} <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
        assert len(kinds) == len({*kinds})


# --- What is packaged ---


def test_type_checkers_of_others_are_told_that_it_has_types() -> None:
    assert read("bridge/py.typed") == ""
    assert pyproject()["tool"]["setuptools"]["package-data"]["bridge"] == ["py.typed", build.COMMIT_FILE]


# --- Dependencies ---


def needed(*extras: str) -> list[Requirement]:
    """What the project needs, with these extras of its own."""
    project = pyproject()["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return [wanted for line in lines if (wanted := Requirement(line)).name != "ocpp-bridge"]


def name_of(requirement: Requirement) -> str:
    return re.sub(r"[-_.]+", "-", requirement.name).lower()


def test_ci_has_a_version_of_everything_that_is_needed() -> None:
    lines = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]
    pins = {name_of(Requirement(line)): str(Requirement(line).specifier).removeprefix("==") for line in lines}
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)  # no path of anybody's machine
    wrong = [
        f"{wanted}: {pins.get(name_of(wanted))}"
        for wanted in needed("otel", "mqtt", "nats", "test", "check", "proxies", "docs")
        if not wanted.specifier.contains(pins.get(name_of(wanted), "0"))
    ]
    assert wrong == []


def test_every_dependency_has_its_reason() -> None:
    """In docs/dependencies.md. The names there may be those of a family: opentelemetry."""
    rows = re.findall(r"^\| ([^|]*) \|", read("docs/dependencies.md"), re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"[\w-]+", row.partition("(")[0].lower())}
    wanted = {name_of(one) for one in needed(*pyproject()["project"]["optional-dependencies"])}
    assert {name for name in wanted if name not in named and name.partition("-")[0] not in named} == set()


@pytest.mark.parametrize("library", ["spyne", "aiohttp"])
def test_what_is_leant_on_undocumented_has_an_upper_bound(library: str) -> None:
    (wanted,) = [wanted for wanted in needed() if wanted.name == library]
    assert any(part.operator == "<" for part in wanted.specifier)
    assert re.search(rf'"{library}>=[^"]*",  # \S', read("pyproject.toml"))  # with the reason


# --- Pages ---

PAGES = [
    *(path for path in CHECKOUT.glob("*.md") if path.name != "CHANGELOG.md"),  # it tells of what was, too
    *(CHECKOUT / "docs").rglob("*.md"),
]
DECISIONS = sorted((CHECKOUT / "docs" / "decisions").glob("[0-9]*.md"))
# A path in a page, `bridge/core` or `tests/test_deploy.py`; the star of `conf/quirks/*.toml` stands for some file.
_PATH = re.compile(r"`((?:bridge|tests|docs|conf|deploy|wsdl)/[\w./*-]+|\.?[\w-]+\.(?:md|toml|txt|yaml))`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_what_a_page_leads_to_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
    beside = (CHECKOUT, *(CHECKOUT / name for name in ("bridge", "conf", "conf/quirks")), page.parent)
    named = {name.rstrip("/") for name in _PATH.findall(text)}
    assert {name for name in named if not any([*folder.glob(name)] for folder in beside)} == set()


def test_a_test_that_a_page_names_exists() -> None:
    source = "".join(path.read_text("utf-8") for path in (CHECKOUT / "tests").rglob("*.py"))
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text("utf-8"))}
    assert {name for name in named if f"def {name}(" not in source and not name.startswith("test_quirk_NN")} == set()


def test_a_name_in_the_code_that_a_recipe_has_exists() -> None:
    files = [
        path
        for folder in ("bridge", "tests")
        for path in (CHECKOUT / folder).rglob("*")
        if path.suffix in (".py", ".js")
    ]
    source = "".join(path.read_text("utf-8") for path in files)
    named = set(re.findall(r"`((?:_?[A-Z][A-Z_0-9]{3,})|(?:_?[A-Z][a-z]+(?:[A-Z][a-z]+)+))`", read("CONTRIBUTING.md")))
    missing = {name for name in named if not re.search(rf"^\s*(class {name}\b|(const )?{name}\b.*=)", source, re.M)}
    assert len(named) > 9 and missing == {"NameRequest", "NameResponse"}  # of an action that is called Name


@pytest.mark.parametrize(("number", "page"), [*enumerate(DECISIONS, 1)], ids=lambda value: getattr(value, "stem", ""))
def test_a_decision_has_a_page_of_three_parts(number: int, page: Path) -> None:
    text = page.read_text("utf-8")
    assert page.name.startswith(f"{number:04}-") and text.startswith(f"# {number:04}. ")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 40


def test_the_decisions_are_listed_by_their_titles() -> None:
    titles = {page.name: page.read_text("utf-8").split("\n")[0][len("# 0001. ") :] for page in DECISIONS}
    listed = re.findall(r"^- \[(.*)\]\((.*)\)$", read("docs/decisions/index.md"), re.MULTILINE)
    assert listed == [(title, name) for name, title in titles.items()]


# --- Ways to check ---


def test_the_workflow_runs_what_everybody_runs_with_every_python() -> None:
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == PYTHONS
    assert [step["run"] for step in job["steps"] if step.get("run") == ".ci/run"]
    allowed = SpecifierSet(pyproject()["project"]["requires-python"])
    assert next(f"3.{minor}" for minor in range(30) if allowed.contains(f"3.{minor}.0")) == PYTHONS[0]
    assert allowed.contains("3.99.0")  # whoever wants to try a newer one may, and is told
    assert build.tested_pythons() == tuple(PYTHONS)
    assert [name.rpartition(" ")[2] for name in pyproject()["project"]["classifiers"] if "3." in name] == PYTHONS


def test_the_commit_hooks_are_the_checks_of_the_project() -> None:
    """Each command is one of `make check`, and a program that the environment has."""
    (repository,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert repository["repo"] == "local"
    commands = {hook["entry"].removesuffix(" --force-exclude") for hook in repository["hooks"]}
    checks = re.search(r"^check:.*\n((?:\t.*\n)+)", read("Makefile"), re.MULTILINE)
    assert checks is not None
    named = [line.strip().replace("$(BIN)", ".venv/bin") for line in checks[1].splitlines()]
    assert {re.sub(r"( --check)? \.$", "", line) for line in named} == commands
    assert {Path(command.split()[0]).name for command in commands} <= {name_of(wanted) for wanted in needed("check")}


def test_what_is_slow_exists() -> None:
    tests = CHECKOUT / "tests"
    assert [name for name in SLOW if not (tests / name).exists()] == []
    assert is_slow(tests / SLOW[0] / "test_x.py") and not is_slow(tests) and not is_slow(Path(__file__))


def test_ci_tests_with_the_versions_that_are_written_down_and_says_when_it_cannot() -> None:
    script = read(".ci/run")
    assert "if ! install --constraint constraints.txt; then\n  echo " in script
    assert script.endswith("make check\nmake test\n")
