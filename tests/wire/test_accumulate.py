"""Chunks to a completion, through every state of disrepair in which servers send them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_async.errors import StreamError
from inference_async.policy.limits import Limits
from inference_async.types import (
    UNSET,
    ChatCompletion,
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    FunctionCallDelta,
    Logprobs,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from inference_async.wire import accumulate
from inference_async.wire.accumulate import Accumulator
from inference_async.wire.codec import decode_json, encode, lenient


def chunk(obj: dict[str, Any]) -> ChatCompletionChunk:
    return lenient(decode_json(json.dumps(obj).encode()), ChatCompletionChunk)


def fold(objects: Iterable[dict[str, Any]], **limits: int) -> Accumulator:
    whole = Accumulator(limits=Limits(**limits))
    for obj in objects:
        whole.add(chunk(obj))
    return whole


def delta(index: int = 0, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": fields, "finish_reason": finish}]}


# ---------------------------------------------------------------------------------------------------------------------
# Tool calls: each row is a list of deltas, and the (id, name, arguments) that they amount to


def call(arguments: Any = None, *, name: str | None = None, **fields: Any) -> dict[str, Any]:
    function: dict[str, Any] = {}
    if arguments is not None:
        function["arguments"] = arguments
    if name is not None:
        function["name"] = name
    return {**fields, "function": function} if function else fields


Expected = list[tuple[str, str, str]]

CALLS: Final[dict[str, tuple[list[list[dict[str, Any]]], Expected]]] = {
    "as documented": (
        [
            [call("", name="f", index=0, id="a", type="function")],
            [call('{"x"', index=0)],
            [call(":1}", index=0)],
            [call("", name="g", index=1, id="b", type="function")],
            [call("{}", index=1)],
        ],
        [("a", "f", '{"x":1}'), ("b", "g", "{}")],
    ),
    "two calls interleaved": (
        [
            [call("", name="f", index=0, id="a"), call("", name="g", index=1, id="b")],
            [call('{"x":', index=0)],
            [call('{"y":', index=1), call("1}", index=0)],
            [call("2}", index=1)],
        ],
        [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')],
    ),
    "index missing": (
        [[call('{"x":', name="f", id="a")], [call("1}")], [call("{", name="g", id="b")], [call("}")]],
        [("a", "f", '{"x":1}'), ("b", "g", "{}")],
    ),
    "index null": (
        [
            [call('{"x":', name="f", index=None, id="a")],
            [call("1}", index=None, id=None)],
            [call("{}", name="g", index=None, id="b")],
        ],
        [("a", "f", '{"x":1}'), ("b", "g", "{}")],
    ),
    "index missing, id repeated": (
        [
            [call('{"x":', name="f", id="a")],
            [call('{"y":', name="g", id="b")],
            [call("1}", id="a")],
            [call("2}", id="b")],
        ],
        [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')],
    ),
    "neither index nor id": ([[call('{"x":', name="f")], [call("1}")]], [("call_0", "f", '{"x":1}')]),
    "index always 0, new id": (
        [
            [call('{"x":', name="f", index=0, id="a")],
            [call("1}", index=0)],
            [call('{"y":', name="g", index=0, id="b")],
            [call("2}", index=0)],
        ],
        [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')],
    ),
    "index always 0, two whole calls in one delta": (
        [[call("{}", name="f", index=0, id="a"), call("[]", name="g", index=0, id="b")]],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "index always 0, ids alternate": (
        [
            [call('{"x":', name="f", index=0, id="a")],
            [call('{"y":', name="g", index=0, id="b")],
            [call("1}", index=0, id="a")],
            [call("2}", index=0, id="b")],
        ],
        [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')],
    ),
    "index starts at 1": ([[call("{}", name="f", index=1, id="a")]], [("a", "f", "{}")]),
    "one id for two indices": (
        [[call('{"x":1}', name="f", index=0, id="a")], [call('{"x":2}', name="f", index=1, id="a")]],
        [("a", "f", '{"x":1}'), ("call_0", "f", '{"x":2}')],
    ),
    "id, type and name repeated on every delta": (
        [
            [call('{"x"', name="f", index=0, id="a", type="function")],
            [call(":1}", name="f", index=0, id="a", type="function")],
            [call("", name="f", index=0, id="a", type="function")],
        ],
        [("a", "f", '{"x":1}')],
    ),
    "summary at the end": (
        [
            [call("", name="f", index=0, id="a")],
            [call('{"x":', index=0)],
            [call("1}", index=0)],
            [call('{"x":1}', name="f", index=0, id="a", type="function")],
        ],
        [("a", "f", '{"x":1}')],
    ),
    "summary at the end, arguments encoded twice": (
        [
            [call('{"x":', name="f", index=0, id="a")],
            [call('"é"}', index=0)],
            [call(json.dumps('{"x":"é"}'), name="f", index=0, id="a")],
        ],
        [("a", "f", '{"x":"é"}')],
    ),
    "summary at the end, of two calls": (
        [
            [call("{}", name="f", index=0, id="a"), call("[]", name="g", index=1, id="b")],
            [call('"{}"', name="f", index=0, id="a"), call('"[]"', name="g", index=1, id="b")],
        ],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "summary at the end, as an object": (
        [[call('{"x":', name="f", index=0, id="a")], [call("1}", index=0)], [call({"x": 1}, index=0, id="a")]],
        [("a", "f", '{"x":1}')],
    ),
    "a piece that is like all before it is no summary": (
        [[call("[[", name="f", index=0, id="a")], [call("[[", index=0)], [call("]]]]", index=0)]],
        [("a", "f", "[[[[]]]]")],
    ),
    "a piece that is quoted text is no summary": (
        [[call('{"x":', name="f", index=0, id="a")], [call('"{\\"x\\":"', index=0)], [call("}", index=0)]],
        [("a", "f", '{"x":"{\\"x\\":"}')],
    ),
    "name repeated is not doubled": (
        [[call(None, name="get_", index=0, id="a")], [call("{}", name="get_", index=0)]],
        [("a", "get_", "{}")],
    ),
    "id longer than 40 characters": ([[call("{}", name="f", index=0, id="i" * 64)]], [("i" * 64, "f", "{}")]),
    "empty id and type on later deltas": (
        [
            [call("{", name="f", index=0, id="a", type="function")],
            [call("}", name="", index=0, id="", type="")],
        ],
        [("a", "f", "{}")],
    ),
    "empty id on later deltas, no index": (
        [[call("{", name="f", id="a")], [call("}", name="", id="")]],
        [("a", "f", "{}")],
    ),
    "empty id first": (
        [[call("{", name="f", index=0, id="", type="")], [call("}", index=0, id="a", type="function")]],
        [("a", "f", "{}")],
    ),
    "type null": ([[call("{}", name="f", index=0, id="a", type=None)]], [("a", "f", "{}")]),
    "whole call in one delta": (
        [[call('{"x":1}', name="f", index=0, id="a", type="function")]],
        [("a", "f", '{"x":1}')],
    ),
    "arguments null first": (
        [
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": None}}],
            [call('{"x":1}', index=0)],
        ],
        [("a", "f", '{"x":1}')],
    ),
    "arguments null last": (
        [[call("{}", name="f", index=0, id="a")], [{"index": 0, "function": {"arguments": None}}]],
        [("a", "f", "{}")],
    ),
    "arguments always null": (
        [[{"index": 0, "id": "a", "function": {"name": "f", "arguments": None}}]],
        [("a", "f", "")],
    ),
    "arguments as an object": ([[call({"x": [1, "é"]}, name="f", index=0, id="a")]], [("a", "f", '{"x":[1,"é"]}')]),
    "arguments as an empty object": ([[call({}, name="f", index=0, id="a")]], [("a", "f", "{}")]),
    "arguments as a list": ([[call([1], name="f", index=0, id="a")]], [("a", "f", "[1]")]),
    "nothing is put before the arguments": (
        [[call("", name="f", index=0, id="a")], [call('{"a":1}', index=0)]],
        [("a", "f", '{"a":1}')],
    ),
    "function null": (
        [[{"index": 0, "id": "a", "function": None}], [call("{}", name="f", index=0)]],
        [("a", "f", "{}")],
    ),
    "broken arguments stay as they came": ([[call('{"x":', name="f", index=0, id="a")]], [("a", "f", '{"x":')]),
    "text and calls mixed": (
        [[call("{", name="f", index=0, id="a")], [], [call("}", index=0)]],
        [("a", "f", "{}")],
    ),
    "ids missing": (
        [[call("{}", name="f", index=0)], [call("[]", name="g", index=1)]],
        [("call_0", "f", "{}"), ("call_1", "g", "[]")],
    ),
}


def calls_of(deltas: list[list[dict[str, Any]]], finish: str = "tool_calls") -> list[ToolCall]:
    whole = fold([*(delta(tool_calls=calls) for calls in deltas), delta(finish=finish)])
    return whole.completion.tool_calls


@pytest.mark.parametrize(("deltas", "expected"), CALLS.values(), ids=CALLS)
def test_tool_calls(deltas: list[list[dict[str, Any]]], expected: Expected) -> None:
    calls = calls_of(deltas)
    assert [(each.id, each.function.name, each.function.arguments) for each in calls] == expected
    assert {each.type for each in calls} == {"function"}


def test_a_made_up_id_is_nobody_elses() -> None:
    calls = calls_of([[call("{}", name="f", index=0, id="call_1")], [call("[]", name="g", index=1)]])
    assert [each.function.name for each in calls] == ["f", "g"]
    assert calls[0].id == "call_1"
    assert calls[1].id not in ("", "call_1")


@pytest.mark.parametrize("finish", ["stop", "tool_calls", "STOP", "length"])
def test_tool_calls_whatever_the_finish_reason_says(finish: str) -> None:
    calls = calls_of([[call("{}", name="f", index=0, id="a")]], finish)
    assert [each.function.name for each in calls] == ["f"]


@pytest.mark.parametrize(
    "own",
    [
        pytest.param({"index": 0}, id="by index"),
        pytest.param({"id": "a"}, id="by id"),
        pytest.param({}, id="by nothing"),
    ],
)
def test_thought_signature_in_a_delta_of_its_own(own: dict[str, Any]) -> None:
    signature = {"google": {"thought_signature": "s=="}}
    [one] = calls_of([[call("{}", name="f", index=0, id="a")], [{**own, "extra_content": signature}]])
    assert one.extra == {"extra_content": signature}
    assert one.function.arguments == "{}"


def test_unknown_fields_of_calls_stay_with_their_call() -> None:
    first, second = calls_of(
        [
            [{"index": 0, "id": "a", "x": 1, "function": {"name": "f", "y": 2, "call_id": None}}],
            [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}],
            [{"index": 0, "x": None, "z": None, "function": {"arguments": "{}", "y": 3}}],
        ]
    )
    assert first.extra == {"x": 1, "z": None}
    assert first.function.extra == {"y": 3}
    assert first.function.call_id is None
    assert second.extra == second.function.extra == {}


def test_call_type_of_its_own_stays() -> None:
    [one] = calls_of([[call("{}", name="f", index=0, id="a", type="custom")], [call(None, index=0, type="function")]])
    assert one.type == "custom"


def test_calls_of_two_choices_are_apart() -> None:
    whole = fold(
        [
            delta(0, tool_calls=[call("{", name="f", index=0, id="a")]),
            delta(1, tool_calls=[call("[", name="g", index=0, id="a")]),
            delta(0, tool_calls=[call("}", index=0)]),
            delta(1, tool_calls=[call("]")]),
        ]
    )
    names = [[(each.function.name, each.function.arguments) for each in c.message.tool_calls] for c in _choices(whole)]
    assert names == [[("f", "{}")], [("g", "[]")]]


def _choices(whole: Accumulator) -> list[Any]:
    return list(whole.completion.choices)


# ---------------------------------------------------------------------------------------------------------------------
# Usage

SOME: Final = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
ALL: Final = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}

USAGES: Final[dict[str, tuple[list[dict[str, Any]], Usage | None]]] = {
    "A: with the last choice": (
        [delta(content="a"), {**delta(finish="stop"), "usage": ALL}],
        Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5),
    ),
    "B: alone, after null": (
        [{**delta(content="a", finish="stop"), "usage": None}, {"choices": [], "usage": ALL}],
        Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5),
    ),
    "C: in every chunk, growing": (
        [{**delta(content="a"), "usage": SOME}, {**delta(finish="stop"), "usage": ALL}],
        Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5),
    ),
    "D: never": ([delta(content="a"), delta(finish="stop")], None),
    "null does not undo": (
        [{**delta(content="a"), "usage": SOME}, {**delta(finish="stop"), "usage": None}],
        Usage(prompt_tokens=3, completion_tokens=1, total_tokens=4),
    ),
    "its details and unknown fields": (
        [{"choices": [], "usage": {"total_tokens": 1, "cost": 0.5}}],
        Usage(total_tokens=1, unknown_fields={"cost": 0.5}),
    ),
}


@pytest.mark.parametrize(("objects", "expected"), USAGES.values(), ids=USAGES)
def test_usage(objects: list[dict[str, Any]], expected: Usage | None) -> None:
    whole = fold(objects)
    assert whole.usage == expected
    assert whole.completion.usage == expected


# ---------------------------------------------------------------------------------------------------------------------
# Everything else that chunks bring


def test_names_come_from_the_first_chunk_that_has_them() -> None:
    whole = fold(
        [
            {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [{"p": 0}]},
            {**delta(role="assistant", content=""), "id": "c1", "created": 0, "model": ""},
            {**delta(content="a"), "id": "c2", "created": 7, "model": "m"},
            {**delta(content="b", finish="stop"), "id": "", "created": 8, "model": "n", "system_fingerprint": "fp"},
            {"id": "", "created": 0, "model": "", "choices": [], "service_tier": "flex", "system_fingerprint": None},
        ]
    ).completion
    assert (whole.id, whole.created, whole.model) == ("c1", 7, "m")
    assert (whole.system_fingerprint, whole.service_tier) == ("fp", "flex")
    assert whole.prompt_filter_results == [{"p": 0}]
    assert (whole.text, whole.finish_reason, whole.object) == ("ab", "stop", "chat.completion")


def test_nothing_at_all() -> None:
    whole = Accumulator()
    assert (whole.chunks, whole.usage, whole.finished) == (0, None, False)
    assert whole.completion == ChatCompletion(object="chat.completion")


def test_filter_only_first_chunk() -> None:
    whole = Accumulator()
    assert whole.add(chunk({"id": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})) is False
    assert (whole.finished, whole.chunks) == (False, 1)
    assert whole.completion.prompt_filter_results == [{"prompt_index": 0}]


def test_older_name_of_the_prompt_filter_is_kept() -> None:
    assert fold([{"choices": [], "prompt_annotations": [{"p": 0}]}]).completion.extra == {
        "prompt_annotations": [{"p": 0}]
    }


REASONS: Final[dict[str, tuple[list[str | None], str | None]]] = {
    "never": ([None, None], None),
    "last": ([None, "stop"], "stop"),
    "late null": (["stop", None], "stop"),
    "late empty": (["stop", ""], "stop"),
    "late null as text": (["stop", "null"], "stop"),
    "empty": ([""], None),
    "null as text": (["null"], None),
    "content filter after stop": (["stop", "content_filter"], "content_filter"),
    "a word of its own": (["eos_token"], "eos_token"),
}


@pytest.mark.parametrize(("reasons", "expected"), REASONS.values(), ids=REASONS)
def test_finish_reason(reasons: list[str | None], expected: str | None) -> None:
    whole = fold(delta(finish=reason) for reason in reasons)
    assert whole.completion.finish_reason == expected
    assert whole.finished is (expected is not None)


def test_annotation_chunks() -> None:
    """Verdicts of an asynchronous filter: no delta, after the text and after the finish reason."""
    whole = fold(
        [
            delta(content="bad"),
            {"id": "", "choices": [{"index": 0, "content_filter_results": {"hate": {"filtered": False}}}]},
            delta(finish="stop"),
            {
                "choices": [
                    {"index": 0, "finish_reason": None, "content_filter_results": {"sexual": {"filtered": False}}}
                ]
            },
            {
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "content_filter",
                        "content_filter_results": {"hate": {"filtered": True}},
                        "content_filter_offsets": {"check_offset": 1},
                    }
                ]
            },
        ]
    ).completion
    assert (whole.text, whole.finish_reason) == ("bad", "content_filter")
    assert whole.choices[0].content_filter_results == {"hate": {"filtered": True}, "sexual": {"filtered": False}}


def test_finished_means_every_choice() -> None:
    whole = Accumulator()
    for obj, finished in [
        (delta(0, content="a"), False),
        (delta(0, finish="stop"), True),
        (delta(1, content="b"), False),
        (delta(1, finish="length"), True),
        ({"choices": [], "usage": ALL}, True),
    ]:
        whole.add(chunk(obj))
        assert whole.finished is finished


PROGRESS: Final[dict[str, tuple[dict[str, Any], bool]]] = {
    "role": (delta(role="assistant", content=""), False),
    "empty delta": (delta(), False),
    "usage": ({"choices": [], "usage": ALL}, False),
    "annotation": ({"choices": [{"index": 0, "content_filter_results": {"hate": {}}}]}, False),
    "empty reasoning": (delta(reasoning_content="", content=""), False),
    "no calls": (delta(tool_calls=[]), False),
    "reason null as text": (delta(finish="null"), False),
    "text": (delta(content="a"), True),
    "parts": (delta(content=[{"type": "text", "text": "a"}]), True),
    "reasoning_content": (delta(reasoning_content="hm"), True),
    "reasoning": (delta(reasoning="hm"), True),
    "refusal": (delta(refusal="no"), True),
    "call": (delta(tool_calls=[call("", name="f", index=0)]), True),
    "audio": (delta(audio={"data": "AA=="}), True),
    "function call": (delta(function_call={"arguments": "{"}), True),
    "finish reason": (delta(finish="stop"), True),
    "second choice": ({"choices": [{"index": 0}, {"index": 1, "delta": {"content": "b"}}]}, True),
}


@pytest.mark.parametrize(("obj", "expected"), PROGRESS.values(), ids=PROGRESS)
def test_progress(obj: dict[str, Any], expected: bool) -> None:
    assert Accumulator().add(chunk(obj)) is expected


CONTENT: Final[dict[str, tuple[list[Any], Any]]] = {
    "none": ([None, None], None),
    "empty": ([""], ""),
    "empty, then null": (["", None], ""),
    "text": (["", "a", None, "b"], "ab"),
    "parts": (
        [[{"type": "thinking", "thinking": "hm"}], [{"type": "text", "text": "a"}]],
        [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}],
    ),
    "parts, then text": (
        [[{"type": "thinking", "thinking": "hm"}], "a", "b"],
        [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "ab"}],
    ),
    "text, then parts": (
        ["a", "b", [{"type": "text", "text": "c", "x": 1}], "d"],
        [{"type": "text", "text": "ab"}, {"type": "text", "text": "c", "x": 1}, {"type": "text", "text": "d"}],
    ),
}


@pytest.mark.parametrize(("pieces", "expected"), CONTENT.values(), ids=CONTENT)
def test_content(pieces: list[Any], expected: Any) -> None:
    assert fold(delta(content=piece) for piece in pieces).completion.message.content == expected


def test_reasoning_refusal_and_annotations() -> None:
    message = fold(
        [
            delta(reasoning_content="h", reasoning="x", content=None),
            delta(reasoning_content="m", reasoning="y", content=""),
            delta(reasoning_content="", refusal="n", content="a"),
            delta(reasoning_content=None, refusal="o", annotations=[{"a": 1}]),
            delta(refusal=None, annotations=[{"b": 2}]),
        ]
    ).completion.message
    assert (message.reasoning_content, message.raw_reasoning, message.reasoning) == ("hm", "xy", "hm")
    assert (message.refusal, message.content) == ("no", "a")
    assert message.annotations == [{"a": 1}, {"b": 2}]


def test_audio_and_function_call_grow() -> None:
    message = fold(
        [
            delta(audio={"id": "a1", "transcript": "he"}, function_call={"name": "f", "arguments": "{"}),
            delta(audio={"data": "AA", "id": None}, function_call={"name": None, "arguments": "}"}),
            delta(audio={"data": "BB", "transcript": "llo"}),
            delta(audio={"expires_at": 9}),
        ]
    ).completion.message
    assert message.audio == {"id": "a1", "transcript": "hello", "data": "AABB", "expires_at": 9}
    assert message.function_call == {"name": "f", "arguments": "{}"}


def test_logprobs_are_joined() -> None:
    def row(logprobs: Any) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": {}, "logprobs": logprobs}]}

    logprobs = (
        fold(
            [
                row({"content": [{"token": "a"}], "refusal": None}),
                row(None),
                row({"content": [{"token": "b"}, {"token": "c"}], "refusal": [{"token": "r"}]}),
                row({"content": None, "refusal": None}),
            ]
        )
        .completion.choices[0]
        .logprobs
    )
    assert logprobs == Logprobs(
        content=[TokenLogprob("a"), TokenLogprob("b"), TokenLogprob("c")], refusal=[TokenLogprob("r")]
    )


def test_unknown_fields_are_kept_where_they_were() -> None:
    whole = fold(
        [
            {
                "provider": "p",
                "maybe": None,
                "choices": [{"index": 0, "stop_reason": None, "delta": {"content": "a", "mood": "calm"}}],
            },
            {
                "provider": None,
                "maybe": 1,
                "choices": [{"index": 0, "stop_reason": 7, "delta": {"mood": None, "reasoning_details": [1]}}],
            },
        ]
    ).completion
    assert whole.extra == {"provider": "p", "maybe": 1}
    assert whole.choices[0].extra == {"stop_reason": 7}
    assert whole.message.extra == {"mood": "calm", "reasoning_details": [1]}


def test_padding_is_not_kept() -> None:
    whole = fold([{**delta(content="a"), "obfuscation": "xxxx"}]).completion
    assert whole.extra == {}


def test_choices_interleave_and_come_out_in_order() -> None:
    whole = fold(
        [
            delta(2, content="x"),
            delta(0, content="a"),
            {"choices": [{"index": 1, "delta": {"content": "1"}}, {"index": 0, "delta": {"content": "b"}}]},
            delta(2, content="y", finish="stop"),
            delta(1, finish="length"),
            delta(0, finish="stop"),
        ]
    ).completion
    assert [(c.index, c.message.content, c.finish_reason) for c in whole.choices] == [
        (0, "ab", "stop"),
        (1, "1", "length"),
        (2, "xy", "stop"),
    ]


# ---------------------------------------------------------------------------------------------------------------------
# A snapshot


RICH: Final[list[dict[str, Any]]] = [
    {
        "id": "c",
        "provider": {"a": 1},
        "prompt_filter_results": [{"p": 0}],
        "usage": SOME,
        "choices": [
            {
                "index": 0,
                "stop_reason": [1],
                "delta": {
                    "content": [{"type": "text", "text": "a"}],
                    "mood": {"m": 1},
                    "reasoning_content": "h",
                    "annotations": [{"a": 1}],
                    "audio": {"id": "a1", "data": "AA"},
                    "function_call": {"name": "f", "arguments": "{"},
                    "tool_calls": [{"index": 0, "id": "t", "x": [1], "function": {"name": "f", "arguments": "{"}}],
                },
                "logprobs": {"content": [{"token": "a"}]},
                "content_filter_results": {"hate": {"filtered": False}},
            }
        ],
    },
    {
        "more": 1,
        "provider": {"b": 2},
        "prompt_filter_results": [{"p": 1}],
        "usage": ALL,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "stop_reason": [2],
                "other": 1,
                "delta": {
                    "content": "b",
                    "mood": {"m": 2},
                    "reasoning_content": "m",
                    "annotations": [{"b": 2}],
                    "audio": {"data": "BB"},
                    "function_call": {"arguments": "}"},
                    "tool_calls": [
                        {"index": 0, "x": [2], "function": {"arguments": "}", "y": 1}},
                        {"index": 1, "id": "u", "function": {"name": "g"}},
                    ],
                },
                "logprobs": {"content": [{"token": "b"}]},
                "content_filter_results": {"sexual": {"filtered": False}},
            },
            {"index": 1, "delta": {"content": "z"}},
        ],
    },
]


def test_later_chunks_do_not_change_an_earlier_completion() -> None:
    whole = fold(RICH[:1])
    earlier = whole.completion
    kept = copy.deepcopy(earlier)
    whole.add(chunk(RICH[1]))
    later = whole.completion
    assert earlier == kept
    assert earlier is not later
    assert later.choices[0].finish_reason == "stop"
    assert later.tool_calls[0].function.arguments == "{}"
    assert whole.completion is later


def test_changes_to_a_completion_do_not_reach_the_next() -> None:
    whole = fold(RICH[:1])
    taken = whole.completion
    choice = taken.choices[0]
    message = choice.message
    assert choice.logprobs is not None
    assert choice.content_filter_results is not None
    assert message.annotations is not None
    assert message.audio is not None
    assert choice.logprobs.content is not None
    choice.logprobs.content.clear()
    choice.content_filter_results.clear()
    message.annotations.clear()
    message.audio.clear()
    message.tool_calls.clear()
    message.content = None
    taken.choices.clear()
    whole.add(chunk({"choices": []}))
    assert whole.completion == fold(RICH[:1]).completion


def test_chunks_are_not_changed() -> None:
    chunks = [chunk(obj) for obj in RICH]
    kept = copy.deepcopy(chunks)
    whole = Accumulator()
    for each in chunks:
        whole.add(each)
        assert whole.completion.id == "c"
    assert chunks == kept


# ---------------------------------------------------------------------------------------------------------------------
# Any text, in any pieces


def cuts(whole: str) -> st.SearchStrategy[list[str]]:
    def pieces(places: list[int]) -> list[str]:
        edges = [0, *sorted(places), len(whole)]
        return [whole[a:b] for a, b in pairwise(edges)]

    return st.lists(st.integers(0, len(whole)), max_size=8).map(pieces)


@given(st.data(), st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_any_text_in_any_pieces(data: st.DataObject, texts: list[str]) -> None:
    queues = [(index, data.draw(cuts(text))) for index, text in enumerate(texts)]
    events = [(index, piece) for index, pieces in queues for piece in pieces]
    order = data.draw(st.permutations([index for index, _ in events]))
    left = {index: iter(pieces) for index, pieces in queues}
    whole = Accumulator()
    for index in order:
        whole.add(ChatCompletionChunk(choices=[ChunkChoice(index=index, delta=Delta(content=next(left[index])))]))
    for index in range(len(texts)):
        whole.add(ChatCompletionChunk(choices=[ChunkChoice(index=index, finish_reason="stop")]))
    assert [choice.message.content for choice in whole.completion.choices] == texts
    assert whole.finished


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.text(max_size=4), values, max_size=4).map(json.dumps)


@given(st.data(), st.lists(documents, min_size=1, max_size=4), st.sampled_from(["index", "id", "both"]))
def test_any_arguments_in_any_pieces(data: st.DataObject, arguments: list[str], by: str) -> None:
    queues = {number: data.draw(cuts(text)) for number, text in enumerate(arguments)}
    order = data.draw(st.permutations([number for number, pieces in queues.items() for _ in pieces]))
    left = {number: iter(pieces) for number, pieces in queues.items()}
    whole = Accumulator()
    for number in range(len(arguments)):
        first = ToolCallDelta(index=number, id=f"c{number}", function=FunctionCallDelta(name=f"f{number}"))
        whole.add(ChatCompletionChunk(choices=[ChunkChoice(delta=Delta(tool_calls=[first]))]))
    for number in order:
        piece = ToolCallDelta(
            index=None if by == "id" else number,
            id=None if by == "index" else f"c{number}",
            function=FunctionCallDelta(arguments=next(left[number])),
        )
        whole.add(ChatCompletionChunk(choices=[ChunkChoice(delta=Delta(tool_calls=[piece]))]))
    calls = whole.completion.tool_calls
    assert [(each.id, each.function.name) for each in calls] == [(f"c{n}", f"f{n}") for n in range(len(arguments))]
    assert [each.function.arguments for each in calls] == arguments


@given(documents.filter(lambda text: len(text) > 2), st.booleans(), st.data())
def test_any_arguments_with_a_summary_at_the_end(text: str, twice: bool, data: st.DataObject) -> None:
    whole = Accumulator()
    for piece in [*data.draw(cuts(text)), json.dumps(text) if twice else text]:
        one = ToolCallDelta(index=0, id="c", function=FunctionCallDelta(name="f", arguments=piece))
        whole.add(ChatCompletionChunk(choices=[ChunkChoice(delta=Delta(tool_calls=[one]))]))
    [made] = whole.completion.tool_calls
    assert made.function.arguments == text


# ---------------------------------------------------------------------------------------------------------------------
# The cost of a long answer, counted


class Counted:
    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.calls = 0
        self.size = 0

    def __call__(self, value: Any) -> Any:
        self.calls += 1
        self.size += len(value)
        return self.function(value)


@pytest.mark.parametrize("size", [4, 1, 64])
def test_long_arguments_are_not_parsed_again_and_again(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    text = json.dumps({"rows": [{"n": n, "t": '["{'} for n in range(1_400)]})
    assert len(text) > 34_000
    decode = Counted(decode_json)
    monkeypatch.setattr("inference_async.wire.accumulate.decode_json", decode)
    whole = Accumulator()
    for at in range(0, len(text), size):
        piece = ToolCallDelta(index=0, id="c", function=FunctionCallDelta(name="f", arguments=text[at : at + size]))
        whole.add(ChatCompletionChunk(choices=[ChunkChoice(delta=Delta(tool_calls=[piece]))]))
    assert whole.completion.tool_calls[0].function.arguments == text
    assert decode.calls <= 2
    assert decode.size <= len(text)


def test_arguments_that_double_are_parsed_for_no_more_than_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = Counted(decode_json)
    monkeypatch.setattr("inference_async.wire.accumulate.decode_json", decode)
    whole = Accumulator()
    length = 0
    for _ in range(16):
        piece = "[" * max(1, length)
        length += len(piece)
        one = ToolCallDelta(index=0, id="c", function=FunctionCallDelta(name="f", arguments=piece))
        whole.add(ChatCompletionChunk(choices=[ChunkChoice(delta=Delta(tool_calls=[one]))]))
    assert whole.completion.tool_calls[0].function.arguments == "[" * length
    assert decode.size <= 2 * length


def test_a_long_stream_encodes_and_decodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    decode, code = Counted(decode_json), Counted(encode)
    monkeypatch.setattr("inference_async.wire.accumulate.decode_json", decode)
    monkeypatch.setattr("inference_async.wire.accumulate.encode", code)
    piece = ChatCompletionChunk(choices=[ChunkChoice(delta=Delta(content="word ", reasoning_content="hm "))])
    whole = Accumulator()
    for _ in range(100_000):
        whole.add(piece)
    assert whole.chunks == 100_000
    assert len(whole.completion.text) == 500_000
    assert whole.completion.message.reasoning_content == "hm " * 100_000
    assert (decode.calls, code.calls) == (0, 0)


# ---------------------------------------------------------------------------------------------------------------------
# Log probabilities


def likely(token: str, **more: Any) -> dict[str, Any]:
    return {"token": token, "logprob": -0.5, **more}


def with_logprobs(logprobs: Any, index: int = 0, text: str = "a") -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": text}, "logprobs": logprobs}]}


def test_logprobs_of_each_choice_are_joined_in_order() -> None:
    whole = fold(
        [
            with_logprobs({"content": [likely("a"), likely("b")]}),
            with_logprobs({"content": [likely("x", top_logprobs=[likely("y")])]}, 1),
            with_logprobs(None),
            with_logprobs({"content": None, "refusal": [likely("no")]}),
            with_logprobs({"content": []}),
            with_logprobs({"content": [likely("c", rank=3)], "source": "s"}),
        ]
    ).completion
    first, second = (choice.logprobs for choice in whole.choices)
    assert first is not None
    assert second is not None
    assert [row.token for row in first.content or []] == ["a", "b", "c"]
    assert [row.token for row in first.refusal or []] == ["no"]
    assert first.content is not None
    assert first.content[2].extra == {"rank": 3}
    assert first.extra == {"source": "s"}
    assert second.content is not None
    assert (second.content[0].token, second.content[0].top_logprobs[0].token) == ("x", "y")
    assert second.refusal is None


def test_no_logprobs() -> None:
    assert fold([with_logprobs(None)]).completion.choices[0].logprobs is None
    assert fold([with_logprobs({"content": []})]).completion.choices[0].logprobs == Logprobs(content=[])


def test_looking_twice_joins_once() -> None:
    whole = fold([with_logprobs({"content": [likely("a")]})])
    first = whole.completion.choices[0].logprobs
    whole.add(chunk(with_logprobs({"content": [likely("b")]})))
    second = whole.completion.choices[0].logprobs
    assert first is not None
    assert second is not None
    assert (len(first.content or []), len(second.content or [])) == (1, 2)


# ---------------------------------------------------------------------------------------------------------------------
# Reasoning


@pytest.mark.parametrize(
    ("deltas", "reasoning", "text", "names"),
    [
        pytest.param(
            [{"reasoning_content": "h"}, {"reasoning_content": "m"}, {"content": "Hi"}],
            "hm",
            "Hi",
            {"reasoning_content": "hm"},
            id="reasoning_content",
        ),
        pytest.param(
            [{"reasoning": "h"}, {"reasoning": "m"}, {"content": "Hi"}], "hm", "Hi", {"reasoning": "hm"}, id="reasoning"
        ),
        pytest.param(
            [{"reasoning_content": "hm", "content": ""}, {"reasoning_content": "", "content": "Hi"}],
            "hm",
            "Hi",
            {"reasoning_content": "hm"},
            id="empty strings beside",
        ),
        pytest.param([{"reasoning_content": "", "content": "Hi"}], "", "Hi", {}, id="empty strings alone"),
        pytest.param(
            [{"reasoning": "a", "reasoning_content": "b"}],
            "b",
            "",
            {"reasoning": "a", "reasoning_content": "b"},
            id="both names",
        ),
        pytest.param(
            [
                {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}]},
                {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "m"}]}]},
                {"content": "H"},
                {"content": "i"},
            ],
            "hm",
            "Hi",
            {},
            id="mistral: parts, then text",
        ),
        pytest.param(
            [{"content": [{"type": "thinking", "thinking": "hm"}]}, {"content": [{"type": "text", "text": "Hi"}]}],
            "hm",
            "Hi",
            {},
            id="cohere",
        ),
        pytest.param(
            [{"content": [{"type": "reasoning", "text": "hm"}]}, {"content": "Hi"}],
            "hm",
            "Hi",
            {},
            id="a thought under text is not text",
        ),
        pytest.param(
            [{"content": [{"type": "text", "text": None}]}, {"content": "Hi"}],
            "",
            "Hi",
            {},
            id="a text part that is null",
        ),
    ],
)
def test_reasoning(deltas: list[dict[str, Any]], reasoning: str, text: str, names: dict[str, str]) -> None:
    completion = fold([*(delta(**fields) for fields in deltas), delta(finish="stop")]).completion
    assert (completion.reasoning, completion.text) == (reasoning, text)
    echoed = completion.message.to_dict()
    assert {name: echoed[name] for name in ("reasoning", "reasoning_content") if name in echoed} == names


def test_reasoning_is_progress_and_empty_reasoning_is_none() -> None:
    whole = Accumulator()
    assert whole.add(chunk(delta(reasoning_content="hm")))
    assert whole.add(chunk(delta(reasoning="hm")))
    assert not whole.add(chunk(delta(reasoning_content="", reasoning="", content="")))


# ---------------------------------------------------------------------------------------------------------------------
# The asynchronous filter, as the service's page "Content streaming" samples it


def annotation(
    check: Any, start: Any, end: Any, *, index: int = 0, finish: str | None = None, **more: Any
) -> dict[str, Any]:
    offsets = {"check_offset": check, "start_offset": start, "end_offset": end}
    return {
        "id": "",
        "object": "",
        "created": 0,
        "model": "",
        "choices": [
            {
                "index": index,
                "finish_reason": finish,
                "content_filter_results": {"hate": {"filtered": finish == "content_filter", "severity": "safe"}},
                "content_filter_raw": [],
                "content_filter_offsets": offsets,
                **more,
            }
        ],
    }


PASSED: Final = [
    {
        "id": "",
        "created": 0,
        "model": "",
        "choices": [],
        "prompt_annotations": [{"prompt_index": 0, "content_filter_results": {}}],
    },
    delta(role="assistant"),
    delta(content="c" * 154),
    annotation(44, 44, 198),
    delta(content="c" * 308),
    delta(finish="stop"),
    annotation(506, 44, 571),
]
BLOCKED: Final = [
    delta(role="assistant"),
    delta(content="c" * 900),
    annotation(65, 65, 1056, finish="content_filter"),
]


def test_a_stream_that_passed() -> None:
    whole = Accumulator()
    seen: list[tuple[int | None, int | None]] = []
    for obj in PASSED:
        whole.add(chunk(obj))
        seen.append((whole.checked, whole.retract_from))
    assert seen == [(None, None)] * 3 + [(0, None)] * 3 + [(462, None)]
    [choice] = whole.completion.choices
    assert len(choice.message.text) == 462
    assert (choice.finish_reason, choice.checked, choice.retract_from) == ("stop", 462, None)
    assert choice.content_filter_offsets == {"check_offset": 506, "start_offset": 44, "end_offset": 571}
    assert choice.content_filter.filtered == ()


def test_a_stream_that_was_blocked() -> None:
    whole = fold(BLOCKED)
    assert (whole.checked, whole.retract_from, whole.finished) == (0, 0, True)
    [choice] = whole.completion.choices
    assert (choice.finish_reason, choice.checked, choice.retract_from) == ("content_filter", 0, 0)
    assert len(choice.message.text) == 900
    assert choice.content_filter.filtered == ("hate",)


def test_a_stream_that_was_blocked_late_keeps_what_was_cleared() -> None:
    whole = fold(
        [
            delta(content="c" * 900),
            annotation(44, 44, 198),
            annotation(300, 44, 571),
            annotation(300, 300, 944, finish="content_filter"),
        ]
    )
    assert (whole.checked, whole.retract_from) == (256, 256)


@pytest.mark.parametrize(
    ("rows", "checked"),
    [
        pytest.param([(44, 44)], 0, id="at the beginning"),
        pytest.param([(144, 44)], 100, id="already on"),
        pytest.param([(44, 44), (100, 44), (80, 44)], 56, id="it never decreases"),
        pytest.param([(44, 44), (100, 90)], 56, id="the first says where the answer begins"),
        pytest.param([(40, 44)], 0, id="before the beginning"),
        pytest.param([(0, 0), (7, 0)], 7, id="without a prompt"),
        pytest.param([(None, None)], None, id="nulls"),
        pytest.param([("44", "44")], None, id="text"),
        pytest.param([(44, None), (50, 44)], 6, id="half of it first"),
        pytest.param([(44, 44), (None, 44), (54, 44)], 10, id="half of it between"),
    ],
)
def test_checked(rows: list[tuple[Any, Any]], checked: int | None) -> None:
    whole = fold([delta(content="c" * 200), *(annotation(check, start, 0) for check, start in rows)])
    assert whole.checked == whole.completion.choices[0].checked == checked


def test_a_filter_that_is_not_asynchronous_has_nothing_to_retract() -> None:
    whole = fold([delta(content="Hi"), delta(finish="content_filter")])
    assert (whole.checked, whole.retract_from) == (None, None)
    assert Accumulator().checked is None
    assert Accumulator().retract_from is None


def test_each_choice_is_checked_for_itself() -> None:
    whole = fold(
        [
            delta(0, content="c" * 100),
            delta(1, content="d" * 100),
            annotation(10, 10, 60, index=1),
            annotation(10, 10, 60, index=0),
            annotation(70, 10, 110, index=0),
            annotation(30, 10, 110, index=1, finish="content_filter"),
            delta(0, finish="stop"),
        ]
    )
    assert [(c.index, c.checked, c.retract_from) for c in whole.completion.choices] == [(0, 60, None), (1, 20, 20)]
    assert (whole.checked, whole.retract_from) == (60, None)  # of the first choice


def test_the_first_choice_is_by_index() -> None:
    whole = fold([delta(1, content="c" * 9), annotation(1, 1, 9, index=1, finish="content_filter")])
    assert (whole.checked, whole.retract_from) == (None, None)
    assert whole.completion.choices[0].retract_from == 0


def test_an_annotation_is_no_progress_unless_it_ends_the_answer() -> None:
    whole = Accumulator()
    whole.add(chunk(delta(content="a")))
    assert not whole.add(chunk(annotation(44, 44, 198)))
    assert whole.add(chunk(annotation(44, 44, 198, finish="content_filter")))


def test_a_verdict_of_an_earlier_piece_is_not_undone() -> None:
    whole = fold(
        [
            {
                "choices": [
                    {
                        "delta": {"content": "a"},
                        "content_filter_results": {"hate": {"filtered": False, "severity": "medium"}},
                    }
                ]
            },
            {
                "choices": [
                    {
                        "delta": {"content": "b"},
                        "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}},
                    }
                ]
            },
        ]
    )
    assert whole.completion.content_filter["hate"].severity == "medium"


@pytest.mark.parametrize("key", ["prompt_filter_results", "prompt_annotations"])
def test_the_filter_of_the_prompt_comes_first_and_stays(key: str) -> None:
    rows = [{"prompt_index": 0, "content_filter_results": {"jailbreak": {"filtered": False, "detected": True}}}]
    whole = fold([{"id": "", "choices": [], key: rows}, delta(content="a"), delta(finish="stop") | {key: None}])
    assert whole.completion.prompt_filter.detected == ("jailbreak",)


def test_parts_and_then_text_are_joined_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that thinks in a part and then speaks in text: the text is joined once, not again with each piece."""
    whole = fold([delta(content=[{"type": "text", "text": "a"}]), *[delta(content="x") for _ in range(5000)]])
    asked: list[Any] = []
    real = accumulate._is_text

    def is_text(part: Any) -> bool:
        asked.append(part)
        return real(part)

    monkeypatch.setattr(accumulate, "_is_text", is_text)
    assert whole.completion.message.content == [{"type": "text", "text": "a" + "x" * 5000}]
    assert len(asked) == 1


def test_reasoning_details_come_in_pieces() -> None:
    def piece(text: str) -> dict[str, Any]:
        return delta(reasoning_details=[{"type": "reasoning.text", "text": text}])

    whole = Accumulator()
    assert whole.add(chunk(piece("one "))), "it is a sign of life"
    earlier = whole.completion
    whole.add(chunk(piece("two")))
    assert whole.completion.reasoning == "one two"
    assert earlier.reasoning == "one "
    assert whole.completion.message.extra["reasoning_details"][1] == {"type": "reasoning.text", "text": "two"}


@pytest.mark.parametrize("reason", ["content_filter", "CONTENT_FILTER", "safety"])
def test_a_late_cut_in_any_spelling(reason: str) -> None:
    offsets = {"check_offset": 12, "start_offset": 10, "end_offset": 20}
    whole = fold(
        [
            delta(content="abcdef"),
            {"choices": [{"index": 0, "content_filter_offsets": {**offsets, "check_offset": 10}}]},
            {"choices": [{"index": 0, "finish_reason": reason, "content_filter_offsets": offsets}]},
        ]
    )
    assert whole.retract_from == 2
    assert whole.completion.choices[0].retract_from == 2
    assert whole.completion.finish_reason == reason, "as the host spells it"


# ---------------------------------------------------------------------------------------------------------------------
# Bounds


def choice(index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta}]}


def test_choices_are_bounded() -> None:
    assert len(fold([choice(index, content="a") for index in range(3)] * 2, max_choices=3).completion.choices) == 3
    with pytest.raises(StreamError, match=r"^the stream holds over 3 choices; raise max_choices"):
        fold([choice(index) for index in range(4)], max_choices=3)


@pytest.mark.parametrize("by", ["index", "id"])
def test_tool_calls_of_a_choice_are_bounded(by: str) -> None:
    def call(number: int) -> dict[str, Any]:
        return {"index": number} if by == "index" else {"id": f"c{number}"}

    calls = [choice(index, tool_calls=[call(number)]) for index in range(2) for number in range(3)] * 2
    assert len(fold(calls, max_tool_calls=3).completion.choices[1].message.tool_calls) == 3
    with pytest.raises(StreamError, match=r"^the stream holds over 3 tool calls of one choice; raise max_tool_calls"):
        fold([choice(tool_calls=[call(number) for number in range(4)])], max_tool_calls=3)


def test_a_choice_of_a_negative_number_is_the_first() -> None:
    negative, first = delta(-1, content="a"), delta(0, content="b")
    for pieces, said in (([negative, first, negative], "aba"), ([first, negative, first], "bab")):
        (only,) = fold(pieces).completion.choices
        assert (only.index, only.message.text) == (0, said)


def test_the_first_name_of_a_message_stays() -> None:
    said = [delta(content="a"), delta(name="ada"), delta(name="bob"), delta(content="b")]
    assert fold(said).completion.message.name == "ada"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param([{}], UNSET, id="none"),
        pytest.param([{"call_id": None}], None, id="null"),
        pytest.param([{"call_id": "c"}], "c", id="text"),
        pytest.param([{"call_id": "c"}, {"call_id": None}, {}], "c", id="null behind text"),
        pytest.param([{"call_id": None}, {"call_id": "c"}], "c", id="text behind null"),
        pytest.param([{"call_id": "c"}, {"call_id": "d"}], "d", id="two"),
    ],
)
def test_the_call_id_of_a_function(given: list[dict[str, Any]], expected: Any) -> None:
    pieces = [delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", **more}}]) for more in given]
    (made,) = fold(pieces).completion.message.tool_calls
    assert made.function.call_id == expected


def test_names_of_the_answer_may_come_one_by_one() -> None:
    empty: dict[str, Any] = {"choices": []}
    whole = fold([empty | {"created": 5}, empty | {"id": "i"}, empty | {"model": "m", "id": "j", "created": 6}])
    assert (whole.completion.id, whole.completion.model, whole.completion.created) == ("i", "m", 5)


LONG: Final = "x" * 100
ENDLESS: Final[dict[str, Callable[[int], dict[str, Any]]]] = {
    "text": lambda _: choice(content=LONG),
    "parts": lambda _: choice(content=[{"type": "text", "text": LONG}]),
    "refusal": lambda _: choice(refusal=LONG),
    "reasoning": lambda _: choice(reasoning_content=LONG),
    "raw reasoning": lambda _: choice(reasoning=LONG),
    "reasoning details": lambda _: choice(reasoning_details=[{"text": LONG}]),
    "arguments": lambda _: choice(tool_calls=[{"index": 0, "function": {"arguments": LONG}}]),
    "calls": lambda n: choice(tool_calls=[{"index": n}]),
    "names": lambda n: choice(tool_calls=[{"index": n, "id": LONG, "function": {"name": LONG}}]),
    "fields of a call": lambda n: choice(tool_calls=[{"index": 0, f"x{n}": LONG}]),
    "fields of a function": lambda n: choice(tool_calls=[{"index": 0, "function": {f"x{n}": LONG}}]),
    "function call": lambda _: choice(function_call={"arguments": LONG}),
    "fields of a function call": lambda n: choice(function_call={f"x{n}": LONG}),
    "audio": lambda _: choice(audio={"data": LONG}),
    "annotations": lambda _: choice(annotations=[{"url": LONG}]),
    "numbers": lambda _: choice(annotations=[[1, 2.5] * 5]),
    "log probabilities": lambda _: {
        "choices": [{"logprobs": {"content": [{"token": "a", "logprob": -1.0, "top_logprobs": [{"token": "b"}]}]}}]
    },
    "fields of log probabilities": lambda _: {"choices": [{"logprobs": {"x": LONG}}]},
    "filter results": lambda n: {"choices": [{"content_filter_results": {f"x{n}": {"detail": LONG}}}]},
    "unknown fields": lambda n: {"choices": [], f"x{n}": LONG},
    "unknown fields of a choice": lambda n: {"choices": [{f"x{n}": LONG}]},
    "unknown fields of a delta": lambda n: {"choices": [{"delta": {f"x{n}": [LONG]}}]},
    "choices": lambda n: choice(n),
}


@pytest.mark.parametrize("endless", ENDLESS.values(), ids=ENDLESS)
def test_what_a_stream_may_fill_is_bounded(endless: Callable[[int], dict[str, Any]]) -> None:
    fold((endless(n) for n in range(10)), max_body_bytes=20_000, max_choices=10**6, max_tool_calls=10**6)
    with pytest.raises(StreamError, match=r"^the streamed answer takes over 20,000 bytes; raise max_body_bytes"):
        fold((endless(n) for n in range(300)), max_body_bytes=20_000, max_choices=10**6, max_tool_calls=10**6)


MUCH: Final = "y" * 50_000


def one_of_everything(much: str = "", *, again: bool = False) -> dict[str, Any]:
    """A chunk with a little of all that is kept, and much of the one that is named."""

    def text(name: str) -> str:
        return MUCH if name == much else "x"

    function = {"name": text("name"), "arguments": text("arguments"), "x": text("field of a function")}
    changed = text("new value of a field") if again else "x"
    return {
        text("name of a field"): changed,
        "choices": [
            {
                "index": 0,
                "x": text("field of a choice"),
                "content_filter_results": {text("name of a filter"): {"detail": text("detail of a filter")}},
                "logprobs": {
                    "content": [
                        {"token": text("token"), "logprob": -1.0, "top_logprobs": []},
                        {"token": "x", "logprob": -1.0, "top_logprobs": []},
                    ]
                },
                "delta": {
                    "content": text("content"),
                    "refusal": text("refusal"),
                    "reasoning_content": text("reasoning"),
                    "reasoning": text("raw reasoning"),
                    "reasoning_details": [{"text": text("reasoning details")}],
                    "annotations": [{text("name in an annotation"): text("annotation")}, "x"],
                    "x": text("field of a delta"),
                    "audio": {"data": text("audio")},
                    "function_call": {"name": text("function"), "arguments": text("its arguments")},
                    "tool_calls": [
                        {
                            "index": 0,
                            "id": text("id"),
                            "type": text("type"),
                            "x": text("field of a call"),
                            "function": function,
                        }
                    ],
                },
            }
        ],
    }


NAMED: Final = (
    "name of a field", "field of a choice", "name of a filter", "detail of a filter", "token", "content", "refusal",
    "reasoning", "raw reasoning", "reasoning details", "name in an annotation", "annotation", "field of a delta",
    "audio", "its arguments", "id", "type", "field of a call", "name", "arguments", "field of a function",
)  # fmt: skip


@pytest.mark.parametrize("much", NAMED)
def test_all_that_is_kept_counts_whatever_stands_beside_it(much: str) -> None:
    fold([one_of_everything()] * 2, max_body_bytes=40_000)
    with pytest.raises(StreamError, match="takes over 40,000 bytes"):
        fold([one_of_everything(much)], max_body_bytes=40_000)


def test_a_field_that_grows_counts_and_one_that_shrinks_makes_room() -> None:
    fold([one_of_everything()] * 2, max_body_bytes=40_000)
    with pytest.raises(StreamError, match="takes over 40,000 bytes"):
        fold([one_of_everything(), one_of_everything("new value of a field", again=True)], max_body_bytes=40_000)
    fold([{"choices": [], "x": LONG * 300}, {"choices": [], "x": "a"}] * 5, max_body_bytes=40_000)


@pytest.mark.parametrize(
    "obj",
    [
        {"choices": [], "obfuscation": LONG},
        {"choices": [{"index": 0, "delta": {"x": {"y": [LONG]}}, "finish_reason": None}], "usage": {"x": LONG}},
        {"choices": [{"index": 0, "content_filter_results": {"hate": {"filtered": False}}}]},
        choice(role="assistant"),
        choice(content=""),
    ],
    ids=["padding", "the last stays", "filter results", "role", "empty"],
)
def test_what_is_not_kept_is_not_weighed(obj: dict[str, Any]) -> None:
    fold([obj] * 500, max_body_bytes=20_000)


def test_what_came_before_a_bound_is_kept() -> None:
    whole = Accumulator(limits=Limits(max_choices=1))
    whole.add(chunk(choice(content="a")))
    with pytest.raises(StreamError):
        whole.add(chunk(choice(1, content="b")))
    assert whole.completion.text == "a"
