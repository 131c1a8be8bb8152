"""Asking a server of unknown manners: what went over the wire, byte by byte, and what the client makes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from ..client import InferenceClient
from ..errors import APIStatusError, InferenceError
from ..net.aiohttp import AiohttpTransport
from ..net.transport import Reply
from ..types import ChatCompletion
from ..types.base import is_array, is_object
from ..wire.endpoints import Endpoint
from ..wire.request import Call
from ..wire.sse import EventDecoder
from .transport import ScriptedTransport

__all__ = ["Heard", "Lab", "Tap"]

_QUESTION: Final = "Say hello in five words."
_LIMITS: Final = ("max_tokens", "max_completion_tokens")


class Heard:
    """An answer as it came.

    Attributes:
        status: the HTTP status.
        headers: names in lower case.
        body: what was read of the body.
    """

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.body = b""

    @property
    def media(self) -> str:
        """The content type, without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @cached_property
    def json(self) -> Any:
        """The body as JSON; None if it is none."""
        return _json(self.body)

    @cached_property
    def events(self) -> list[bytes]:
        """The data of the events that say something."""
        decoder = EventDecoder()
        events = decoder.feed(self.body)
        last = decoder.close()
        return [event.data for event in (*events, *([last] if last else [])) if event.data]

    @cached_property
    def chunks(self) -> list[dict[str, Any]]:
        """The events that are JSON objects."""
        return [found for found in map(_json, self.events) if is_object(found)]

    @cached_property
    def choices(self) -> list[dict[str, Any]]:
        """The choices in all chunks, in order."""
        lists = (chunk.get("choices") for chunk in self.chunks)
        return [choice for row in lists if is_array(row) for choice in row if is_object(choice)]

    @property
    def deltas(self) -> list[dict[str, Any]]:
        """What the choices add."""
        return [choice["delta"] for choice in self.choices if is_object(choice.get("delta"))]

    @property
    def message(self) -> dict[str, Any]:
        """The message of the first choice of a whole answer; empty if there is none."""
        choice = self.choice
        return choice["message"] if is_object(choice.get("message")) else {}

    @property
    def choice(self) -> dict[str, Any]:
        """The first choice of a whole answer; empty if there is none."""
        choices = self.json.get("choices") if is_object(self.json) else None
        return choices[0] if is_array(choices) and choices and is_object(choices[0]) else {}


class Tap(AiohttpTransport):
    """The usual transport, which keeps what came last.

    Attributes:
        heard: the last answer; None if none came.
    """

    heard: Heard | None = None

    async def send(self, call: Call, *, connect_timeout: float | None) -> Reply:
        """See `Transport.send`."""
        self.heard = None
        reply = await super().send(call, connect_timeout=connect_timeout)
        self.heard = Heard(reply.status, reply.headers)
        return _Tapped(reply, self.heard)


class _Tapped:
    """A reply that is overheard."""

    def __init__(self, reply: Reply, heard: Heard) -> None:
        self._reply = reply
        self._heard = heard
        self.status = reply.status
        self.headers = reply.headers

    async def read(self) -> bytes:
        """See `Reply.read`."""
        piece = await self._reply.read()
        self._heard.body += piece
        return piece

    async def finish(self) -> None:
        """See `Reply.finish`."""
        await self._reply.finish()

    def close(self, error: InferenceError | None = None) -> None:
        """See `Reply.close`."""
        self._reply.close(error)


class Lab:
    """A server under examination.

    Args:
        client: a client of it that sends nothing again.
        tap: the client's transport.
    """

    def __init__(self, client: InferenceClient, tap: Tap) -> None:
        self._client = client
        self._tap = tap
        self._limit = _LIMITS[0]
        self._known: dict[str, Heard | InferenceError] = {}

    @property
    def endpoint(self) -> Endpoint:
        """Where the server is."""
        return self._client.endpoint

    @property
    def like_models(self) -> bool:
        """Whether it is addressed in a dialect with the manners of `/models`."""
        return self.endpoint.extra_parameters

    async def begin(self) -> None:
        """Ask the plainest question, to learn whether the server can be talked to, and by which name it limits answers.

        Raises:
            InferenceError: it cannot be talked to.
        """
        heard = await self.ask()
        if heard.status in (400, 422) and _LIMITS[0].encode() in heard.body:
            self._limit = _LIMITS[1]
            heard = await self.ask()
        if heard.status >= 300:
            await self.read(heard)  # which raises what the client would

    async def ask(
        self,
        fields: Mapping[str, Any] | None = None,
        *,
        path: str = "chat/completions",
        headers: Mapping[str, str] | None = None,
        limit: int = 64,
    ) -> Heard:
        """Ask, and return what came, whatever it is; what was asked before is answered from memory.

        Args:
            fields: of the body, over those of a plain question.
            path: the operation.
            headers: further headers.
            limit: the most tokens to answer with.

        Raises:
            InferenceError: no answer came, or not all of it.
        """
        body: dict[str, Any] = {"messages": [{"role": "user", "content": _QUESTION}], self._limit: limit}
        if self.endpoint.model_in == "body" and self._client.model is not None:
            body["model"] = self._client.model
        body |= fields or {}
        asked = json.dumps([path, dict(headers or {}), body])
        if asked not in self._known:
            self._known[asked] = await self._heard(path, body, headers)
        known = self._known[asked]
        if isinstance(known, InferenceError):
            raise known
        return known

    async def _heard(self, path: str, body: object, headers: Mapping[str, str] | None) -> Heard | InferenceError:
        try:
            await self._client.request("POST", path, json=body, headers=headers, retries=0)
        except APIStatusError:
            pass  # which is an answer, too
        except InferenceError as error:
            return error
        heard = self._tap.heard
        assert heard is not None  # noqa: S101  (for the type checkers: no answer is an error)
        return heard

    async def read(self, heard: Heard, *, stream: bool = False) -> ChatCompletion:
        """What the client makes of an answer.

        Raises:
            InferenceError: it can make nothing of it.
        """
        transport = ScriptedTransport()
        transport.answer([heard.body], status=heard.status, headers=heard.headers)
        base = self.endpoint.base
        async with InferenceClient(
            base, "none", dialect=self.endpoint.dialect, transport=transport, retries=0
        ) as client:
            return await (client.stream(_QUESTION).final() if stream else client.complete(_QUESTION))


def _json(data: bytes | Sequence[int]) -> Any:
    try:
        return json.loads(bytes(data))
    except (ValueError, RecursionError):
        return None
