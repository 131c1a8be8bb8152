"""The one send loop: find a place, authorise, send, turn every refusal into its error; and again, where that helps.

One `Session` stands behind a client and all its copies: one transport, one credential, one event loop, one budget of
retries. Whether and when a call is sent again is decided in `policy/retry.py`; here is the one place that waits for it.

One `Trip` watches over all waits of a call; the caller of `send` has entered it. Its limit moves as the call goes from
phase to phase, and closing the client ends the wait that is under way.
"""

from __future__ import annotations

import asyncio
import os
import platform
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar, cast

from .._version import __version__
from ..errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    ClientClosedError,
    InferenceError,
    InvalidResponseError,
    WrongEventLoopError,
)
from ..policy.limits import Limits
from ..policy.retry import Budget, Retrying
from ..policy.terms import Terms
from ..policy.timeouts import Deadlines, Wait
from ..types import ChatCompletion, EmbeddingsResult, ModelInfo, ResponseMeta
from ..wire.codec import LARGE
from ..wire.request import Call, Secret, secrets_in
from ..wire.response import (
    CLIENT_REQUEST_ID,
    completion_from,
    embeddings_from,
    error_from,
    meta_from,
    model_info_from,
    not_an_answer,
    redact,
)
from .auth import Authoriser
from .threads import in_thread
from .together import until_done
from .transport import Reply, Transport
from .watch import Guard, Watch

__all__ = ["Exchange", "Session", "Trip"]

T = TypeVar("T")
E = TypeVar("E", bound=InferenceError)

_ERROR_BODY_SECONDS: Final = 5.0  # the status says most of it; an explanation that takes longer is not waited for
_RETRY_COUNT: Final = "x-ms-client-retry-count"
_USER_AGENT: Final = f"inference-async/{__version__} python/{platform.python_version()}"


class Names:
    """Ids for calls, in the form of random UUIDs (RFC 9562, section 5.4): of each only the end is another.

    A random one for each call would take as long as a tenth of what aiohttp takes to send it.
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
_ANYWHERE: Final = Place(None)
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
        self.clock = Deadlines(terms.timeouts, now=guard.loop.time())
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
        now = self.loop.time()
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
        now = self.loop.time()
        return self.retrying.delay(error, elapsed=now - self.clock.started, left=self.clock.left(now=now))

    def failed(self, error: E) -> E:
        """The error, told which call it ends."""
        error.request_id = error.request_id or self.client_request_id
        error.attempts = self.retrying.attempts
        if isinstance(error, APITimeoutError):  # a transport knows of its own attempt only
            error.elapsed = self.loop.time() - self.clock.started
        return error

    def late(self) -> APITimeoutError:
        """The error of a wait that is over its limit."""
        return self.failed(self.clock.error(now=self.loop.time()))

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
            if await _read_into(pieces, self.reply, limit):
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


class Session:
    """What a client and its copies share.

    Args:
        transport: what sends.
        auth: what authorises.
        max_connections: how many calls may hold a connection at once; None for no bound.
    """

    def __init__(self, transport: Transport, auth: Authoriser, *, max_connections: int | None = None) -> None:
        self._transport = transport
        self._auth = auth
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()
        self._max_connections = max_connections
        self._places = None if max_connections is None else asyncio.Semaphore(max_connections)
        self._budget = Budget()
        self._names = Names()
        self._guard: Guard | None = None
        self._sending: set[Trip] = set()
        self.closed = False

    def begin(self, call: Call, terms: Terms, *, awaits: Wait = "total") -> Trip:
        """Check that the client can be used here and now; start the clock of a call.

        Args:
            call: what to send.
            terms: on which terms.
            awaits: the limit on the wait for an answer, which begins with each sending.

        Raises:
            ClientClosedError: it was closed.
            WrongEventLoopError: it belongs to another loop, or no asyncio loop runs here.
        """
        self.check_open()
        return Trip(call, terms, budget=self._budget, awaits=awaits, guard=self._guarded(), names=self._names)

    def _guarded(self) -> Guard:
        loop = self.check_loop()
        if self._guard is None or self._guard.loop is not loop:
            self._guard = Guard(loop)
        return self._guard

    def check_open(self) -> None:
        """Check that the client was not closed.

        Raises:
            ClientClosedError: it was.
        """
        if self.closed:
            raise ClientClosedError("the client is closed; make a new one, or keep it open as long as it is needed")

    def check_loop(self) -> asyncio.AbstractEventLoop:
        """The running loop, which the first call binds the client to.

        Raises:
            WrongEventLoopError: it is another one than that, or no asyncio loop runs here.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise WrongEventLoopError(
                "there is no running asyncio event loop here; this client runs on asyncio, not on trio or curio"
            ) from None
        process = os.getpid()
        if self._loop is None or self._loop.is_closed() or self._process != process:
            if self._loop is not None:
                self._move()
            elif self._process != process:
                self._names = Names()  # forked before its first call, as it may be many times
            self._loop, self._process = loop, process
        elif self._loop is not loop:
            raise WrongEventLoopError(
                "the client is bound to the event loop that made its first call, and this is another one; "
                "make one client per loop (each asyncio.run makes a new loop)"
            )
        return loop

    async def whole(self, call: Call, terms: Terms) -> tuple[Exchange, bytes]:
        """Send the call; return when its answer is there as a whole.

        Raises:
            APITimeoutError: not within the total.
            InvalidResponseError: the body is over the bound.
            InferenceError: as `begin` and `send` do.
        """
        trip = self.begin(call, terms)
        exchange: Exchange | None = None
        try:
            with trip:
                exchange = await self.send(trip)
                body = await exchange.body()
        except TimeoutError as error:
            if isinstance(error, APITimeoutError):
                raise
            over = self.over(trip)
            raise (over if exchange is None else exchange.failed(over)) from error.__cause__
        finally:
            trip.stop()
        exchange.meta.elapsed = trip.loop.time() - trip.clock.started
        return exchange, body

    def _move(self) -> None:
        """The event loop is gone, or it is the parent process's: what waited in it will not come back."""
        self._sending = set()
        self._guard = None
        self._names = Names()  # or a child process would give the same ones as its parent
        if self._max_connections is not None:
            self._places = asyncio.Semaphore(self._max_connections)
        self._auth.move()

    def over(self, trip: Trip) -> InferenceError:
        """The error of a wait of a trip that ended in a `TimeoutError`."""
        return trip.failed(_closed()) if self.closed else trip.over()

    async def send(self, trip: Trip) -> Exchange:
        """Send a call, again if need be; return when the head of a success is there.

        The caller has entered the trip, which watches over it. Cancelling this cuts the connection.

        Raises:
            APIStatusError: the service refused.
            APIConnectionError: no answer came.
            CredentialError: the credential gave no token.
        """
        self._sending.add(trip)
        trip.watch(trip.clock.until)
        try:
            exchange = await self._sent(trip)
            if self.closed:
                exchange.close()
                raise _closed()
            return exchange
        except InferenceError as error:
            if self.closed:
                raise trip.failed(_closed()) from None
            trip.failed(error)
            raise
        finally:
            self._sending.discard(trip)

    async def _sent(self, trip: Trip) -> Exchange:
        renewed = False
        while True:
            try:
                exchange = await self._attempt(trip)
            except (APIStatusError, APIConnectionError) as error:
                if self.closed:
                    raise
                trip.enters("total")
                if not renewed and await self._renewed(trip, error):
                    renewed = True
                    continue
                delay = trip.delay(error)
                if delay is None:
                    raise
            else:
                trip.retrying.succeeded()
                return exchange
            await asyncio.sleep(delay)

    async def _attempt(self, trip: Trip) -> Exchange:
        """Send once; return if it is a success."""
        place = _ANYWHERE if self._places is None else await self._place(trip, self._places)
        try:
            return await self._asked(trip, place)
        except BaseException:
            place.leave()
            raise

    async def _asked(self, trip: Trip, place: Place) -> Exchange:
        call = trip.call
        sent, secrets = await self._authorised(trip)
        if self.closed:
            raise _closed()
        trip.sets_out()
        reply = await self._transport.send(sent, connect_timeout=trip.terms.timeouts.connect)
        if reply.status == 200 or (call.any_success and 200 <= reply.status < 300):
            elapsed = trip.loop.time() - trip.clock.started
            headers = _masked(reply.headers, secrets)  # errors hold them too, under `.partial`
            meta = meta_from(reply.status, headers, trip.client_request_id, elapsed)
            meta.attempts = trip.retrying.attempts
            return Exchange(reply, meta, call.url, secrets, limits=trip.terms.limits, place=place)
        trip.enters("total")
        raise await self._refusal(trip, reply, secrets)

    async def _refusal(self, trip: Trip, reply: Reply, secrets: tuple[str, ...]) -> APIStatusError:
        """The error that an answer is. Its body may repeat the credential: this frame is none of the traceback's."""
        left = None if trip.clock.until is None else trip.clock.until - trip.loop.time()
        # Half of what is left, so that the limit on the call does not strike first, and take the status away.
        seconds = _ERROR_BODY_SECONDS if left is None else min(_ERROR_BODY_SECONDS, left / 2)
        try:
            body = await _error_body(reply, trip.terms.limits.max_error_body_bytes, seconds)
        finally:
            reply.close()
        return error_from(
            status=reply.status,
            headers=reply.headers,
            body=body,
            url=trip.call.url,
            secrets=secrets,
            model=trip.call.model,
        )

    async def aclose(self) -> None:
        """Close for good; calls under way end in a `ClientClosedError`.

        Raises:
            WrongEventLoopError: the connections belong to another loop, and can only be closed there.
        """
        if self._loop is not None:
            self.check_loop()
        self.closed = True
        for trip in self._sending:
            trip.end()
        # In a task of its own: a scope of anyio's that has expired would cancel each step of it.
        closing = asyncio.create_task(self._close_all())
        await until_done(closing)
        closing.result()

    async def _close_all(self) -> None:
        try:
            await self._transport.aclose()
        finally:
            if self._guard is not None:
                self._guard.stop()
            await self._auth.aclose()

    async def _place(self, trip: Trip, places: asyncio.Semaphore) -> Place:
        if places.locked():
            trip.enters("pool")
        await places.acquire()
        trip.enters("total")
        return Place(places)

    async def _authorised(self, trip: Trip) -> tuple[Call, tuple[str, ...]]:
        call = trip.call
        headers = {"user-agent": _USER_AGENT, CLIENT_REQUEST_ID: trip.client_request_id, **call.headers}
        if trip.retrying.attempts:
            headers[_RETRY_COUNT] = str(trip.retrying.attempts)
        secrets = _secrets_among(call.headers)
        if not secrets:
            header = await self._auth.header()
            if header is not None:
                headers[header[0]] = trip.credential = header[1]
                secrets = (_secret_in(header[1]),)
        if "?" in call.url:
            secrets += secrets_in(call.url)
        sent = Call(call.method, call.url, headers, call.body, call.model, call.any_success)
        return sent, secrets

    async def _renewed(self, trip: Trip, error: InferenceError) -> bool:
        """Whether the service refused the credential, and there is another one now."""
        if not isinstance(error, APIStatusError) or _secrets_among(trip.call.headers):
            return False
        if error.status == 403 and "expired" not in error.detail.lower():
            return False
        if error.status not in (401, 403):
            return False
        return await self._auth.answer(error.headers.get("www-authenticate"), trip.credential)


def _secrets_among(headers: dict[str, str]) -> tuple[Secret, ...]:
    found: tuple[Secret, ...] = ()
    for value in headers.values():
        if isinstance(value, Secret):
            found += (_secret_in(value),)
    return found


def _secret_in(value: Secret) -> Secret:
    """The key or the token, without the word before it."""
    return Secret(value.rpartition(" ")[2])


def _masked(headers: Mapping[str, str], secrets: tuple[str, ...]) -> Mapping[str, str]:
    if not secrets:
        return headers
    joined = "\n".join(headers.values())
    if redact(joined, secrets) == joined:
        return headers
    return {name: redact(value, secrets) for name, value in headers.items()}


async def _read_into(pieces: list[bytes], reply: Reply, limit: int) -> bool:
    """Read the body up to a limit; whether that was all of it. What is read is there also if the reading fails."""
    left = limit
    while piece := await reply.read():
        pieces.append(piece[:left])
        left -= len(piece)
        if left < 0:
            return False
    return True


async def _error_body(reply: Reply, limit: int, seconds: float) -> bytes:
    """What came of the body of a refusal, however that ended: its status is not to be lost over it."""
    pieces: list[bytes] = []
    try:
        async with asyncio.timeout(seconds):
            await _read_into(pieces, reply, limit)
    except (APIConnectionError, InvalidResponseError, TimeoutError):
        pass
    return b"".join(pieces)


def _closed() -> ClientClosedError:
    return ClientClosedError("the client was closed while this call was under way")
