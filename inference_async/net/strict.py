"""What an answer in HTTP/1.1 looks like, for a parser that takes more for one than it should.

aiohttp has a parser in C, and one in Python for where that was not built. The latter looks at no line before it is
whole, takes a head whose lines end in CR alone for one long line, and knows no chunk that is too large: what is no HTTP
at all holds a call until its time is up, and an answer can lose its beginning without a word.

`Course` reads along in front of such a parser. It does not parse: it knows where lines are, refuses a line as soon as
what has come of it cannot become a good one, and leaves all else to the parser. It knows nothing of connections.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Generator
from typing import Final, NamedTuple, TypeAlias

__all__ = ["Course"]


class _Form(NamedTuple):
    """What a line looks like.

    Attributes:
        pattern: what it has to match, with its end or as far as it has come.
        model: a good line, whose rest stands in for what has not come yet.
    """

    pattern: re.Pattern[bytes]
    model: bytes = b""

    def fits(self, line: bytes) -> bool:
        rest = b"" if line.endswith(b"\n") else self.model[len(line) :]
        return self.pattern.fullmatch(line + rest) is not None


_END: Final = rb"\r?\n?"
_NAME: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FIELD: Final = rb"(?:" + _NAME + rb"|(?:(?:" + _NAME + rb":|[ \t])[^\r]*)?" + _END + rb")"  # a space: it goes on
_STATUS: Final = _Form(re.compile(rb"\n|HTTP/\d\.\d \d{3}(?: [^\r]*)?" + _END), b"HTTP/1.1 200 ")
_HEADER: Final = _Form(re.compile(rb"(?!(?i:content-length):[ \t]*0*[1-9]\d{19})" + _FIELD))
_SIZE: Final = _Form(re.compile(rb"0*([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?(?:\r\n?)?"))
_NOTHING: Final = _Form(re.compile(_END))
_TRAILER: Final = _Form(re.compile(_FIELD))

_Next: TypeAlias = _Form | int
"""What is to come: a line of a form, or so many bytes of any kind."""


def _course() -> Generator[_Next, bytes, None]:
    """An answer from its first line on; each line is sent in when it is whole, without its end."""
    interim, chunked = True, False
    while interim:
        while not (status := (yield _STATUS)):  # a blank line, left over from what came before
            pass
        interim, chunked = status.startswith(b"1", len(b"HTTP/1.1 ")), False
        while line := (yield _HEADER):
            # Any other coding is refused by who asks for the answer.
            chunked = chunked or line.lower().startswith(b"transfer-encoding:")
    if chunked:
        while size := _size((yield _SIZE)):
            yield size
            yield _NOTHING
        while (yield _TRAILER):
            pass
    while True:
        yield sys.maxsize


def _size(line: bytes) -> int:
    match = _SIZE.pattern.fullmatch(line)
    return int(match[1], 16) if match else 0


class Course:
    """The course of one answer."""

    __slots__ = ("_course", "_next", "_open")

    def __init__(self) -> None:
        self._course = _course()
        self._next: _Next = next(self._course)
        self._open = b""  # what has come of a line

    def follow(self, data: bytes) -> int:
        """How many of the bytes that have come can belong to an answer: all, or those in front of a line that cannot.

        After such a line, nothing more of the answer is to be read.
        """
        at = 0
        while at < len(data):
            if isinstance(self._next, int):
                step = min(self._next, len(data) - at)
                self._next -= step
                at += step
                if not self._next:
                    self._next = next(self._course)
                continue
            end = data.find(b"\n", at) + 1 or len(data)
            line = self._open + data[at:end]
            if not self._next.fits(line):
                return at
            at = end
            self._open = b""
            if line.endswith(b"\n"):
                self._next = self._course.send(line.rstrip(b"\r\n"))
            else:
                self._open = line
        return at
