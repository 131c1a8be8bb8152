"""A server behind the emulator: any that speaks chat completions, such as a model on this machine.

The emulator checks what comes in as it always does, and the upstream gets what is left: the checked body, its own key,
and nothing of the caller's head. What it answers goes back event by event, as it comes. A caller must be able to tell
three things apart: an upstream that refuses, whose status and words are passed on in the dialect's shape; one that
cannot be asked, or answers with what is no answer, which is a 502 or 504; and a stream that breaks off, which must not
look like one that ended.

It may not know the client, and asks by aiohttp itself.
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import aiohttp

from ..errors import ConfigurationError, EventTooLargeError
from ..types.base import is_array, is_object
from ..wire.endpoints import Dialect, Endpoint
from ..wire.request import Secret
from ..wire.response import describe_error, redact
from ..wire.sse import EventDecoder, ServerSentEvent, encode_event
from .refusals import Refusal, like_models, passed_on
from .ways import Operation

__all__ = ["BrokenOffError", "Relayed", "Upstream", "usage_in"]

_CONNECT: Final = 10.0  # seconds
_MAX_BODY: Final = 64 * 1024 * 1024
_MAX_ERROR: Final = 64 * 1024
_MAX_EVENT: Final = 16 * 1024 * 1024
_KEPT: Final = ("retry-after", "retry-after-ms", "x-ms-retry-after-ms", "x-should-retry")


class BrokenOffError(Exception):
    """The upstream broke its answer off, or it was none; the message says which."""


class Relayed:
    """An answer of the upstream, whole or a stream, as far as it has come.

    Attributes:
        headers: what it says of its limits.
        is_stream: whether `read` gives its events; else `whole` gives its body.
        failed: makes of a complaint what the caller is told.

    Args:
        places_usage: usage that comes behind the last choice goes where `/models` has it.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        *,
        key: str | None,
        failed: Callable[[str], Refusal],
        places_usage: bool,
    ) -> None:
        self.failed = failed
        self.is_stream = response.content_type == "text/event-stream"
        self._response = response
        self._secrets = (key,) if key else ()
        self.headers = _limits_of(response, self._secrets)
        self._decoder = EventDecoder(max_event_bytes=_MAX_EVENT)
        self._last_id = ""
        self._placing = _Placing() if places_usage else None
        self._ended = False
        self._broken = ""

    async def whole(self) -> tuple[bytes, Any]:
        """The body as it came, and the ``usage`` in it. Cancelling it ends the request.

        Raises:
            BrokenOffError: it is not whole, or too large, or no answer.
        """
        body = await _body(self._response, _MAX_BODY)
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if not is_object(answer):
            raise BrokenOffError(f"answered with {self._response.content_type}, and no JSON object in it")
        return body, answer.get("usage")

    async def read(self) -> list[tuple[bytes, bytes]]:
        """The next events, each as its data and as it is sent; empty at the end. Cancelling it loses nothing.

        The data goes back as it came, with the event's name and id; a comment, which is no event, is not passed on.
        What stands behind the last blank line is handed out as unfinished as it is.

        Raises:
            BrokenOffError: there is no more, and that was not the end.
        """
        while not self._ended:
            if self._broken:
                raise BrokenOffError(self._broken)
            events, self._ended = await self._arrived()
            if self._placing is not None:
                events = self._placing.place(events, last=self._ended or self._broken != "")
            encoded = [self._encoded(event) for event in events]
            if self._ended and (left := self._decoder.close()) is not None:
                data, sent = self._encoded(left)
                encoded.append((data, sent.removesuffix(b"\n\n")))
            if encoded:
                return encoded
        return []

    async def _arrived(self) -> tuple[list[ServerSentEvent], bool]:
        """What the next bytes complete, if anything, and whether that is the end; notes what is none."""
        try:
            data = await self._response.content.readany()
            return (self._decoder.feed(data), False) if data else ([], True)
        except (aiohttp.ClientError, OSError) as error:
            self._broken = f"broke off ({type(error).__name__})"
            return [], False
        except EventTooLargeError:
            self._broken = "sent an event that is too large"
            return self._decoder.whole, False

    def _encoded(self, event: ServerSentEvent) -> tuple[bytes, bytes]:
        data = event.data
        if b'"error"' in data:  # which may say what it was asked with
            data = redact(data.decode("utf-8", "surrogateescape"), self._secrets).encode("utf-8", "surrogateescape")
        name = event.event if event.event != "message" else None
        number = event.id if event.id != self._last_id else None
        self._last_id = event.id
        return data, encode_event(data, event=name, id=number)


class _Placing:
    """Puts usage where `/models` has it: with the last finish reason, and not in a chunk behind it, without choices."""

    def __init__(self) -> None:
        self._held: tuple[ServerSentEvent, dict[str, Any]] | None = None

    def place(self, events: list[ServerSentEvent], *, last: bool) -> list[ServerSentEvent]:
        """What may be sent now: all but a chunk with a finish reason, which waits for the event behind it."""
        placed: list[ServerSentEvent] = []
        for event in events:
            chunk = _object_in(event.data)
            if self._held is not None:
                held, ending = self._held
                self._held = None
                if chunk.get("choices") == [] and is_object(usage := chunk.get("usage")):
                    data = json.dumps({**ending, "usage": usage}, ensure_ascii=False, separators=(",", ":"))
                    placed.append(ServerSentEvent(data.encode("utf-8", "replace"), held.event, held.id))
                    continue
                placed.append(held)
            if _ends_a_choice(chunk):
                self._held = event, chunk
            else:
                placed.append(event)
        if last and self._held is not None:
            placed.append(self._held[0])
            self._held = None
        return placed


def _ends_a_choice(chunk: Mapping[str, Any]) -> bool:
    choices = chunk.get("choices")
    return is_array(choices) and any(is_object(choice) and choice.get("finish_reason") for choice in choices)


class Upstream:
    """Where answers come from, in place of a script.

    Args:
        url: the base of its API, in any dialect, as a client has it.
        key: goes in the header where the dialect has it; None sends none.

    Raises:
        ConfigurationError: the URL is none, or the key would go over the network in the clear.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        self.endpoint = Endpoint.parse(url)
        if key is not None and not self.endpoint.is_secure:
            raise ConfigurationError(
                f"got a key for {self.endpoint.base}, which would travel in the clear; expected https, or this machine"
            )
        self._key = None if key is None else Secret(key)
        self._session: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        """End what is asked."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def ask(
        self, dialect: Dialect, operation: Operation, body: Mapping[str, Any]
    ) -> AsyncGenerator[Relayed, None]:
        """Ask, and have the answer as long as the context lasts; leaving it early ends the request at the upstream.

        Args:
            dialect: that of the caller.
            operation: what is asked for.
            body: what was checked.

        Raises:
            Refusal: the upstream refuses, or cannot be asked.
        """
        data = json.dumps(self._body(dialect, body), ensure_ascii=False).encode()
        try:
            response = await self._opened().post(
                self.endpoint.url(operation),
                data=io.BytesIO(data),  # of bytes that are many, aiohttp would warn
                headers=self._headers(),
                allow_redirects=False,  # the key is for this host
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            late = isinstance(error, TimeoutError)
            raise self._failed(dialect, f"gives no answer ({type(error).__name__})", 504 if late else 502) from None
        async with response:
            if response.status != 200:
                raise await self._refused(dialect, response)
            failed = partial(self._failed, dialect)
            yield Relayed(response, key=self._key, failed=failed, places_usage=like_models(dialect))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _body(self, dialect: Dialect, body: Mapping[str, Any]) -> dict[str, Any]:
        """A body in the upstream's words: where the caller's dialect reports usage unasked, it is asked for here."""
        sent = dict(body)
        if not self.endpoint.ask_for_usage:
            sent.pop("stream_options", None)
        elif sent.get("stream") and like_models(dialect):
            sent["stream_options"] = {"include_usage": True}
        return sent

    def _failed(self, dialect: Dialect, what: str, status: int = 502) -> Refusal:
        error = {"message": f"the upstream {self.endpoint.base} {what}"}
        return passed_on(dialect, status, error, note=f"the upstream {what}")

    def _headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if self.endpoint.extra_parameters:
            headers["extra-parameters"] = "pass-through"  # what may come in was decided before
        if self._key is not None:
            is_bearer = self.endpoint.key_header == "authorization"
            headers[self.endpoint.key_header] = Secret(f"Bearer {self._key}") if is_bearer else self._key
        return headers

    async def _refused(self, dialect: Dialect, response: aiohttp.ClientResponse) -> Refusal:
        status = response.status
        if status < 400:
            return self._failed(dialect, f"answered with {status}, and redirects are not followed")
        try:
            body = await _body(response, _MAX_ERROR)
        except BrokenOffError:
            body = b""
        secrets = (self._key,) if self._key else ()
        text = redact(body.decode("utf-8", "replace"), secrets)
        found = describe_error(text.encode())
        said = found.message or f"the upstream answered {status} without a reason"
        if status in (401, 403):
            said = f"the upstream refuses the emulator's own credential: {said}"
        fields = {"code": found.code, "type": found.type, "param": found.param}
        error = {**_error_in(text), **{name: value for name, value in fields.items() if value}, "message": said}
        return passed_on(dialect, status, error, headers=_limits_of(response, secrets), note="the upstream refuses")


def usage_in(data: bytes) -> Any:
    """The ``usage`` of an event, whatever it is; None if there is none."""
    return _object_in(data).get("usage")


def _object_in(data: bytes | str) -> dict[str, Any]:
    """A JSON object; an empty one for what is none."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if is_object(found) else {}


def _limits_of(response: aiohttp.ClientResponse, secrets: tuple[str, ...]) -> dict[str, str]:
    """What an answer says of limits, and of when to come again; nothing else of its head is passed on."""
    lower = {name.lower(): redact(value, secrets) for name, value in response.headers.items()}
    return {name: value for name, value in lower.items() if name in _KEPT or name.startswith("x-ratelimit-")}


def _error_in(text: str) -> dict[str, Any]:
    """What an error says beside its message, where it is worded as OpenAI's and Azure's are: what was filtered, say."""
    error = _object_in(text).get("error")
    return error if is_object(error) else {}


async def _body(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    try:
        while data := await response.content.readany():
            body += data
            if len(body) > most:
                raise BrokenOffError("sent an answer that is too large")
    except (aiohttp.ClientError, OSError) as error:
        raise BrokenOffError(f"broke off ({type(error).__name__})") from None
    return bytes(body)
