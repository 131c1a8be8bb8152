"""What content safety says: of the prompt, of the answer, and, where it is asynchronous, behind the answer.

The asynchronous filter lets text pass and looks at it afterwards. What it finds comes in annotations: chunks whose
choice has no delta, with the stretch of text that they are about. Offsets count characters from the start of the
prompt; ``check_offset`` is where the text ends that is done with, and never goes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ..types.messages import text_of
from ..wire.endpoints import Dialect
from .refusals import Refusal

__all__ = ["FILTERED", "SAFE", "followed_by_annotations", "has_safety", "prompt_results", "refused"]

SAFE: Final[Mapping[str, Any]] = {
    name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")
}
"""Nothing was amiss."""

FILTERED: Final[Mapping[str, Any]] = {**SAFE, "violence": {"filtered": True, "severity": "medium"}}
"""The answer was cut."""

_STRETCH: Final = 60
"""Characters that pass before the asynchronous filter says something of them."""

_LAG: Final = 8
"""Tokens that pass behind the place of the cut before it is noticed."""


def has_safety(dialect: Dialect) -> bool:
    """Whether content safety stands before the endpoint: everywhere on Azure."""
    return dialect != "generic"


def refused(categories: Mapping[str, Any]) -> Refusal:
    """The prompt does not pass."""
    error = {
        "message": "The prompt was refused by the content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": categories},
    }
    return Refusal(400, {"error": error}, code="content_filter")


def prompt_results() -> list[dict[str, Any]]:
    """What is said of a prompt that passes."""
    return [{"prompt_index": 0, "content_filter_results": SAFE}]


def followed_by_annotations(
    choices: Iterable[dict[str, Any]], messages: list[Any], *, cut_after: int | None
) -> Iterator[dict[str, Any]]:
    """The choices of a stream as they are, with annotations between and behind them.

    Args:
        choices: one choice, piece by piece.
        messages: the prompt, whose characters are counted too.
        cut_after: after so many tokens the text is not what it should be. Some more pass before that is noticed; then
            an annotation takes the place of what is left.
    """
    sent = checked = sum(len(text_of(message.get("content"))) for message in messages)
    index = tokens = 0
    for choice in choices:
        index = choice["index"]
        content = choice["delta"].get("content")
        if cut_after is not None and (tokens >= cut_after + _LAG or choice["finish_reason"]):
            yield _annotation(index, FILTERED, checked, sent, "content_filter")
            return
        yield choice
        tokens += bool(content)
        sent += len(content) if isinstance(content, str) else 0
        if sent - checked >= _STRETCH and (cut_after is None or tokens <= cut_after):
            yield _annotation(index, SAFE, checked, sent)
            checked = sent
    yield _annotation(index, SAFE, checked, sent)


def _annotation(
    index: int, results: Mapping[str, Any], start: int, end: int, finish: str | None = None
) -> dict[str, Any]:
    return {
        "index": index,
        "finish_reason": finish,
        "content_filter_results": results,
        "content_filter_offsets": {"check_offset": start, "start_offset": start, "end_offset": end},
    }
