"""What the emulator says, and in which shape: pure functions of a request and a script.

The shapes are the service's, dialect by dialect: where usage stands in a stream, how a filtered prompt is worded.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ..types.base import is_object
from ..types.messages import text_of
from ..wire.codec import plain
from ..wire.endpoints import Dialect
from .checks import Refusal
from .script import Answer, Script, tokens_of

__all__ = ["Reply", "reply_to"]


class Reply(NamedTuple):
    """An answer, in both shapes it can be asked for.

    Attributes:
        whole: the completion.
        chunks: the same, streamed; each with the seconds to wait before it.
    """

    whole: dict[str, Any]
    chunks: list[tuple[float, dict[str, Any]]]


def reply_to(dialect: Dialect, body: Mapping[str, Any], script: Script) -> Reply:
    """The scripted answer to a checked body.

    Raises:
        Refusal: content safety refuses the prompt.
    """
    answer = script.answer_to(body)
    if answer.refused is not None:
        raise Refusal(
            400,
            {
                "error": {
                    "message": "The prompt was refused by the content management policy.",
                    "type": None,
                    "param": "prompt",
                    "code": "content_filter",
                    "status": 400,
                    "innererror": {
                        "code": "ResponsibleAIPolicyViolation",
                        "content_filter_result": answer.refused,
                    },
                }
            },
            code="content_filter",
        )
    told = _Told(answer, body)
    head = {
        "id": uuid.uuid4().hex,
        "created": int(time.time()),
        "model": f"emulator/{body['model']}",
    }
    message: dict[str, Any] = {"role": "assistant", "content": told.content, "tool_calls": told.tool_calls or None}
    if told.finish_reason == "content_filter":
        message["content"] = ""  # a filtered answer that is not streamed arrives without its text
    whole = {
        **head,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": told.finish_reason,
                "logprobs": {"content": [_logprob(token) for token in told.tokens]} if told.logprobs else None,
                **({"content_filter_results": _FILTERED} if told.finish_reason == "content_filter" else {}),
            }
        ],
        "usage": told.usage,
    }
    pace = answer.pace or script.pace
    streamed = list(_chunks(told, {**head, "object": "chat.completion.chunk"}, dialect, body))
    delays = [pace.first, *[pace.token] * (len(streamed) - 1)]
    return Reply(whole, list(zip(delays, streamed, strict=True)))


class _Told:
    """An answer after the request's own wishes: cut by `max_tokens`, by `stop`, or by the filter."""

    def __init__(self, answer: Answer, body: Mapping[str, Any]) -> None:
        self.tokens = answer.tokens if answer.tokens is not None else tokens_of(answer.content or "")
        self.tool_calls: list[dict[str, Any]] = [plain(call) for call in answer.tool_calls]
        self.finish_reason = answer.finish_reason or ("tool_calls" if self.tool_calls else "stop")
        self.logprobs = bool(body.get("logprobs"))
        whole = len(self.tokens)
        if answer.filtered is not None:
            self._cut(answer.filtered, "content_filter")
        stops: str | list[str] = body.get("stop") or []
        for stop in [stops] if isinstance(stops, str) else stops:
            at = "".join(self.tokens).find(stop)
            if stop and at >= 0:
                self.tokens = tokens_of("".join(self.tokens)[:at])
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        if limit is not None and limit < len(self.tokens):
            self._cut(limit, "length")
        self.content = None if answer.content is None else "".join(self.tokens)
        self.usage = self._usage(answer, body, is_whole=len(self.tokens) == whole)

    def _cut(self, at: int, why: str) -> None:
        self.tokens = self.tokens[:at]
        self.finish_reason = why

    def _usage(self, answer: Answer, body: Mapping[str, Any], *, is_whole: bool) -> dict[str, Any]:
        if answer.usage is not None and is_whole:
            return dict(plain(answer.usage))
        asked = sum(len(tokens_of(text_of(message.get("content")))) for message in body["messages"])
        prompt = answer.usage.prompt_tokens if answer.usage is not None else asked
        return {
            "prompt_tokens": prompt,
            "completion_tokens": len(self.tokens),
            "total_tokens": prompt + len(self.tokens),
        }


def _chunks(
    told: _Told, head: Mapping[str, Any], dialect: Dialect, body: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """The answer in the service's order: the role, a token each, the calls, the end, and usage where it belongs.

    On `/models` usage comes with the finish reason, unasked; on `/openai/v1` in a chunk of its own, and only if asked.
    """
    separate = dialect == "openai-v1"
    options = body.get("stream_options")
    asked = is_object(options) and bool(options.get("include_usage"))

    def chunk(
        delta: dict[str, Any], finish: str | None = None, logprob: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": finish}
        if told.logprobs:
            choice["logprobs"] = {"content": [logprob]} if logprob else None
        if finish == "content_filter":
            choice["content_filter_results"] = _FILTERED
        usage = {"usage": None} if separate and asked else {}
        return {**head, "choices": [choice], **usage}

    yield chunk({"role": "assistant", "content": None if told.content is None else ""})
    for token in told.tokens:
        yield chunk({"content": token}, logprob=_logprob(token) if told.logprobs else None)
    for index, call in enumerate(told.tool_calls):
        function = call["function"]
        pieces = tokens_of(function["arguments"]) or [""]
        rest = {name: value for name, value in function.items() if name != "arguments"}
        first = {"index": index, "id": call["id"], "type": call["type"], "function": {**rest, "arguments": pieces[0]}}
        yield chunk({"tool_calls": [first]})
        for piece in pieces[1:]:
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    if separate:
        yield chunk({}, told.finish_reason)
        if asked:
            yield {**head, "choices": [], "usage": told.usage}
    else:
        yield {**chunk({"content": ""}, told.finish_reason), "usage": told.usage}


def _logprob(token: str) -> dict[str, Any]:
    return {"token": token, "logprob": -0.25, "bytes": list(token.encode()), "top_logprobs": []}


_FILTERED: Final = {
    "hate": {"filtered": False, "severity": "safe"},
    "self_harm": {"filtered": False, "severity": "safe"},
    "sexual": {"filtered": False, "severity": "safe"},
    "violence": {"filtered": True, "severity": "medium"},
}
