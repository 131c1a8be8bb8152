"""One event of a stream: a chunk, the end mark, an error, or nothing."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_async.errors import StreamError
from inference_async.policy.limits import Limits
from inference_async.types import (
    UNSET,
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    FunctionCall,
    FunctionCallDelta,
    Logprobs,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from inference_async.wire.accumulate import Accumulator
from inference_async.wire.chunks import ChunkDecoder, Item, Mark, chunk_of
from inference_async.wire.codec import decode_checked, decode_chunk
from inference_async.wire.sse import ServerSentEvent


def event(data: bytes | str | dict[str, Any] | list[Any], name: str = "message") -> ServerSentEvent:
    if isinstance(data, dict | list):
        data = json.dumps(data)
    return ServerSentEvent(data.encode() if isinstance(data, str) else data, name)


def text(content: str, **fields: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": {"content": content}}], **fields}


def decode(*events: ServerSentEvent) -> list[Item]:
    return ChunkDecoder().decode(events)


def texts(items: list[Item]) -> list[str]:
    """Each item in a word, so that a row of a table can say what is expected."""
    said: list[str] = []
    for item in items:
        if isinstance(item, ChatCompletionChunk):
            said.append(item.text)
        elif isinstance(item, Mark):
            said.append(item.name)
        else:
            said.append("error")
    return said


# ---------------------------------------------------------------------------------------------------------------------
# Events that are chunks, marks, or nothing

ONE: Final[dict[str, tuple[ServerSentEvent, list[str]]]] = {
    "chunk": (event(text("A")), ["A"]),
    "chunk named message": (event(text("A"), "message"), ["A"]),
    "chunk under another event name": (event(text("A"), "chat.completion.chunk"), ["A"]),
    "usage chunk": (event({"id": "c", "choices": [], "usage": {"total_tokens": 1}}), [""]),
    "prompt filter first": (event({"id": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}), [""]),
    "annotation without delta": (event({"choices": [{"index": 0, "content_filter_results": {}}]}), [""]),
    "delta null": (event({"choices": [{"index": 0, "delta": None}]}), [""]),
    "choices null": (event({"id": "c", "choices": None}), [""]),
    "created float": (event(text("A", created=1.5)), ["A"]),
    "created null": (event(text("A", created=None)), ["A"]),
    "unknown fields": (event(text("A", provider="p")), ["A"]),
    "error null": (event(text("A", error=None)), ["A"]),
    "white space around": (event("\n " + json.dumps(text("A")) + " \n"), ["A"]),
    "several data lines": (event(json.dumps(text("A"), indent=1)), ["A"]),
    "done": (event("[DONE]"), ["DONE"]),
    "done with white space": (event(" [DONE]\t\n"), ["DONE"]),
    "done under another event name": (event("[DONE]", "done"), ["DONE"]),
    "heartbeat": (event(""), []),
    "heartbeat of white space": (event(" \n\t"), []),
    "glued": (event(json.dumps(text("A")) + json.dumps(text("B"))), ["A", "B"]),
    "glued by a line break": (event(json.dumps(text("A")) + "\n" + json.dumps(text("B"))), ["A", "B"]),
    "three glued": (event("".join(json.dumps(text(c)) for c in "ABC")), ["A", "B", "C"]),
    "glued, not ASCII": (event(json.dumps(text("é"), ensure_ascii=False) + json.dumps(text("B"))), ["é", "B"]),
    "glued to an error": (event(json.dumps(text("A")) + '{"error":"no"}' + json.dumps(text("B"))), ["A", "error"]),
    "glued to the end mark": (event(json.dumps(text("A")) + "\n[DONE]"), ["A", "DONE"]),
    "glued to rubbish": (event(json.dumps(text("A")) + "rubbish"), ["A", "error"]),
    "invalid UTF-8": (event(b'{"choices":[{"delta":{"content":"a\xffb"}}]}'), ["a\ufffdb"]),
    "invalid UTF-8, glued": (event(b'{"choices":[{"delta":{"content":"\xff"}}]}{"id":"x"}'), ["\ufffd", ""]),
    "half a character": (event(b'{"choices":[{"delta":{"content":"\xe2\x82"}}]}'), ["\ufffd"]),
    "not JSON": (event("<html>"), ["error"]),
    "cut JSON": (event('{"id":"c","choices":['), ["error"]),
    "a list": (event([text("A")]), ["error"]),
    "a number": (event("5"), ["error"]),
    "null": (event("null"), ["error"]),
    "text": (event('"hello"'), ["error"]),
    "another shape": (event({"choices": "none"}), ["error"]),
    "too deep": (event("[" * 100_000), ["error"]),
    "too deep within a chunk": (event('{"id":"c","x":' + "[" * 100_000 + "]" * 100_000 + "}"), ["error"]),
}


@pytest.mark.parametrize(("one", "expected"), ONE.values(), ids=ONE)
def test_one_event(one: ServerSentEvent, expected: list[str]) -> None:
    assert texts(decode(one)) == expected


@pytest.mark.parametrize(("one", "expected"), ONE.values(), ids=ONE)
def test_one_event_from_an_unusual_server(one: ServerSentEvent, expected: list[str]) -> None:
    assert texts(decode(event({"id": "c", "provider": "p"}), one)) == ["", *expected]


def test_chunk_fields_arrive() -> None:
    [chunk] = decode(event({**text("A"), "prompt_annotations": [{"prompt_index": 0}], "usage": {"cost": 1}}))
    assert isinstance(chunk, ChatCompletionChunk)
    assert chunk.extra == {"prompt_annotations": [{"prompt_index": 0}]}
    assert chunk.usage == Usage(unknown_fields={"cost": 1})


# ---------------------------------------------------------------------------------------------------------------------
# Events that are errors


class Row:
    def __init__(
        self,
        data: Any,
        words: str,
        *,
        name: str = "message",
        code: str | None = None,
        kind: str | None = None,
    ) -> None:
        self.event = event(data, name)
        self.words = words
        self.code = code
        self.kind = kind


FULL: Final = {"message": "overloaded", "type": "server_error", "code": "busy", "param": None}

ERRORS: Final[dict[str, Row]] = {
    "nested": Row({"error": FULL}, "overloaded", code="busy", kind="server_error"),
    "nested, event error": Row({"error": FULL}, "overloaded", name="error", code="busy", kind="server_error"),
    "flat, event error": Row(FULL, "overloaded", name="error", code="busy", kind="server_error"),
    "text": Row({"error": "model crashed"}, "model crashed"),
    "text, event error": Row({"error": "model crashed"}, "model crashed", name="error"),
    "inside a chunk": Row(
        {"id": "c", "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}], "error": FULL},
        "overloaded",
        code="busy",
        kind="server_error",
    ),
    "code as number": Row({"error": {"message": "slow down", "code": 429}}, "slow down", code="429"),
    "code alone": Row({"error": {"code": "busy"}}, "busy", code="busy"),
    "detail": Row({"error": {"detail": [{"loc": ["body", "n"], "msg": "too many"}]}}, "n: too many"),
    "JSON in a string": Row({"error": {"message": '{"error":{"message":"inner","code":"x"}}'}}, "inner", code="x"),
    "plain text, event error": Row("model crashed", "model crashed", name="error"),
    "HTML, event error": Row("<html><b>Bad Gateway</b></html>", "Bad Gateway", name="error"),
    "list, event error": Row([{"message": "in a list"}], "in a list", name="error"),
    "nothing, event error": Row("", "error", name="error"),
    "empty object, event error": Row({}, "error", name="error"),
}


@pytest.mark.parametrize("row", ERRORS.values(), ids=ERRORS)
def test_error_event(row: Row) -> None:
    [error] = decode(row.event)
    assert isinstance(error, StreamError)
    assert type(error) is StreamError
    assert row.words in str(error)
    assert (error.code, error.type, error.partial) == (row.code, row.kind, None)
    if row.code is not None:
        assert f"(code {row.code})" in str(error)


def test_error_event_holds_no_control_characters_and_is_bounded() -> None:
    [error] = decode(event({"error": {"message": "a\x1b[2J\r\nb\u2028" + "x" * 100_000, "code": "c\n\x1bd"}}))
    assert isinstance(error, StreamError)
    assert len(str(error)) < 4096
    assert not any(ord(c) < 32 or c in "\x7f\u2028" for c in str(error))


@pytest.mark.parametrize("data", ["<html>\x1b[2J\n", '["\x00"]', "x" * 100_000], ids=["html", "list", "long"])
def test_unreadable_event_is_quoted_safely(data: str) -> None:
    [error] = decode(event(data))
    assert isinstance(error, StreamError)
    assert data[:1] in str(error)
    assert len(str(error)) < 400
    assert not any(ord(c) < 32 for c in str(error))


# ---------------------------------------------------------------------------------------------------------------------
# Several events


def test_nothing_follows_the_end_mark() -> None:
    assert texts(decode(event(text("A")), event("[DONE]"), event(text("B")))) == ["A", "DONE"]


def test_nothing_follows_an_error() -> None:
    items = decode(event(text("A")), event({"error": FULL}), event("[DONE]"), event(text("B")))
    assert texts(items) == ["A", "error"]


def test_what_came_before_a_bad_event_is_kept() -> None:
    assert texts(decode(event(text("A")), event(""), event(text("B")), event("{"))) == ["A", "B", "error"]


def test_no_event() -> None:
    assert decode() == []


def test_fast_path_is_given_up_after_a_server_sent_unknown_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []
    original = decode_chunk

    def counted(data: bytes, *bounds: int) -> ChatCompletionChunk:
        tried.append(data)
        return original(data, *bounds)

    monkeypatch.setattr("inference_async.wire.chunks.decode_chunk", counted)
    decoder = ChunkDecoder()
    decoder.decode([event(text("A")), event(""), event(text("B"))])
    assert len(tried) == 3
    decoder.decode([event(text("C", provider="p"))] * 5)
    assert len(tried) == 4
    assert texts(decoder.decode([event(text("D")), event("[DONE]")])) == ["D", "DONE"]
    assert len(tried) == 4


def test_glued_objects_cost_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many objects are glued together, they are not read again and again."""
    calls = copied = 0
    original = decode_checked

    def counted(data: bytes | memoryview) -> Any:
        nonlocal calls, copied
        calls += 1
        copied += len(data) if isinstance(data, bytes) else 0  # a view costs nothing
        return original(data)

    monkeypatch.setattr("inference_async.wire.chunks.decode_checked", counted)
    data = json.dumps(text("A")) * 500
    assert texts(decode(event(data))) == ["A"] * 500
    assert calls <= 3 * 500
    assert copied <= 10 * len(data)


# ---------------------------------------------------------------------------------------------------------------------
# The end of the body

LAST: Final[dict[str, tuple[ServerSentEvent | None, list[str]]]] = {
    "nothing": (None, ["END"]),
    "chunk": (event(text("A")), ["A", "END"]),
    "done": (event("[DONE]"), ["DONE", "END"]),
    "done with white space": (event(" [DONE] "), ["DONE", "END"]),
    "error": (event({"error": FULL}), ["error", "END"]),
    "error, named": (event(FULL, "error"), ["error", "END"]),
    "half a chunk": (event('{"id":"c","choices":[{"del'), ["END"]),
    "half an end mark": (event("[DON"), ["END"]),
    "empty": (event(""), ["END"]),
    "not JSON": (event("bye"), ["END"]),
    "half a character": (event(b'{"id":"\xe2'), ["END"]),
}


@pytest.mark.parametrize(("last", "expected"), LAST.values(), ids=LAST)
def test_last(last: ServerSentEvent | None, expected: list[str]) -> None:
    assert texts(ChunkDecoder().last(last)) == expected


MANY: Final = b"[" + b",".join([b'""'] * 100_000) + b"]"  # over 256 KiB, where values are counted
CROWDED: Final = b'{"choices":[{"index":0,"delta":{"content":"a","annotations":%b}}]}' % MANY


@pytest.mark.parametrize("most", [100, 200_000])
@pytest.mark.parametrize(
    "event",
    [
        pytest.param(ServerSentEvent(CROWDED), id="plain"),
        pytest.param(ServerSentEvent(b'{"unknown":1,' + CROWDED[1:]), id="with an unknown field"),
    ],
)
@pytest.mark.parametrize("unfinished", [False, True], ids=["ended", "left unfinished"])
def test_values_of_an_event_are_bounded(event: ServerSentEvent, most: int, *, unfinished: bool) -> None:
    decoder = ChunkDecoder(limits=Limits(max_event_values=most))
    items = decoder.last(event) if unfinished else decoder.decode([event])
    if most == 100:
        assert isinstance(items[0], StreamError)
        assert "max_event_values bounds the values" in str(items[0])
    else:
        assert isinstance(items[0], ChatCompletionChunk)
    assert items[1:] == ([Mark.END] if unfinished else [])


def test_an_error_event_over_the_bound_is_still_the_error() -> None:
    decoder = ChunkDecoder(limits=Limits(max_event_values=100))
    data = b'{"error":{"message":"overloaded","code":"x"},"more":%b}' % MANY
    (item,) = decoder.decode([ServerSentEvent(data, "error")])
    assert str(item).startswith("the service ended the stream with an error: ")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ('{"message": "no", "code": "x"}', "the service ended the stream with an error: no (code x)"),
        ('{"message": "no"}', "the service ended the stream with an error: no"),
        ("{}", "the service ended the stream with an error: no reason given"),
    ],
)
def test_words_of_an_error_event(error: str, expected: str) -> None:
    (item,) = ChunkDecoder().decode([ServerSentEvent(error.encode(), "error")])
    assert str(item) == expected


@pytest.mark.parametrize(("status", "expected"), [(503, 503), (None, 200)])
def test_an_error_event_may_name_a_status(status: int | None, expected: int) -> None:
    (error,) = decode(event({"error": {"message": "no", "status": status}}))
    assert isinstance(error, StreamError)
    assert error.status == expected


DEEP: Final = "[" * 100 + "]" * 100
UNREADABLE: Final = {
    '{"choices":[5]}': (
        'the stream holds an event of another shape: Expected `object`, got `int` - at `$.choices[0]`: {"choices":[5]}'
    ),
    "[]": "the stream holds an event that is no JSON object: []",
    "<p>": "the stream holds an event that is not JSON: <p>",
    DEEP: (
        "the stream holds an event with values nested over 64 levels deep, which is not read (max_event_values bounds "
        f"the values, max_event_bytes the text; the depth is fixed): {DEEP}"
    ),
}


@pytest.mark.parametrize(("data", "words"), UNREADABLE.items(), ids=["shape", "list", "text", "deep"])
def test_what_cannot_be_read_in_full(data: str, words: str) -> None:
    (error,) = decode(event(data))
    assert str(error) == words


def test_an_error_event_of_an_object_and_more_is_one_error() -> None:
    (first, error) = decode(event(json.dumps(text("A")) + "went wrong"))
    assert isinstance(first, ChatCompletionChunk)
    assert str(error) == "the stream holds an event that is not JSON: went wrong"


def test_objects_without_a_border_are_bounded() -> None:
    items = ChunkDecoder().decode([ServerSentEvent(b'{"choices":[]}' * 2000)])
    assert str(items[-1]).startswith("the stream holds an event of over ")


# ---------------------------------------------------------------------------------------------------------------------
# A whole completion as one chunk


def test_calls_of_a_completion_are_numbered() -> None:
    calls = [
        ToolCall(
            id=str(number),
            type="function",
            function=FunctionCall(name="f", arguments="{}", call_id="i", unknown_fields={"y": number}),
            unknown_fields={"x": number},
        )
        for number in range(2)
    ]
    whole = ChatCompletion(
        object="o", choices=[Choice(message=AssistantMessage(tool_calls=calls), finish_reason="stop")]
    )
    chunk = chunk_of(whole)
    assert (chunk.object, chunk.choices[0].delta.role) == ("o", "assistant")
    assert chunk.choices[0].delta.tool_calls == [
        ToolCallDelta(
            index=number,
            id=str(number),
            type="function",
            function=FunctionCallDelta(name="f", arguments="{}", call_id="i", unknown_fields={"y": number}),
            unknown_fields={"x": number},
        )
        for number in range(2)
    ]


def folded(completion: ChatCompletion) -> ChatCompletion:
    whole = Accumulator()
    whole.add(chunk_of(completion))
    return whole.completion


def completion(*choices: Choice, **fields: Any) -> ChatCompletion:
    fields = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", **fields}
    return ChatCompletion(choices=list(choices), **fields)


def call(id_: str, name: str, arguments: str, **fields: Any) -> ToolCall:
    function = FunctionCall(name=name, arguments=arguments, call_id=None)
    return ToolCall(id=id_, function=function, unknown_fields=fields or UNSET)


WHOLE: Final[dict[str, ChatCompletion]] = {
    "no choices": completion(),
    "text": completion(Choice(message=AssistantMessage(content="a"), finish_reason="stop")),
    "empty text": completion(Choice(message=AssistantMessage(content=""), finish_reason="stop")),
    "no content": completion(Choice(message=AssistantMessage(), finish_reason="content_filter")),
    "parts": completion(
        Choice(
            message=AssistantMessage(content=[{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}])
        )
    ),
    "two choices": completion(
        Choice(index=0, message=AssistantMessage(content="a"), finish_reason="stop"),
        Choice(index=1, message=AssistantMessage(content="b"), finish_reason="length"),
    ),
    "calls": completion(
        Choice(
            message=AssistantMessage(tool_calls=[call("c1", "f", '{"a":1}', sign="s"), call("c2", "f", "")]),
            finish_reason="stop",
        )
    ),
    "two calls with equal arguments": completion(
        Choice(message=AssistantMessage(tool_calls=[call("c1", "f", "{}", a=1), call("c2", "f", "{}", a=2)]))
    ),
    "everything of a message": completion(
        Choice(
            message=AssistantMessage(
                content="a",
                refusal="no",
                reasoning_content="hm",
                raw_reasoning="hm hm",
                function_call={"name": "f", "arguments": "{}"},
                audio={"id": "a1", "data": "AA==", "transcript": "t", "expires_at": 5},
                annotations=[{"type": "url_citation"}],
                unknown_fields={"context": {"x": 1}},
            ),
            finish_reason="stop",
            logprobs=Logprobs(content=[TokenLogprob("a", -0.5)]),
            content_filter_results={"hate": {"filtered": False}},
            unknown_fields={"stop_reason": 5},
        ),
        usage=Usage(total_tokens=1, unknown_fields={"cost": 1}),
        system_fingerprint="fp",
        service_tier="default",
        prompt_filter_results=[{"prompt_index": 0}],
        unknown_fields={"provider": "p"},
    ),
    "name of a message": completion(Choice(message=AssistantMessage(content="a", name="ann"))),
}


@pytest.mark.parametrize("whole", WHOLE.values(), ids=WHOLE)
def test_chunk_of_a_completion_folds_back(whole: ChatCompletion) -> None:
    assert folded(whole) == whole


words = st.text(max_size=8)
some_calls = st.lists(st.tuples(words, words, st.sampled_from(["", "{}", '{"a":1}', "[", '"x"'])), max_size=4)


@given(
    st.lists(
        st.tuples(
            st.none() | words,
            some_calls,
            st.sampled_from([None, "stop", "tool_calls"]),
            st.none() | st.text(min_size=1, max_size=8),
        ),
        max_size=3,
    )
)
def test_any_completion_folds_back(
    rows: list[tuple[str | None, list[tuple[str, str, str]], str | None, str | None]],
) -> None:
    whole = completion(
        *(
            Choice(
                index=index,
                finish_reason=finish,
                message=AssistantMessage(
                    content=content,
                    reasoning_content=reasoning,
                    tool_calls=[
                        ToolCall(id=f"c{number}-{id_}", function=FunctionCall(name=name, arguments=arguments))
                        for number, (id_, name, arguments) in enumerate(calls)
                    ],
                ),
            )
            for index, (content, calls, finish, reasoning) in enumerate(rows)
        )
    )
    assert folded(whole) == whole


@pytest.mark.parametrize(("bad", "is_read"), [(33, True), (34, False)])
def test_what_is_no_utf8_is_replaced_within_the_bound_on_an_event(bad: int, is_read: bool) -> None:
    data = b'{"choices":[{"delta":{"content":"' + b"\xff" * bad + b'"}}]}'
    decoder = ChunkDecoder(limits=Limits(max_event_bytes=len(data) - bad + 3 * 33))
    (item,) = decoder.decode([ServerSentEvent(data)])
    if is_read:
        assert isinstance(item, ChatCompletionChunk)
        assert item.choices[0].delta.content == "\ufffd" * bad
    else:
        assert isinstance(item, StreamError)
        assert "bytes of text, which is not read" in str(item)
