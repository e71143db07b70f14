"""Command `completion`: print a completion script for the shell, made from the parser so that both agree."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote

from msgspec import Struct

from bridge.ocpp.actions import ACTIONS

PROGRAM = "ocpp-bridge"


class Value(Struct, frozen=True, kw_only=True):
    """The value of an option or a positional argument: one of `words`, a file, or any text."""

    words: tuple[str, ...] = ()
    file: bool = False


class CompletedCommand(Struct, frozen=True, kw_only=True):
    """A command of the parser.

    Attributes:
        path: Words of the command; empty for the program itself.
        about: Help text.
        commands: Help texts of its subcommands, by name.
        options: Help text and value of each option, by name; the value is None for an option without one.
        values: Positional arguments.
    """

    path: tuple[str, ...]
    about: str
    commands: dict[str, str]
    options: dict[str, tuple[str, Value | None]]
    values: tuple[Value, ...]


def run(parser: argparse.ArgumentParser, shell: str) -> int:
    """Print the script for `shell`. Returns exit code 0."""
    print(SHELLS[shell](list(commands_of(parser))), end="")
    return 0


def commands_of(
    parser: argparse.ArgumentParser, path: tuple[str, ...] = (), about: str = ""
) -> Iterator[CompletedCommand]:
    """Return the command of `parser` and all commands below it, in that order.

    Args:
        parser: The parser of the command.
        path: Words of the command; empty for the program itself.
        about: Help text of the command.
    """
    below: dict[str, argparse.ArgumentParser] = {}
    helps: dict[str, str] = {}
    options: dict[str, tuple[str, Value | None]] = {}
    values: list[Value] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below |= action.choices
            helps |= {each.dest: each.help or "" for each in action._choices_actions}
        elif action.option_strings:
            value = None if action.nargs == 0 else _value(action)
            options |= dict.fromkeys(action.option_strings, (action.help or "", value))
        else:
            values.append(_value(action))
    yield CompletedCommand(path=path, about=about, commands=helps, options=options, values=tuple(values))
    for name, one in below.items():
        yield from commands_of(one, (*path, name), helps.get(name, ""))


def _value(action: argparse.Action) -> Value:
    if action.dest == "action":
        return Value(words=tuple(ACTIONS))
    if action.choices is not None:
        return Value(words=tuple(map(str, action.choices)))
    if isinstance(action.metavar, str) and "|" in action.metavar:
        return Value(words=tuple(action.metavar.split("|")))
    return Value(file=action.type is Path)


def _words(command: CompletedCommand) -> str:
    values = (word for value in command.values for word in value.words)
    return " ".join([*command.commands, *values, *command.options])


def _bash(commands: list[CompletedCommand]) -> str:
    lines = [
        "_ocpp_bridge() {",
        '    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" path="" words="" i',
        "    for ((i = 1; i < COMP_CWORD; i++)); do",
        '        case "$path ${COMP_WORDS[i]}" in',
        *(f"            {quote(_spoken(command))}) path={quote(_spoken(command))} ;;" for command in commands[1:]),
        "        esac",
        "    done",
        '    case "$path $prev" in',
        *(line for command in commands for line in _bash_options(command)),
        "    esac",
        '    case "$path" in',
        *(f"        {quote(_spoken(command))}) words={quote(_words(command))} ;;" for command in commands),
        "    esac",
        '    COMPREPLY=($(compgen -W "$words" -- "$cur"))',
        "}",
        f"complete -o default -F _ocpp_bridge {PROGRAM}",
    ]
    return "\n".join(lines) + "\n"


def _spoken(command: CompletedCommand) -> str:
    return "".join(f" {word}" for word in command.path)


def _bash_options(command: CompletedCommand) -> Iterator[str]:
    for name, (_, value) in command.options.items():
        if value is not None:
            made = f"-W {quote(' '.join(value.words))}" if value.words else "-f" if value.file else "-W ''"
            reply = f'COMPREPLY=($(compgen {made} -- "$cur")); return'
            yield f"        {quote(f'{_spoken(command)} {name}')}) {reply} ;;"


def _zsh(commands: list[CompletedCommand]) -> str:
    return f"#compdef {PROGRAM}\nautoload -U +X compinit bashcompinit && compinit && bashcompinit\n{_bash(commands)}"


def _fish(commands: list[CompletedCommand]) -> str:
    lines = [f"complete -c {PROGRAM} -f"]
    for command in commands:
        seen = [f"__fish_seen_subcommand_from {word}" for word in command.path]
        others = f"not __fish_seen_subcommand_from {' '.join(command.commands)}" if command.commands else ""
        here = quote("; and ".join([*seen, *([others] if others else [])]) or "true")
        for name, about in command.commands.items():
            lines.append(f"complete -c {PROGRAM} -n {here} -a {name} -d {quote(about)}")
        for value in command.values:
            if value.words or value.file:
                lines.append(f"complete -c {PROGRAM} -n {here} {_fish_value(value)}")
        for name, (about, option) in command.options.items():
            flag = f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
            taken = "" if option is None else f" -r {_fish_value(option)}"
            lines.append(f"complete -c {PROGRAM} -n {here} {flag}{taken} -d {quote(about)}")
    return "\n".join(lines) + "\n"


def _fish_value(value: Value) -> str:
    return f"-a {quote(' '.join(value.words))}" if value.words else "-F" if value.file else ""


SHELLS: dict[str, Callable[[list[CompletedCommand]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
