"""Chunks to a completion: one fold, shared by every way of reading a stream.

Pieces are kept in lists and joined when somebody asks, so a long answer costs its length, and nothing is parsed here:
arguments stay the text the model wrote.

What servers do, and so what this must survive: usage with the last choice, alone, in every chunk, or never; ids and
models that are empty in the first chunk; choices that interleave; a chunk after the finish reason whose null must not
undo it; and tool calls in every state of disrepair (`_Calls`).

And it must not be filled without end: each event is bounded where it is decoded, their number is not. What is kept is
weighed as it comes, about as much as it takes in memory.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import count, groupby
from typing import Any, Final

from ..errors import StreamError
from ..policy.limits import DEFAULT_LIMITS, Limits
from ..types import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    Choice,
    ChunkChoice,
    Delta,
    FunctionCall,
    Logprobs,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from ..types.base import UNSET, UnsetType, is_array, is_object
from ..types.chat import NO_REASON, folded_reason
from ..types.safety import merged
from .codec import DecodeFailure, decode_json, encode

__all__ = ["Accumulator", "name_calls"]

_PIECE: Final = 64  # bytes that any object takes, and a piece of text in a list
_CALL: Final = 1024  # a tool call, and a choice, with all their empty lists
_NUMBERS: Final = frozenset({int, float})
_TOKEN: Final = 256  # a token with its probability


class Accumulator:
    """Folds the chunks of one stream.

    Args:
        limits: bounds what is kept: choices, tool calls, and bytes in all (``max_body_bytes``).

    Attributes:
        chunks: how many have been added.
        usage: the last usage that was not null; never a sum.
    """

    __slots__ = ("_choices", "_completion", "_extra", "_head", "_held", "_limits", "_max_held", "chunks", "usage")

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.chunks = 0
        self._limits = limits
        self._max_held = limits.max_body_bytes
        self._held = 0
        self.usage: Usage | None = None
        self._choices: dict[int, _ChoiceState] = {}
        # The names of the answer, each from the first chunk that has it: filter chunks come first and have none.
        self._head = ChatCompletion()
        self._extra: dict[str, Any] = {}
        self._completion: ChatCompletion | None = None

    def add(self, chunk: ChatCompletionChunk) -> bool:
        """Add the next chunk; say whether it brought anything of the answer: text, a call, a finish reason.

        Raises:
            StreamError: the answer is over a bound; the message names it. What came before the chunk is kept.
        """
        self.chunks += 1
        self._completion = None
        head = self._head
        if not (head.id and head.model and head.created):
            head.id = head.id or chunk.id
            head.model = head.model or chunk.model
            head.created = head.created or chunk.created
        if (  # see _ChoiceState.add
            chunk.system_fingerprint
            or chunk.service_tier
            or chunk.prompt_filter_results
            or chunk.usage is not None
            or chunk.unknown_fields
        ):
            self._add_rare(chunk)
        progress = False
        for choice in chunk.choices:
            state = self._choices.get(choice.index) or self._open(choice)
            if state.add(choice):
                progress = True
            self._held += state.grown
        if self._held > self._max_held:
            raise StreamError(
                f"the streamed answer takes over {self._max_held:,} bytes; raise max_body_bytes if it is meant to"
            )
        return progress

    def _add_rare(self, chunk: ChatCompletionChunk) -> None:
        head = self._head
        if chunk.system_fingerprint:
            head.system_fingerprint = chunk.system_fingerprint
        if chunk.service_tier:
            head.service_tier = chunk.service_tier
        if chunk.prompt_filter_results:
            head.prompt_filter_results = chunk.prompt_filter_results
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.unknown_fields:
            self._held += _keep_last(self._extra, chunk.unknown_fields)

    def _open(self, choice: ChunkChoice) -> _ChoiceState:
        if choice.index < 0:
            choice.index = 0  # none comes before the first, so it is that one
            if 0 in self._choices:
                return self._choices[0]
        index = choice.index
        most = self._limits.max_choices
        if len(self._choices) == most:
            raise StreamError(f"the stream holds over {most:,} choices; raise max_choices if it is meant to")
        state = self._choices[index] = _ChoiceState(index, self._limits.max_tool_calls)
        self._held += _CALL
        return state

    @property
    def begun(self) -> bool:
        """Whether any choice was begun."""
        return bool(self._choices)

    @property
    def finished(self) -> bool:
        """Whether every choice that was begun has a finish reason, and at least one was begun."""
        return bool(self._choices) and all(state.finish_reason is not None for state in self._choices.values())

    @property
    def checked(self) -> int | None:
        """How many characters of the first choice the asynchronous filter has cleared; None where it is not at work."""
        state = self._choices.get(0)
        return state.checked if state is not None else None

    @property
    def retract_from(self) -> int | None:
        """See `Choice.retract_from`, of the first choice; cheap as long as nothing is to be retracted."""
        state = self._choices.get(0)
        if state is None or folded_reason(state.finish_reason) != "content_filter" or state.checked is None:
            return None
        return state.choice().retract_from

    @property
    def completion(self) -> ChatCompletion:
        """What has arrived so far, as a completion; made when asked for, and kept until the next chunk."""
        if self._completion is None:
            head = self._head
            self._completion = ChatCompletion(
                id=head.id,
                object="chat.completion",
                created=head.created,
                model=head.model,
                system_fingerprint=head.system_fingerprint,
                service_tier=head.service_tier,
                prompt_filter_results=head.prompt_filter_results,
                usage=self.usage,
                unknown_fields=dict(self._extra) or UNSET,
                choices=[self._choices[index].choice() for index in sorted(self._choices)],
            )
        return self._completion


class _ChoiceState:
    """One choice as it grows."""

    __slots__ = (
        "_audio",
        "_calls",
        "_content",
        "_delta_extra",
        "_empty",
        "_extra",
        "_filters",
        "_function_call",
        "_in_parts",
        "_index",
        "_max_calls",
        "_name",
        "_offsets",
        "_origin",
        "_pieces",
        "checked",
        "finish_reason",
        "grown",
    )

    def __init__(self, index: int, max_calls: int) -> None:
        self.finish_reason: str | None = None
        self.grown = 0  # bytes that the last chunk added, about
        self._max_calls = max_calls
        self._index = index
        self._content: list[Any] = []
        self._in_parts = False
        self._empty = False  # content came and was empty, which is not the same as no content
        self._pieces: dict[str, list[Any]] = {}  # of all else that comes in pieces, by the name of the field
        self._calls: _Calls | None = None
        self._function_call: _Growing | None = None
        self._audio: _Growing | None = None
        self._name: str | None = None
        self._filters: dict[str, Any] = {}
        self._offsets: dict[str, Any] | None = None
        self._origin = 0  # where the answer begins, in the filter's count of characters, which begins at the prompt
        self.checked: int | None = None
        self._extra: dict[str, Any] = {}
        self._delta_extra: dict[str, Any] = {}

    def add(self, choice: ChunkChoice) -> bool:
        delta = choice.delta
        progress = False
        self.grown = 0
        content = delta.content
        if content:
            progress = True
            if isinstance(content, str):
                self._content.append(content)
                self.grown = len(content) + _PIECE
            else:
                self._in_parts = True
                self._content.extend(content)
                self.grown = _weight(content)
        elif content is not None:
            self._empty = True
        if delta.tool_calls:
            progress = True
            if self._calls is None:
                self._calls = _Calls(self._max_calls)
            for call in delta.tool_calls:
                self.grown += self._calls.add(call)
        if choice.finish_reason not in NO_REASON:
            progress = True
            self.finish_reason = choice.finish_reason
        if (  # asked in one go: most chunks have none of it, and need no call
            delta.reasoning_content
            or delta.raw_reasoning
            or delta.refusal
            or delta.audio
            or delta.function_call
            or delta.name
            or delta.annotations
            or delta.unknown_fields
            or choice.logprobs
            or choice.content_filter_results
            or choice.content_filter_offsets
            or choice.unknown_fields
        ) and self._add_rare(choice, delta):
            progress = True
        return progress

    def _add_rare(self, choice: ChunkChoice, delta: Delta) -> bool:
        progress = False
        if delta.reasoning_content:
            progress = True
            self._keep("reasoning_content", delta.reasoning_content)
            self.grown += len(delta.reasoning_content) + _PIECE
        if delta.raw_reasoning:
            progress = True
            self._keep("raw_reasoning", delta.raw_reasoning)
            self.grown += len(delta.raw_reasoning) + _PIECE
        if delta.refusal:
            progress = True
            self._keep("refusal", delta.refusal)
            self.grown += len(delta.refusal) + _PIECE
        if delta.audio:
            progress = True
            self._audio = self._audio or _Growing("data", "transcript")
            self.grown += self._audio.add(delta.audio)
        if delta.function_call:
            progress = True
            self._function_call = self._function_call or _Growing("arguments")
            self.grown += self._function_call.add(delta.function_call)
        if delta.name and self._name is None:
            self._name = delta.name
        if delta.annotations:
            self._keep("annotations", *delta.annotations)
            self.grown += _weight(delta.annotations)
        if choice.logprobs:
            self._keep("logprobs", choice.logprobs)
            self.grown += _weight_of_logprobs(choice.logprobs)
        if choice.content_filter_results:
            known = len(self._filters)
            self._filters = merged(self._filters, choice.content_filter_results)
            if len(self._filters) > known:
                self.grown += _weight(choice.content_filter_results)
        if choice.content_filter_offsets:
            self._add_offsets(choice.content_filter_offsets)
        if choice.unknown_fields:
            self.grown += _keep_last(self._extra, choice.unknown_fields)
        if delta.unknown_fields:
            self.grown += _keep_last(self._delta_extra, delta.unknown_fields)
            details = delta.unknown_fields.get("reasoning_details")
            if is_array(details):  # it comes in pieces, as the reasoning itself does
                progress = True
                self._keep("reasoning_details", *details)
                self.grown += _weight(details)
        return progress

    def _keep(self, field: str, *pieces: Any) -> None:
        self._pieces.setdefault(field, []).extend(pieces)

    def _text(self, field: str) -> str | None:
        return "".join(self._pieces.get(field, ())) or None

    def _add_offsets(self, offsets: dict[str, Any]) -> None:
        """The first annotation begins where the answer does; each says up to where the text is cleared.

        Source: the service's page "Content streaming", annotation messages.
        """
        start, check = offsets.get("start_offset"), offsets.get("check_offset")
        if isinstance(start, int) and isinstance(check, int):
            if self.checked is None:
                self._origin = start
            self.checked = max(self.checked or 0, check - self._origin)
        self._offsets = offsets

    def choice(self) -> Choice:
        message_extra = dict(self._delta_extra)
        if "reasoning_details" in self._pieces:
            message_extra["reasoning_details"] = list(self._pieces["reasoning_details"])
        return Choice(
            index=self._index,
            finish_reason=self.finish_reason,
            logprobs=self._joined_logprobs(),
            content_filter_results=dict(self._filters) or None,
            content_filter_offsets=self._offsets,
            checked=self.checked,
            unknown_fields=dict(self._extra) or UNSET,
            message=AssistantMessage(
                content=self._joined_content(),
                tool_calls=self._calls.calls() if self._calls else [],
                refusal=self._text("refusal"),
                reasoning_content=self._text("reasoning_content"),
                raw_reasoning=self._text("raw_reasoning"),
                function_call=self._function_call.value() if self._function_call else None,
                audio=self._audio.value() if self._audio else None,
                annotations=list(self._pieces.get("annotations", ())) or None,
                name=self._name,
                unknown_fields=message_extra or UNSET,
            ),
        )

    def _joined_content(self) -> str | list[Any] | None:
        if not self._in_parts:
            return "".join(self._content) if self._content or self._empty else None
        parts: list[Any] = []
        for is_text, pieces in groupby(self._content, key=lambda piece: isinstance(piece, str)):
            if not is_text:
                parts.extend(pieces)
                continue
            text = "".join(pieces)
            if parts and _is_text(parts[-1]):
                text = parts.pop()["text"] + text
            parts.append({"type": "text", "text": text})
        return parts

    def _joined_logprobs(self) -> Logprobs | None:
        pieces: list[Logprobs] | None = self._pieces.get("logprobs")
        if pieces is None:
            return None
        extra: dict[str, Any] = {}
        for piece in pieces:
            if piece.unknown_fields:
                _keep_last(extra, piece.unknown_fields)
        return Logprobs(
            content=_joined([piece.content for piece in pieces]),
            refusal=_joined([piece.refusal for piece in pieces]),
            unknown_fields=extra or UNSET,
        )


def _is_text(part: Any) -> bool:
    """Whether a part is text and nothing else, so that more text can be added to it."""
    return (
        is_object(part) and part.keys() == {"type", "text"} and part["type"] == "text" and isinstance(part["text"], str)
    )


def _joined(lists: list[list[TokenLogprob] | None]) -> list[TokenLogprob] | None:
    """All of them in one; None if there is none, which is not the same as an empty one."""
    found = [rows for rows in lists if rows is not None]
    return [row for rows in found for row in rows] if found else None


class _Growing:
    """An object that comes in pieces: the named fields are text to be joined, of the others the last value stays."""

    __slots__ = ("_rest", "_texts")

    def __init__(self, *texts: str) -> None:
        self._texts: dict[str, list[str]] = {name: [] for name in texts}
        self._rest: dict[str, Any] = {}

    def add(self, piece: dict[str, Any]) -> int:
        grown = 0
        rest: dict[str, Any] = {}
        for name, value in piece.items():
            if name in self._texts and isinstance(value, str):
                self._texts[name].append(value)
                grown += len(value) + _PIECE
            else:
                rest[name] = value
        return grown + _keep_last(self._rest, rest)

    def value(self) -> dict[str, Any] | None:
        return {**self._rest, **{name: "".join(text) for name, text in self._texts.items() if text}} or None


class _Call:
    """One tool call as it grows."""

    __slots__ = ("arguments", "call_id", "extra", "function_extra", "id", "length", "name", "type")

    def __init__(self) -> None:
        self.id = ""
        self.type = ""
        self.name = ""
        self.arguments: list[str] = []
        self.length = 0
        self.call_id: str | UnsetType | None = UNSET
        self.extra: dict[str, Any] = {}
        self.function_extra: dict[str, Any] = {}


class _Calls:
    """The tool calls of one choice.

    The slot a delta belongs to cannot be read off its index alone: some servers send none, some always the same. So an
    id that differs from the slot's opens a new one, and a delta with neither goes to the slot touched last. The first
    id, type and name win, since some servers repeat them in every delta; null adds nothing.
    """

    __slots__ = ("_by_id", "_by_index", "_last", "_most", "_slots")

    def __init__(self, most: int) -> None:
        self._most = most
        self._slots: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._last: _Call | None = None

    def add(self, delta: ToolCallDelta) -> int:
        """Add the next piece of a call; return how many bytes it takes, about."""
        known = len(self._slots)
        call = self._slot(delta)
        grown = 0
        if len(self._slots) > known:
            grown = _CALL + len(delta.id or "") + len(delta.type or "")
        self._last = call
        if delta.id and not call.id:
            call.id = delta.id
            self._by_id[delta.id] = call
        if delta.type and not call.type:
            call.type = delta.type
        if delta.unknown_fields:
            grown += _keep_last(call.extra, delta.unknown_fields)
        function = delta.function
        if function is None:
            return grown
        if function.name and not call.name:
            call.name = function.name
            grown += len(function.name)
        if function.call_id is not UNSET:
            call.call_id = function.call_id or call.call_id or None
        if function.unknown_fields:
            grown += _keep_last(call.function_extra, function.unknown_fields)
        arguments = function.arguments
        if arguments is not None and arguments != "":
            before = call.length
            self._add_arguments(call, arguments)
            grown += call.length - before + _PIECE
        return grown

    def calls(self) -> list[ToolCall]:
        calls = [
            ToolCall(
                id=call.id,
                type=call.type or "function",
                unknown_fields=dict(call.extra) or UNSET,
                function=FunctionCall(
                    name=call.name,
                    arguments="".join(call.arguments),
                    call_id=call.call_id,
                    unknown_fields=dict(call.function_extra) or UNSET,
                ),
            )
            for call in self._slots
        ]
        name_calls(calls)
        return calls

    def _slot(self, delta: ToolCallDelta) -> _Call:
        index, id_ = delta.index, delta.id
        if index is not None:
            call = self._by_index.get(index)
            if call is None or (id_ and call.id and id_ != call.id):
                call = (self._by_id.get(id_) if id_ and call is not None else None) or self._open()
                self._by_index[index] = call
            return call
        if id_:
            return self._by_id.get(id_) or self._open()
        return self._last or self._open()

    def _open(self) -> _Call:
        if len(self._slots) == self._most:
            raise StreamError(
                f"the stream holds over {self._most:,} tool calls of one choice; raise max_tool_calls if it is meant to"
            )
        call = _Call()
        self._slots.append(call)
        return call

    @staticmethod
    def _add_arguments(call: _Call, arguments: str | dict[str, Any] | list[Any]) -> None:
        if not isinstance(arguments, str):
            if call.length:
                return  # the whole value again, after its pieces
            arguments = encode(arguments).decode()
        elif arguments[0] in '{["' and call.length and len(arguments) >= call.length and _repeats(call, arguments):
            return
        call.arguments.append(arguments)
        call.length += len(arguments)


def name_calls(calls: list[ToolCall]) -> None:
    """Give a made-up id to calls that have none, or another's, in place: their results could not be told apart."""
    taken = {call.id for call in calls}
    made_up = (name for name in map("call_{}".format, count()) if name not in taken)
    seen: set[str] = set()
    for call in calls:
        if not call.id or call.id in seen:
            call.id = next(made_up)
        seen.add(call.id)


def _repeats(call: _Call, arguments: str) -> bool:
    """Whether these arguments are the summary some servers send at the end: the whole text again, or quoted as JSON.

    Only asked when a delta is as long as all that came before it, so that asking costs no more than the text itself.
    """
    so_far = "".join(call.arguments)
    call.arguments[:] = [so_far]
    if so_far[0] not in "{[":
        return False
    try:
        if arguments != so_far and (arguments[0] != '"' or decode_json(arguments.encode()) != so_far):
            return False
        decode_json(so_far.encode())
    except (*DecodeFailure, UnicodeEncodeError):
        return False
    return True


def _keep_last(whole: dict[str, Any], piece: dict[str, Any]) -> int:
    """Of a field nobody knows the meaning of, the last non-null value stays; by how many bytes that makes it grow."""
    grown = 0
    for name, value in piece.items():
        if name not in whole:
            grown += _weight(value) + len(name) + _PIECE
        elif value is None:
            continue
        elif value is not whole[name]:
            grown += _weight(value) - _weight(whole[name])
        whole[name] = value
    return grown


def _weight(value: Any) -> int:
    """How many bytes a JSON value takes, about."""
    if isinstance(value, str):
        return len(value) + _PIECE
    weight = _PIECE
    left: list[Any] = [value]
    while left:
        value = left.pop()
        items: Collection[Any] = ()
        if is_object(value):
            items = value.values()
            weight += sum(map(len, value)) + _PIECE * len(value)
        elif is_array(value) and not _NUMBERS.issuperset(map(type, value)):
            items = value
        elif is_array(value):
            weight += _PIECE * len(value)
        weight += _PIECE * len(items)
        for item in items:
            if isinstance(item, str):
                weight += len(item)
            elif item and isinstance(item, dict | list):
                left.append(item)
    return weight


def _weight_of_logprobs(logprobs: Logprobs) -> int:
    weight = _weight(dict(logprobs.extra)) if logprobs.extra else _PIECE
    for row in (*(logprobs.content or ()), *(logprobs.refusal or ())):
        weight += _TOKEN * (1 + len(row.top_logprobs or ())) + len(row.token)
    return weight
