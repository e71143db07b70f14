"""Run the steps of a Containerfile in roots of its own, as far as `deploy/Containerfile` needs it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.packaging.roots import as_root, debian, in_root, unpacked


@dataclass
class Image:
    """A stage, or the image that the last one is."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    folder: str = "/"
    volumes: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    stop_signal: str = ""
    health: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def steps_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction and its arguments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        if line.strip():
            instruction, _, arguments = line.strip().partition(" ")
            yield instruction, arguments.strip()


class ContainerBuild:
    """A build from the folder `context` in the folder `where`, with the build arguments `arguments`."""

    def __init__(self, context: Path, where: Path, arguments: Mapping[str, str]) -> None:
        self._context = context
        self._where = where
        self._given = arguments
        self._stages: dict[str, Image] = {}
        self._later: list[str] = []  # all words of the steps that follow, among them the stages that are still needed
        self._image = Image(where)

    def run(self, text: str) -> Image:
        """Run all steps and return the image. An instruction that is not known here is a KeyError."""
        known: dict[str, Callable[[str], None]] = {
            "FROM": self._from,
            "RUN": self._run,
            "COPY": self._copy,
            "ARG": self._arg,
            "ENV": self._env,
            "USER": lambda text: setattr(self._image, "user", text),
            "WORKDIR": lambda text: setattr(self._image, "folder", text),
            "VOLUME": lambda text: self._image.volumes.append(text),
            "EXPOSE": lambda text: self._image.ports.extend(text.split()),
            "STOPSIGNAL": lambda text: setattr(self._image, "stop_signal", text),
            "HEALTHCHECK": lambda text: setattr(self._image, "health", json.loads(text.partition(" CMD ")[2])),
            "ENTRYPOINT": lambda text: setattr(self._image, "entrypoint", json.loads(text)),
            "CMD": lambda text: setattr(self._image, "command", json.loads(text)),
        }
        steps = list(steps_of(text))
        for number, (instruction, arguments) in enumerate(steps, 1):
            self._later = " ".join(later for _, later in steps[number:]).replace("=", " ").split()
            known[instruction](arguments)
        return self._image

    def _from(self, text: str) -> None:
        base, _, name = text.partition(" AS ")
        root = self._where / f"stage-{len(self._stages)}"
        if base in self._stages:
            again = base in self._later
            as_root(*(("cp", "-a") if again else ("mv",)), self._stages[base].root, root)  # a copy takes a while
        else:
            system, _, suite = base.partition(":")
            assert system == "debian", f"only Debian can be made here, not {base}"
            unpacked(debian(suite.removesuffix("-slim")), root)
        self._image = self._stages[name or "the last"] = Image(root)

    def _run(self, text: str) -> None:
        environment = self._image.environment | self._image.arguments
        in_root(self._image.root, "/bin/sh", "-c", text, environment=environment)

    def _copy(self, text: str) -> None:
        *sources, target = shlex.split(text)
        context, ignored = self._context, ignored_in(self._context)
        if sources[0].startswith("--from="):
            context, ignored = self._stages[sources.pop(0).removeprefix("--from=")].root, set()
        place = Path(f"{self._image.root}{target}")
        as_root("mkdir", "-p", place.parent)
        for source in sources:
            if source == ".":
                as_root("mkdir", "-p", place)
                kept = [path for path in context.iterdir() if path.name not in ignored]
                as_root("cp", "-a", *kept, place)
            else:
                as_root("cp", "-a", "--no-target-directory", context / source.lstrip("/"), place)

    def _arg(self, text: str) -> None:
        name, _, default = text.partition("=")
        self._image.arguments[name] = self._given.get(name, default.strip('"'))

    def _env(self, text: str) -> None:
        name, _, value = text.partition("=")
        self._image.environment[name] = value


def ignored_in(context: Path) -> set[str]:
    """What of the top of the context is not copied."""
    lines = (context / ".dockerignore").read_text("utf-8").splitlines()
    return {line for line in lines if line and not line.startswith(("#", "**/"))}


def removed(where: Path) -> None:
    """Remove the roots of a build, whose files may be root's."""
    if where.exists():
        as_root("rm", "-rf", where)
