"""What the fuzzer calls: each target takes bytes, as a hostile server may send them, and fails by raising.

A target is a plain function, so that the kept corpus is replayed by the ordinary suite, without a fuzzer. The invariant
is the same everywhere: an error of ours or a value, text that can be encoded, evidence that is bounded, and work that
is linear in the input.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any, Final

from inference_async.errors import EventTooLargeError, InferenceError, StreamError
from inference_async.policy.limits import Limits
from inference_async.types import ChatCompletionChunk
from inference_async.types.base import plain
from inference_async.wire.accumulate import Accumulator
from inference_async.wire.challenge import claims_in
from inference_async.wire.chunks import ChunkDecoder, Item, Mark, chunk_of
from inference_async.wire.codec import DecodeFailure, decode_json, lenient
from inference_async.wire.response import (
    completion_from,
    describe_error,
    embeddings_from,
    error_from,
    model_info_from,
    redact,
    retry_after_of,
)
from inference_async.wire.sse import EventDecoder, ServerSentEvent

SECRET: Final = "k3y-0f-the/cust+mer=="
LIMITS: Final = Limits(max_event_bytes=4096, max_body_bytes=65_536, max_choices=8, max_tool_calls=8)
LONGEST_MESSAGE: Final = 8 * 1024
_ACTIVE: Final = frozenset(map(chr, (*range(32), *range(127, 160), 0x2028, 0x2029, 0x202E, 0x2066)))
_SECONDS: Final = 2.0  # for a few KiB, which take a millisecond: only work that is not linear comes near


def sse(data: bytes) -> None:
    """Any slicing gives the events of one feed, and the same end."""
    seed, data = data[:4], data[4:]
    whole = _events([data])
    assert _events([data[at : at + 1] for at in range(len(data))]) == whole
    cuts = sorted(byte * len(data) // 255 for byte in seed)
    assert _events([data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]) == whole


def chunks(data: bytes) -> None:
    """Events to items: whatever an event is, it is a chunk, an error or an end, and only the last is no chunk."""
    decoder = ChunkDecoder(limits=LIMITS)
    decoder.secrets = (SECRET,)
    named, data = data[:1], data[1:]
    event = "error" if named == b"e" else "message"
    items = decoder.decode([ServerSentEvent(piece, event) for piece in data.split(b"\n\n")])
    _check_items(items)
    _check_items(ChunkDecoder(limits=LIMITS).last(ServerSentEvent(data, event)))


def accumulate(data: bytes) -> None:
    """A whole stream, from its bytes to the completion, which folds back into itself."""
    events = EventDecoder(max_event_bytes=LIMITS.max_event_bytes)
    decoder = ChunkDecoder(limits=LIMITS)
    whole = Accumulator(limits=LIMITS)
    items: list[Item] = []
    try:
        items += decoder.decode(events.feed(data))
        items += decoder.last(events.close())
    except EventTooLargeError:
        items += decoder.decode(events.whole)
    for item in items:
        if not isinstance(item, ChatCompletionChunk):
            break
        try:
            whole.add(item)
        except StreamError as error:
            _check_error(error)
            break
    completion = whole.completion
    _check_text(completion)
    assert len(completion.choices) <= LIMITS.max_choices
    assert all(len(choice.message.tool_calls) <= LIMITS.max_tool_calls for choice in completion.choices)
    ids = [[call.id for call in choice.message.tool_calls] for choice in completion.choices]
    assert all(len(set(names)) == len(names) for names in ids)
    again = Accumulator()
    again.add(chunk_of(completion))
    texts = [choice.message.text for choice in completion.choices]
    assert [choice.message.text for choice in again.completion.choices] == texts
    assert [[call.id for call in choice.message.tool_calls] for choice in again.completion.choices] == ids


def response(data: bytes) -> None:
    """Whole bodies, as an answer of each kind and as an error of each status."""
    kind, body = data[:1], data[1:]
    for read in (completion_from, embeddings_from, model_info_from):
        try:
            answer = read(status=200, headers={}, body=body, url="https://h.example/v1", secrets=(SECRET,))
        except InferenceError as error:
            _check_error(error)
        else:
            _check_text(answer)
    status = 400 + kind[0] % 130 if kind else 500
    _check_error(error_from(status=status, headers={}, body=body, url="https://h.example/v1", secrets=(SECRET,)))


def errors(data: bytes) -> None:
    """The head of a refusal: bodies, Retry-After, redirects, challenges, and secrets that are echoed."""
    found = describe_error(data)
    assert all(len(text or "") <= 2048 for text in (found.message, found.code, found.type, found.param))
    text = data.decode("latin-1")
    name, _, value = text.partition(":")
    headers = {"retry-after": value, "date": name, "location": text, "x-request-id": value, "retry-after-ms": name}
    for seconds in (retry_after_of(headers), retry_after_of({"retry-after": text}), retry_after_of({"date": text})):
        assert seconds is None or 0 <= seconds < float("inf")
    _check_error(error_from(status=307, headers=headers, body=data, url="https://h.example/v1", secrets=(SECRET,)))
    claims = claims_in(text)
    assert claims is None or isinstance(json.loads(claims), dict)
    assert SECRET not in redact(text + SECRET + text, [SECRET])


def codec(data: bytes) -> None:
    """What the decoder takes for JSON, Python takes too, with the same meaning; the slow path reads any of it."""
    try:
        value = decode_json(data)
    except DecodeFailure:
        return
    _encodable(value)
    with contextlib.suppress(*DecodeFailure):
        lenient(value, ChatCompletionChunk)
    if b"\\u" in data or any(len(run) > 15 for run in data.split(b",")):
        return  # surrogate halves and numbers beyond a float's precision are ours to replace and to round
    assert _same(json.loads(data.decode("utf-8", "replace")), value)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target for target in (sse, chunks, accumulate, response, errors, codec)
}


def run(target: Callable[[bytes], None], data: bytes) -> None:
    """One input, and that it took no more than its length allows."""
    begun = time.process_time()
    target(data)
    assert time.process_time() - begun < _SECONDS * (1 + len(data) / 65_536), f"{len(data)} bytes took too long"


def _events(pieces: list[bytes]) -> tuple[list[ServerSentEvent], Any, Any, Any]:
    decoder = EventDecoder(max_event_bytes=LIMITS.max_event_bytes)
    events: list[ServerSentEvent] = []
    rest: Any = None
    for piece in pieces:
        try:
            events += decoder.feed(piece)
        except EventTooLargeError:
            return events + decoder.whole, "too large", None, None
    try:
        rest = decoder.close()
    except EventTooLargeError:
        rest = "too large"
    return events, rest, decoder.last_event_id, decoder.retry


def _check_items(items: list[Item]) -> None:
    for place, item in enumerate(items):
        if isinstance(item, StreamError):
            _check_error(item)
        if isinstance(item, ChatCompletionChunk):
            _check_text(item)
        else:
            assert item is Mark.END or items[place + 1 :] in ([], [Mark.END])


def _check_error(error: InferenceError) -> None:
    said = f"{error} {error.args!r}"
    said.encode()
    assert len(str(error)) <= LONGEST_MESSAGE
    assert _ACTIVE.isdisjoint(str(error)), repr(str(error))
    assert SECRET not in said


def _check_text(value: Any) -> None:
    _encodable(plain(value))


def _encodable(value: Any) -> None:
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, dict):
            left += [*value, *value.values()]
        elif isinstance(value, list):
            left += value


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    return bool(ours == theirs)
