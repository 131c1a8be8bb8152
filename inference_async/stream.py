"""`ChatStream`: a streamed answer as an object.

It behaves as an async generator of chunks and is a class, for three reasons: a `break` must free the connection at
once, `aclose` must be callable from any task, and no cancel scope may stay open while the consumer thinks.

One wake-up per network read: everything that arrived is decoded at once and handed out without waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import warnings
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, Generic, NoReturn, Self, TypeVar

from .errors import (
    APIConnectionError,
    APITimeoutError,
    ClientClosedError,
    ClientStateError,
    EventTooLargeError,
    IncompleteStreamError,
    InferenceError,
    StreamError,
    WrongEventLoopError,
    without_frames,
)
from .lenses import PartialStream, PieceStream, TextStream
from .net.session import Session
from .net.threads import in_thread
from .net.transport import FINISH_SECONDS
from .net.trip import Exchange, Trip
from .policy.terms import Terms
from .types import ChatCompletion, ChatCompletionChunk, ParsedCompletion, ResponseMeta, Usage
from .wire.accumulate import Accumulator
from .wire.chunks import ChunkDecoder, Item, Mark, chunk_of
from .wire.codec import LARGE
from .wire.request import Call
from .wire.response import filter_error, without_query
from .wire.sse import EventDecoder
from .wire.think import ThinkSplitter

if TYPE_CHECKING:
    from .sse import SSEContent, SSEStream
    from .structured import AnswerType

__all__ = ["ChatStream", "ParsedStream"]

T = TypeVar("T")

_BOM: Final = b"\xef\xbb\xbf"
_HEAD_BYTES: Final = 2048
_FIELD: Final = re.compile(rb"(\xef\xbb\xbf)?\s*((data|event|id|retry)\s*(:|[\r\n]|$)|:|$)")


class ChatStream:
    """A streamed chat completion: an async iterator of chunks, and an async context manager that owns the connection.

    ::

        async with client.stream("How many languages are in the world?") as stream:
            async for chunk in stream:
                print(chunk.text, end="")
        stream.completion.usage

    The request is sent when the context is entered, or by the first step of the iteration. Leaving the context, by
    whatever way, frees the connection: after the end it goes back to the pool, before the end it is cut, which tells
    the service to stop generating. Cancelling a step of the iteration cuts it too.

    The iteration ends when the answer is complete: the service sent its end mark, or the body ended in good order
    after every choice had its finish reason. All else is an error: `IncompleteStreamError`, `StreamError` or
    `APITimeoutError`, each with what had arrived as ``partial``. A stream that failed keeps failing with the same
    error; it never looks complete.
    """

    def __init__(self, session: Session, call: Call, *, terms: Terms, raise_on_filter: bool = False) -> None:
        self._session = session
        self._call = call
        self._terms = terms
        self._raise_on_filter = raise_on_filter
        self._begun: Trip | None = None
        self._exchange: Exchange | None = None
        self._events = EventDecoder(max_event_bytes=terms.limits.max_event_bytes)
        self._chunks = ChunkDecoder(limits=terms.limits)
        self._accumulator = Accumulator(limits=terms.limits)
        self._unread = 0  # bytes that have come since the last event ended
        self._ready: list[Item] = []  # what has come and was not handed out yet, the next one last
        self._is_events = False  # known once the first byte of the body is
        self._head = b""  # how the body began, kept until the first chunk, should there be none
        self._progress = False
        self._is_late = False  # whether the last read began after its limit
        self._busy = False
        self._complete = False
        self._error: InferenceError | None = None

    @property
    def completion(self) -> ChatCompletion:
        """The answer so far, made from the chunks handed out; after the end, the whole answer with its usage."""
        completion = self._accumulator.completion
        completion.meta = self.meta
        return completion

    @property
    def usage(self) -> Usage | None:
        """The last usage the service reported; usually it comes with the last chunk."""
        return self._accumulator.usage

    @property
    def meta(self) -> ResponseMeta:
        """Status, headers and request id; empty until the stream is open."""
        return self._exchange.meta if self._exchange is not None else ResponseMeta()

    @property
    def checked(self) -> int | None:
        """How many characters of the text content safety has cleared so far, where it streams first and looks later
        (the asynchronous filter); None where it does not.
        """
        return self._accumulator.checked

    @property
    def retract_from(self) -> int | None:
        """From which character on text that was already shown must be taken back; None if none must.

        Set by the chunk with which the asynchronous filter ends the stream: look at it at the end.
        """
        return self._accumulator.retract_from

    @property
    def must_wait(self) -> bool:
        """Whether the next step must wait for the network; False while chunks that have arrived are left."""
        return not self._ready

    async def final(self) -> ChatCompletion:
        """Read to the end, and return the whole answer.

        Raises:
            InferenceError: as the iteration would; a stream that failed or was closed early has no final answer.
        """
        async for _ in self:
            pass
        return self.completion

    def text(self) -> TextStream:
        """The pieces of text of the first choice, in place of the chunks; chunks without text are passed over."""
        return TextStream(self)

    def pieces(self, *, think_tags: bool = False, starts_inside: bool = False) -> PieceStream:
        """Reasoning and text of the first choice, told apart: `Piece` by `Piece`, each with ``kind`` and ``text``.

        Reasoning that the host sends under a name of its own is always told apart. Some models write it into the text
        instead, between ``<think>`` and ``</think>``.

        Args:
            think_tags: split the text at these tags. Up to 7 characters that may begin one are held back until more
                text comes.
            starts_inside: the text begins within the reasoning, without an opening tag, as with some models' templates.
        """
        splitter = ThinkSplitter(inside=starts_inside) if think_tags or starts_inside else None
        return PieceStream(self, splitter=splitter)

    def partial(self) -> PartialStream:
        """The JSON of the answer as it grows, as plain dicts and lists: what is certain of it so far.

        A number, a literal or a name is there once it is whole; text is there as far as it came. An object is handed
        out when something is new, and holds all that had arrived by then. It goes on growing in place: copy what must
        stay as it is. The text is read once, whatever the number of looks.
        """
        return PartialStream(self)

    def sse(
        self,
        *,
        as_: SSEContent = "chunks",
        keep_alive: float | None = 15.0,
        on_error: Callable[[InferenceError], object] | None = None,
    ) -> SSEStream:
        """The answer as server-sent events, to be sent on to a browser: an async iterator of bytes.

        Each chunk is an event, and the last one is ``[DONE]``. Where the call fails, it is an event of the name
        ``error`` in its place, with the class of the error, its code, whether it is `retryable`, and a message that
        quotes nothing: neither the prompt nor the service's own words.

        Args:
            as_: ``chunks`` sends each as JSON, as the service spells it; ``text`` sends the pieces of text of the first
                choice, each as a JSON string.
            keep_alive: seconds of silence after which a comment is sent, and again, so that nobody on the way takes the
                connection for dead, and a browser that has gone is noticed; None for no comments.
            on_error: told of the error before its event is sent, for the log.

        Raises:
            ConfigurationError: an argument cannot be understood.
        """
        from .sse import SSEStream

        return SSEStream(self, as_=as_, keep_alive=keep_alive, on_error=on_error)

    async def aclose(self) -> None:
        """Free the connection now. May be called by any task, any number of times; a task that waits for the next
        chunk gets a `ClientClosedError`.

        Raises:
            WrongEventLoopError: the connection belongs to another event loop.
        """
        if self._complete:
            return
        if self._exchange is not None and not self._trip.loop.is_closed():
            self._check_loop()
        if self._error is None:
            self._error = ClientClosedError("the stream was closed before its end")
        self._ready.clear()
        self._cut(self._error)
        if self._begun is not None:
            self._begun.end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        if self._busy:
            raise _busy()
        self._busy = True
        try:
            while True:
                while ready := self._ready:
                    item = ready.pop()
                    if isinstance(item, ChatCompletionChunk):
                        try:
                            if self._accumulator.add(item):
                                self._progress = True
                        except StreamError as error:  # it would grow over a bound
                            self._fail(error)
                        return item
                    await self._end(item)
                if self._error is not None:
                    raise self._error
                if self._complete:
                    raise StopAsyncIteration
                await self._read()
        except InferenceError as error:
            without_frames(error)
            raise
        finally:
            self._busy = False

    def __repr__(self) -> str:
        state = "complete" if self._complete else "failed" if self._error else "open" if self._exchange else "not begun"
        return f"<{type(self).__name__} {state}, {self._accumulator.chunks} chunks>"

    async def __aenter__(self) -> Self:
        if self._exchange is None and self._error is None:
            if self._busy:
                raise _busy()
            self._busy = True
            try:
                await self._open_or_fail()
            except InferenceError as error:
                without_frames(error)
                raise
            finally:
                self._busy = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # Attributes may be missing if the constructor failed.
        if getattr(self, "_exchange", None) is None or self._complete or self._error is not None:
            return
        with contextlib.suppress(RuntimeError):  # the loop may be closed, and its sockets with it
            self._cut(None)
        if self._session.closed:
            return  # which has cut the connection already
        warnings.warn(
            "a ChatStream was dropped before its end; its connection is closed now. Use `async with client.stream(...)`"
            " or call aclose()",
            ResourceWarning,
            stacklevel=2,
            source=self,
        )

    async def _open_or_fail(self) -> None:
        try:
            await self._open()
        except BaseException as error:
            self._fail(error)

    def _check_loop(self) -> None:
        if self._session.check_loop() is not self._trip.loop:
            raise WrongEventLoopError("the stream belongs to another event loop; begin and read it in one")

    async def _open(self) -> Exchange:
        self._begun = trip = self._session.begin(self._call, self._terms, awaits="first_token")
        with trip:
            self._exchange = await self._session.send(trip)
        trip.arrives(self._exchange)
        self._chunks.secrets = self._exchange.secrets
        if self._error is not None:  # closed by another task in the very step in which the head came
            self._cut(self._error)
            raise self._error
        return self._exchange

    async def _read(self) -> None:
        """Wait for the network once, and turn what came into items."""
        trip, exchange = self._begun, self._exchange
        if trip is not None and exchange is not None and asyncio.get_running_loop() is not trip.loop:
            self._check_loop()
        try:
            if trip is None or exchange is None:
                exchange = await self._open()
                trip = self._trip
            self._begin_wait(trip)
            data = await exchange.reply.read()
            is_events = self._is_events or await self._sniff(exchange, data)
            if not self._accumulator.chunks and len(self._head) < _HEAD_BYTES:
                self._head += data[:_HEAD_BYTES]
            self._unread += len(data)
            items: list[Item] = []
            if is_events:
                items = self._feed(data) if self._unread < LARGE else await self._fed_beside(data)
            trip.until = None
            if self._error is not None:  # closed by another task in the very step in which the bytes came
                raise self._error
            if items:
                self._unread = 0
                items.reverse()
                self._ready = items
        except BaseException as error:
            self._fail(error)

    def _begin_wait(self, trip: Trip) -> None:
        """Set the limit on a wait for the network."""
        clock = trip.clock
        now = trip.now()
        if self._progress:
            self._progress = False
            clock.wait_for_token(now)
        late = clock.until is not None and now >= clock.until
        if trip.error is not None:
            raise trip.error
        if now >= clock.ends or (late and self._is_late):
            raise trip.late()  # a read that need not wait, for the consumer was slow, would not tell
        self._is_late = late  # one more read is for what had come in time
        trip.watch(clock.until)

    async def _fed_beside(self, data: bytes) -> list[Item]:
        """As `_feed`, in a thread."""
        return await self._in_time(in_thread(partial(self._feed, data)))

    async def _in_time(self, work: Awaitable[T]) -> T:
        """What a thread makes of bytes that have come, if it is done within the limit of the current wait.

        Where more bytes wait already after it, no read ever waits, and none would be told that the time is over.
        """
        trip = self._trip
        with trip:
            trip.watch(trip.clock.until)
            return await work

    def _feed(self, data: bytes) -> list[Item]:
        if not data:
            return self._chunks.last(self._events.close())
        try:
            return self._chunks.decode(self._events.feed(data))
        except EventTooLargeError as error:
            return [*self._chunks.decode(self._events.whole), error]

    async def _sniff(self, exchange: Exchange, data: bytes) -> bool:
        """Whether these first bytes are events; if not, the whole body is read, and what it says is queued.

        Labels do not tell: errors and whole answers come under any content type. But no event stream begins with a
        brace, a bracket or a tag.
        """
        data = self._head + data  # which is blank, or the beginning of a byte order mark
        head = data.removeprefix(_BOM).lstrip()[:1]
        if _BOM.startswith(data):
            return True
        if head not in (b"{", b"[", b"<", b'"'):
            self._is_events = bool(head)
            return True
        body = (data + await exchange.body()).removeprefix(_BOM)
        completion = await self._in_time(exchange.completion(body))
        self._ready = [Mark.DONE, chunk_of(completion)]
        return False

    async def _end(self, item: StreamError | Mark) -> None:
        """An error, the end mark, or the end of the body: the chunks before it have been handed out."""
        self._ready.clear()
        accumulator = self._accumulator
        if isinstance(item, StreamError):
            self._fail(item)
        if accumulator.chunks == 0 and self._exchange is not None and not _FIELD.match(self._head):
            self._fail(self._exchange.not_an_answer("no event in it", self._head))
        if not accumulator.begun:
            self._fail(
                IncompleteStreamError(f"the stream ended after {accumulator.chunks} chunks without any of the answer")
            )
        if item is Mark.END and not accumulator.finished:
            self._fail(
                IncompleteStreamError(
                    f"the stream ended after {accumulator.chunks} chunks without a finish reason or [DONE]: the answer "
                    "is cut; what had arrived is in .partial"
                )
            )
        self._complete = True
        if self._raise_on_filter:
            secrets = self._exchange.secrets if self._exchange is not None else ()
            self._error = filter_error(self.completion, url=self._call.url, secrets=secrets)
        if self._exchange is None:
            return
        self._trip.stop()
        left = self._trip.clock.left(now=self._trip.now())
        if left is not None and left < FINISH_SECONDS:
            self._exchange.close()
        else:
            await self._exchange.finish()  # who is cancelled here, and reads on, is told what came of the answer

    def _fail(self, error: BaseException) -> NoReturn:
        """End the stream: with the error as it is if it is the caller's own, a cancellation say, else in our words."""
        if isinstance(error, InferenceError | TimeoutError):
            cause: BaseException | None = None
            if self._error is None:  # else another task has closed it, and what that did to this one is no news
                self._error, cause = self._in_our_words(error)
            self._cut(self._error)
            raise self._error from cause
        if self._error is None:
            what = "cancelled" if isinstance(error, asyncio.CancelledError) else f"ended by {type(error).__name__}"
            self._error = ClientClosedError(f"the stream was {what} before its end")
        self._cut(self._error)
        raise error

    def _in_our_words(self, error: InferenceError | TimeoutError) -> tuple[InferenceError, BaseException | None]:
        """The error that the caller gets, told what had arrived and from where, and the cause of it."""
        cause = error.__cause__
        if not isinstance(error, InferenceError):
            error = self._session.over(self._trip)
        exchange = self._exchange
        if exchange is None:
            return error, cause
        chunks = self._accumulator.chunks
        if isinstance(error, APITimeoutError):
            error.chunks, error.partial = chunks, self.completion
        elif isinstance(error, APIConnectionError):
            error, cause = IncompleteStreamError(f"the stream ended after {chunks} chunks: {error}"), error
        if isinstance(error, StreamError):
            error.partial = self.completion
            where = f"from {without_query(exchange.url)}, request id {exchange.meta.request_id}"
            error.reword(f"{error.message} ({where})")
        return exchange.failed(error), cause

    @property
    def _trip(self) -> Trip:
        assert self._begun is not None  # noqa: S101  (for the type checkers: _open sets it)
        return self._begun

    def _cut(self, error: InferenceError | None) -> None:
        if self._begun is not None:
            self._begun.stop()
        if self._exchange is not None:
            self._exchange.close(error)


def _busy() -> ClientStateError:
    return ClientStateError("the stream is being read by another task; one task reads, any may close")


class ParsedStream(ChatStream, Generic[T]):
    """A stream whose answer was asked for as a type: a `ChatStream` that ends in a `ParsedCompletion`.

    ``stream.partial()`` shows the value as it grows, ``await stream.final()`` reads to the end and returns the whole;
    after an iteration to the end, `parsed` is the value.
    """

    def __init__(
        self,
        session: Session,
        call: Call,
        *,
        answer: AnswerType[T],
        terms: Terms,
        raise_on_filter: bool = False,
    ) -> None:
        super().__init__(session, call, terms=terms, raise_on_filter=raise_on_filter)
        self._answer = answer
        self._parsed: ParsedCompletion[T] | None = None

    def partial(self) -> PartialStream:
        """The value as it grows, as plain dicts and lists; see `ChatStream.partial`."""
        return PartialStream(self, within=self._answer.within)

    @property
    def parsed(self) -> T:
        """The value.

        Raises:
            ClientStateError: the stream is not at its end.
            ResponseTypeError: the answer is no such value.
        """
        return self._parsed_completion().parsed

    async def final(self) -> ParsedCompletion[T]:
        """Read to the end, and return the whole answer with its value.

        Raises:
            ResponseTypeError: the answer is no such value.
            InferenceError: as the iteration would.
        """
        await super().final()
        return self._parsed_completion()

    def _parsed_completion(self) -> ParsedCompletion[T]:
        if not self._complete:
            raise ClientStateError("the stream is not at its end, and only a whole answer has a value")
        if self._parsed is None:
            from .structured import parsed_completion

            self._parsed = parsed_completion(self.completion, self._answer)
        return self._parsed
