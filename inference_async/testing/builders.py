"""Answers in one line: as the values that a client returns, and as the bytes of a stream."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from ..emulator.script import tokens_of
from ..errors import ConfigurationError
from ..types import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    Delta,
    FunctionCall,
    FunctionCallDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from ..types.base import is_mapping, is_whole
from ..types.chat import ChunkChoice
from ..wire.codec import encode
from ..wire.sse import encode_event

__all__ = ["Counted", "chunks", "chunks_of", "completion", "sse", "tool_call"]

Counted: TypeAlias = "Usage | tuple[int, int] | None"
"""What an answer cost: a `Usage`, or the tokens of the prompt and of the completion; None where it does not say."""

_ID: Final = "chatcmpl-scripted"
_MODEL: Final = "scripted"
_COST: Final = (1, 1)


def completion(
    text: str | None = "",
    *,
    tool_calls: Sequence[ToolCall] = (),
    usage: Counted = _COST,
    finish_reason: str | None = None,
    model: str = _MODEL,
) -> ChatCompletion:
    """A whole answer.

    Args:
        text: what the model says.
        tool_calls: what it asks for; see `tool_call`.
        usage: what it cost, such as ``(9, 12)``; None for an answer that does not say.
        finish_reason: ``stop``, or ``tool_calls`` if there are some, unless said otherwise.
        model: the model that answers.
    """
    message = AssistantMessage(content=text or (None if tool_calls else text), tool_calls=list(tool_calls))
    choice = Choice(index=0, message=message, finish_reason=_reason(finish_reason, tool_calls))
    return ChatCompletion(
        id=_ID, object="chat.completion", created=1, model=model, choices=[choice], usage=_usage(usage)
    )


def chunks(
    text: str = "",
    *,
    n: int | None = None,
    tool_calls: Sequence[ToolCall] = (),
    usage: Counted = _COST,
    finish_reason: str | None = None,
    model: str = _MODEL,
) -> list[ChatCompletionChunk]:
    """The chunks of a streamed answer: the text, each tool call in two, the finish reason, and the usage by itself.

    Args:
        text: what the model says.
        n: in how many chunks of about the same length; cut at words, as models do, if left out.
        tool_calls: what it asks for.
        usage: what it cost; with None, the last chunk is that of the finish reason.
        finish_reason: as for `completion`.
        model: the model that answers.

    Raises:
        ConfigurationError: `n` is no number of chunks.
    """
    if n is not None and (not is_whole(n) or n < 1):
        raise ConfigurationError(f"got n={n!r}, expected the number of chunks, 1 or more")
    pieces = _cut(text, n)
    deltas = [Delta(role="assistant", content=piece) for piece in pieces[:1]]
    deltas += [Delta(content=piece) for piece in pieces[1:]]
    deltas += [delta for index, call in enumerate(tool_calls) for delta in _called(index, call)]
    choices = [ChunkChoice(index=0, delta=delta) for delta in deltas or [Delta(role="assistant", content="")]]
    choices.append(ChunkChoice(index=0, finish_reason=_reason(finish_reason, tool_calls)))
    made = [_chunk(model, choices=[choice]) for choice in choices]
    return made if usage is None else [*made, _chunk(model, choices=[], usage=_usage(usage))]


def chunks_of(answer: ChatCompletion) -> list[ChatCompletionChunk]:
    """The chunks that a whole answer would be streamed in."""
    return chunks(
        answer.text,
        tool_calls=answer.tool_calls,
        usage=answer.usage,
        finish_reason=answer.finish_reason,
        model=answer.model,
    )


def tool_call(name: str, arguments: object = None, *, id: str | None = None, **named: object) -> ToolCall:  # noqa: A002
    """A call of a tool, for `completion` and `chunks`, and for `RunningEmulator.script`.

    Args:
        name: the tool's name.
        arguments: what it is called with, as a mapping; or text that is sent as it is, and may be no JSON at all.
        id: the call's id; made from name and arguments if left out, so that two different calls have two ids.
        **named: arguments by name, in place of `arguments` or beside them.

    Raises:
        ConfigurationError: `arguments` is text, and there are named ones beside it.
    """
    if isinstance(arguments, str):
        if named:
            raise ConfigurationError("got arguments as text beside arguments by name, expected one of them")
        text = arguments
    else:
        given: dict[Any, Any] = dict(arguments) if is_mapping(arguments) else {}
        text = encode({**given, **named}).decode()
    made_id = f"call_{zlib.crc32(f'{name} {text}'.encode()):08x}"
    return ToolCall(id=made_id if id is None else id, function=FunctionCall(name=name, arguments=text))


def sse(chunks: Iterable[ChatCompletionChunk], *, done: bool = True) -> list[bytes]:
    """Chunks as server-sent events, each as bytes of its own, with ``[DONE]`` behind them.

    Args:
        chunks: what is said; to cut the stream, leave some out.
        done: whether the end mark comes.
    """
    # The chunk of the usage has a list of choices that is empty, as the services send it.
    events = [encode_event(encode({"choices": [], **chunk.to_dict()})) for chunk in chunks]
    return [*events, encode_event("[DONE]")] if done else events


def _cut(text: str, n: int | None) -> list[str]:
    if n is None:
        return tokens_of(text)
    size = len(text)
    return [text[size * index // n : size * (index + 1) // n] for index in range(n)]


def _called(index: int, call: ToolCall) -> Iterator[Delta]:
    """A call in two pieces, as models stream it: who is called, then with what."""
    named = FunctionCallDelta(name=call.function.name, arguments="")
    rest = FunctionCallDelta(arguments=call.function.arguments)
    yield Delta(tool_calls=[ToolCallDelta(index=index, id=call.id, type="function", function=named)])
    yield Delta(tool_calls=[ToolCallDelta(index=index, function=rest)])


def _chunk(model: str, *, choices: list[ChunkChoice], usage: Usage | None = None) -> ChatCompletionChunk:
    return ChatCompletionChunk(
        id=_ID, object="chat.completion.chunk", created=1, model=model, choices=choices, usage=usage
    )


def _reason(given: str | None, tool_calls: Sequence[ToolCall]) -> str:
    return given or ("tool_calls" if tool_calls else "stop")


def _usage(given: Counted) -> Usage | None:
    if given is None or isinstance(given, Usage):
        return given
    prompt, answer = given
    return Usage(prompt_tokens=prompt, completion_tokens=answer, total_tokens=prompt + answer)
