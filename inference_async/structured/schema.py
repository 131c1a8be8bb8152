"""From a Python type to a JSON Schema, and from any JSON Schema to one that the service takes as strict.

msgspec, or pydantic where the type is pydantic's, says what a type looks like. The strict form is ours. It follows what
the service documents for structured outputs: an object names all its properties, requires each, and allows no other; a
``$ref`` points into ``$defs`` or at the root and has no keyword beside it; of the other keywords there are ``type``,
``enum``, ``anyOf``, ``items`` and ``description``. What other keywords say is put in words into the description, for
the model to read: the grammar cannot hold the model to it, the decoder of the answer does. What no words can carry is
refused before anything is sent, by type and place.

Of the service's limits of size (properties, depth, length of all names) nothing is checked here: they differ from model
to model and grow, and the service's own refusal of them is clear.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Never

import msgspec

from ..errors import ConfigurationError
from ..types.base import is_array, is_mapping, is_object
from .hints import adapter_of, is_pydantic, name_of, read_by_pydantic

__all__ = ["answer_schema", "schema_of", "strict_schema"]

_UNKNOWN: Final = "*inference_async.unknown"
"""Stands in a schema for a type that has none, so that the place is known when it is refused."""

_REF: Final = re.compile(r"#/(?:\$defs|definitions)/([^/]+)")
_REFUSED: Final = ("not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies", "$dynamicRef")
_RANGES: Final = (("minLength", "maxLength", "characters"), ("minItems", "maxItems", "items"))
_WORDS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "greater than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "pattern": "pattern: {}",
    "format": "format: {}",
    "contentEncoding": "encoding: {}",
    "contentMediaType": "media type: {}",
    "contains": "contains: {}",
    "minContains": "minContains: {}",
    "maxContains": "maxContains: {}",
    "default": "default: {}",
    "examples": "examples: {}",
}
_PYTHON: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def schema_of(hint: Any, *, strict: bool) -> dict[str, Any]:
    """The JSON Schema of a type.

    Args:
        hint: a msgspec Struct, dataclass, attrs class, TypedDict, enum, pydantic model, or any hint built of these and
            of the types msgspec knows; ``Annotated[..., msgspec.Meta(...)]`` adds bounds and descriptions.
        strict: write it as the service's structured outputs take it; see `strict_schema`.

    Raises:
        ConfigurationError: the type, or something in it, has no schema, or none that is strict; the message names the
            place, such as ``City.tags``.
    """
    schema = _at_root(_described(hint))
    return strict_schema(schema) if strict else schema


def answer_schema(hint: Any) -> tuple[dict[str, Any], bool]:
    """The strict schema of a whole answer, whose root must be an object.

    Returns:
        The schema, and whether the type was no object and stands under the one property ``value``.
    """
    schema = schema_of(hint, strict=True)
    if schema.get("type") == "object":
        return schema, False
    shared = {"$defs": defs} if (defs := schema.pop("$defs", None)) else {}
    return {"type": "object", **_only({"value": schema}), **shared}, True


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON Schema as the service's structured outputs take it; the one given is left as it is.

    Every property becomes required, so a default no longer means that the model may leave it out: the description
    says the default. A root that is only a reference is resolved; one that is no object is left for the caller to put
    under a property, as the service takes only objects there.

    Raises:
        ConfigurationError: something in it cannot be said strictly: free keys, any value, positions of an array,
            conditions, or a reference to elsewhere; the message names the place.
    """
    try:
        root = _at_root(schema)
        defs: dict[str, Any] = root.pop("$defs", {})
        names = frozenset(defs)
        strict = _strict(root, _title(root, "$"), names)
        if defs:
            strict["$defs"] = {name: _strict(each, _title(each, name), names) for name, each in defs.items()}
    except RecursionError as error:
        raise ConfigurationError("got a schema that is nested too deep, or holds itself; use $ref") from error
    return strict


# ---------------------------------------------------------------------------------------------------------------------
# From the type


def _described(hint: Any) -> dict[str, Any]:
    if read_by_pydantic(hint):
        return _pydantic_schema(hint)
    hoisted: dict[str, Any] = {}
    strangers: set[Any] = set()

    def describe(cls: Any) -> dict[str, Any]:
        if is_pydantic(cls):
            # Two classes of one name may meet in one document, so the definitions of each carry its full name.
            prefix = re.sub(r"\W", "_", f"{cls.__module__}.{cls.__qualname__}")
            schema = _pydantic_schema(cls, prefix=f"{prefix}__")
            hoisted.update(schema.pop("$defs", {}))
            return schema
        if cls is object:
            return {"description": "any value"}  # msgspec takes an empty schema for none at all
        strangers.add(cls)
        return {_UNKNOWN: name_of(cls)}

    try:
        (schema,), defs = msgspec.json.schema_components([hint], schema_hook=describe, ref_template="#/$defs/{name}")
    except (TypeError, ValueError, NameError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"got {name_of(hint)}, which has no JSON Schema: {reason}") from error
    defs = {**defs, **hoisted}
    if strangers:
        _refuse_unknown(schema, "$")
        for name, each in defs.items():
            _refuse_unknown(each, name)
    return {**schema, "$defs": defs} if defs else schema


def _pydantic_schema(hint: Any, *, prefix: str = "") -> dict[str, Any]:
    adapter = adapter_of(hint)
    from pydantic import PydanticUserError

    try:
        schema = adapter.json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
    except (PydanticUserError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"got {name_of(hint)}, which has no JSON Schema: {reason}") from error
    if "$defs" in schema:
        schema["$defs"] = {f"{prefix}{name}": each for name, each in schema["$defs"].items()}
    return schema


def _refuse_unknown(schema: Any, place: str) -> None:
    if is_array(schema):
        for each in schema:
            _refuse_unknown(each, place)
    elif is_object(schema):
        if unknown := schema.pop(_UNKNOWN, None):
            if schema.keys() & {"type", "anyOf", "enum", "$ref"}:
                return  # described by the caller in Meta(extra_json_schema=...)
            raise ConfigurationError(
                f"{place} is {unknown}, which has no JSON Schema; use a type msgspec knows,"
                " or describe it in Annotated[..., msgspec.Meta(extra_json_schema=...)]"
            )
        for keyword, each in schema.items():
            if keyword == "properties" and is_object(each):
                for name, inner in each.items():
                    _refuse_unknown(inner, f"{place}.{name}")
            else:
                _refuse_unknown(each, f"{place}[]" if keyword in ("items", "prefixItems") else place)


# ---------------------------------------------------------------------------------------------------------------------
# The root


def _at_root(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with a reference at its root resolved, where that makes the root an object.

    The object moves to the root and is no longer a definition: what referred to it refers to ``#``, so that nothing
    is said twice.
    """
    root = {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}
    defs = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    resolved, name, followed = root, "", set[str]()
    while is_mapping(resolved) and (name := _referred(resolved)) in defs and name not in followed:
        followed.add(name)
        resolved = {**defs[name], **{key: value for key, value in resolved.items() if key != "$ref"}}
        if "object" in _types(resolved):
            del defs[name]
            root, defs = _renamed(resolved, name), _renamed(defs, name)
            break
    return {**root, "$defs": defs} if defs else root


def _referred(schema: Mapping[str, Any]) -> str:
    """The name of the definition that a schema refers to; empty for none."""
    ref = schema.get("$ref")
    found = _REF.fullmatch(ref) if isinstance(ref, str) else None
    return found[1].replace("~1", "/").replace("~0", "~") if found else ""


def _renamed(value: Any, name: str) -> Any:
    """A copy in which every reference to a definition is one to the root."""
    if is_mapping(value):
        if _referred(value) == name:
            return {**value, "$ref": "#"}
        return {key: _renamed(each, name) for key, each in value.items()}
    return [_renamed(each, name) for each in value] if is_array(value) else value


# ---------------------------------------------------------------------------------------------------------------------
# The strict form


def _strict(schema: Any, place: str, names: frozenset[str]) -> dict[str, Any]:
    schema = _simple(schema, place)
    types = _types(schema)
    out: dict[str, Any] = {}
    if "$ref" in schema:
        out["$ref"] = _checked_ref(schema, place, names)
    elif "anyOf" in schema:
        if {"properties", "items", "prefixItems", "enum"} & schema.keys():
            _refuse(place, "anyOf with more beside it", "write out each of its members in full")
        out["anyOf"] = [_strict(member, place, names) for member in schema["anyOf"]]
    elif "enum" in schema:
        out["type"] = _one(types or _types_of(schema["enum"]))
        out["enum"] = list(schema["enum"])
    elif types:
        out["type"] = _one(types)
        if "object" in types:
            _refuse_free_keys(schema, place)
            properties = schema.get("properties", {})
            out |= _only({name: _strict(each, f"{place}.{name}", names) for name, each in properties.items()})
        if "array" in types:
            if "prefixItems" in schema or is_array(schema.get("items")):
                instead = "use a class with named fields, or a list of one type"
                _refuse(place, f"{_python(schema)}, and a strict schema knows no positions", instead)
            out["items"] = _strict(schema.get("items", {}), f"{place}[]", names)
    else:
        _refuse(place, "Any, and a strict schema must name a type", "use the types it may have, such as str | int")
    return _with_description(out, schema)


def _simple(schema: Any, place: str) -> dict[str, Any]:
    """The keyword for each thing: no ``const``, ``oneOf``, lone ``allOf``, or type that goes without saying."""
    if not is_mapping(schema):
        return {}  # true and false: like {}, no type
    out: dict[str, Any] = dict(schema)
    while is_array(members := out.pop("allOf", None)):
        if len(members) != 1:
            _refuse(place, "allOf several schemas", "merge them into one")
        out = {**members[0], **out}
    if one_of := out.pop("oneOf", None):
        if "anyOf" in out:
            _refuse(place, "oneOf and anyOf together", "merge them into one anyOf")
        out["anyOf"] = one_of
    if "const" in out:
        out["enum"] = [out.pop("const")]
    for keyword in _REFUSED:
        if keyword in out:
            _refuse(place, f"bound by {keyword!r}, which a strict schema cannot say", "use anyOf with whole schemas")
    return out


def _refuse_free_keys(schema: dict[str, Any], place: str) -> None:
    more = schema.get("additionalProperties")
    open_ended = more is True if "properties" in schema else more is not False
    if (is_mapping(more) and more) or "patternProperties" in schema or (open_ended and not schema.get("properties")):
        instead = "use a list of a class with one field for the key and one for the value"
        _refuse(place, f"{_python(schema)}, and a strict schema knows no free keys", instead)


def _checked_ref(schema: dict[str, Any], place: str, names: frozenset[str]) -> str:
    ref, name = schema["$ref"], _referred(schema)
    if {"properties", "items", "prefixItems", "anyOf", "enum"} & schema.keys():
        _refuse(place, "a $ref with more beside it", "write it out in full")
    if ref != "#" and name not in names:
        _refuse(place, f"$ref {ref!r}, which is not there", "refer to '#' or to a name in $defs")
    return "#" if ref == "#" else f"#/$defs/{ref.rpartition('/')[2]}"


def _with_description(out: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    words = str(schema.get("description") or "").strip()
    if notes := "; ".join(_notes(schema)):
        words = f"{words} ({notes})" if words else notes
    if not words:
        return out
    if "$ref" in out:
        # Nothing may stand beside a $ref. A union of one says the same as the reference, costs no copy of its target
        # (the service counts properties), and ends also where the target refers to itself.
        out = {"anyOf": [out]}
    return {"description": words, **out}


def _notes(schema: dict[str, Any]) -> list[str]:
    notes: list[str] = []
    for low, high, unit in _RANGES:
        least, most = schema.get(low) or 0, schema.get(high)
        said = [f"at least {least}"] if least else []
        said += [f"at most {most}"] if most is not None else []
        said = [f"exactly {least}"] if least == most else said
        last = least if most is None else most
        notes += [f"{' and '.join(said)} {unit if last != 1 else unit[:-1]}"] if said else []
    for keyword, words in _WORDS.items():
        value = schema.get(keyword)
        if value is None or (keyword.startswith("exclusive") and isinstance(value, bool)):
            continue  # a default of null goes without saying; true and false are how draft 4 said it
        literal = value if isinstance(value, str) and keyword != "default" else _json(value)
        notes.append(words.format(literal))
    notes += ["no item twice"] if schema.get("uniqueItems") is True else []
    notes += ["deprecated"] if schema.get("deprecated") is True else []
    return notes


def _json(value: Any) -> str:
    if is_array(value):
        return ", ".join(map(_json, value)) if value else "[]"
    return msgspec.json.encode(value).decode()


# ---------------------------------------------------------------------------------------------------------------------
# Small words


def _only(properties: dict[str, Any]) -> dict[str, Any]:
    """What makes an object one of exactly these properties."""
    return {"properties": properties, "required": list(properties), "additionalProperties": False}


def _types(schema: Mapping[str, Any]) -> list[str]:
    """The types a schema names, or plainly means."""
    named = schema.get("type")
    if named is not None:
        return [str(each) for each in named] if is_array(named) else [str(named)]
    if "properties" in schema:
        return ["object"]
    return ["array"] if "items" in schema or "prefixItems" in schema else []


def _types_of(values: Any) -> list[str]:
    """The types of an enum's members: the service wants a type beside every enum."""
    kinds: dict[Any, str] = {
        bool: "boolean",
        int: "integer",
        float: "number",
        str: "string",
        type(None): "null",
        list: "array",
    }
    found = dict.fromkeys(kinds.get(type(value), "object") for value in values)
    if "number" in found:
        found.pop("integer", None)
    return list(found)


def _one(types: list[str]) -> str | list[str]:
    return types[0] if len(types) == 1 else types


def _title(schema: Any, fallback: str) -> str:
    """What messages call a schema: its title, without the modules that msgspec writes into those of generics."""
    title = schema.get("title") if is_mapping(schema) else None
    return re.sub(r"(?:\w+\.)+(?=\w)", "", title) if isinstance(title, str) else fallback


def _python(schema: Any) -> str:
    """A schema as the Python type it most likely comes from, for messages."""
    if not is_mapping(schema):
        return "Any"
    if name := _referred(schema):
        return name
    if is_array(members := schema.get("anyOf")):
        return " | ".join(map(_python, members))
    types = _types(schema)
    if "object" in types:
        if schema.get("properties"):
            return _title(schema, "an object")
        return f"dict[str, {_python(schema.get('additionalProperties'))}]"
    if "array" in types:
        if is_array(items := schema.get("prefixItems", schema.get("items"))):
            return f"tuple[{', '.join(map(_python, items))}]"
        return f"list[{_python(items)}]"
    return " | ".join(_PYTHON.get(each, each) for each in types) or "Any"


def _refuse(place: str, what: str, instead: str) -> Never:
    raise ConfigurationError(f"{place} is {what}; {instead}")
