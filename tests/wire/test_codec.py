"""Bytes to Structs on two paths, and back: nothing the service sends is lost, nothing it sends crashes."""

from __future__ import annotations

import contextlib
import json
from types import MappingProxyType
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_async.policy.limits import DEFAULT_LIMITS
from inference_async.types import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChunkChoice,
    Delta,
    FunctionCall,
    FunctionCallDelta,
    Logprobs,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    TopLogprob,
    Usage,
)
from inference_async.types.base import EXTRA
from inference_async.wire.codec import (
    LARGE,
    BoundError,
    DecodeFailure,
    check_json,
    decode_checked,
    decode_chunk,
    decode_completion,
    decode_embeddings,
    decode_json,
    encode,
    lenient,
    plain,
    with_replacements,
    without_halves,
)

USAGE: Final[dict[str, Any]] = {
    "prompt_tokens": 3,
    "completion_tokens": 4,
    "total_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 2},
}

CHUNKS: Final[dict[str, dict[str, Any]]] = {
    "empty": {},
    "text": {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "m",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}],
    },
    "created float": {"created": 1700000000.5},
    "no choices, usage": {"choices": [], "usage": USAGE},
    "usage null": {"choices": [{"index": 0, "delta": {}}], "usage": None},
    "annotation without delta": {
        "id": "",
        "created": 0,
        "choices": [
            {
                "index": 0,
                "finish_reason": None,
                "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}},
                "content_filter_offsets": {"check_offset": 1, "start_offset": 1, "end_offset": 9},
                "content_filter_raw": [{"x": 1}],
            }
        ],
    },
    "prompt filter": {"id": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
    "tool call": {
        "choices": [
            {
                "index": 1,
                "delta": {
                    "content": None,
                    "tool_calls": [
                        {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
                    ],
                },
            }
        ]
    },
    "arguments null": {"choices": [{"delta": {"tool_calls": [{"function": {"name": None, "arguments": None}}]}}]},
    "arguments object": {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": {"a": [1]}}}]}}]},
    "call_id null": {"choices": [{"delta": {"tool_calls": [{"function": {"call_id": None}}]}}]},
    "reasoning": {"choices": [{"delta": {"reasoning_content": "hm", "reasoning": "hm", "refusal": None}}]},
    "content parts": {"choices": [{"delta": {"content": [{"type": "thinking", "thinking": "hm"}]}}]},
    "text that looks like other things": {
        "id": "1",
        "choices": [{"delta": {"content": "null", "reasoning": "true", "refusal": "1.5"}, "finish_reason": "null"}],
    },
    "logprobs": {"choices": [{"logprobs": {"content": [{"token": "a", "logprob": -0.5, "bytes": None}]}}]},
    "names": {"system_fingerprint": "fp", "service_tier": "default", "obfuscation": "xxxx"},
}

COMPLETIONS: Final[dict[str, dict[str, Any]]] = {
    "empty": {},
    "text": {
        "id": "c",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}],
        "usage": USAGE,
    },
    "role missing": {"choices": [{"message": {"content": "a"}}]},
    "tool calls": {
        "choices": [
            {
                "message": {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "f", "arguments": "null", "call_id": None},
                        }
                    ],
                }
            }
        ]
    },
    "message parts": {"choices": [{"message": {"role": "assistant", "content": [{"type": "text", "text": "a"}]}}]},
    "filters": {"prompt_filter_results": [], "choices": [{"content_filter_results": {"custom_blocklists": []}}]},
}


def as_bytes(obj: Any) -> bytes:
    return json.dumps(obj).encode()


@pytest.mark.parametrize("obj", CHUNKS.values(), ids=CHUNKS)
def test_both_paths_read_a_chunk_alike(obj: dict[str, Any]) -> None:
    fast = decode_chunk(as_bytes(obj))
    assert lenient(decode_json(as_bytes(obj)), ChatCompletionChunk) == fast
    assert fast.extra == {}


@pytest.mark.parametrize("obj", COMPLETIONS.values(), ids=COMPLETIONS)
def test_both_paths_read_a_completion_alike(obj: dict[str, Any]) -> None:
    fast = decode_completion(as_bytes(obj))
    assert lenient(decode_json(as_bytes(obj)), ChatCompletion) == fast
    assert fast.extra == {}


def test_unknown_fields_of_a_chunk_at_every_level() -> None:
    obj = {
        "id": "c",
        "top": 1,
        "choices": [
            {
                "index": 0,
                "in_choice": [1],
                "delta": {
                    "content": "a",
                    "in_delta": {"deep": [{"x": None}]},
                    "tool_calls": [
                        {
                            "index": 0,
                            "extra_content": {"google": {"thought_signature": "s"}},
                            "function": {"name": "f", "in_function": None},
                        }
                    ],
                },
            }
        ],
        "usage": {
            "total_tokens": 7,
            "cost": 0.5,
            "prompt_tokens_details": {"cached_tokens": 1, "in_prompt": 1},
            "completion_tokens_details": {"total_tokens": 4},
        },
    }
    with pytest.raises(DecodeFailure):
        decode_chunk(as_bytes(obj))
    chunk = lenient(obj, ChatCompletionChunk)
    choice = chunk.choices[0]
    assert chunk.extra == {"top": 1}
    assert choice.extra == {"in_choice": [1]}
    assert choice.delta.extra == {"in_delta": {"deep": [{"x": None}]}}
    assert choice.delta.tool_calls is not None
    call = choice.delta.tool_calls[0]
    assert call.extra == {"extra_content": {"google": {"thought_signature": "s"}}}
    assert call.function is not None
    assert call.function.extra == {"in_function": None}
    assert chunk.usage is not None
    assert chunk.usage.extra == {"cost": 0.5}
    assert chunk.usage.prompt_tokens_details is not None
    assert chunk.usage.prompt_tokens_details.extra == {"in_prompt": 1}
    assert chunk.usage.completion_tokens_details is not None
    assert chunk.usage.completion_tokens_details.extra == {"total_tokens": 4}
    back = plain(chunk)
    assert back["top"] == 1
    assert back["usage"] == obj["usage"]
    assert back["choices"][0]["in_choice"] == [1]
    assert back["choices"][0]["delta"] == {
        "content": "a",
        "in_delta": {"deep": [{"x": None}]},
        "tool_calls": [
            {
                "index": 0,
                "extra_content": {"google": {"thought_signature": "s"}},
                "function": {"name": "f", "in_function": None},
            }
        ],
    }


def test_unknown_fields_of_a_completion_at_every_level() -> None:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "a",
        "context": {"citations": []},
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "index": 0,
                "function": {"name": "f", "arguments": "{}", "note": "n"},
                "extra_content": {"s": 1},
            }
        ],
    }
    obj: dict[str, Any] = {
        "id": "c",
        "moderation": {"flagged": False},
        "choices": [{"index": 0, "message": message, "stop_reason": 128009}],
        "usage": {"total_tokens": 1, "queue_time": 0.25},
    }
    completion = lenient(obj, ChatCompletion)
    assert completion.extra == {"moderation": {"flagged": False}}
    assert completion.choices[0].extra == {"stop_reason": 128009}
    assert completion.message.extra == {"context": {"citations": []}}
    assert completion.tool_calls[0].extra == {"index": 0, "extra_content": {"s": 1}}
    assert completion.tool_calls[0].function.extra == {"note": "n"}
    assert completion.usage is not None
    assert completion.usage.extra == {"queue_time": 0.25}
    assert plain(completion.message) == message
    back = plain(completion)
    assert back["moderation"] == {"flagged": False}
    assert back["choices"][0]["stop_reason"] == 128009
    assert back["usage"] == {"total_tokens": 1, "queue_time": 0.25}


RIGHT: Final[dict[str, tuple[type[msgspec.Struct], dict[str, Any], msgspec.Struct]]] = {
    "choices null": (ChatCompletionChunk, {"choices": None}, ChatCompletionChunk()),
    "names null": (
        ChatCompletionChunk,
        {"id": None, "object": None, "created": None, "model": None},
        ChatCompletionChunk(),
    ),
    "delta null": (ChunkChoice, {"index": None, "delta": None}, ChunkChoice()),
    "message null": (Choice, {"message": None}, Choice()),
    "tool calls null": (AssistantMessage, {"tool_calls": None, "content": None}, AssistantMessage()),
    "function null": (ToolCallDelta, {"index": 0, "function": None}, ToolCallDelta(index=0)),
    "call function null": (ToolCall, {"id": "c", "type": None, "function": None}, ToolCall(id="c")),
    "arguments null": (FunctionCall, {"name": "f", "arguments": None}, FunctionCall(name="f")),
    "arguments object": (FunctionCall, {"arguments": {"a": [1, "é"]}}, FunctionCall(arguments='{"a":[1,"é"]}')),
    "arguments list": (FunctionCall, {"arguments": [1]}, FunctionCall(arguments="[1]")),
    "arguments number": (FunctionCall, {"arguments": 5}, FunctionCall(arguments="5")),
    "usage null": (Usage, {"prompt_tokens": None, "total_tokens": 1}, Usage(total_tokens=1)),
    "tokens as floats": (Usage, {"prompt_tokens": 3.0, "total_tokens": 7.0}, Usage(prompt_tokens=3, total_tokens=7)),
    "tokens as text": (Usage, {"prompt_tokens": "3"}, Usage(prompt_tokens=3)),
    "index as float": (ChunkChoice, {"index": 1.0}, ChunkChoice(index=1)),
    "call index as text": (ToolCallDelta, {"index": "1"}, ToolCallDelta(index=1)),
    "created as text": (ChatCompletionChunk, {"created": "1700000000"}, ChatCompletionChunk(created=1700000000)),
    "id as number": (ChatCompletionChunk, {"id": 7}, ChatCompletionChunk(id="7")),
    "call id as number": (ToolCall, {"id": 7}, ToolCall(id="7")),
    "role user": (AssistantMessage, {"role": "user", "content": "a"}, AssistantMessage(content="a")),
    "role null": (AssistantMessage, {"role": None, "content": "a"}, AssistantMessage(content="a")),
    "role number": (AssistantMessage, {"role": 5, "content": "a"}, AssistantMessage(content="a")),
    "role of a delta": (Delta, {"role": "model"}, Delta(role="model")),
    # The same holds where null is allowed: "another value where text is expected becomes its JSON text".
    "delta call id as number": (ToolCallDelta, {"id": 7}, ToolCallDelta(id="7")),
    "delta function name as number": (FunctionCallDelta, {"name": 7}, FunctionCallDelta(name="7")),
    "finish reason as number": (ChunkChoice, {"finish_reason": 7}, ChunkChoice(finish_reason="7")),
    "fingerprint as number": (
        ChatCompletionChunk,
        {"system_fingerprint": 7},
        ChatCompletionChunk(system_fingerprint="7"),
    ),
    "refusal as object": (Delta, {"refusal": {"a": 1}}, Delta(refusal='{"a":1}')),
}


@pytest.mark.parametrize(("cls", "obj", "expected"), RIGHT.values(), ids=RIGHT)
def test_put_right(cls: type[msgspec.Struct], obj: dict[str, Any], expected: msgspec.Struct) -> None:
    assert lenient(obj, cls) == expected


@pytest.mark.parametrize(
    ("cls", "obj"),
    [
        pytest.param(ChatCompletionChunk, {"choices": "x"}, id="choices text"),
        pytest.param(ChatCompletionChunk, {"choices": {}}, id="choices object"),
        pytest.param(ChatCompletionChunk, {"choices": [1]}, id="choice number"),
        pytest.param(ChatCompletionChunk, {"choices": [{"delta": []}]}, id="delta list"),
        pytest.param(ChatCompletion, {"choices": [{"message": "x"}]}, id="message text"),
        pytest.param(AssistantMessage, {"content": 5}, id="content number"),
        pytest.param(ChatCompletionChunk, [], id="list"),
        pytest.param(ChatCompletionChunk, "x", id="text"),
        pytest.param(ChatCompletionChunk, None, id="null"),
    ],
)
def test_another_shape_altogether(cls: type[msgspec.Struct], obj: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        lenient(obj, cls)
    assert issubclass(msgspec.ValidationError, DecodeFailure)


# ---------------------------------------------------------------------------------------------------------------------
# Names that belong to this package, sent by a hostile server

META: Final = next(f.encode_name for f in msgspec.structs.fields(ChatCompletion) if f.name == "meta")
HOSTILE: Final[list[Any]] = [5, "x", [1], None, True, {}, {"id": "spoof"}, {"role": "system"}, {EXTRA: {EXTRA: {}}}]


@pytest.mark.parametrize("value", HOSTILE, ids=str)
@pytest.mark.parametrize("key", ["*", EXTRA, META])
@pytest.mark.parametrize("more", [{}, {"other": 1}], ids=["alone", "with another"])
def test_own_names_never_crash(key: str, value: Any, more: dict[str, Any]) -> None:
    inner = {key: value, **more}
    obj = {
        **inner,
        "choices": [{**inner, "message": {**inner, "tool_calls": [{**inner, "function": inner}]}}],
        "usage": inner,
    }
    for cls, fast in ((ChatCompletion, decode_completion), (ChatCompletionChunk, decode_chunk)):
        with contextlib.suppress(*DecodeFailure):
            fast(as_bytes(obj))
        try:
            read = lenient(obj, cls)
        except DecodeFailure:
            continue
        plain(read)


def test_own_name_does_not_overwrite_a_field() -> None:
    chunk = decode_or_lenient(as_bytes({"id": "true", EXTRA: {"id": "spoof"}}))
    assert chunk.id == "true"
    assert plain(chunk)["id"] == "true"


def test_own_name_does_not_change_the_role_of_a_message() -> None:
    obj = {"choices": [{"message": {"content": "a", EXTRA: {"role": "system"}}}]}
    try:
        completion = decode_completion(as_bytes(obj))
    except DecodeFailure:
        completion = lenient(obj, ChatCompletion)
    assert plain(completion.message)["role"] == "assistant"


def test_own_name_is_not_lost_beside_another_unknown_field() -> None:
    chunk = lenient({EXTRA: {"a": 1}, "b": 2}, ChatCompletionChunk)
    assert "{'a': 1}" in str(chunk.extra)
    assert chunk.extra["b"] == 2


def decode_or_lenient(data: bytes) -> ChatCompletionChunk:
    try:
        return decode_chunk(data)
    except DecodeFailure:
        return lenient(decode_json(data), ChatCompletionChunk)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"*": {"a": 1}}, id="object"),
        pytest.param({EXTRA: {"a": 1}}, id="own name"),
        pytest.param({"*": "a"}, id="text"),
        pytest.param({"*": {}}, id="empty"),
        pytest.param({"paths": {"*": ["src/*"]}}, id="deeper"),
    ],
)
def test_a_star_of_the_callers_own_data_stays(value: dict[str, Any]) -> None:
    message = {"role": "user", "content": [{"type": "document", "document": value}]}
    assert plain(message) == message
    struct = AssistantMessage(content=[{"type": "document", "document": value}])
    assert plain(struct)["content"] == [{"type": "document", "document": value}]


# ---------------------------------------------------------------------------------------------------------------------
# Bad JSON


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"[DONE]", id="end mark"),
        pytest.param(b'{"id":"a"}{}', id="glued"),
        pytest.param(b'{"id":"\xff"}', id="invalid UTF-8"),
        pytest.param(b'{"id":"\\ud800"', id="lone surrogate, cut"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param(b"[" * 100_000, id="deep, cut"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="deep arrays"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="deep objects"),
        pytest.param(b'{"id":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="deep in an unknown field"),
        pytest.param(b'{"usage":{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}", id="deep in usage"),
    ],
)
def test_bad_json(data: bytes) -> None:
    for decode in (decode_json, decode_chunk, decode_completion):
        with pytest.raises(DecodeFailure):
            decode(data)


def test_decode_json_keeps_numbers_and_order() -> None:
    assert decode_json(b'{"b":1,"a":[1.5,true,null,"\\u00e9"]}') == {"b": 1, "a": [1.5, True, None, "é"]}
    assert list(decode_json(b'{"b":1,"a":2}')) == ["b", "a"]


def test_decode_checked_reads_what_was_checked() -> None:
    assert decode_checked(memoryview(b'{"a":[1]}')) == {"a": [1]}


def test_plain_leaves_the_original_alone() -> None:
    message = AssistantMessage(content="a", unknown_fields={"x": {"y": 1}})
    twin = AssistantMessage(content="a", unknown_fields={"x": {"y": 1}})
    plain(message)["x"]["y"] = 2
    assert message == twin


def test_lenient_leaves_the_original_alone() -> None:
    obj = {"id": None, "choices": [{"delta": None, "x": 1}], "y": 2}
    lenient(obj, ChatCompletionChunk)
    assert obj == {"id": None, "choices": [{"delta": None, "x": 1}], "y": 2}


def test_plain_of_a_message_without_calls_says_nothing_of_calls() -> None:
    assert plain(AssistantMessage(content="a")) == {"role": "assistant", "content": "a"}


def test_encode_of_a_struct_without_extra_shows_no_own_name() -> None:
    for value in (ChatCompletionChunk(), AssistantMessage(), ToolCall(), FunctionCall(), Usage(), Delta()):
        assert EXTRA.encode() not in encode(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("usage", [1]),
        ("usage", ""),
        ("created", "2024-05-01"),
        ("prompt_filter_results", {}),
        ("system_fingerprint", {"a": 1}),
    ],
)
def test_a_decoration_that_cannot_be_read_is_set_aside(name: str, value: Any) -> None:
    choice = {"index": 0, "delta": {"content": "Hello"}, "logprobs": [], "content_filter_results": []}
    chunk = lenient({"id": "c", "choices": [choice], name: value}, ChatCompletionChunk)
    assert chunk.text == "Hello"
    assert chunk.choices[0].extra == {"logprobs": [], "content_filter_results": []}
    if name != "system_fingerprint":  # text is made of anything
        assert chunk.extra == {name: value}
    assert plain(chunk)[name] == (value if name != "system_fingerprint" else '{"a":1}')


def test_only_the_part_that_cannot_be_read_is_set_aside() -> None:
    usage = {"prompt_tokens": 5, "total_tokens": "many", "prompt_tokens_details": {"cached_tokens": "n/a"}}
    found = lenient({"usage": usage}, ChatCompletionChunk).usage
    assert found is not None
    assert (found.prompt_tokens, found.extra) == (5, {"total_tokens": "many"})
    assert found.prompt_tokens_details is not None
    assert found.prompt_tokens_details.extra == {"cached_tokens": "n/a"}


def test_a_server_does_not_choose_how_often_an_answer_is_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    conversions = 0
    convert = msgspec.convert

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal conversions
        conversions += 1
        return convert(*args, **options)

    monkeypatch.setattr("msgspec.convert", counted)
    choices = [{"index": index, "delta": {}, "logprobs": 1} for index in range(1000)]
    with pytest.raises(msgspec.ValidationError):
        lenient({"choices": choices}, ChatCompletionChunk)
    assert conversions < 50


# ---------------------------------------------------------------------------------------------------------------------
# Log probabilities

TOKEN: Final[dict[str, Any]] = {"token": "Hi", "logprob": -0.25, "bytes": [72, 105]}
RATED: Final[dict[str, Any]] = {**TOKEN, "top_logprobs": [TOKEN, {"token": "Ho", "logprob": -1, "bytes": None}]}


def rated(logprobs: Any, *, streamed: bool) -> tuple[str, Logprobs | None, Any]:
    """The text, the log probabilities, and what was set aside of the choice."""
    said = {"index": 0, "logprobs": logprobs, "delta" if streamed else "message": {"content": "Hi"}}
    if streamed:
        chunk = lenient({"choices": [said]}, ChatCompletionChunk)
        return chunk.text, chunk.choices[0].logprobs, chunk.choices[0].extra
    completion = lenient({"choices": [said]}, ChatCompletion)
    return completion.text, completion.choices[0].logprobs, completion.choices[0].extra


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(None, None, id="null"),
        pytest.param({}, Logprobs(), id="empty"),
        pytest.param({"content": None, "refusal": None}, Logprobs(), id="nulls"),
        pytest.param({"content": []}, Logprobs(content=[]), id="no tokens"),
        pytest.param(
            {"content": [RATED]},
            Logprobs(
                content=[
                    TokenLogprob(
                        token="Hi",
                        logprob=-0.25,
                        bytes=[72, 105],
                        top_logprobs=[
                            TopLogprob(token="Hi", logprob=-0.25, bytes=[72, 105]),
                            TopLogprob(token="Ho", logprob=-1.0),
                        ],
                    )
                ]
            ),
            id="in full",
        ),
        pytest.param(
            {"refusal": [TOKEN]},
            Logprobs(refusal=[TokenLogprob(token="Hi", logprob=-0.25, bytes=[72, 105])]),
            id="of a refusal",
        ),
        pytest.param(
            {"content": [{"token": "a", "logprob": -9999.0, "bytes": None, "top_logprobs": []}]},
            Logprobs(content=[TokenLogprob(token="a")]),
            id="very unlikely",
        ),
        pytest.param(
            {"content": [{"token": "a", "logprob": None, "top_logprobs": None}]},
            Logprobs(content=[TokenLogprob(token="a")]),
            id="nulls within",
        ),
        pytest.param(
            {"content": [{**TOKEN, "rank": 3, "top_logprobs": [{"token": "b", "rank": 4}]}], "model": "x"},
            Logprobs(
                content=[
                    TokenLogprob(
                        token="Hi",
                        logprob=-0.25,
                        bytes=[72, 105],
                        unknown_fields={"rank": 3},
                        top_logprobs=[TopLogprob(token="b", unknown_fields={"rank": 4})],
                    )
                ],
                unknown_fields={"model": "x"},
            ),
            id="unknown fields at every level",
        ),
        pytest.param(
            {"tokens": ["Hi"], "token_logprobs": [-0.25]},
            Logprobs(unknown_fields={"tokens": ["Hi"], "token_logprobs": [-0.25]}),
            id="the shape of old completions",
        ),
        pytest.param(
            {"content": [{"token": 5, "logprob": "-0.5"}]},
            Logprobs(content=[TokenLogprob(token="5", logprob=-0.5)]),
            id="a token that is a number, a number that is text",
        ),
    ],
)
def test_logprobs(sent: Any, expected: Logprobs | None, *, streamed: bool) -> None:
    assert rated(sent, streamed=streamed) == ("Hi", expected, {})


NONSENSE: Final[dict[str, Any]] = {
    "text": "Hi",
    "a list": [TOKEN],
    "a number": 5,
    "tokens that are text": {"content": "Hi"},
    "tokens that are an object": {"content": {"0": TOKEN}},
    "a number among the tokens": {"content": [TOKEN, 5]},
    "text among the tokens": {"content": ["Hi"]},
    "null among the tokens": {"content": [None, TOKEN]},
    "a list among the tokens": {"refusal": [[TOKEN]]},
    "a logprob that is none": {"content": [{**TOKEN, "logprob": "likely"}]},
    "a logprob that is an object": {"content": [{**TOKEN, "logprob": {}}]},
    "bytes that are text": {"content": [{**TOKEN, "bytes": "Hi"}]},
    "text among the bytes": {"content": [{**TOKEN, "bytes": [72, "i"]}]},
    "null among the bytes": {"content": [{**TOKEN, "bytes": [None]}]},
    "others that are an object": {"content": [{**TOKEN, "top_logprobs": {"Hi": -0.25}}]},
    "text among the others": {"content": [{**TOKEN, "top_logprobs": ["Hi"]}]},
    "null among the others": {"content": [{**TOKEN, "top_logprobs": [None]}]},
    "another that is none": {"content": [{**TOKEN, "top_logprobs": [{"token": "a", "logprob": []}]}]},
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("sent", NONSENSE.values(), ids=NONSENSE)
def test_logprobs_that_are_nonsense_do_not_lose_the_answer(sent: Any, *, streamed: bool) -> None:
    text, logprobs, extra = rated(sent, streamed=streamed)
    assert text == "Hi"
    # And what was sent is not lost either: it is under one extra or another.
    assert logprobs is not None or extra == {"logprobs": sent}


def test_only_the_logprob_that_is_nonsense_is_set_aside() -> None:
    _, logprobs, extra = rated({"content": [TOKEN, {**TOKEN, "logprob": "likely"}]}, streamed=False)
    good = TokenLogprob(token="Hi", logprob=-0.25, bytes=[72, 105])
    bad = TokenLogprob(token="Hi", bytes=[72, 105], unknown_fields={"logprob": "likely"})
    assert (logprobs, extra) == (Logprobs(content=[good, bad]), {})


def test_logprobs_take_the_fast_path() -> None:
    data = json.dumps({"choices": [{"index": 0, "logprobs": {"content": [RATED]}, "delta": {"content": "Hi"}}]})
    found = decode_chunk(data.encode()).choices[0].logprobs
    assert found is not None
    assert found.content is not None
    assert [other.token for other in found.content[0].top_logprobs] == ["Hi", "Ho"]


# ---------------------------------------------------------------------------------------------------------------------
# Reasoning and filters, by their wire names


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_both_names_of_reasoning_take_the_fast_path_and_go_back(name: str) -> None:
    data = json.dumps({"choices": [{"message": {"role": "assistant", "content": "Hi", name: "hm"}}]}).encode()
    completion = decode_completion(data)
    assert completion.reasoning == "hm"
    assert completion.message.extra == {}
    assert plain(completion.message) == {"role": "assistant", "content": "Hi", name: "hm"}
    chunk = decode_chunk(json.dumps({"choices": [{"delta": {name: "hm"}}]}).encode())
    assert (chunk.reasoning, chunk.text) == ("hm", "")


def test_the_wire_cannot_say_what_was_checked() -> None:
    name = "*inference_async.checked"
    chunk = lenient({"choices": [{name: 5, "delta": {}}]}, ChatCompletionChunk)
    assert chunk.choices[0].extra == {name: 5}
    completion = lenient(
        {"choices": [{name: 5, "finish_reason": "content_filter", "message": {"content": "Hi"}}]}, ChatCompletion
    )
    assert completion.choices[0].checked is None
    assert completion.choices[0].retract_from is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(rb'{"a": "x\ud83d"}', "x\ufffd", id="the first half"),
        pytest.param(rb'{"a": "\ude00x"}', "\ufffdx", id="the second half"),
        pytest.param(rb'{"a": "\ud83d\ude00"}', "\U0001f600", id="both"),
        pytest.param(rb'{"a": "\ud83d", "b": "\u00e9"}', "\ufffd", id="beside what is in order"),
    ],
)
def test_half_a_surrogate_pair_is_replaced(data: bytes, text: str) -> None:
    assert decode_json(data)["a"] == text


def test_what_is_no_json_does_not_become_json() -> None:
    data = b'"\0\0\\ud800"'
    assert without_halves(data) == data
    with pytest.raises(msgspec.DecodeError):
        decode_json(data)


def test_16_decorations_are_set_aside_and_no_more() -> None:
    choice = {"message": {"content": "hi"}, "finish_reason": "stop", "content_filter_results": 5}
    read = lenient({"created": "1", "choices": [choice] * 16}, ChatCompletion)
    assert (read.created, read.text, len(read.choices)) == (1, "hi", 16)
    assert {row.extra["content_filter_results"] for row in read.choices} == {5}
    with pytest.raises(msgspec.ValidationError):
        lenient({"choices": [choice] * 17}, ChatCompletion)


def test_log_probabilities_without_end_are_set_aside_as_a_whole() -> None:
    rows = [{"token": "a", "logprob": -1.0, "top_logprobs": {"a": -1.0}} for _ in range(100)]
    obj = {"choices": [{"index": 0, "message": {"content": "hi"}, "logprobs": {"content": rows}}]}
    choice = lenient(obj, ChatCompletion).choices[0]
    assert choice.message.content == "hi"
    assert choice.logprobs is None
    assert choice.extra["logprobs"] == {"content": rows}, "as it was sent"


# ---------------------------------------------------------------------------------------------------------------------
# Before decoding


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


def nested(levels: int, opened: str = "[", closed: str = "]") -> bytes:
    units = levels // len(closed)
    return (opened * units + "1" + closed * units).encode()


@pytest.mark.parametrize("around", [b"", b" " * 70_000, b" " * LARGE], ids=["small", "pieces", "large"])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}"), ('{"[{":[', "]}"), ('{"\\"":[', "]}")])
def test_64_levels_are_read_and_65_are_not(opened: str, closed: str, around: bytes) -> None:
    assert depth_of(decode_json(around + nested(64, opened, closed))) == 64
    deeper = nested(66, opened, closed)
    for too_deep in (deeper, deeper.rstrip(b"]}"), b"[" + nested(64, opened, closed)):
        with pytest.raises(BoundError, match="over 64 levels"):
            decode_json(around + too_deep)


@pytest.mark.parametrize("decode", [decode_chunk, decode_completion, decode_embeddings, decode_json])
@pytest.mark.parametrize("levels", [65, 66, 128, 1000, 100_000])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"":', "}"), (' [ {"":', "}]")])
def test_no_way_in_takes_more(decode: Any, levels: int, opened: str, closed: str) -> None:
    deep = nested(levels + 1, opened, closed)
    for data in (deep, b'{"choices":[{"delta":{"content":' + deep + b"}}]}", b'{"x":' + deep + b"}"):
        with pytest.raises(BoundError):
            decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b'"' + b"[" * 1000 + b'"',
        b'"\\"' + b"[" * 1000 + b'"',
        b'"\\\\\\"' + b"{" * 1000 + b'"',
        b'{"' + b"[" * 1000 + b'":"' + b"\\\\" * 500 + b'"}',
        b"[" + b",".join([b"[]"] * 1000) + b"]",
    ],
    ids=["string", "after a quote", "after a backslash", "key", "side by side"],
)
def test_brackets_that_nest_nothing(data: bytes) -> None:
    assert decode_json(data) == json.loads(data)


JSON: Final = st.recursive(
    st.text('[]{}",:\\aé', max_size=6) | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[{"\\', max_size=3), inner, max_size=3),
    max_leaves=30,
)


@given(value=JSON, piece=st.integers(1, 9), deepest=st.integers(1, 6))
def test_the_scan_finds_the_depth_wherever_it_is_cut(value: Any, piece: int, deepest: int) -> None:
    data = json.dumps(value, ensure_ascii=False).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inference_async.wire.codec._SCANNED_AT_ONCE", piece)
        patch.setattr("inference_async.wire.codec.MAX_DEPTH", deepest)
        patch.setattr("inference_async.wire.codec.LARGE", 0)
        try:
            check_json(data)
        except BoundError:
            assert depth_of(value) > deepest
        else:
            assert depth_of(value) <= deepest


@pytest.mark.parametrize(
    ("unit", "weight"), [(b"[],", 1.125), (b"{},", 1.125), (b'"s",', 1.125), (b"12,", 0.125), (b'{"a":"b"},', 3.125)]
)
def test_the_values_of_a_large_text_are_counted(unit: bytes, weight: float) -> None:
    count = LARGE // len(unit) + 1
    data = b"[" + unit * count + b"0]"
    decode_json(data, int(1 + weight * count) + 1)
    with pytest.raises(BoundError, match=r"over [\d,]+ values"):
        decode_json(data, int(1 + weight * count) - 1)
    decode_json(data[: LARGE // 2].rpartition(b",")[0] + b"]", 1)  # of a small one they are not


def test_the_bound_on_values_is_exact() -> None:
    count = 8 * (LARGE // 24 + 1)  # of an object and a comma: nine eighths each
    data = b"[" + b"{}," * count + b"0]"
    decode_json(data, 1 + 9 * count // 8)
    with pytest.raises(BoundError):
        decode_json(data, 9 * count // 8)


def test_from_how_many_bytes_on_values_are_counted() -> None:
    data = b"[" + b"0," * (LARGE // 2 - 10) + b"0]"
    decode_json(data.ljust(LARGE - 1), 1)
    with pytest.raises(BoundError):
        decode_json(data.ljust(LARGE), 1)
    chunk = b'{"x":' + data + b"}"
    with pytest.raises(BoundError):
        decode_chunk(chunk.ljust(LARGE), 1)


@pytest.mark.parametrize("decode", [decode_chunk, decode_completion, decode_embeddings, decode_json])
def test_every_way_in_counts_values(decode: Any) -> None:
    data = b'{"id":"","x":[' + b"{}," * 100_000 + b"{}]}"
    with pytest.raises(BoundError, match="over 112,000 values"):
        decode(data, 112_000)
    with pytest.raises(BoundError, match="over 1 values"):
        decode(b'{"id":"' + b" " * LARGE + b'"}', 1)
    with contextlib.suppress(msgspec.ValidationError):  # which is of a field that is not known
        decode(data, 113_000)


def test_a_large_answer_is_within_the_bounds() -> None:
    vector = b"[" + b",".join([b"0.012345"] * 3072) + b"]"
    rows = [b'{"object":"embedding","index":%d,"embedding":%s}' % (index, vector) for index in range(20)]
    data = b'{"object":"list","data":[' + b",".join(rows) + b"]}"
    assert len(decode_embeddings(data, DEFAULT_LIMITS.max_body_values // 100).data) == 20  # of 2,048


@pytest.mark.parametrize("before", [0, 1, 2, 3, 65_533, 65_534, 65_535, 65_536, 131_071])
@pytest.mark.parametrize(
    "halves",
    [r"\ud800", r"\udc00", r"\udbff\udbff\udfff\udfff", r"\uD83D\uDe00", r"\\ud800", r"\\\ud800", r"\ud800\u0041"],
)
def test_halves_are_replaced_wherever_they_stand(halves: str, before: int) -> None:
    data = b'"' + b"x" * before + halves.encode() + b'\\ud800"'
    expected = json.loads(data).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert json.loads(without_halves(data)) == expected
    assert decode_json(data) == expected


PARTS: Final = st.sampled_from([r"\ud800", r"\udc00", r"\\", r"\n", "ud800", r"\u0041", "é"])


@given(st.lists(PARTS, max_size=12), st.integers(1, 9))
def test_halves_are_replaced_wherever_the_text_is_cut(parts: list[str], piece: int) -> None:
    data = f'"{"".join(parts)}"'.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inference_async.wire.codec._SCANNED_AT_ONCE", piece)
        whole = without_halves(data)
    assert json.loads(whole) == json.loads(data).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@given(st.binary(max_size=40), st.integers(1, 9))
def test_bad_utf_8_is_replaced_wherever_the_text_is_cut(data: bytes, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inference_async.wire.codec._SCANNED_AT_ONCE", piece)
        assert with_replacements(data) == data.decode("utf-8", "replace").encode()


# ---------------------------------------------------------------------------------------------------------------------
# The way out


def test_any_mapping_is_an_object() -> None:
    assert encode(MappingProxyType({"a": MappingProxyType({})})) == b'{"a":{}}'


def test_what_has_no_json_form() -> None:
    with pytest.raises(TypeError, match=r"^objects of type complex have no JSON form$"):
        encode({"a": 1j})
