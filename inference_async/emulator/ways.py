"""The ways in: under which paths the emulator answers, how it speaks there, and which operations it has."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from ..wire.endpoints import Dialect

__all__ = ["WAYS", "Operation", "Way"]

Operation: TypeAlias = Literal["chat/completions", "embeddings", "images/embeddings", "info"]

_OPENAI: Final[tuple[Operation, ...]] = ("chat/completions", "embeddings")
_MODELS: Final[tuple[Operation, ...]] = (*_OPENAI, "images/embeddings")
_ONE_MODEL: Final[tuple[Operation, ...]] = (*_MODELS, "info")


class Way(NamedTuple):
    """One way in.

    Attributes:
        path: what stands before the operation; ``{name}`` is the name of a deployment.
        dialect: how an endpoint speaks there.
        operations: what it can do.
        front: an API Management front stands before it.
    """

    path: str
    dialect: Dialect
    operations: tuple[Operation, ...] = _OPENAI
    front: bool = False


_DIRECT: Final = (
    Way("/models", "models", _MODELS),
    Way("/openai/v1", "openai-v1"),
    Way("/openai/deployments/{name}", "deployment"),
)

WAYS: Final = (
    *_DIRECT,
    *(way._replace(path=f"/apim{way.path}", front=True) for way in _DIRECT),
    Way("/serverless", "serverless", _ONE_MODEL),
    Way("/serverless/v1", "serverless", _ONE_MODEL),
    Way("/managed", "managed", _ONE_MODEL),
    Way("/v1", "generic"),
)
"""All of them; a serverless endpoint answers with and without ``/v1``."""
