r"""Unfinished JSON, read as it grows: plain objects of what is already certain.

The reader is fed the text of an answer in any slicing and holds, at any time, the part of the value that no further
text can change: the members that are complete, and the prefix of the string that is still open.

How it stays linear. Nothing is read twice: the state is a stack of open containers and the pieces of the one open
token. What cannot be judged yet (half an escape, the first half of a surrogate pair) is at most eleven characters, and
is put before the next text. Work goes by token and by run of string content, not by character.

Showing an open string copies it, so one huge string shown anew after every four characters would cost its square. A
string of more than 64 characters is therefore shown anew only when it has grown by 1/32 of what was shown: all copies
together then are at most about 33 times its length. When it ends, it is exact.

Containers are live: they are handed out as they are and grow in place, for copying them would be quadratic too.
"""

from __future__ import annotations

import json
import re
from enum import Enum, auto
from typing import Any, Final

from ..types.base import UNSET

__all__ = ["PartialReader"]

_MAX_DEPTH: Final = 128
_SHORT: Final = 64
_GROWTH: Final = 32

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_BEFORE: Final = re.compile(r"[\s\ufeff]*")
_AFTER: Final = re.compile(r"[\s`]*")
_SCALAR: Final = re.compile(r"[-+.0-9A-Za-z]*")
_CONTENT: Final = re.compile(r'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+')
_HALF_ESCAPE: Final = re.compile(r"\\(?:u[0-9A-Fa-f]{0,3})?\Z")
_HIGH_SURROGATE: Final = re.compile(r"\\u[Dd][89ABab][0-9A-Fa-f]{2}\Z")
_join: Final = "".join


class _At(Enum):
    """What the reader waits for."""

    START = auto()  # the first character of the value
    FENCE = auto()  # the end of the line ```json
    VALUE = auto()
    FIRST_ITEM = auto()  # a value, or the end of the array
    FIRST_KEY = auto()  # a key, or the end of the object
    KEY = auto()
    COLON = auto()
    COMMA = auto()  # a comma, or the end of the container
    STRING = auto()  # the rest of a string
    SCALAR = auto()  # the rest of a number or a literal
    END = auto()  # nothing: the value is complete
    BROKEN = auto()


class PartialReader:
    """Reads one JSON value from its text, as far as the text goes.

    Feed it the text in any slicing and `close` it at the end. It reads what `json.loads` reads, of two equal keys the
    last as well, down to 128 levels. White space, a byte order mark and a ```` ```json ```` fence around the value are
    passed over. It never raises: text that is no JSON, or deeper, sets `broken` and ends the growth; what was certain
    stays.

    Something new is certain when `revision` is another number than before, so a consumer keeps the number it saw::

        seen = reader.revision
        reader.feed(text)
        if reader.revision != seen:
            show(reader.value)
    """

    def __init__(self) -> None:
        self._at = _At.START
        self._held = ""  # text of an open string that cannot be judged yet
        self._pieces: list[str] = []  # the open token
        self._length = 0  # of the open string's pieces together
        self._shown = 0  # characters of the open string that the value shows
        self._is_key = False
        self._root: list[Any] = []
        self._stack: list[dict[str, Any] | list[Any]] = [self._root]
        self._keys: list[str] = [""]  # one for each container: the key whose value is being read
        self._revision = 0
        self._closed = False

    @property
    def value(self) -> Any:
        """What is certain so far; UNSET before anything is.

        A key appears when its value begins to be certain, a number or literal when it is complete, a string from its
        first quote on. The dicts and lists are live and grow in place: read or copy them before the next `feed`, and
        leave them unchanged.
        """
        return self._root[0] if self._root else UNSET

    @property
    def revision(self) -> int:
        """A number that grows whenever `value` shows more than before."""
        return self._revision

    @property
    def broken(self) -> bool:
        """Whether the text is no JSON, is nested too deep, or was closed before the value was complete."""
        return self._at is _At.BROKEN

    def feed(self, text: str) -> None:
        """Reads on. Text after `close`, or after what broke the reader, is ignored."""
        if self._closed or not text:
            return
        if self._held:
            text, self._held = self._held + text, ""
        position, end = 0, len(text)
        while position < end and self._at is not _At.BROKEN:
            match self._at:
                case _At.STRING:
                    position = self._string(text, position)
                case _At.SCALAR:
                    position = self._scalar(text, position)
                case _At.START:
                    position = self._start(text, position)
                case _At.FENCE:
                    position = text.find("\n", position) + 1 or end
                    self._at = _At.VALUE if text[position - 1] == "\n" else _At.FENCE
                case _At.END:
                    position = _end(_AFTER, text, position)
                    self._at = _At.END if position == end else _At.BROKEN
                case _:
                    position = _end(_SPACE, text, position)
                    if position < end:
                        position = self._token(text, position)
        if self._at is _At.STRING:
            self._refresh()

    def close(self) -> None:
        """Says that the text has ended: a number at the root is then complete, and an open string is shown in full."""
        if self._closed:
            return
        self._closed = True
        if self._at is _At.SCALAR and len(self._stack) == 1:
            self._finish_scalar()
        elif self._at is _At.STRING:
            self._refresh(whole=True)
        if self._at is not _At.END:
            self._at = _At.BROKEN

    def _start(self, text: str, position: int) -> int:
        position = _end(_BEFORE, text, position)
        if position < len(text):
            self._at = _At.FENCE if text[position] == "`" else _At.VALUE
        return position

    def _token(self, text: str, position: int) -> int:
        """Takes one character of structure, or the first one of a string or scalar."""
        char = text[position]
        at = self._at
        if at is _At.COMMA and char == ",":
            self._at = _At.KEY if isinstance(self._stack[-1], dict) else _At.VALUE
        elif at is _At.COLON and char == ":":
            self._at = _At.VALUE
        elif at in (_At.KEY, _At.FIRST_KEY) and char == '"':
            self._open_string(is_key=True)
        elif (char == "}" and self._may_end(dict, _At.FIRST_KEY)) or (
            char == "]" and self._may_end(list, _At.FIRST_ITEM)
        ):
            self._stack.pop()
            self._keys.pop()
            self._after_value()
        elif at not in (_At.VALUE, _At.FIRST_ITEM):
            self._at = _At.BROKEN
        elif char == '"':
            self._attach("")
            self._open_string(is_key=False)
        elif char == "{":
            self._open_container({}, _At.FIRST_KEY)
        elif char == "[":
            self._open_container([], _At.FIRST_ITEM)
        else:
            self._at = _At.SCALAR
            self._pieces = []
            return position
        return position + 1

    def _may_end(self, kind: type, first: _At) -> bool:
        if self._at is first:
            return True
        return self._at is _At.COMMA and isinstance(self._stack[-1], kind)

    def _open_container(self, container: dict[str, Any] | list[Any], at: _At) -> None:
        if len(self._stack) > _MAX_DEPTH:
            self._at = _At.BROKEN
            return
        self._attach(container)
        self._stack.append(container)
        self._keys.append("")
        self._at = at

    def _attach(self, value: Any) -> None:
        """Puts a new value where the reader stands."""
        container = self._stack[-1]
        if isinstance(container, dict):
            container[self._keys[-1]] = value
        else:
            container.append(value)
        self._revision += 1

    def _after_value(self) -> None:
        self._at = _At.COMMA if len(self._stack) > 1 else _At.END

    def _open_string(self, *, is_key: bool) -> None:
        self._at = _At.STRING
        self._is_key = is_key
        self._pieces = []
        self._length = self._shown = 0

    def _string(self, text: str, position: int) -> int:
        stop = _end(_CONTENT, text, position)
        complete = stop < len(text) and text[stop] == '"'
        unsure = stop == len(text) or _HALF_ESCAPE.match(text, stop) is not None
        if unsure:
            held = _surrogate_at_end(text, position, stop)
            self._held = text[held:]
        else:
            held = stop
        if piece := text[position:held]:
            piece = json.loads(f'"{piece}"') if "\\" in piece else piece
            self._pieces.append(piece)
            self._length += len(piece)
        if unsure:
            return len(text)
        if not complete:
            self._refresh(whole=True)
            self._at = _At.BROKEN
            return stop
        if self._is_key:
            self._keys[-1] = _join(self._pieces)
            self._at = _At.COLON
        else:
            self._refresh(whole=True)
            self._after_value()
        return stop + 1

    def _refresh(self, *, whole: bool = False) -> None:
        """Shows the open string's growth, if there is enough of it, or if `whole` any."""
        grown = self._length - self._shown
        if self._is_key or not grown:
            return
        if not whole and self._shown > _SHORT and grown * _GROWTH < self._shown:
            return
        string = _join(self._pieces)
        self._pieces = [string]
        self._shown = self._length
        container = self._stack[-1]
        if isinstance(container, dict):
            container[self._keys[-1]] = string
        else:
            container[-1] = string
        self._revision += 1

    def _scalar(self, text: str, position: int) -> int:
        stop = _end(_SCALAR, text, position)
        self._pieces.append(text[position:stop])
        if stop < len(text):
            self._finish_scalar()
        return stop

    def _finish_scalar(self) -> None:
        token, self._pieces = _join(self._pieces), []
        try:
            value = json.loads(token)
        except ValueError:  # no literal, no number, or one of more digits than Python converts
            self._at = _At.BROKEN
        else:
            self._attach(value)
            self._after_value()


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Where a run that may be empty ends."""
    found = pattern.match(text, position)
    return found.end() if found else position


def _surrogate_at_end(text: str, start: int, stop: int) -> int:
    r"""Where the content of a string ends if an escape ``\ud800`` to ``\udbff`` at its end is left out.

    What comes next decides whether it is half of a character or stands alone.
    """
    begin = stop - 6
    if begin < start or not _HIGH_SURROGATE.match(text, begin, stop):
        return stop
    before = text[start : begin + 1]
    backslashes = len(before) - len(before.rstrip("\\"))
    return begin if backslashes % 2 else stop  # after an even number, the u is only a letter
