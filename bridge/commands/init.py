"""Command `init`: write a configuration, a token of the admin API, the quirk packs and a systemd unit into a folder.

Configuration and unit are those that are shipped, `conf/bridge.toml` and `deploy/systemd/ocpp-bridge.service`, with the
paths of the folder in them.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shlex
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from bridge.admin import token_file
from bridge.distribution import files
from bridge.errors import StartError

CONFIGURATION, UNIT, QUIRKS, STORE = "bridge.toml", "ocpp-bridge.service", "quirks", "var"
_SECTION = re.compile(r"\[+([\w.]+)\]+")
_KEY = re.compile(r"(\w+) = ")
# Paths in the examples that are commented out.
_EXAMPLE = re.compile(r'"((?:tls|secrets)/[^"]*)"')
# Paragraphs of the shipped unit, by how they begin, that fit a folder of the system and not this one.
_HEAD, _USER, _SECRETS = "# ocpp-bridge as a service", "# A user of its own", "# Secrets:"
_SERVICE_USER = "ocpp-bridge"
_COLUMN = 40  # the column where comments begin in the shipped configuration
# Folders that PrivateTmp= hides.
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108


class UnusableFolder(StartError):
    """The folder cannot be used: it is not empty, for instance."""

    exit_code = 2


def run(folder: Path) -> int:
    """Write the files into `folder`, which is made or empty, and print what to do next. Returns 0.

    Raises:
        UnusableFolder: The folder has files, or its path cannot be written in a configuration. Nothing was written.
        OSError: A file cannot be written. The files that were written before it are removed.
    """
    place = _empty(folder)
    _written(place, _files(place))
    for line in _advice(place):
        print(line)
    return 0


def _empty(folder: Path) -> Path:
    """Return the absolute path of the folder, which is empty or does not exist yet."""
    place = folder.absolute()
    if not str(place).isprintable():
        raise UnusableFolder(f"{str(place)!r}: a path with such characters cannot be written in a configuration")
    try:
        found = sorted(entry.name for entry in place.iterdir())
    except FileNotFoundError:
        return place
    except NotADirectoryError:
        raise UnusableFolder(f"{place}: is no folder; name one that is empty or not there yet") from None
    if found:
        some = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise UnusableFolder(f"{place}: has files ({some}); name a folder that is empty or not there yet")
    return place


def _files(place: Path) -> dict[Path, tuple[str, int]]:
    """Return the text and the mode of each file."""
    configuration = (files.folder("conf") / "bridge.toml").read_text("utf-8")
    unit = (files.folder("deploy") / "systemd" / UNIT).read_text("utf-8")
    packs = sorted((files.folder("conf") / "quirks").glob("*.toml"))
    return {
        place / CONFIGURATION: (configuration_in(place, configuration, place / STORE / "ocpp-bridge.db"), 0o600),
        place / token_file.NAME: (f"{token_file.new_token().decode()}\n", 0o600),
        place / UNIT: (unit_in(place, unit), 0o644),
        **{place / QUIRKS / pack.name: (pack.read_text("utf-8"), 0o644) for pack in packs},
    }


def _written(place: Path, files: Mapping[Path, tuple[str, int]]) -> None:
    made: list[Path] = []
    try:
        for folder in (place, place / QUIRKS, place / STORE):
            if not folder.exists():
                folder.mkdir(0o755 if folder.name == QUIRKS else 0o700, parents=folder == place)
                made.append(folder)
        for path, (text, mode) in files.items():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            made.append(path)
            with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123
                file.write(text)
    except OSError:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise


# The configuration.


def configuration_in(place: Path, text: str, store: Path) -> str:
    """Return the shipped configuration with absolute paths.

    Args:
        place: The folder of the configuration, the token and the quirk packs.
        text: The shipped configuration.
        store: The file of the store.
    """
    values = {
        ("gateway", "quirks"): [str(place / QUIRKS)],
        ("admin", "token_file"): str(place / token_file.NAME),
        ("store", "url"): f"sqlite:///{store}",
    }
    return "".join(_lines_in(place, text, {key: _toml(value) for key, value in values.items()}))


def _lines_in(place: Path, text: str, values: dict[tuple[str, str], str]) -> Iterator[str]:
    section = ""
    for line in text.splitlines(keepends=True):
        if found := _SECTION.match(line):
            section = found[1]
        key = _KEY.match(line)
        value = None if key is None else values.get((section, key[1]))
        if key is None or value is None:
            yield _EXAMPLE.sub(lambda example: _toml(str(place / example[1])), line)
            continue
        _, _, comment = line.partition("#")
        yield f"{key[1]} = {value} ".ljust(_COLUMN) + f"# {comment.strip()}\n"


def _toml(value: object) -> str:
    # TOML's basic strings have the escapes of JSON for all characters that can be printed.
    return json.dumps(value, ensure_ascii=False)


# The systemd unit.


def unit_in(place: Path, text: str) -> str:
    """Return the shipped unit `text` for a bridge with all its files in the folder `place`.

    It runs as the user who asks for it. Root gets a unit for the user ocpp-bridge, and the commands that make that one.
    """
    user = getpass.getuser() if os.getuid() else _SERVICE_USER
    replaced = {_HEAD: _head(place, user), _USER: _identity(place, user), _SECRETS: ""}
    paragraphs = []
    for paragraph in text.split("\n\n"):
        begin = next((each for each in replaced if paragraph.startswith(each)), None)
        paragraphs.append(paragraph if begin is None else replaced[begin])
    unit = "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
    words = [*_program(), "serve", "--config", str(place / CONFIGURATION)]
    command = " ".join(_unit_word(word).replace("$", "$$") for word in words)
    for pattern, replacement in (
        (r"^ExecStart=.*$", f"ExecStart={command}"),
        # The program or the folder may lie in somebody's home, or in /tmp.
        (r"^ProtectHome=.*$", "ProtectHome=read-only"),
        (r"^PrivateTmp=.*$", f"PrivateTmp={'no' if _hidden(place, Path(_program()[0])) else 'yes'}"),
    ):
        unit = re.sub(pattern, lambda _, line=replacement: line, unit, flags=re.MULTILINE)  # type: ignore[misc]
    return unit


def _head(place: Path, user: str) -> str:
    shell, unit = shlex.quote(str(place)), shlex.quote(str(place / UNIT))
    lines = [f"ocpp-bridge as a service of systemd 250 or newer, with all its files in {place}.", ""]
    if not os.getuid():
        lines.append(f"  useradd --system --no-create-home --shell /usr/sbin/nologin {user}")
        lines.append(f"  chown -R {user}: {shell}")
    lines += [
        f"  install -m 644 {unit} /etc/systemd/system/",
        "  systemctl daemon-reload && systemctl enable --now ocpp-bridge",
        "",
        "`systemctl reload` reads the configuration again; a bad one changes nothing, and the journal says why.",
    ]
    return "\n".join(f"# {line}".rstrip() for line in lines)


def _identity(place: Path, user: str) -> str:
    return "\n".join(
        [
            f"# {user} reads all of the folder and writes to the store only.",
            f"User={user}",
            f"ReadWritePaths={_unit_word(str(place / STORE))}",
            f"WorkingDirectory={str(place).replace('%', '%%')}",
            "UMask=0077",
        ]
    )


def _program() -> list[str]:
    """Return the command that runs this program."""
    script = Path(sysconfig.get_path("scripts")) / "ocpp-bridge"
    return [str(script)] if script.is_file() else [sys.executable, "-m", "bridge"]


def _hidden(*paths: Path) -> bool:
    return any(path.is_relative_to(folder) for path in paths for folder in _TEMPORARY)


def _unit_word(text: str) -> str:
    """Return `text` as one word of a unit, in which systemd expands %. In commands it expands $, too."""
    if re.fullmatch(r"[\w./@:+=,-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


# The text that says what to do next.


def _advice(place: Path) -> Iterator[str]:
    program = shlex.join(_program())
    configuration = shlex.quote(str(place / CONFIGURATION))
    yield f"{place / CONFIGURATION}: the configuration, every key with its default"
    yield f"{place / token_file.NAME}: the token of the console and the API"
    yield f"{place / QUIRKS}: what is known of some kinds of Charge Points; delete what you do not want"
    yield f"{place / UNIT}: a unit for systemd; its first lines say how to install it"
    yield ""
    yield "Next, write the address of your Central System into [central_systems.main] url. Then:"
    yield f"  {program} check --config {configuration}"
    yield f"  {program} serve --config {configuration}"
