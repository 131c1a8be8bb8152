"""JSON Schema, as far as the emulator needs it: what a reference means, what two schemas are together, what fits.

The keywords known are those of structured output: type, enum, const, properties, required, additionalProperties, items,
prefixItems, the bounds of numbers, texts, arrays and objects, pattern, anyOf, oneOf, allOf, not, $ref. A schema with
one of the others that say what fits is refused by the keyword's name; those that only describe say nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from ..types.base import is_array, is_object
from .effort import Effort
from .patterns import matches

__all__ = ["Schema", "check_keywords", "exact", "fits", "merged", "number_fits", "resolved", "type_of"]

Schema: TypeAlias = dict[str, Any] | bool
"""An object of keywords; true fits anything, false nothing."""

_BEYOND: Final = frozenset(
    {
        "$dynamicRef",
        "$recursiveRef",
        "additionalItems",
        "contains",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "maxContains",
        "minContains",
        "patternProperties",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_HIGHEST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_LOWEST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


def check_keywords(schema: Mapping[str, Any]) -> None:
    """Nothing in a schema, its parts aside, says what fits in a way that is not known here.

    Raises:
        ValueError: something does; the message names it.
    """
    for name in schema.keys() & _BEYOND:
        raise ValueError(f"got the keyword {name!r}, which this emulator does not know; leave it out")
    if is_array(schema.get("items")):
        raise ValueError("got a list for 'items', as old drafts have it; use 'prefixItems'")


def resolved(ref: str, root: Schema) -> Schema:
    """The schema that a reference inside the document points to.

    Raises:
        ValueError: it points to nothing, or out of the document.
    """
    if not ref.startswith("#"):
        raise ValueError(f"got $ref {ref!r}, expected one inside the schema, such as '#/$defs/Name'")
    place: Any = root
    for step in unquote(ref[1:]).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if is_object(place) and name in place:
            place = place[name]
        elif is_array(place) and name.isdigit() and int(name) < len(place):
            place = place[int(name)]
        else:
            raise ValueError(f"got $ref {ref!r}, which points to nothing")
    if not is_object(place) and not isinstance(place, bool):
        raise ValueError(f"got $ref {ref!r}, which points to no schema")
    return place


def merged(one: Schema, other: Schema, effort: Effort) -> Schema:
    """The schema of what fits both."""
    effort.spend()
    if not is_object(one) or not is_object(other):
        return False if one is False or other is False else one if is_object(one) else other
    both: dict[str, Any] = {**one}
    for name, value in other.items():
        if name not in both or both[name] == value:
            both[name] = value
        elif name == "properties":
            both[name] = {**both[name], **{k: merged(both[name].get(k, True), v, effort) for k, v in value.items()}}
        elif name == "required":
            both[name] = [*both[name], *(item for item in value if item not in both[name])]
        elif name == "enum":
            both[name] = [item for item in both[name] if any(_same(item, theirs, effort) for theirs in value)]
        elif name == "type":
            both[name] = _common(both[name], value)
        elif name in ("items", "additionalProperties"):
            both[name] = merged(both[name], value, effort)
        elif name in _HIGHEST:
            both[name] = max(both[name], value)
        elif name in _LOWEST:
            both[name] = min(both[name], value)
        elif name == "allOf":
            both[name] = [*both[name], *value]
        elif name in ("$ref", "anyOf", "oneOf"):
            both["allOf"] = [*both.get("allOf", []), {name: value}]
        elif name == "not":
            both[name] = {"anyOf": [both[name], value]}
        # Of two patterns, formats and the like the first is kept: what is made of it is checked against both.
    return both


def _common(one: Any, other: Any) -> list[str]:
    ours: list[str] = [one] if isinstance(one, str) else one
    theirs: list[str] = [other] if isinstance(other, str) else other
    found = [name for name in ours if name in theirs or (name == "integer" and "number" in theirs)]
    return found + (["integer"] if "integer" in theirs and "number" in ours and "integer" not in found else [])


def type_of(value: Any) -> str:
    """The name that JSON Schema has for the type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "string" if isinstance(value, str) else "array" if is_array(value) else "object"


def fits(value: Any, schema: Schema, root: Schema, effort: Effort) -> bool:
    """Whether a value is what a schema asks for.

    Raises:
        ValueError: a reference points to nothing, a keyword is not known here, a pattern is not simple.
        SpentError: it takes too many steps to find out.
    """
    effort.spend()
    if not is_object(schema):
        return schema is True
    check_keywords(schema)
    if "$ref" in schema and not fits(value, resolved(schema["$ref"], root), root, effort):
        return False
    if "type" in schema and not _is_of(value, schema["type"]):
        return False
    if "const" in schema and not _same(value, schema["const"], effort):
        return False
    if "enum" in schema and not any(_same(value, item, effort) for item in schema["enum"]):
        return False
    return _of_kind(value, schema, root, effort) and _combined(value, schema, root, effort)


def _combined(value: Any, schema: Mapping[str, Any], root: Schema, effort: Effort) -> bool:
    def each(name: str) -> Iterator[bool]:
        return (fits(value, branch, root, effort) for branch in schema[name])

    return (
        ("allOf" not in schema or all(each("allOf")))
        and ("anyOf" not in schema or any(each("anyOf")))
        and ("oneOf" not in schema or sum(each("oneOf")) == 1)
        and ("not" not in schema or not fits(value, schema["not"], root, effort))
    )


def _of_kind(value: Any, schema: Mapping[str, Any], root: Schema, effort: Effort) -> bool:
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int | float):
        return number_fits(value, schema)
    if isinstance(value, str):
        pattern = schema.get("pattern")
        return _sized(len(value), schema, "Length") and (pattern is None or matches(pattern, value, effort))
    if is_array(value):
        return _array_fits(value, schema, root, effort)
    return _object_fits(value, schema, root, effort)


def _is_of(value: Any, types: str | list[str]) -> bool:
    found = type_of(value)
    names = [types] if isinstance(types, str) else types
    return found in names or (found == "integer" and "number" in names)


def _same(one: Any, other: Any, effort: Effort) -> bool:
    """Equality as JSON has it: 1 is 1.0, and true is no number."""
    effort.spend()
    if is_array(one) and is_array(other):
        return len(one) == len(other) and all(
            _same(mine, theirs, effort) for mine, theirs in zip(one, other, strict=True)
        )
    if is_object(one) and is_object(other):
        return one.keys() == other.keys() and all(_same(one[name], other[name], effort) for name in one)
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def number_fits(value: float, schema: Mapping[str, Any]) -> bool:
    """Whether a number is in the bounds of a schema, and a multiple of what it should be."""
    step = schema.get("multipleOf")
    return (
        ("minimum" not in schema or value >= schema["minimum"])
        and ("maximum" not in schema or value <= schema["maximum"])
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
        and (not step or _is_multiple(value, step))
    )


def _is_multiple(value: float, step: float) -> bool:
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    return (exact(value) / exact(step)).denominator == 1 and (value / step).is_integer()


def exact(value: float) -> Fraction:
    """A number as it was written: a tenth is 1/10, while a whole number is what the float holds."""
    return Fraction(value) if isinstance(value, int) or value.is_integer() else Fraction(str(value))


def _sized(size: int, schema: Mapping[str, Any], what: str) -> bool:
    low, high = schema.get(f"min{what}", 0), schema.get(f"max{what}")
    return bool(size >= low and (high is None or size <= high))


def _array_fits(value: list[Any], schema: Mapping[str, Any], root: Schema, effort: Effort) -> bool:
    first: list[Schema] = schema.get("prefixItems", [])
    rest: Schema = schema.get("items", True)
    if schema.get("uniqueItems") and any(
        _same(one, other, effort) for i, one in enumerate(value) for other in value[:i]
    ):
        return False
    return _sized(len(value), schema, "Items") and all(
        fits(item, first[at] if at < len(first) else rest, root, effort) for at, item in enumerate(value)
    )


def _object_fits(value: Mapping[str, Any], schema: Mapping[str, Any], root: Schema, effort: Effort) -> bool:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    further: Schema = schema.get("additionalProperties", True)
    effort.spend(len(schema.get("required", [])))
    return (
        _sized(len(value), schema, "Properties")
        and all(name in value for name in schema.get("required", []))
        and all(fits(item, properties.get(name, further), root, effort) for name, item in value.items())
    )
