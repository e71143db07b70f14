"""The OpenAPI document is what is served, and what it promises holds whatever is asked (schemathesis)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from bridge.admin.endpoints import AdminEndpoint
from bridge.admin.openapi import document
from bridge.admin.server import AdminContext, endpoints
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.admin.asked import api_of
from tests.e2e import stage
from tests.e2e.stage import Backstage, charge_point, json_charge_point, running

SOAP, JSON = "CP 1", "JS/1"
EVENTS = "/api/v1/events"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


def described() -> list[AdminEndpoint]:
    """All that is served; nobody serves it."""
    nobody: Any = None
    desk = AdminContext(**dict.fromkeys(AdminContext.__struct_fields__, nobody))
    return endpoints(desk)


DOCUMENT = document(described())
# The paths of a tenant lead to the same handlers as those of the default tenant: some stand for all.
OF_TENANT = "/api/v1/tenants/{tenant}/charge-points/{identity}"
OPERATIONS = [
    (path, method)
    for path, told in DOCUMENT["paths"].items()
    for method in told
    if path != EVENTS and ("{tenant}" not in path or path == OF_TENANT)
]


def likely() -> dict[str, Any]:
    """The document, with those Charge Points and commands made likely that there are. The live stream never ends, so
    it is not asked for here."""
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(DOCUMENT))
    del told["paths"][EVENTS]
    for path in told["paths"].values():
        for operation in path.values():
            for parameter in operation["parameters"]:
                if parameter["name"] == "id" and parameter["in"] == "path":
                    parameter["schema"] = {"anyOf": [{"enum": ["1", "2"]}, parameter["schema"]]}
                if parameter["name"] == "tenant":
                    parameter["schema"] = {"anyOf": [{"enum": ["default"]}, parameter["schema"]]}
                if parameter["name"] == "identity" and parameter["in"] == "path":
                    parameter["schema"] = {"anyOf": [{"enum": [SOAP, JSON]}, parameter["schema"]]}
    body = told["paths"]["/api/v1/charge-points/{identity}/calls"]["post"]["requestBody"]["content"]["application/json"]
    body["schema"] = {"anyOf": [body["schema"], *map(_command, stage.COMMANDS.items())]}
    told["paths"]["/api/v1/charge-points:import"]["post"]["requestBody"]["content"]["text/csv"]["schema"] = {
        "anyOf": [{"type": "string"}, {"enum": ["identity,password\nCP 2,x\n", "identity,networks\nCP 2,x\n"]}]
    }
    for wanted in ("MoveWanted", "MovesWanted"):
        properties = told["components"]["schemas"][wanted]["properties"]
        properties["central_system"] = {"anyOf": [{"const": "other"}, properties["central_system"]]}
    properties["charge_points"]["anyOf"].insert(0, {"enum": [SOAP, JSON, "*"]})
    properties["stop_if"] = {"anyOf": [{"enum": ["", "errors>1%"]}, properties["stop_if"]]}
    return told


def _command(command: tuple[str, Any]) -> dict[str, Any]:
    action, payload = command
    properties = {"action": {"const": action}, "payload": {"const": payload}}
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, dict[str, str]]]:
    """The URL, and the headers that its token needs, of a gateway with a SOAP and a JSON Charge Point, between two
    Central Systems."""
    stack = AsyncExitStack()

    async def begin() -> tuple[str, dict[str, str]]:
        central = await stack.enter_async_context(JsonCentralSystem())
        told = stage.settings(central.url)
        systems = told.central_systems | {"other": told.central_systems["main"]}
        gateway = await stack.enter_async_context(running(msgspec.structs.replace(told, central_systems=systems)))
        soap = await stack.enter_async_context(charge_point(gateway, SOAP))
        json = await stack.enter_async_context(json_charge_point(gateway, JSON))
        for party in (soap, json):
            await party.call("BootNotification", stage.SAMPLES["BootNotification"])
        host, port = gateway.admin_address
        assert gateway.admin_token is not None
        return f"http://{host}:{port}", {"Authorization": f"Bearer {gateway.admin_token.decode()}"}

    with Backstage() as backstage:
        try:
            yield backstage.run(begin())
        finally:
            backstage.run(stack.aclose())


def is_still_wrong(case: schemathesis.Case[Any], sent: str, path: str, method: str) -> bool:
    """Return whether what is wrong in a case is wrong in its request.

    The token that a case lacks is added. In a path and a query, a number, a list or null may be sent as a text that is
    valid, and a list or an object without members is not sent at all.
    """
    assert case.meta is not None
    if (body := case.meta.components.get(ParameterLocation.BODY)) is not None and body.mode is GenerationMode.NEGATIVE:
        return True
    told = DOCUMENT["paths"][path][method]["parameters"]
    schemas = {(parameter["in"], parameter["name"]): parameter["schema"] for parameter in told}
    required = {
        ("query", parameter["name"]) for parameter in told if parameter["in"] == "query" and parameter.get("required")
    }
    asked = urlsplit(sent)
    in_path = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path), asked.path)
    assert in_path is not None
    given = [
        *((("path", name), unquote(text)) for name, text in in_path.groupdict().items()),
        *((("query", name), text) for name, text in parse_qsl(asked.query, keep_blank_values=True)),
    ]
    names = {name for name, _ in given}
    return (
        len(names) < len(given)
        or not required <= names <= schemas.keys()
        or not all(_fits(text, schemas[name]) for name, text in given)
    )


def _fits(text: str, schema: dict[str, Any]) -> bool:
    """Return whether a text in a query is a value that the schema allows."""
    values: list[Any] = [text]
    with suppress(msgspec.DecodeError):
        values.append(msgspec.json.decode(text))
    validator = Draft202012Validator({**schema, "components": DOCUMENT["components"]})
    return any(validator.is_valid(value) for value in values)


SCHEMA = schemathesis.openapi.from_dict(likely())


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_whatever_is_asked(path: str, method: str, mode: GenerationMode, served: tuple[str, dict[str, str]]) -> None:
    @given(case=SCHEMA[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=25, deadline=None, suppress_health_check=[*HealthCheck])
    def asked(case: schemathesis.Case[Any]) -> None:
        base_url, headers = served
        response = case.call(base_url=base_url, headers=headers, timeout=stage.AT_MOST)
        # aiohttp itself turns away a request line beyond that, before we hear of it.
        assume("Got more than 8190 bytes" not in response.text)
        # A fragment that was meant as part of the path makes it another one.
        assume(re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), urlsplit(response.request.path_url).path))
        assume(mode is GenerationMode.POSITIVE or is_still_wrong(case, response.request.path_url, path, method))
        case.validate_response(response, checks=CHECKS)

    with suppress(Unsatisfiable):  # nothing about the request can be wrong
        asked()


def test_the_document_is_openapi() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    names = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    for record in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(record)


async def test_it_is_served_as_it_is() -> None:
    async with running(stage.settings("ws://127.0.0.1:1/")) as gateway, api_of(gateway) as api:
        assert await api.get("/openapi.json") == msgspec.json.decode(msgspec.json.encode(DOCUMENT))
