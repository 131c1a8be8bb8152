"""Events to chunks: what one event of a chat stream says.

An event is a chunk, the end mark, an error, or nothing (a heartbeat). The usual event is decoded straight into its
Struct; everything else is looked at twice, in `_unusual`, so that the usual one pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, TypeAlias

import msgspec

from ..errors import StreamError
from ..policy.limits import DEFAULT_LIMITS, Limits
from ..types import (
    ChatCompletion,
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    FunctionCallDelta,
    ToolCallDelta,
)
from ..types.base import is_object
from .codec import (
    BoundError,
    DecodeFailure,
    decode_checked,
    decode_chunk,
    decode_json,
    encode,
    lenient,
    with_replacements,
    without_halves,
)
from .response import describe_error, excerpt, head_of
from .sse import ServerSentEvent

__all__ = ["ChunkDecoder", "Item", "Mark", "chunk_of"]


class Mark(Enum):
    """The two ends of a stream."""

    DONE = "the end mark, data: [DONE]"
    END = "the end of the body"


Item: TypeAlias = ChatCompletionChunk | StreamError | Mark
"""What an event can be. An error is a value: whoever reads the stream hands out what came before it, then raises."""

_DONE_DATA: Final = b"[DONE]"
_MOST_GLUED: Final = 1024  # objects in one event: each takes far longer to read than it takes to send
_CHUNK_FIELDS: Final = frozenset({"choices", "usage", "prompt_filter_results", "prompt_annotations"})
_COMPLAINT_FIELDS: Final = frozenset({"message", "detail", "code", "error_description"})


class ChunkDecoder:
    """Decodes the events of one stream.

    It remembers one thing: whether this server sends fields that the fast path refuses. If so, the fast path is no
    longer tried, because failing costs more than the slow path alone.

    Args:
        limits: bounds the values in one event, and its text where what is no UTF-8 in it is replaced.

    Attributes:
        secrets: what must not stand in an error, should the server repeat it.
    """

    __slots__ = ("_max_bytes", "_max_values", "_unusual_server", "secrets")

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._max_values = limits.max_event_values
        self._max_bytes = limits.max_event_bytes
        self._unusual_server = False
        self.secrets: tuple[str, ...] = ()

    def decode(self, events: Iterable[ServerSentEvent]) -> list[Item]:
        """What these events say, in order. Nothing follows an end mark or an error."""
        items: list[Item] = []
        max_values = self._max_values
        for event in events:
            data = event.data
            if event.event != "error" and not self._unusual_server:
                try:
                    items.append(decode_chunk(data, max_values))
                    continue
                except DecodeFailure:
                    pass
            self._unusual(event, items)
            if items and not isinstance(items[-1], ChatCompletionChunk):
                break
        return items

    def last(self, event: ServerSentEvent | None) -> list[Item]:
        """The end of the body, and before it the block it left unfinished, if that is the end mark or whole JSON.

        The standard drops it. Gateways forget the last blank line, and the event lost would be the one that carries
        the finish reason and the usage. Half an event is not an error here either: that the stream is cut is for the
        layer above to say.
        """
        return [*(self.decode([event]) if event is not None and self._is_whole(event.data) else []), Mark.END]

    def _unusual(self, event: ServerSentEvent, items: list[Item]) -> None:
        data = event.data.strip()
        if data == _DONE_DATA:
            items.append(Mark.DONE)
            return
        if not data:
            if event.event == "error":
                items.append(self._error_event(data))
            return  # else a heartbeat made of an empty event
        try:
            objects, rest = [decode_json(data, self._max_values)], b""
        except BoundError as error:
            items.append(self._over_a_bound(error, event))
            return
        except UnicodeDecodeError:
            data = with_replacements(data)
            if len(data) > self._max_bytes:  # a byte becomes three, and all of it would be decoded in one go
                items.append(self._over_a_bound(BoundError(f"over {self._max_bytes:,} bytes of text"), event))
                return
            objects, rest = _decode_glued(data)
        except DecodeFailure:
            objects, rest = _decode_glued(data)
        for obj in objects:
            items.append(self._read(obj, event))
            if not isinstance(items[-1], ChatCompletionChunk):
                return
        if rest == _DONE_DATA:
            items.append(Mark.DONE)
        elif rest and event.event == "error":
            items.append(self._error_event(rest))
        elif len(objects) == _MOST_GLUED:
            items.append(StreamError(f"the stream holds an event of over {_MOST_GLUED:,} objects without a border"))
        elif rest:
            items.append(StreamError(f"the stream holds an event that is not JSON: {self._excerpt(rest)}"))

    def _read(self, obj: Any, event: ServerSentEvent) -> Item:
        if not is_object(obj):
            return StreamError(f"the stream holds an event that is no JSON object: {self._excerpt(event.data)}")
        if event.event == "error" or obj.get("error") or _is_bare_error(obj):
            return self._error_event(encode(obj))
        try:
            chunk = lenient(obj, ChatCompletionChunk)
        except (msgspec.ValidationError, RecursionError) as error:
            return StreamError(f"the stream holds an event of another shape: {error}: {self._excerpt(event.data)}")
        self._unusual_server = True
        return chunk

    def _over_a_bound(self, error: BoundError, event: ServerSentEvent) -> StreamError:
        if event.event == "error":
            return self._error_event(event.data)
        return StreamError(
            f"the stream holds an event with {error}, which is not read (max_event_values bounds the values, "
            f"max_event_bytes the text; the depth is fixed): {self._excerpt(event.data)}"
        )

    def _is_whole(self, data: bytes) -> bool:
        if data.strip() == _DONE_DATA:
            return True
        try:
            decode_json(data, self._max_values)
        except BoundError:
            return True  # which is an error that must not be lost
        except DecodeFailure:
            return False
        return True

    def _error_event(self, data: bytes) -> StreamError:
        found = describe_error(head_of(data, self.secrets).encode())
        text = found.message or "no reason given"
        code = f" (code {found.code})" if found.code else ""
        return StreamError(
            f"the service ended the stream with an error: {text}{code}",
            code=found.code,
            type=found.type,
            status=found.status or 200,
        )

    def _excerpt(self, data: bytes) -> str:
        return excerpt(head_of(data, self.secrets).encode())


def chunk_of(completion: ChatCompletion) -> ChatCompletionChunk:
    """A whole completion as one chunk, for servers that answer a stream request with one."""
    return ChatCompletionChunk(
        id=completion.id,
        object=completion.object,
        created=completion.created,
        model=completion.model,
        usage=completion.usage,
        system_fingerprint=completion.system_fingerprint,
        service_tier=completion.service_tier,
        prompt_filter_results=completion.prompt_filter_results,
        unknown_fields=completion.unknown_fields,
        choices=[
            ChunkChoice(
                index=choice.index,
                finish_reason=choice.finish_reason,
                logprobs=choice.logprobs,
                content_filter_results=choice.content_filter_results,
                unknown_fields=choice.unknown_fields,
                delta=Delta(
                    role="assistant",
                    content=choice.message.content,
                    refusal=choice.message.refusal,
                    reasoning_content=choice.message.reasoning_content,
                    raw_reasoning=choice.message.raw_reasoning,
                    function_call=choice.message.function_call,
                    audio=choice.message.audio,
                    annotations=choice.message.annotations,
                    name=choice.message.name,
                    unknown_fields=choice.message.unknown_fields,
                    tool_calls=[
                        ToolCallDelta(
                            index=index,
                            id=call.id,
                            type=call.type,
                            unknown_fields=call.unknown_fields,
                            function=FunctionCallDelta(
                                name=call.function.name,
                                arguments=call.function.arguments,
                                call_id=call.function.call_id,
                                unknown_fields=call.function.unknown_fields,
                            ),
                        )
                        for index, call in enumerate(choice.message.tool_calls)
                    ]
                    or None,
                ),
            )
            for choice in completion.choices
        ],
    )


def _is_bare_error(obj: dict[str, Any]) -> bool:
    """An error body without a word for it: nothing of a chunk, and a complaint."""
    return _CHUNK_FIELDS.isdisjoint(obj) and not _COMPLAINT_FIELDS.isdisjoint(obj)


def _decode_glued(data: bytes) -> tuple[list[Any], bytes]:
    """The JSON values at the beginning, back to back as one gateway sends them, and the rest that is none.

    Args:
        data: what `check_json` has passed, or something with the same brackets and quotes in it.
    """
    objects: list[Any] = []
    rest = memoryview(without_halves(data))  # so that cutting off what is read costs nothing
    while len(objects) < _MOST_GLUED:
        try:
            objects.append(decode_checked(rest))
        except DecodeFailure as error:
            at = _trailing_at(str(error))
        else:
            return objects, b""
        try:
            objects.append(decode_checked(rest[:at]))
        except DecodeFailure:
            break
        rest = rest[at:]
    return objects, rest.tobytes().strip()


def _trailing_at(message: str) -> int:
    """Where the first JSON value ends, by msgspec's own word for it: "trailing characters (byte 8)", counted from 1."""
    if "trailing characters" not in message:
        return 0
    digits = message.rpartition("(byte ")[2].rstrip(")")
    return int(digits) - 1 if digits.isdigit() else 0
