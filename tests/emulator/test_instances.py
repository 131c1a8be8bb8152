"""Instances of schemas: checked by a validator that is not ours."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from inference_async.emulator.effort import MOST_STEPS, Effort
from inference_async.emulator.instances import instance_of
from inference_async.emulator.schemas import fits

NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
        "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
        "parent": {"$ref": "#/$defs/Node"},
    },
    "required": ["value", "next", "children"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "instance"),
    [
        ({}, "text"),
        (True, "text"),
        ({"type": "string"}, "text"),
        ({"type": "integer"}, 0),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 0),
        ({"type": "object", "properties": {"city": {"type": "string"}}}, {"city": "city"}),
        ({"type": "object", "required": ["a"]}, {"a": "a"}),
        ({"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"a": 0}),
        ({"type": "object", "minProperties": 2}, {"key1": "key1", "key2": "key2"}),
        (
            {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "required": ["c"], "maxProperties": 2},
            {"a": "a", "c": "c"},
        ),
        ({"type": "array", "items": {"type": "integer"}}, [0]),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 0}, []),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2, "uniqueItems": True}, [0, 1]),
        ({"type": "array", "prefixItems": [{"type": "null"}, {"type": "integer"}], "items": False}, [None, 0]),
        ({"const": {"a": [1]}}, {"a": [1]}),
        ({"enum": [3, 1], "maximum": 2}, 1),
        ({"type": "string", "default": "d"}, "d"),
        ({"type": "string", "examples": [5, "e"]}, "e"),
        ({"type": "integer", "minimum": 7, "multipleOf": 5}, 10),
        ({"type": "integer", "exclusiveMaximum": 0}, -1),
        ({"type": "number", "minimum": 0.1, "maximum": 0.2}, 0.1),
        ({"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.01}, 0.01),
        ({"type": "number", "minimum": 5, "maximum": 5}, 5),
        ({"type": "string", "minLength": 12}, "text text text"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "pattern": "^[A-Z]{2}-\\d{3}$"}, "AA-000"),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, 0.5),
        ({"allOf": [{"minimum": 2, "type": "integer"}, {"maximum": 2}]}, 2),
        ({"allOf": [{"required": ["a"]}, {"properties": {"a": {"const": 1}}, "type": "object"}]}, {"a": 1}),
        ({"allOf": [{"anyOf": [{"const": 1}, {"const": 2}]}, {"anyOf": [{"const": 2}, {"const": 3}]}]}, 2),
        ({"not": {"type": "string"}}, 0),
        ({"type": "integer", "not": {"minimum": 0}}, -1),
        ({"type": "integer", "minimum": 0, "not": {"maximum": 1000}}, 1001),
        ({"type": "number", "not": {"anyOf": [{"maximum": 500}]}}, 500.5),
        ({"type": "string", "not": {"maxLength": 9}}, "text text"[:9] + " text"),
        ({"type": "string", "not": {"minLength": 2}}, "t"),
        ({"type": "integer", "minimum": 1e30}, int(1e30)),
        ({"allOf": [{"type": "string", "pattern": "^(foo|bar|baz)$"}, {"pattern": "z"}]}, "baz"),
        ({"type": "string", "format": "uri", "minLength": 40}, "https://example.com/" + "a" * 20),
        ({"properties": {"a": {"if": {}, "then": False}, "b": {"type": "integer"}}}, {"b": 0}),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "integer"}}}, 0),
        ({"$ref": "#/$defs/a~1b", "minimum": 3, "$defs": {"a/b": {"type": "integer"}}}, 3),
        ({"$defs": {"Node": NODE}, "$ref": "#/$defs/Node"}, {"value": 0, "next": None, "children": []}),
        ({"type": "object", "properties": {"me": {"$ref": "#"}, "n": {"type": "integer"}}}, {"me": {"n": 0}, "n": 0}),
    ],
)
def test_the_instance_of(schema: Any, instance: Any) -> None:
    assert instance_of(schema) == instance
    assert Draft202012Validator(schema).is_valid(instance)
    assert instance_of(schema) == instance_of(schema)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (False, "nothing fits"),
        (5, "nothing fits"),
        ({"type": 5}, "no schema"),
        ({"type": "colour"}, "JSON does not have"),
        ({"$ref": "https://example.com/s"}, "inside the schema"),
        ({"$ref": "#/$defs/Gone"}, "points to nothing"),
        ({"type": "object", "properties": {"me": {"$ref": "#"}}, "required": ["me"]}, "no way out"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "nothing fits"),
        ({"enum": []}, "nothing fits"),
        ({"type": "array", "minItems": 10**9}, "too much"),
        ({"type": "string", "minLength": 10**9}, "too much"),
        ({"type": "string", "pattern": "(?=a)"}, "simpler"),
        ({"type": "string", "pattern": "("}, "left open"),
        ({"type": "object", "required": ["a"], "properties": {"a": {"contains": {}}}}, "'contains'"),
        ({"type": "object", "minProperties": 1, "propertyNames": {"pattern": "^x"}}, "'propertyNames'"),
        ({"type": "object", "dependentRequired": {"a": ["b"]}}, "'dependentRequired'"),
        ({"type": "object", "if": {}, "unevaluatedProperties": False}, "'(if|unevaluatedProperties)'"),
        ({"type": "string", "format": "date", "minLength": 40}, "format"),
        ({"type": "number", "minimum": float("inf")}, "inf"),
    ],
)
def test_where_there_is_none(schema: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        instance_of(schema)


def test_a_schema_does_not_choose_how_long_it_takes() -> None:
    definitions = {f"A{n}": {"anyOf": [{"$ref": f"#/$defs/A{n + 1}"}] * 4} for n in range(40)}
    schema: dict[str, Any] = {"$ref": "#/$defs/A0", "$defs": {**definitions, "A40": False}}
    with pytest.raises(ValueError, match="too large"):
        instance_of(schema)


TYPES = {f"T{n}": {"properties": {f"q{m}": {"$ref": f"#/$defs/T{m}"} for m in range(8)}} for n in range(8)}
NESTED = {"type": "array", "minItems": 100, "items": {"type": "integer"}}


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"type": "string", "pattern": "^a{27}$"}, {"pattern": "^(a+)+b$"}]},
        {"type": "array", "minItems": 100, "items": {"type": "array", "minItems": 100, "items": NESTED}},
        {"type": "object", "properties": {f"p{n}": {"$ref": "#/$defs/T0"} for n in range(3000)}, "$defs": TYPES},
        {"enum": [[0] * 1000 + [n] for n in range(1000)], "minItems": 10**6},
        {"allOf": [{"properties": {f"p{n}_{m}": {} for m in range(20)}} for n in range(300)]},
    ],
    ids=["patterns", "arrays", "references", "enum", "allOf"],
)
def test_a_schema_spends_no_more_than_it_may(schema: dict[str, Any]) -> None:
    effort = Effort()
    with contextlib.suppress(ValueError):
        assert Draft202012Validator(schema).is_valid(instance_of(schema, effort=effort))
    assert 0 <= effort.left < MOST_STEPS


def test_several_schemas_share_what_may_be_spent() -> None:
    effort, schema = Effort(60), {"type": "object", "properties": {"a": {"type": "integer"}}}
    for _ in range(2):
        assert instance_of(schema, effort=effort) == {"a": 0}
    effort.spend(effort.left)
    with pytest.raises(ValueError, match="too large"):
        instance_of(schema, effort=effort)


def objects(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(st.sampled_from("abcde"), children, max_size=4)
    return st.builds(
        lambda properties, required, closed: {
            "type": "object",
            "properties": properties,
            "required": sorted(set(required) & set(properties)),
            **({"additionalProperties": False} if closed else {}),
        },
        properties,
        st.lists(st.sampled_from("abcde")),
        st.booleans(),
    )


def bounds(low: str, high: str, numbers: st.SearchStrategy[Any], wider: int = 0) -> st.SearchStrategy[Any]:
    return st.tuples(numbers, numbers).map(lambda pair: {low: min(pair), high: max(pair) + wider})


SIZES = st.integers(0, 12)
LEAVES = st.one_of(
    st.sampled_from(
        [{"type": "boolean"}, {"type": "null"}, {"type": "string"}, {"type": "integer"}, {"type": "number"}]
    ),
    st.lists(st.none() | st.booleans() | st.integers() | st.text(), min_size=1).map(lambda values: {"enum": values}),
    st.builds(lambda value: {"const": value}, st.integers() | st.text()),
    bounds("minLength", "maxLength", SIZES).map(lambda size: {"type": "string", **size}),
    bounds("minimum", "maximum", st.integers(-1000, 1000)).map(lambda size: {"type": "integer", **size}),
    bounds("exclusiveMinimum", "exclusiveMaximum", st.integers(-1000, 1000), 2).map(
        lambda size: {"type": "integer", **size}
    ),
    bounds("minimum", "maximum", st.floats(-1e6, 1e6)).map(lambda size: {"type": "number", **size}),
    st.builds(lambda low, step: {"type": "integer", "minimum": low, "multipleOf": step}, SIZES, st.integers(1, 9)),
    st.sampled_from(["date-time", "date", "time", "email", "uuid", "ipv4", "ipv6", "uri", "hostname", "duration"]).map(
        lambda name: {"type": "string", "format": name}
    ),
    st.sampled_from(
        ["^a+$", "^\\d{4}-\\d{2}$", "x|y", "^(ab|cd)*$", "[^a-z]", "^.{3,}$", "\\.png$", "^\\w+@\\w+\\.[a-z]{2,}$"]
    ).map(lambda pattern: {"type": "string", "pattern": pattern}),
)
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda children: st.one_of(
        objects(children),
        st.builds(lambda items, low: {"type": "array", "items": items, "minItems": low}, children, st.integers(0, 3)),
        st.lists(children, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
        st.builds(lambda first: {"allOf": [first, {"title": "same"}]}, children),
        st.lists(children, min_size=1, max_size=2).map(lambda first: {"type": "array", "prefixItems": first}),
    ),
    max_leaves=10,
)


@settings(deadline=None)
@given(SCHEMAS)
def test_every_instance_is_valid(schema: dict[str, Any]) -> None:
    instance = instance_of(schema)
    errors = [error.message for error in Draft202012Validator(schema).iter_errors(instance)]
    assert not errors
    assert instance == instance_of(schema)


@settings(deadline=None)
@given(SCHEMAS, st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()) | st.floats(-9, 9))
def test_what_fits_is_what_the_validator_takes(schema: dict[str, Any], value: Any) -> None:
    assert fits(value, schema, schema, Effort()) == Draft202012Validator(schema).is_valid(value)


@settings(deadline=None)
@given(SCHEMAS, st.sampled_from(["anyOf", "oneOf"]))
def test_a_recursive_type_ends(schema: dict[str, Any], kind: str) -> None:
    tree = {
        "type": "object",
        "properties": {"leaf": schema, "next": {kind: [{"$ref": "#/$defs/Tree"}, {"type": "null"}]}},
        "required": ["leaf", "next"],
    }
    document: dict[str, Any] = {"$defs": {"Tree": tree}, "type": "array", "items": {"$ref": "#/$defs/Tree"}}
    instance = instance_of(document)
    assert Draft202012Validator(document).is_valid(instance)
    assert instance[0]["next"] is None
