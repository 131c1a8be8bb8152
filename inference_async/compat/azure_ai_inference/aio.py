"""The asynchronous clients of azure-ai-inference, each a thin layer over an `InferenceClient`.

Options go out under their own names, answers come back as the classes of `models`, and errors as azure-core's. What is
not asked for in a call is the client's default; what is None is not asked for.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Any, ClassVar, Literal, Self, TypeAlias, TypedDict, Unpack, cast, overload

import msgspec

from ...client import InferenceClient
from ...errors import ConfigurationError
from ...net.auth import Credential
from ...types import UNSET
from ...types import ModelInfo as NativeModelInfo
from ...types.base import is_mapping, is_object
from ...wire.request import Secret
from ._answers import as_sent
from ._errors import in_azure_terms
from ._model import plain
from ._settings import CallKeywords, ClientKeywords, of_call, of_client, refuse_unknown
from .models import (
    AsyncStreamingChatCompletions,
    ChatCompletions,
    ChatCompletionsNamedToolChoice,
    ChatCompletionsToolChoicePreset,
    ChatCompletionsToolDefinition,
    ChatRequestMessage,
    EmbeddingEncodingFormat,
    EmbeddingInputType,
    EmbeddingsResult,
    ImageEmbeddingInput,
    JsonSchemaFormat,
    ModelInfo,
)

__all__ = ["ChatCompletionsClient", "EmbeddingsClient", "ImageEmbeddingsClient", "load_client"]

Body: TypeAlias = Mapping[str, Any] | IO[bytes] | bytes
"""A whole request body; nothing is added to it."""


class ChatKeywords(TypedDict, total=False):
    """Options of a chat, in a call and as a client's defaults; see `ChatOptions`.

    Keys:
        model_extras: fields outside the specification; a call's are in place of the client's, not beside them.
    """

    frequency_penalty: float | None
    presence_penalty: float | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    response_format: Literal["text", "json_object"] | JsonSchemaFormat | Mapping[str, Any] | None
    stop: Sequence[str] | None
    tools: Sequence[ChatCompletionsToolDefinition | Mapping[str, Any]] | None
    tool_choice: str | ChatCompletionsToolChoicePreset | ChatCompletionsNamedToolChoice | None
    seed: int | None
    model: str | None
    model_extras: Mapping[str, Any] | None


class EmbeddingKeywords(TypedDict, total=False):
    """Options of embeddings, in a call and as a client's defaults; see `EmbeddingOptions`."""

    dimensions: int | None
    encoding_format: str | EmbeddingEncodingFormat | None
    input_type: str | EmbeddingInputType | None
    model: str | None
    model_extras: Mapping[str, Any] | None


class _ChatClientKeywords(ChatKeywords, ClientKeywords, total=False):
    pass


class _ChatCallKeywords(ChatKeywords, CallKeywords, total=False):
    pass


class _EmbeddingClientKeywords(EmbeddingKeywords, ClientKeywords, total=False):
    pass


class _EmbeddingCallKeywords(EmbeddingKeywords, CallKeywords, total=False):
    pass


class _Client:
    """What the clients have in common."""

    _options: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, endpoint: object, credential: Credential | None, keywords: Mapping[str, Any]) -> None:
        if not isinstance(endpoint, str) or credential is None:
            raise ConfigurationError("got no endpoint, or no credential, expected both")
        settings = of_client(endpoint, keywords)
        refuse_unknown(name for name in settings.rest if name not in self._options)
        self._defaults = settings.rest
        self._of_calls = settings.of_calls
        # An empty key says that a header of the program's own carries it.
        credential = None if getattr(credential, "key", None) == "" else credential
        self._inner = InferenceClient(settings.endpoint, credential, **settings.native)
        self._key: Any = None if settings.endpoint.is_azure or credential is None else credential

    async def get_model_info(self, **keywords: Unpack[CallKeywords]) -> ModelInfo:
        """Which model the endpoint holds; serverless endpoints and managed compute say so.

        Raises:
            HttpResponseError: this endpoint does not say.
            AzureError: as of the other calls.
        """
        return ModelInfo(as_sent(await in_azure_terms(self._inner.model_info(**self._call(keywords)))))

    async def close(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()

    def _call(self, keywords: Mapping[str, Any], *, stream: bool = False) -> dict[str, Any]:
        """Headers and limits, as keywords of `InferenceClient`."""
        call = of_call(keywords, self._of_calls, stream=stream)
        key = getattr(self._key, "key", None)
        if isinstance(key, str):
            # The retired SDK sends a key in both headers; which of them counts is known of Azure's hosts only.
            both = {"api-key": Secret(key), "authorization": Secret(f"Bearer {key}")}
            call["headers"] = both | dict(call["headers"] or {})
        return call

    def _asked(self, keywords: Mapping[str, Any], *, stream: bool = False) -> dict[str, Any]:
        """Options, headers and limits, as keywords of `InferenceClient`."""
        rest = dict(keywords)
        asked: dict[str, Any] = {}
        for name in self._options:
            value = rest.pop(name, None)
            value = self._defaults.get(name) if value is None else value
            if isinstance(value, JsonSchemaFormat):
                value = {"type": "json_schema", "json_schema": value}
            if value is not None:
                asked[name] = plain(value)
        extra = asked.pop("model_extras", None)
        return asked | self._call(rest, stream=stream) | {"extra": extra}

    def _asked_as_body(
        self, body: Mapping[str, Any], keywords: Mapping[str, Any], *, stream: bool = False
    ) -> dict[str, Any]:
        """The same of a whole body: all of its fields go out as they are, and none asks to be passed through."""
        return self._call(keywords, stream=stream) | {"extra": body, "extra_mode": "error"}


class ChatCompletionsClient(_Client):
    """Chats, by the interface of the retired SDK; `InferenceClient` is the native one.

    Args:
        endpoint: a URL as the portal shows it. A host that is none of Azure's is spoken to as `/models`, with the key
            in both headers that servers look at.
        credential: an `AzureKeyCredential`, or a credential of ``azure.identity.aio``.
        **keywords: options of `complete`, as defaults, and settings; see `ChatKeywords` and `ClientKeywords`.

    Raises:
        ConfigurationError: an argument cannot be understood; it is a `ValueError`.
        UnknownOptionError: a keyword is not understood; it is a `TypeError`, too.
    """

    _options: ClassVar = ChatKeywords.__optional_keys__

    def __init__(self, endpoint: str, credential: Credential, **keywords: Unpack[_ChatClientKeywords]) -> None:
        _warn("ChatCompletionsClient", "InferenceClient, with complete() and stream()")
        super().__init__(endpoint, credential, keywords)

    @overload
    async def complete(
        self,
        *,
        messages: Sequence[ChatRequestMessage | Mapping[str, Any]],
        stream: Literal[False] | None = None,
        **keywords: Unpack[_ChatCallKeywords],
    ) -> ChatCompletions: ...

    @overload
    async def complete(
        self,
        *,
        messages: Sequence[ChatRequestMessage | Mapping[str, Any]],
        stream: Literal[True],
        **keywords: Unpack[_ChatCallKeywords],
    ) -> AsyncStreamingChatCompletions: ...

    @overload
    async def complete(
        self,
        *,
        messages: Sequence[ChatRequestMessage | Mapping[str, Any]],
        stream: bool | None = None,
        **keywords: Unpack[_ChatCallKeywords],
    ) -> ChatCompletions | AsyncStreamingChatCompletions: ...

    @overload
    async def complete(
        self, body: Body, **keywords: Unpack[CallKeywords]
    ) -> ChatCompletions | AsyncStreamingChatCompletions: ...

    async def complete(
        self,
        body: Body | None = None,
        *,
        messages: Sequence[ChatRequestMessage | Mapping[str, Any]] | None = None,
        stream: bool | None = None,
        **keywords: Any,
    ) -> ChatCompletions | AsyncStreamingChatCompletions:
        """One answer, whole or as a stream.

        Args:
            body: a whole request, in place of all that follows; no default of the client's is added to it.
            messages: the conversation.
            stream: whether the answer is streamed. The request is sent here and now, also then.
            **keywords: see `ChatKeywords` and `CallKeywords`.

        Raises:
            HttpResponseError: the service refused; `status_code`, `error.code` and `response` say why.
            ServiceRequestError: no answer began; `ServiceRequestTimeoutError` if no connection was had in time.
            ServiceResponseError: what came is not HTTP; `ServiceResponseTimeoutError` if it did not come in time.
            DecodeError: what came is no answer; `IncompleteReadError` if it was cut. Steps of a stream raise them, too.
            ConfigurationError: something in the call cannot be sent; it is a `ValueError`.

        Cancelling it cuts the connection.
        """
        if body is None:
            call = self._asked(keywords, stream=bool(stream))
        else:
            asked = _opened(body)
            messages, stream = asked.pop("messages", None), asked.pop("stream", None)
            call = self._asked_as_body(asked, keywords, stream=bool(stream))
        if messages is None:
            raise TypeError("missing required argument: messages")
        history: Any = _history(messages)
        if not stream:
            return ChatCompletions(as_sent(await in_azure_terms(self._inner.complete(history, **call))))
        # Usage is not asked for where the retired SDK did not: an update without choices surprises programs.
        answer = self._inner.stream(history, stream_options=UNSET, **call)
        await in_azure_terms(answer.__aenter__())
        return AsyncStreamingChatCompletions(answer)


class _EmbeddingsClient(_Client):
    _options: ClassVar = EmbeddingKeywords.__optional_keys__

    async def _embedded(
        self, method: Any, body: Body | None, given: Sequence[Any] | None, keywords: Mapping[str, Any]
    ) -> EmbeddingsResult:
        if body is None:
            call = self._asked(keywords)
        else:
            asked = _opened(body)
            given = asked.pop("input", None)
            call = self._asked_as_body(asked, keywords)
        if given is None:
            raise TypeError("missing required argument: input")
        return EmbeddingsResult(as_sent(await in_azure_terms(method(plain(given), **call))))


class EmbeddingsClient(_EmbeddingsClient):
    """Vectors of texts, by the interface of the retired SDK; `InferenceClient.embed` is the native one.

    Args:
        endpoint: as of `ChatCompletionsClient`.
        credential: the same.
        **keywords: options of `embed`, as defaults, and settings; see `EmbeddingKeywords` and `ClientKeywords`.
    """

    def __init__(self, endpoint: str, credential: Credential, **keywords: Unpack[_EmbeddingClientKeywords]) -> None:
        _warn("EmbeddingsClient", "InferenceClient.embed()")
        super().__init__(endpoint, credential, keywords)

    @overload
    async def embed(
        self,
        *,
        input: Sequence[str],
        **keywords: Unpack[_EmbeddingCallKeywords],
    ) -> EmbeddingsResult: ...

    @overload
    async def embed(self, body: Body, **keywords: Unpack[CallKeywords]) -> EmbeddingsResult: ...

    async def embed(
        self,
        body: Body | None = None,
        *,
        input: Sequence[str] | None = None,  # noqa: A002  (the service's own word)
        **keywords: Any,
    ) -> EmbeddingsResult:
        """One vector for each text.

        Args:
            body: a whole request, in place of all that follows; no default of the client's is added to it.
            input: the texts. More of them than fit into one request are sent in several.
            **keywords: see `EmbeddingKeywords` and `CallKeywords`.

        Raises:
            AzureError: as of `ChatCompletionsClient.complete`.
        """
        return await self._embedded(self._inner.embed, body, input, keywords)


class ImageEmbeddingsClient(_EmbeddingsClient):
    """Vectors of images, by the interface of the retired SDK; `InferenceClient.embed_images` is the native one.

    Args:
        endpoint: as of `ChatCompletionsClient`.
        credential: the same.
        **keywords: options of `embed`, as defaults, and settings; see `EmbeddingKeywords` and `ClientKeywords`.
    """

    def __init__(self, endpoint: str, credential: Credential, **keywords: Unpack[_EmbeddingClientKeywords]) -> None:
        _warn("ImageEmbeddingsClient", "InferenceClient.embed_images()")
        super().__init__(endpoint, credential, keywords)

    @overload
    async def embed(
        self,
        *,
        input: Sequence[ImageEmbeddingInput | Mapping[str, str]],
        **keywords: Unpack[_EmbeddingCallKeywords],
    ) -> EmbeddingsResult: ...

    @overload
    async def embed(self, body: Body, **keywords: Unpack[CallKeywords]) -> EmbeddingsResult: ...

    async def embed(
        self,
        body: Body | None = None,
        *,
        input: Sequence[ImageEmbeddingInput | Mapping[str, str]] | None = None,  # noqa: A002  (the service's own word)
        **keywords: Any,
    ) -> EmbeddingsResult:
        """One vector for each image.

        Args:
            body: a whole request, in place of all that follows; no default of the client's is added to it.
            input: the images.
            **keywords: see `EmbeddingKeywords` and `CallKeywords`.

        Raises:
            AzureError: as of `ChatCompletionsClient.complete`.
        """
        return await self._embedded(self._inner.embed_images, body, input, keywords)


async def load_client(
    endpoint: str, credential: Credential, **keywords: Any
) -> ChatCompletionsClient | EmbeddingsClient | ImageEmbeddingsClient:
    """The client for the model that an endpoint says it holds.

    Args:
        endpoint: a serverless endpoint, or one of managed compute.
        credential: as of the clients.
        **keywords: as of the client that it will be.

    Raises:
        HttpResponseError: this endpoint does not say.
        ValueError: there is no client for a model of that kind.
        AzureError: as of `ChatCompletionsClient.complete`.
    """
    settings = {name: value for name, value in keywords.items() if name in ClientKeywords.__optional_keys__}
    async with _Client(endpoint, credential, settings) as client:
        info = await client.get_model_info()
    kind = NativeModelInfo(model_type=info["model_type"]).kind
    if kind == "chat_completion":
        return ChatCompletionsClient(endpoint, credential, **keywords)
    if kind == "embeddings":
        return EmbeddingsClient(endpoint, credential, **keywords)
    if kind == "image_embeddings":
        return ImageEmbeddingsClient(endpoint, credential, **keywords)
    raise ValueError(f"got a model of the type {info['model_type']!r}, for which there is no client")


def _opened(body: Body) -> dict[str, Any]:
    """A whole request as a dict.

    Raises:
        ConfigurationError: it is no JSON object.
    """
    given: Any = body
    if isinstance(given, bytes) or hasattr(given, "read"):
        given = given if isinstance(given, bytes) else given.read()
        try:
            given = msgspec.json.decode(given)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"got a body that is not JSON: {error}") from None
    if not is_mapping(given):
        raise ConfigurationError(f"got a body of type {type(given).__name__}, expected a JSON object")
    return cast("dict[str, Any]", plain(given))


def _history(messages: Any) -> Any:
    """Messages as they go out: a null says nothing, but for a content, whose key hosts insist on."""
    if not isinstance(messages, list | tuple):
        return plain(messages)
    return [
        {name: value for name, value in row.items() if value is not None or name == "content"}
        if is_object(row := plain(message))
        else row
        for message in cast("list[Any]", messages)
    ]


def _warn(name: str, native: str) -> None:
    """Warn the program, wherever in this module the client is made."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals is globals():
        frame, level = frame.f_back, level + 1
    warnings.warn(
        f"{name} is here for programs that were written for azure-ai-inference, which is retired; the native way is "
        f"inference_async.{native}",
        DeprecationWarning,
        stacklevel=level + 1,
    )
