"""Faults in how an answer is carried: connections, heads, framings, codings, silence, and what has no end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any, Final

from .behaviour import End, Fault, Place
from .bodies import BIG, Asked, Body, as_asked, endless, events, fixed, many_calls, many_choices, stream
from .framings import (
    CHUNKED,
    LENGTH,
    UNFRAMED,
    UNTIL_CLOSE,
    Coding,
    Framed,
    Framing,
    Piece,
    Pieces,
    chunks,
    deflate,
    gzip,
    labelled,
    raw_deflate,
    spoilt_chunks,
    told,
    twice,
)
from .golden import DONE, chunk, completion, documents, dumped, event

__all__ = ["CODINGS", "CONNECTIONS", "CUTS", "FRAMINGS", "HEADS", "REUSES", "SILENCES", "SIZES"]

_STRAY_BODY: Final = dumped(completion(id="chatcmpl-stray"))
_STRAY: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(_STRAY_BODY),
    _STRAY_BODY,
)
_INTERIM: Final = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n"

CONNECTIONS: Final = (
    Fault(
        "mute",
        "accepts the connection, then reads and sends nothing, not even TLS",
        "connection",
        reads="nothing",
        stop="start",
        then="silence",
    ),
    Fault("silence", "reads the request and sends nothing", "connection", stop="start", then="silence"),
    Fault(
        "close-at-once",
        "closes with FIN before reading the request",
        "connection",
        reads="nothing",
        stop="start",
        then="fin",
    ),
    Fault("close-unanswered", "reads the request and closes with FIN", "connection", stop="start", then="fin"),
    Fault(
        "reset-at-once",
        "closes with RST before reading the request",
        "connection",
        reads="nothing",
        stop="start",
        then="rst",
    ),
    Fault("reset-unanswered", "reads the request and closes with RST", "connection", stop="start", then="rst"),
)


def _status_line(line: bytes) -> Callable[[bytes], bytes]:
    return lambda head: line + head[head.index(b"\r\n") :]


def _line(line: bytes) -> Callable[[bytes], bytes]:
    return lambda head: head[:-2] + line + b"\r\n\r\n"


_HEADS: Final[tuple[tuple[str, str, Callable[[bytes], bytes]], ...]] = (
    ("interim-100", "100 Continue before the answer", lambda head: b"HTTP/1.1 100 Continue\r\n\r\n" + head),
    ("interim-103", "103 Early Hints before the answer", lambda head: _INTERIM + head),
    ("interim-many", "103 Early Hints, a hundred times, before the answer", lambda head: _INTERIM * 100 + head),
    ("switching", "101 Switching Protocols, unasked", _status_line(b"HTTP/1.1 101 Switching Protocols")),
    ("status-words", "a status that is not a number", _status_line(b"HTTP/1.1 OK 200")),
    ("status-short", "a status of two digits", _status_line(b"HTTP/1.1 20 OK")),
    ("status-long", "a status of four digits", _status_line(b"HTTP/1.1 2000 OK")),
    ("status-negative", "a negative status", _status_line(b"HTTP/1.1 -200 OK")),
    ("version-garbage", "an invalid version", _status_line(b"HTTP/one 200 OK")),
    ("version-9", "a version of HTTP that does not exist", _status_line(b"HTTP/9.9 200 OK")),
    ("no-reason", "a status line without a reason", _status_line(b"HTTP/1.1 200")),
    ("line-feeds", "a head whose lines end with LF alone", lambda head: head.replace(b"\r\n", b"\n")),
    ("carriage-returns", "a head whose lines end with CR alone", lambda head: head.replace(b"\r\n", b"\r")),
    ("header-without-colon", "a header without a colon", _line(b"x-frob")),
    ("header-without-name", "a header without a name", _line(b": frob")),
    ("header-space", "a space before the colon of a header", _line(b"x-frob : 1")),
    ("header-folded", "a header that continues on the next line", _line(b"x-frob: 1\r\n 2")),
    ("header-nul", "a NUL in a header", _line(b"x-frob: a\0b")),
    ("header-cr", "a CR in a header", _line(b"x-frob: a\rb")),
    ("header-bytes", "a header that is not UTF-8", _line(b"x-frob: \xff\xfe")),
    ("header-twice", "the same header twice", _line(b"x-request-id: request-other")),
    ("media-twice", "two content types", _line(b"content-type: text/html")),
    ("cookies", "cookies", _line(b"set-cookie: session=frob; path=/\r\nset-cookie: other=1")),
    ("header-large", "a header of 64 KiB", _line(b"x-frob: " + b"x" * BIG)),
    ("header-huge", "a header of 1 MiB", _line(b"x-frob: " + b"x" * 16 * BIG)),
    ("headers-many", "10,000 headers", _line(b"\r\n".join(b"x-frob-%d: 1" % number for number in range(10_000)))),
)
_BANNER: Final = b"SSH-2.0-OpenSSH_9.6\r\n"
_SETTINGS: Final = b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"

HEADS: Final = (
    *(Fault(name, summary, "head", head=head) for name, summary, head in _HEADS),
    Fault("http-1.0", "an answer in HTTP/1.0", "head", head=_status_line(b"HTTP/1.0 200 OK"), framing=UNFRAMED),
    Fault("http-0.9", "a body without a head", "head", head=lambda head: b"", framing=UNFRAMED),
    Fault("http-2", "frames of HTTP/2", "head", head=lambda head: _SETTINGS, body=fixed(b""), framing=UNFRAMED),
    Fault(
        "other-protocol",
        "the greeting of another protocol",
        "head",
        head=lambda head: _BANNER,
        body=fixed(b""),
        framing=UNFRAMED,
    ),
    Fault("no-blank-line", "no blank line between head and body", "head", head=lambda head: head[:-2]),
)

_FRAMINGS: Final[tuple[tuple[str, str, Framing], ...]] = (
    ("chunked", "chunked, for a whole answer, too", CHUNKED),
    ("length", "a content length, for a stream, too", LENGTH),
    ("until-close", "the body ends when the connection closes, as the head says", UNTIL_CLOSE),
    ("unframed", "the body ends when the connection closes, but the head does not say so", UNFRAMED),
    ("chunk-per-byte", "chunks of one byte", chunks(lambda piece: b"".join(b"1\r\n%c\r\n" % byte for byte in piece))),
    ("chunk-extension", "chunks with extensions", chunks(lambda piece: b"%X;a=b\r\n%b\r\n" % (len(piece), piece))),
    (
        "chunk-zeros",
        "chunk sizes with leading zeros",
        chunks(lambda piece: b"%012x\r\n%b\r\n" % (len(piece), piece)),
    ),
    ("trailers", "headers after the last chunk", chunks(end=b"0\r\nx-frob: 1\r\nx-status: 200\r\n\r\n")),
    ("chunk-size-garbage", "a chunk size that is not a number", spoilt_chunks(b"xyz")),
    ("chunk-size-negative", "a negative chunk size", spoilt_chunks(b"-5")),
    ("chunk-size-huge", "a chunk size of 2**72", spoilt_chunks(b"1" + b"0" * 18)),
    ("chunk-size-empty", "a missing chunk size", spoilt_chunks(b"")),
    ("chunk-size-wrong", "a chunk size that is too small", spoilt_chunks(b"5")),
    ("chunk-unended", "no line end after chunks", chunks(lambda piece: b"%x\r\n%b" % (len(piece), piece))),
    (
        "chunk-line-feeds",
        "chunk sizes whose lines end with LF alone",
        chunks(lambda piece: b"%x\n%b\n" % (len(piece), piece), end=b"0\n\n"),
    ),
    ("coding-unknown", "an unknown transfer coding", chunks(lines=("transfer-encoding: cuneiform",))),
    ("chunked-twice", "transfer-encoding: chunked, chunked", chunks(lines=("transfer-encoding: chunked, chunked",))),
    (
        "length-and-chunked",
        "chunked, with a content length as well",
        chunks(lines=("transfer-encoding: chunked", "content-length: 5")),
    ),
    (
        "length-over",
        "a content length that is ten bytes too large",
        told(lambda size: (f"content-length: {size + 10}",), closes=True),
    ),
    (
        "length-under",
        "a content length that is ten bytes too small",
        told(lambda size: (f"content-length: {size - 10}",)),
    ),
    (
        "length-twice",
        "two different content lengths",
        told(lambda size: (f"content-length: {size}", "content-length: 5")),
    ),
    ("length-same-twice", "the same content length twice", told(lambda size: (f"content-length: {size}",) * 2)),
    ("length-negative", "a negative content length", told(lambda size: (f"content-length: -{size}",))),
    ("length-plus", "a content length with a plus sign", told(lambda size: (f"content-length: +{size}",))),
    ("length-garbage", "a content length that is not a number", told(lambda size: ("content-length: many",))),
    (
        "length-huge",
        "a content length of 5,000 digits",
        told(lambda size: (f"content-length: {'9' * 5000}",), closes=True),
    ),
)

FRAMINGS: Final = tuple(Fault(name, summary, "framing", framing=framing) for name, summary, framing in _FRAMINGS)

_PLACES: Final[dict[Place, str]] = {
    "in-status": "in the status line",
    "in-head": "in the head",
    "after-head": "after the head",
    "in-event": "inside an event, after a whole HTTP chunk",
    "in-chunk": "inside an HTTP chunk",
    "between-events": "between two events",
    "before-end": "after the last event, but before the end of the body",
}
_CUTS: Final[tuple[tuple[str, str, End], ...]] = (
    ("cut", "closes with FIN", "fin"),
    ("reset", "closes with RST", "rst"),
)

CUTS: Final = tuple(
    Fault(f"{name}-{place}", f"{what} {where}", "cut", stop=place, then=then)
    for name, what, then in _CUTS
    for place, where in _PLACES.items()
)


def _paused(pieces: Pieces) -> Iterator[Piece]:
    for piece in pieces:
        yield piece
        yield None


_ROLE: Final = chunk(choices=[{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}])
_FOREVER: Final[tuple[tuple[str, str, bytes, bytes], ...]] = (
    ("pings-forever", "comments, but no event", b"", b": ping\n\n"),
    ("heartbeats-forever", "an empty `data:`, but no event", b"", b"data:\n\n"),
    ("blank-lines-forever", "blank lines, but no event", b"", b"\n"),
    ("empty-deltas-forever", "events without text", event(chunk("Grüße")), event(chunk(""))),
    ("no-choices-forever", "events without choices", event(chunk("Grüße")), event(chunk(choices=[]))),
    ("roles-forever", "events with a role and nothing else", b"", event(_ROLE)),
    ("drip-forever", "one event, byte by byte", event(chunk("Grüße")) + b'data: {"frob":"', b"x"),
)

SILENCES: Final = (
    *(
        Fault(f"stall-{place}", f"goes silent {where}", "silence", stop=place, then="silence")
        for place, where in _PLACES.items()
    ),
    Fault("slow", "a good answer, with pauses between its pieces", "silence", changes=(_paused,)),
    Fault("drip-head", "the head, byte by byte", "silence", drip="head"),
    Fault("drip-body", "the body, byte by byte", "silence", drip="body"),
    *(
        Fault(name, f"{summary}; endless", "silence", "stream", body=endless(again, None, first=first), endless=True)
        for name, summary, first, again in _FOREVER
    ),
    Fault(
        "spaces-forever",
        "spaces before the JSON, as servers send to keep a connection alive; endless",
        "silence",
        "whole",
        body=endless(b" ", None),
        endless=True,
    ),
    Fault(
        "interim-forever",
        "103 Early Hints, again and again; endless",
        "silence",
        head=lambda _head: b"",
        body=endless(_INTERIM, None),
        framing=UNFRAMED,
        endless=True,
    ),
    Fault(
        "pings",
        "a good answer, with comments between the events",
        "silence",
        "stream",
        changes=(lambda pieces: (piece and b": ping\n\n" + piece for piece in pieces),),
    ),
)


def _joined(pieces: Pieces) -> bytes:
    return b"".join(piece for piece in pieces if piece)


def _spoilt(pieces: Pieces) -> Iterator[Piece]:
    """Compressed; then, in the second piece, bytes that no coder writes."""
    for number, piece in enumerate(gzip(pieces)):
        yield b"\xff" * len(piece) if piece and number == 1 else piece


def _wrong_sum(pieces: Pieces) -> Pieces:
    whole = _joined(gzip(pieces))
    return (whole[:-8] + b"\0" * 8,)


def _by_part(pieces: Pieces) -> Iterator[Piece]:
    for piece in pieces:
        yield piece and _joined(gzip((piece,)))


_CODINGS: Final[tuple[tuple[str, str, Coding], ...]] = (
    ("gzip", "a good answer, in gzip", Coding("gzip", gzip)),
    ("x-gzip", "gzip under its old name", Coding("x-gzip", gzip)),
    ("deflate", "a good answer, in deflate", Coding("deflate", deflate)),
    ("raw-deflate", "deflate without the zlib header", Coding("deflate", raw_deflate)),
    ("identity", "the coding `identity`", labelled("identity")),
    ("gzip-members", "gzip, with each piece a member of its own", Coding("gzip", _by_part)),
    ("gzip-corrupt", "gzip that turns into garbage", Coding("gzip", _spoilt)),
    ("gzip-wrong-sum", "gzip whose checksum and size are wrong", Coding("gzip", _wrong_sum)),
    (
        "gzip-cut",
        "gzip without its second half, in a body that is whole",
        Coding("gzip", lambda pieces: _half(gzip(pieces))),
    ),
    (
        "gzip-no-trailer",
        "gzip without its last eight bytes",
        Coding("gzip", lambda pieces: (_joined(gzip(pieces))[:-8],)),
    ),
    ("gzip-trailing", "gzip, with garbage after it", Coding("gzip", lambda pieces: chain(gzip(pieces), (b"frob",)))),
    ("gzip-label", "plain data labelled as gzip", labelled("gzip")),
    ("gzip-unlabelled", "gzip without a label", Coding(None, gzip)),
    ("gzip-twice", "gzip in gzip, labelled so", Coding("gzip, gzip", twice)),
    ("br", "brotli, which was not offered", Coding("br", lambda pieces: (b"\x1b\x0e\x00\x00\x24\xe2\xb4\x55\x0a",))),
    ("zstd", "zstandard, which was not offered", Coding("zstd", lambda pieces: (b"\x28\xb5\x2f\xfd\x04\x00\x01\x00",))),
    ("coding-garbage", "an unknown coding", labelled("frobnicate")),
)


def _half(pieces: Pieces) -> Pieces:
    whole = _joined(pieces)
    return (whole[: len(whole) // 2],)


CODINGS: Final = tuple(Fault(name, summary, "coding", coding=coding) for name, summary, coding in _CODINGS)

_MIB: Final = 1024 * 1024
_X: Final = b"x" * BIG


def _long_text(size: int) -> Body:
    """The golden answer, but its text is so many spaces long."""

    def body(asked: Asked) -> Iterator[Piece]:
        whole = event(chunk("HERE", "stop")) + DONE if asked.stream else dumped(completion()).replace(b"Gr", b"HERE")
        before, _, after = whole.partition(b"HERE")
        return chain((before,), repeat(b" " * _MIB, size // _MIB), (after,))

    return body


def _bomb(body: Body) -> dict[str, Any]:
    return {"body": body, "coding": Coding("gzip", gzip), "framing": CHUNKED}


_ENDLESS_TEXT: Final = as_asked(
    endless(_X, first=b'data: {"choices":[{"index":0,"delta":{"content":"'),
    endless(_X, first=b'{"choices":[{"index":0,"message":{"content":"'),
)
_EVENTS: Final = event(chunk("Grüße")) * 500

SIZES: Final = (
    Fault("endless-text", "an endless text, in one event or body", "size", body=_ENDLESS_TEXT, endless=True),
    Fault("endless-line", "an endless line", "size", "stream", body=endless(_X), endless=True),
    Fault("endless-comment", "an endless comment", "size", "stream", body=endless(_X, first=b": "), endless=True),
    Fault(
        "endless-data",
        "endless lines of data, in one event",
        "size",
        "stream",
        body=endless(b"data: 1\n" * 8000),
        endless=True,
    ),
    Fault(
        "endless-pings",
        "endless comments, as fast as possible",
        "size",
        "stream",
        body=endless(b": ping\n\n" * 8000),
        endless=True,
    ),
    Fault("endless-events", "endless good events", "size", "stream", body=endless(_EVENTS), endless=True),
    Fault(
        "endless-spaces",
        "endless spaces, as fast as possible",
        "size",
        "whole",
        body=endless(b" " * BIG),
        endless=True,
    ),
    Fault(
        "endless-error",
        "500, with an endless message",
        "size",
        status=500,
        body=endless(_X, first=b'{"error":{"message":"'),
        endless=True,
    ),
    Fault(
        "endless-header",
        "an endless header",
        "size",
        head=lambda head: head[:-2] + b"x-frob: ",
        body=endless(_X),
        framing=UNFRAMED,
        endless=True,
    ),
    Fault(
        "endless-headers",
        "endless headers",
        "size",
        head=lambda head: head[:-2],
        body=endless(b"x-frob: 1\r\n" * 5000),
        framing=UNFRAMED,
        endless=True,
    ),
    Fault(
        "endless-interim",
        "endless 103 Early Hints, as fast as possible",
        "size",
        head=lambda _head: b"",
        body=endless(_INTERIM * 1000),
        framing=UNFRAMED,
        endless=True,
    ),
    Fault(
        "endless-extension",
        "an endless chunk extension",
        "size",
        framing=Framing(lambda _pieces: Framed(("transfer-encoding: chunked",), chain((b"5;a=",), repeat(_X)))),
        endless=True,
    ),
    Fault(
        "endless-trailers",
        "endless headers after the last chunk",
        "size",
        framing=chunks(end=b"0\r\n"),
        trail=endless(b"x-frob: 1\r\n" * 5000),
    ),
    Fault("large-text", "a good answer with a text of 32 MiB", "size", body=_long_text(32 * _MIB), framing=CHUNKED),
    Fault("many-choices", "100,000 choices", "size", body=many_choices, framing=CHUNKED),
    Fault("many-calls", "100,000 tool calls", "size", body=many_calls, framing=CHUNKED),
    Fault(
        "bomb",
        "a good answer with a text of 256 MiB, compressed to 256 KiB",
        "size",
        **_bomb(_long_text(256 * _MIB)),
    ),
    Fault(
        "bomb-error",
        "500, with a message of 256 MiB, compressed to 256 KiB",
        "size",
        status=500,
        **_bomb(_long_text(256 * _MIB)),
    ),
    Fault("bomb-endless", "an endless text, in gzip", "size", **_bomb(_ENDLESS_TEXT), endless=True),
)


def _after_done(*again: Piece) -> Body:
    return lambda asked: chain(stream(asked), endless(*again)(asked))


REUSES: Final = (
    Fault("close-told", "closes after the answer, as its head says", "reuse", lines=("connection: close",), then="fin"),
    Fault("close-untold", "closes with FIN after the answer, although the head does not say so", "reuse", then="fin"),
    Fault("reset-untold", "closes with RST after the answer, although the head does not say so", "reuse", then="rst"),
    Fault(
        "close-on-reuse",
        "closes with FIN when the next request comes on the connection",
        "reuse",
        then="fin-on-request",
    ),
    Fault(
        "reset-on-reuse",
        "closes with RST when the next request comes on the connection",
        "reuse",
        then="rst-on-request",
    ),
    Fault("stray-answer", "a second answer after the first, unasked", "reuse", trail=fixed(_STRAY)),
    Fault("stray-answer-first", "an answer before anything was asked, and then the good one", "reuse", ahead=_STRAY),
    Fault("stray-bytes", "garbage after the answer", "reuse", trail=fixed(b"frob\r\n\r\n")),
    Fault("stray-bytes-endless", "endless garbage after the answer", "reuse", trail=endless(_X)),
    Fault("stray-newline", "an empty line after the answer", "reuse", trail=fixed(b"\r\n")),
    Fault(
        "bytes-after-done",
        "a few bytes after [DONE], in the same body",
        "reuse",
        "stream",
        body=events(*documents(), DONE, b": bye\n\n", done=False),
    ),
    Fault(
        "pings-after-done",
        "endless comments after [DONE], with pauses",
        "reuse",
        "stream",
        body=_after_done(b": ping\n\n", None),
        endless=True,
    ),
    Fault(
        "flood-after-done",
        "endless bytes after [DONE]",
        "reuse",
        "stream",
        body=_after_done(_X),
        endless=True,
    ),
)
