"""The seam: what the package asks of HTTP, as two contracts of a few methods.

`net/aiohttp.py` fulfils them with real sockets. A test, or a user with another HTTP stack, may fulfil them with
anything: a list of byte pieces is a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from ..errors import InferenceError
from ..wire.request import Call

__all__ = ["FINISH_SECONDS", "Reply", "Transport"]

FINISH_SECONDS: Final = 0.1
"""The most that `Reply.finish` may take."""


class Reply(Protocol):
    """An answer whose head has arrived."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, names in lower case; of repeated ones, the values joined by a comma."""
        ...

    async def read(self) -> bytes:
        """The next bytes, as soon as there are any; empty at the end of the body.

        Raises:
            APIConnectionError: the body was cut (`kind` is ``cut``), or is broken (``protocol``).
            ClientClosedError: the reply was closed meanwhile.
        """
        ...

    async def finish(self) -> None:
        """The answer is known to be over: let go of the connection so that it can be used again, within bounds."""
        ...

    def close(self, error: InferenceError | None = None) -> None:
        """Cut the connection now; a pending `read` raises the error. May be called by anyone, any number of times."""
        ...


class Transport(Protocol):
    """Something that sends a call and returns the reply."""

    async def send(self, call: Call, *, connect_timeout: float | None) -> Reply:
        """Send, and return when the head of the answer is there. Redirects are answers; they are not followed.

        Raises:
            APIConnectionError: no answer came; its `kind`, `phase` and `stale` say how far it was.
            ConnectTimeoutError: the connection took longer than `connect_timeout` seconds.
            InvalidResponseError: a success came in a form that was not asked for, and cannot be read.
        """
        ...

    async def aclose(self) -> None:
        """Close all replies, then all connections that belong to this transport."""
        ...
