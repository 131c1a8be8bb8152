"""`python -m benchmarks`: the pure rooms, by the shape of what they are fed.

Each row feeds the same stream in 64 KiB reads, as a busy connection brings it, five times; the median counts. The floor
is what cannot be avoided: cutting the bytes at blank lines, and no more.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator

from inference_async.wire.accumulate import Accumulator
from inference_async.wire.chunks import ChunkDecoder
from inference_async.wire.sse import EventDecoder

EVENTS = 20_000
READ = 64 * 1024


def chunk(delta: dict[str, object], **more: object) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    head = {"id": "chatcmpl-0123456789abcdef0123456789", "object": "chat.completion.chunk", "created": 1718726371}
    return json.dumps(head | {"model": "mistral-large-2407", "choices": [choice], **more}, ensure_ascii=False)


def call(piece: str) -> dict[str, object]:
    return {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


SHAPES: dict[str, str] = {
    "data only": f"data: {chunk({'content': ' world'})}\n\n",
    "CRLF": f"data: {chunk({'content': ' world'})}\r\n\r\n",
    "keep-alives": f": ping\n\ndata: {chunk({'content': ' world'})}\n\n",
    "named events with ids": f"id: 7\nevent: message\ndata: {chunk({'content': ' world'})}\n\n",
    "multi-byte": f"data: {chunk({'content': ' 世界🙂'})}\n\n",
    "tool arguments": f"data: {chunk(call('Miam'))}\n\n",
    "unknown fields": f"data: {chunk({'content': ' world'}, provider='x', timings={'n': 1})}\n\n",
}


def reads(shape: str) -> list[bytes]:
    data = shape.encode() * EVENTS
    return [data[at : at + READ] for at in range(0, len(data), READ)]


def split(pieces: list[bytes]) -> Iterator[object]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\r\n\r\n" if b"\r" in piece else b"\n\n")
        yield whole


def decode(pieces: list[bytes]) -> Iterator[object]:
    events = EventDecoder()
    for piece in pieces:
        yield events.feed(piece)


def fold(pieces: list[bytes]) -> Iterator[object]:
    events, chunks, accumulator = EventDecoder(), ChunkDecoder(), Accumulator()
    for piece in pieces:
        for item in chunks.decode(events.feed(piece)):
            accumulator.add(item)  # type: ignore[arg-type]  # these streams hold chunks only
    yield accumulator.completion


def seconds(work: Callable[[list[bytes]], Iterator[object]], pieces: list[bytes]) -> float:
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in work(pieces):
            pass
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def main() -> None:
    print(f"{'shape':24}{'split':>12}{'sse':>12}{'ratio':>8}{'sse + chunks + fold':>22}{'per chunk':>12}")
    for name, shape in SHAPES.items():
        pieces = reads(shape)
        mib = sum(map(len, pieces)) / 1e6
        floor, sse, whole = (seconds(work, pieces) for work in (split, decode, fold))
        print(
            f"{name:24}{mib / floor:7.0f} MB/s{mib / sse:7.0f} MB/s{sse / floor:8.2f}"
            f"{mib / whole:17.0f} MB/s{whole / EVENTS * 1e6:9.2f} us"
        )


if __name__ == "__main__":
    main()
