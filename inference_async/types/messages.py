"""Messages and the parts they are made of.

A message may be one of these Structs, a plain dict of the same shape, or a string (a user message). A returned
`AssistantMessage` can be appended to the next request as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from .base import Open, is_object
from .tools import ToolCall

__all__ = [
    "ROLES",
    "AssistantMessage",
    "AudioPart",
    "AudioURL",
    "AudioURLPart",
    "ContentPart",
    "DeveloperMessage",
    "ImagePart",
    "ImageURL",
    "InputAudio",
    "Message",
    "Messages",
    "SystemMessage",
    "TextPart",
    "ToolMessage",
    "UserMessage",
    "text_of",
]


ROLES: Final = ("system", "developer", "user", "assistant", "tool")
"""The roles that the service knows."""


class TextPart(msgspec.Struct, tag_field="type", tag="text"):
    """A piece of text."""

    text: str


class ImageURL(msgspec.Struct, omit_defaults=True):
    """Where an image is: an https address or a ``data:image/...;base64,`` URL; ``detail`` is auto, low or high."""

    url: str
    detail: str | UnsetType = UNSET


class ImagePart(msgspec.Struct, tag_field="type", tag="image_url"):
    """An image."""

    image_url: ImageURL


class InputAudio(msgspec.Struct):
    """Sound in the request: base64 ``data`` of the ``format`` wav or mp3."""

    data: str
    format: str


class AudioPart(msgspec.Struct, tag_field="type", tag="input_audio"):
    """Sound, in the request itself."""

    input_audio: InputAudio


class AudioURL(msgspec.Struct):
    """Where sound is."""

    url: str


class AudioURLPart(msgspec.Struct, tag_field="type", tag="audio_url"):
    """Sound, by address."""

    audio_url: AudioURL


ContentPart: TypeAlias = TextPart | ImagePart | AudioPart | AudioURLPart | Mapping[str, Any]
"""A part of a message: one of the Structs, or a dict in a provider's own shape."""


class SystemMessage(msgspec.Struct, tag_field="role", tag="system", omit_defaults=True, repr_omit_defaults=True):
    """Instructions that stand above the conversation."""

    content: str | Sequence[ContentPart]
    name: str | UnsetType = UNSET


class DeveloperMessage(msgspec.Struct, tag_field="role", tag="developer", omit_defaults=True, repr_omit_defaults=True):
    """Instructions, in the role that reasoning models of OpenAI read in place of ``system``."""

    content: str | Sequence[ContentPart]
    name: str | UnsetType = UNSET


class UserMessage(msgspec.Struct, tag_field="role", tag="user", omit_defaults=True, repr_omit_defaults=True):
    """What the user says, as text or as parts."""

    content: str | Sequence[ContentPart]
    name: str | UnsetType = UNSET


class ToolMessage(msgspec.Struct, tag_field="role", tag="tool"):
    """The result of a tool call; ``content`` is text, and some model families insist on JSON text."""

    content: str | Sequence[ContentPart] | None
    tool_call_id: str


class AssistantMessage(Open, tag_field="role", tag="assistant"):
    """What the model said: in an answer, and in the history that the next request carries.

    Attributes:
        content: text, a list of parts from models that think aloud in parts, or ``None`` beside tool calls.
        tool_calls: the calls the model asks for; answer each with a `ToolMessage`.
        refusal: the model's own words where it declines.
        reasoning_content: the model's reasoning, as DeepSeek, vLLM and others name it.
        reasoning: the same, as OpenRouter and newer vLLM name it.
    """

    content: str | list[Any] | None = None
    tool_calls: list[ToolCall] = []
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    function_call: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None
    annotations: list[Any] | None = None
    name: str | None = None

    @property
    def role(self) -> str:
        """Always ``assistant``."""
        return "assistant"

    @property
    def text(self) -> str:
        """The content as text: the text parts joined where it came in parts, empty where there is none."""
        return text_of(self.content)


Message: TypeAlias = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | Mapping[str, Any]
"""One message."""

Messages: TypeAlias = str | Message | Sequence[str | Message]
"""What `complete` and `stream` take: a string (a user message), one message, or a sequence of both."""


def text_of(content: str | list[Any] | None) -> str:
    """The text in a content: itself, its text parts joined, or nothing."""
    if isinstance(content, str):
        return content
    if not content:
        return ""
    return "".join(part.get("text") or "" for part in content if is_object(part) and part.get("type") == "text")
