"""The pure rooms, by the shape of what they are fed; nothing here waits, and no socket is opened.

A job is prepared for a number of pieces, and then done. ``python -m benchmarks.pure JOB:PIECES...`` does jobs one after
the other, marks where each begins, and prints their seconds of CPU as JSON. Streams are fed in reads of 64 KiB, as a
busy connection brings them. The floor is what cannot be avoided: cutting the bytes at blank lines, and no more.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial

from inference_async.types import ChatCompletionChunk
from inference_async.wire.accumulate import Accumulator
from inference_async.wire.chunks import ChunkDecoder
from inference_async.wire.codec import encode
from inference_async.wire.response import completion_from
from inference_async.wire.sse import EventDecoder, ServerSentEvent

from .marks import cpu_seconds, mark, settle

READ = 64 * 1024
MOST = 2**30  # bytes of an event: no bound is to be met here

Work = Callable[[], object]
Job = Callable[[int], Work]
"""Prepares the work on so many pieces: events, answers or bytes."""


def chunk(delta: dict[str, object], *, logprobs: object = None, **more: object) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": None, "logprobs": logprobs}
    head = {"id": "chatcmpl-0123456789abcdef0123456789", "object": "chat.completion.chunk", "created": 1718726371}
    return json.dumps(head | {"model": "mistral-large-2407", "choices": [choice], **more}, ensure_ascii=False)


def call(piece: str) -> dict[str, object]:
    return {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def likely(token: str) -> dict[str, object]:
    return {"token": token, "logprob": -0.31, "bytes": list(token.encode()), "top_logprobs": []}


WORLD = chunk({"content": " world"})
SHAPES: dict[str, str] = {
    "data only": f"data: {WORLD}\n\n",
    "keep-alives": f": ping\n\ndata: {WORLD}\n\n",
    "CRLF": f"data: {WORLD}\r\n\r\n",
    "named events with ids": f"id: 7\nevent: message\ndata: {WORLD}\n\n",
    "multi-byte": f"data: {chunk({'content': ' 世界🙂'})}\n\n",
    "tool arguments": f"data: {chunk(call('Miam'))}\n\n",
    "logprobs": f"data: {chunk({'content': ' world'}, logprobs={'content': [likely(' world')]})}\n\n",
    "unknown fields": f"data: {chunk({'content': ' world'}, provider='x', timings={'n': 1})}\n\n",
}


def completion(message: dict[str, object], *, logprobs: object = None, **more: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": "stop", "logprobs": logprobs}
    usage = {"prompt_tokens": 19, "completion_tokens": 84, "total_tokens": 103}
    head = {"id": "chatcmpl-0123456789abcdef0123456789", "object": "chat.completion", "created": 1718726371}
    return json.dumps(head | {"model": "mistral-large-2407", "choices": [choice], "usage": usage, **more}).encode()


WORDS = "About seven thousand languages are spoken. " * 10
FUNCTION = {"name": "get_flight_info", "arguments": '{"origin_city": "Miami", "destination_city": "Seattle"}'}
ANSWERS: dict[str, bytes] = {
    "an answer": completion({"content": WORDS}),
    "tool calls": completion({"content": None, "tool_calls": [{"id": "c", "type": "function", "function": FUNCTION}]}),
    "logprobs": completion({"content": WORDS}, logprobs={"content": [likely(" seven") for _ in range(84)]}),
    "unknown fields": completion({"content": WORDS}, provider="x", timings={"n": 1}),
}
REQUEST = {"model": "mistral-large-2407", "messages": [{"role": "user", "content": WORDS}], "temperature": 0}


def reads(data: bytes, size: int = READ) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def split(pieces: list[bytes]) -> None:
    rest = b""
    for piece in pieces:
        *_, rest = (rest + piece).split(b"\r\n\r\n" if b"\r" in piece else b"\n\n")


def decoded(pieces: list[bytes]) -> list[ServerSentEvent]:
    decoder = EventDecoder(max_event_bytes=MOST)
    return [event for piece in pieces for event in decoder.feed(piece)]


def cut(pieces: list[bytes]) -> None:
    decoder = EventDecoder(max_event_bytes=MOST)
    for piece in pieces:
        decoder.feed(piece)


def chunks_of(events: list[ServerSentEvent]) -> list[ChatCompletionChunk]:
    chunks = [item for item in ChunkDecoder().decode(events) if isinstance(item, ChatCompletionChunk)]
    assert len(chunks) == len(events)
    return chunks


def accumulated(chunks: list[ChatCompletionChunk]) -> object:
    accumulator = Accumulator()
    for one in chunks:
        accumulator.add(one)
    return accumulator.completion


def folded(pieces: list[bytes]) -> object:
    """All of it, read by read, as `ChatStream` does."""
    events, chunks, accumulator = EventDecoder(), ChunkDecoder(), Accumulator()
    for piece in pieces:
        for item in chunks.decode(events.feed(piece)):
            accumulator.add(item)  # type: ignore[arg-type]  # these streams hold chunks only
    return accumulator.completion


def stream_jobs(shape: str) -> dict[str, Job]:
    def fed(work: Callable[[list[bytes]], object]) -> Job:
        return lambda events: partial(work, reads(shape.encode() * events))

    def events(count: int) -> list[ServerSentEvent]:
        return decoded([shape.encode() * count])

    return {
        "split": fed(split),
        "sse": fed(cut),
        "chunks": lambda count: partial(ChunkDecoder().decode, events(count)),
        "accumulate": lambda count: partial(accumulated, chunks_of(events(count))),
        "all": fed(folded),
    }


def read(body: bytes) -> object:
    return completion_from(body=body, status=200, headers={}, url="https://example.test", secrets=())


def dripped(size: int) -> Job:
    """One event of so many bytes, in reads of a size."""
    return lambda length: partial(cut, reads(b"data: " + b"x" * (length - 8) + b"\n\n", size))


def repeated(work: Work) -> Job:
    def prepared(times: int) -> Work:
        def run() -> None:
            for _ in range(times):
                work()

        return run

    return prepared


STAGES = ("split", "sse", "chunks", "accumulate", "all")
DRIPS = {"64 KiB": READ, "1 KiB": 1024, "1 byte": 1}
JOBS: dict[str, Job] = {
    **{f"{stage}, {name}": job for name, shape in SHAPES.items() for stage, job in stream_jobs(shape).items()},
    "single, data only": lambda events: partial(folded, [SHAPES["data only"].encode()] * events),  # one a read
    **{f"dripped, {name}": dripped(size) for name, size in DRIPS.items()},
    **{f"decode, {name}": repeated(partial(read, body)) for name, body in ANSWERS.items()},
    "encode, a request": repeated(partial(encode, REQUEST)),
}
WARM_UP = 10


def main(tasks: list[str]) -> None:
    asked = [(name, int(count)) for name, _, count in (task.rpartition(":") for task in tasks)]
    for name in dict.fromkeys(name for name, _ in asked):
        JOBS[name](WARM_UP)()
    prepared = [JOBS[name](count) for name, count in asked]
    settle()
    taken = []
    for work in prepared:
        mark()
        started = cpu_seconds()
        result = work()
        taken.append(cpu_seconds() - started)
        mark()
        del result
    print(json.dumps(taken))


if __name__ == "__main__":
    main(sys.argv[1:])
