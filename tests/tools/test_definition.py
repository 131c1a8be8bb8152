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


@pytest.mark.parametrize("function", [google, numpy, rest], ids=lambda function: function.__name__)
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
    pydantic = pytest.importorskip("pydantic")
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


class Holder:
    def method(self, x: int) -> None: ...


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
        (functools.partial(google), ["partial", "expected a function"]),
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


@pytest.mark.parametrize("name", ["", "a b", "naïve", "x" * 65, "a.b", "a\n"])
def test_names_no_service_takes(name: str) -> None:
    with pytest.raises(ConfigurationError, match="expected 1 to 64"):
        tool(google, name=name)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "5"])
def test_a_time_limit_is_above_zero(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected seconds above 0"):
        tool(google, timeout=timeout)
    assert tool(google, timeout=None).timeout is None
