"""Tools and their calls: what goes over the wire."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from inference_async.types import (
    FunctionCall,
    FunctionCallDelta,
    FunctionDefinition,
    ToolCall,
    ToolCallDelta,
    ToolDefinition,
)
from inference_async.wire.codec import plain

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(
            ToolDefinition(FunctionDefinition(name="f")), {"type": "function", "function": {"name": "f"}}, id="bare"
        ),
        pytest.param(
            ToolDefinition(FunctionDefinition(name="f", description="d", parameters=SCHEMA, strict=False)),
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": False},
            },
            id="full",
        ),
        pytest.param(
            ToolCall(id="c1", function=FunctionCall(name="f", arguments='{"a":1}')),
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            id="call",
        ),
        pytest.param(
            ToolCall(),
            {"id": "", "type": "function", "function": {"name": "", "arguments": ""}},
            id="empty call names every key",
        ),
        pytest.param(
            FunctionCall(name="f", arguments="{}", call_id=None),
            {"name": "f", "arguments": "{}", "call_id": None},
            id="call_id null stays",
        ),
        pytest.param(
            FunctionCall(name="f", arguments="{}", call_id="x"),
            {"name": "f", "arguments": "{}", "call_id": "x"},
            id="call_id text stays",
        ),
        pytest.param(
            ToolCallDelta(index=0, id="c1", function=FunctionCallDelta(arguments='{"a"')),
            {"index": 0, "id": "c1", "function": {"arguments": '{"a"'}},
            id="delta",
        ),
        pytest.param(
            ToolCall(id="c1", function=FunctionCall(name="f"), unknown_fields={"index": 0}),
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}, "index": 0},
            id="extra",
        ),
    ],
)
def test_shape_on_the_wire(value: msgspec.Struct, expected: dict[str, Any]) -> None:
    assert plain(value) == expected
    if "index" not in expected or isinstance(value, ToolCallDelta):
        assert msgspec.json.decode(msgspec.json.encode(value)) == expected


def test_definition_takes_its_name_first() -> None:
    anything: Any = FunctionDefinition
    assert FunctionDefinition("f") == FunctionDefinition(name="f")
    with pytest.raises(TypeError):
        anything(description="no name")


def test_functions_of_two_calls_are_not_shared() -> None:
    one, two = ToolCall(), ToolCall()
    one.function.name = "f"
    assert two.function.name == ""
