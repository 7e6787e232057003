"""The API description, generated from the running route table (OpenAPI 3.1)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from doorward import __version__
from doorward.web.routing import FORM, JSON, MERGE_PATCH, Access, Answer, JsonSchema, Operation
from doorward.web.schemas import PROBLEM, oauth_problems, problems

_SECURITY: Mapping[Access, Sequence[Mapping[str, list[str]]]] = {
    Access.ANYONE: (),
    Access.OPTIONAL: ({}, {"cookie": []}, {"bearer": []}),
    Access.SIGNED_IN: ({"cookie": []}, {"bearer": []}),
    Access.ADMIN: ({"cookie": []}, {"bearer": []}),
}

_IDEMPOTENCY_KEY: JsonSchema = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string"},
    "description": "Of your choice, new for each request: the same request with the same key is carried out once and "
    "answered alike for a day.",
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
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-API-Key",
                    "description": "An API key with one of the scopes named; `Authorization: Bearer` takes it, too.",
                },
            },
        },
    }


def _describe(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(operation),
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": [*_SECURITY[operation.access], *({"key": [scope]} for scope in operation.scopes)],
        "responses": {str(status): _answer(answer) for status, answer in sorted(_answers(operation).items())},
    }
    if operation.description:
        described["description"] = operation.description
    if operation.reads == FORM:
        described["requestBody"] = {
            "required": True, "content": {FORM: {"schema": operation.body_schema or {"type": "object"}}}
        }  # fmt: skip
    if parameters := [*operation.parameters, *([_IDEMPOTENCY_KEY] if operation.takes_idempotency_key else ())]:
        described["parameters"] = parameters
    if operation.reads == JSON:
        kinds = (JSON, MERGE_PATCH) if operation.method == "PATCH" else (JSON,)
        content = {kind: {"schema": operation.body_schema or {"type": "object"}} for kind in kinds}
        described["requestBody"] = {"required": operation.method != "DELETE", "content": content}
    return described


def _answers(operation: Operation) -> Mapping[int, Answer]:
    """What the operation names, and what follows from its kind: the gate refuses for all of them alike."""
    implied: set[int] = set()
    if operation.oauth:
        implied = {400, 413, 415, 503} if operation.reads is not None else {503}
        return {**oauth_problems(*sorted(implied)), **operation.answers}
    if operation.access is not Access.ANYONE:
        implied |= {401, 403, 503}  # an unusable Authorization header; a program's token in a browser
    if operation.method not in {"GET", "HEAD"}:
        implied |= {403, 503}
    if operation.takes_idempotency_key:
        implied |= {409, 422, 429}
    if operation.scopes:
        implied.add(429)
    if operation.reads is not None:
        implied |= {400, 413, 415}
    return {**problems(*sorted(implied)), **operation.answers}


def _answer(answer: Answer) -> dict[str, Any]:
    if answer.schema is None:
        return {"description": answer.description}
    if answer.schema is PROBLEM:
        problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
        return {"description": answer.description, "content": {"application/problem+json": problem}}
    return {"description": answer.description, "content": {answer.media_type: {"schema": answer.schema}}}


def _operation_id(operation: Operation) -> str:
    words = re.findall(r"[a-z]+", operation.path.removeprefix("/api/"))
    return "_".join([operation.method.lower(), *words])
