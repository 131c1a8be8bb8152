"""The rules that a schema must keep where a request says ``strict``: those of the service's documentation.

An object names all its properties, requires each, and allows no other; every schema has a type, or is a union, an enum
or a reference; a reference has nothing beside it; of the keywords only some are taken, the rest is refused. This is
written from the documentation and knows nothing of how this package writes schemas, so that it can tell whether those
are right. Of the documented limits of size nothing is checked: they differ from model to model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ..types.base import is_array, is_object
from .effort import MOST_STEPS

__all__ = ["broken_rule"]

_TAKEN: Final = frozenset(
    {
        "$defs",
        "$id",
        "$ref",
        "$schema",
        "additionalProperties",
        "anyOf",
        "const",
        "definitions",
        "description",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "items",
        "maxItems",
        "maximum",
        "minItems",
        "minimum",
        "multipleOf",
        "pattern",
        "properties",
        "required",
        "title",
        "type",
    }
)
_TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_DEEPEST: Final = 100

_Place = tuple[str, ...]


def broken_rule(schema: Any) -> str | None:
    """The first rule that a schema breaks, in the service's words; None if it keeps them all."""
    if not is_object(schema) or schema.get("type") != "object":
        found = schema.get("type") if is_object(schema) else None
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{found}\"'."
    if "anyOf" in schema:
        return "schema must not have 'anyOf' at the top level."
    for number, (place, part) in enumerate(_parts(schema, ())):
        if number > MOST_STEPS or len(place) > _DEEPEST:
            return "schema is too large."
        problem = _problem(part)
        if problem is not None:
            return f"In context={place!r}, {problem}"
    return None


def _parts(schema: Any, place: _Place) -> Iterator[tuple[_Place, Any]]:
    """A schema and all that are in it, each with its place."""
    yield place, schema
    if not is_object(schema):
        return
    for name in ("properties", "$defs", "definitions"):
        parts = schema.get(name)
        for key, part in parts.items() if is_object(parts) else ():
            yield from _parts(part, (*place, name, key))
    branches = schema.get("anyOf")
    for index, part in enumerate(branches if is_array(branches) else ()):
        yield from _parts(part, (*place, "anyOf", str(index)))
    if "items" in schema:
        yield from _parts(schema["items"], (*place, "items"))


def _problem(schema: Any) -> str | None:
    if not is_object(schema):
        return f"{schema!r} is not of type 'object'."
    for name in schema:
        if name not in _TAKEN:
            return f"'{name}' is not permitted."
    if "$ref" in schema:
        beside = {name for name in schema if name not in ("$ref", "$defs", "definitions")}
        return f"$ref cannot have keywords {sorted(beside)}." if beside else None
    if "anyOf" in schema:
        return None if is_array(schema["anyOf"]) and schema["anyOf"] else "'anyOf' must be a non-empty array."
    if "type" not in schema:
        return None if "enum" in schema or "const" in schema else "schema must have a 'type' key."
    types: list[Any] = schema["type"] if is_array(schema["type"]) else [schema["type"]]
    for kind in types:
        if not isinstance(kind, str) or kind not in _TYPES:
            return f"{kind!r} is not a valid type."
    if "array" in types and "items" not in schema:
        return "array schema missing items."
    return _object_problem(schema) if "object" in types else None


def _object_problem(schema: dict[str, Any]) -> str | None:
    if schema.get("additionalProperties") is not False:
        return "'additionalProperties' is required to be supplied and to be false."
    properties, required = schema.get("properties", {}), schema.get("required", [])
    rule = "'required' is required to be supplied and to be an array including every key in properties."
    if not is_object(properties):
        return "'properties' must be an object."
    if not is_array(required) or (properties and "required" not in schema):
        return rule
    named = {name for name in required if isinstance(name, str)}
    for name in properties:
        if name not in named:
            return f"{rule} Missing '{name}'."
    extra = [name for name in required if not isinstance(name, str) or name not in properties]
    return f"{rule} Extra required key '{extra[0]}' supplied." if extra else None
