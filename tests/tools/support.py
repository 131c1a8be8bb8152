"""A client without a network for runs of tools: its answers are written down beforehand."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Mapping
from typing import Any, Unpack

from inference_async import AssistantMessage, ChatCompletion, ChatStream, Choice, FunctionCall, ToolCall, Usage
from inference_async.policy.retry import RetryPolicy
from inference_async.policy.timeouts import Timeouts
from inference_async.types import ChatOptions, Messages
from inference_async.types.chat import ExtraMode
from tests.support import DONE, ScriptedReply, chunk, event, scripted


def call(name: str, arguments: Any = "", *, id: str = "") -> ToolCall:  # noqa: A002  (the service's own word)
    """A call: arguments that are no text are encoded."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall(id=id or f"id-{name}", function=FunctionCall(name=name, arguments=text))


def answer(*content: str | ToolCall, usage: Usage | None = None, finish: str | None = None) -> ChatCompletion:
    """A completion that says the text, or asks for the calls."""
    calls = [part for part in content if isinstance(part, ToolCall)]
    text = "".join(part for part in content if isinstance(part, str))
    message = AssistantMessage(content=text or None, tool_calls=calls)
    reason = finish or ("tool_calls" if calls else "stop")
    return ChatCompletion(choices=[Choice(message=message, finish_reason=reason)], usage=usage)


class FakeClient:
    """Answers in the order written down, and notes what it was asked."""

    def __init__(self, *answers: ChatCompletion | BaseException) -> None:
        self.asked: list[dict[str, Any]] = []
        self.waiting: asyncio.Event | None = None  # set: the answer does not come
        self.cancelled = 0
        self._answers = list(answers)

    async def complete(
        self,
        messages: Messages,
        *,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        raise_on_filter: bool | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatCompletion:
        given = {"extra": extra, "extra_mode": extra_mode, "headers": headers, "timeouts": timeouts}
        self.asked.append({"messages": copy.copy(messages), **given, **options})
        try:
            await asyncio.sleep(0)
            if self.waiting is not None:
                self.waiting.set()
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        given_answer = self._answers.pop(0)
        if isinstance(given_answer, BaseException):
            raise given_answer
        return given_answer

    def stream(
        self,
        messages: Messages,
        *,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        raise_on_filter: bool | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatStream:
        raise AssertionError("not asked for a stream")


def stream_of(*content: str | ToolCall) -> ScriptedReply:
    """The same as `answer`, as the bytes of a stream: an event to each read."""
    pieces: list[bytes] = []
    for index, part in enumerate(content):
        if isinstance(part, str):
            pieces.append(event(chunk(part)))
        else:
            function = {"name": part.function.name, "arguments": part.function.arguments}
            delta = {"tool_calls": [{"index": index, "id": part.id, "type": "function", "function": function}]}
            pieces.append(event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}))
    calls = any(isinstance(part, ToolCall) for part in content)
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    return ScriptedReply([*pieces, event(chunk("", "tool_calls" if calls else "stop", usage=usage)), DONE])


__all__ = ["FakeClient", "answer", "call", "scripted", "stream_of"]
