"""The chat request, the completion, and the chunks it is streamed in.

Source: the service's reference of chat completions, `api-version` 2024-05-01-preview, widened by what its hosts send.
Nothing enumerated is closed: finish reasons, roles and filter categories are plain text, because hosts add their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, Literal, TypeAlias, TypedDict, TypeVar, cast

import msgspec
from msgspec import UNSET, UnsetType

from .base import Open, is_array, is_object
from .messages import AssistantMessage, reasoning_of, text_of
from .meta import ResponseMeta
from .safety import ContentFilterResults, merged, results_in
from .tools import HasDefinition, ToolCall, ToolCallDelta, ToolDefinition

__all__ = [
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatOptions",
    "ChatRequest",
    "Choice",
    "ChunkChoice",
    "CompletionTokensDetails",
    "Delta",
    "ExtraMode",
    "JSONSchemaFormat",
    "Logprobs",
    "OptionsBesideTools",
    "ParsedCompletion",
    "PromptTokensDetails",
    "TokenLogprob",
    "TopLogprob",
    "Usage",
]

T = TypeVar("T")

NO_REASON: Final = (None, "", "null")
"""Three spellings of "not finished yet"."""

MODELS_OPTIONS: Final = frozenset(
    {
        "model",
        "temperature",
        "top_p",
        "max_tokens",
        "stop",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "response_format",
        "tools",
        "tool_choice",
        "modalities",
        "user_security_context",
    }
)
"""The options that `/models` itself knows; all others are extra parameters there."""

ExtraMode: TypeAlias = Literal["pass-through", "drop", "error"]
"""What the service shall do with parameters outside its specification: hand them to the model, drop them, refuse."""


class OptionsBesideTools(TypedDict, total=False):
    """`ChatOptions` without ``tools``: for calls that have a keyword ``tools`` of their own."""

    model: str | UnsetType | None
    temperature: float | UnsetType | None
    top_p: float | UnsetType | None
    max_tokens: int | UnsetType | None
    stop: str | Sequence[str] | UnsetType | None
    seed: int | UnsetType | None
    frequency_penalty: float | UnsetType | None
    presence_penalty: float | UnsetType | None
    response_format: str | Mapping[str, Any] | msgspec.Struct | UnsetType | None
    tool_choice: str | Mapping[str, Any] | UnsetType | None
    modalities: Sequence[str] | UnsetType | None
    user_security_context: Mapping[str, Any] | UnsetType | None
    stream_options: Mapping[str, Any] | UnsetType | None
    max_completion_tokens: int | UnsetType | None
    reasoning_effort: str | UnsetType | None
    parallel_tool_calls: bool | UnsetType | None
    n: int | UnsetType | None
    logprobs: bool | UnsetType | None
    top_logprobs: int | UnsetType | None
    logit_bias: Mapping[str, float] | UnsetType | None
    user: str | UnsetType | None
    safety_identifier: str | UnsetType | None
    verbosity: str | UnsetType | None
    store: bool | UnsetType | None
    metadata: Mapping[str, str] | UnsetType | None
    prediction: Mapping[str, Any] | UnsetType | None
    audio: Mapping[str, Any] | UnsetType | None
    service_tier: str | UnsetType | None
    prompt_cache_key: str | UnsetType | None
    prompt_cache_retention: str | UnsetType | None
    web_search_options: Mapping[str, Any] | UnsetType | None


class ChatOptions(OptionsBesideTools, total=False):
    """The options of a chat request; keyword arguments of `complete` and `stream`.

    Left out, or ``UNSET``, an option is not sent; ``None`` is sent as null, which the service reads as "the model's own
    default" where it takes it at all. Ranges are not checked here: they differ by model, and the service answers 422
    with the name of the parameter. Those marked (*) are no parameters of `/models`; sent there, they go out as extra
    parameters, with the header that asks to pass them through to the model.

    Keys:
        model: the deployment's name, case-sensitive; needed wherever an endpoint serves more than one model.
        temperature: how freely the model samples, from 0; 0 makes it (nearly) repeatable.
        top_p: sample only from the most likely tokens that make up this share, 0 to 1.
        max_tokens: the most tokens to generate; the answer is then cut with finish reason ``length``.
        stop: up to four strings at which the model stops.
        seed: for repeatable sampling, best effort; compare ``system_fingerprint``.
        frequency_penalty: -2 to 2; above 0, tokens lose weight the more often they have appeared.
        presence_penalty: -2 to 2; above 0, tokens lose weight once they have appeared.
        response_format: ``"text"``, ``"json_object"``, or the whole object, such as one of type ``json_schema``.
        tools: the tools the model may call.
        tool_choice: ``"auto"``, ``"none"``, ``"required"``, or an object that names one function.
        modalities: the kinds of output asked for, such as ``["text", "audio"]``.
        user_security_context: who the end user is, for Defender for Cloud.
        stream_options: (*) such as ``{"include_usage": True}``, which is sent unasked where usage needs asking for.
        max_completion_tokens: (*) the name of ``max_tokens`` for reasoning models.
        reasoning_effort: (*) how long a reasoning model may think.
        parallel_tool_calls: (*) whether one answer may hold several calls.
        n: (*) how many choices to generate.
        logprobs, top_logprobs: (*) return the log probability of each token, and of the likeliest others.
        logit_bias, user, safety_identifier, verbosity, store, metadata, prediction, audio, service_tier,
        prompt_cache_key, prompt_cache_retention, web_search_options: (*) as OpenAI documents them.
    """

    tools: Sequence[ToolDefinition | HasDefinition | Mapping[str, Any]] | UnsetType | None


class ChatRequest(msgspec.Struct, kw_only=True, repr_omit_defaults=True):
    """The body of a chat request, field for field as it goes out; `UNSET` is left out, ``None`` is null.

    The types are wide on purpose: what the caller may give is said by `ChatOptions`, what the service takes by the
    service.
    """

    messages: list[Any]
    model: Any = UNSET
    stream: bool | UnsetType = UNSET
    temperature: Any = UNSET
    top_p: Any = UNSET
    max_tokens: Any = UNSET
    stop: Any = UNSET
    seed: Any = UNSET
    frequency_penalty: Any = UNSET
    presence_penalty: Any = UNSET
    response_format: Any = UNSET
    tools: Any = UNSET
    tool_choice: Any = UNSET
    modalities: Any = UNSET
    user_security_context: Any = UNSET
    stream_options: Any = UNSET
    max_completion_tokens: Any = UNSET
    reasoning_effort: Any = UNSET
    parallel_tool_calls: Any = UNSET
    n: Any = UNSET
    logprobs: Any = UNSET
    top_logprobs: Any = UNSET
    logit_bias: Any = UNSET
    user: Any = UNSET
    safety_identifier: Any = UNSET
    verbosity: Any = UNSET
    store: Any = UNSET
    metadata: Any = UNSET
    prediction: Any = UNSET
    audio: Any = UNSET
    service_tier: Any = UNSET
    prompt_cache_key: Any = UNSET
    prompt_cache_retention: Any = UNSET
    web_search_options: Any = UNSET


class JSONSchemaFormat(msgspec.Struct, omit_defaults=True, repr_omit_defaults=True):
    """A ``response_format`` with a schema of one's own; for a Python type, say ``response_type=`` instead.

    Attributes:
        name: 1 to 64 of ``A-Z a-z 0-9 _ -``.
        schema: a JSON Schema of type object.
        description: what the answer is for, for the model to read.
        strict: whether the service shall see to it that the schema is satisfied, for models that can.
    """

    name: str
    schema: Mapping[str, Any]
    description: str | UnsetType = UNSET
    strict: bool | UnsetType = UNSET


class PromptTokensDetails(Open):
    """Where the tokens of the prompt went."""

    cached_tokens: int | None = None
    audio_tokens: int | None = None
    text_tokens: int | None = None
    image_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionTokensDetails(Open):
    """Where the tokens of the answer went; models outside OpenAI report 0 reasoning tokens even when they reasoned."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    text_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class Usage(Open):
    """What the call cost, in tokens; two of them add up, number by number."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None

    def __add__(self, other: Usage) -> Usage:
        return cast("Usage", _added(self, other))


def _added(first: Any, second: Any) -> Any:
    """Two accounts as one: numbers are added, and what only one of them says is kept."""
    if isinstance(first, Open) and isinstance(second, Open):
        fields = {name: _added(getattr(first, name), getattr(second, name)) for name in first.__struct_fields__}
        return type(first)(**fields)
    if is_object(first) and is_object(second):
        return {name: _added(first.get(name), second.get(name)) for name in first | second}
    if isinstance(first, int | float) and isinstance(second, int | float):
        return first + second
    return first if second is None or second is UNSET else second


class TopLogprob(Open):
    """A token, and how likely it was.

    Attributes:
        logprob: natural logarithm of the probability; -9999 stands for very unlikely.
        bytes: the token in UTF-8, where it is text; characters may be cut by tokens, so join the bytes, not the text.
    """

    token: str = ""
    logprob: float = -9999.0
    bytes: list[int] | None = None


class TokenLogprob(TopLogprob):
    """A token of the answer.

    Attributes:
        top_logprobs: the likeliest tokens at this place, as many as were asked for.
    """

    top_logprobs: list[TopLogprob] = []


class Logprobs(Open):
    """How likely the tokens of an answer were, in their order."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


def folded_reason(reason: str | None) -> str | None:
    """A finish reason in the service's own word, where hosts write it in capitals or have a word of their own."""
    if reason is None or reason in _STANDARD_REASONS:
        return reason
    folded = reason.lower()
    return _OTHER_REASONS.get(folded, folded)


_STANDARD_REASONS: Final = frozenset({"stop", "length", "tool_calls", "content_filter"})
_OTHER_REASONS: Final[Mapping[str, str]] = {
    "max_tokens": "length",
    "model_length": "length",
    "safety": "content_filter",
}


def _filter_results(choice: Choice | ChunkChoice) -> Mapping[str, Any]:
    return choice.content_filter_results or results_in(choice.extra) or {}


class Choice(Open):
    """One answer of the model.

    Attributes:
        finish_reason: ``stop``, ``length``, ``tool_calls``, ``content_filter``, or a host's own word.
        logprobs: where they were asked for.
        content_filter_results: category -> result as sent, where content safety looked; `content_filter` is its view.
        content_filter_offsets: of a stream under the asynchronous filter, the last offsets as sent: characters, counted
            from the beginning of the prompt.
        checked: of such a stream, how many characters of the text content safety has cleared; None for all others.
    """

    index: int = 0
    message: AssistantMessage = msgspec.field(default_factory=AssistantMessage)
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    content_filter_results: dict[str, Any] | None = None
    content_filter_offsets: dict[str, Any] | None = None
    checked: int | None = msgspec.field(default=None, name="*inference_async.checked")

    @property
    def content_filter(self) -> ContentFilterResults:
        """What content safety says of this answer; empty where it said nothing."""
        return ContentFilterResults(_filter_results(self))

    @property
    def retract_from(self) -> int | None:
        """From which character on text that was already shown must be taken back; None if none must.

        Only the asynchronous filter asks for that: it streams first and looks later. All other filters hold text back
        until they have looked.
        """
        cut = folded_reason(self.finish_reason) == "content_filter"
        if not cut or self.checked is None or self.checked >= len(self.message.text):
            return None
        return self.checked


class ChatCompletion(Open):
    """A whole answer: as the service sent it, or put together from the chunks of a stream.

    Attributes:
        model: the model that answered, which need not be the deployment's name.
        created: Unix seconds.
        usage: None where the service reported none.
        prompt_filter_results: what content safety said of the prompt, where it looked.
        meta: status, headers, request id.
    """

    id: str = ""
    object: str = ""
    created: int | float = 0
    model: str = ""
    choices: list[Choice] = []
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    prompt_filter_results: list[Any] | None = None
    meta: ResponseMeta = msgspec.field(default_factory=ResponseMeta, name="*inference_async.meta")

    @property
    def message(self) -> AssistantMessage:
        """The message of the first choice, ready to be appended to the history; an empty one if there is no choice."""
        return self.choices[0].message if self.choices else AssistantMessage()

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return self.message.text

    @property
    def reasoning(self) -> str:
        """What the model thought before the first choice, whatever the host calls it; empty where it told nothing."""
        return self.message.reasoning

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls of the first choice; trust this list rather than the finish reason."""
        return self.message.tool_calls

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended; None if the service never said."""
        reason = self.choices[0].finish_reason if self.choices else None
        return None if reason in NO_REASON else reason

    @property
    def content_filter(self) -> ContentFilterResults:
        """What content safety says of the first choice; empty where it said nothing."""
        return self.choices[0].content_filter if self.choices else ContentFilterResults()

    @property
    def prompt_filter(self) -> ContentFilterResults:
        """What content safety says of the prompt: of each category the worst result over all its parts."""
        rows = self.prompt_filter_results or self.extra.get("prompt_annotations")
        results: dict[str, Any] = {}
        for row in rows if is_array(rows) else ():
            results = merged(results, (results_in(row) if is_object(row) else None) or {})
        return ContentFilterResults(results)


class ParsedCompletion(ChatCompletion, Generic[T], kw_only=True, gc=True):
    """An answer that was asked for as a type, and is one.

    Attributes:
        parsed: the first choice as a value of that type.
        repaired: the answers before it that were none, if it took repairs; their usage was paid as well.
    """

    parsed: T = msgspec.field(name="*inference_async.parsed")
    repaired: list[ChatCompletion] = msgspec.field(
        default_factory=list[ChatCompletion], name="*inference_async.repaired"
    )


class Delta(Open):
    """What a chunk adds to a message. Every field may be missing, null, or repeated."""

    role: str | None = None
    content: str | list[Any] | None = None
    tool_calls: list[ToolCallDelta] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    raw_reasoning: str | None = msgspec.field(default=None, name="reasoning")
    function_call: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None
    annotations: list[Any] | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        """The text in it."""
        return text_of(self.content)

    @property
    def reasoning(self) -> str:
        """The reasoning in it, whatever the host calls it."""
        return reasoning_of(self.content, self.reasoning_content, self.raw_reasoning, extra=self.extra)


class ChunkChoice(Open):
    """What a chunk adds to one choice; ``delta`` is empty where the service sent none."""

    index: int = 0
    delta: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    content_filter_results: dict[str, Any] | None = None
    content_filter_offsets: dict[str, Any] | None = None
    content_filter_raw: Any = None


class ChatCompletionChunk(Open):
    """One event of a stream, as the service sent it. ``choices`` may be empty: filter results and usage come alone."""

    id: str = ""
    object: str = ""
    created: int | float = 0
    model: str = ""
    choices: list[ChunkChoice] = []
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    prompt_filter_results: list[Any] | None = None
    obfuscation: str | None = None

    @property
    def text(self) -> str:
        """The text this chunk adds to the first choice (index 0); empty where it adds none."""
        choices = self.choices
        if len(choices) == 1 and choices[0].index == 0:
            return text_of(choices[0].delta.content)
        return "".join(text_of(choice.delta.content) for choice in choices if choice.index == 0)

    @property
    def reasoning(self) -> str:
        """The reasoning this chunk adds to the first choice (index 0), whatever the host calls it."""
        return "".join(choice.delta.reasoning for choice in self.choices if choice.index == 0)

    @property
    def content_filter(self) -> ContentFilterResults:
        """What content safety says, in this chunk, of the first choice (index 0)."""
        results: dict[str, Any] = {}
        for choice in self.choices:
            if choice.index == 0:
                results = merged(results, _filter_results(choice))
        return ContentFilterResults(results)

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice (index 0) ended, in the chunk that says so; None in all others."""
        for choice in self.choices:
            if choice.index == 0:
                return None if choice.finish_reason in NO_REASON else choice.finish_reason
        return None
