"""A completion to the value it was asked for, or to the one error that says why it is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from ..errors import NoValue, ResponseTypeError
from ..types import ChatCompletion, ParsedCompletion, UserMessage
from ..types.chat import folded_reason
from .answers import AnswerType, Mismatch

__all__ = ["parsed_completion", "repair_request"]

T = TypeVar("T")

_ADVICE: Final[dict[NoValue, str]] = {
    "length": "the answer was cut before its end: allow more tokens with max_tokens=",
    "content_filter": "content safety cut the answer",
    "refusal": "the model declined to answer",
    "tool_calls": "the model wants tools called first: run_tools() does that",
    "empty": "the answer is empty",
}


def parsed_completion(
    completion: ChatCompletion, answer: AnswerType[T], repaired: Sequence[ChatCompletion] = ()
) -> ParsedCompletion[T]:
    """The completion with its first choice as a value.

    Raises:
        ResponseTypeError: it is no such value.
    """
    reason = _no_value(completion)
    text = completion.message.refused or completion.text
    if reason is not None:
        raise ResponseTypeError(
            f"got no {answer.title}: {_ADVICE[reason]}",
            reason=reason,
            text=text,
            completion=completion,
            repaired=repaired,
            request_id=completion.meta.request_id,
        )
    try:
        value = answer.decode(text)
    except Mismatch as error:
        raise ResponseTypeError(
            f"got an answer that is no {answer.title}: {error.message} (at {error.position})",
            reason="mismatch",
            text=text,
            position=error.position,
            completion=completion,
            repaired=repaired,
            request_id=completion.meta.request_id,
        ) from error.__cause__
    fields: dict[str, Any] = {name: getattr(completion, name) for name in ChatCompletion.__struct_fields__}
    return ParsedCompletion(parsed=value, repaired=list(repaired), **fields)


def repair_request(error: ResponseTypeError) -> UserMessage:
    """What to tell the model of an answer that is none."""
    return UserMessage(f"{error.message}. Answer again, with the whole JSON mended and nothing else.")


def _no_value(completion: ChatCompletion) -> NoValue | None:
    if completion.message.refused:
        return "refusal"
    reason = folded_reason(completion.finish_reason)
    if reason == "content_filter":
        return "content_filter"
    if reason == "length":
        return "length"
    if completion.tool_calls:
        return "tool_calls"
    return None if completion.text.strip() else "empty"
