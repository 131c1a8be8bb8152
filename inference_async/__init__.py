"""An asyncio client for chat completions on Azure AI Foundry.

Importing the package loads almost nothing; each name is loaded when it is first asked for (PEP 562).
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .client import InferenceClient
    from .errors import (
        APIConnectionError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        BetweenTokensTimeoutError,
        ClientClosedError,
        ClientStateError,
        ConfigurationError,
        ConflictError,
        ConnectTimeoutError,
        ContentFilterError,
        CredentialError,
        EventTooLargeError,
        FirstTokenTimeoutError,
        IncompleteStreamError,
        InferenceError,
        InternalServerError,
        InvalidResponseError,
        NotFoundError,
        PermissionDeniedError,
        PoolTimeoutError,
        RateLimitError,
        ResponseTypeError,
        StreamError,
        ToolError,
        ToolLoopError,
        TotalTimeoutError,
        UnknownOptionError,
        UnprocessableEntityError,
        WrongEventLoopError,
    )
    from .policy.limits import Limits
    from .policy.retry import FailedAttempt, RetryPolicy
    from .policy.timeouts import Timeouts
    from .stream import (
        ChatStream,
        ParsedStream,
    )
    from .tools import AnswerChunk, AnswerFinished, RunFinished, Tool, ToolFinished, ToolRun, ToolStarted, tool
    from .types import (
        UNSET,
        AssistantMessage,
        AudioPart,
        AudioURL,
        AudioURLPart,
        ChatCompletion,
        ChatCompletionChunk,
        ChatOptions,
        Choice,
        Citation,
        ContentFilterResults,
        DeveloperMessage,
        Embedding,
        EmbeddingOptions,
        EmbeddingsResult,
        FilterResult,
        FunctionCall,
        FunctionDefinition,
        ImageEmbeddingInput,
        ImagePart,
        ImageURL,
        InputAudio,
        JSONSchemaFormat,
        Logprobs,
        ModelInfo,
        ParsedCompletion,
        RateLimits,
        RawResponse,
        ResponseMeta,
        SystemMessage,
        TextPart,
        TokenLogprob,
        ToolCall,
        ToolDefinition,
        ToolMessage,
        TopLogprob,
        Usage,
        UserMessage,
    )
    from .wire.endpoints import Endpoint
    from .wire.think import Piece, split_think

_HOMES = {
    "InferenceClient": "client",
    "ChatStream": "stream",
    "ParsedStream": "stream",
    "Limits": "policy.limits",
    "FailedAttempt": "policy.retry",
    "RetryPolicy": "policy.retry",
    "Timeouts": "policy.timeouts",
    "Endpoint": "wire.endpoints",
    "Piece": "wire.think",
    "split_think": "wire.think",
    "AnswerChunk": "tools",
    "AnswerFinished": "tools",
    "RunFinished": "tools",
    "Tool": "tools",
    "ToolFinished": "tools",
    "ToolRun": "tools",
    "ToolStarted": "tools",
    "tool": "tools",
}

_ELSEWHERE = {
    "AsyncAzureOpenAI": "InferenceClient",
    "AsyncOpenAI": "InferenceClient",
    "ChatCompletionsClient": "InferenceClient",
    "ChatCompletionsToolDefinition": "ToolDefinition, or @tool on a function",
    "EmbeddingsClient": "InferenceClient.embed",
    "HttpResponseError": "APIStatusError",
    "ImageContentItem": "ImagePart",
    "ImageEmbeddingsClient": "InferenceClient.embed_images",
    "JsonSchemaFormat": "JSONSchemaFormat, or response_type=",
    "TextContentItem": "TextPart",
}
"""Names of the clients that people come from."""

__all__ = [
    "UNSET",
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AnswerChunk",
    "AnswerFinished",
    "AssistantMessage",
    "AudioPart",
    "AudioURL",
    "AudioURLPart",
    "AuthenticationError",
    "BadRequestError",
    "BetweenTokensTimeoutError",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatOptions",
    "ChatStream",
    "Choice",
    "Citation",
    "ClientClosedError",
    "ClientStateError",
    "ConfigurationError",
    "ConflictError",
    "ConnectTimeoutError",
    "ContentFilterError",
    "ContentFilterResults",
    "CredentialError",
    "DeveloperMessage",
    "Embedding",
    "EmbeddingOptions",
    "EmbeddingsResult",
    "Endpoint",
    "EventTooLargeError",
    "FailedAttempt",
    "FilterResult",
    "FirstTokenTimeoutError",
    "FunctionCall",
    "FunctionDefinition",
    "ImageEmbeddingInput",
    "ImagePart",
    "ImageURL",
    "IncompleteStreamError",
    "InferenceClient",
    "InferenceError",
    "InputAudio",
    "InternalServerError",
    "InvalidResponseError",
    "JSONSchemaFormat",
    "Limits",
    "Logprobs",
    "ModelInfo",
    "NotFoundError",
    "ParsedCompletion",
    "ParsedStream",
    "PermissionDeniedError",
    "Piece",
    "PoolTimeoutError",
    "RateLimitError",
    "RateLimits",
    "RawResponse",
    "ResponseMeta",
    "ResponseTypeError",
    "RetryPolicy",
    "RunFinished",
    "StreamError",
    "SystemMessage",
    "TextPart",
    "Timeouts",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolDefinition",
    "ToolError",
    "ToolFinished",
    "ToolLoopError",
    "ToolMessage",
    "ToolRun",
    "ToolStarted",
    "TopLogprob",
    "TotalTimeoutError",
    "UnknownOptionError",
    "UnprocessableEntityError",
    "Usage",
    "UserMessage",
    "WrongEventLoopError",
    "__version__",
    "split_think",
    "tool",
]


if not TYPE_CHECKING:  # or the checkers would believe in any name at all

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            hint = f"; here it is {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
            text = f"module {__name__!r} has no attribute {name!r}{hint}"
            raise AttributeError(text, name=name, obj=sys.modules[__name__])
        home = _HOMES.get(name) or ("errors" if name.endswith("Error") else "types")
        value = getattr(importlib.import_module(f".{home}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
