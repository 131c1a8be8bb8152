"""What a faulty server says in place of the golden answer, and what is done to what it says.

A body is made for one request and may be endless, or pause; see `framings`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, repeat
from typing import Any, Final, TypeAlias

import msgspec

from ..types.base import is_object
from .framings import Piece, Pieces
from .golden import DONE, chunk, completion, documents, dumped, event

__all__ = [
    "BIG",
    "Asked",
    "Body",
    "Change",
    "as_asked",
    "edited",
    "endless",
    "events",
    "fixed",
    "golden",
    "many_calls",
    "many_choices",
    "replaced",
    "stream",
    "whole",
]

BIG: Final = 64 * 1024
"""How many bytes a piece of something endless has."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came.

    Attributes:
        method: ``POST``, and so on.
        path: the path with its query, as it was sent.
        headers: by names in lower case; of several of one name the last.
        body: the whole body; empty where the fault did not wait for it.
        at: the moment it came, in seconds of `time.time`.
        target: where redirects lead.
    """

    method: str = ""
    path: str = ""
    headers: Mapping[str, str] = {}
    body: bytes = b""
    at: float = 0.0
    target: str = ""

    @property
    def stream(self) -> bool:
        """Whether it asks for a stream."""
        try:
            body = json.loads(self.body)
        except (ValueError, RecursionError):
            return False
        return is_object(body) and body.get("stream") is True

    @property
    def credential(self) -> str:
        """The key or token it came with, in whichever header."""
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        return bearer or self.headers.get("api-key") or self.headers.get("ocp-apim-subscription-key", "")


Body: TypeAlias = Callable[[Asked], Pieces]
Change: TypeAlias = Callable[[Pieces], Pieces]


def golden(asked: Asked) -> Pieces:
    """The golden answer, as it was asked for."""
    return stream(asked) if asked.stream else whole(asked)


def stream(_asked: Asked) -> Pieces:
    """The golden answer as a stream, each event a piece."""
    return [*map(event, documents()), DONE]


def whole(_asked: Asked) -> Pieces:
    """The golden answer as a whole, in four pieces."""
    return _quartered(dumped(completion()))


def fixed(body: object) -> Body:
    """Always the same, in one piece: bytes, or what becomes JSON."""
    return lambda _asked: (dumped(body),)


def events(*said: object, done: bool = True) -> Body:
    """A stream of these: bytes are sent as they are, anything else as an event of JSON, None is a pause."""
    pieces = [piece if piece is None or isinstance(piece, bytes) else event(piece) for piece in said]
    return lambda _asked: [*pieces, DONE] if done else pieces


def as_asked(streamed: Body, unstreamed: Body) -> Body:
    """One body for those who ask for a stream, another for the others."""
    return lambda asked: streamed(asked) if asked.stream else unstreamed(asked)


def endless(*again: Piece, first: bytes = b"") -> Body:
    """These pieces over and over."""
    return lambda _asked: chain((first,) if first else (), chain.from_iterable(repeat(again)))


def edited(old: bytes, new: bytes) -> Body:
    """The golden answer with another text in its JSON: in that of the second event, or in the whole."""

    def body(asked: Asked) -> Pieces:
        if not asked.stream:
            return _quartered(_replace(dumped(completion()), old, new))
        said = [dumped(document) for document in documents()]
        said[1] = _replace(said[1], old, new)
        return [*map(event, said), DONE]

    return body


def replaced(document: object) -> Body:
    """The golden stream with something else for its second event; for those who ask for the whole, just that."""

    def body(asked: Asked) -> Pieces:
        if not asked.stream:
            return (dumped(document),)
        said: list[object] = list(documents())
        said[1] = document
        return [*map(event, said), DONE]

    return body


def many_choices(asked: Asked, *, count: int = 100_000) -> Pieces:
    """An answer of so many choices."""
    name = "delta" if asked.stream else "message"
    said = ({"index": index, name: {"content": "x"}, "finish_reason": "stop"} for index in range(count))
    if asked.stream:
        return chain((event(chunk(choices=group)) for group in _groups(said)), (DONE,))
    return _listed(said, *dumped(completion(choices="HERE")).split(b'"HERE"'))


def many_calls(asked: Asked, *, count: int = 100_000) -> Pieces:
    """One choice that calls so many tools."""
    said = (
        {"index": index, "id": f"call-{index}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for index in range(count)
    )
    if asked.stream:
        groups = (
            event(chunk(choices=[{"index": 0, "delta": {"tool_calls": group}, "finish_reason": None}]))
            for group in _groups(said)
        )
        return chain(groups, (event(chunk(finish_reason="tool_calls")), DONE))
    choice = {"index": 0, "message": {"content": None, "tool_calls": "HERE"}, "finish_reason": "tool_calls"}
    return _listed(said, *dumped(completion(choices=[choice])).split(b'"HERE"'))


def _quartered(body: bytes) -> list[Piece]:
    size = len(body) // 4 + 1
    return [body[start : start + size] for start in range(0, len(body), size)]


def _replace(text: bytes, old: bytes, new: bytes) -> bytes:
    before, found, after = text.partition(old)
    if not found:
        raise LookupError(f"the golden answer holds no {old!r}")
    return before + new + after


def _groups(said: Iterator[Any]) -> Iterator[list[Any]]:
    while group := [item for _, item in zip(range(1000), said, strict=False)]:
        yield group


def _listed(said: Iterator[Any], before: bytes, after: bytes) -> Iterator[Piece]:
    yield before
    for number, group in enumerate(_groups(said)):
        yield (b"," if number else b"[") + dumped(group)[1:-1]
    yield b"]" + after
