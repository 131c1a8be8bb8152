"""What stands in an annotation beside the type: pydantic's fields, put as msgspec reads them, or refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Any

import pydantic
import pytest

from inference_async import ConfigurationError, Tool, tool
from inference_async.structured import Mismatch

Field: Any = pydantic.Field
ORDER: Any = pydantic.create_model("Order", fruit=(str, ...))
NULL = {"type": "null"}


def made_with(hint: Any) -> Tool[..., Any]:
    def f(x: Any) -> None: ...

    f.__annotations__["x"] = hint
    return tool(f)


@pytest.mark.parametrize(
    ("hint", "expected", "wrong"),
    [
        (
            Annotated[int, Field(ge=1, le=7, description="days")],
            {"type": "integer", "minimum": 1, "maximum": 7, "description": "days"},
            "8",
        ),
        (
            Annotated[float, Field(gt=0, lt=5, multiple_of=0.5)],
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 5, "multipleOf": 0.5},
            "5",
        ),
        (
            Annotated[str, Field(min_length=2, max_length=3, pattern="^a", title="T", examples=["ab"])],
            {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^a", "title": "T", "examples": ["ab"]},
            '"b"',
        ),
        (
            Annotated[list[int], Field(max_length=1)],
            {"type": "array", "items": {"type": "integer"}, "maxItems": 1},
            "[1, 2]",
        ),
        (
            Annotated[int | None, Field(ge=1, description="or none")],
            {"anyOf": [{"type": "integer", "minimum": 1}, NULL], "description": "or none"},
            "0",
        ),
        (Annotated[int, Field(ge=1)] | None, {"anyOf": [{"type": "integer", "minimum": 1}, NULL]}, "0"),
        (list[Annotated[int, Field(ge=1)]], {"type": "array", "items": {"type": "integer", "minimum": 1}}, "[0]"),
    ],
    ids=["integer", "number", "text", "list", "or none", "none outside", "in a list"],
)
def test_a_pydantic_field_holds(hint: Any, expected: dict[str, Any], wrong: str) -> None:
    made = made_with(hint)
    schema: Any = made.definition.function.parameters
    assert schema["properties"]["x"] == expected
    with pytest.raises(Mismatch):
        made.parse(f'{{"x": {wrong}}}')


def test_a_pydantic_field_describes_a_pydantic_model() -> None:
    schema: Any = made_with(Annotated[ORDER, Field(description="an order")]).definition.function.parameters
    assert schema["properties"]["x"]["description"] == "an order"


@pytest.mark.parametrize(
    ("field", "word"),
    [
        (Field(alias="y"), "alias"),
        (Field(strict=True), "strict"),
        (Field(default=1), "default"),
        (Field(default_factory=int), "default_factory"),
        (Field(json_schema_extra={"a": 1}), "json_schema_extra"),
        (Field(allow_inf_nan=False), "allow_inf_nan"),
        (Field(ge=1, gt=1), "cannot check"),
        (Field(pattern="("), "cannot check"),
    ],
    ids=["alias", "strict", "default", "factory", "schema", "nan", "both bounds", "pattern"],
)
def test_what_only_pydantic_reads_is_refused(field: Any, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word) as caught:
        made_with(Annotated[int, field])
    assert "'x'" in str(caught.value)
    assert "msgspec.Meta" in str(caught.value)


def test_a_field_as_a_default_is_refused() -> None:
    def f(x: int = Field(ge=1)) -> None: ...

    with pytest.raises(ConfigurationError, match=r"'x'.* in the annotation"):
        tool(f)


def test_pydantic_is_not_imported() -> None:
    """In a process of its own, where nobody has."""
    code = (
        "import sys\nfrom typing import Annotated\nfrom inference_async import tool\n"
        "def f(x: Annotated[int, 'x'] = None): ...\ntool(f)\nprint('pydantic' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert process.stdout == "False\n", process.stderr
