"""The API description, generated from the running route table (OpenAPI 3.1)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from doorward import __version__
from doorward.web.routing import JSON, Access, Operation
from doorward.web.schemas import PROBLEM

_SECURITY: Mapping[Access, Sequence[Mapping[str, list[str]]]] = {
    Access.ANYONE: (),
    Access.OPTIONAL: ({}, {"cookie": []}, {"bearer": []}),
    Access.SIGNED_IN: ({"cookie": []}, {"bearer": []}),
    Access.ADMIN: ({"cookie": []}, {"bearer": []}),
}


def describe_api(
    operations: Sequence[Operation], *, title: str, public_url: str, session_cookie: str
) -> dict[str, Any]:
    """The OpenAPI document of every operation that has a tag; pages have none."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        if operation.tag:
            paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{title} API",
            "version": __version__,
            "description": "Browsers sign in with a cookie and send the session's CSRF token as X-CSRF-Token with "
            "every unsafe request. Programs send `Authorization: Bearer` and no cookie.",
        },
        "servers": [{"url": public_url}],
        "tags": [{"name": tag} for tag in dict.fromkeys(o.tag for o in operations if o.tag)],
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {
                "cookie": {"type": "apiKey", "in": "cookie", "name": session_cookie},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _describe(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(operation),
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": list(_SECURITY[operation.access]),
        "responses": {str(status): _answer(a.description, a.schema) for status, a in operation.answers.items()},
    }
    if operation.description:
        described["description"] = operation.description
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.reads == JSON:
        content = {JSON: {"schema": operation.body_schema or {"type": "object"}}}
        described["requestBody"] = {"required": operation.method != "DELETE", "content": content}
    return described


def _answer(description: str, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    if schema is None:
        return {"description": description}
    if schema is PROBLEM:
        problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
        return {"description": description, "content": {"application/problem+json": problem}}
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _operation_id(operation: Operation) -> str:
    words = re.findall(r"[a-z]+", operation.path.removeprefix("/api/"))
    return "_".join([operation.method.lower(), *words])
