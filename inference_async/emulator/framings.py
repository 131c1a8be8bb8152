"""How a body is laid on the wire, rightly and wrongly: HTTP's framings, and the codings under them.

A body is a row of pieces, some of which may be None: a pause. It may have no end, so whatever works on one takes it
piece by piece, but for the framings that say a length.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

import msgspec

__all__ = [
    "BODILESS",
    "CHUNKED",
    "LENGTH",
    "UNFRAMED",
    "UNTIL_CLOSE",
    "Coding",
    "Framed",
    "Framing",
    "Piece",
    "Pieces",
    "chunks",
    "deflate",
    "gzip",
    "labelled",
    "raw_deflate",
    "spoilt_chunks",
    "told",
    "twice",
]

Piece: TypeAlias = bytes | None
"""Bytes to be sent in one write, or None: a pause."""

Pieces: TypeAlias = Iterable[Piece]


class Framed(NamedTuple):
    """A body as it is framed.

    Attributes:
        lines: the lines of the head that tell the framing.
        pieces: the body, without what ends it.
        end: what ends it.
        closes: the connection has to be closed for the client to see the end.
    """

    lines: tuple[str, ...]
    pieces: Pieces
    end: bytes = b""
    closes: bool = False


class Framing(msgspec.Struct, frozen=True):
    """A way to frame a body.

    Attributes:
        frame: what does it.
        sized: it tells a length, so the body must have an end.
    """

    frame: Callable[[Pieces], Framed]
    sized: bool = False


_CHUNKED: Final = ("transfer-encoding: chunked",)
_LAST_CHUNK: Final = b"0\r\n\r\n"


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def chunks(
    make: Callable[[bytes], bytes] = _chunk, *, end: bytes = _LAST_CHUNK, lines: tuple[str, ...] = _CHUNKED
) -> Framing:
    """Each piece is a chunk, made by `make`, and the head has these lines about it."""
    return Framing(lambda pieces: Framed(lines, (make(piece) if piece else piece for piece in pieces), end))


def spoilt_chunks(size: bytes) -> Framing:
    """Chunks, but the third says this of its size."""

    def framed(pieces: Pieces) -> Iterator[Piece]:
        number = 0
        for piece in pieces:
            number += piece is not None
            spoilt = piece is not None and number == 3
            yield size + b"\r\n" + piece + b"\r\n" if spoilt and piece else _chunk(piece) if piece else piece

    return Framing(lambda pieces: Framed(_CHUNKED, framed(pieces), _LAST_CHUNK))


def told(lines: Callable[[int], tuple[str, ...]], *, closes: bool = False) -> Framing:
    """The head has the lines that `lines` makes of the length."""

    def frame(pieces: Pieces) -> Framed:
        held = list(pieces)
        return Framed(lines(sum(len(piece) for piece in held if piece)), held, closes=closes)

    return Framing(frame, sized=True)


CHUNKED: Final = chunks()
LENGTH: Final = told(lambda size: (f"content-length: {size}",))
UNTIL_CLOSE: Final = Framing(lambda pieces: Framed(("connection: close",), pieces, closes=True))
UNFRAMED: Final = Framing(lambda pieces: Framed((), pieces, closes=True))
BODILESS: Final = Framing(lambda _pieces: Framed((), ()))
"""No body, and no line about one."""


class Coding(msgspec.Struct, frozen=True):
    """A content coding.

    Attributes:
        label: what the head calls it; None says nothing.
        encode: what is done to the body.
    """

    label: str | None
    encode: Callable[[Pieces], Pieces]


def _compressed(pieces: Pieces, wbits: int) -> Iterator[Piece]:
    machine = zlib.compressobj(9, zlib.DEFLATED, wbits)
    for piece in pieces:
        if piece is None:
            yield None
        elif squeezed := machine.compress(piece) + machine.flush(zlib.Z_SYNC_FLUSH):
            yield squeezed
    yield machine.flush()


def gzip(pieces: Pieces) -> Pieces:
    """Compressed with gzip, each piece flushed so that it can be read as it comes."""
    return _compressed(pieces, 31)


def deflate(pieces: Pieces) -> Pieces:
    """Compressed with deflate, in zlib's wrapping."""
    return _compressed(pieces, 15)


def raw_deflate(pieces: Pieces) -> Pieces:
    """Compressed with deflate without a wrapping, as some servers have it."""
    return _compressed(pieces, -15)


def twice(pieces: Pieces) -> Pieces:
    """Compressed with gzip, and then once more."""
    return gzip(gzip(pieces))


def labelled(label: str | None) -> Coding:
    """A label, and a body that is as it was."""
    return Coding(label, lambda pieces: pieces)
