"""The transport over aiohttp: the only importer of its client, and the only place that sees its exceptions.

Defaults of aiohttp that are not ours: it follows redirects and takes the `api-key` header along; it cuts every answer
after 300 seconds; its pool makes the 101st stream wait in silence; it keeps cookies; and a reader whose connection is
closed under it by the session waits for ever, so every reply is told before its connection is cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import Generator, Mapping
from typing import Final
from urllib.parse import urlsplit
from weakref import WeakSet

import aiohttp
from yarl import URL

from ..errors import APIConnectionError, APITimeoutError, ClientClosedError, InferenceError
from ..wire.request import Call

__all__ = ["AiohttpReply", "AiohttpTransport"]

_DRAIN_SECONDS: Final = 0.1
_DRAIN_BYTES: Final = 64 * 1024


class AiohttpReply:
    """A reply of `AiohttpTransport`."""

    __slots__ = ("__weakref__", "_content", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._content = response.content
        self.status: int = response.status
        headers: dict[str, str] = {}
        for name, value in response.headers.items():
            name = name.lower()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self.headers: Mapping[str, str] = headers

    async def read(self) -> bytes:
        """See `Reply.read`."""
        try:
            return await self._content.readany()
        except InferenceError:
            raise  # which `close` has put there
        except (aiohttp.ClientError, OSError) as error:
            raise APIConnectionError("the connection was cut before the answer was whole") from error
        except RuntimeError as error:  # aiohttp's word for a reader whose connection was closed under it
            raise APIConnectionError("the connection was closed before the answer was whole") from error

    async def finish(self) -> None:
        """See `Reply.finish`: at most 100 ms and 64 KiB are spent on what a server says after the end."""
        drained = 0
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while drained <= _DRAIN_BYTES:
                    piece = await self._content.readany()
                    if not piece:
                        return  # aiohttp has given the connection back to its pool
                    drained += len(piece)
        except (aiohttp.ClientError, OSError, TimeoutError, InferenceError):
            pass
        finally:
            self.close()

    def close(self, error: InferenceError | None = None) -> None:
        """See `Reply.close`."""
        if self._response.closed:
            return
        if not self._content.is_eof():
            self._content.set_exception(error or ClientClosedError("the reply was closed while it was being read"))
        self._response.close()


class AiohttpTransport:
    """Sends over one pooled session, its own or a caller's.

    A session of its own is opened by the first call, in the loop that runs then. A caller's session is used as it is,
    with its connector, proxies and trace hooks, and is never closed here.
    """

    def __init__(self, session: aiohttp.ClientSession | None = None) -> None:
        self._session = session
        self._owned = session is None
        self._closed = False
        self._replies: WeakSet[AiohttpReply] = WeakSet()

    async def send(self, call: Call, *, connect_timeout: float | None) -> AiohttpReply:
        """See `Transport.send`."""
        if self._closed:
            raise ClientClosedError("the client is closed")
        session = self._session
        if session is None:
            session = self._session = self._open()
        elif session.closed:
            raise ClientClosedError("the aiohttp session that was given to this client is closed")
        with _own_errors(call, connect_timeout):
            response = await session.request(
                call.method,
                URL(call.url, encoded=True),  # as it is: deployment names hold dots and escaped slashes
                data=call.body,
                headers=call.headers,
                allow_redirects=False,
                raise_for_status=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout, sock_read=None),
            )
        reply = AiohttpReply(response)
        self._replies.add(reply)
        return reply

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        self._closed = True
        for reply in list(self._replies):
            reply.close(ClientClosedError("the client was closed while this answer was being read"))
        session, self._session = self._session, None
        if session is not None and self._owned:
            await session.close()

    @staticmethod
    def _open() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
        )


@contextlib.contextmanager
def _own_errors(call: Call, connect_timeout: float | None) -> Generator[None, None, None]:
    started = time.monotonic()
    where = urlsplit(call.url).netloc
    try:
        yield
    except aiohttp.ServerTimeoutError as error:
        raise APITimeoutError(
            f"no connection to {where} within {connect_timeout:g} s (timeout 'connect')",
            phase="connect",
            elapsed=time.monotonic() - started,
        ) from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise APIConnectionError(f"the certificate of {where} is not trusted: {_reason(error)}") from error
    except aiohttp.ClientConnectorError as error:
        raise APIConnectionError(
            f"no connection to {where}: {_reason(error)}; check the address, and that the server is running"
        ) from error
    except aiohttp.ClientResponseError as error:
        said = " ".join(error.message.split())[:200]
        raise APIConnectionError(f"got an answer from {where} that is not HTTP: {said}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise APIConnectionError(f"no answer from {where}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, ssl.SSLError) and "WRONG_VERSION_NUMBER" in str(cause):
        return "it does not speak TLS: is it http:// rather than https://?"
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError | socket.gaierror) and cause.errno:
        return os.strerror(cause.errno).lower()
    return " ".join(str(cause).split()) or type(cause).__name__
