"""Answers: what is asked for, what is believed, and how a refusal reads."""

from __future__ import annotations

import datetime as dt
import enum
import json
import pickle
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict, assert_type

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_async.errors import ConfigurationError
from inference_async.structured.answers import AnswerType, Mismatch, decoder_of


class Kind(enum.Enum):
    TOWN = "town"
    VILLAGE = "village"


class City(msgspec.Struct):
    """A place."""

    name: str
    kind: Kind = Kind.TOWN


class Country(msgspec.Struct):
    cities: list[City]


@dataclass
class Even:
    n: int

    def __post_init__(self) -> None:
        if self.n % 2:
            raise ValueError("n is odd")
        if self.n < 0:
            raise TypeError("n is negative")
        if self.n == 4:
            raise KeyError("a defect of the class itself")


@attrs.define
class Large:
    n: int = attrs.field(validator=attrs.validators.ge(10))


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Event(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    name: str
    when: dt.datetime


class Diary(msgspec.Struct):
    events: list[Event]
    last: Event | None = None


EVENT = {"name": "x", "when": "2026-01-02T03:04:05Z"}


def said(call: Any, text: str) -> tuple[str, str]:
    with pytest.raises(Mismatch) as caught:
        call(text)
    assert str(caught.value) == f"{caught.value.message}, at {caught.value.position}"
    return caught.value.message, caught.value.position


# ---------------------------------------------------------------------------------------------------------------------
# What is asked for


def test_the_format_of_an_object_is_its_schema() -> None:
    answer = AnswerType.of(City)
    assert answer.name == "City"
    assert answer.format == {
        "type": "json_schema",
        "json_schema": {
            "name": "City",
            "description": "A place.",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "kind": {"description": 'default: "town"', "anyOf": [{"$ref": "#/$defs/Kind"}]},
                },
                "required": ["name", "kind"],
                "additionalProperties": False,
                "$defs": {"Kind": {"type": "string", "enum": ["town", "village"]}},
            },
        },
    }


def test_checkers_know_the_type_of_the_answer() -> None:
    assert_type(AnswerType.of(City).decode('{"name": "a"}'), City)
    assert_type(AnswerType.of(list[City]).decode('{"value": []}'), list[City])


def test_what_is_no_object_is_asked_for_under_one_property() -> None:
    schema = AnswerType.of(list[int]).format["json_schema"]["schema"]
    assert schema == {
        "type": "object",
        "properties": {"value": {"type": "array", "items": {"type": "integer"}}},
        "required": ["value"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        (City, "City"),
        (list[City], "list_City"),
        (City | None, "City_None"),
        (Literal["a b", "é"], "Literal_a_b"),
        (
            list[Annotated[list[list[list[list[list[list[list[list[list[list[list[City]]]]]]]]]]], 1]],
            "list_" * 12 + "City",
        ),
        (msgspec.defstruct("Città" * 30, [("a", int)]), ("Citt_" * 30)[:64]),
        (msgspec.defstruct("\u57ce", [("a", int)]), "answer"),
    ],
)
def test_names_fit_the_service(hint: Any, name: str) -> None:
    assert AnswerType.of(hint).name == name
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)


def test_an_answer_type_is_made_once_where_the_hint_can_be_a_key() -> None:
    assert AnswerType.of(list[City]) is AnswerType.of(list[City])
    unhashable = Annotated[int, {"anything": "else"}]
    with pytest.raises(TypeError):
        hash(unhashable)
    assert AnswerType.of(unhashable).decode('{"value": 3}') == 3


def test_a_type_that_cannot_be_asked_for_is_refused() -> None:
    for _ in range(2):  # a refusal is not kept as if it were an answer type
        with pytest.raises(ConfigurationError, match=r"^\$ is dict\[str, int\]"):
            AnswerType.of(dict[str, int])


# ---------------------------------------------------------------------------------------------------------------------
# What is believed


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (City, '{"name": "a", "kind": "village"}', City("a", Kind.VILLAGE)),
        (City, '{"name": "a", "unasked": 1}', City("a")),
        (list[City], '{"value": [{"name": "a"}]}', [City("a")]),
        (int, '{"value": 3}', 3),
        (float, '{"value": 3}', 3.0),
        (int | None, '{"value": null}', None),
        (Literal["a", "b"], '{"value": "b"}', "b"),
        (Kind, '{"value": "town"}', Kind.TOWN),
        (Even, '{"n": 2}', Even(2)),
        (Large, '{"n": 12}', Large(12)),
        (Movie, '{"title": "x"}', {"title": "x"}),
        (Movie, '{"title": "x", "year": 1}', {"title": "x", "year": 1}),
        (Event, json.dumps(EVENT), Event.model_validate_json(json.dumps(EVENT))),
        (list[Event], json.dumps({"value": [EVENT]}), [Event.model_validate_json(json.dumps(EVENT))]),
        (Event | None, '{"value": null}', None),
        (Diary, json.dumps({"events": [EVENT]}), Diary([Event.model_validate_json(json.dumps(EVENT))])),
        (list[Diary], '{"value": [{"events": []}]}', [Diary([])]),
    ],
)
def test_a_text_becomes_the_value(hint: Any, text: str, value: Any) -> None:
    decoded = AnswerType.of(hint).decode(text)
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        " \n{}\t ",
        "\ufeff{}",
        "\ufeff \n{}",
        "```json\n{}\n```",
        "```\n{}\n```",
        " ```JSON \r\n{}\n  ```\n",
        "```json\n\n{}\n\n```",
    ],
)
def test_what_models_put_around_is_taken_off(around: str) -> None:
    text = '{"name": "a ``` b"}'
    assert AnswerType.of(City).decode(around.replace("{}", text)) == City("a ``` b")
    place = around.index("{}")
    assert said(AnswerType.of(City).decode, around.replace("{}", '{"name": }'))[1] == f"char {place + 9}"


@pytest.mark.parametrize(
    "text",
    [
        'Sure! {"name": "a"}',
        '{"name": "a"} I hope this helps.',
        '```python\n{"name": "a"}\n```',
        '```json\n{"name": "a"}',
        '{"name": "a"}\n```',
        "```json```",
        '{"name": "a",}',
        "{'name': 'a'}",
        "",
    ],
)
def test_nothing_else_is_forgiven(text: str) -> None:
    with pytest.raises(Mismatch):
        AnswerType.of(City).decode(text)


# ---------------------------------------------------------------------------------------------------------------------
# How a refusal reads


@pytest.mark.parametrize(
    ("hint", "text", "message", "position"),
    [
        (Country, '{"cities": [{"name": 3}]}', "got `int`, expected `str`", "$.cities[0].name"),
        (Country, '{"cities": [{}]}', "object missing required field `name`", "$.cities[0]"),
        (City, '{"name": "a", "kind": "x"}', "invalid enum value 'x'", "$.kind"),
        (list[City], '{"value": [{"name": 3}]}', "got `int`, expected `str`", "$[0].name"),
        (int, '{"value": "3"}', "got `str`, expected `int`", "$"),
        (int, '{"value": 3.5}', "got `float`, expected `int`", "$"),
        (int, "[]", "got `array`, expected `int`", "$"),
        (Even, '{"n": 1}', "n is odd", "$"),
        (list[Even], '{"value": [{"n": 2}, {"n": -2}]}', "n is negative", "$[1]"),
        (Large, '{"n": 1}', "'n' must be >= 10: 1", "$"),
        (Movie, '{"title": "x", "year": null}', "got `null`, expected `int`", "$.year"),
        (City, '{"name": "é" x}', "got broken JSON: expected ',' or '}'", "char 13"),
        (City, '{"name": "é', "got JSON that ends too early", "char 11"),
        (City, '{"name": "\ud800"}', "got half of a surrogate pair, expected text", "char 10"),
        (City, "[" * 100_000, "got values nested over 64 levels deep", "$"),
        (Event, '{"name": "x"}', "field required", "$.when"),
        (Event, '{"name": 3, "when": 3}', "got `int`: input should be a valid string", "$.name"),
        (list[Event], '{"value": [3]}', "got `int`: input should be an object", "$[0]"),
        (Event, '{"name": "é",\n "é" 3}', "got broken JSON: expected `:`", "char 19"),
        (Event, "{", "got broken JSON: EOF while parsing an object", "char 0"),
        (Event, "[" * 100_000, "got values nested over 64 levels deep", "$"),
        (Event, '"\ud800"', "got half of a surrogate pair, expected text", "char 1"),
        (Diary, '{"events": [{"name": 3}]}', "got `int`: input should be a valid string", "$.events[0].name"),
        (Diary, '{"events": [3]}', "got `int`: input should be an object", "$.events[0]"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_and_where(hint: Any, text: str, message: str, position: str) -> None:
    words, place = said(AnswerType.of(hint).decode, text)
    assert place == position
    assert words == message or words.startswith(message)


def test_text_nested_too_deep_is_no_recursion_error() -> None:
    assert said(decoder_of(Any), "[" * 100_000) == ("got values nested over 64 levels deep", "$")


def test_a_long_value_is_not_repeated_in_full() -> None:
    message, _ = said(AnswerType.of(Kind).decode, json.dumps({"value": "x" * 10_000}))
    assert len(message) < 600


def test_what_the_class_itself_raises_loses_no_answer() -> None:
    with pytest.raises(Mismatch, match="the type itself refused it: KeyError: 'a defect") as caught:
        AnswerType.of(Even).decode('{"n": 4}')
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_mismatch_is_a_value_error_and_pickles() -> None:
    mismatch: Mismatch = pickle.loads(pickle.dumps(Mismatch("got a, expected b", "$.c")))
    assert issubclass(Mismatch, ValueError)
    assert (mismatch.message, mismatch.position) == ("got a, expected b", "$.c")


HINTS = (City, list[City], Even, Movie, Event, list[Event], Diary, int)
TEXTS = [
    '{"value":',
    '{"name":',
    '{"events":',
    "[",
    "]",
    "}",
    "{",
    '"',
    "1",
    "null",
    ",",
    " ",
    "é",
    "\ud800",
    "```json\n",
    "1e999",
]


@given(st.sampled_from(HINTS), st.lists(st.sampled_from(TEXTS), max_size=8))
def test_any_text_is_a_value_or_a_mismatch(hint: Any, parts: list[str]) -> None:
    text = "".join(parts)
    try:
        AnswerType.of(hint).decode(text)
    except Mismatch as mismatch:
        place = re.fullmatch(r"\$.*|char (\d+)", mismatch.position)
        assert place
        assert place[1] is None or int(place[1]) <= len(text)


# ---------------------------------------------------------------------------------------------------------------------
# Arguments of tools


class Arguments(msgspec.Struct):
    city: str
    event: Event | None = None
    extra: dict[str, int] = {}


def test_a_decoder_reads_what_no_strict_schema_says() -> None:
    decode = decoder_of(Arguments)
    assert decode('{"city": "a", "extra": {"b": 1}}') == Arguments("a", None, {"b": 1})
    event = decode(json.dumps({"city": "a", "event": EVENT})).event
    assert event == Event.model_validate_json(json.dumps(EVENT))


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ('```json\n{"city": "a"}\n```', "got broken JSON: invalid character", "char 0"),
        ('{"value": {"city": "a"}}', "object missing required field `city`", "$"),
        (
            '{"city": "a", "event": {"name": "x", "when": 3}}',
            "got `int`: input should be a valid datetime",
            "$.event.when",
        ),
        ('{"city": "a", "extra": {"b": "c"}}', "got `str`, expected `int`", "$.extra[...]"),
        ("", "got JSON that ends too early", "char 0"),
    ],
)
def test_a_decoder_forgives_nothing_around(text: str, message: str, position: str) -> None:
    words, place = said(decoder_of(Arguments), text)
    assert place == position
    assert words.startswith(message)


def test_a_decoder_of_keys_says_that_it_is_the_key() -> None:
    message, position = said(decoder_of(dict[int, int]), '{"a": 1}')
    assert message == "key: got `str`, expected `int`"
    assert position == "$"


def test_a_type_that_cannot_be_decoded_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^got City \| Even, which cannot be decoded: Type unions"):
        decoder_of(City | Even)


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (list[City], '[{"name": "Oslo"}]', [City("Oslo")]),
        (int, " 3 ", 3),
        (int | str, '"three"', "three"),
        (Literal["a", "b"], '```json\n"b"\n```', "b"),
    ],
    ids=str,
)
def test_a_value_that_came_alone_will_do(hint: Any, text: str, value: Any) -> None:
    assert AnswerType.of(hint).decode(text) == value


def test_a_value_that_came_alone_is_judged_as_such() -> None:
    with pytest.raises(Mismatch) as caught:
        AnswerType.of(list[City]).decode('[{"name": 3}]')
    assert caught.value.position == "$[0].name"
    assert "value" not in caught.value.message


def test_the_title_is_as_it_was_written() -> None:
    assert AnswerType.of(list[City]).title == "list[City]"
