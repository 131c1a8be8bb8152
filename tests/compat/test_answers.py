"""Answers of this package as the service sent them."""

from __future__ import annotations

from array import array

import msgspec
import pytest

from inference_async.compat.azure_ai_inference._answers import as_sent
from inference_async.types import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChunkChoice,
    Delta,
    Embedding,
    EmbeddingsResult,
    FunctionCall,
    ToolCall,
    Usage,
)
from inference_async.types.base import EXTRA, Open


@pytest.mark.parametrize(
    ("answer", "row"),
    [
        (Delta(content=""), {"content": ""}),
        (Delta(), {}),
        (ChunkChoice(), {"index": 0, "delta": {}, "finish_reason": None}),
        (
            ChatCompletionChunk(id="1", usage=Usage(total_tokens=1)),
            {
                "id": "1",
                "object": "",
                "created": 0,
                "model": "",
                "choices": [],
                "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 1},
            },
        ),
        (AssistantMessage(content="a"), {"role": "assistant", "content": "a", "tool_calls": None}),
        (
            AssistantMessage(tool_calls=[ToolCall(id="1", function=FunctionCall(name="f", call_id=None))]),
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "", "call_id": None}}
                ],
            },
        ),
        (
            ChatCompletion(choices=[Choice(content_filter_results={"hate": {"filtered": False}})]),
            {
                "id": "",
                "object": "",
                "created": 0,
                "model": "",
                "usage": None,
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": None, "tool_calls": None},
                        "finish_reason": None,
                        "content_filter_results": {"hate": {"filtered": False}},
                    }
                ],
            },
        ),
        (Embedding(embedding=array("f", [0.5, -1.0])), {"index": 0, "embedding": "AAAAPwAAgL8=", "object": ""}),
        (Embedding(embedding=array("b", [1, -1])), {"index": 0, "embedding": [1, -1], "object": ""}),
        (Embedding(embedding=[0.5]), {"index": 0, "embedding": [0.5], "object": ""}),
        (
            EmbeddingsResult(usage=Usage(prompt_tokens=1, total_tokens=1)),
            {"object": "", "model": "", "data": [], "usage": {"prompt_tokens": 1, "total_tokens": 1}},
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Open) else "",
)
def test_rows(answer: Open, row: dict[str, object]) -> None:
    assert as_sent(answer) == row


def test_what_has_no_field_is_kept() -> None:
    delta = msgspec.convert({"content": "a", EXTRA: {"thought": {"signature": [1]}}}, Delta)
    assert as_sent(delta) == {"content": "a", "thought": {"signature": [1]}}
