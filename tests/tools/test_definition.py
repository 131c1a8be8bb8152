"""`@tool`: what a signature becomes, what it accepts, and what it refuses when it is made."""

from __future__ import annotations

import asyncio
import contextvars
import datetime as dt
import enum
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import pytest
from msgspec import UNSET

from inference_async import ConfigurationError, Tool, tool
from inference_async.structured import Mismatch

if TYPE_CHECKING:
    from decimal import Decimal


class Unit(enum.Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


class Place(msgspec.Struct):
    city: str
    country: str = "US"


@dataclass
class Span:
    start: dt.date
    days: int = 1


def weather(
    place: Place,
    span: Span,
    unit: Unit = Unit.CELSIUS,
    *,
    detail: Literal["low", "high"] = "low",
    at: dt.datetime | None = None,
    tags: list[str] = ["a"],  # noqa: B006  (it must survive)
) -> str:
    """Looks up the weather
    of a place.

    A second paragraph, for people.
    """
    return f"{place} {span} {unit} {detail} {at} {tags}"


def parameters(made: Tool[..., Any]) -> dict[str, Any]:
    schema = made.definition.function.parameters
    assert isinstance(schema, dict)
    return schema


def descriptions(made: Tool[..., Any]) -> dict[str, Any]:
    return {name: value.get("description") for name, value in parameters(made)["properties"].items()}


def test_name_and_description_are_the_functions_own() -> None:
    made = tool(weather)
    assert made.name == "weather"
    assert made.definition.function.name == "weather"
    assert made.definition.function.description == "Looks up the weather of a place."
    assert made.definition.function.strict is UNSET


def test_name_and_description_may_be_given() -> None:
    @tool(name="get-weather", description="Says if it rains.", strict=True, timeout=2)
    def weather(city: str) -> str:
        """Other words."""
        return city

    assert weather.name == "get-weather"
    assert weather.timeout == 2
    function = weather.definition.function
    assert (function.name, function.description, function.strict) == ("get-weather", "Says if it rains.", True)
    assert parameters(weather)["additionalProperties"] is False
    assert parameters(weather)["required"] == ["city"]


def test_the_schema_says_types_defaults_and_what_is_required() -> None:
    schema = parameters(tool(weather))
    assert schema["type"] == "object"
    assert schema["required"] == ["place", "span"]
    assert list(schema["properties"]) == ["place", "span", "unit", "detail", "at", "tags"]
    assert sorted(schema["properties"]["detail"]["enum"]) == ["high", "low"]
    assert msgspec.json.encode(schema), "a schema that can be sent"


def test_arguments_are_converted_to_the_parameters_types() -> None:
    arguments = tool(weather).parse(
        '{"place": {"city": "Paris"}, "span": {"start": "2026-01-02"}, "unit": "kelvin", "detail": "high",'
        ' "at": "2026-01-02T03:04:05Z"}'
    )
    assert arguments == {
        "place": Place("Paris"),
        "span": Span(dt.date(2026, 1, 2)),
        "unit": Unit.KELVIN,
        "detail": "high",
        "at": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        "tags": ["a"],
    }


def test_a_default_is_the_very_object() -> None:
    marker = object()

    def f(x: Annotated[Any, "anything"] = marker) -> None: ...

    assert tool(f).parse("")["x"] is marker


@pytest.mark.parametrize("arguments", ["", "  ", "{}"])
def test_no_arguments(arguments: str) -> None:
    def now() -> str:
        return "12:00"

    made = tool(now)
    assert made.parse(arguments) == {}
    assert made.definition.function.parameters is UNSET, "left out, it means none"
    assert made.definition.function.description is UNSET


@pytest.mark.parametrize(
    ("arguments", "position"),
    {
        "cut": ('{"place": {"city": "Pa', None),
        "not JSON": ("city=Paris", None),
        "missing": ("{}", "$"),
        "unknown": ('{"place": {"city": "P"}, "span": {"start": "2026-01-02"}, "colour": 1}', None),
        "mistyped": ('{"place": {"city": 5}, "span": {"start": "2026-01-02"}}', "$.place.city"),
        "no object": ("[1]", "$"),
    }.values(),
    ids=["cut", "not JSON", "missing", "unknown", "mistyped", "no object"],
)
def test_arguments_that_do_not_fit(arguments: str, position: str | None) -> None:
    with pytest.raises(Mismatch) as caught:
        tool(weather).parse(arguments)
    assert caught.value.message
    assert position in (None, caught.value.position)


def test_constraints_hold() -> None:
    def f(days: Annotated[int, msgspec.Meta(ge=1, le=7, description="how many")]) -> None: ...

    made = tool(f)
    assert parameters(made)["properties"]["days"]["maximum"] == 7
    assert descriptions(made) == {"days": "how many"}
    with pytest.raises(Mismatch):
        made.parse('{"days": 8}')


def google(city: str, days: int = 1, *, unit: str = "c") -> None:
    """Looks it up.

    Args:
        city: name of the city,
            in English.
        days (int, optional): how many: at least one.
        other: no parameter of ours.

    Returns:
        unit: not this one.
    """


def numpy(city: str, days: int = 1, *, unit: str = "c") -> None:
    """Looks it up.

    Parameters
    ----------
    city : str
        name of the city,
        in English.
    days : int, optional
        how many: at least one.

    Returns
    -------
    unit : str
        not this one.
    """


def rest(city: str, days: int = 1, *, unit: str = "c") -> None:
    """Looks it up.

    :param city: name of the city,
        in English.
    :param int days: how many: at least one.
    :returns: unit: not this one.
    """


def google_sections(city: str, days: int = 1, *, unit: str = "c") -> None:
    """Looks it up.

    Args:
        city: name of the city,
            in English.

    Keyword Args:
        days: how many: at least one.

    Returns:
        unit: not this one.
    """


def google_others(city: str, days: int = 1, *, unit: str = "c") -> None:
    """Looks it up.

    Arguments:
        city: name of the city, in English.

    Other Parameters:
        days: how many: at least one.
    """


def numpy_sections(city: str, days: int = 1, *, unit: str = "c") -> None:
    """Looks it up.

    Parameters
    ----------
    city : str
        name of the city, in English.

    Other Parameters
    ----------------
    days : int
        how many: at least one.
    """


FUNCTIONS = [google, google_sections, google_others, numpy, numpy_sections, rest]


def test_numpy_describes_several_parameters_at_once() -> None:
    def f(a: int, b: int, c: int) -> None:
        """Adds.

        Parameters
        ----------
        a, b : int
            one of the two.
        c: int
            the third.
        """

    assert descriptions(tool(f)) == {"a": "one of the two.", "b": "one of the two.", "c": "the third."}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_docstrings_describe_parameters(function: Callable[..., None]) -> None:
    made = tool(function)
    assert made.definition.function.description == "Looks it up."
    assert descriptions(made) == {
        "city": "name of the city, in English.",
        "days": "how many: at least one.",
        "unit": None,
    }


def test_a_docstring_may_begin_with_its_sections() -> None:
    def f(x: int) -> None:
        """
        Args:
            x: the number.
        """

    made = tool(f)
    assert made.definition.function.description is UNSET
    assert descriptions(made) == {"x": "the number."}


def test_an_annotation_describes_better_than_the_docstring() -> None:
    def f(x: Annotated[int, "from the hint"], y: Annotated[int, msgspec.Meta(ge=0)]) -> None:
        """Does it.

        Args:
            x: from the docstring.
            y: from the docstring.
        """

    made = tool(f)
    assert descriptions(made) == {"x": "from the hint", "y": "from the docstring."}
    assert parameters(made)["properties"]["y"]["minimum"] == 0


def test_it_is_still_the_function() -> None:
    made = tool(weather)
    assert made(Place("Paris"), Span(dt.date(2026, 1, 2))) == weather(Place("Paris"), Span(dt.date(2026, 1, 2)))
    assert made.__name__ == "weather"
    assert made.__doc__ == weather.__doc__
    assert inspect.signature(made) == inspect.signature(weather)
    assert repr(made) == "<Tool 'weather'>"


async def test_an_async_function_runs_in_the_task_of_the_caller() -> None:
    @tool
    async def whose() -> object:
        return asyncio.current_task()

    assert await whose.run("") is asyncio.current_task()
    assert await whose() is asyncio.current_task()


async def test_a_sync_function_runs_in_a_thread_with_the_callers_context() -> None:
    variable = contextvars.ContextVar[str]("variable")

    @tool
    def where(x: int) -> tuple[int, int, str]:
        return x, threading.get_ident(), variable.get()

    variable.set("seen")
    x, thread, seen = await where.run('{"x": 3}')
    assert (x, seen) == (3, "seen")
    assert thread != threading.get_ident()


async def test_a_sync_function_that_returns_an_awaitable_is_awaited() -> None:
    async def work(x: int) -> int:
        return x + 1

    @functools.wraps(work)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return work(*args, **kwargs)

    assert await tool(wrapped).run('{"x": 1}') == 2


async def test_a_bound_method() -> None:
    class Shop:
        def __init__(self) -> None:
            self.stock = {"apple": 3}

        async def count(self, fruit: str) -> int:
            """Counts a fruit."""
            return self.stock[fruit]

    made = tool(Shop().count)
    assert list(parameters(made)["properties"]) == ["fruit"]
    assert made.definition.function.description == "Counts a fruit."
    assert await made.run('{"fruit": "apple"}') == 3


async def test_pydantic_models_are_parameters_too() -> None:
    import pydantic

    model: Any = pydantic.create_model("Order", fruit=(str, ...), count=(int, 1))

    def order(order: Any) -> str:
        return f"{order.count} {order.fruit}"

    order.__annotations__["order"] = model
    made = tool(order)
    assert await made.run('{"order": {"fruit": "apple"}}') == "1 apple"
    with pytest.raises(Mismatch):
        made.parse('{"order": {"fruit": "apple", "count": "many"}}')


def bad_annotation(x) -> None: ...  # type: ignore[no-untyped-def]  # what is tested


def bad_positional(x: int, /) -> None: ...


def bad_args(*x: int) -> None: ...


def bad_kwargs(**x: int) -> None: ...


def bad_type(x: Callable[[], None]) -> None: ...


def bad_name(x: Decimal) -> None: ...


def bad_generator(x: int) -> Iterator[int]:
    yield x


def bad_underscores(*, __class: int) -> None: ...


class Holder:
    def method(self, x: int) -> None: ...


class Shop:
    async def __call__(self, fruit: str, count: int = 1) -> str:
        """Sells a fruit."""
        return f"{count} {fruit}"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (bad_annotation, ["bad_annotation", "'x'", "without an annotation", "x: str"]),
        (bad_positional, ["bad_positional", "'x'", "positional-only", "by name"]),
        (bad_args, ["bad_args", "'x'", "variadic positional", "by name"]),
        (bad_kwargs, ["bad_kwargs", "'x'", "variadic keyword", "by name"]),
        (bad_type, ["bad_type", "'x'", "annotate it with"]),
        (bad_name, ["bad_name", "'x'", "'Decimal'", "top of the module"]),
        (bad_generator, ["bad_generator", "generator"]),
        (Holder.method, ["'self'", "tool(obj.method)"]),
        (lambda: None, ["<lambda>", "tool(name=...)"]),
        (functools.partial(Shop(), fruit="apple"), ["type Shop", "tool(obj.__call__, name=...)"]),
        (Shop(), ["type Shop", "tool(obj.__call__, name=...)"]),
        (functools.partial(Holder), ["type type", "expected a function"]),
        (bad_underscores, ["bad_underscores", "'__class'", "two underscores"]),
        (Holder, ["type", "expected a function"]),
        (tool(google), ["Tool", "expected a function"]),
        (5, ["int", "expected a function"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_a_tool_is_refused_when_it_is_made(function: Any, words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        tool(function)
    for word in words:
        assert word in str(caught.value)


async def test_a_partial_hides_what_it_binds() -> None:
    async def find(index: object, city: str, unit: str = "c", *, days: int = 1) -> str:
        """Finds it.

        Args:
            city: where.
        """
        return f"{index} {city} {unit} {days}"

    made = tool(functools.partial(functools.partial(find, "index"), unit="k"))
    assert made.name == "find"
    assert made.is_async
    assert made.definition.function.description == "Finds it."
    assert descriptions(made) == {"city": "where.", "days": None}
    assert await made.run('{"city": "Oslo", "days": 2}') == "index Oslo k 2"
    with pytest.raises(Mismatch):
        made.parse('{"city": "Oslo", "unit": "c"}')
    assert tool(functools.partial(find, "index"), name="other").name == "other"


async def test_a_type_that_no_model_can_give_may_be_bound_as_the_message_says() -> None:
    def f(x: Callable[[], int], y: int) -> int:
        return x() + y

    with pytest.raises(ConfigurationError, match=r"bind it with functools\.partial"):
        tool(f)
    assert await tool(functools.partial(f, lambda: 1)).run('{"y": 2}') == 3
    assert await tool(functools.partial(f, x=lambda: 1)).run('{"y": 2}') == 3


async def test_an_object_that_can_be_called_is_a_tool_as_the_message_says() -> None:
    made = tool(Shop().__call__, name="sell")
    assert made.definition.function.description == "Sells a fruit."
    assert await made.run('{"fruit": "apple"}') == "1 apple"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"n": 1.0}', {"n": 1, "m": None, "many": [], "x": 0.5}),
        ('{"n": 2e2, "m": -3.0, "many": [1, 2.0], "x": 2.0}', {"n": 200, "m": -3, "many": [1, 2], "x": 2.0}),
    ],
    ids=["plain", "deep"],
)
def test_whole_numbers_are_integers_however_they_are_written(arguments: str, expected: dict[str, Any]) -> None:
    def f(n: int, m: int | None = None, many: list[int] = [], x: float = 0.5) -> None: ...  # noqa: B006  (a copy)

    parsed = tool(f).parse(arguments)
    assert parsed == expected
    assert isinstance(parsed["n"], int)
    assert isinstance(parsed["x"], float)


@pytest.mark.parametrize("number", ["1.5", "1e999", "true", '"1"'])
def test_other_numbers_are_no_integers(number: str) -> None:
    def f(n: int) -> None: ...

    with pytest.raises(Mismatch) as caught:
        tool(f).parse(f'{{"n": {number}}}')
    assert caught.value.position in ("$.n", "char 6")


def test_a_default_of_none_lets_the_model_say_null() -> None:
    def f(
        a: str = None,  # type: ignore[assignment]  # noqa: RUF013  (what is tested)
        b: Annotated[str, "the b"] = None,  # type: ignore[assignment]  # noqa: RUF013
        c: Annotated[int, msgspec.Meta(ge=1)] = None,  # type: ignore[assignment]  # noqa: RUF013
        d: Annotated[Any, "any"] = None,
        e: int | None = None,
    ) -> None:
        """Does it.

        Args:
            a: the a.
        """

    made = tool(f)
    assert parameters(made)["properties"]["a"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert descriptions(made) == {"a": "the a.", "b": "the b", "c": None, "d": "any", "e": None}
    nothing = dict.fromkeys("abcde")
    assert made.parse('{"a": null, "b": null, "c": null, "d": null, "e": null}') == nothing
    assert made.parse("") == nothing
    with pytest.raises(Mismatch):
        made.parse('{"c": 0}')


def test_the_example_in_the_documentation_is_indented() -> None:
    doc = inspect.getdoc(tool)
    assert doc is not None
    example = doc[doc.index("::\n") : doc.index("The annotations")]
    assert all(line.startswith("    ") for line in example.splitlines()[1:] if line)


@pytest.mark.parametrize("name", ["", "a b", "naïve", "x" * 65, "a.b", "a\n"])
def test_names_no_service_takes(name: str) -> None:
    with pytest.raises(ConfigurationError, match="expected 1 to 64"):
        tool(google, name=name)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "5"])
def test_a_time_limit_is_above_zero(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected seconds above 0"):
        tool(google, timeout=timeout)
    assert tool(google, timeout=None).timeout is None
