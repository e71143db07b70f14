"""Programs that are built from their Go modules, once, into the folder .cache: `python -m tests.packaging.tools`.

They are large: helm takes two minutes to build. `.ci/run` begins to build them before it needs them.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lacking import lacking
from tests.packaging.source import CHECKOUT

_PROGRAMS = {
    "helm": "helm.sh/helm/v3/cmd/helm@v3.16.4",
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform@v0.6.7",
}
# The version whose schemas the chart is held to.
KUBERNETES = "1.31.3"
_MODULES = {
    "kubernetes": f"k8s.io/kubernetes@v{KUBERNETES}",
    "prometheus-operator": "github.com/prometheus-operator/prometheus-operator@v0.78.2",
}
_CACHE = CHECKOUT / ".cache" / "go"


def tool(name: str) -> Path:
    """Return the path of one of the programs. It is built if it was not; the test is skipped without Go."""
    program, version = _PROGRAMS[name], _PROGRAMS[name].rpartition("@")[2]
    place = _CACHE / f"{name}-{version}"
    go = _go()
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may build it at this moment
        if not place.exists():
            environment = os.environ | {"GOBIN": str(_CACHE), "CGO_ENABLED": "0"}
            # Without debugging information, which nobody needs here.
            build = [go, "install", "-ldflags=-s -w", program]
            built = subprocess.run(build, env=environment, capture_output=True, text=True)
            if built.returncode != 0:
                lacking(f"{name} cannot be built: {built.stderr.strip()[-300:]}")
            (_CACHE / name).rename(place)
    return place


def module(name: str) -> Path:
    """Return the folder with the source of a Go module."""
    asked = [_go(), "mod", "download", "-json", _MODULES[name]]
    done = subprocess.run(asked, capture_output=True, text=True, cwd=CHECKOUT)
    if done.returncode != 0:
        lacking(f"the Go module of {name} cannot be had: {done.stdout.strip()[-300:]}")
    return Path(json.loads(done.stdout)["Dir"])


def _go() -> str:
    if (go := shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")) is None:
        pytest.skip("Go is not installed")  # in CI as well: Debian's own is too old for these programs
    return go


def main() -> int:
    """Build all of them. Returns 0, or 1 if one cannot be built."""
    try:
        for name in _PROGRAMS:
            tool(name)
    except (pytest.skip.Exception, pytest.fail.Exception) as error:
        print(f"tests.packaging.tools: {error.msg}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
