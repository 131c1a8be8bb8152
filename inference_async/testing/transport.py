"""A server without sockets: a list of byte pieces, delays and errors, at the seam where a client meets HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import TypeAlias, cast
from urllib.parse import urlsplit

from ..errors import ClientClosedError, ConfigurationError, InferenceError
from ..types import ChatCompletion
from ..wire.codec import encode
from ..wire.request import Call
from .builders import chunks_of, sse
from .errors import NoAnswerError

__all__ = ["Pieces", "ScriptedTransport"]

Piece: TypeAlias = "bytes | float | InferenceError"
Pieces: TypeAlias = "ChatCompletion | bytes | InferenceError | Iterable[Piece]"
"""An answer: a completion, which is streamed if that is asked for; a body; an error in place of any answer; or pieces
of a body, among which a number is seconds to wait, and an error is raised where it stands."""


class ScriptedTransport:
    """A transport whose server is a list: the n-th call gets the n-th answer.

    ::

        transport = ScriptedTransport(completion("Rain."), [*sse(chunks("Rain.", n=2))[:1], APIConnectionError("cut")])
        async with InferenceClient("http://localhost/v1", model="any", transport=transport) as client:
            ...

    Retries take answers too. A call for which there is none left raises a `NoAnswerError`.

    Args:
        *answers: what `answer` takes, each with status 200.

    Attributes:
        calls: what was sent, in order.
        closed: whether the client was closed.
    """

    def __init__(self, *answers: Pieces) -> None:
        self.calls: list[Call] = []
        self.closed = False
        self._answers: list[_Answer] = []
        self._replies: list[ScriptedReply] = []
        for each in answers:
            self.answer(each)

    def answer(self, answer: Pieces, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Add an answer.

        Args:
            answer: see `Pieces`.
            status: its HTTP status.
            headers: its headers, names in lower case; a content type that fits is added where there is none.

        Raises:
            ConfigurationError: it is no answer.
        """
        if isinstance(cast("object", answer), str):
            raise ConfigurationError("got an answer as text, expected completion(...), bytes, or a list of pieces")
        if not isinstance(answer, ChatCompletion | bytes | InferenceError):
            answer = list(answer)
            for piece in answer:
                if not isinstance(cast("object", piece), bytes | int | float | InferenceError):
                    kind = type(piece).__name__
                    raise ConfigurationError(
                        f"got a piece of type {kind}, expected bytes, seconds, or an error of ours"
                    )
        self._answers.append(_Answer(answer, status, dict(headers or {})))

    async def send(self, call: Call, *, connect_timeout: float | None) -> ScriptedReply:
        """See `inference_async.net.transport.Transport.send`.

        Raises:
            NoAnswerError: no answer is left.
        """
        if self.closed:
            raise ClientClosedError("the client is closed")
        asked = len(self.calls)
        self.calls.append(call)
        if asked >= len(self._answers):
            raise NoAnswerError(
                f"no answer is left for {call.method} {urlsplit(call.url).path}: the script has {asked}, and this is "
                f"call {asked + 1}; a call that failed may have been sent again (see retries=)"
            )
        reply = self._answers[asked].reply_to(call)
        self._replies.append(reply)
        return reply

    async def aclose(self) -> None:
        """See `inference_async.net.transport.Transport.aclose`."""
        self.closed = True
        for reply in self._replies:
            reply.close(ClientClosedError("the client was closed while this answer was being read"))


class ScriptedReply:
    """A reply of `ScriptedTransport`, and of a cassette."""

    def __init__(self, pieces: Iterable[Piece], *, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers = headers
        self._pieces = iter(pieces)
        self._closed = asyncio.Event()
        self._error: InferenceError = ClientClosedError("the reply was closed while it was being read")

    async def read(self) -> bytes:
        """See `inference_async.net.transport.Reply.read`."""
        while not self._closed.is_set():
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            if isinstance(piece, InferenceError):
                raise piece
            if not isinstance(piece, bytes):
                await self.wait(piece)
            elif piece:
                return piece
        raise self._error

    async def wait(self, seconds: float) -> None:
        """Wait so long, or until the reply is closed."""
        if seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), seconds)

    async def finish(self) -> None:
        """See `inference_async.net.transport.Reply.finish`."""
        self.close()

    def close(self, error: InferenceError | None = None) -> None:
        """See `inference_async.net.transport.Reply.close`."""
        if not self._closed.is_set():
            self._error = error or self._error
            self._closed.set()


class _Answer:
    def __init__(self, said: Pieces, status: int, headers: dict[str, str]) -> None:
        self._said = said
        self._status = status
        self._headers = headers

    def reply_to(self, call: Call) -> ScriptedReply:
        said = self._said
        if isinstance(said, InferenceError):
            raise said
        kind = call.headers.get("accept", "application/json") if self._status < 300 else "application/json"
        if isinstance(said, ChatCompletion):
            streams = kind == "text/event-stream"
            said = sse(chunks_of(said)) if streams else encode(said.to_dict())
        pieces = [said] if isinstance(said, bytes) else said
        return ScriptedReply(pieces, status=self._status, headers={"content-type": kind, **self._headers})
