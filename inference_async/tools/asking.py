"""What a run of tools asks of a client: the front door, as far as this room may know it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Unpack

from ..policy.retry import RetryPolicy
from ..policy.timeouts import Timeouts
from ..types import ChatCompletion, ChatCompletionChunk, ChatOptions, Messages
from ..types.chat import ExtraMode

__all__ = ["AnswerStream", "CallOptions", "ChatClient"]


class AnswerStream(Protocol):
    """What a run asks of a stream."""

    @property
    def completion(self) -> ChatCompletion:
        """The whole answer, after the last chunk."""
        ...

    async def __anext__(self) -> ChatCompletionChunk: ...

    async def aclose(self) -> None:
        """Free the connection; any task may."""
        ...


class ChatClient(Protocol):
    """What a run asks of a client."""

    async def complete(
        self,
        messages: Messages,
        *,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        raise_on_filter: bool | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatCompletion:
        """One answer."""
        ...

    def stream(
        self,
        messages: Messages,
        *,
        extra: Mapping[str, object] | None = None,
        extra_mode: ExtraMode | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | int | None = None,
        raise_on_filter: bool | None = None,
        **options: Unpack[ChatOptions],
    ) -> AnswerStream:
        """The answer as it is made."""
        ...


class CallOptions(ChatOptions, total=False):
    """Every keyword of `complete` and `stream`."""

    extra: Mapping[str, object] | None
    extra_mode: ExtraMode | None
    headers: Mapping[str, str] | None
    timeouts: Timeouts | None
    retries: RetryPolicy | int | None
    raise_on_filter: bool | None
