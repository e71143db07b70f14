"""What the pages show can be used: configurations are read, commands are parsed, addresses and log lines exist."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bridge.commands.arguments import parser
from bridge.config import load
from bridge.config.complaints import Complaints
from bridge.config.packs import read
from tests.config import Files
from tests.site import command_line
from tests.site.admin_api import openapi
from tests.site.log_lines import messages
from tests.site.pages import DOCS, PAGES, ROOT, Block, blocks

_CENTRAL_SYSTEM = '[central_systems.main]\nurl = "wss://csms.example.com/ocpp"\n'
_ROUTE = '[[routes]]\ncharge_point = "*"\ncentral_system = "main"\n'
_FILE = re.compile(r'"((?:tls|secrets)/[^"]*)"')
_INLINE = re.compile(r"`(ocpp-bridge [^`]+)`")


# --- Configurations ---


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_a_configuration_is_read(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, or, if it is a part, beside a Central System and a route. The files that it names are there."""
    monkeypatch.chdir(tmp_path)
    text = block.text
    for name in _FILE.findall(text):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"0123456789-0123456789-{name}")
    shown = tomllib.loads(text)
    if "match" in shown:
        complaints = Complaints(str(block))
        (tmp_path / "pack.toml").write_text(text)
        (pack,) = read(["pack.toml"], complaints)
        complaints.stop()
        assert pack.evidence
        return
    if ("main" not in shown.get("central_systems", {}) and "routes" not in shown) or "central_systems" not in shown:
        text = f"{text}\n{_CENTRAL_SYSTEM}"
    if "routes" not in shown:
        text = f"{text}\n{_ROUTE}"
    if "include" in shown:
        (tmp_path / "conf.d").mkdir()
    (tmp_path / "bridge.toml").write_text(text)
    load(tmp_path / "bridge.toml", {})


def test_commented_keys_of_the_tls_example_can_be_uncommented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (shown,) = (block.text for block in blocks("toml") if "old fleet" in block.text)
    (tmp_path / "tls").mkdir()
    for name in re.findall(r'"(tls/[^"]*)"', shown):
        (tmp_path / name).write_text("")
    settings = Files(tmp_path).load(shown.replace("# client_certificate", "client_certificate") + _ROUTE)
    assert [soap.name for soap in settings.soap] == ["", "old fleet"]
    assert settings.soap[0].tls is not None and settings.soap[0].tls.client_certificate == "asked"


def test_the_environment_that_is_shown_overrides_the_file() -> None:
    (shown,) = (block.text for block in blocks("sh") if "export OCPP_BRIDGE__SOAP" in block.text)
    settings = load(None, dict(line.removeprefix("export ").split("=") for line in shown.splitlines()))
    assert (str(settings.soap[0].listen), settings.routes[0].accept) == ("0.0.0.0:8080", "listed")


# --- Commands ---


def commands(text: str) -> Iterator[list[str]]:
    """Return the words of each command in a block of shell, without redirections."""
    joined = re.sub(r"\s[<>] \S+", "", text.replace("\\\n", " "))
    for line in joined.splitlines():
        words: list[str] = []
        for word in shlex.split(line, comments=True):
            if word in ("|", "||", "&&"):
                yield words
                words = []
            else:
                words.append(word)
        if words:
            yield words


def shell() -> list[tuple[str, list[str]]]:
    """Return every command of every block of shell, with the place of the block."""
    return [(str(block), words) for block in blocks("sh") for words in commands(block.text)]


def of_the_bridge() -> list[tuple[str, str]]:
    """Return each command line of `ocpp-bridge`, also those within a text or a command."""
    found = [(place, shlex.join(words[1:])) for place, words in shell() if words[0].endswith("ocpp-bridge")]
    for page in PAGES:
        inline = [
            text for text in _INLINE.findall(page.read_text("utf-8")) if "COMMAND" not in text and "FILE" not in text
        ]
        found += [(page.name, text.removeprefix("ocpp-bridge ")) for text in inline]
    found += [
        (str(block), within)
        for block in blocks("sh")
        for within in re.findall(r"\$\(ocpp-bridge ([^)]*)\)", block.text)
    ]
    return sorted({*found})


@pytest.mark.parametrize(("place", "line"), of_the_bridge())
def test_a_command_of_the_bridge_is_one(place: str, line: str) -> None:
    if line in {name for name, _ in command_line.commands(parser())}:
        return  # a sentence names the command alone
    try:
        parser().parse_args(shlex.split(line))
    except SystemExit as left:
        if left.code == 0:  # --version
            return
        raise AssertionError(f"{place}: ocpp-bridge {line}") from left


def test_commands_are_found_where_they_stand() -> None:
    text = "a b   # c\nd | e 'f|g' && \\\n  h > i\n"
    assert list(commands(text)) == [["a", "b"], ["d"], ["e", "f|g"], ["h"]]
    assert len(of_the_bridge()) > 40


@pytest.mark.parametrize(("place", "words"), [one for one in shell() if one[1][0] == "make"])
def test_a_target_of_make_exists(place: str, words: list[str]) -> None:
    assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE), place


@pytest.mark.parametrize(("place", "words"), [one for one in shell() if one[1][0] == "curl"])
def test_a_request_is_one_of_the_api(place: str, words: list[str]) -> None:
    """Its path and method exist, and its content has the members of the endpoint."""
    url = urlsplit(next(word for word in words if word.startswith("http://")))
    assert url.netloc == "127.0.0.1:8081", place
    if not url.path.startswith("/api/"):
        assert url.path in ("/healthz", "/readyz", "/metrics")
        return
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"
    paths = {re.sub(r"\{\w+\}", "[^/]+", path): operations for path, operations in openapi()["paths"].items()}
    (operations,) = (found for path, found in paths.items() if re.fullmatch(path, url.path))
    operation = operations[method.lower()]
    assert any(word.startswith("Authorization: Bearer ") for word in words), place
    assert ("-d" in words) == ("requestBody" in operation), place
    if "-d" in words:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        members = openapi()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
        assert {*json.loads(words[words.index("-d") + 1])} <= {*members}


def test_files_that_commands_install_exist() -> None:
    named = {word for _, words in shell() for word in words if word.startswith(("deploy/", "conf/"))}
    assert named and all((ROOT / name).exists() for name in named)


def test_the_service_is_installed_as_its_own_file_says() -> None:
    """docs/operate.md has the commands of the unit's first lines, from a checkout."""
    unit = (ROOT / "deploy" / "systemd" / "ocpp-bridge.service").read_text("utf-8")
    (shown,) = (block.text for block in blocks("sh") if "admin-token" in block.text and "install" in block.text)
    assert "openssl rand -hex 32 | install -m 600 /dev/stdin /etc/ocpp-bridge/admin-token" in unit
    for line in ("install -D -m 644 bridge.toml /etc/ocpp-bridge/bridge.toml", "systemctl enable --now ocpp-bridge"):
        assert line in unit and line in shown
    assert "openssl rand -hex 32 | install -m 600 /dev/stdin /etc/ocpp-bridge/admin-token" in shown


def test_commands_find_the_service_where_its_unit_puts_things() -> None:
    unit = (ROOT / "deploy" / "systemd" / "ocpp-bridge.service").read_text("utf-8")
    (shown,) = (block.text for block in blocks("sh") if "OCPP_BRIDGE_CONFIG=" in block.text)
    exported = dict(line.removeprefix("export ").split("=", 1) for line in shown.splitlines() if "export" in line)
    assert f"--config {exported['OCPP_BRIDGE_CONFIG']}" in unit
    assert f"LoadCredential=admin-token:{exported['OCPP_BRIDGE__ADMIN__TOKEN_FILE']}" in unit
    store = exported["OCPP_BRIDGE__STORE__URL"].replace("/var/lib/", "%S/", 1)  # systemd.unit(5): %S is /var/lib
    assert f"Environment=OCPP_BRIDGE__STORE__URL={store}" in unit


# --- The log ---


def rows_of(heading: str) -> list[list[str]]:
    """Return the lines of the log in the first column of each row below `heading` of the page for troubleshooting."""
    section = (DOCS / "troubleshooting.md").read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    first = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    return [re.findall(r"`([^`]+)`", cell) for cell in first]


def documented() -> list[str]:
    return [line for row in rows_of("By line of the log") for line in row]


@pytest.mark.parametrize("message", sorted(messages()))
def test_a_warning_of_the_log_is_explained(message: str) -> None:
    """docs/troubleshooting.md has a row whose first column is how the line begins."""
    said = re.sub(r"(%[sdr] ?)+", lambda found: f"…{' ' * found[0].endswith(' ')}", message)
    assert [line for line in documented() if said.startswith(line.rstrip("…"))], message


@pytest.mark.parametrize("line", documented())
def test_a_line_that_is_explained_is_written_somewhere(line: str) -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "bridge").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # texts that go on in the next line
    parts = [part for part in re.split("…", line) if part.strip(" :(")]
    assert parts and all(part in source for part in parts)


def test_messages_are_found_in_the_source() -> None:
    found = messages()
    assert {"link failure", "caution", "%s %s is restored", "answer dropped"} <= found
    assert "loss" not in found  # information


# --- Performance ---


def test_the_figures_in_short_are_those_of_the_tables() -> None:
    text = (DOCS / "performance.md").read_text("utf-8")
    short = text.partition("In short:")[2].partition("\n\n")[0]
    tables = "".join(line for line in text.splitlines() if line.startswith("|"))
    figures = re.findall(r"\d{4}|\d+\.\d+", short)
    assert len(figures) == 6 and all(figure in tables for figure in figures)
