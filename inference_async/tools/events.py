"""What happens in a run of tools, as values."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from ..types import ChatCompletion, ChatCompletionChunk, Message, ToolCall, ToolMessage

__all__ = ["AnswerChunk", "AnswerFinished", "RunFinished", "ToolFinished", "ToolRunEvent", "ToolStarted"]


class AnswerChunk(msgspec.Struct, frozen=True):
    """A piece of the answer of this turn; only with ``stream=True``. Turns count from 1."""

    turn: int
    chunk: ChatCompletionChunk


class AnswerFinished(msgspec.Struct, frozen=True):
    """The answer of this turn is whole. Its tools start when the next event is asked for."""

    turn: int
    completion: ChatCompletion


class ToolStarted(msgspec.Struct, frozen=True):
    """A call of this turn is being run."""

    turn: int
    call: ToolCall


class ToolFinished(msgspec.Struct, frozen=True):
    """A call of this turn has its result.

    Attributes:
        message: what the model will be told.
        error: what went wrong, in the words the model is told; None if nothing did.
        elapsed: seconds.
    """

    turn: int
    call: ToolCall
    message: ToolMessage
    error: str | None
    elapsed: float


class RunFinished(msgspec.Struct, frozen=True):
    """The last event: the final answer, and the history that it ends, ready for the next request."""

    completion: ChatCompletion
    messages: list[Message]


ToolRunEvent: TypeAlias = AnswerChunk | AnswerFinished | ToolStarted | ToolFinished | RunFinished
"""What a `ToolRun` yields; made for `match`."""
