"""Reasoning that models put into their text, between ``<think>`` and ``</think>``: told apart from the answer.

Only for those who ask: a text may speak of the tag itself. Servers cut tags anywhere, so what may be the beginning of
one is held back until the next piece decides: never more than 7 characters, one less than the longer tag has. Nothing
is added or lost: the pieces and the tags between them are the text.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

__all__ = ["Piece", "ThinkSplitter", "split_think"]

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"


class Piece(NamedTuple):
    """A piece of an answer.

    Attributes:
        kind: ``text``, or ``reasoning``.
        text: never empty.
    """

    kind: Literal["text", "reasoning"]
    text: str


class ThinkSplitter:
    """Splits text as it arrives.

    Args:
        inside: the text begins within the reasoning; some models' templates write the opening tag themselves, so that
            the answer only holds the closing one.
    """

    __slots__ = ("_held", "_inside")

    def __init__(self, *, inside: bool = False) -> None:
        self._inside = inside
        self._held = ""

    def feed(self, text: str) -> list[Piece]:
        """The next piece of text; what is certain of it and of what was held back."""
        text = self._held + text
        pieces: list[Piece] = []
        start = 0
        while True:
            tag = _CLOSE if self._inside else _OPEN
            at = text.find(tag, start)
            if at < 0:
                break
            self._put(pieces, text[start:at])
            self._inside = not self._inside
            start = at + len(tag)
        end = len(text) - _unfinished(text, tag)
        self._held = text[end:]
        self._put(pieces, text[start:end])
        return pieces

    def close(self) -> list[Piece]:
        """The end of the text: what was held back was no tag."""
        pieces: list[Piece] = []
        self._put(pieces, self._held)
        self._held = ""
        return pieces

    def _put(self, pieces: list[Piece], text: str) -> None:
        if text:
            pieces.append(Piece("reasoning" if self._inside else "text", text))


def split_think(text: str) -> tuple[str, str]:
    """The reasoning and the answer in a whole text; the opening tag may be missing.

    Returns:
        The reasoning, empty if there is none, and the rest; both without white space around.
    """
    first_close, first_open = text.find(_CLOSE), text.find(_OPEN)
    splitter = ThinkSplitter(inside=first_close >= 0 and not 0 <= first_open < first_close)
    pieces = splitter.feed(text) + splitter.close()
    reasoning = "".join(piece.text for piece in pieces if piece.kind == "reasoning")
    return reasoning.strip(), "".join(piece.text for piece in pieces if piece.kind == "text").strip()


def _unfinished(text: str, tag: str) -> int:
    """How many characters at the end of the text may be the beginning of the tag: none that ended one before."""
    for size in range(len(tag) - 1, 0, -1):
        if text.endswith(tag[:size]):
            return size
    return 0
