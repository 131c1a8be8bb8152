"""Messages and the parts they are made of.

A message may be one of these Structs, a plain dict of the same shape, or a string (a user message). A returned
`AssistantMessage` can be appended to the next request as it is.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from .base import Open, is_array, is_object
from .media import MAX_MEDIA_BYTES, audio_format, data_url, in_base64
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
    "reasoning_of",
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

    @classmethod
    def from_bytes(cls, data: bytes, *, detail: str | UnsetType = UNSET) -> ImagePart:
        """An image by its bytes, which go into the request itself.

        Raises:
            ConfigurationError: they are no image.
        """
        return cls(ImageURL(data_url(data), detail))

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, detail: str | UnsetType = UNSET, max_bytes: int = MAX_MEDIA_BYTES
    ) -> Awaitable[ImagePart]:
        """An image from a file; what it returns is to be awaited.

        The file is read in a thread, so the event loop goes on. What kind of image it is, its bytes tell.

        Args:
            path: the file.
            detail: ``low`` for a smaller, cheaper look; ``high`` or ``auto``.
            max_bytes: the largest file to read; the service takes 20 MiB.

        Raises:
            ConfigurationError: the file cannot be read, is larger, or is no image.
        """
        from ..net.files import read

        return read(path, max_bytes=max_bytes, then=lambda data: cls.from_bytes(data, detail=detail))


class InputAudio(msgspec.Struct):
    """Sound in the request: base64 ``data`` of the ``format`` wav or mp3."""

    data: str
    format: str


class AudioPart(msgspec.Struct, tag_field="type", tag="input_audio"):
    """Sound, in the request itself."""

    input_audio: InputAudio

    @classmethod
    def from_bytes(cls, data: bytes, *, format: str | None = None) -> AudioPart:  # noqa: A002  (the service's word)
        """Sound by its bytes, which go into the request itself.

        Raises:
            ConfigurationError: they are neither WAV nor MP3, and no format is given.
        """
        return cls(InputAudio(in_base64(data), format or audio_format(data)))

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,  # noqa: A002  (the service's word)
        max_bytes: int = MAX_MEDIA_BYTES,
    ) -> Awaitable[AudioPart]:
        """Sound from a file; what it returns is to be awaited, see `ImagePart.load`.

        Args:
            path: the file.
            format: in place of what the bytes tell, for a format that is newer than this package.
            max_bytes: the largest file to read.

        Raises:
            ConfigurationError: the file cannot be read, is larger, or is neither WAV nor MP3.
        """
        from ..net.files import read

        return read(path, max_bytes=max_bytes, then=lambda data: cls.from_bytes(data, format=format))


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
        reasoning_content: the model's reasoning, as DeepSeek and others name it. Read `reasoning`, which knows all
            names; this one is for the way back, where hosts insist on their own.
        raw_reasoning: the same under the wire name ``reasoning``, as OpenRouter and newer vLLM have it.
    """

    content: str | list[Any] | None = None
    tool_calls: list[ToolCall] = []
    refusal: str | None = None
    reasoning_content: str | None = None
    raw_reasoning: str | None = msgspec.field(default=None, name="reasoning")
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

    @property
    def reasoning(self) -> str:
        """What the model thought before it spoke, whatever the host calls it; empty where it told nothing."""
        return reasoning_of(self.content, self.reasoning_content, self.raw_reasoning, extra=self.extra)

    @property
    def refused(self) -> str:
        """What the model said in declining, be it in `refusal` or in a part of the content; empty where it did not."""
        if self.refusal or not self.content or isinstance(self.content, str):
            return self.refusal or ""
        return "".join(_words(part, "refusal") for part in self.content)


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
    return "".join(_words(part, "text") for part in content)


def reasoning_of(content: str | list[Any] | None, *named: str | None, extra: Mapping[str, Any]) -> str:
    """The reasoning under whichever name it came: the first that is not empty, or the thinking parts of a content.

    An empty string says nothing: some hosts send one under either name while the text flows. Others send the details
    alone, which have no field of their own.
    """
    for text in named:
        if text:
            return text
    if content and not isinstance(content, str):
        thoughts = "".join(_thought(part) for part in content)
        if thoughts:
            return thoughts
    details = extra.get("reasoning_details") if extra else None
    return "".join(_words(row, None) for row in details) if is_array(details) else ""


def _words(part: Any, kind: str | None) -> str:
    """The words of a part of one kind; a part that is mere text counts as one of text."""
    if isinstance(part, str):
        return part if kind == "text" else ""
    if not is_object(part) or (kind is not None and part.get("type") != kind):
        return ""
    words = part.get(kind or "text")
    return words if isinstance(words, str) else ""


def _thought(part: Any) -> str:
    if not is_object(part) or part.get("type") not in ("thinking", "reasoning"):
        return ""
    said = part.get("thinking") or part.get("reasoning") or part.get("text")
    if is_array(said):
        return text_of(said)
    return said if isinstance(said, str) else ""
