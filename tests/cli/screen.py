"""A terminal, as far as the tests need one: it understands what rich writes, and remembers what scrolled away."""

from __future__ import annotations

import io
import re

_SEQUENCE = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])")


class Screen(io.StringIO):
    """What is written to it, as lines: those that scrolled away, and those that are seen.

    Attributes:
        frames: what was to be seen after each write.
        has_cursor: whether the cursor is seen.
        unknown: what it does not understand, or should never have got.
    """

    def __init__(self, height: int) -> None:
        super().__init__()
        self.height = height
        self.lines: list[str] = [""]
        self.row = 0
        self.column = 0
        self.frames: list[list[str]] = []
        self.has_cursor = True
        self.unknown: list[str] = []

    @property
    def text(self) -> str:
        """All lines, without blanks at their ends."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n")

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        at = 0
        while at < len(text):
            found = _SEQUENCE.match(text, at)
            if found:
                self._control(*found.groups())
                at = found.end()
            else:
                self._put(text[at])
                at += 1
        self.frames.append([line.rstrip() for line in self.lines[-self.height :]])
        return len(text)

    def _control(self, number: str, kind: str) -> None:
        if kind == "A":
            top = max(0, len(self.lines) - self.height)
            self.row = max(top, self.row - int(number or 1))
        elif (kind, number) == ("K", "2"):
            self.lines[self.row] = ""
        elif number == "?25":
            self.has_cursor = kind == "h"
        elif kind != "m":
            self.unknown.append(number + kind)

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row, self.column = self.row + 1, 0
            if self.row == len(self.lines):
                self.lines.append("")
        elif character < " ":
            self.unknown.append(repr(character))
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1
