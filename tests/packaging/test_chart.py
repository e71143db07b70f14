"""The chart: helm takes it, Kubernetes would take what it makes, and what it makes fits the image and the bridge."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import bridge
from bridge import config
from tests.packaging.containerfile import steps_of
from tests.packaging.schemas import written
from tests.packaging.source import CHECKOUT
from tests.packaging.tools import KUBERNETES, tool

CHART = CHECKOUT / "deploy" / "helm" / "ocpp-bridge"
URL = ("--set", "centralSystem.url=wss://csms.example.com/ocpp")
CONFIG = """
[central_systems.main]
url = "ws://10.0.0.1:9100/ocpp"

[[routes]]
charge_point = "*"
central_system = "main"
"""
EVERYTHING = {
    "config": CONFIG,
    "adminToken": {"existingSecret": "token"},
    "secrets": ["passwords", "ocpp-tls"],
    "imagePullSecrets": [{"name": "registry"}],
    "env": [{"name": "OCPP_BRIDGE__GATEWAY__LOG_FORMAT", "value": "json"}],
    "persistence": {"size": "5Gi", "storageClass": "fast"},
    "service": {
        "type": "LoadBalancer",
        "annotations": {"example.com/a": "b"},
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "soapPort": 80,
        "websocketPort": 443,
    },
    "podDisruptionBudget": {"enabled": True},
    "serviceMonitor": {"enabled": True, "interval": "10s", "labels": {"release": "prometheus"}},
    "networkPolicy": {"enabled": True, "admin": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]},
    "podAnnotations": {"example.com/c": "d"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}

# Several nodes, each with workers.
NODES = {
    "config": CONFIG,
    "workers": "auto",
    "cluster": {
        "servers": ["tls://nats-0.nats:4222", "tls://nats-1.nats:4222"],
        "replicas": 3,
        "tlsSecret": "nodes-tls",
        "loginSecret": "nats-login",
    },
    "podDisruptionBudget": {"enabled": True},
    "networkPolicy": {"enabled": True},
}


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool("helm"), *arguments], capture_output=True, text=True, timeout=60)


@cache
def rendered(*arguments: str) -> str:
    """The manifests that the chart makes with these arguments."""
    done = helm("template", "site", CHART, "--namespace", "ocpp", "--kube-version", KUBERNETES, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifests(*arguments: str) -> dict[str, dict[str, Any]]:
    """The same by kind and name."""
    read = [each for each in yaml.safe_load_all(rendered(*arguments)) if each]
    return {f"{each['kind']} {each['metadata']['name']}": each for each in read}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The arguments that use every value."""
    file = tmp_path_factory.mktemp("values") / "values.yaml"
    file.write_text(yaml.safe_dump(EVERYTHING))
    return "--values", str(file)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The arguments for a cluster."""
    file = tmp_path_factory.mktemp("nodes") / "values.yaml"
    file.write_text(yaml.safe_dump(NODES))
    return "--values", str(file)


def test_helm_lints_it(everything: tuple[str, str], nodes: tuple[str, str]) -> None:
    for values in (URL, everything, nodes):
        done = helm("lint", "--strict", CHART, "--kube-version", KUBERNETES, *values)
        assert (done.returncode, "0 chart(s) failed" in done.stdout) == (0, True), done.stdout + done.stderr


def test_kubernetes_would_take_what_it_makes(
    everything: tuple[str, str], nodes: tuple[str, str], tmp_path: Path
) -> None:
    where = written(tmp_path)
    check = [str(tool("kubeconform")), "-strict", "-summary", "-output", "json", "-schema-location", where]

    def summary(text: str) -> dict[str, int]:
        done = subprocess.run(check, input=text, capture_output=True, text=True, timeout=60)
        counted: dict[str, int] = json.loads(done.stdout)["summary"]
        return counted

    for values, number in ((URL, 3), (everything, 7), (nodes, 7)):
        assert summary(rendered(*values)) == {"valid": number, "invalid": 0, "errors": 0, "skipped": 0}
    # It would notice a field that Kubernetes does not know, however deep.
    assert summary(rendered(*URL).replace("readOnlyRootFilesystem", "readOnlyRoot"))["invalid"] == 1
    assert summary(rendered(*everything).replace("jobLabel", "labelOfJob"))["invalid"] == 1


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((), "set centralSystem.url, or config: where is the Central System?"),
        ((*URL, "--set", "config=x"), "set centralSystem.url or config, not both"),
        ((*URL, "--set", "replicas=3"), "Additional property replicas is not allowed"),
        ((*URL, "--set", "service.port=1"), "Additional property port is not allowed"),
        (("--set", "centralSystem.url=csms.example.com"), "centralSystem.url: Does not match pattern"),
        ((*URL, "--set", "workers=0"), "workers"),
        ((*URL, "--set", "cluster.servers={http://nats}"), "cluster.servers.0"),
        ((*URL, "--set", "cluster.servers={nats://nats:4222}"), "set cluster.tlsSecret"),
        ((*URL, "--set", "centralSystem.protocol=ocpp2.0.1"), "centralSystem.protocol must be one of"),
    ],
)
def test_values_that_cannot_be_used_are_named(values: tuple[str, ...], sentence: str) -> None:
    done = helm("template", "site", CHART, "--kube-version", KUBERNETES, *values)
    assert done.returncode != 0
    assert sentence in done.stderr


def container(*arguments: str) -> dict[str, Any]:
    stateful_set = manifests(*arguments)["StatefulSet site-ocpp-bridge"]
    (found,) = stateful_set["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def test_it_fits_the_image() -> None:
    image = config.load(CHECKOUT / "deploy" / "container" / "bridge.toml", {})
    steps = dict(steps_of((CHECKOUT / "deploy" / "Containerfile").read_text("utf-8")))
    made = container(*URL)
    ports = {port["name"]: port["containerPort"] for port in made["ports"]}
    assert ports == {
        "soap": image.soap[0].listen.port,
        "websocket": image.websocket[0].listen.port,
        "admin": image.admin.listen.port,
    }
    assert [mount["mountPath"] for mount in made["volumeMounts"]] == [steps["VOLUME"], "/tmp"]
    pod = manifests(*URL)["StatefulSet site-ocpp-bridge"]["spec"]["template"]["spec"]
    security = pod["securityContext"]
    assert f"{security['runAsUser']}:{security['runAsGroup']}" == steps["USER"]
    assert pod["terminationGracePeriodSeconds"] > image.gateway.drain_timeout + 15


def test_its_variables_are_those_of_the_bridge(everything: tuple[str, str]) -> None:
    """A variable that belongs to no key would end the start with exit code 2."""
    file = CHECKOUT / "deploy" / "container" / "bridge.toml"
    told = {variable["name"]: variable["value"] for variable in container(*URL)["env"]}
    settings = config.load(file, told)
    assert settings.central_systems["main"].url == "wss://csms.example.com/ocpp"
    told = {variable["name"]: variable["value"] for variable in container(*everything)["env"]}
    assert told.pop("OCPP_BRIDGE__ADMIN__TOKEN_FILE") == "/run/secrets/ocpp-bridge-admin/token"
    assert config.load(file, told).gateway.log_format == "json"


def test_a_configuration_is_mounted_where_the_image_reads_it(everything: tuple[str, str]) -> None:
    made = manifests(*everything)
    (name,) = made["ConfigMap site-ocpp-bridge"]["data"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container(*everything)["volumeMounts"]}
    assert f"OCPP_BRIDGE_CONFIG={mounted['config']}/{name}" in (CHECKOUT / "deploy" / "Containerfile").read_text(
        "utf-8"
    )
    assert made["ConfigMap site-ocpp-bridge"]["data"][name].strip() == CONFIG.strip()
    assert {"/run/secrets/passwords", "/run/secrets/ocpp-tls"} <= {*mounted.values()}


def test_pods_of_a_cluster_are_nodes(nodes: tuple[str, str], tmp_path: Path) -> None:
    made = manifests(*nodes)
    stateful_set = made["StatefulSet site-ocpp-bridge"]["spec"]
    service = made[f"Service {stateful_set['serviceName']}"]["spec"]
    assert stateful_set["replicas"] == 3 and service["clusterIP"] == "None"
    variables = {variable["name"]: variable for variable in container(*nodes)["env"]}
    node = variables["OCPP_BRIDGE__CLUSTER__NODE"]
    assert node["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    for name in ("USERNAME", "PASSWORD"):
        reference = variables.pop(f"OCPP_BRIDGE__CLUSTER__{name}")["valueFrom"]["secretKeyRef"]
        assert reference == {"name": "nats-login", "key": name.lower()}
    node["value"] = "site-ocpp-bridge-1"
    told = {name: variable["value"] for name, variable in variables.items()}
    mounted = {mount["name"]: mount["mountPath"] for mount in container(*nodes)["volumeMounts"]}
    for name in ("CERTIFICATE", "KEY", "CA"):
        place = told[f"OCPP_BRIDGE__CLUSTER__TLS__{name}"]
        assert place.startswith(mounted["nodes-tls"])
        (tmp_path / Path(place).name).touch()
        told[f"OCPP_BRIDGE__CLUSTER__TLS__{name}"] = str(tmp_path / Path(place).name)
    listen = told["OCPP_BRIDGE__CLUSTER__LISTEN"].replace("$(OCPP_BRIDGE__CLUSTER__NODE)", node["value"])
    told["OCPP_BRIDGE__CLUSTER__LISTEN"] = listen
    settings = config.load(CHECKOUT / "deploy" / "container" / "bridge.toml", told)
    assert settings.gateway.workers == "auto" and settings.cluster.node == node["value"]
    assert settings.cluster.servers == ("tls://nats-0.nats:4222", "tls://nats-1.nats:4222")
    assert settings.cluster.listen is not None
    assert str(settings.cluster.listen) == "site-ocpp-bridge-1.site-ocpp-bridge-nodes.ocpp.svc:7000"
    assert settings.cluster.listen.port == service["ports"][0]["port"]


def test_services_and_monitor_find_the_pod(everything: tuple[str, str]) -> None:
    made = manifests(*everything)
    labels = made["StatefulSet site-ocpp-bridge"]["spec"]["template"]["metadata"]["labels"]
    for name in ("site-ocpp-bridge", "site-ocpp-bridge-admin"):
        assert made[f"Service {name}"]["spec"]["selector"].items() <= labels.items()
    monitor = made["ServiceMonitor site-ocpp-bridge"]["spec"]
    admin = made["Service site-ocpp-bridge-admin"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= admin.items()
    assert (
        not monitor["selector"]["matchLabels"].items() <= made["Service site-ocpp-bridge"]["metadata"]["labels"].items()
    )
    assert admin[monitor["jobLabel"]] == "ocpp-bridge"  # the job that the alerts and the dashboard name


def test_it_has_the_version_of_the_bridge() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert (chart["version"], chart["appVersion"]) == (bridge.__version__, bridge.__version__)


def test_every_value_has_a_place_in_the_schema() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    assert {*schema["properties"]} - {"global"} == {*values}
    for name, value in values.items():
        if described := schema["properties"][name].get("properties"):
            assert {*described} == {*value}, name
