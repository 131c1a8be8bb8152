"""The rules of strict schemas, and the schemas that this package writes held against them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest

from inference_async.emulator.strict import broken_rule
from inference_async.structured.schema import answer_schema


def closed(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    "schema",
    [
        closed(),
        {"type": "object", "additionalProperties": False},
        closed(a={"type": ["string", "null"], "description": "d"}, b={"enum": ["x"]}, c={"const": 1}),
        closed(a={"type": "array", "items": closed(b=TEXT), "minItems": 1}),
        {**closed(a={"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}), "$defs": {"A": closed(next={"$ref": "#"})}},
    ],
)
def test_what_keeps_them(schema: Any) -> None:
    assert broken_rule(schema) is None


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ([], "got 'type: \"None\"'"),
        ({"type": "array", "items": TEXT}, "got 'type: \"array\"'"),
        ({**closed(), "anyOf": [closed()]}, "top level"),
        ({**closed(a=TEXT), "additionalProperties": True}, "In context=(), 'additionalProperties' is required"),
        (
            closed(a={"type": "object", "properties": {}}),
            "In context=('properties', 'a'), 'additionalProperties' is required to be supplied and to be false.",
        ),
        ({**closed(a=TEXT), "required": []}, "Missing 'a'."),
        (
            {"type": "object", "properties": {"a": TEXT}, "additionalProperties": False},
            "to be an array including every",
        ),
        ({**closed(a=TEXT), "required": ["a", "b"]}, "Extra required key 'b'"),
        ({**closed(a=TEXT), "required": ["a", []]}, "Extra required key"),
        (closed(a={"type": "string", "minLength": 1}), "In context=('properties', 'a'), 'minLength' is not permitted."),
        (closed(a={"type": "string", "default": ""}), "'default' is not permitted."),
        (closed(a={"allOf": [TEXT]}), "'allOf' is not permitted."),
        (closed(a={"anyOf": [TEXT, {"oneOf": []}]}), "In context=('properties', 'a', 'anyOf', '1'), 'oneOf'"),
        (closed(a={"$ref": "#", "description": "d"}), "$ref cannot have keywords ['description']"),
        (closed(a={}), "must have a 'type' key"),
        (closed(a=True), "not of type 'object'"),
        (closed(a={"type": "array"}), "array schema missing items"),
        (closed(a={"type": "colour"}), "'colour' is not a valid type"),
        ({**closed(), "$defs": {"A": {"type": "object"}}}, "In context=('$defs', 'A'), 'additionalProperties'"),
        (closed(a={"type": "array", "items": {}}), "In context=('properties', 'a', 'items'), schema must have"),
    ],
)
def test_what_breaks_them(schema: Any, words: str) -> None:
    assert words in str(broken_rule(schema))


def test_a_schema_that_is_too_deep() -> None:
    schema: dict[str, Any] = TEXT
    for _ in range(200):
        schema = {"type": "array", "items": schema}
    assert broken_rule(closed(a=schema)) == "schema is too large."


class Leaf(msgspec.Struct, tag="leaf"):
    """A leaf."""

    colour: Literal["red", "green"] = "green"
    sizes: list[float] = []


class Branch(msgspec.Struct, tag="branch"):
    """A branch."""

    parts: list[Leaf | Branch]
    name: str | None = None


@pytest.mark.parametrize("hint", [Leaf, Branch, int, list[Leaf], Leaf | Branch, str | None])
def test_our_own_schemas_keep_them(hint: Any) -> None:
    schema, _ = answer_schema(hint)
    assert broken_rule(schema) is None
