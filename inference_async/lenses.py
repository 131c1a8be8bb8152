"""Ways of looking at a stream: its text, its reasoning and text apart, the JSON in it as it grows.

A lens is an async iterator over a `ChatStream` that waits where the stream waits and fails as the stream fails. It
looks at the first choice. One lens at a time: each chunk goes to whoever asks for it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Self

from .errors import InferenceError
from .types.base import UNSET, is_object
from .wire.think import Piece, ThinkSplitter

if TYPE_CHECKING:
    from .stream import ChatStream

__all__ = ["PartialStream", "PieceStream", "TextStream"]


class _Lens:
    def __init__(self, stream: ChatStream) -> None:
        self._stream = stream

    async def aclose(self) -> None:
        """Close the stream; see `ChatStream.aclose`."""
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self


class TextStream(_Lens):
    """The text, piece by piece: an async iterator of str. Chunks without text are passed over."""

    async def __anext__(self) -> str:
        while True:
            text = (await self._stream.__anext__()).text
            if text:
                return text


class PieceStream(_Lens):
    """Reasoning and text, told apart: an async iterator of `Piece`."""

    def __init__(self, stream: ChatStream, *, splitter: ThinkSplitter | None) -> None:
        super().__init__(stream)
        self._splitter = splitter
        self._ready: deque[Piece] = deque()

    async def __anext__(self) -> Piece:
        while not self._ready:
            try:
                chunk = await self._stream.__anext__()
            except StopAsyncIteration:
                if self._splitter is not None:
                    self._ready.extend(self._splitter.close())
                if not self._ready:
                    raise
                break
            if chunk.reasoning:
                self._ready.append(Piece("reasoning", chunk.reasoning))
            if self._splitter is not None:
                self._ready.extend(self._splitter.feed(chunk.text))
            elif chunk.text:
                self._ready.append(Piece("text", chunk.text))
        return self._ready.popleft()


class PartialStream(_Lens):
    """The JSON of the answer as it grows: an async iterator of plain dicts and lists, see `PartialReader`.

    Args:
        stream: the stream.
        within: the name under which the value stands in the JSON, if it is not the whole of it.
    """

    def __init__(self, stream: ChatStream, *, within: str | None = None) -> None:
        from .structured import PartialReader

        super().__init__(stream)
        self._reader = PartialReader()
        self._within = within
        self._seen = 0

    async def __anext__(self) -> Any:
        reader = self._reader
        while True:
            try:
                reader.feed((await self._stream.__anext__()).text)
            except (StopAsyncIteration, InferenceError) as error:
                # What came before an error is shown before it; the stream keeps both for the next step.
                if isinstance(error, StopAsyncIteration):
                    reader.close()
                if not self._is_new():
                    raise
                return self._value()
            # What has arrived already is taken in first: nobody wants to see the past.
            if self._stream.must_wait and self._is_new():
                return self._value()

    def _is_new(self) -> bool:
        seen, self._seen = self._seen, self._reader.revision
        return self._seen != seen and self._value() is not UNSET

    def _value(self) -> Any:
        value = self._reader.value
        if self._within is None:
            return value
        return value.get(self._within, UNSET) if is_object(value) else value
