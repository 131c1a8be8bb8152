"""Answers that lie: what a server sends in place of an answer is read right, or refused with an error of ours."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Final

import pytest

from inference_async.errors import APIStatusError, InferenceError, InvalidResponseError, StreamError
from inference_async.policy.limits import Limits
from inference_async.types import ChatCompletionChunk
from inference_async.types.base import plain
from inference_async.wire.accumulate import Accumulator
from inference_async.wire.chunks import ChunkDecoder, Item
from inference_async.wire.response import completion_from, embeddings_from, error_from, model_info_from
from inference_async.wire.sse import ServerSentEvent

ROOT: Final = Path(__file__).parent.parent.parent
URL: Final = "https://h.example/v1"

SUITE: Final = json.loads((Path(__file__).parent / "data" / "json_test_suite.json").read_bytes())
IS_JSON: Final[list[bytes]] = [text.encode("latin-1") for text in SUITE["accepted"]]
NOT_JSON: Final[dict[str, bytes]] = {
    **{name: text.encode("latin-1") for name, text in SUITE["refused"].items()},
    "structure_100000_opening_arrays": b"[" * 100_000,
    "structure_open_array_object": b'[{"":' * 50_000 + b"\n",
}


def refused(error: InferenceError) -> None:
    """An error of ours, fit to be shown."""
    said = str(error)
    said.encode()
    assert len(said) <= 2048 + 512
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in said)
    body = getattr(error, "body", "")
    assert len(body) <= 65_536 if isinstance(error, APIStatusError) else len(body) <= 2048


def items_of(data: bytes, **limits: int) -> list[Item]:
    return ChunkDecoder(limits=Limits(**limits)).decode([ServerSentEvent(data)])


def readers() -> list[Any]:
    return [completion_from, embeddings_from, model_info_from]


def encodable(value: Any) -> None:
    json.dumps(plain(value), ensure_ascii=False).encode()


@pytest.mark.parametrize("data", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_no_json_is_no_answer(data: bytes) -> None:
    for read in readers():
        with pytest.raises(InvalidResponseError) as caught:
            read(status=200, headers={}, body=data, url=URL)
        refused(caught.value)
    refused(error_from(status=500, headers={}, body=data, url=URL))
    within = b'{"choices":[{"index":0,"message":{"content":"a"},"delta":{"content":"a"}}],"x":' + data + b"}"
    for outer in (data, within):
        items = items_of(outer)
        if outer.strip():
            # A gateway that glues objects together is believed up to what is none: a chunk may come before the error.
            *before, error = items
            assert isinstance(error, StreamError)
            assert not before or outer.startswith(b"{")
            refused(error)
        else:
            assert items == []  # a heartbeat
        for item in ChunkDecoder().last(ServerSentEvent(outer)):
            assert not isinstance(item, ChatCompletionChunk), item
    with pytest.raises(InvalidResponseError):
        completion_from(status=200, headers={}, body=within, url=URL)


@pytest.mark.parametrize("data", IS_JSON)
def test_what_is_json_is_read(data: bytes) -> None:
    body = GOOD[:-1] + b',"x":' + data + b"}"
    assert completion_from(status=200, headers={}, body=body, url=URL).extra == {"x": json.loads(data)}
    [item] = items_of(body)
    assert isinstance(item, ChatCompletionChunk)
    assert item.extra == {"x": json.loads(data)}


def at(path: tuple[str | int, ...], value: Any, whole: Any) -> Any:
    """The whole with the value at a place."""
    if not path:
        return value
    copy: Any = dict(whole) if isinstance(whole, dict) else list(whole)
    copy[path[0]] = at(path[1:], value, copy[path[0]])
    return copy


CALL: Final = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOKEN: Final = {"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": [{"token": "a", "logprob": -1.0}]}
SAID: Final = {"role": "assistant", "content": "hi", "tool_calls": [CALL], "refusal": "no", "annotations": [{}]}
WHOLE: Final[dict[str, Any]] = {
    "id": "i",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": SAID,
            "delta": SAID,
            "finish_reason": "stop",
            "logprobs": {"content": [TOKEN]},
            "content_filter_results": {"hate": {"filtered": False}},
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path]
    if isinstance(value, dict):
        found += [place for name, item in value.items() for place in places(item, (*path, name))]
    elif isinstance(value, list):
        found += [place for index, item in enumerate(value) for place in places(item, (*path, index))]
    return found


LIES: Final[dict[str, bytes]] = {
    "null": b"null",
    "list": b"[]",
    "list of lists": b"[[1]]",
    "list of null": b"[null]",
    "object": b"{}",
    "object of odd things": b'{"x":[null,{"y":1}]}',
    "text": b'"text"',
    "empty text": b'""',
    "half a pair": b'"\\ud800"',
    "true": b"true",
    "number": b"1",
    "negative": b"-1",
    "fraction": b"1.5",
    "more than a double": b"1e999",
    "more than 64 bits": b"18446744073709551616",
    "5,000 digits": b"9" * 5_000,
    "1,000,000 digits": b"9" * 1_000_000,
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "bad UTF-8": b'"\xff\xfe"',
    "deep": b"[" * 70 + b"]" * 70,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_at_any_place(lie: bytes) -> None:
    few: list[tuple[str | int, ...]] = [("created",), ("choices", 0, "index"), ("choices", 0, "delta")]
    for path in places(WHOLE) if len(lie) < 10_000 else few:
        body = json.dumps(at(path, "@", WHOLE)).encode().replace(b'"@"', lie)
        for read in readers():
            try:
                encodable(read(status=200, headers={}, body=body, url=URL))
            except InferenceError as error:
                refused(error)
        whole = Accumulator()
        for item in items_of(body):
            if isinstance(item, ChatCompletionChunk):
                whole.add(item)
                encodable(whole.completion)
                repr(whole.completion)
            elif isinstance(item, StreamError):
                refused(item)


GOOD: Final = b'{"choices":[{"index":0,"message":{"content":"hi"},"delta":{"content":"hi"}}]}'
HARMLESS: Final[dict[str, bytes]] = {
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "white space": b"\r\n\t " + GOOD + b"\n\n",
    "duplicate keys": GOOD.replace(b'"content":"hi"', b'"content":"no","content":"hi"'),
    "unknown fields": GOOD[:-1] + b',"x":{"y":[1e5,null]}}',
    "null": GOOD[:-1] + b',"usage":null,"created":null,"model":null}',
    "index as text": GOOD.replace(b'"index":0', b'"index":"0"'),
    "created as a fraction": GOOD[:-1] + b',"created":1718726686.0}',
    "usage of nonsense": GOOD[:-1] + b',"usage":[1]}',
    "unknown integer of 100 digits": GOOD[:-1] + b',"x":' + b"9" * 100 + b"}",
}


@pytest.mark.parametrize("body", HARMLESS.values(), ids=HARMLESS)
def test_harmless_damage_is_read(body: bytes) -> None:
    assert completion_from(status=200, headers={}, body=body, url=URL).text == "hi"
    if not body.startswith(b"\xef"):  # of a stream, the mark is the event decoder's
        (chunk,) = items_of(body)
        assert isinstance(chunk, ChatCompletionChunk)
        assert chunk.text == "hi"


def test_a_small_stack_survives_any_depth() -> None:
    """Ten million levels in a thread with a stack of 64 KiB, and with a recursion limit that protects nothing."""
    program = """
        import sys, threading
        from inference_async.errors import InferenceError
        from inference_async.structured import Mismatch, decoder_of
        from inference_async.tools import tool
        from inference_async.wire import response
        from inference_async.wire.accumulate import Accumulator
        from inference_async.wire.chunks import ChunkDecoder
        from inference_async.wire.sse import ServerSentEvent
        from inference_async.types import ChatCompletionChunk

        @tool
        def act(x: object = None) -> None:
            "Acts."

        sys.setrecursionlimit(10**6)
        head, tail = b'{"choices":[{"delta":{"content":', b"}}]}"
        bodies = []
        for levels in (64, 100, 150, 200, 320, 1000, 100_000, 10_000_000):
            for opened, closed in ((b"[", b"]"), (b'{"":', b"}"), (b'{"a":[', b"]}")):
                units = levels // len(closed)
                whole = opened * units + b"1" + closed * units
                bodies += [opened * units, whole]
                if levels < 100_000:
                    bodies += [b'{"choices":[{"delta":{"content":' + whole + b"}}]}", b'{"x":' + whole + b"}"]

        def run():
            for body in bodies:
                for read in (response.completion_from, response.embeddings_from, response.model_info_from):
                    try:
                        read(status=200, headers={}, body=body, url="https://h")
                    except InferenceError:
                        pass
                str(response.error_from(status=500, headers={}, body=body, url="https://h"))
                for name in ("message", "error"):
                    whole = Accumulator()
                    for item in ChunkDecoder().decode([ServerSentEvent(body, name)]):
                        if isinstance(item, ChatCompletionChunk):
                            whole.add(item)
                            repr(whole.completion.to_dict())
                if len(body) < 100_000:
                    for decode in (decoder_of(object), act.parse):
                        try:
                            decode(body.decode())
                        except Mismatch:
                            pass
            print("survived")

        threading.stack_size(64 * 1024)
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, "survived"), done.stderr[-2000:]
