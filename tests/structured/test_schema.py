"""Schemas of types: what msgspec encodes satisfies them, and the strict ones obey the service's documented rules."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import enum
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar

import attrs
import jsonschema
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from inference_async.errors import ConfigurationError
from inference_async.structured.schema import answer_schema, schema_of, strict_schema

T = TypeVar("T")


class Kind(enum.Enum):
    TOWN = "town"
    VILLAGE = "village"


class Point(msgspec.Struct, tag=True):
    x: float
    y: float


class Area(msgspec.Struct, tag=True):
    corners: Annotated[list[Point], Meta(min_length=1, max_length=5)]


class City(msgspec.Struct):
    """A place where people live."""

    name: Annotated[str, Meta(min_length=1, description="what it is called")]
    kind: Kind
    people: Annotated[int, Meta(ge=0, lt=10**8)] = 3
    founded: dt.date | None = None
    near: list[City] = []
    part_of: Annotated[City | None, Meta(description="the city it belongs to")] = None
    other_kind: Annotated[Kind, Meta(description="a second kind")] = Kind.TOWN
    place: Point | Area | None = None
    sizes: set[int] = msgspec.field(default_factory=set)
    how: Literal["a", "b"] | None = None
    id: uuid.UUID | None = None
    cost: decimal.Decimal = decimal.Decimal("1.5")


@dataclass
class Book:
    title: str
    pages: int = 1
    tags: list[str] = field(default_factory=list)


@attrs.define
class Shelf:
    books: list[Book]
    label: str = "x"


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Pair(NamedTuple):
    left: int
    right: str = "x"


class Box(msgspec.Struct, Generic[T]):
    item: T


class Nothing(msgspec.Struct):
    pass


class Weird:
    pass


class Bag(msgspec.Struct):
    tags: dict[str, int]
    first: list[list[Weird]] = []


class Known(msgspec.Struct):
    weird: Annotated[Weird, Meta(extra_json_schema={"type": "string"})]


class Model(pydantic.BaseModel):
    """A model."""

    name: str = pydantic.Field(min_length=1, description="what it is called")
    when: dt.datetime | None = None
    kind: Kind = pydantic.Field(default=Kind.TOWN, description="its kind")
    children: list[Model] = []


class Cat(pydantic.BaseModel):
    sound: Literal["miaow"]


class Dog(pydantic.BaseModel):
    sound: Literal["woof"]


class Owner(pydantic.BaseModel):
    pet: Cat | Dog = pydantic.Field(discriminator="sound")


class Mixed(msgspec.Struct):
    owner: Owner
    models: list[Model] = []


SAYABLE: dict[str, Any] = {
    "struct": City,
    "dataclass": Book,
    "attrs": Shelf,
    "TypedDict": Movie,
    "enum": Kind,
    "literal": Literal["a", "b"],
    "union": int | str | None,
    "tagged": Point | Area,
    "list": list[City],
    "set": frozenset[int],
    "tuple of one type": tuple[int, ...],
    "generic": Box[list[City]],
    "bounded": Annotated[int, Meta(gt=0, le=10, multiple_of=2)],
    "pattern": Annotated[str, Meta(pattern="^a+$", max_length=4)],
    "datetime": dt.datetime,
    "timedelta": dt.timedelta,
    "bytes": bytes,
    "bool": bool,
    "empty": Nothing,
    "described": Annotated[City, Meta(description="the largest one")],
    "model": Model,
    "models": list[Model],
    "discriminated": Owner,
    "mixed": Mixed,
    "mixed list": list[Mixed],
    "own schema": Known,
}
each_sayable = pytest.mark.parametrize("name", SAYABLE)

# ---------------------------------------------------------------------------------------------------------------------
# The service's rules, as documented for structured outputs: https://learn.microsoft.com/azure/ai-foundry/openai/how-to/
# structured-outputs (supported types, required fields, additionalProperties, definitions, recursion)

TYPES = {"string", "number", "integer", "boolean", "object", "array", "null"}
KEYWORDS = {
    "type", "enum", "anyOf", "items", "properties", "required", "additionalProperties", "description", "$ref", "$defs"
}  # fmt: skip


def faults(schema: Any, defs: set[str], place: str = "$") -> Iterator[str]:
    """What the service would refuse in a strict schema."""
    if not isinstance(schema, dict):
        yield f"{place}: no object"
        return
    for keyword in schema.keys() - KEYWORDS:
        yield f"{place}: unsupported {keyword}"
    if "$ref" in schema:
        if len(schema) > 1:
            yield f"{place}: keywords beside $ref"
        if schema["$ref"] != "#" and schema["$ref"].removeprefix("#/$defs/") not in defs:
            yield f"{place}: $ref to elsewhere"
        return
    if "anyOf" in schema:
        for index, member in enumerate(schema["anyOf"]):
            yield from faults(member, defs, f"{place}|{index}")
        return
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if not types or not set(types) <= TYPES:
        yield f"{place}: no type"
    if "object" in types:
        if schema.get("additionalProperties") is not False:
            yield f"{place}: more properties"
        if schema.get("required") != list(schema.get("properties", ())):
            yield f"{place}: not all required"
        for name, each in schema.get("properties", {}).items():
            yield from faults(each, defs, f"{place}.{name}")
    if "array" in types:
        yield from faults(schema.get("items"), defs, f"{place}[]")


def faults_of_root(schema: dict[str, Any]) -> list[str]:
    defs = schema.get("$defs", {})
    root = {key: value for key, value in schema.items() if key != "$defs"}
    found = list(faults(root, set(defs)))
    for name, each in defs.items():
        found += faults(each, set(defs), name)
    return found


@each_sayable
def test_strict_schemas_obey_the_service(name: str) -> None:
    schema = schema_of(SAYABLE[name], strict=True)
    assert faults_of_root(schema) == []
    jsonschema.Draft202012Validator.check_schema(schema)


@each_sayable
def test_answers_are_objects(name: str) -> None:
    schema, wrapped = answer_schema(SAYABLE[name])
    assert faults_of_root(schema) == []
    assert schema["type"] == "object"
    assert wrapped == (schema_of(SAYABLE[name], strict=True).get("type") != "object")
    if wrapped:
        assert schema["required"] == ["value"]


def test_the_checker_of_rules_finds_faults() -> None:
    assert faults_of_root({"type": "object", "properties": {"a": {"$ref": "#/$defs/X", "title": "x"}, "b": {}}}) != []
    raw = msgspec.json.schema(City)
    assert len(faults_of_root(raw)) > 10


# ---------------------------------------------------------------------------------------------------------------------
# Values satisfy their schemas

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
points = st.builds(Point, st.floats(-9, 9), st.floats(-9, 9))
cities = st.recursive(
    st.builds(City, texts.filter(bool), st.sampled_from(Kind), st.integers(0, 99), st.none() | st.dates()),
    lambda inner: st.builds(
        City,
        name=texts.filter(bool),
        kind=st.sampled_from(Kind),
        near=st.lists(inner, max_size=2),
        part_of=st.none() | inner,
        place=st.none() | points | st.builds(Area, st.lists(points, min_size=1, max_size=5)),
        sizes=st.sets(st.integers(0, 9)),
        how=st.sampled_from(["a", "b", None]),
        id=st.none() | st.uuids(),
    ),
    max_leaves=3,
)
books = st.builds(Book, texts, st.integers(), st.lists(texts, max_size=2))
VALUES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "struct": (City, cities),
    "list": (list[City], st.lists(cities, max_size=2)),
    "dataclass": (Book, books),
    "attrs": (Shelf, st.builds(Shelf, st.lists(books, max_size=2), texts)),
    "TypedDict": (Movie, st.fixed_dictionaries({"title": texts}, optional={"year": st.integers()})),
    "NamedTuple": (Pair, st.builds(Pair, st.integers(), texts)),
    "tuple": (tuple[int, str], st.tuples(st.integers(), texts)),
    "dict": (dict[str, int | None], st.dictionaries(texts, st.none() | st.integers(), max_size=3)),
    "generic": (Box[int], st.builds(Box[int], st.integers())),
    "union": (int | str | None, st.none() | st.integers() | texts),
    "any": (Any, st.none() | st.lists(st.integers())),
    "object": (object, st.none() | st.lists(st.integers())),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_satisfy_the_schema_of_their_type(name: str) -> None:
    hint, values = VALUES[name]
    plain = jsonschema.Draft202012Validator(schema_of(hint, strict=False))
    sayable = name not in {"NamedTuple", "tuple", "dict", "any", "object"}
    strict = jsonschema.Draft202012Validator(schema_of(hint, strict=True)) if sayable else None

    @given(values)
    def check(value: Any) -> None:
        instance = json.loads(msgspec.json.encode(value))
        plain.validate(instance)
        if strict and name != "TypedDict":  # strict, what may be left out may not be
            strict.validate(instance)

    check()


@pytest.mark.parametrize(
    ("hint", "instance"),
    [
        (City, {"name": "x"}),
        (City, {"name": "x", "kind": "hamlet"}),
        (list[Book], [{"title": 1}]),
        (Model, {"name": "x", "children": [{}]}),
        (Mixed, {"owner": {"pet": {"sound": "moo"}}}),
    ],
)
def test_other_values_do_not(hint: Any, instance: Any) -> None:
    for strict in (False, True):
        assert not jsonschema.Draft202012Validator(schema_of(hint, strict=strict)).is_valid(instance)


def test_pydantic_parts_of_structs_are_described() -> None:
    validator = jsonschema.Draft202012Validator(schema_of(Mixed, strict=False))
    validator.validate({"owner": {"pet": {"sound": "woof"}}, "models": [{"name": "a", "children": [{"name": "b"}]}]})


def part_named(name: str) -> Any:
    fields: dict[str, Any] = {name: (int, ...)}
    part: Any = pydantic.create_model("Part", **fields)
    return pydantic.create_model(f"With{name}", parts=(list[part], ...))


def test_equal_names_in_different_models_do_not_meet() -> None:
    both = msgspec.defstruct("Both", [("a", part_named("a")), ("b", part_named("b"))])
    schema = schema_of(both, strict=True)
    assert faults_of_root(schema) == []
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate({"a": {"parts": [{"a": 1}]}, "b": {"parts": [{"b": 1}]}})
    assert not validator.is_valid({"a": {"parts": [{"b": 1}]}, "b": {"parts": [{"b": 1}]}})


# ---------------------------------------------------------------------------------------------------------------------
# The strict form in detail


def test_a_recursive_struct_in_full() -> None:
    schema = schema_of(City, strict=True)
    properties = schema["properties"]
    assert schema["description"] == "A place where people live."
    assert schema["required"] == list(City.__struct_fields__)
    assert properties["name"] == {"description": "what it is called (at least 1 character)", "type": "string"}
    assert properties["people"] == {
        "description": "at least 0; less than 100000000; default: 3",
        "type": "integer",
    }
    assert properties["near"]["items"] == {"$ref": "#"}
    assert properties["part_of"]["description"] == "the city it belongs to"
    assert sorted(properties["part_of"]["anyOf"], key=str) == [{"$ref": "#"}, {"type": "null"}]
    assert properties["other_kind"] == {
        "description": 'a second kind (default: "town")',
        "anyOf": [{"$ref": "#/$defs/Kind"}],
    }
    assert schema["$defs"]["Kind"] == {"type": "string", "enum": ["town", "village"]}
    assert schema["$defs"]["Area"]["properties"]["corners"]["description"] == "at least 1 and at most 5 items"
    assert set(schema["$defs"]) == {"Kind", "Point", "Area"}


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"minItems": 1, "maxItems": 5}, "at least 1 and at most 5 items"),
        ({"minItems": 2, "maxItems": 2}, "exactly 2 items"),
        ({"minItems": 0}, None),
        ({"maxItems": 0}, "exactly 0 items"),
        ({"uniqueItems": True}, "no item twice"),
        ({"uniqueItems": False}, None),
        ({"contains": {"type": "string"}}, 'contains: {"type":"string"}'),
        ({"default": [3, "a"]}, 'default: 3, "a"'),
        ({"default": None}, None),
        ({"title": "Items", "$comment": "x", "discriminator": {}, "x-mine": 1, "readOnly": True}, None),
        ({"description": "many", "deprecated": True}, "many (deprecated)"),
    ],
)
def test_keywords_of_arrays_in_words(keywords: dict[str, Any], words: str | None) -> None:
    schema = strict_schema({"type": "array", "items": {"type": "string"}, **keywords})
    described = {} if words is None else {"description": words}
    assert schema == {**described, "type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (
            {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^a", "format": "email"},
            {"description": "at least 1 and at most 3 characters; pattern: ^a; format: email", "type": "string"},
        ),
        (
            {"type": "number", "minimum": 1, "exclusiveMaximum": 2.5, "multipleOf": 0.5},
            {"description": "at least 1; less than 2.5; a multiple of 0.5", "type": "number"},
        ),
        (
            {"type": "integer", "minimum": 1, "exclusiveMinimum": True},
            {"description": "at least 1", "type": "integer"},
        ),
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"enum": [1, 2.5, True, None]}, {"type": ["number", "boolean", "null"], "enum": [1, 2.5, True, None]}),
        (
            {"oneOf": [{"type": "string"}, {"const": 1}]},
            {"anyOf": [{"type": "string"}, {"type": "integer", "enum": [1]}]},
        ),
        ({"allOf": [{"type": "string"}], "description": "x"}, {"description": "x", "type": "string"}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        (
            {"properties": {"a": {"type": "string"}}, "minProperties": 1, "propertyNames": {"pattern": "a"}},
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "required": ["a"],
                "additionalProperties": False,
            },
        ),
        (
            {"type": "object", "additionalProperties": False},
            {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
        ),
        (
            {"$ref": "#/definitions/A", "definitions": {"A": {"type": "integer"}}},
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "integer"}}},
        ),
        (
            {"allOf": [{"$ref": "#/$defs/A"}], "default": 3, "$defs": {"A": {"type": "integer"}}},
            {"description": "default: 3", "anyOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"type": "integer"}}},
        ),
        (
            {
                "$ref": "#/$defs/A",
                "description": "the root",
                "$defs": {
                    "A": {"$ref": "#/$defs/B"},
                    "B": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/$defs/B"}}},
                },
            },
            {
                "description": "the root",
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#"}},
                "required": ["a", "b"],
                "additionalProperties": False,
                "$defs": {"A": {"$ref": "#"}},
            },
        ),
    ],
)
def test_a_schema_of_the_callers_becomes_strict_and_stays_as_it_was(
    schema: dict[str, Any], strict: dict[str, Any]
) -> None:
    before = copy.deepcopy(schema)
    assert strict_schema(schema) == strict
    assert schema == before
    assert strict_schema(strict) == strict, "what is strict stays"


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        (list[dict[str, int]], "$[] is dict[str, int], and a strict schema knows no free keys; use a list of a class"),
        (dict[str, Any], "$ is dict[str, Any], "),
        (Any, "$ is Any, and a strict schema must name a type; use the types it may have"),
        (object, "$ is Any, "),
        (list, "$[] is Any, "),
        (
            tuple[int, str],
            "$ is tuple[int, str], and a strict schema knows no positions; use a class with named fields",
        ),
        (Pair, "Pair is tuple[int, str], and a strict schema knows no positions"),
        (Box[dict[str, Point]], "Box[dict[str, Point]].item is dict[str, Point], "),
    ],
)
def test_what_strict_cannot_say_is_refused_by_type_and_place(hint: Any, message: str) -> None:
    assert schema_of(hint, strict=False) is not None
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}"):
        schema_of(hint, strict=True)


class FreeKeys(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


class ExtraAllowed(FreeKeys):
    a: int


class Tagged(msgspec.Struct):
    tags: dict[str, Point]


class Outer(msgspec.Struct):
    inner: list[Tagged]


@pytest.mark.parametrize(
    ("hint", "place"),
    [(Tagged, "Tagged.tags"), (Outer, "Tagged.tags"), (Box[dict[str, int]], "Box[dict[str, int]].item")],
)
def test_the_place_is_where_the_type_stands(hint: Any, place: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{re.escape(place)} is dict"):
        schema_of(hint, strict=True)


def test_a_model_that_lets_more_in_is_asked_for_its_own_fields() -> None:
    assert schema_of(ExtraAllowed, strict=True)["additionalProperties"] is False
    with pytest.raises(ConfigurationError, match=r"^FreeKeys is dict"):
        schema_of(FreeKeys, strict=True)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("hint", "message"),
    [
        (Weird, "$ is Weird, which has no JSON Schema; use a type msgspec knows"),
        (Bag, "Bag.first[][] is Weird, which has no JSON Schema"),
        (City | Book, "got City | Book, which has no JSON Schema: Type unions may not contain"),
        ("Nowhere", "got Nowhere, which has no JSON Schema"),
        (3, "got 3, which has no JSON Schema"),
        (list[Weird | Cat], "got list[Weird | Cat], which pydantic cannot read"),
    ],
)
def test_types_without_a_schema_are_refused(hint: Any, message: str, strict: bool) -> None:
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}"):
        schema_of(hint, strict=strict)


HOLDS_ITSELF: dict[str, Any] = {"type": "array"}
HOLDS_ITSELF["items"] = HOLDS_ITSELF


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({}, "$ is Any"),
        ({"title": "Bag", "type": "object"}, "Bag is dict[str, Any]"),
        ({"properties": {"a": True}}, "$.a is Any"),
        ({"properties": {"a": {"type": "object", "patternProperties": {}}}}, "$.a is dict"),
        ({"properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "integer"}}, "$ is an object"),
        ({"type": "array", "items": [{"type": "string"}]}, "$ is tuple[str]"),
        ({"$ref": "#/properties/a", "properties": {}}, "$ is a $ref with more beside it"),
        ({"properties": {"a": {"$ref": "https://example.com"}}}, "$.a is $ref 'https://example.com', which is not"),
        ({"properties": {"a": {"$ref": "#/$defs/A"}}}, "$.a is $ref '#/$defs/A', which is not there"),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}}}, "A is $ref '#/$defs/B', which is not there"),
        ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "$ is allOf several schemas; merge them"),
        ({"type": "string", "not": {"const": "a"}}, "$ is bound by 'not'"),
        ({"properties": {}, "anyOf": [{"required": ["a"]}]}, "$ is anyOf with more beside it"),
        ({"anyOf": [{"type": "string"}], "oneOf": [{"type": "string"}]}, "$ is oneOf and anyOf together"),
        (HOLDS_ITSELF, "got a schema that is nested too deep, or holds itself"),
    ],
)
def test_schemas_that_cannot_be_strict_are_refused(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}"):
        strict_schema(schema)
