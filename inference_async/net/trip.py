"""One call on its way: its id, its place among the connections, its clock, and the answer once that has begun.

Nothing here sends anything: `net/session.py` does, and `stream.py` reads what it is answered.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar, cast

from ..errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    InferenceError,
    InvalidResponseError,
)
from ..policy.limits import Limits
from ..policy.retry import Budget, Retrying
from ..policy.terms import Terms
from ..policy.timeouts import Deadlines, Wait
from ..types import ChatCompletion, EmbeddingsResult, ModelInfo, ResponseMeta
from ..wire.codec import LARGE
from ..wire.request import Call
from ..wire.response import CLIENT_REQUEST_ID, completion_from, embeddings_from, model_info_from, not_an_answer
from .threads import in_thread
from .transport import Reply
from .watch import Guard, Watch

__all__ = ["ANYWHERE", "Exchange", "Names", "Place", "Trip", "read_into"]

T = TypeVar("T")
E = TypeVar("E", bound=InferenceError)


class Names:
    """Ids for calls, in the form of random UUIDs (RFC 9562, section 5.4): of each only the end is another.

    A random one for each call would take a twentieth of what aiohttp takes to send it.
    """

    __slots__ = ("_count", "_head")

    def __init__(self) -> None:
        drawn = str(uuid.uuid4())
        self._head = drawn[:-12]
        self._count = count(int(drawn[-12:], 16) >> 1)

    def next(self) -> str:
        """Another id."""
        return f"{self._head}{next(self._count):012x}"


class Place:
    """A call's place among the connections of a client that has a bound on them."""

    __slots__ = ("_places",)

    def __init__(self, places: asyncio.Semaphore | None) -> None:
        self._places = places

    def leave(self) -> None:
        """Make room for another call. Any number of times is fine."""
        places, self._places = self._places, None
        if places is not None:
            places.release()


_SENT: Final = Call(method="", url="", headers={})
ANYWHERE: Final = Place(None)
"""That of a call of a client without a bound."""


class Trip(Watch):
    """One call on its way.

    Attributes:
        call: what is asked, until its answer is read.
        terms: on which terms.
        clock: its deadlines.
        exchange: its answer, once that has begun and is read.
        error: what the reading was ended with, if it took too long: a reader that need not wait would not be told.
        retrying: how often it was sent, and whether it may be sent again.
        client_request_id: one id for all attempts.
        credential: the header that carried the credential last.
    """

    __slots__ = (
        "_awaits",
        "call",
        "client_request_id",
        "clock",
        "credential",
        "error",
        "exchange",
        "retrying",
        "terms",
    )

    def __init__(self, call: Call, terms: Terms, *, budget: Budget, awaits: Wait, guard: Guard, names: Names) -> None:
        super().__init__(guard)
        self.call = call
        self.terms = terms
        self.clock = Deadlines(terms.timeouts, now=guard.now())
        self.exchange: Exchange | None = None
        self.error: APITimeoutError | None = None
        self.retrying = Retrying(terms.retries, budget)
        self.client_request_id = call.headers.get(CLIENT_REQUEST_ID) or names.next()
        self.credential = ""
        self._awaits: Wait = awaits

    def sets_out(self) -> None:
        """The call is sent, once more."""
        if self._awaits != self.clock.phase:
            self.enters(self._awaits)
        self.retrying.attempts += 1

    def enters(self, limit: Wait) -> None:
        """Another wait begins, with a limit of its own."""
        now = self.now()
        if self.struck or (self.until is not None and self.until <= now):
            return  # it is over, or the client was closed, and the next step will tell
        self.clock.wait_for(limit, now=now)
        self.watch(self.clock.until)

    def strike(self) -> None:
        """See `Watch.strike`."""
        if self.exchange is not None:
            self.error = self.late()
            self.exchange.close(self.error)

    def arrives(self, exchange: Exchange) -> None:
        """Its answer has begun, and will be read: nothing is sent again, and what was sent, a prompt, is let go of."""
        self.exchange = exchange
        self.call = _SENT

    def delay(self, error: InferenceError) -> float | None:
        """Seconds to wait before the call is sent again; None if it is not to be."""
        now = self.now()
        return self.retrying.delay(error, elapsed=now - self.clock.started, left=self.clock.left(now=now))

    def failed(self, error: E) -> E:
        """The error, told which call it ends."""
        error.request_id = error.request_id or self.client_request_id
        error.attempts = self.retrying.attempts
        if isinstance(error, APITimeoutError):  # a transport knows of its own attempt only
            error.elapsed = self.now() - self.clock.started
        return error

    def late(self) -> APITimeoutError:
        """The error of a wait that is over its limit."""
        return self.failed(self.clock.error(now=self.now()))

    def over(self) -> InferenceError:
        """The error of a wait that ended by a `TimeoutError`."""
        if self.struck:
            return self.late()
        return self.failed(APIConnectionError("the transport gave up waiting"))  # a transport of another make


class Exchange:
    """One call whose answer has begun.

    Attributes:
        reply: the answer.
        meta: what its head says.
        url: the address asked.
        secrets: what must not appear in an error.
    """

    __slots__ = ("_limits", "_place", "meta", "reply", "secrets", "url")

    def __init__(
        self, reply: Reply, meta: ResponseMeta, url: str, secrets: tuple[str, ...], *, limits: Limits, place: Place
    ) -> None:
        self.reply = reply
        self.meta = meta
        self.url = url
        self.secrets = secrets
        self._limits = limits
        self._place = place

    async def body(self) -> bytes:
        """The whole body, or the rest of it.

        Raises:
            InvalidResponseError: it is over ``Limits.max_body_bytes``.
            APIConnectionError: it was cut.
        """
        limit = self._limits.max_body_bytes
        pieces: list[bytes] = []
        try:
            if await read_into(pieces, self.reply, limit):
                return b"".join(pieces)
        except InferenceError as error:
            raise self.failed(error) from error.__cause__
        finally:
            self.close()  # an answer that was read to its end has given its connection back already
        raise self.failed(
            InvalidResponseError(
                f"the answer is over {limit:,} bytes; raise max_body_bytes if it is meant to be",
                status=self.meta.status,
            )
        )

    async def received(self, body: bytes) -> bytes:
        """A whole body as it is, for calls whose answer is nothing but that."""
        return body

    async def finish(self) -> None:
        """The answer is over: let others use the connection; see `Reply.finish`."""
        try:
            await self.reply.finish()
        finally:
            self._place.leave()

    def close(self, error: InferenceError | None = None) -> None:
        """Let go of the connection now; see `Reply.close`."""
        self.reply.close(error)
        self._place.leave()

    async def completion(self, body: bytes) -> ChatCompletion:
        """The completion in a whole body.

        Raises:
            APIStatusError: the body is an error all the same.
            InvalidResponseError: it is neither.
        """
        return await self._read(completion_from, body, limits=self._limits)

    async def embeddings(self, body: bytes) -> EmbeddingsResult:
        """The vectors in a whole body; see `completion`."""
        return await self._read(embeddings_from, body, limits=self._limits)

    async def model_info(self, body: bytes) -> ModelInfo:
        """The description of a model in a whole body; see `completion`."""
        return await self._read(model_info_from, body)

    def not_an_answer(self, what: str, body: bytes, *, expected: str = "chat completion") -> InvalidResponseError:
        """The error for a body that is no answer."""
        return self.failed(not_an_answer(what, body=body, expected=expected, **self._head()))

    def failed(self, error: E) -> E:
        """The error, told which call it ends, and that its answer had begun."""
        meta = self.meta
        error.request_id = meta.request_id or error.request_id
        error.attempts = meta.attempts
        if error.status is None:
            error.status = meta.status
        if error.phase is None or isinstance(error, APIStatusError):
            error.phase = "body"
        return error

    async def _read(self, read: Callable[..., T], body: bytes, **options: Any) -> T:
        try:
            if len(body) < LARGE:
                return read(body=body, **self._head(), **options)
            return cast("T", await in_thread(partial(read, body=body, **self._head(), **options)))
        except InferenceError as error:
            self.failed(error)
            raise

    def _head(self) -> dict[str, Any]:
        meta = self.meta
        return {"status": meta.status, "headers": meta.headers, "url": self.url, "secrets": self.secrets}


async def read_into(pieces: list[bytes], reply: Reply, limit: int) -> bool:
    """Read the body up to a limit; whether that was all of it. What is read is there also if the reading fails."""
    left = limit
    while piece := await reply.read():
        pieces.append(piece[:left])
        left -= len(piece)
        if left < 0:
            return False
    return True
