"""The API's description from the same declarations that serve it: https://spec.openapis.org/oas/v3.1.0"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from wolke import __version__
from wolke.core.db import Json
from wolke.core.http import Call, Service
from wolke.core.versions import spell


def document(services: Sequence[Service]) -> Json:
    # all at once: where two types have the same name, both are called by their module
    bodies = {id(call.body): call.body for service in services for call in service.calls if call.body is not None}
    found, components = msgspec.json.schema_components(bodies.values(), ref_template="#/components/schemas/{name}")
    schemas = dict(zip(bodies, found, strict=True))
    paths: dict[str, Any] = {}
    for service in services:
        for call in service.calls:
            paths.setdefault(service.prefix + call.path or "/", {})[call.method.lower()] = _operation(
                service, call, schemas
            )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Wolke", "version": __version__},
        "paths": {path: paths[path] for path in sorted(paths)},
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
    }


def _operation(service: Service, call: Call, schemas: Mapping[int, Json]) -> Json:
    operation: Json = {
        "tags": [service.name],
        "summary": call.summary,
        "responses": {str(call.status): {"description": "done"}, "default": {"description": "refused"}},
        "security": [] if call.public else [{"token": []}],
    }
    if call.rule:
        operation["x-rule"] = call.rule
    if service.versions:
        operation["x-since"] = spell(max(call.since, service.versions.lowest))
    if names := re.findall(r"{(\w+)(?::\w+)?}", call.path):
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if call.body is not None:
        content = {"application/json": {"schema": schemas[id(call.body)]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation
