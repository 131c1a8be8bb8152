"""References, and schemas put together; what fits is tested with the instances."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from inference_async.emulator.effort import Effort, SpentError
from inference_async.emulator.schemas import Schema, fits, merged, resolved


@pytest.mark.parametrize(
    ("ref", "found"),
    [("#", None), ("#/$defs/a~0b", True), ("#/$defs/a%20c", {"type": "null"}), ("#/anyOf/1", False)],
)
def test_references(ref: str, found: Any) -> None:
    root: dict[str, Any] = {"$defs": {"a~b": True, "a c": {"type": "null"}}, "anyOf": [True, False]}
    assert resolved(ref, root) == (root if found is None else found)


@pytest.mark.parametrize("ref", ["#/anyOf/2", "#/anyOf/x", "other.json", "#/$defs/n"])
def test_references_to_nothing(ref: str) -> None:
    with pytest.raises(ValueError, match=r"\$ref"):
        resolved(ref, {"anyOf": [True], "$defs": {"n": 5}})


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (True, {"type": "null"}, {"type": "null"}),
        ({"type": "null"}, False, False),
        (True, True, True),
        ({"minimum": 1, "maxLength": 5}, {"minimum": 2, "maxLength": 9}, {"minimum": 2, "maxLength": 5}),
        ({"type": "number"}, {"type": ["integer", "null"]}, {"type": ["integer"]}),
        ({"required": ["a"]}, {"required": ["a", "b"]}, {"required": ["a", "b"]}),
        ({"enum": [1, True, "x"]}, {"enum": [1.0, "x"]}, {"enum": [1, "x"]}),
        (
            {"properties": {"a": {"minimum": 1}}},
            {"properties": {"a": {"maximum": 2}, "b": {}}},
            {"properties": {"a": {"minimum": 1, "maximum": 2}, "b": {}}},
        ),
        ({"$ref": "#/a"}, {"$ref": "#/b"}, {"$ref": "#/a", "allOf": [{"$ref": "#/b"}]}),
        ({"title": "A"}, {"title": "B"}, {"title": "A"}),
        ({"not": {"const": 1}}, {"not": {"const": 2}}, {"not": {"anyOf": [{"const": 1}, {"const": 2}]}}),
        ({"items": {"minimum": 1}}, {"items": {"maximum": 1}}, {"items": {"minimum": 1, "maximum": 1}}),
        ({"allOf": [{"type": "null"}]}, {"allOf": [{"title": "x"}]}, {"allOf": [{"type": "null"}, {"title": "x"}]}),
    ],
)
def test_two_schemas_at_once(one: Schema, other: Schema, both: Schema) -> None:
    assert merged(one, other, Effort()) == both


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": True}, 1),
        ({"const": [1.0, {"a": 1}]}, [1, {"a": 1.0}]),
        ({"type": "integer"}, 3.0),
        ({"type": "integer"}, True),
        ({"type": ["number", "string"]}, 3),
        ({"uniqueItems": True}, [1, True]),
        ({"uniqueItems": True}, [1, 1.0]),
        ({"multipleOf": 0.1}, 0.5),
        ({"multipleOf": 0.5}, 0.7),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, 1),
        ({"additionalProperties": False, "properties": {"a": True}}, {"b": 1}),
        ({"prefixItems": [True], "items": {"type": "null"}}, [1, 2]),
        ({"not": {"type": "null"}}, None),
        ({"minProperties": 1}, {}),
        ({"maxItems": 1}, [1, 2]),
    ],
)
def test_what_fits_is_what_a_validator_takes(schema: dict[str, Any], value: Any) -> None:
    assert fits(value, schema, schema, Effort()) == Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    "schema",
    [
        {"contains": {"type": "null"}},
        {"propertyNames": {"maxLength": 2}},
        {"dependentRequired": {"a": ["b"]}},
        {"if": True, "then": False},
        {"unevaluatedProperties": False},
        {"patternProperties": {"^a": False}},
        {"items": [{"type": "null"}]},
        {"allOf": [{"properties": {"a": {"else": False}}}]},
    ],
    ids=lambda schema: next(iter(schema)),
)
def test_keywords_that_are_not_known_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"got the keyword|got a list"):
        fits([1] if "items" in schema else {"a": 1}, schema, schema, Effort())


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"uniqueItems": True}, list(range(200))),
        ({"enum": [[0] * 100 + [at] for at in range(1, 101)]}, [0] * 101),
        ({"items": {"anyOf": [*[{"type": "null"}] * 10, {}]}}, [0] * 200),
        ({"pattern": "^(.*.*)*x$"}, "a" * 500),
    ],
    ids=["unique", "enum", "branches", "pattern"],
)
def test_steps_are_counted(schema: dict[str, Any], value: Any) -> None:
    with pytest.raises(SpentError):
        fits(value, schema, schema, Effort(1_000))
