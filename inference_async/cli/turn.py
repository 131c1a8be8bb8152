"""A turn of a conversation: a question is sent, its answer shown, the tools it asks for run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from ..client import InferenceClient
from ..tools import AnswerChunk, AnswerFinished, ToolFinished, ToolLike
from ..types import AssistantMessage, ChatCompletion, ChatCompletionChunk, Message, ToolCall, Usage
from .render import Display, Note

__all__ = ["Turn"]

_CUT: Final = {
    "length": "the token limit (finish reason 'length')",
    "content_filter": "content safety (finish reason 'content_filter')",
}
_MOST: Final = 400  # characters of a call, and of its result, that are worth a look


class Turn:
    """One question, and what comes of it.

    Args:
        client: who is asked.
        messages: the history, which ends with the question.
        tools: what the model may call. Each call is noted before it is run.
        options: of the request.
        display: makes the display for each answer of the turn.
        note: says what is to be said beside the answer.
        raw: show every event of the stream as a line of JSON, in place of the text.

    Attributes:
        completion: the last answer, as far as it came.
        usage: what all answers of the turn cost; None if none of them said.
    """

    def __init__(
        self,
        client: InferenceClient,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolLike] = (),
        options: dict[str, Any],
        display: Callable[[], Display],
        note: Note,
        raw: bool = False,
    ) -> None:
        self._client = client
        self._asked = list(messages)
        self._tools = tools
        self._options = options
        self._new_display = display
        self._note = note
        self._raw = raw
        self._settled = self._asked
        self._said: list[str] = []  # of the answer under way
        self._shown: Display | None = None
        self._first: float | None = None
        self._total = 0.0
        self.completion = ChatCompletion()
        self.usage: Usage | None = None

    @property
    def messages(self) -> list[Message]:
        """The history with all that came: of an answer that was cut, the text so far."""
        said = "".join(self._said)
        return [*self._settled, AssistantMessage(content=said)] if said else list(self._settled)

    @property
    def is_answered(self) -> bool:
        """Whether anything came that is worth keeping."""
        return len(self.messages) > len(self._asked)

    async def run(self) -> None:
        """Ask, and show the answer. Cancelling it cuts the connection and cancels the tools.

        Raises:
            InferenceError: as of `InferenceClient.stream` and `InferenceClient.run_tools`; what came is in `messages`.
            OSError: the answer cannot be written.
        """
        now = asyncio.get_running_loop().time
        started = now()

        def take(chunk: ChatCompletionChunk) -> None:
            text = chunk.text
            if text:
                self._first = now() - started if self._first is None else self._first
                self._said.append(text)
            self._show(chunk)

        try:
            self._begin()
            await (self._with_tools(take) if self._tools else self._without(take))
        except BaseException:
            self._end(whole=False)
            raise
        self._total = now() - started

    def report(self, *, in_full: bool, brief: bool = True) -> bool:
        """Note what there is to say of an answer that came to its end. Return whether it is whole.

        Args:
            in_full: say all that is known of the cost.
            brief: say at least tokens and times.
        """
        completion, note = self.completion, self._note
        if in_full or brief:
            note(_summary(completion, self.usage, self._first, self._total, in_full=in_full))
        if self._first is None:
            note("the answer is empty", "yellow")
        start = _retract_from(completion)
        if start is not None:
            count = len(completion.text) - start
            note(f"content safety withdrew the last {count} characters after they were sent; do not use them", "yellow")
        if completion.finish_reason in _CUT:
            note(f"the answer was cut short by {_CUT[completion.finish_reason]}", "yellow")
            return False
        return True

    async def _without(self, take: Callable[[ChatCompletionChunk], None]) -> None:
        async with self._client.stream(self._asked, **self._options) as stream:
            try:
                async for chunk in stream:
                    take(chunk)
            finally:
                self.completion, self.usage = stream.completion, stream.usage
        self._end(whole=True)
        self._settled = [*self._asked, _remembered(self.completion)]
        self._said = []

    async def _with_tools(self, take: Callable[[ChatCompletionChunk], None]) -> None:
        async with self._client.run_tools(self._asked, tools=self._tools, stream=True, **self._options) as run:
            try:
                async for event in run:
                    match event:
                        case AnswerChunk(_, chunk):
                            self._begin()
                            take(chunk)
                        case AnswerFinished(_, completion):  # its tools run when the next event is asked for
                            self._end(whole=True)
                            self.completion, self._said = completion, []
                            for call in completion.tool_calls:
                                self._note(f"calls {_called(call)}", "cyan")
                        case ToolFinished(_, call, message, error, elapsed):
                            style = "dim" if error is None else "yellow"
                            result = _short(str(message.content))
                            self._note(f"{call.function.name} returned {result} after {elapsed:.2f} s", style)
                        case _:
                            pass
            finally:
                self._settled, self.usage = run.messages, run.usage
        self._settled[-1] = _remembered(self.completion)

    def _begin(self) -> None:
        if self._shown is None:
            self._shown = self._new_display()

    def _show(self, chunk: ChatCompletionChunk) -> None:
        shown = self._shown
        if shown is None:
            return
        if self._raw:
            shown.show(_line(chunk))
            return
        if reasoning := chunk.reasoning:
            shown.think(reasoning)
        if text := chunk.text:
            shown.show(text)

    def _end(self, *, whole: bool) -> None:
        if self._shown is not None:
            shown, self._shown = self._shown, None
            shown.end(whole=whole)


def _line(chunk: ChatCompletionChunk) -> str:
    return msgspec.json.encode(chunk.to_dict()).decode() + "\n"


def _retract_from(completion: ChatCompletion) -> int | None:
    return completion.choices[0].retract_from if completion.choices else None


def _remembered(completion: ChatCompletion) -> AssistantMessage:
    """The answer as the next request may repeat it: without what had to be taken back, and without calls that nobody
    answers, which the service would refuse.
    """
    message = completion.message
    start = _retract_from(completion)
    if start is not None:
        return AssistantMessage(content=message.text[:start])
    return AssistantMessage(content=message.text) if message.tool_calls else message


def _called(call: ToolCall) -> str:
    return f"{call.function.name} {_short(call.function.arguments or '{}')}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MOST else f"{text[:_MOST]} ... ({len(text):,} characters)"


def _summary(
    completion: ChatCompletion, usage: Usage | None, first: float | None, total: float, *, in_full: bool
) -> str:
    parts = [completion.model or "unknown model"]
    if usage is not None:
        parts.append(f"{usage.prompt_tokens} + {usage.completion_tokens} = {usage.total_tokens} tokens")
    else:
        parts.append("no usage reported")
    if in_full:
        parts += _details(completion, usage)
    if first is not None:
        parts.append(f"first text after {first:.2f} s")
    parts.append(f"{total:.2f} s in all")
    return ", ".join(parts)


def _details(completion: ChatCompletion, usage: Usage | None) -> list[str]:
    """What not every answer tells: tokens of the cache and of reasoning, what is left of the quota, a request id."""
    parts: list[str] = []
    prompt = usage.prompt_tokens_details if usage is not None else None
    answer = usage.completion_tokens_details if usage is not None else None
    if prompt is not None and prompt.cached_tokens:
        parts.append(f"{prompt.cached_tokens} of them cached")
    if answer is not None and answer.reasoning_tokens:
        parts.append(f"{answer.reasoning_tokens} of them reasoning")
    limits = completion.meta.rate_limits
    if limits.remaining_tokens is not None:
        parts.append(f"{limits.remaining_tokens} tokens left in this window")
    if completion.meta.request_id:
        parts.append(f"request id {completion.meta.request_id}")
    return parts
