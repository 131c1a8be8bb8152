"""One choice of an answer after the request's own wishes: cut by its limits, by `stop`, or by content safety."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..types.base import is_object, plain
from .safety import FILTERED, SAFE
from .script import Answer, tokens_of

__all__ = ["Told"]

_THINK: Final = ("<think>\n", "\n</think>\n\n")


class Told:
    """What is told.

    Args:
        answer: what the script says.
        body: the request.
        index: which choice it is; those behind the first say the same a little differently.
        late_filter: content safety does not cut it before it is sent.

    Attributes:
        index: see above.
        tokens: the text.
        reasoning: what was thought before, as far as it is kept apart from the text.
        reasoning_count: how many tokens were thought, kept apart or not.
        tool_calls: the calls, as they are sent.
        finish_reason: why it ends.
        is_whole: nothing was cut.
    """

    def __init__(self, answer: Answer, body: Mapping[str, Any], index: int, *, late_filter: bool) -> None:
        self.index = index
        self.tokens = answer.tokens if answer.tokens is not None else tokens_of(answer.content or "")
        self.tokens = [*self.tokens, *_difference(body, index)] if self.tokens else []
        self.reasoning = tokens_of(answer.reasoning)
        self.tool_calls = [_numbered(plain(call), index) for call in answer.tool_calls]
        self.finish_reason = answer.finish_reason or ("tool_calls" if self.tool_calls else "stop")
        self._has_content = answer.content is not None
        self._answer = answer
        self._late = late_filter
        self._logprobs = bool(body.get("logprobs"))
        self._alternatives: int = body.get("top_logprobs") or 0
        length = self.count
        if answer.filtered is not None and not late_filter:
            self._cut(answer.filtered, "content_filter")
        self._stop(body.get("stop") or [])
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        if limit is not None and limit < len(self.tokens) + len(self.reasoning):
            self.reasoning = self.reasoning[:limit]
            self._cut(limit - len(self.reasoning), "length")
        self.reasoning_count = len(self.reasoning)
        self.is_whole = self.count == length
        if self.reasoning and answer.reasoning_as == "think_tags":
            opening, closing = map(tokens_of, _THINK)
            ended = [] if self.reasoning_count < len(tokens_of(answer.reasoning)) else closing
            self.tokens = [*opening, *self.reasoning, *ended, *self.tokens]
            self.reasoning = []

    def _cut(self, at: int, why: str) -> None:
        self.tokens = self.tokens[:at]
        self.finish_reason = why

    def _stop(self, stops: str | list[str]) -> None:
        for stop in [stops] if isinstance(stops, str) else stops:
            at = "".join(self.tokens).find(stop)
            if stop and at >= 0:
                self.tokens = tokens_of("".join(self.tokens)[:at])

    @property
    def count(self) -> int:
        """How many tokens it costs."""
        return len(self.tokens) + len(self.reasoning)

    @property
    def is_filtered(self) -> bool:
        """Whether content safety cut it, at once or, in a stream, behind what was sent."""
        return self.finish_reason == "content_filter" or (self._late and self._answer.filtered is not None)

    def whole(self, *, annotate: bool) -> dict[str, Any]:
        """The choice of an answer that is not streamed; with what content safety says of it, if that is wanted."""
        filtered = self.is_filtered  # then it arrives without its text
        content: Any = "".join(self.tokens) if self._has_content else None
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "" if filtered else content,
            "tool_calls": self.tool_calls or None,
        }
        if self.reasoning and not filtered:
            message.update(self._thought("".join(self.reasoning), content))
        return {
            "index": self.index,
            "message": message,
            "finish_reason": "content_filter" if filtered else self.finish_reason,
            "logprobs": {"content": [self._logprob(token) for token in self.tokens]} if self._logprobs else None,
            **_results(FILTERED if filtered else SAFE, wanted=annotate or filtered),
        }

    def _thought(self, text: str, content: Any) -> dict[str, Any]:
        """The fields of a message, or of a delta, that say what was thought."""
        if self._answer.reasoning_as != "parts":
            return {"content": content, self._answer.reasoning_as: text}
        parts: list[Any] = [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]
        return {"content": [*parts, {"type": "text", "text": content}] if content else parts}

    def pieces(self, last: Mapping[str, Any], *, annotate: bool) -> Iterator[dict[str, Any]]:
        """The choices of a stream: the role, a token each, the calls, the end, whose delta is `last`."""
        for delta, token in self._deltas():
            piece: dict[str, Any] = {"index": self.index, "delta": delta, "finish_reason": None}
            if self._logprobs:
                piece["logprobs"] = {"content": [self._logprob(token)]} if token else None
            yield {**piece, **_results(SAFE if delta.get("content") else {}, wanted=annotate)}
        filtered = self.finish_reason == "content_filter"
        piece = {"index": self.index, "delta": dict(last), "finish_reason": self.finish_reason}
        if self._logprobs:
            piece["logprobs"] = None
        yield {**piece, **_results(FILTERED if filtered else {}, wanted=annotate or filtered)}

    def _deltas(self) -> Iterator[tuple[dict[str, Any], str]]:
        """All deltas but the last, each with the token that its log probability is of."""
        yield {"role": "assistant", "content": "" if self._has_content else None}, ""
        for token in self.reasoning:
            yield self._thought(token, None), ""
        for token in self.tokens:
            yield {"content": token}, token
        for index, call in enumerate(self.tool_calls):
            function = call["function"]
            texts = tokens_of(function["arguments"]) or [""]
            rest = {**{name: value for name, value in function.items() if name != "arguments"}, "arguments": texts[0]}
            yield {"tool_calls": [{"index": index, "id": call["id"], "type": call["type"], "function": rest}]}, ""
            for text in texts[1:]:
                yield {"tool_calls": [{"index": index, "function": {"arguments": text}}]}, ""

    def _logprob(self, token: str) -> dict[str, Any]:
        others = [token, *(f"{token}{number}" for number in range(1, self._alternatives))][: self._alternatives]
        top = [_likely(text, -0.25 - at) for at, text in enumerate(others)]
        return {**_likely(token, -0.25), "top_logprobs": top}


def _results(results: Mapping[str, Any], *, wanted: bool) -> dict[str, Any]:
    return {"content_filter_results": results} if wanted else {}


def _likely(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def _difference(body: Mapping[str, Any], index: int) -> list[str]:
    """What further choices say more than the first: where JSON is asked for, a space that does no harm to it."""
    asked = body.get("response_format")
    is_json = is_object(asked) and asked.get("type") != "text"
    return ([" " * index] if is_json else tokens_of(f" (choice {index + 1})")) if index else []


def _numbered(call: dict[str, Any], index: int) -> dict[str, Any]:
    return {**call, "id": f"{call['id']}-{index + 1}"} if index else call
