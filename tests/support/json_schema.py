"""As much of JSON Schema 2020-12 as the API's description uses; a keyword that is not known here is an error."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOTES = {"description", "default", "example", "examples", "title", "readOnly", "writeOnly", "deprecated", "$ref"}
_CHECKED = {
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "anyOf",
    "oneOf",
    "format",
}
_BOUNDS = {"minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"}
_FORMATS = {"uuid", "date", "date-time", "email", "password", "uri", "uri-reference"}


def schema_faults(schema: Any, at: str = "#") -> Iterator[str]:
    """What is not a schema that we know how to check."""
    if not isinstance(schema, Mapping):
        yield f"{at}: not an object"
        return
    unknown = schema.keys() - _NOTES - _CHECKED - _BOUNDS
    unknown |= set(_listed(schema.get("type", []))) - _TYPES.keys()
    unknown |= {schema.get("format", "uuid")} - _FORMATS
    undescribed = set(schema.get("required", ())) - set(schema.get("properties", {}))
    for name in sorted({*unknown, *undescribed}):
        yield f"{at}: {name} is not known"
    inner = [*schema.get("properties", {}).items(), *(("any of", one) for one in _alternatives(schema))]
    if "items" in schema:
        inner.append(("items", schema["items"]))
    for name, one in inner:
        yield from schema_faults(one, f"{at}/{name}")


def faults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], at: str = "#") -> Iterator[str]:
    """Where `value` is not as `schema` says; `root`: the document that `$ref` points into."""
    if "$ref" in schema:
        schema = resolve(schema["$ref"], root)
    kinds = _listed(schema.get("type", []))
    if kinds and not any(_is(value, kind) for kind in kinds):
        yield f"{at}: {value!r} is not of type {kinds}"
        return
    if value not in schema.get("enum", [value]):
        yield f"{at}: {value!r} is not one of {schema['enum']}"
    alternatives = _alternatives(schema)
    if alternatives and all(any(faults(value, one, root)) for one in alternatives):
        yield f"{at}: {value!r} is none of {alternatives}"
    yield from _own_faults(value, schema, root, at)


def _own_faults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], at: str) -> Iterator[str]:
    match value:
        case str():
            yield from _text_faults(value, schema, at)
        case int() | float() if not isinstance(value, bool):
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                yield f"{at}: {value} is out of range"
        case list():
            for index, item in enumerate(value):
                yield from faults(item, schema.get("items", {}), root, f"{at}/{index}")
        case dict():
            yield from _object_faults(value, schema, root, at)
        case _:
            pass


def resolve(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `#/a/b` names in the document."""
    found: Any = root
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    resolved: Mapping[str, Any] = found
    return resolved


def _object_faults(
    value: Mapping[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], at: str
) -> Iterator[str]:
    described = schema.get("properties", {})
    for name in set(schema.get("required", ())) - value.keys():
        yield f"{at}: {name} is missing"
    if described and schema.get("additionalProperties", True) is False:
        for name in value.keys() - described.keys():
            yield f"{at}: {name} is not described"
    for name in value.keys() & described.keys():
        yield from faults(value[name], described[name], root, f"{at}/{name}")


def _text_faults(value: str, schema: Mapping[str, Any], at: str) -> Iterator[str]:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        yield f"{at}: {value!r} is too short or too long"
    match schema.get("format"):
        case "uuid" if not _UUID.fullmatch(value):
            yield f"{at}: {value!r} is no id"
        case "date" if str(date.fromisoformat(value)) != value:
            yield f"{at}: {value!r} is no date"
        case "date-time" if datetime.fromisoformat(value).tzinfo is None:
            yield f"{at}: {value!r} has no offset"


def _alternatives(schema: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]


def _is(value: object, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and not (isinstance(value, bool) and kind in {"integer", "number"})


def _listed(kinds: str | Sequence[str]) -> Sequence[str]:
    return [kinds] if isinstance(kinds, str) else kinds
