"""What a hint holds, and that nobody imports pydantic to find out."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypedDict, Union

import attrs
import msgspec
import pydantic
import pydantic.dataclasses
import pytest

from inference_async.errors import ConfigurationError
from inference_async.structured.hints import adapter_of, is_pydantic, name_of, read_by_pydantic


class Model(pydantic.BaseModel):
    a: int


@pydantic.dataclasses.dataclass
class ModelClass:
    a: int


@dataclass
class Plain:
    a: int
    again: Plain | None = None


@dataclass
class Holder:
    part: list[Model]


class TupleHolder(NamedTuple):
    part: Model


class DictHolder(TypedDict):
    part: Model


class Point(msgspec.Struct):
    x: int


class StructHolder(msgspec.Struct):
    part: Model


@attrs.define
class AttrsHolder:
    part: Model


Alias = NewType("Alias", Model)


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        (Point, "Point"),
        (list[Point], "list[Point]"),
        (dict[str, list[int]], "dict[str, list[int]]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Point | None, "Point | None"),
        (Optional[int], "int | None"),  # noqa: UP045  (both spellings are met)
        (Union[int, str], "int | str"),  # noqa: UP007
        (Literal["a", 1], "Literal['a', 1]"),
        (Annotated[list[int], "meta"], "list[int]"),
        (Any, "Any"),
        (None, "None"),
        ("Later", "Later"),
    ],
)
def test_a_hint_is_named_as_people_write_it(hint: Any, name: str) -> None:
    assert name_of(hint) == name


@pytest.mark.parametrize(
    ("value", "expected"),
    [(Model, True), (ModelClass, True), (Plain, False), (Point, False), (list[Model], False), (3, False)],
)
def test_what_is_pydantics(value: Any, expected: bool) -> None:
    assert is_pydantic(value) is expected


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (Model, True),
        (ModelClass, True),
        (list[Model], True),
        (dict[str, Model | None], True),
        (Annotated[Model, "meta"], True),
        (Alias, True),
        (Holder, True),
        (TupleHolder, True),
        (DictHolder, True),
        (Plain, False),
        (Point, False),
        (int, False),
        (StructHolder, False),
        (AttrsHolder, False),
        (list[Model | Point], False),
    ],
)
def test_which_library_reads_the_whole(hint: Any, expected: bool) -> None:
    assert read_by_pydantic(hint) is expected


def test_a_type_that_pydantic_cannot_read_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"got list\[Point\], which pydantic cannot read: "):
        adapter_of(list[Point])


def test_pydantic_is_not_imported_for_those_who_do_not_use_it() -> None:
    code = """
import sys, msgspec
from inference_async.structured import AnswerType, decoder_of
AnswerType.of(list[int]).decode('{"value": [1]}')
decoder_of(dict[str, int])('{}')
sys.exit("pydantic" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
