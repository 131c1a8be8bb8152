"""Compressed bodies, inflated in steps of a bounded size, so that a bomb goes off no faster than its reader reads.

No I/O: bytes go in as they arrive, and what they hold comes out at once, as a stream of events needs it.
"""

from __future__ import annotations

import zlib
from typing import Final

__all__ = ["ACCEPTED", "CorruptBodyError", "Inflater", "coding_of"]

ACCEPTED: Final = "gzip, deflate"
"""What a request says it can read."""

_STEP: Final = 64 * 1024
_EMPTY_MEMBERS: Final = 100
_GZIP: Final = 16 + zlib.MAX_WBITS


class CorruptBodyError(Exception):
    """The bytes are not what the coding says, or go on after its end."""


def coding_of(header: str) -> str:
    """What a ``Content-Encoding`` says: ``gzip``, ``deflate``, "" for none, or its own words for what is not known."""
    codings = [name for name in (part.strip().lower() for part in header.split(",")) if name not in ("", "identity")]
    if codings == ["x-gzip"]:
        return "gzip"
    return ", ".join(codings)


class Inflater:
    """Inflates one body.

    Args:
        coding: ``gzip``, of one member or several, or ``deflate``, which servers send with and without its wrapper;
            of any other, all bytes are corrupt.
    """

    def __init__(self, coding: str) -> None:
        self._is_gzip = coding == "gzip"
        self._stream = zlib.decompressobj(_GZIP)
        self._begun = self._is_gzip  # whether the stream is the right one; of deflate, two bytes tell
        self._fault = "" if coding in ("gzip", "deflate") else f"it is encoded as {coding[:40]!r}"
        self._input = b""
        self._more = False  # whether another step may bring something without another byte
        self._inside = False  # whether a member has begun and not ended
        self._silent = False  # whether it has said nothing yet
        self._empty = 0  # how many members in a row said nothing at all

    @property
    def is_whole(self) -> bool:
        """Whether the body may end here."""
        return not self._inside and not self._input

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        self._input = self._input + data if self._input else data
        self._more = True

    def step(self) -> bytes:
        """The next piece, of at most 64 KiB; empty if there is none without more input.

        Raises:
            CorruptBodyError: these bytes are not of this coding.
        """
        while self._more:
            if self._fault:
                raise CorruptBodyError(self._fault)
            if not self._inside and not self._begin():
                break
            stream = self._stream
            try:
                piece = stream.decompress(self._input, _STEP)
            except zlib.error as error:
                self._fault = str(error)
                continue
            self._silent = self._silent and not piece
            if stream.eof:
                self._end(stream.unused_data)
            else:
                self._input = stream.unconsumed_tail
                self._more = bool(self._input) or len(piece) == _STEP
            if piece:
                return piece
        return b""

    def _begin(self) -> bool:
        """Begin a member, if enough of it is there."""
        if self._is_gzip:
            self._input = self._input.lstrip(b"\0")  # with which some writers pad
        if len(self._input) < (1 if self._begun else 2):
            self._more = False
            return False
        if not self._begun:
            # Wrapped or not (RFC 1950): no compressor begins a bare stream with what would be a wrapper's header.
            wrapped = self._input[0] & 0x0F == zlib.DEFLATED and int.from_bytes(self._input[:2], "big") % 31 == 0
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
            self._begun = True
        self._inside = self._silent = True
        return True

    def _end(self, rest: bytes) -> None:
        """The member is over, and `rest` follows it."""
        self._empty = self._empty + 1 if self._silent else 0
        if rest and not self._is_gzip:
            self._fault = "it goes on after its end"
        elif self._empty > _EMPTY_MEMBERS:
            self._fault = "it is made of members that hold nothing"
        elif self._is_gzip:
            self._stream = zlib.decompressobj(_GZIP)
        self._input, self._more, self._inside = rest, bool(rest), False
