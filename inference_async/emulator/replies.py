"""What the emulator says, and in which shape: pure functions of a request and a script.

The shapes are the service's, dialect by dialect: what `/models` refuses and `/openai/v1` takes, where usage stands in a
stream, how a filtered prompt is worded.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from ..types.base import is_array, is_object
from ..types.messages import text_of
from ..wire.codec import plain
from .script import Answer, Script, tokens_of

__all__ = ["Dialect", "Refusal", "Reply", "check_api_version", "check_body", "check_key", "reply_to"]

Dialect: TypeAlias = Literal["models", "openai-v1"]

API_VERSIONS: Final = ("2024-05-01-preview",)
_KNOWN: Final = frozenset(
    {
        "messages",
        "model",
        "stream",
        "frequency_penalty",
        "presence_penalty",
        "temperature",
        "top_p",
        "max_tokens",
        "stop",
        "seed",
        "response_format",
        "tools",
        "tool_choice",
        "modalities",
        "user_security_context",
    }
)
_KNOWN_V1: Final = _KNOWN | {
    "audio",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "metadata",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "safety_identifier",
    "service_tier",
    "store",
    "stream_options",
    "top_logprobs",
    "user",
    "verbosity",
    "web_search_options",
}
_ROLES: Final = ("system", "developer", "user", "assistant", "tool")


class Refusal(Exception):  # noqa: N818  (not a fault of this program: an answer)
    """An answer that is an error: a status and a body, as the service words it."""

    def __init__(self, status: int, body: Any, *, code: str | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.code = code


class Reply(NamedTuple):
    """An answer, in both shapes it can be asked for.

    Attributes:
        whole: the completion.
        chunks: the same, streamed; each with the seconds to wait before it.
    """

    whole: dict[str, Any]
    chunks: list[tuple[float, dict[str, Any]]]


def check_key(dialect: Dialect, headers: Mapping[str, str], key: str | None) -> None:
    """401, as the service words it, unless the key comes in ``api-key`` or as a bearer.

    Raises:
        Refusal: see above.
    """
    if key is None:
        return
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if headers.get("api-key") == key or (scheme.lower() == "bearer" and token == key):
        return
    if "api-key" in headers or dialect == "openai-v1":
        raise Refusal(
            401,
            {
                "error": {
                    "code": "401",
                    "message": "Access denied due to invalid subscription key or wrong API endpoint. Make sure to "
                    "provide a valid key for an active subscription and use a correct regional API endpoint for your "
                    "resource.",
                }
            },
        )
    raise Refusal(
        401,
        {
            "statusCode": 401,
            "message": "Unauthorized. Access token is missing, invalid, audience is incorrect "
            "(https://cognitiveservices.azure.com), or have expired.",
        },
    )


def check_api_version(dialect: Dialect, version: str | None) -> None:
    """`/models` needs a version it knows; `/openai/v1` takes none, ``v1`` or ``preview``.

    Raises:
        Refusal: 400 otherwise.
    """
    if dialect == "models" and version is None:
        text = "The api-version query parameter (?api-version=) is required for all requests."
        raise Refusal(400, {"error": {"code": "MissingApiVersionParameter", "message": text}})
    allowed = API_VERSIONS if dialect == "models" else (None, "v1", "preview")
    if version not in allowed:
        raise Refusal(400, {"error": {"code": "BadRequest", "message": "API version not supported"}})


def check_body(dialect: Dialect, given: Any, mode: str | None, script: Script) -> dict[str, Any]:
    """The body as the model gets it: unknown fields refused, dropped or passed on, as the header says.

    Raises:
        Refusal: 400 for what is no request, 422 for what the model does not support.
    """
    if not is_object(given):
        raise _invalid("We could not parse the JSON body of your request.")
    body: dict[str, Any] = given
    known = _KNOWN if dialect == "models" else _KNOWN_V1
    unknown = [name for name in body if name not in known]
    if unknown and dialect == "openai-v1":
        raise _invalid(f"Unrecognized request argument supplied: {unknown[0]}")
    if unknown and mode == "drop":
        body = {name: value for name, value in body.items() if name in known}
    elif unknown and mode != "pass-through":
        raise Refusal(
            400,
            {
                "detail": f"Extra parameters {unknown!r} are not allowed when extra-parameters is not set or set to be "
                "'error'. Set extra-parameters to 'pass-through' to pass to the model."
            },
        )
    if not body.get("model"):
        raise Refusal(
            400, {"error": {"code": "no_model_name", "message": "No model specified in request.", "details": ""}}
        )
    _check_messages(body.get("messages"))
    for row in script.models[body["model"]].unsupported if body["model"] in script.models else ():
        name, _, value = row.partition("=")
        got = body.get(name)
        kind = got.get("type") if is_object(got) else got
        if got is not None and (not value or value == kind):
            raise Refusal(
                422,
                {
                    "status": 422,
                    "code": "parameter_not_supported",
                    "detail": {"loc": ["body", name], "input": kind},
                    "message": "One of the parameters contain invalid values.",
                },
            )
    return body


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
            if at >= 0:
                self.tokens = tokens_of("".join(self.tokens)[:at])
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
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
        yield chunk({"content": token}, logprob=_logprob(token))
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


def _check_messages(messages: Any) -> None:
    if not is_array(messages) or not messages:
        raise _invalid("'messages' must be a list of at least one message.", param="messages")
    for index, message in enumerate(messages):
        role = message.get("role") if is_object(message) else None
        if role not in _ROLES:
            raise _invalid(f"Invalid value: {role!r}. Supported values are: {_ROLES}.", param=f"messages[{index}].role")
        if role == "tool" and not message.get("tool_call_id"):
            raise _invalid("Missing parameter 'tool_call_id'.", param=f"messages[{index}].tool_call_id")


def _invalid(message: str, *, param: str | None = None) -> Refusal:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return Refusal(400, {"error": error})


_FILTERED: Final = {
    "hate": {"filtered": False, "severity": "safe"},
    "self_harm": {"filtered": False, "severity": "safe"},
    "sexual": {"filtered": False, "severity": "safe"},
    "violence": {"filtered": True, "severity": "medium"},
}
