"""What stands in `deploy/` fits the bridge: its metrics, its configuration, its exit codes, what it may write."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import bridge
from bridge.admin.metrics import PREFIX, registry_of
from bridge.config import Settings
from bridge.core.state import STATES
from tests.admin.test_metrics import labels_of, meter_of_a_cluster
from tests.e2e.processes import Bridge
from tests.e2e.stage import RawCentralSystem, envelope, post
from tests.lacking import lacking

DEPLOY = Path(bridge.__file__).parents[1] / "deploy"
UNIT = DEPLOY / "systemd" / "ocpp-bridge.service"


# Prometheus and Grafana.

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_MATCHERS = re.compile(r"\{([^{}]*)\}")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^()]*)\)")
_RANGE = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
_WORD = re.compile(r"(?<![\w.])[A-Za-z_:][\w:]*(?!\w)(?!\s*\()")
_OPERATORS = {"and", "or", "unless", "bool"}
# What Prometheus brings along, and the label that several processes of a machine have.
_ALWAYS = {"job", "instance", "node"}


def read(expression: str) -> tuple[set[str], set[str]]:
    """The metrics and the labels that a PromQL expression names. For expressions as they are here: no comments."""
    text = _STRING.sub('""', expression)
    named = [re.findall(r"(\w+)\s*[=!]", found) for found in _MATCHERS.findall(text)]
    grouped = [re.findall(r"\w+", found) for found in _GROUPING.findall(text)]
    rest = _RANGE.sub("", _GROUPING.sub("", _MATCHERS.sub("", text)))
    return set(_WORD.findall(rest)) - _OPERATORS, {label for labels in (*named, *grouped) for label in labels}


def test_how_expressions_are_read() -> None:
    text = 'sum by (a, le) (rate(x_total{b="c(d)", e!~"f"}[5m] offset 1h)) / 2 > on (g) topk(3, y) and time() > 1e3'
    assert read(text) == ({"x_total", "y"}, {"a", "le", "b", "e", "g"})


@functools.cache
def known() -> dict[str, set[str]]:
    """Every metric by the name that it is exported under, and its labels."""
    return labels_of(registry_of(meter_of_a_cluster())) | {"up": set()}


def rules() -> list[dict[str, Any]]:
    """Of the alerts."""
    read_in = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8"))
    return [rule for group in read_in["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """Of Grafana."""
    read_in: dict[str, Any] = json.loads((DEPLOY / "grafana" / "ocpp-bridge.json").read_text("utf-8"))
    return read_in


def panels() -> list[dict[str, Any]]:
    """Of the dashboard, those with something to see."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """All that is asked of Prometheus, by who asks."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in dashboard()["templating"]["list"]:
        if match := re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", "")):
            yield variable["name"], f"sum by ({match[2]}) ({match[1]})"


@pytest.mark.parametrize(("who", "expression"), list(expressions()))
def test_every_metric_and_label_that_is_asked_for_exists(who: str, expression: str) -> None:
    metrics, labels = read(expression)
    assert metrics and metrics <= known().keys()
    assert labels <= _ALWAYS.union(*(known()[name] for name in metrics))


def test_every_metric_of_the_bridge_is_somewhere_on_the_dashboard() -> None:
    shown = {name for panel in panels() for target in panel["targets"] for name in read(target["expr"])[0]}
    ours = {name for name in known() if name.startswith(PREFIX) and not name.endswith(("_sum", "_count"))}
    assert ours - shown == set()


def test_alerts_are_told_apart_and_say_what_is_wrong() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"]
        assert not set(rule) - {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"[0-9]+m", rule.get("for", "1m"))


def test_panels_stand_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken
        taken |= cells
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))


@pytest.fixture
def promtool() -> str:
    """The program. Where it is missing the test is skipped: the tests above have read the rules all the same."""
    found = shutil.which("promtool")
    if found is None:
        lacking("no promtool here: it comes with Debian's package prometheus")
    return found


def test_prometheus_takes_the_rules(promtool: str) -> None:
    subprocess.run([promtool, "check", "rules", DEPLOY / "prometheus" / "alerts.yml"], check=True, timeout=60)


def test_the_alerts_fire_when_they_should(promtool: str) -> None:
    """What Prometheus makes of the rules in `alerts_test.yml`: series, and the alerts that they raise."""
    cases = DEPLOY / "prometheus" / "alerts_test.yml"
    done = subprocess.run([promtool, "test", "rules", cases], capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rate_in_an_alert_is_rounded() -> None:
    """`increase` and `rate` extrapolate: a person would read that 2545.6057811080095 Calls have failed."""
    for alert in rules():
        told = " ".join(alert["annotations"].values())
        if "increase(" in alert["expr"] or "rate(" in alert["expr"]:
            assert "{{ $value }}" not in told, alert["alert"]


def test_the_cases_of_the_alerts_have_series_of_ours() -> None:
    """So that no case proves an alert with a metric that nobody exports."""
    cases = yaml.safe_load((DEPLOY / "prometheus" / "alerts_test.yml").read_text("utf-8"))["tests"]
    series = [each["series"] for case in cases for each in case["input_series"]]
    assert series
    for each in series:
        (name,), labels = read(each)
        assert labels - _ALWAYS == known()[name], each
        for state in re.findall(r'state="(\w+)"', each):
            assert state in STATES
    raised = {each["alertname"] for case in cases for each in case["alert_rule_test"]}
    assert raised <= {rule["alert"] for rule in rules()}


# systemd.


def unit() -> dict[str, list[str]]:
    """The keys of the shipped unit, each with its values."""
    return unit_of(UNIT)


def unit_of(path: Path) -> dict[str, list[str]]:
    """The keys of the unit in a file, each with its values."""
    keys: dict[str, list[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            keys.setdefault(key, []).append(value)
    return keys


def test_the_unit_is_what_systemd_takes(tmp_path: Path) -> None:
    """Where there is no systemd to ask: that it has its three sections, and keys in them."""
    text = UNIT.read_text("utf-8")
    assert re.findall(r"^\[(\w+)\]$", text, re.MULTILINE) == ["Unit", "Service", "Install"]
    assert all(re.fullmatch(r"#.*|\[\w+\]|[A-Z]\w+=.*|", line) for line in text.splitlines())
    if shutil.which("systemd-analyze") is None:
        return
    # It looks whether what is to be run is there.
    here = tmp_path / UNIT.name
    here.write_text(text.replace("/opt/ocpp-bridge/bin/ocpp-bridge", sys.executable))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", here], capture_output=True, encoding="utf-8", timeout=60
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", here],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert judged.returncode == 0, judged.stdout[-300:]


def test_the_unit_runs_as_nobody_in_particular_and_writes_to_its_store_only() -> None:
    keys = unit()
    assert keys["DynamicUser"] == keys["NoNewPrivileges"] == keys["PrivateTmp"] == keys["PrivateDevices"] == ["yes"]
    assert keys["ProtectSystem"] == ["strict"] and keys["CapabilityBoundingSet"] == [""]
    assert "root" not in keys["User"] and "ReadWritePaths" not in keys
    assert keys["StateDirectory"] == ["ocpp-bridge"]
    assert "OCPP_BRIDGE__STORE__URL=sqlite:///%S/ocpp-bridge/ocpp-bridge.db" in keys["Environment"]


def test_the_unit_hands_over_secrets_as_files() -> None:
    keys = unit()
    names = [value.partition(":")[0] for value in keys["LoadCredential"]]
    assert f"OCPP_BRIDGE__ADMIN__TOKEN_FILE=%d/{names[0]}" in keys["Environment"]
    assert not any(re.search("(?i)(token|password)=", value) for value in keys["Environment"])


def test_systemd_is_more_patient_than_the_drain() -> None:
    assert int(unit()["TimeoutStopSec"][0]) > Settings().gateway.drain_timeout + 15


# The process.

_NOBODY = "65534"
# PR_SET_MDWE, of Linux 6.3: what systemd's MemoryDenyWriteExecute= does. An older one does not know it.
_NO_NEW_CODE = "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
_READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind / && exec "$@"'


def confined(store: Path) -> list[str]:
    """The command that runs another with as little as the unit leaves it: nobody's user, a tree that can be read and,
    but for the folder `store`, not written. As far as whoever runs the tests may do that."""
    harder = [sys.executable, "-c", _NO_NEW_CODE]
    if os.getuid() != 0:
        return harder
    os.chown(store, int(_NOBODY), int(_NOBODY))
    # It may read everything: an interpreter may lie in somebody's home.
    as_nobody = [
        *("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--no-new-privs"),
        *(
            "--inh-caps=-all,+dac_read_search",
            "--ambient-caps=+dac_read_search",
            "--bounding-set=-all,+dac_read_search",
        ),
    ]
    in_a_tree = ["unshare", "--mount", "--propagation=private", "sh", "-c", _READ_ONLY, str(store)]
    return next(
        (
            [*way, *harder]
            for way in ([*in_a_tree, *as_nobody], as_nobody)
            if shutil.which(way[0]) and subprocess.run([*way, "true"], capture_output=True, timeout=60).returncode == 0
        ),
        harder,
    )


def user_of(pid: int) -> int:
    """Whose process it is."""
    return Path(f"/proc/{pid}").stat().st_uid


async def test_it_serves_as_nobody_where_only_its_store_can_be_written(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    async with RawCentralSystem() as central:
        bridge = Bridge(tmp_path, {"main": {"url": central.url}}, store=f"sqlite:///{store}/bridge.db")
        bridge.through = confined(store)
        async with bridge:
            if os.getuid() == 0 and "setpriv" in bridge.through:
                assert user_of(bridge.pid) == int(_NOBODY)
            async with asyncio.TaskGroup() as group:
                asked = group.create_task(post(bridge, envelope()))
                await (await central.connected()).serve()
            assert asked.result().status == 200
            assert (await bridge.ready())[1]["store"] == {"trouble": None}
            bridge.told(signal.SIGTERM)
            assert await bridge.ended() == 0
        assert (store / "bridge.db").stat().st_size > 0
        assert not [line for line in bridge.lines if " ERROR " in line or "Traceback" in line]
