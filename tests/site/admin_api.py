"""The reference of the admin API, made from its endpoints."""

from __future__ import annotations

from typing import Any

from bridge.admin.openapi import document
from bridge.admin.server import AdminContext, endpoints
from tests.site.markdown import code, table


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document. Its endpoints are not called, so they need no gateway."""
    nobody: Any = None
    names = AdminContext.__struct_fields__
    return document(endpoints(AdminContext(**dict.fromkeys(names, nobody))))


def reference() -> str:
    """Return a table with each method and path of the API. The paths of a tenant are those of the default tenant."""
    rows = [
        (
            code(f"{method.upper()} {path}"),
            f"{operation['summary']}.",
            _parameters(operation),
            _statuses(operation),
        )
        for path, operations in openapi()["paths"].items()
        for method, operation in operations.items()
        if "{tenant}" not in path
    ]
    return table(("method and path", "purpose", "parameters", "answers"), rows)


def _parameters(operation: dict[str, Any]) -> str:
    query = [code(each["name"]) for each in operation["parameters"] if each["in"] == "query"]
    body = [f"body {code(name)}" for name in _body(operation)]
    return ", ".join([*query, *body])


def _body(operation: dict[str, Any]) -> list[str]:
    """Return the members of the content of a request."""
    if "requestBody" not in operation:
        return []
    ((kind, media),) = operation["requestBody"]["content"].items()
    if "$ref" not in media["schema"]:  # content that is not JSON
        return [kind]
    record = media["schema"]["$ref"].rpartition("/")[2]
    return [*openapi()["components"]["schemas"][record]["properties"]]


def _statuses(operation: dict[str, Any]) -> str:
    return ", ".join(operation["responses"])
