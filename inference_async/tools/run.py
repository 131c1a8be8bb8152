"""The loop: ask, run the tools the model asks for, tell it the results, ask again, until it answers without calls.

No cancel scope, time limit or task group is open while the consumer holds an event: requests and tools are waited for
in a background task, which any task can end.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, Literal, NoReturn, Self, TypeVar, Unpack, cast

from ..errors import (
    ClientClosedError,
    ClientStateError,
    ConfigurationError,
    ToolLoopError,
    WrongEventLoopError,
)
from ..net.together import until_done
from ..policy.retry import RetryPolicy
from ..policy.timeouts import Timeouts
from ..types import (
    ChatCompletion,
    Message,
    Messages,
    OptionsBesideTools,
    ToolCall,
    ToolMessage,
    UnsetType,
    Usage,
    UserMessage,
)
from ..types.base import is_mapping
from ..types.chat import ExtraMode
from .asking import AnswerStream, CallOptions, ChatClient
from .calls import Caller
from .definition import check_seconds
from .events import AnswerChunk, AnswerFinished, RunFinished, ToolRunEvent
from .offer import Offer, ToolLike

__all__ = ["ToolRun", "run_tools"]

T = TypeVar("T")
C = TypeVar("C", bound=ChatCompletion, covariant=True)


class ToolRun(Generic[C]):
    """A conversation in which the model calls tools: an async iterator of events, a context manager, an awaitable.

    ::

        completion = await client.run_tools("Do I need an umbrella?", tools=[weather])

        async with client.run_tools(messages, tools=[weather], stream=True) as run:
            async for event in run:
                match event:
                    case AnswerChunk(_, chunk):
                        print(chunk.text, end="")
                    case ToolStarted(_, call):
                        print(call.function.name)

    Nothing is sent before the first event is asked for. Leaving the context, `aclose`, and cancelling a step of the
    iteration cancel the tools that run, wait for them, and close the stream under way; a run that is dropped in the
    middle of its tools cancels them when it is collected, with a ResourceWarning. A run that failed keeps failing with
    the same error.

    Unless the run was made with ``on_error="raise"``, type and text of the error that a tool raises go to the model,
    and with the model's words perhaps to others: catch in the tool what must not be told. The error with its traceback
    is logged as a warning by ``logging.getLogger("inference_async.tools")``.
    """

    def __init__(
        self,
        client: ChatClient,
        messages: list[Message],
        options: CallOptions,
        caller: Caller,
        *,
        own: set[str],
        max_turns: int,
        stream: bool,
        finish: Callable[[ChatCompletion], C],
    ) -> None:
        self._client = client
        self._history = messages
        self._options = options
        self._caller = caller
        self._own = own  # names of the tools whose calls are left to the caller
        self._max_turns = max_turns
        self._streaming = stream
        self._finished_as = finish
        self._final: C | None = None
        self._turns = 0
        self._usage: Usage | None = None
        self._answer: ChatCompletion | None = None  # the last; while the tools it asks for run, not yet in the history
        self._calls: list[ToolCall] = []  # of that answer, to be run
        self._ready: deque[ToolRunEvent] = deque()
        self._stream: AnswerStream | None = None
        self._task: asyncio.Task[Any] | None = None
        self._events: asyncio.Queue[ToolRunEvent | None] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None  # that of the first step
        self._busy = False
        self._complete = False
        self._error: Exception | None = None

    @property
    def completion(self) -> C:
        """The final answer.

        Raises:
            ClientStateError: the run has not ended, or failed.
        """
        if self._final is None:
            raise ClientStateError("the run has no final answer yet: await it, or read its events to the end")
        return self._final

    @property
    def messages(self) -> list[Message]:
        """The history so far, ready for the next request: an answer joins it together with the results of its calls."""
        return list(self._history)

    @property
    def open_calls(self) -> list[ToolCall]:
        """The calls of the final answer that the caller has to answer, because only their definition was given."""
        return [call for call in self.completion.tool_calls if call.function.name in self._own]

    @property
    def usage(self) -> Usage | None:
        """What all turns cost together; None if none of them said."""
        return self._usage

    @property
    def turns(self) -> int:
        """How many answers there were."""
        return self._turns

    async def aclose(self) -> None:
        """End the run now, and wait until its tools have ended. May be called by any task, any number of times; a
        task that waits for the next event gets a `ClientClosedError`.

        A tool may call it too; the run then ends without being waited for.

        Raises:
            WrongEventLoopError: the run belongs to another event loop.
        """
        if self._complete:
            return
        if self._loop is not None:
            self._check_loop()
        if self._error is None:
            self._error = ClientClosedError("the run was closed before its end")
        self._ready.clear()
        await self._stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ToolRunEvent:
        self._check_loop()
        if self._busy:
            raise ClientStateError("the run is being read by another task; one task reads, any may close")
        self._busy = True
        try:
            while not self._ready:
                if self._error is not None:
                    raise self._error.with_traceback(None)  # else each try would lengthen it
                if self._complete:
                    raise StopAsyncIteration
                try:
                    await self._advance()
                except BaseException as error:
                    await self._fail(error)
            return self._ready.popleft()
        finally:
            self._busy = False

    def __await__(self) -> Generator[Any, None, C]:
        return self._drain().__await__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        state = "complete" if self._complete else "failed" if self._error else "open" if self._turns else "not begun"
        return f"<{type(self).__name__} {state}, {self._turns} turns>"

    def __del__(self) -> None:
        task = getattr(self, "_task", None)  # missing if the constructor failed
        if task is None or task.done():
            return
        with contextlib.suppress(RuntimeError):  # the loop may be closed, and its tasks with it
            task.get_loop().call_soon_threadsafe(task.cancel)  # the collector may run in any thread
        warnings.warn(
            "a ToolRun was dropped while its tools ran; they are cancelled now. Use `async with client.run_tools(...)`"
            " or call aclose()",
            ResourceWarning,
            stacklevel=2,
            source=self,
        )

    async def _drain(self) -> C:
        async for _ in self:
            pass
        return self.completion

    async def _advance(self) -> None:
        """Wait once, and turn what came into events."""
        if self._task is not None or self._calls:
            await self._run_calls()
        elif self._streaming:
            await self._read_stream()
        else:
            task = self._start(self._client.complete(self.messages, **self._options_now()))
            await self._events.get()
            self._answered(self._result_of(task))

    def _options_now(self) -> CallOptions:
        """The options of the next turn: a choice that forces a call goes out once, or the run would never end."""
        options = self._options.copy()
        if self._turns and "tool_choice" in options:
            options["tool_choice"] = _no_longer_forced(options["tool_choice"])
        return options

    async def _read_stream(self) -> None:
        if self._stream is None:
            self._stream = self._client.stream(self.messages, **self._options_now())
        stream = self._stream
        try:
            chunk = await stream.__anext__()
        except StopAsyncIteration:
            self._check_open()
            self._stream = None
            self._answered(stream.completion)
        else:
            self._check_open()
            self._ready.append(AnswerChunk(self._turns + 1, chunk))

    async def _run_calls(self) -> None:
        assert self._answer is not None  # noqa: S101  (for the type checkers: there are calls)
        task = self._task
        if task is None:
            running = self._caller.run(self._turns, self._calls, self._history, self._answer, self._events.put_nowait)
            task = self._start(running)
        event = await self._events.get()
        if event is not None:
            self._check_open()
            self._ready.append(event)
            return
        results: list[ToolMessage] = self._result_of(task)
        self._calls = []
        self._history += [self._answer.message, *results]
        if len(results) < len(self._answer.tool_calls):
            self._finish(self._answer)

    def _answered(self, answer: ChatCompletion) -> None:
        self._turns += 1
        if answer.usage is not None:
            self._usage = answer.usage if self._usage is None else self._usage + answer.usage
        self._answer = answer
        self._ready.append(AnswerFinished(self._turns, answer))
        self._calls = [call for call in answer.tool_calls if call.function.name not in self._own]
        if not self._calls:
            self._history.append(answer.message)
            self._finish(answer)
        elif self._turns >= self._max_turns and len(self._calls) == len(answer.tool_calls):
            self._error = ToolLoopError(
                f"the model still asks for tools after {self._turns} answers, the most that max_turns allows; its last "
                "calls were not run",
                messages=[*self._history, answer.message],
                completion=answer,
            )

    def _finish(self, answer: ChatCompletion) -> None:
        try:
            self._final = final = self._finished_as(answer)
        except Exception as error:
            self._error = error  # raised after the events that are ready
            return
        self._complete = True
        self._ready.append(RunFinished(final, self.messages))

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do it in the background, so that any task can end it; None is queued when it has ended."""
        events = self._events

        def ended(task: asyncio.Task[T]) -> None:
            if not task.cancelled():
                task.exception()  # else asyncio would complain of a run that was closed and never asked
            events.put_nowait(None)

        task = asyncio.create_task(work)
        task.add_done_callback(ended)
        self._task = task
        return task

    def _result_of(self, task: asyncio.Task[T]) -> T:
        self._task = None
        self._check_open()
        if task.cancelled():
            raise ClientClosedError("the run was cancelled before its end")
        return task.result()

    def _check_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise WrongEventLoopError("the run belongs to the event loop of its first step, and this is another one")

    def _check_open(self) -> None:
        if self._error is not None:  # closed by another task in the very step in which something came
            raise self._error

    async def _fail(self, error: BaseException) -> NoReturn:
        """End the run: with the error as it is if it is the caller's own, a cancellation say, else for good."""
        if self._error is None:
            what = "cancelled" if isinstance(error, asyncio.CancelledError) else f"ended by {type(error).__name__}"
            closed = ClientClosedError(f"the run was {what} before its end")
            self._error = error if isinstance(error, Exception) else closed
        if isinstance(error, GeneratorExit):  # nobody is there to wait
            if self._task is not None:
                self._task.cancel()
            raise error
        await self._stop()
        if isinstance(error, Exception) and error is not self._error:
            raise self._error from None
        raise error

    async def _stop(self) -> None:
        """Close the stream, cancel what runs in the background, and wait for it, however often that is cancelled."""
        if self._stream is not None:
            await self._stream.aclose()
        task = self._task
        if task is None or task.done():
            return
        task.cancel()
        if self._caller.is_waiting_for_us:
            return
        await until_done(task)


def run_tools(
    client: ChatClient,
    messages: Messages,
    *,
    tools: Iterable[ToolLike],
    finish: Callable[[ChatCompletion], Any] | None = None,
    max_turns: int = 10,
    max_concurrency: int = 8,
    tool_timeout: float | None = 60.0,
    on_error: Literal["tell", "raise"] = "tell",
    stream: bool = False,
    extra: Mapping[str, object] | None = None,
    extra_mode: ExtraMode | None = None,
    headers: Mapping[str, str] | None = None,
    timeouts: Timeouts | None = None,
    retries: RetryPolicy | int | None = None,
    raise_on_filter: bool | None = None,
    **options: Unpack[OptionsBesideTools],
) -> ToolRun[Any]:
    """A run of tools with any client; what is not said here is as in `InferenceClient.run_tools`.

    Args:
        client: what has the front door's `complete` and `stream`.
        finish: makes the final answer of the last one, if it is not to stay as it is; what it raises, the run raises.
            Not together with definitions: an answer that leaves calls to the caller is no final one.

    Raises:
        ConfigurationError: a function that cannot be a tool, two tools of one name, a number out of its range, or what
            does not go together.
    """
    for name, number in (("max_turns", max_turns), ("max_concurrency", max_concurrency)):
        if not isinstance(cast("object", number), int) or number < 1:
            raise ConfigurationError(f"got {name}={number!r}, expected a whole number from 1")
    check_seconds("tool_timeout", tool_timeout)
    if on_error not in ("tell", "raise"):
        raise ConfigurationError(f"got on_error={on_error!r}, expected 'tell' or 'raise'")
    for name in ("tools", "tool_choice"):
        if is_mapping(extra) and name in extra:
            raise ConfigurationError(
                f"got {name!r} in extra, which would go out as it is in every turn; use {name}=..."
            )
    offer = Offer(tools)
    if finish is not None and offer.open:
        names = ", ".join(map(repr, sorted(offer.open - {""}))) or "a tool without a name"
        raise ConfigurationError(
            f"got a type for the final answer together with definitions whose calls are not run here ({names}): a run "
            "that ends with such calls has no typed answer; give functions as tools, or read the type from the last "
            "answer yourself"
        )
    return ToolRun(
        client,
        _history_of(messages),
        {
            **options,
            "tools": offer.definitions,
            "extra": extra,
            "extra_mode": extra_mode,
            "headers": headers,
            "timeouts": timeouts,
            "retries": retries,
            "raise_on_filter": raise_on_filter,
        },
        Caller(offer, max_concurrency=max_concurrency, timeout=tool_timeout, tell=on_error == "tell"),
        own=offer.open,
        max_turns=max_turns,
        stream=stream,
        finish=finish or _as_it_is,
    )


def _as_it_is(completion: ChatCompletion) -> ChatCompletion:
    return completion


def _history_of(messages: Messages) -> list[Message]:
    """The messages as a list of our own; what is no message is left for the client to refuse."""
    given: object = messages
    several = isinstance(given, Sequence) and not isinstance(given, str)
    listed = cast("Sequence[str | Message]", given if several else [given])
    return [UserMessage(message) if isinstance(message, str) else message for message in listed]


def _no_longer_forced(choice: str | Mapping[str, Any] | UnsetType | None) -> str | Mapping[str, Any] | UnsetType | None:
    if choice is None or isinstance(choice, UnsetType) or choice in ("auto", "none"):
        return choice
    if is_mapping(choice) and is_mapping(allowed := choice.get("allowed_tools")):
        return {**choice, "allowed_tools": {**allowed, "mode": "auto"}}
    return "auto"
