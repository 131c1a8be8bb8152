"""Completions, chunks and requests: the shortcuts, and what survives a trip to another process."""

from __future__ import annotations

import pickle
from typing import Any

import msgspec
import pytest

from inference_async.types import (
    UNSET,
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    ChatOptions,
    ChatRequest,
    Choice,
    ChunkChoice,
    CompletionTokensDetails,
    Delta,
    FunctionCall,
    PromptTokensDetails,
    ResponseMeta,
    ToolCall,
    Usage,
)
from inference_async.wire.codec import encode, plain

CALL = ToolCall(id="c1", function=FunctionCall(name="f", arguments="{}"))


def test_completion_shortcuts() -> None:
    completion = ChatCompletion(
        choices=[
            Choice(message=AssistantMessage(content="one", tool_calls=[CALL]), finish_reason="tool_calls"),
            Choice(index=1, message=AssistantMessage(content="two"), finish_reason="stop"),
        ]
    )
    assert completion.message is completion.choices[0].message
    assert completion.text == "one"
    assert completion.tool_calls == [CALL]
    assert completion.finish_reason == "tool_calls"


def test_completion_without_choices() -> None:
    completion = ChatCompletion()
    assert completion.message == AssistantMessage()
    assert (completion.text, completion.tool_calls, completion.finish_reason) == ("", [], None)
    assert (completion.usage, completion.prompt_filter_results, completion.meta) == (None, None, ResponseMeta())


@pytest.mark.parametrize("said", [None, "", "null"], ids=repr)
def test_three_ways_to_say_no_finish_reason(said: str | None) -> None:
    assert ChatCompletion(choices=[Choice(finish_reason=said)]).finish_reason is None
    assert ChatCompletionChunk(choices=[ChunkChoice(finish_reason=said)]).finish_reason is None


@pytest.mark.parametrize("said", ["stop", "eos_token", "MAX_TOKENS", "content_filter"])
def test_finish_reasons_are_open(said: str) -> None:
    assert ChatCompletion(choices=[Choice(finish_reason=said)]).finish_reason == said
    assert ChatCompletionChunk(choices=[ChunkChoice(finish_reason=said)]).finish_reason == said


@pytest.mark.parametrize(
    ("choices", "text", "finish"),
    [
        pytest.param([], "", None, id="no choice"),
        pytest.param([ChunkChoice()], "", None, id="empty delta"),
        pytest.param([ChunkChoice(delta=Delta(content="a"), finish_reason="stop")], "a", "stop", id="text"),
        pytest.param([ChunkChoice(delta=Delta(content=[{"type": "text", "text": "a"}]))], "a", None, id="parts"),
        pytest.param([ChunkChoice(index=1, delta=Delta(content="b"), finish_reason="stop")], "", None, id="other"),
        pytest.param(
            [
                ChunkChoice(index=1, delta=Delta(content="b"), finish_reason="length"),
                ChunkChoice(index=0, delta=Delta(content="a"), finish_reason="stop"),
            ],
            "a",
            "stop",
            id="first is by index, not by place",
        ),
    ],
)
def test_chunk_shortcuts(choices: list[ChunkChoice], text: str, finish: str | None) -> None:
    chunk = ChatCompletionChunk(choices=choices)
    assert (chunk.text, chunk.finish_reason) == (text, finish)


def test_usage_shape() -> None:
    usage = Usage(
        prompt_tokens=3,
        completion_tokens=4,
        total_tokens=7,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=2),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=0, unknown_fields={"total_tokens": 4}),
        unknown_fields={"cost": 0.25},
    )
    assert plain(usage) == {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 0, "total_tokens": 4},
        "cost": 0.25,
    }


def full() -> ChatCompletion:
    return ChatCompletion(
        id="c",
        created=1.5,
        model="m",
        choices=[
            Choice(
                message=AssistantMessage(content="a", tool_calls=[CALL], unknown_fields={"mood": "calm"}),
                unknown_fields={"stop_reason": 7},
            )
        ],
        usage=Usage(total_tokens=7, unknown_fields={"cost": 0.25}),
        unknown_fields={"provider": "p"},
        meta=ResponseMeta(status=200, request_id="r", headers={"a": "b"}, elapsed=0.5),
    )


def test_completion_pickles_with_extra_and_meta() -> None:
    completion = full()
    twin = pickle.loads(pickle.dumps(completion))
    assert twin == completion
    assert twin.extra == {"provider": "p"}
    assert twin.choices[0].extra == {"stop_reason": 7}
    assert twin.message.extra == {"mood": "calm"}
    assert twin.usage.extra == {"cost": 0.25}
    assert twin.meta.request_id == "r"


def test_chunk_pickles_with_extra() -> None:
    chunk = ChatCompletionChunk(choices=[ChunkChoice(delta=Delta(unknown_fields={"a": 1}))], unknown_fields={"b": 2})
    assert pickle.loads(pickle.dumps(chunk)) == chunk


def test_completion_comes_back_from_its_own_json() -> None:
    completion = full()
    assert msgspec.json.decode(encode(completion), type=ChatCompletion) == completion


def test_request_leaves_unset_out_and_says_null() -> None:
    request = ChatRequest(messages=[{"role": "user", "content": "hi"}], max_tokens=None, temperature=0.0)
    expected: dict[str, Any] = {
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": None,
        "temperature": 0.0,
    }
    assert msgspec.json.decode(encode(request)) == expected
    assert plain(request) == expected
    assert request.model is UNSET


def test_every_option_is_a_field_of_the_request() -> None:
    assert {*ChatRequest.__struct_fields__} == {*ChatOptions.__annotations__, "messages", "stream"}
    assert not ChatOptions.__required_keys__
