"""What the emulator says, and in which shape: pure functions of a request and a script.

The shapes are the service's, dialect by dialect: where usage stands in a stream, what content safety says and when.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from ..types.base import is_object, plain
from ..types.messages import text_of
from ..wire.endpoints import Dialect
from .refusals import like_models
from .safety import followed_by_annotations, has_safety, prompt_results, refused
from .script import Answer, Script, tokens_of
from .told import Told

__all__ = ["Reply", "reply_to"]

_NOBODY: Final = {"id": "", "object": "", "created": 0, "model": ""}
"""The head of a chunk that content safety sends, and not the model."""


class Reply(NamedTuple):
    """An answer, in both shapes it can be asked for.

    Attributes:
        whole: the completion.
        chunks: the same, streamed; each with the seconds to wait before it.
    """

    whole: dict[str, Any]
    chunks: list[tuple[float, dict[str, Any]]]

    @property
    def seconds(self) -> float:
        """How long the stream takes, and so the whole answer too."""
        return sum(delay for delay, _ in self.chunks)


def reply_to(dialect: Dialect, body: Mapping[str, Any], script: Script) -> Reply:
    """The scripted answer to a checked body.

    Raises:
        Refusal: content safety refuses the prompt, or a schema in it is none.
    """
    answer = script.answer_to(body)
    if answer.refused is not None:
        raise refused(answer.refused)
    late = answer.late_filter and has_safety(dialect)
    annotate = (answer.annotate or script.annotate or late) and has_safety(dialect)
    count: int = body.get("n") or 1
    head = {"id": uuid.uuid4().hex, "created": int(time.time()), "model": f"emulator/{body['model']}"}
    told = [Told(answer, body, index, late_filter=late) for index in range(count)]
    usage = _usage(answer, body, told)
    whole = {
        **head,
        "object": "chat.completion",
        **({"prompt_filter_results": prompt_results()} if annotate else {}),
        "choices": [choice.whole(annotate=annotate) for choice in told],
        "usage": usage,
    }
    last = {"content": ""} if like_models(dialect) else {}
    pieces = [list(choice.pieces(last, annotate=annotate and not late)) for choice in told]
    if late:
        messages: list[Any] = body["messages"]
        pieces = [list(followed_by_annotations(row, messages, cut_after=answer.filtered)) for row in pieces]
    head["object"] = "chat.completion.chunk"
    chunks = _with_usage(
        dialect, body, [(first, _chunk(head, piece)) for first, piece in _in_turn(pieces)], head, usage
    )
    if annotate:
        nothing = {"usage": None} if "usage" in chunks[0][1] else {}
        chunks.insert(0, (True, {**_NOBODY, "choices": [], "prompt_filter_results": prompt_results(), **nothing}))
    pace = answer.pace or script.pace
    delays = [pace.first, *(pace.token if first else 0.0 for first, _ in chunks[1:])]
    return Reply(whole, [(delay, chunk) for delay, (_, chunk) in zip(delays, chunks, strict=True)])


def _chunk(head: Mapping[str, Any], piece: dict[str, Any]) -> dict[str, Any]:
    return {**(head if "delta" in piece else _NOBODY), "choices": [piece]}


def _in_turn(rows: Sequence[list[dict[str, Any]]]) -> Iterator[tuple[bool, dict[str, Any]]]:
    """The pieces of all choices by turns, as they are generated side by side; each with whether a turn begins."""
    for turn in zip_longest(*rows):
        there = [piece for piece in turn if piece is not None]
        yield from ((at == 0, piece) for at, piece in enumerate(there))


def _with_usage(
    dialect: Dialect,
    body: Mapping[str, Any],
    chunks: list[tuple[bool, dict[str, Any]]],
    head: Mapping[str, Any],
    usage: Mapping[str, Any],
) -> list[tuple[bool, dict[str, Any]]]:
    """The chunks with usage where it belongs.

    On `/models` it comes with the last finish reason, unasked; elsewhere in a chunk of its own, and only if asked.
    """
    if like_models(dialect):
        last = max(at for at, (_, chunk) in enumerate(chunks) if chunk["choices"][0]["finish_reason"])
        chunks[last] = (chunks[last][0], {**chunks[last][1], "usage": usage})
        return chunks
    options = body.get("stream_options")
    if not is_object(options) or not options.get("include_usage"):
        return chunks
    chunks = [(first, {**chunk, "usage": None}) for first, chunk in chunks]
    return [*chunks, (True, {**head, "choices": [], "usage": usage})]


def _usage(answer: Answer, body: Mapping[str, Any], told: Sequence[Told]) -> dict[str, Any]:
    if answer.usage is not None and len(told) == 1 and told[0].is_whole:
        return dict(plain(answer.usage))
    asked = sum(len(tokens_of(text_of(message.get("content")))) for message in body["messages"])
    prompt = answer.usage.prompt_tokens if answer.usage is not None else asked
    completion = sum(choice.count for choice in told)
    thought = sum(choice.reasoning_count for choice in told)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **({"completion_tokens_details": {"reasoning_tokens": thought}} if thought else {}),
    }
