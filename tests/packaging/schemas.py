"""JSON schemas of Kubernetes' kinds for kubeconform, made from what Go modules have. Unknown fields are errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.packaging.tools import module

_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_SERVICE_MONITOR = "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"


def written(folder: Path) -> str:
    """Write the schema of each kind into `folder`. Returns where kubeconform finds them."""
    document = json.loads((module("kubernetes") / "api" / "openapi-spec" / "swagger.json").read_text("utf-8"))
    definitions = {name: _strict(schema) for name, schema in document["definitions"].items()}
    definitions[_INT_OR_STRING] = definitions[_QUANTITY] = {"type": ["string", "integer", "number"]}
    for name, schema in document["definitions"].items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            whole = {"$ref": f"#/definitions/{name}", "definitions": _needed(name, definitions)}
            _write(folder, kind["kind"], kind["group"], kind["version"], whole)
    crd = yaml.safe_load((module("prometheus-operator") / _SERVICE_MONITOR).read_text("utf-8"))
    for version in crd["spec"]["versions"]:
        schema = _strict(version["schema"]["openAPIV3Schema"])
        _write(folder, crd["spec"]["names"]["kind"], crd["spec"]["group"], version["name"], schema)
    return f"{folder}/{{{{.Group}}}}-{{{{.ResourceAPIVersion}}}}-{{{{.ResourceKind}}}}.json"


def _write(folder: Path, kind: str, group: str, version: str, schema: dict[str, Any]) -> None:
    # kubeconform lowers the kind, and takes the first part of apiVersion for the group: v1 for the core kinds.
    (folder / f"{group or version}-{version}-{kind.lower()}.json").write_text(json.dumps(schema))


def _strict(schema: Any) -> Any:
    """Return `schema` with objects that have no other fields than those described."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {name: _strict(each) for name, each in schema.items()}
    open_to_all = strict.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in strict
    if isinstance(schema.get("properties"), dict) and not open_to_all and schema.get("type", "object") == "object":
        strict["additionalProperties"] = False
    if strict.get("x-kubernetes-int-or-string"):
        strict.pop("type", None)
    return strict


def _needed(name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the definition `name` and all that it refers to."""
    found: dict[str, Any] = {}
    open_names = [name]
    while open_names:
        current = open_names.pop()
        if current not in found:
            found[current] = definitions[current]
            open_names += _references(definitions[current])
    return found


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for each in schema for name in _references(each)]
    if not isinstance(schema, dict):
        return []
    here = [str(schema["$ref"]).removeprefix("#/definitions/")] if isinstance(schema.get("$ref"), str) else []
    return here + [name for each in schema.values() for name in _references(each)]
