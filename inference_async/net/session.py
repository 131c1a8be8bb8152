"""The one send loop: check the state, authorise, send, and turn every refusal into its error.

One `Session` stands behind a client and all its copies: one transport, one credential, one event loop.
"""

from __future__ import annotations

import asyncio
import platform
import uuid
from typing import Any, Final

import msgspec

from .._version import __version__
from ..errors import (
    APIConnectionError,
    APITimeoutError,
    ClientClosedError,
    InferenceError,
    InvalidResponseError,
    WrongEventLoopError,
)
from ..policy.limits import Limits
from ..policy.timeouts import Deadlines, Timeouts
from ..types import ChatCompletion, EmbeddingsResult, ModelInfo, ResponseMeta
from ..wire.request import Call, Secret
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
from .together import until_done
from .transport import Reply, Transport

__all__ = ["Exchange", "Session"]

_USER_AGENT: Final = f"inference-async/{__version__} python/{platform.python_version()}"


class Exchange:
    """One call whose answer has begun.

    Attributes:
        reply: the answer.
        meta: what its head says.
        url: the address asked.
        secrets: what must not appear in an error.
    """

    __slots__ = ("meta", "reply", "secrets", "url")

    def __init__(self, reply: Reply, meta: ResponseMeta, url: str, secrets: tuple[str, ...]) -> None:
        self.reply = reply
        self.meta = meta
        self.url = url
        self.secrets = secrets

    async def body(self, limit: int) -> bytes:
        """The whole body, or the rest of it.

        Raises:
            InvalidResponseError: it is over `limit` bytes.
            APIConnectionError: it was cut.
        """
        try:
            body, cut = await _read_up_to(self.reply, limit)
        except BaseException as error:
            self.reply.close()
            if isinstance(error, InferenceError):
                error.request_id = error.request_id or self.meta.request_id
            raise
        if cut:
            raise InvalidResponseError(
                f"the answer is over {limit:,} bytes; raise max_body_bytes if it is meant to be",
                status=self.reply.status,
                request_id=self.meta.request_id,
            )
        return body

    def completion(self, body: bytes) -> ChatCompletion:
        """The completion in a whole body.

        Raises:
            APIStatusError: the body is an error all the same.
            InvalidResponseError: it is neither.
        """
        return completion_from(body=body, **self._told())

    def embeddings(self, body: bytes) -> EmbeddingsResult:
        """The vectors in a whole body; see `completion`."""
        return embeddings_from(body=body, **self._told())

    def model_info(self, body: bytes) -> ModelInfo:
        """The description of a model in a whole body; see `completion`."""
        return model_info_from(body=body, **self._told())

    def not_an_answer(self, what: str, body: bytes, *, expected: str = "chat completion") -> InvalidResponseError:
        """The error for a body that is no answer."""
        return not_an_answer(what, body=body, expected=expected, **self._told())

    def _told(self) -> dict[str, Any]:
        meta = self.meta
        return {"status": meta.status, "headers": meta.headers, "url": self.url, "secrets": self.secrets}


class Session:
    """What a client and its copies share."""

    def __init__(self, transport: Transport, auth: Authoriser) -> None:
        self._transport = transport
        self._auth = auth
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sending: set[asyncio.Timeout] = set()
        self.closed = False

    def begin(self, timeouts: Timeouts) -> Deadlines:
        """Check that the client can be used here and now; start the clock of a call.

        Raises:
            ClientClosedError: it was closed.
            WrongEventLoopError: it belongs to another loop, or no asyncio loop runs here.
        """
        self.check_open()
        return Deadlines(timeouts, now=self.check_loop().time())

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
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise WrongEventLoopError(
                "the client is bound to the event loop that made its first call, and this is another one; "
                "make one client per loop (each asyncio.run makes a new loop)"
            )
        return loop

    async def whole(self, call: Call, *, timeouts: Timeouts, limits: Limits) -> tuple[Exchange, bytes]:
        """Send the call; return when its answer is there as a whole.

        Raises:
            APITimeoutError: not within the total.
            InvalidResponseError: the body is over the bound.
            InferenceError: as `begin` and `send` do.
        """
        deadlines = self.begin(timeouts)
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout_at(deadlines.until):
                exchange = await self.send(call, deadlines=deadlines, timeouts=timeouts, limits=limits)
                body = await exchange.body(limits.max_body_bytes)
        except TimeoutError as error:
            if isinstance(error, APITimeoutError):
                raise
            if deadlines.until is None or now() < deadlines.until:  # of a transport that raises what is not ours
                raise APIConnectionError("the transport gave up waiting") from error
            raise deadlines.error(now=now()) from None
        exchange.meta.elapsed = now() - deadlines.started
        return exchange, body

    async def send(self, call: Call, *, deadlines: Deadlines, timeouts: Timeouts, limits: Limits) -> Exchange:
        """Send the call; return when the head of a success is there.

        The caller bounds the wait. Cancelling it closes the connection.

        Raises:
            APIStatusError: the service refused.
            APIConnectionError: no answer came.
            CredentialError: the credential gave no token.
        """
        client_request_id = call.headers.get(CLIENT_REQUEST_ID) or str(uuid.uuid4())
        try:
            # No limit of its own: a handle by which `aclose` ends the wait.
            async with asyncio.timeout(None) as scope:
                self._sending.add(scope)
                try:
                    exchange = await self._exchange(call, client_request_id, deadlines, timeouts, limits)
                finally:
                    self._sending.discard(scope)
            if self.closed:
                exchange.reply.close()
                raise _closed()
            return exchange
        except (InferenceError, TimeoutError) as error:
            if self.closed:
                raise _closed() from None
            if isinstance(error, InferenceError):
                error.request_id = error.request_id or client_request_id
            raise

    async def _exchange(
        self, call: Call, client_request_id: str, deadlines: Deadlines, timeouts: Timeouts, limits: Limits
    ) -> Exchange:
        challenged = False
        while True:
            sent, secrets = await self._authorised(call, client_request_id)
            if self.closed:
                raise _closed()
            reply = await self._transport.send(sent, connect_timeout=timeouts.connect)
            elapsed = asyncio.get_running_loop().time() - deadlines.started
            if reply.status == 200 or (call.any_success and 200 <= reply.status < 300):
                # Errors hold them too, under `.partial`.
                headers = {name: redact(value, secrets) for name, value in reply.headers.items()}
                meta = meta_from(reply.status, headers, client_request_id, elapsed)
                return Exchange(reply, meta, call.url, secrets)
            try:
                body, _ = await _read_up_to(reply, limits.max_error_body_bytes)
            finally:
                reply.close()
            if reply.status == 401 and not challenged and await self._answered(call, sent, reply):
                challenged = True
                continue
            raise error_from(
                status=reply.status,
                headers=reply.headers,
                body=body,
                url=call.url,
                secrets=secrets,
                model=call.model,
            )

    async def aclose(self) -> None:
        """Close for good; calls under way end in a `ClientClosedError`.

        Raises:
            WrongEventLoopError: the connections belong to another loop, and can only be closed there.
        """
        if self._loop is not None:
            self.check_loop()
        self.closed = True
        for scope in self._sending:
            if not scope.expired():
                scope.reschedule(0.0)
        # In a task of its own: a scope of anyio's that has expired would cancel each step of it.
        closing = asyncio.create_task(self._close_all())
        await until_done(closing)
        closing.result()

    async def _close_all(self) -> None:
        try:
            await self._transport.aclose()
        finally:
            await self._auth.aclose()

    async def _authorised(self, call: Call, client_request_id: str) -> tuple[Call, tuple[str, ...]]:
        headers = {"user-agent": _USER_AGENT, CLIENT_REQUEST_ID: client_request_id, **call.headers}
        if not _brings_credential(call):
            header = await self._auth.header()
            if header is not None:
                headers[header[0]] = header[1]
        secrets = tuple(Secret(value.rpartition(" ")[2]) for value in headers.values() if isinstance(value, Secret))
        return msgspec.structs.replace(call, headers=headers), secrets

    async def _answered(self, call: Call, sent: Call, reply: Reply) -> bool:
        """Whether a 401 was a challenge, and there is a new token that meets it."""
        challenge = reply.headers.get("www-authenticate")
        if challenge is None or _brings_credential(call):
            return False
        return await self._auth.answer(challenge, sent.headers.get("authorization", ""))


def _brings_credential(call: Call) -> bool:
    return any(isinstance(value, Secret) for value in call.headers.values())


async def _read_up_to(reply: Reply, limit: int) -> tuple[bytes, bool]:
    """The body, and whether it was cut at the limit; the connection is then closed, else free to be used again."""
    pieces: list[bytes] = []
    size = 0
    while piece := await reply.read():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            reply.close()
            return b"".join(pieces)[:limit], True
    return b"".join(pieces), False


def _closed() -> ClientClosedError:
    return ClientClosedError("the client was closed while this call was under way")
