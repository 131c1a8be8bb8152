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
    ContentFilterResults,
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


# ---------------------------------------------------------------------------------------------------------------------
# Content safety

SAFE = {"filtered": False, "severity": "safe"}
HIGH = {"filtered": True, "severity": "high"}


def test_content_filter_of_a_choice_and_of_the_completion() -> None:
    choices = [
        Choice(content_filter_results={"hate": SAFE, "self-harm": HIGH}),
        Choice(index=1, content_filter_results={"violence": HIGH}),
    ]
    completion = ChatCompletion(choices=choices)
    assert completion.content_filter == ContentFilterResults({"hate": SAFE, "self-harm": HIGH})
    assert completion.content_filter.filtered == ("self_harm",)
    assert choices[1].content_filter.filtered == ("violence",)


def test_content_filter_of_silence() -> None:
    assert Choice().content_filter == ContentFilterResults()
    assert ChatCompletion().content_filter == ContentFilterResults()
    assert ChatCompletion(choices=[Choice()]).content_filter == ContentFilterResults()


@pytest.mark.parametrize(
    ("choices", "filtered"),
    [
        pytest.param([], (), id="no choice"),
        pytest.param([ChunkChoice()], (), id="nothing said"),
        pytest.param([ChunkChoice(content_filter_results={"hate": HIGH})], ("hate",), id="said"),
        pytest.param([ChunkChoice(index=1, content_filter_results={"hate": HIGH})], (), id="of another choice"),
        pytest.param(
            [
                ChunkChoice(index=1, content_filter_results={"hate": HIGH}),
                ChunkChoice(content_filter_results={"violence": HIGH}),
            ],
            ("violence",),
            id="first is by index, not by place",
        ),
    ],
)
def test_content_filter_of_a_chunk(choices: list[ChunkChoice], filtered: tuple[str, ...]) -> None:
    chunk = ChatCompletionChunk(choices=choices)
    assert isinstance(chunk.content_filter, ContentFilterResults)
    assert chunk.content_filter.filtered == filtered


def row(index: int, results: Any, key: str = "content_filter_results") -> dict[str, Any]:
    return {"prompt_index": index, key: results}


PROMPTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "nothing": (None, {}),
    "no rows": ([], {}),
    "one": (
        [row(0, {"jailbreak": {"filtered": False, "detected": True}})],
        {"jailbreak": {"filtered": False, "detected": True}},
    ),
    "the other spelling": ([row(0, {"hate": HIGH}, "content_filter_result")], {"hate": HIGH}),
    "several prompts": ([row(0, {"hate": SAFE}), row(1, {"violence": SAFE})], {"hate": SAFE, "violence": SAFE}),
    "the worst is first": ([row(0, {"hate": HIGH}), row(1, {"hate": SAFE})], {"hate": HIGH}),
    "the worst is last": ([row(0, {"hate": SAFE}), row(1, {"hate": HIGH})], {"hate": HIGH}),
    "rows that are nonsense": ([None, 5, "hate", [], {}, row(0, None), row(0, {"hate": HIGH})], {"hate": HIGH}),
}


@pytest.mark.parametrize("place", ["prompt_filter_results", "prompt_annotations"])
@pytest.mark.parametrize(("rows", "expected"), PROMPTS.values(), ids=PROMPTS)
def test_prompt_filter(place: str, rows: Any, expected: dict[str, Any]) -> None:
    if place == "prompt_annotations":
        completion = ChatCompletion(unknown_fields={place: rows})
    else:
        completion = ChatCompletion(prompt_filter_results=rows)
    assert completion.prompt_filter == ContentFilterResults(expected)


@pytest.mark.parametrize("rows", ["hate", 5, {"hate": HIGH}, True], ids=repr)
def test_prompt_annotations_that_are_no_list(rows: Any) -> None:
    assert ChatCompletion(unknown_fields={"prompt_annotations": rows}).prompt_filter == ContentFilterResults()


def test_the_newer_key_of_the_prompt_wins_if_it_says_anything() -> None:
    older = {"prompt_annotations": [row(0, {"hate": SAFE})]}
    newer = [row(0, {"hate": HIGH})]
    assert ChatCompletion(prompt_filter_results=newer, unknown_fields=older).prompt_filter.filtered == ("hate",)
    assert list(ChatCompletion(prompt_filter_results=[], unknown_fields=older).prompt_filter) == ["hate"]


def test_content_filters_pickle_with_the_completion() -> None:
    completion = ChatCompletion(
        choices=[Choice(content_filter_results={"hate": HIGH}, checked=5)],
        prompt_filter_results=[row(0, {"hate": SAFE})],
    )
    twin = pickle.loads(pickle.dumps(completion))
    assert twin == completion
    assert twin.content_filter.filtered == ("hate",)
    assert twin.choices[0].checked == 5


@pytest.mark.parametrize(
    ("finish", "checked", "text", "expected"),
    [
        pytest.param("content_filter", 2, "Hello", 2, id="cut after two characters"),
        pytest.param("content_filter", 0, "Hello", 0, id="all of it"),
        pytest.param("content_filter", 5, "Hello", None, id="all was cleared"),
        pytest.param("content_filter", 9, "Hello", None, id="more was cleared than came"),
        pytest.param("content_filter", 0, "", None, id="nothing was shown"),
        pytest.param("content_filter", None, "Hello", None, id="the filter that holds text back"),
        pytest.param("stop", 2, "Hello", None, id="not cut"),
        pytest.param(None, 2, "Hello", None, id="not ended"),
    ],
)
def test_retract_from(finish: str | None, checked: int | None, text: str, expected: int | None) -> None:
    choice = Choice(finish_reason=finish, checked=checked, message=AssistantMessage(content=text))
    assert choice.retract_from == expected


def test_what_was_checked_does_not_go_over_the_wire() -> None:
    assert plain(Choice(checked=5)) == plain(Choice())
    assert Choice(checked=5).to_dict() == Choice().to_dict()


# ---------------------------------------------------------------------------------------------------------------------
# Reasoning


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        pytest.param(Delta(), "", id="none"),
        pytest.param(Delta(reasoning_content="hm"), "hm", id="reasoning_content"),
        pytest.param(Delta(raw_reasoning="hm"), "hm", id="reasoning"),
        pytest.param(Delta(reasoning_content="", raw_reasoning="hm"), "hm", id="empty under one name"),
        pytest.param(Delta(reasoning_content="hm", raw_reasoning=""), "hm", id="empty under the other"),
        pytest.param(Delta(reasoning_content="", raw_reasoning="", content="Hi"), "", id="empty under both"),
        pytest.param(Delta(reasoning_content="hm", raw_reasoning="hm"), "hm", id="both say it: once"),
        pytest.param(
            Delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]), "hm", id="mistral"
        ),
        pytest.param(Delta(content=[{"type": "thinking", "thinking": "hm"}]), "hm", id="cohere"),
        pytest.param(Delta(content="<think>hm</think>"), "", id="tags are text"),
    ],
)
def test_reasoning_of_a_chunk(delta: Delta, expected: str) -> None:
    assert delta.reasoning == expected
    other = ChunkChoice(index=1, delta=Delta(reasoning_content="of another choice"))
    assert ChatCompletionChunk(choices=[other, ChunkChoice(delta=delta)]).reasoning == expected
    assert ChatCompletionChunk(choices=[other]).reasoning == ""
    assert ChatCompletionChunk().reasoning == ""


def test_reasoning_of_a_completion() -> None:
    first = Choice(message=AssistantMessage(content="Hi", raw_reasoning="hm"))
    second = Choice(index=1, message=AssistantMessage(reasoning_content="no"))
    assert ChatCompletion(choices=[first, second]).reasoning == "hm"
    assert ChatCompletion().reasoning == ""


def test_usages_add_up_number_by_number() -> None:
    one = Usage(3, 4, 7, prompt_tokens_details=PromptTokensDetails(cached_tokens=1), unknown_fields={"cost": 0.5})
    two = Usage(
        10,
        20,
        30,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=2, audio_tokens=5),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=8),
        unknown_fields={"cost": 0.25, "currency": "EUR"},
    )
    whole = Usage(
        13,
        24,
        37,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=3, audio_tokens=5),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=8),
        unknown_fields={"cost": 0.75, "currency": "EUR"},
    )
    assert one + two == whole
    assert one + Usage() == one
    assert one.prompt_tokens_details == PromptTokensDetails(cached_tokens=1), "neither is changed"
