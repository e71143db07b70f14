"""The reference of the command line, made from the parser of `bridge.commands.arguments`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from bridge.commands.arguments import parser
from tests.site.markdown import code, table, words


def reference() -> str:
    """Return a section for each command."""
    return "\n".join(_section(name, command) for name, command in commands(parser()))


def commands(above: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Return each command below `above` that does something, by its words: `simulate charge-point`."""
    for action in above._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                below = [(f"{name} {rest}", one) for rest, one in commands(command)]
                yield from below or [(name, command)]


def _section(name: str, command: argparse.ArgumentParser) -> str:
    arguments = [action for action in command._actions if action.dest != "help"]
    positional = [
        _metavar(action) if action.nargs != "?" else f"[{_metavar(action)}]" for action in _positional(command)
    ]
    required = [f"{action.option_strings[0]} {_metavar(action)}" for action in arguments if _is_required_option(action)]
    optional = ["[OPTIONS]"] if any(action.option_strings and not action.required for action in arguments) else []
    usage = " ".join(["ocpp-bridge", name, *required, *optional, *positional])
    parts = [f"## {code(name)}", command.description or "", f"```\n{usage}\n```"]
    if arguments:
        parts.append(table(("argument", "meaning"), map(_row, arguments)).rstrip())
    if command.epilog is not None:
        examples = [line.strip() for line in command.epilog.splitlines()[1:]]
        parts.append("```sh\n" + "\n".join(examples) + "\n```")
    return "\n\n".join(parts) + "\n"


def _positional(command: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in command._actions if not action.option_strings]


def _is_required_option(action: argparse.Action) -> bool:
    return bool(action.option_strings) and action.required


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, str) and "|" not in action.metavar:
        return action.metavar
    return action.dest.upper().replace("-", "_")


def _row(action: argparse.Action) -> tuple[str, str]:
    name = _metavar(action)
    if action.option_strings:
        value = "" if action.nargs == 0 else f" {name}"
        name = f"{action.option_strings[0]}{value}"
    about = action.help or ""
    if values := _values(action):
        about = f"{words(map(code, values))}{'; ' if about else ''}{about}"
    return code(name), f"{about}{'; required' if _is_required_option(action) else ''}"


def _values(action: argparse.Action) -> list[str]:
    """Return the words that the argument takes; none if it takes any text."""
    if action.choices is not None:
        return [str(choice) for choice in action.choices]
    return action.metavar.split("|") if isinstance(action.metavar, str) and "|" in action.metavar else []
