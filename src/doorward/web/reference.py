"""The API reference: an OpenAPI 3.1 document turned into what its page shows."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Document: TypeAlias = Mapping[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")
_DEPTH = 6  # of examples; a schema may refer to itself
_BY_FORMAT = {
    "date": "2001-02-03",
    "date-time": "2026-11-23T05:16:00.250Z",
    "email": "ada@example.org",
    "password": "a few words only I would join",
    "uuid": "019aaf2c-8d5a-7c3e-9b1f-3d2c1b0a9f8e",
    "uri": "https://example.org/",
}
_BY_TYPE: Mapping[str, Any] = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None}
# What a text that has no format could be, by the name of its field.
_BY_NAME = {
    "uid": "ada",
    "identifier": "ada",
    "name": "Ada Lovelace",
    "token": "3q2-7wCnR5yVb1k9",
    "jwt": "eyJhbGciOiJFUzI1NiJ9…",
    "next_cursor": "WyItY29pbnMi",
}


@dataclass(frozen=True, slots=True)
class Item:
    """A parameter, or a field of a body."""

    name: str
    kind: str
    required: bool
    description: str
    place: str = ""  # of a parameter: path, query, header


@dataclass(frozen=True, slots=True)
class Reply:
    """One documented answer."""

    status: str
    description: str
    example: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    parameters: Sequence[Item]
    body: Sequence[Item]
    curl: str
    replies: Sequence[Reply]


@dataclass(frozen=True, slots=True)
class Reference:
    """The whole page: operations under their first tags, and the problem that every refusal answers with."""

    groups: Mapping[str, Sequence[Entry]]
    problem: str


def reference(document: Document) -> Reference:
    """What the page shows of a document, in its order. Refusals answer with components/schemas/Problem."""
    public_url = document["servers"][0]["url"]
    groups: dict[str, list[Entry]] = {}
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                operation = methods[method]
                tag = next(iter(operation.get("tags", ())), "")
                groups.setdefault(tag, []).append(_entry(document, public_url, path, method, operation))
    return Reference(groups, _pretty(example(document, document["components"]["schemas"]["Problem"])))


def _entry(document: Document, public_url: str, path: str, method: str, operation: Document) -> Entry:
    schema = _json_schema(operation.get("requestBody", {}))
    return Entry(
        anchor=f"{method}-{path.strip('/').replace('/', '-').replace('{', '').replace('}', '')}",
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        parameters=[_parameter(document, parameter) for parameter in operation.get("parameters", ())],
        body=list(_properties(document, schema)),
        curl=_curl(
            method,
            public_url + path,
            signed_in=bool(operation.get("security")) and {} not in operation["security"],
            body=None if schema is None else example(document, schema),
        ),
        replies=[_reply(document, status, answer) for status, answer in operation.get("responses", {}).items()],
    )


def _parameter(document: Document, parameter: Document) -> Item:
    parameter = _resolved(document, parameter)
    return Item(
        parameter["name"],
        _kind(document, parameter.get("schema", {})),
        parameter.get("required", False),
        parameter.get("description", ""),
        parameter["in"],
    )


def _reply(document: Document, status: str, answer: Document) -> Reply:
    answer = _resolved(document, answer)
    schema = _json_schema(answer)
    return Reply(
        status,
        answer.get("description", ""),
        "" if schema is None else _pretty(example(document, schema)),
    )


def _json_schema(holder: Document) -> Document | None:
    """The schema of the first JSON body, whatever JSON media type it has."""
    for media_type, content in holder.get("content", {}).items():
        if "json" in media_type:
            schema: Document = content.get("schema", {})
            return schema
    return None


def _properties(document: Document, schema: Document | None) -> Iterator[Item]:
    if schema is None:
        return
    schema = _resolved(document, schema)
    for part in schema.get("allOf", ()):
        yield from _properties(document, part)
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        yield Item(name, _kind(document, inner), name in required, _resolved(document, inner).get("description", ""))


def _kind(document: Document, schema: Document) -> str:
    """A type in a few words: string (date), list of integer, string or null."""
    schema = _resolved(document, schema)
    if "const" in schema or "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema.get("enum", (schema.get("const"),)))
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(_kind(document, choice) for choice in choices))
    types = schema.get("type", "any")
    if types == "array":
        return f"list of {_kind(document, schema.get('items', {}))}"
    words = types if isinstance(types, str) else " or ".join(types)
    return f"{words} ({schema['format']})" if "format" in schema else words


def example(document: Document, schema: Document, depth: int = 0) -> Any:  # noqa: ANN401  any JSON value
    """A value that fits `schema`: its own example, or one made from the types."""
    schema = _resolved(document, schema)
    for given in ("example", "const", "default"):
        if schema.get(given) is not None:
            return schema[given]
    for several in ("examples", "enum"):
        if schema.get(several):
            return schema[several][0]
    for choices in ("anyOf", "oneOf"):
        if schema.get(choices):
            return example(document, schema[choices][0], depth)
    if depth > _DEPTH:
        return None
    return _made(document, schema, depth)


def _made(document: Document, schema: Document, depth: int) -> Any:  # noqa: ANN401  any JSON value
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "array":
        return [example(document, schema.get("items", {}), depth + 1)]
    if kind != "object":
        return _BY_FORMAT.get(schema.get("format", ""), schema.get("minimum", _BY_TYPE[kind]))
    made: dict[str, Any] = {}
    for part in schema.get("allOf", ()):
        made |= example(document, part, depth + 1)
    for name, inner in schema.get("properties", {}).items():
        value = example(document, inner, depth + 1)
        made[name] = _BY_NAME.get(name, value) if value == _BY_TYPE["string"] else value
    return made


def _resolved(document: Document, schema: Document) -> Document:
    """Follow `$ref` inside the document (RFC 6901); what stands beside it wins."""
    reference_ = schema.get("$ref")
    if not reference_:
        return schema
    target: Any = document
    for step in str(reference_).removeprefix("#/").split("/"):
        target = target[step.replace("~1", "/").replace("~0", "~")]
    return {**_resolved(document, target), **{key: value for key, value in schema.items() if key != "$ref"}}


def _curl(method: str, url: str, *, signed_in: bool, body: Any) -> str:  # noqa: ANN401  any JSON value
    words = ["curl"] if method == "get" else ["curl", "-X", method.upper()]
    lines = [shlex.join([*words, url])]
    if signed_in:
        lines.append('-H "authorization: Bearer $TOKEN"')
    if body is not None:
        lines += ["-H 'content-type: application/json'", f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}"]
    return " \\\n  ".join(lines)


def _pretty(value: Any) -> str:  # noqa: ANN401  any JSON value
    return json.dumps(value, indent=2, ensure_ascii=False)
