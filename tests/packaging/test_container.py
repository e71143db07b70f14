"""The image and the composition of it: the steps of the Containerfile in a root of Debian, and what compose.yaml names.

Where these tests run there may be nothing that builds images, so they carry out the steps themselves.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import bridge
from bridge import config
from bridge.commands.arguments import parser
from tests.packaging.containerfile import ContainerBuild, Image, removed, steps_of
from tests.packaging.roots import as_root, confined
from tests.packaging.served import InstalledBridge
from tests.packaging.source import CHECKOUT, COMMIT

DEPLOY = CHECKOUT / "deploy"
CONTAINERFILE = DEPLOY / "Containerfile"
COMPOSE = DEPLOY / "compose.yaml"


@pytest.fixture(scope="module")
def image(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The root that the Containerfile makes of Debian."""
    where = tmp_path_factory.mktemp("image")
    try:
        yield ContainerBuild(source, where, {"COMMIT": COMMIT}).run(CONTAINERFILE.read_text("utf-8"))
    finally:
        removed(where)


async def test_it_serves_as_nobody_with_a_read_only_root(image: Image, tmp_path: Path) -> None:
    assert image.user.split(":")[0].isdecimal() and image.user != "0:0"  # a number: Kubernetes sees that it is not root
    assert image.stop_signal == "SIGTERM"
    (volume,) = image.volumes
    data = tmp_path / "data"
    as_root("cp", "-a", f"{image.root}{volume}", data)  # as a new volume has what is in the image

    def run(command: list[str], environment: Mapping[str, str] = image.environment) -> list[str]:
        return confined(image.root, command, environment, user=image.user, volume=data, at=volume)

    def token() -> str:
        healthy = [word.replace(":8081/", f":{serving.admin}/") for word in image.health]
        subprocess.run(run(healthy), check=True, timeout=60)
        return as_root("cat", data / "admin-token").strip()

    command = [*image.entrypoint, *image.command]
    serving = InstalledBridge(lambda environment: run(command, environment), tmp_path, image.environment)
    about = await serving.boots(token)
    assert (about["version"], about["commit"]) == (bridge.__version__, COMMIT)
    assert "ocpp-bridge.db" in as_root("ls", data)
    # Its health check fails once it is gone, and nothing but the volume could be written.
    assert subprocess.run(run(image.health), capture_output=True, timeout=60).returncode != 0
    touched = subprocess.run(run(["touch", "/opt/ocpp-bridge/x"]), capture_output=True, text=True)
    assert "Read-only file system" in touched.stderr


def test_nothing_that_only_builds_is_in_the_image(image: Image) -> None:
    assert not (image.root / "src").exists()
    assert not list(image.root.glob("opt/ocpp-bridge/lib/python3*/site-packages/pip"))


# Without Debian


def test_the_steps_are_two_stages_and_the_last_installs_nothing() -> None:
    steps = list(steps_of(CONTAINERFILE.read_text("utf-8")))
    stages = [arguments for instruction, arguments in steps if instruction == "FROM"]
    assert stages == ["debian:trixie-slim AS base", "base AS build", "base"]
    last = steps[max(number for number, (instruction, _) in enumerate(steps) if instruction == "FROM") :]
    assert not any("apt-get" in arguments or "pip" in arguments for _, arguments in last)


def test_the_configuration_in_the_image_fits_the_image(tmp_path: Path) -> None:
    settings = config.load(DEPLOY / "container" / "bridge.toml", {})
    steps = dict(steps_of(CONTAINERFILE.read_text("utf-8")))
    ports = [settings.soap[0].listen.port, settings.websocket[0].listen.port, settings.admin.listen.port]
    assert steps["EXPOSE"].split() == [str(port) for port in ports]
    assert settings.store.url.startswith(f"sqlite:///{steps['VOLUME']}/")
    assert f":{settings.admin.listen.port}/healthz" in steps["HEALTHCHECK"]


def composition() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return read


def test_whatever_compose_mounts_and_builds_is_here() -> None:
    services = composition()["services"]
    mounted = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])]
    files = [name for name in mounted if name.startswith(".")]
    assert len(files) == 5 and [name for name in files if not (DEPLOY / name).is_file()] == []
    assert {name for name in mounted if not name.startswith(".")} == {*composition()["volumes"]}
    build = services["bridge"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == CONTAINERFILE


def test_every_command_in_compose_is_one_and_leads_to_another_service() -> None:
    services = composition()["services"]
    central_system = parser().parse_args(services["central-system"]["command"])
    fleet = parser().parse_args(services["fleet"]["command"])
    settings = config.load(DEPLOY / "container" / "bridge.toml", {})
    assert settings.central_systems["main"].url == f"ws://central-system:{central_system.listen.port}/ocpp"
    assert fleet.url == f"http://bridge:{settings.soap[0].listen.port}/services/CentralSystemService"
    assert fleet.websocket_url == f"ws://bridge:{settings.websocket[0].listen.port}{settings.websocket[0].path}"
    assert fleet.host == services["fleet"]["networks"]["demo"]["ipv4_address"]
    assert fleet.size == 50


def test_compose_publishes_to_this_machine_only() -> None:
    ports = [port for service in composition()["services"].values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_and_grafana_of_compose_find_each_other() -> None:
    services, settings = composition()["services"], config.load(DEPLOY / "container" / "bridge.toml", {})
    prometheus = yaml.safe_load((DEPLOY / "compose" / "prometheus.yaml").read_text("utf-8"))
    (scrape,) = prometheus["scrape_configs"]
    assert scrape["job_name"] == "ocpp-bridge"  # as the alerts and the dashboard have it
    assert scrape["static_configs"] == [{"targets": [f"bridge:{settings.admin.listen.port}"]}]
    targets = {volume.split(":")[1] for volume in services["prometheus"]["volumes"]}
    assert {f"/etc/prometheus/{name}" for name in prometheus["rule_files"]} <= targets
    (datasource,) = yaml.safe_load((DEPLOY / "compose/grafana/datasources.yaml").read_text("utf-8"))["datasources"]
    assert datasource["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((DEPLOY / "compose/grafana/dashboards.yaml").read_text("utf-8"))["providers"]
    shown = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert str(Path(shown).parent) == provider["options"]["path"]
    assert shown in {volume.split(":")[1] for volume in services["grafana"]["volumes"]}
