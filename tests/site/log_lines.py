"""The messages that the bridge writes to its log, found in its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.site.pages import ROOT

# The functions that write a line, and the position of the message among their arguments.
_FIELDS = {"fields": 2, "event": 2, "_say": 1, "_tell": 1}
_LEVELS = {"warning": "WARNING", "error": "ERROR", "exception": "ERROR", "critical": "ERROR"}
_LOUD = frozenset({"WARNING", "ERROR"})
# Programs of their own, whose lines are no part of the log of `serve`.
_OTHERS = ("lab",)


def messages() -> set[str]:
    """Return the message of each line at level warning or error. Parts that are known only at run time are `%s`."""
    found: set[str] = set()
    for path in sorted((ROOT / "bridge").rglob("*.py")):
        if path.relative_to(ROOT / "bridge").parts[0] not in _OTHERS:
            found |= set(_messages(ast.parse(path.read_text("utf-8"))))
    return found


def _messages(tree: ast.Module) -> Iterator[str]:
    names = {
        target.id: text
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and (text := _text(node.value)) is not None
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.startswith("_")
    }
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _in_function(function, names)


def _in_function(function: ast.FunctionDef | ast.AsyncFunctionDef, names: dict[str, str]) -> Iterator[str]:
    """Return the messages of one function. A message may stand in a variable, which may be set several times."""
    known: dict[str, list[tuple[int, str]]] = {name: [(0, text)] for name, text in names.items()}
    calls = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and (text := _text(node.value)) is not None:
            for target in node.targets:
                if isinstance(target, ast.Name):
                    known.setdefault(target.id, []).append((node.lineno, text))
        if isinstance(node, ast.Call):
            calls.append(node)
    for call in calls:
        argument = _message_of(call)
        if isinstance(argument, ast.Name):
            before = [(line, text) for line, text in known.get(argument.id, []) if line < call.lineno]
            if before:
                yield max(before)[1]
        elif argument is not None and (text := _text(argument)) is not None:
            yield text


def _message_of(call: ast.Call) -> ast.expr | None:
    """Return the argument of a call that is the message of a warning or an error; None for any other call."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "_log" and name in _LEVELS:
        return call.args[0]
    position = _FIELDS.get(name)
    if position is None or len(call.args) <= position:
        return None
    level = ast.unparse(call.args[position - 1]).rpartition(".")[2]
    return call.args[position] if level in _LOUD else None


def _text(node: ast.expr) -> str | None:
    """Return a constant text, with `%s` for each part of an f-string that is not constant."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "%s" for part in node.values)
    return None
