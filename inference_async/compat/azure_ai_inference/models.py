"""Messages, tools, formats and results, under the names of azure-ai-inference.

Every class is a mapping too, with the keys of the wire.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import datetime
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from azure.core import CaseInsensitiveEnumMeta

from ._answers import as_sent
from ._errors import in_azure_terms
from ._model import Field, Model, moment, one_of

if TYPE_CHECKING:
    from ...stream import ChatStream

__all__ = [
    "AssistantMessage",
    "AsyncStreamingChatCompletions",
    "AudioContentFormat",
    "AudioContentItem",
    "ChatChoice",
    "ChatCompletions",
    "ChatCompletionsNamedToolChoice",
    "ChatCompletionsNamedToolChoiceFunction",
    "ChatCompletionsToolCall",
    "ChatCompletionsToolChoicePreset",
    "ChatCompletionsToolDefinition",
    "ChatRequestMessage",
    "ChatResponseMessage",
    "ChatRole",
    "CompletionsFinishReason",
    "CompletionsUsage",
    "ContentItem",
    "DeveloperMessage",
    "EmbeddingEncodingFormat",
    "EmbeddingInputType",
    "EmbeddingItem",
    "EmbeddingsResult",
    "EmbeddingsUsage",
    "FunctionCall",
    "FunctionDefinition",
    "ImageContentItem",
    "ImageDetailLevel",
    "ImageEmbeddingInput",
    "ImageUrl",
    "InputAudio",
    "JsonSchemaFormat",
    "ModelInfo",
    "ModelType",
    "StreamingChatChoiceUpdate",
    "StreamingChatCompletionsUpdate",
    "StreamingChatResponseMessageUpdate",
    "StreamingChatResponseToolCallUpdate",
    "SystemMessage",
    "TextContentItem",
    "ToolMessage",
    "UserMessage",
]


class Word(str, Enum, metaclass=CaseInsensitiveEnumMeta):  # noqa: UP042  (as text, members of a StrEnum look otherwise)
    """A word that the service knows; text is equal to it, and its name may be spelled in any case."""


class AudioContentFormat(Word):
    """Formats of sound."""

    WAV = "wav"
    MP3 = "mp3"


class ChatCompletionsToolChoicePreset(Word):
    """Whether the model may call tools."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


class ChatRole(Word):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    DEVELOPER = "developer"


class CompletionsFinishReason(Word):
    """Why an answer ended."""

    STOPPED = "stop"
    TOKEN_LIMIT_REACHED = "length"  # noqa: S105  (no password)
    CONTENT_FILTERED = "content_filter"
    TOOL_CALLS = "tool_calls"


class EmbeddingEncodingFormat(Word):
    """How vectors are sent."""

    BASE64 = "base64"
    BINARY = "binary"
    FLOAT = "float"
    INT8 = "int8"
    UBINARY = "ubinary"
    UINT8 = "uint8"


class EmbeddingInputType(Word):
    """What is embedded."""

    TEXT = "text"
    QUERY = "query"
    DOCUMENT = "document"


class ImageDetailLevel(Word):
    """How closely the model looks at an image."""

    AUTO = "auto"
    LOW = "low"
    HIGH = "high"


class ModelType(Word):
    """What a model does."""

    EMBEDDINGS = "embeddings"
    IMAGE_GENERATION = "image_generation"
    TEXT_GENERATION = "text_generation"
    IMAGE_EMBEDDINGS = "image_embeddings"
    AUDIO_GENERATION = "audio_generation"
    CHAT_COMPLETION = "chat_completion"


class ContentItem(Model):
    """A part of a user's message."""

    type = Field[str]()


class TextContentItem(ContentItem):
    """A piece of text."""

    type = Field[str](constant="text")
    text = Field[str]()


class ImageUrl(Model):
    """Where an image is, or the image itself in a ``data:`` URL."""

    url = Field[str]()
    detail = Field[ImageDetailLevel | str | None](read=one_of(ImageDetailLevel))

    @classmethod
    def load(cls, *, image_file: str, image_format: str, detail: str | ImageDetailLevel | None = None) -> Self:
        """An image from a file, which is read here and now, in the event loop; `ImagePart.load` does not hold it up.

        Args:
            image_file: the file.
            image_format: such as ``png``.
            detail: how closely the model looks at it.

        Raises:
            FileNotFoundError: there is no such file.
        """
        return cls(url=_data_url(image_file, image_format), detail=detail)


class ImageContentItem(ContentItem):
    """An image."""

    type = Field[str](constant="image_url")
    image_url = Field[ImageUrl](ImageUrl)


class InputAudio(Model):
    """Sound, in base64."""

    data = Field[str]()
    format = Field[AudioContentFormat | str](read=one_of(AudioContentFormat))

    @classmethod
    def load(cls, *, audio_file: str, audio_format: str) -> Self:
        """Sound from a file, which is read here and now, in the event loop; `AudioPart.load` does not hold it up.

        Args:
            audio_file: the file.
            audio_format: ``wav`` or ``mp3``.

        Raises:
            FileNotFoundError: there is no such file.
        """
        return cls(data=_in_base64(audio_file), format=audio_format)


class AudioContentItem(ContentItem):
    """Sound."""

    type = Field[str](constant="input_audio")
    input_audio = Field[InputAudio](InputAudio)


class FunctionDefinition(Model):
    """A function that the model may call."""

    name = Field[str]()
    description = Field[str | None]()
    parameters = Field[Any]()


class ChatCompletionsToolDefinition(Model):
    """A tool that the model may call."""

    type = Field[str](constant="function")
    function = Field[FunctionDefinition](FunctionDefinition)


class ChatCompletionsNamedToolChoiceFunction(Model):
    """The function that must be called."""

    name = Field[str]()


class ChatCompletionsNamedToolChoice(Model):
    """That one function must be called."""

    type = Field[str](constant="function")
    function = Field[ChatCompletionsNamedToolChoiceFunction](ChatCompletionsNamedToolChoiceFunction)


class FunctionCall(Model):
    """The function that the model wants called, and the JSON text of its arguments."""

    name = Field[str]()
    arguments = Field[str]()


class ChatCompletionsToolCall(Model):
    """One call that the model asks for."""

    id = Field[str]()
    type = Field[str](constant="function")
    function = Field[FunctionCall](FunctionCall)


class JsonSchemaFormat(Model):
    """A ``response_format`` with a schema."""

    name = Field[str]()
    schema = Field[dict[str, Any]]()
    description = Field[str | None]()
    strict = Field[bool | None]()


class ChatRequestMessage(Model):
    """A message of a request."""

    role = Field[str]()


class SystemMessage(ChatRequestMessage):
    """Instructions that stand above the conversation."""

    role = Field[str](constant="system")
    content = Field[str](positional=True)


class DeveloperMessage(ChatRequestMessage):
    """Instructions, for models that read them in the role ``developer``."""

    role = Field[str](constant="developer")
    content = Field[str](positional=True)


class UserMessage(ChatRequestMessage):
    """What the user says, as text or in parts."""

    role = Field[str](constant="user")
    content = Field[str | list[ContentItem]](positional=True)


class AssistantMessage(ChatRequestMessage):
    """What the model said."""

    role = Field[str](constant="assistant")
    content = Field[str | None](positional=True)
    tool_calls = Field[list[ChatCompletionsToolCall] | None](ChatCompletionsToolCall)


class ToolMessage(ChatRequestMessage):
    """The result of a call."""

    role = Field[str](constant="tool")
    content = Field[str | None](positional=True)
    tool_call_id = Field[str]()


class CompletionsUsage(Model):
    """What a call cost, in tokens."""

    completion_tokens = Field[int]()
    prompt_tokens = Field[int]()
    total_tokens = Field[int]()


class ChatResponseMessage(Model):
    """What the model said."""

    role = Field[ChatRole | str](read=one_of(ChatRole))
    content = Field[str]()
    tool_calls = Field[list[ChatCompletionsToolCall] | None](ChatCompletionsToolCall)


class ChatChoice(Model):
    """One answer of the model."""

    index = Field[int]()
    finish_reason = Field[CompletionsFinishReason | str | None](read=one_of(CompletionsFinishReason))
    message = Field[ChatResponseMessage](ChatResponseMessage)


class ChatCompletions(Model):
    """A whole answer; as text it is indented JSON."""

    id = Field[str]()
    created = Field[datetime](read=moment)
    model = Field[str]()
    choices = Field[list[ChatChoice]](ChatChoice)
    usage = Field[CompletionsUsage](CompletionsUsage)

    def __str__(self) -> str:
        return json.dumps(self.as_dict(), indent=2)


class StreamingChatResponseToolCallUpdate(Model):
    """A piece of a call; ``id`` and the function's name come once, its arguments in pieces."""

    id = Field[str]()
    function = Field[FunctionCall](FunctionCall)


class StreamingChatResponseMessageUpdate(Model):
    """What an update adds to a message."""

    role = Field[ChatRole | str | None](read=one_of(ChatRole))
    content = Field[str | None]()
    tool_calls = Field[list[StreamingChatResponseToolCallUpdate] | None](StreamingChatResponseToolCallUpdate)


class StreamingChatChoiceUpdate(Model):
    """What an update adds to one answer."""

    index = Field[int]()
    finish_reason = Field[CompletionsFinishReason | str | None](read=one_of(CompletionsFinishReason))
    delta = Field[StreamingChatResponseMessageUpdate](StreamingChatResponseMessageUpdate)


class StreamingChatCompletionsUpdate(Model):
    """One event of a streamed answer."""

    id = Field[str]()
    created = Field[datetime](read=moment)
    model = Field[str]()
    choices = Field[list[StreamingChatChoiceUpdate]](StreamingChatChoiceUpdate)
    usage = Field[CompletionsUsage | None](CompletionsUsage)


class AsyncStreamingChatCompletions(AsyncIterator[StreamingChatCompletionsUpdate]):
    """A streamed answer: iterate over its updates. Leave it by ``async with`` or `aclose`, or read it to its end.

    A stream that is cut raises here, where the retired SDK may have called it whole: `IncompleteReadError`.
    """

    def __init__(self, stream: ChatStream) -> None:
        self._stream = stream

    async def __anext__(self) -> StreamingChatCompletionsUpdate:
        while True:
            chunk = await in_azure_terms(self._stream.__anext__())
            if chunk.choices or chunk.usage is not None:  # what content safety says of a prompt stands alone
                return StreamingChatCompletionsUpdate(as_sent(chunk))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Free the connection."""
        await self._stream.aclose()


class EmbeddingsUsage(Model):
    """What a call cost, in tokens."""

    prompt_tokens = Field[int]()
    total_tokens = Field[int]()


class EmbeddingItem(Model):
    """One vector: numbers, or their base64 text where that was asked for."""

    embedding = Field[str | list[float]]()
    index = Field[int]()


class EmbeddingsResult(Model):
    """Vectors, one for each input; as text it is indented JSON."""

    id = Field[str]()
    data = Field[list[EmbeddingItem]](EmbeddingItem)
    usage = Field[EmbeddingsUsage](EmbeddingsUsage)
    model = Field[str]()

    def __str__(self) -> str:
        return json.dumps(self.as_dict(), indent=2)


class ImageEmbeddingInput(Model):
    """An image to embed, and perhaps a text beside it."""

    image = Field[str]()
    text = Field[str | None]()

    @classmethod
    def load(cls, *, image_file: str, image_format: str, text: str | None = None) -> Self:
        """An image from a file, which is read here and now; see `ImageUrl.load`.

        Args:
            image_file: where it is.
            image_format: what it is, such as ``png``.
            text: what goes with the image into the same vector.

        Raises:
            FileNotFoundError: there is no such file.
        """
        return cls(image=_data_url(image_file, image_format), text=text)


class ModelInfo(Model):
    """What an endpoint with one model says of it."""

    model_name = Field[str]()
    model_type = Field[ModelType | str](read=one_of(ModelType))
    model_provider_name = Field[str]()


def _data_url(image_file: str, image_format: str) -> str:
    return f"data:image/{image_format};base64,{_in_base64(image_file)}"


def _in_base64(file: str) -> str:
    return base64.b64encode(Path(file).read_bytes()).decode("ascii")
