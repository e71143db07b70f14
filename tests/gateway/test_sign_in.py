"""The extra `oidc` that is not installed: `serve` and `check` say so, and end with 2."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from bridge.commands.cli import main

TEXT = """
[admin.oidc]
issuer = "https://login.example.com"
client_id = "ocpp-bridge"
operate = ["operators"]
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "bridge.toml"
    path.write_text(f"[store]\nurl = 'sqlite:///{tmp_path}/bridge.db'\n{TEXT}")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize("library", ["authlib", "joserfc"])
def test_without_the_extra(
    configuration: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, library: str
) -> None:
    found = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == library else found(name, package)

    monkeypatch.setattr("bridge.gateway.sign_in.find_spec", without)
    assert main([command, "--config", str(configuration)]) == 2
    text = f"admin.oidc: {library} is not installed here: pip install 'ocpp-bridge[oidc]'"
    assert text in capsys.readouterr().err
    assert not (configuration.parent / "bridge.db").exists()


def test_without_the_extra_everything_else_works() -> None:
    """Nothing but the sign-in itself imports its libraries."""
    program = (
        "import sys; sys.modules['authlib'] = sys.modules['joserfc'] = None; import bridge.app, bridge.commands.cli"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_with_the_extra(configuration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(configuration)]) == 0
    assert "ok, 1 central system, 1 route" in capsys.readouterr().out
