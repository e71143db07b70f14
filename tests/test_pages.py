"""What the pages for operators tell them to type can be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

import bridge
from bridge.commands.arguments import parser

CHECKOUT = Path(bridge.__file__).resolve().parents[1]
PAGES = ("docs/install.md", "docs/upgrade.md", "docs/licences.md")
_CODE = re.compile(r"```\n(.*?)```|`([^`\n]+)`", re.DOTALL)

pytestmark = pytest.mark.skipif(not (CHECKOUT / "docs").is_dir(), reason="not run from a checkout")


def typed() -> Iterator[tuple[str, list[str]]]:
    """Each command in a page: those in a block of code, and those within a line that have arguments."""
    for page in PAGES:
        for block, inline in _CODE.findall((CHECKOUT / page).read_text("utf-8")):
            for line in re.sub(r"\\\n\s*", " ", block or inline).splitlines():
                words = shlex.split(line)
                if len(words) > 1:
                    yield page, words


def commands(program: str) -> list[list[str]]:
    """The arguments of each command that runs `program`."""
    return [words[1:] for _, words in typed() if Path(words[0]).name == program]


def test_the_pages_have_commands() -> None:
    assert len(commands("ocpp-bridge")) >= 6 and len(commands("make")) >= 3 and commands("helm")


@pytest.mark.parametrize("arguments", commands("ocpp-bridge"), ids=" ".join)
def test_every_command_is_one(arguments: list[str]) -> None:
    if arguments != ["--version"]:  # prints it and exits
        parser().parse_args(arguments)


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("arguments", commands("make"), ids=" ".join)
def test_every_target_of_make_is_one(arguments: list[str]) -> None:
    assert arguments[0] in targets()
    variables = {word.partition("=")[0] for word in arguments[1:]}
    makefile = (CHECKOUT / "Makefile").read_text("utf-8")
    assert all(f"$({variable})" in makefile for variable in variables)


def test_the_chart_has_the_values_that_the_page_sets() -> None:
    (arguments,) = [each for each in commands("helm") if each[0] == "install"]
    values = yaml.safe_load((CHECKOUT / arguments[2] / "values.yaml").read_text("utf-8"))
    for setting in (arguments[at + 1] for at, word in enumerate(arguments) if word == "--set"):
        table, _, key = setting.partition("=")[0].partition(".")
        assert key in values[table]


def test_the_image_is_built_and_run_as_the_containerfile_says() -> None:
    """The page and the head of the file tell the same commands."""
    head = (CHECKOUT / "deploy" / "Containerfile").read_text("utf-8").partition("\n\n")[0]
    said = re.sub(r"\\\n#\s*", " ", head)
    ours = [" ".join(["podman", *arguments]) for arguments in commands("podman") if arguments[0] in ("build", "run")]
    assert len(ours) == 2
    assert all(shlex.join(shlex.split(command)) in shlex_lines(said) for command in ours)


def shlex_lines(text: str) -> list[str]:
    """The commands in comments, with spaces and quotes in one form."""
    return [shlex.join(shlex.split(line[1:])) for line in text.splitlines() if line.startswith("#   ")]
