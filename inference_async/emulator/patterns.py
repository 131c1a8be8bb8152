r"""A text that a simple regular expression matches; the simple ones are those that schemas are made of.

Literals, classes, ``\d \w \s``, groups, alternatives, ``? * + {m,n}``, and anchors at the ends. What goes beyond
(lookarounds, references back) raises.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["text_for"]

_CLASSES: Final = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_PRINTABLE: Final = "a0A" + "".join(map(chr, range(32, 127)))
_LONGEST: Final = 100_000
_REPEAT: Final = re.compile(r"\{(\d+)(,?)(\d*)\}")


def text_for(pattern: str, *, at_least: int = 0, at_most: int | None = None) -> str:
    """The shortest text it finds that matches and has a length in the bounds.

    Raises:
        ValueError: the pattern is not simple, or no text was found.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"got the pattern {pattern!r}, which is none: {error}") from None
    for more in range(at_least + 1):
        reader = _Reader(pattern, more)
        text = reader.alternatives()
        if reader.at != len(pattern):
            raise ValueError(f"got the pattern {pattern!r}, expected a simpler one")
        if not reader.ends:
            text = text.ljust(at_least, "a")
        if len(text) >= at_least:
            if (at_most is None or len(text) <= at_most) and compiled.search(text):
                return text
            break
    raise ValueError(f"found no text for the pattern {pattern!r}")


class _Reader:
    """Reads a pattern once, and writes what it asks for; what may be repeated, `more` times more than it must."""

    def __init__(self, pattern: str, more: int) -> None:
        self.at = 0
        self.ends = False
        self._pattern = pattern
        self._more = more

    def alternatives(self) -> str:
        """The first alternative; the others are read and let go."""
        text = self._sequence()
        while self._take("|"):
            self._sequence()
        return text

    def _sequence(self) -> str:
        text = ""
        while self.at < len(self._pattern) and self._pattern[self.at] not in "|)":
            text += self._repeated(self._atom())
        return text

    def _take(self, what: str) -> bool:
        found = self._pattern.startswith(what, self.at)
        self.at += len(what) if found else 0
        return found

    def _next(self) -> str:
        if self.at >= len(self._pattern):
            raise ValueError("got a pattern that ends too early")
        self.at += 1
        return self._pattern[self.at - 1]

    def _atom(self) -> str:
        sign = self._next()
        if sign == "(":
            return self._group()
        if sign == "[":
            return self._set()
        if sign == "\\":
            return self._escaped()
        if sign in "^$":
            self.ends = self.ends or sign == "$"
            return ""
        return "a" if sign == "." else sign

    def _group(self) -> str:
        if self._take("?") and not self._take(":"):
            if not self._take("P<"):
                raise ValueError("got a pattern that looks around, expected a simpler one")
            while self._next() != ">":
                pass
        text = self.alternatives()
        if not self._take(")"):
            raise ValueError("got a pattern with a group left open")
        return text

    def _set(self) -> str:
        start = self.at
        self._take("^")
        self._take("]")
        while (sign := self._next()) != "]":
            if sign == "\\":
                self._next()
        one = re.compile(f"[{self._pattern[start : self.at]}")
        for candidate in _PRINTABLE:
            if one.fullmatch(candidate):
                return candidate
        raw = self._pattern[start : self.at - 1]
        return raw[:1] if one.fullmatch(raw[:1]) else ""

    def _escaped(self) -> str:
        sign = self._next()
        if sign in "bB":
            return ""
        if sign in "xu":
            size = 2 if sign == "x" else 4
            digits = self._pattern[self.at : self.at + size]
            self.at += size
            return chr(int(digits, 16))
        if sign.isdigit() and sign != "0":
            raise ValueError("got a pattern that refers back, expected a simpler one")
        return _CLASSES.get(sign) or _CONTROLS.get(sign) or sign

    def _repeated(self, text: str) -> str:
        low, high = 1, 1.0
        if self._take("*"):
            low, high = 0, float("inf")
        elif self._take("+"):
            low, high = 1, float("inf")
        elif self._take("?"):
            low, high = 0, 1
        elif found := _REPEAT.match(self._pattern, self.at):
            self.at = found.end()
            low = int(found[1])
            high = float(found[3]) if found[3] else (float("inf") if found[2] else low)
        else:
            return text
        self._take("?")
        times = int(min(low + self._more, high))
        if len(text) * times > _LONGEST:
            raise ValueError("got a pattern of a text that is too long")
        return text * times
