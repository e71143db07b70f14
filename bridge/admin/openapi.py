"""The OpenAPI 3.1 document, which is made from the endpoints and their records."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import msgspec

from bridge.admin.answers import JSON
from bridge.admin.endpoints import EVENTS, PREFIX, AdminEndpoint, Nothing
from bridge.admin.problems import MEDIA_TYPE, Problem

# The problems that every endpoint may answer with: a wrong parameter, no token, a page of a foreign origin.
_ALWAYS = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_WITH_BODY = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
_NAMED = re.compile(r"\{(\w+)\}")
# The version of the API, with which `/api/v1` stays compatible.
_VERSION = "1.0.0"
_ABOUT = "What an operator of ocpp-bridge sees and does. Times are ISO 8601 in UTC."


def document(endpoints: list[AdminEndpoint]) -> dict[str, Any]:
    """Return the OpenAPI document for `endpoints`."""
    types = [each for endpoint in endpoints for each in (endpoint.body, endpoint.answer) if each is not None]
    schemas, components = msgspec.json.schema_components([Problem, *types], ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(map(repr, [Problem, *types]), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operations = paths.setdefault(PREFIX + endpoint.path, {})
        operations[endpoint.method.lower()] = _operation(endpoint, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ocpp-bridge", "version": _VERSION, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(endpoint: AdminEndpoint, schema_of: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.about,
        "parameters": [*_named(endpoint), *_query(endpoint)],
        "responses": _responses(endpoint, schema_of),
    }
    if endpoint.body is not None:
        schema = {"type": "string"} if endpoint.body is bytes else schema_of[repr(endpoint.body)]
        content = {endpoint.takes: {"schema": schema}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _named(endpoint: AdminEndpoint) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in _NAMED.findall(endpoint.path)]


def _query(endpoint: AdminEndpoint) -> list[dict[str, Any]]:
    if endpoint.query is Nothing:
        return []
    _, components = msgspec.json.schema_components([endpoint.query])
    properties = components[endpoint.query.__name__]["properties"]
    return [{"name": name, "in": "query", "schema": _stated(schema)} for name, schema in properties.items()]


def _stated(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter without null: a query has no null, and a missing parameter is just absent."""
    match schema:
        case {"anyOf": [one, {"type": "null"}]}:
            stated: dict[str, Any] = one
            return stated
    return schema


def _responses(endpoint: AdminEndpoint, schema_of: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if endpoint.media != JSON:
        text = "events" if endpoint.media == EVENTS else "as asked"
        responses["200"] = {"description": text, "content": {endpoint.media: {"schema": {"type": "string"}}}}
    elif endpoint.answer is None:
        responses["204"] = {"description": "done"}
    else:
        content = {JSON: {"schema": schema_of[repr(endpoint.answer)]}}
        responses["200"] = {"description": "as asked", "content": content}
    problem = {MEDIA_TYPE: {"schema": schema_of[repr(Problem)]}}
    statuses = (*_ALWAYS, *endpoint.refusals, *(_WITH_BODY if endpoint.body is not None else ()))
    for status in sorted(set(statuses)):
        responses[str(status.value)] = {"description": status.phrase, "content": problem}
    return responses
