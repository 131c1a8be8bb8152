"""`SSEStream`: a stream sent on to a browser, as server-sent events.

It knows nothing of web frameworks: it is an async iterator of bytes, which all of them can send. The hard part is a
silent stream. A comment must go out while a read is under way, and neither the comment nor its being sent may end that
read; so a wait for the network runs in a task of its own, which a comment leaves as it is, and which ends with whoever
waits for it. What has arrived already is taken without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from .errors import (
    APIConnectionError,
    APITimeoutError,
    ClientStateError,
    ConfigurationError,
    ContentFilterError,
    InferenceError,
    InternalServerError,
    RateLimitError,
    StreamError,
)
from .policy.timeouts import short
from .types import ChatCompletionChunk
from .wire.codec import encode
from .wire.sse import encode_comment, encode_event

if TYPE_CHECKING:
    from .stream import ChatStream

__all__ = ["SSEContent", "SSEStream"]

SSEContent: TypeAlias = Literal["chunks", "text"]
"""What an event holds: a chunk, or the text in it."""

_DONE: Final = encode_event("[DONE]")
_KEEP_ALIVE: Final = encode_comment("keep-alive")
_CODE: Final = re.compile(r"[\w.-]{1,64}")

# An error's own message may quote the service, and name its address: that is for the service's operator.
_WORDS: Final[Mapping[type[InferenceError], str]] = {
    APIConnectionError: "the model cannot be reached",
    APITimeoutError: "the model did not answer in time",
    ContentFilterError: "content safety does not allow it",
    InferenceError: "the request failed",
    InternalServerError: "the model failed",
    RateLimitError: "the model is busy",
    StreamError: "the answer broke off",
}


class SSEStream:
    """A `ChatStream` as server-sent events: an async iterator of bytes, to be sent as they come.

    Nothing is sent to the model before the first step of the iteration. Cancelling a step, or `aclose`, cuts the call
    to the model and leaves no task behind, before the first token too.

    Args:
        stream: the stream.
        as_: ``chunks`` or ``text``; see `ChatStream.sse`.
        keep_alive: seconds of silence after which a comment is sent, and again; None for no comments.
        on_error: told of the error, before the event is sent that stands for it.

    Attributes:
        media_type: the content type of the answer.
        headers: what else its head should say, so that nothing on the way keeps the events back.

    Raises:
        ConfigurationError: an argument cannot be understood.
    """

    media_type: Final = "text/event-stream"
    headers: Final[Mapping[str, str]] = MappingProxyType({"cache-control": "no-cache", "x-accel-buffering": "no"})

    def __init__(
        self,
        stream: ChatStream,
        *,
        as_: SSEContent = "chunks",
        keep_alive: float | None = 15.0,
        on_error: Callable[[InferenceError], object] | None = None,
    ) -> None:
        if as_ not in ("chunks", "text"):
            raise ConfigurationError(f"got as_={short(as_)}, expected 'chunks' or 'text'")
        if keep_alive is not None and not (_is_number(keep_alive) and 0 < keep_alive < math.inf):
            raise ConfigurationError(f"got keep_alive={short(keep_alive)}, expected seconds above 0, or None")
        self._stream = stream
        self._spelled = _as_text if as_ == "text" else _as_chunk
        self._keep_alive = keep_alive
        self._on_error = on_error
        self._step: asyncio.Task[ChatCompletionChunk] | None = None
        self._busy = False
        self._over = False

    async def aclose(self) -> None:
        """Close the stream, and wait until nothing of it is under way; see `ChatStream.aclose`."""
        self._over = True
        step = self._step
        if step is not None:
            step.cancel()
        await self._stream.aclose()
        if step is not None:
            await asyncio.gather(step, return_exceptions=True)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._busy:
            raise ClientStateError("the events are being read by another task; one task reads, any may close")
        if self._over:
            raise StopAsyncIteration
        self._busy = True
        try:
            return await self._events()
        except (Exception, asyncio.CancelledError):
            await self.aclose()
            raise
        finally:
            self._busy = False

    def __del__(self) -> None:
        step = getattr(self, "_step", None)  # missing if the constructor failed
        if step is not None:
            with contextlib.suppress(RuntimeError):  # the loop may be closed
                step.cancel()

    async def _events(self) -> bytes:
        """The events of all that has arrived, in one piece; or a comment, if nothing does in time."""
        until = None if self._keep_alive is None else asyncio.get_running_loop().time() + self._keep_alive
        events: list[bytes] = []
        try:
            while not events or not self._stream.must_wait:
                chunk = await self._chunk(until)
                if chunk is None:
                    return _KEEP_ALIVE
                data = self._spelled(chunk)
                if data is not None:
                    events.append(encode_event(data))
        except (StopAsyncIteration, InferenceError) as error:
            if self._over:
                raise StopAsyncIteration from None
            self._over = True
            events.append(self._last(error))
        return b"".join(events)

    async def _chunk(self, until: float | None) -> ChatCompletionChunk | None:
        """The next chunk, or None if it is not there at that time."""
        if self._step is None:
            if until is None or not self._stream.must_wait:
                return await self._stream.__anext__()
            self._step = asyncio.create_task(self._stream.__anext__())
        left = None if until is None else until - asyncio.get_running_loop().time()
        done, _ = await asyncio.wait([self._step], timeout=left)
        if self._over:  # closed by another task, which has cancelled the step, and not this one
            raise StopAsyncIteration
        if not done:
            return None
        step, self._step = self._step, None
        return step.result()

    def _last(self, end: StopAsyncIteration | InferenceError) -> bytes:
        if isinstance(end, StopAsyncIteration):
            return _DONE
        if self._on_error is not None:
            self._on_error(end)
        return encode_event(encode({"error": _told(end)}), event="error")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _told(error: InferenceError) -> dict[str, Any]:
    """What anybody may know of an error."""
    code = getattr(error, "code", None)
    return {
        "type": type(error).__name__,
        "code": code if code is not None and _CODE.fullmatch(code) else None,
        "message": next(_WORDS[cls] for cls in type(error).__mro__ if cls in _WORDS),
        "retryable": error.retryable,
    }


def _as_chunk(chunk: ChatCompletionChunk) -> bytes:
    fields = chunk.to_dict()
    # Readers count on these, also where there is nothing in them.
    fields.setdefault("object", "chat.completion.chunk")
    for choice in fields.setdefault("choices", []):
        choice.setdefault("finish_reason", None)
    return encode(fields)


def _as_text(chunk: ChatCompletionChunk) -> bytes | None:
    text = chunk.text
    return encode(text) if text else None
