"""Embeddings of text and of images, and what an endpoint says of its model."""

from __future__ import annotations

import os
from array import array
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypedDict, cast

import msgspec
from msgspec import UNSET, UnsetType

from .base import Open
from .chat import Usage
from .media import MAX_MEDIA_BYTES, data_url
from .meta import ResponseMeta

__all__ = [
    "EMBEDDING_OPTIONS",
    "Embedding",
    "EmbeddingInput",
    "EmbeddingOptions",
    "EmbeddingsResult",
    "ImageEmbeddingInput",
    "ModelInfo",
    "Vector",
]

Vector: TypeAlias = "list[float] | array[float] | array[int]"
"""Numbers: a list where they came as JSON, an array where they came as bytes."""

EmbeddingInput: TypeAlias = "str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]"
"""One text, or many; some hosts take tokens in place of text."""


class EmbeddingOptions(TypedDict, total=False):
    """The options of an embeddings request; keyword arguments of `embed` and `embed_images`.

    Keys:
        model: the deployment's name.
        dimensions: the length of the vectors, for models that can shorten them.
        encoding_format: ``float`` (the service's default), ``base64`` (the same numbers in less than half of
            the bytes), ``int8``, ``uint8``, ``binary`` or ``ubinary``.
        input_type: ``text``, ``query`` or ``document``, for models that tell them apart.
        user: the end user, as OpenAI documents it.
    """

    model: str | UnsetType | None
    dimensions: int | UnsetType | None
    encoding_format: str | UnsetType | None
    input_type: str | UnsetType | None
    user: str | UnsetType | None


EMBEDDING_OPTIONS: Final = frozenset({"model", "dimensions", "encoding_format", "input_type"})
"""The options that `/models` itself knows."""


class ImageEmbeddingInput(msgspec.Struct, omit_defaults=True):
    """An image, and what is to be said of it.

    Attributes:
        image: a ``data:image/...;base64,`` URL.
        text: embedded together with the image, for models that can.
    """

    image: str
    text: str | UnsetType = UNSET

    @classmethod
    def from_bytes(cls, data: bytes, *, text: str | UnsetType = UNSET) -> ImageEmbeddingInput:
        """An image by its bytes.

        Raises:
            ConfigurationError: they are no image.
        """
        return cls(data_url(data), text)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, text: str | UnsetType = UNSET, max_bytes: int = MAX_MEDIA_BYTES
    ) -> Awaitable[ImageEmbeddingInput]:
        """An image from a file, read off the event loop.

        Args:
            path: the file; its bytes tell what it is.
            text: what goes with the image into the same vector.
            max_bytes: the largest file to read.

        Raises:
            ConfigurationError: the file cannot be read, is larger, or is no image.
        """
        from ..net.files import read

        return read(path, max_bytes=max_bytes, then=lambda data: cls.from_bytes(data, text=text))


class Embedding(Open):
    """One vector.

    Attributes:
        index: the place of its input among the inputs.
        embedding: the numbers. Base64 of the service comes as ``array('f')``, or as ``array('b')`` and ``array('B')``
            where bytes were asked for.
    """

    index: int = 0
    embedding: Any = None
    object: str = ""

    def __repr__(self) -> str:
        # Without the numbers, of which there are a thousand.
        return f"<{type(self).__name__} {self.index}: {_length(self.embedding)} numbers{_further(self)}>"


class EmbeddingsResult(Open):
    """Vectors, one for each input and in the order of the inputs.

    Attributes:
        data: the vectors with their indices.
        usage: the sum over all requests, where the inputs took several.
        meta: of the request that took longest, where they took several.
        requests: how many they took.
    """

    id: str | None = None
    object: str = ""
    model: str = ""
    data: list[Embedding] = []
    usage: Usage | None = None
    meta: ResponseMeta = msgspec.field(default_factory=ResponseMeta, name="*inference_async.meta")
    requests: int = msgspec.field(default=1, name="*inference_async.requests")

    def __repr__(self) -> str:
        size = _length(self.data[0].embedding) if self.data else 0
        what = f"{len(self.data)} x {size} numbers, {self.model!r}, {self.usage!r}"
        return f"<{type(self).__name__} {what}{_further(self)}>"

    @property
    def vectors(self) -> list[Vector]:
        """The vectors alone."""
        return [item.embedding for item in self.data]


def _further(value: Open) -> str:
    return f", unknown_fields={dict(value.extra)!r}" if value.extra else ""


def _length(embedding: Any) -> int:
    return len(cast("list[Any]", embedding)) if isinstance(embedding, list | array | str) else 0


class ModelInfo(Open):
    """What an endpoint with one model says of it.

    Attributes:
        model_type: as the host spells it; see `kind`.
        meta: status, headers, request id.
    """

    model_name: str = ""
    model_type: str = ""
    model_provider_name: str = ""
    meta: ResponseMeta = msgspec.field(default_factory=ResponseMeta, name="*inference_async.meta")

    @property
    def kind(self) -> str:
        """The type in one spelling: ``chat_completion``, ``embeddings``, ``image_embeddings``, or the host's own."""
        folded = self.model_type.strip().lower().replace("-", "_").replace(" ", "_")
        return _KINDS.get(folded.removesuffix("s"), folded)


_KINDS: Final[Mapping[str, str]] = {
    "chat": "chat_completion",
    "completion": "chat_completion",
    "chat_completion": "chat_completion",
    "embedding": "embeddings",
    "text_embedding": "embeddings",
    "image_embedding": "image_embeddings",
}
