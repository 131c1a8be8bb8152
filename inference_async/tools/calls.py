"""The calls of one answer: run together, each ends in one message for the model.

Nothing here knows the run that the answer is a turn of: were it held by its own tools, a run that is dropped would
never be collected.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any, Final

import msgspec

from ..errors import ToolError
from ..net.threads import Limiter
from ..structured import Mismatch
from ..types import ChatCompletion, Message, Open, ToolCall, ToolMessage, UnsetType
from ..types.base import is_mapping
from ..wire.codec import DecodeFailure, decode_json, plain
from .events import ToolFinished, ToolRunEvent, ToolStarted
from .offer import Offer

__all__ = ["Caller"]

_MOST_WORDS: Final = 500  # of a tool's own error, as told to the model
_log: Final = logging.getLogger("inference_async.tools")
_log.addHandler(logging.NullHandler())  # else what nobody listens to would be printed

_inside: Final[ContextVar[tuple[Caller, ...]]] = ContextVar("inference_async.tools", default=())


class Caller:
    """Runs the calls of an answer, with the tools offered."""

    def __init__(self, offer: Offer, *, max_concurrency: int, timeout: float | None, tell: bool) -> None:
        self._offer = offer
        self._max_concurrency = max_concurrency
        self._timeout = timeout
        self._tell = tell

    @property
    def is_waiting_for_us(self) -> bool:
        """Whether the code that asks is run by a tool, which must not wait for the end of the tools then."""
        return self in _inside.get()

    async def run(
        self,
        turn: int,
        calls: Sequence[ToolCall],
        history: Sequence[Message],
        answer: ChatCompletion,
        emit: Callable[[ToolRunEvent], None],
    ) -> list[ToolMessage]:
        """A message for each call, in the order of the calls.

        What the model is told of failures is told to the logger ``inference_async.tools`` as well: the tools' own with
        their traceback, as warnings; what the model did wrong, as infos. Arguments and results are never logged.

        Raises:
            ToolError: a call failed, and that is not to be told to the model; the other calls are cancelled.
        """
        results: dict[int, ToolMessage] = {}
        slots = asyncio.Semaphore(self._max_concurrency)
        threads = Limiter(self._max_concurrency)  # of our own, so that a slot means a thread
        running = asyncio.current_task()
        now = asyncio.get_running_loop().time

        _inside.set((*_inside.get(), self))  # seen by the tools alone: this is a task of its own

        async def work(index: int, call: ToolCall) -> None:
            async with slots:
                emit(ToolStarted(turn, call))
                started = now()
                try:
                    content, words = await _alone(self._result_of(call, threads)), None
                except _CallFailed as failure:
                    if not self._tell:
                        done = [results[place] for place in sorted(results)]
                        raise ToolError(
                            f"the tool {call.function.name!r} failed: {failure.words}",
                            tool=call.function.name,
                            call_id=call.id,
                            messages=[*history, answer.message, *done],
                            completion=answer,
                        ) from failure.__cause__
                    failure.log(call)
                    content, words = _json({"error": failure.words}), failure.words
                except (KeyboardInterrupt, SystemExit):
                    # It has left the event loop already, through the tool's own task. Raised here once more, it would
                    # keep asyncio.run from ending the other tasks.
                    if running is not None:
                        running.cancel()
                    return
                results[index] = message = ToolMessage(content, tool_call_id=call.id)
                emit(ToolFinished(turn, call, message, words, now() - started))

        try:
            async with asyncio.TaskGroup() as group:
                for index, call in enumerate(calls):
                    group.create_task(work(index, call))
        except BaseExceptionGroup as errors:
            first: BaseException = errors.exceptions[0]
            raise first from first.__cause__
        if len(results) < len(calls):
            raise asyncio.CancelledError  # somebody cancelled the task of one call, and no other
        return [results[index] for index in range(len(calls))]

    async def _result_of(self, call: ToolCall, threads: Limiter) -> str:
        """The result of a call as JSON text.

        Raises:
            _CallFailed: in words for the model; what the tool raised is the cause.
        """
        name = call.function.name
        found = self._offer.tools.get(name)
        if found is None:
            known = ", ".join(self._offer.names)
            raise _CallFailed(
                "there is no such tool", f"there is no tool {name!r}; the tools are: {known}", logging.INFO
            )
        misfit = "the arguments do not fit"
        try:
            arguments = found.parse(call.function.arguments)
        except Mismatch as error:
            raise _CallFailed(misfit, f"{misfit}: {error.message} (at {error.position})", logging.INFO) from error
        except Exception as error:  # of a type of the caller's own that refuses a value in its own way
            raise _CallFailed(misfit, f"{misfit}: {_words(error)}", logging.INFO) from error
        limit = self._timeout if isinstance(found.timeout, UnsetType) else found.timeout
        scope = asyncio.timeout(limit)
        try:
            async with scope:
                result = await found.invoke(arguments, threads=threads)
        except Exception as error:
            if limit is not None and scope.expired() and isinstance(error, TimeoutError):
                end = "was stopped" if found.is_async else "is no longer waited for; it may still take effect"
                late = f"the tool took longer than {limit:g} second{'' if limit == 1 else 's'} and {end}"
                raise _CallFailed(late, late) from error
            raise _CallFailed("the tool failed", _words(error)) from error
        try:
            return _text_of(result)
        except Exception as error:
            without = f"the result, of type {type(result).__name__}, has no JSON form"
            raise _CallFailed(without, f"{without}: {_words(error)}") from error


async def _alone(work: Coroutine[Any, Any, str]) -> str:
    """Run a call in a task that is the tool's own: if that is cancelled and ours is not, the tool did it.

    Raises:
        _CallFailed: as the call does, and for such a cancellation.
    """
    ours = asyncio.current_task()
    try:
        return await asyncio.create_task(work)
    except asyncio.CancelledError as error:
        if ours is None or ours.cancelling():
            raise
        gave_up = "the tool gave up: it cancelled itself, or something it waited for was cancelled"
        raise _CallFailed(gave_up, gave_up) from error


class _CallFailed(Exception):  # noqa: N818  (it never leaves this module)
    """What went wrong, told twice.

    Attributes:
        words: for the model, with what the error itself says.
    """

    def __init__(self, what: str, words: str, level: int = logging.WARNING) -> None:
        words = words.encode(errors="backslashreplace").decode()  # a message has to be UTF-8
        super().__init__(words)
        self.words = words if len(words) <= _MOST_WORDS else words[: _MOST_WORDS - 3] + "..."
        self._what = what
        self._level = level

    def log(self, call: ToolCall) -> None:
        """Tell the developer, without arguments and results; what the model did wrong has no traceback."""
        trace = self.__cause__ if self._level >= logging.WARNING else None
        _log.log(self._level, "tool %r, call %r: %s", call.function.name, call.id, self._what, exc_info=trace)


def _words(error: BaseException) -> str:
    """Type and text of an error that is not ours, and may be unable to say anything."""
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:
        return kind
    return f"{kind}: {text}" if text else kind


def _text_of(result: object) -> str:
    """A tool's result as JSON text."""
    if isinstance(result, str) and result.lstrip()[:1] in ("{", "["):
        with contextlib.suppress(*DecodeFailure):
            decode_json(result.encode())
            return result
    return _json(plain(result) if isinstance(result, Open) else result)


def _unusual(value: Any) -> Any:
    """What msgspec asks about types it does not know."""
    if callable(dump := getattr(value, "model_dump", None)):  # a pydantic model
        return dump(mode="json")
    if is_mapping(value):
        return dict(value)
    raise TypeError(f"objects of type {type(value).__name__} cannot be encoded")


_encode: Final = msgspec.json.Encoder(enc_hook=_unusual).encode


def _json(value: object) -> str:
    return _encode(value).decode()
