"""A fault as a value, and the bytes that it makes of the golden answer.

An answer goes through stages: a body, changes to it, a content coding, a framing, a head, and its delivery. A fault
says of some stages what goes wrong there, and leaves the others as they should be, so two faults make one by taking
each stage from the one that speaks of it. Nothing here waits or knows a socket: `spoken` says what is to be sent, and
the server sends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from itertools import chain
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from ..errors import ConfigurationError
from .bodies import Asked, Body, Change, golden
from .framings import CHUNKED, LENGTH, Coding, Framed, Framing, Piece, Pieces

__all__ = ["FINE", "GROUPS", "End", "Fault", "Group", "Place", "Spoken", "spoken"]

Group: TypeAlias = Literal[
    "good",
    "connection",
    "head",
    "framing",
    "cut",
    "silence",
    "ending",
    "event",
    "content",
    "json",
    "coding",
    "size",
    "status",
    "retry",
    "redirect",
    "reuse",
]

GROUPS: Final[Mapping[str, str]] = {
    "good": "Nothing wrong",
    "connection": "Connections that give no answer",
    "head": "Heads of answers",
    "framing": "Framing",
    "cut": "Answers that are cut: with FIN or RST, at each place",
    "silence": "Answers that stop without ending, or go on without content",
    "ending": "Streams whose connection ends properly, but not their events",
    "event": "Events inside a stream",
    "content": "Bodies that are not an answer",
    "json": "JSON that is invalid, or hard to process",
    "coding": "Content codings",
    "size": "Answers without bounds",
    "status": "Statuses",
    "retry": "When to retry",
    "redirect": "Redirects",
    "reuse": "Connections that are reused",
}
"""The groups of the catalogue, in its order, and what each is about."""

Place: TypeAlias = Literal[
    "start", "in-status", "in-head", "after-head", "in-event", "in-chunk", "between-events", "before-end"
]
"""Where an answer stops: before its first byte; in the status line; in the head; behind the head; behind a whole HTTP
chunk that holds half an event; in an HTTP chunk; behind a whole event; before what ends the body."""

End: TypeAlias = Literal["keep", "fin", "rst", "silence", "fin-on-request", "rst-on-request"]
"""What comes of a connection after the answer: it is kept for the next request; it is closed, by FIN or by RST; nothing
more is said on it; it is closed when the next request has come."""


class Fault(msgspec.Struct, frozen=True):
    """One way to misbehave, or several at once: ``one + other`` takes each stage from the one that speaks of it.

    Where both speak of a stage, the later one counts; header lines and changes add up.

    Attributes:
        name: what it is called; names joined by ``+`` for several at once.
        summary: what happens, in a line.
        group: where it stands in the catalogue.
        kind: which requests it is for; others get the good answer.
        reads: how much of a request is read before it begins.
        ahead: bytes that are sent before anything is asked.
        status: the status of the answer.
        media: the content type; empty for none; that of a good answer if left out.
        lines: further lines of the head, or what makes one for a request.
        head: what is done to the head when it is written.
        body: what is said.
        endless: the body has no end.
        changes: what is done to what is said, in order.
        coding: the content coding.
        framing: the framing; chunks for a stream and what is endless, else a length.
        drip: what is sent byte by byte, with pauses.
        stop: the place where the answer stops.
        then: what comes of the connection; where the answer stops, it is closed.
        trail: what is sent behind the answer, on the same connection.
    """

    name: str
    summary: str
    group: Group
    kind: Literal["both", "stream", "whole"] = "both"
    reads: Literal["nothing", "head", "request"] = "request"
    ahead: bytes | None = None
    status: int | None = None
    media: str | None = None
    lines: tuple[str | Callable[[Asked], str], ...] = ()
    head: Callable[[bytes], bytes] | None = None
    body: Body | None = None
    endless: bool = False
    changes: tuple[Change, ...] = ()
    coding: Coding | None = None
    framing: Framing | None = None
    drip: Literal["head", "body"] | None = None
    stop: Place | None = None
    then: End | None = None
    trail: Body | None = None

    def __add__(self, other: Fault) -> Fault:
        """Both at once.

        Raises:
            ConfigurationError: the two cannot be seen together.
        """
        if other == FINE or self == FINE:
            return self if other == FINE else other
        both = f"{self.name}+{other.name}"
        if {self.kind, other.kind} == {"stream", "whole"}:
            raise ConfigurationError(f"got {both}: one is for streams, the other for whole answers, so neither shows")
        for mute, another in ((self, other), (other, self)):
            if mute.stop == "start" and another.stop != "start" and any(getattr(another, at) for at in _OF_AN_ANSWER):
                raise ConfigurationError(f"got {both}: with {mute.name} there is no answer for the other to show in")
        merged = {stage: _later(getattr(self, stage), getattr(other, stage)) for stage in _STAGES}
        merged["lines"] = self.lines + other.lines
        merged["changes"] = self.changes + other.changes
        merged["kind"] = self.kind if other.kind == "both" else other.kind
        merged["reads"] = self.reads if other.reads == "request" else other.reads
        merged["endless"] = self.endless if other.body is None else other.endless
        fault = Fault(both, f"{self.summary}; {other.summary}", self.group, **merged)
        if fault.endless and fault.framing is not None and fault.framing.sized:
            raise ConfigurationError(f"got {both}: what has no end has no length that could be told")
        return fault


_OF_AN_ANSWER: Final = [
    "status",
    "media",
    "lines",
    "head",
    "body",
    "changes",
    "coding",
    "framing",
    "drip",
    "stop",
    "trail",
]
_STAGES: Final = ("ahead", "status", "media", "head", "body", "coding", "framing", "drip", "stop", "then", "trail")


def _later(one: Any, other: Any) -> Any:
    return one if other is None else other


FINE: Final = Fault("fine", "the good answer", "good")


class Spoken(NamedTuple):
    """What is to be sent as an answer, and what comes of the connection then."""

    pieces: Iterator[Piece]
    then: End


def spoken(fault: Fault, asked: Asked) -> Spoken:
    """What a fault makes of the answer to a request."""
    if fault.kind != "both" and (fault.kind == "stream") is not asked.stream:
        fault = FINE
    body = (fault.body or golden)(asked)
    for change in fault.changes:
        body = change(body)
    if fault.coding is not None:
        body = fault.coding.encode(body)
    if fault.stop == "in-event":
        body = _halved(body)
    framing = fault.framing or (CHUNKED if asked.stream or fault.endless else LENGTH)
    framed = framing.frame(body)
    head = _stopped_head(_head(fault, asked, framed.lines), fault.stop)
    rest = _stopped_body(framed, fault.stop)
    pieces = chain(
        _dripped((head,)) if fault.drip == "head" else (head,),
        _dripped(rest) if fault.drip == "body" else rest,
        fault.trail(asked) if fault.trail is not None else (),
    )
    closes = framed.closes or fault.stop is not None
    return Spoken((piece for piece in pieces if piece != b""), fault.then or ("fin" if closes else "keep"))


def _head(fault: Fault, asked: Asked, framing: tuple[str, ...]) -> bytes:
    status = fault.status or 200
    media = fault.media
    if media is None:
        media = "text/event-stream" if asked.stream and status < 300 else "application/json"
    lines = [
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}",
        *([f"content-type: {media}"] if media else []),
        "x-request-id: request-golden",
        *([f"content-encoding: {fault.coding.label}"] if fault.coding is not None and fault.coding.label else []),
        *framing,
        *(line if isinstance(line, str) else line(asked) for line in fault.lines),
    ]
    head = "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n"
    return head if fault.head is None else fault.head(head)


_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


def _stopped_head(head: bytes, stop: Place | None) -> bytes:
    if stop == "start":
        return b""
    if stop == "in-status":
        return head[: len(head.partition(b"\r\n")[0]) // 2]
    return head[: len(head) // 2] if stop == "in-head" else head


def _stopped_body(framed: Framed, stop: Place | None) -> Iterator[Piece]:
    if stop in ("start", "in-status", "in-head", "after-head"):
        return
    if stop is None or stop == "before-end":
        yield from framed.pieces
        if stop is None:
            yield framed.end
        return
    taken: list[Piece] = []
    more = _PIECES_BEFORE[stop]
    for piece in framed.pieces:
        taken.append(piece)
        more -= piece is not None
        if more < 0:
            break
    yield from taken[:-1]
    if stop == "in-chunk" and taken and taken[-1]:
        yield taken[-1][: len(taken[-1]) // 2]


_PIECES_BEFORE: Final[Mapping[Place, int]] = {"in-event": 5, "in-chunk": 2, "between-events": 3}
"""How many pieces are sent as a whole before an answer stops; a shorter answer stops at its last piece. In an event,
each of them is half an event."""


def _halved(pieces: Pieces) -> Iterator[Piece]:
    for piece in pieces:
        if piece is None:
            yield None
        else:
            middle = len(piece) // 2
            yield from (part for part in (piece[:middle], piece[middle:]) if part)


def _dripped(pieces: Pieces) -> Iterator[Piece]:
    for piece in pieces:
        for at in range(len(piece or b"")):
            yield (piece or b"")[at : at + 1]
            yield None
