"""Bodies as a stream of events reads them: all that has come, at once, and nothing noted of how it was parted.

aiohttp's reader notes where each HTTP chunk ends, and hands its pieces out one by one. A service sends each event as a
chunk of its own, so that is most of what reading an event costs; and nobody here asks for it.

`Body` is that reader, filled and read in another way. It stands on private names of aiohttp's: where a release has
other ones, `adopt` leaves the reader as it is, and all that is lost is speed.
"""

from __future__ import annotations

from typing import Any, Final

import aiohttp
from aiohttp.base_protocol import BaseProtocol

__all__ = ["Body", "adopt"]

_MANY: Final = 16 * 1024
"""Pieces that may wait to be read: each takes more memory than the bytes in it, if these are few."""

_NEEDED: Final = {
    "_buffer", "_cursor", "_eof", "_exception", "_high_water", "_loop", "_protocol", "_size", "_waiter", "total_bytes",
}  # fmt: skip


class Body(aiohttp.StreamReader):
    """A body."""

    __slots__ = ()

    async def take(self) -> bytes:
        """All that has come; if there is nothing, what comes next; empty at the end.

        Raises:
            Exception: what ended the body, as the reader was told of it.
        """
        if self._exception is not None:
            raise self._exception
        buffer = self._buffer
        while not buffer:
            if self._eof:
                return b""
            if self._waiter is not None or self._protocol.transport is None:
                await self._wait("take")  # which says what is wrong
            waiter = self._waiter = self._loop.create_future()
            try:
                await waiter
            finally:
                self._waiter = None
        data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        self._cursor += self._size
        self._size = 0
        if self._protocol._reading_paused:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  (asking costs less)
            self._protocol.resume_reading()  # upon which more may come before this returns
        return data

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        """Some more has come."""
        if data:
            length = len(data)
            self._buffer.append(data)
            self._size += length
            self.total_bytes += length
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
            if self._size > self._high_water or len(self._buffer) > _MANY:
                self._protocol.pause_reading()
        return False

    # A chunk of HTTP begins, or ends: nothing is done, and that in C, for an event of a service is such a chunk.
    begin_http_chunk_receiving: Any = staticmethod(bool)
    end_http_chunk_receiving: Any = staticmethod(bool)


_FITS: Final = set(aiohttp.StreamReader.__slots__) >= _NEEDED and "_reading_paused" in BaseProtocol.__slots__


def adopt(reader: aiohttp.StreamReader) -> None:
    """Make a reader a `Body`, if that can be done."""
    if _FITS and type(reader) is aiohttp.StreamReader:
        reader.__class__ = Body
