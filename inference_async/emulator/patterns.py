r"""Regular expressions of the simple kind that schemas are made of: texts that match one, and whether a text does.

Literals, classes, ``\d \w \s``, groups, alternatives, ``? * + {m,n}``, anchors and word boundaries. What goes beyond
(lookarounds, references back) raises. Matching follows all ways at once, as sets of places in the text, so that no
pattern takes longer than its length times the square of the text's; the steps are counted all the same.
"""

from __future__ import annotations

import itertools
import math
import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from .effort import Effort

__all__ = ["matches", "texts_for"]

_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_PRINTABLE: Final = "a0A-" + "".join(map(chr, range(32, 127)))
_MOST_CHOICES: Final = 20
_MOST_TRIES: Final = 100
_LONGEST_PATTERN: Final = 1_000
_REPEAT: Final = re.compile(r"\{(\d+)(,?)(\d*)\}")
_CODE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))")


def matches(pattern: str, text: str, effort: Effort) -> bool:
    """Whether a text has a part that matches.

    Raises:
        ValueError: the pattern is not simple.
    """
    return bool(_parsed(pattern).ends(text, set(range(len(text) + 1)), effort))


def texts_for(pattern: str, effort: Effort, *, at_least: int = 0, at_most: int | None = None) -> Iterator[str]:
    """Texts that match and have a length in the bounds, the shortest first as far as it is easily known.

    Raises:
        ValueError: the pattern is not simple.
    """
    whole = _parsed(pattern)
    high = math.inf if at_most is None else at_most
    more = bisect_left(range(at_least + 1), at_least, key=whole.longest)
    for repeats, wide in itertools.product(dict.fromkeys((more, 0) if more <= at_least else (0,)), (False, True)):
        effort.spend(whole.longest(repeats))
        for text in itertools.islice(whole.texts(repeats, wide=wide), _MOST_TRIES):
            for padded in dict.fromkeys((text, text.ljust(at_least, "a"), text.rjust(at_least, "a"))):
                effort.spend(1 + len(padded) // 8)
                if at_least <= len(padded) <= high and matches(pattern, padded, effort):
                    yield padded


class _Node(Protocol):
    """A part of a pattern."""

    def ends(self, text: str, starts: set[int], effort: Effort) -> set[int]:
        """Where a match may end that begins at one of these places."""
        ...

    def longest(self, more: int) -> int:
        """The length of the longest of `texts`."""
        ...

    def texts(self, more: int, *, wide: bool) -> Iterator[str]:
        """Texts that match, of each alternative; what may be repeated, `more` times more than it must.

        Args:
            more: see above.
            wide: with several characters for each class, not only the first.
        """
        ...


class _One(NamedTuple):
    """A character."""

    takes: re.Pattern[str]
    choices: str

    def ends(self, text: str, starts: set[int], effort: Effort) -> set[int]:
        effort.spend(len(starts))
        return {at + 1 for at in starts if self.takes.match(text, at)}

    def longest(self, more: int) -> int:
        del more
        return 1

    def texts(self, more: int, *, wide: bool) -> Iterator[str]:
        del more
        return iter(self.choices if wide else self.choices[:1])


class _Place(NamedTuple):
    """An anchor or a boundary: it takes no character."""

    sign: re.Pattern[str]

    def ends(self, text: str, starts: set[int], effort: Effort) -> set[int]:
        effort.spend(len(starts))
        return {at for at in starts if self.sign.match(text, at)}

    def longest(self, more: int) -> int:
        del more
        return 0

    def texts(self, more: int, *, wide: bool) -> Iterator[str]:
        del more, wide
        return iter([""])


class _Sequence(NamedTuple):
    parts: list[_Node]

    def ends(self, text: str, starts: set[int], effort: Effort) -> set[int]:
        for part in self.parts:
            starts = part.ends(text, starts, effort)
        return starts

    def longest(self, more: int) -> int:
        return sum(part.longest(more) for part in self.parts)

    def texts(self, more: int, *, wide: bool) -> Iterator[str]:
        rows = [tuple(itertools.islice(part.texts(more, wide=wide), _MOST_TRIES)) for part in self.parts]
        return map("".join, itertools.product(*rows))


class _Either(NamedTuple):
    branches: list[_Node]

    def ends(self, text: str, starts: set[int], effort: Effort) -> set[int]:
        return set[int]().union(*(branch.ends(text, starts, effort) for branch in self.branches))

    def longest(self, more: int) -> int:
        return max(branch.longest(more) for branch in self.branches)

    def texts(self, more: int, *, wide: bool) -> Iterator[str]:
        return itertools.chain.from_iterable(branch.texts(more, wide=wide) for branch in self.branches)


class _Repeated(NamedTuple):
    part: _Node
    low: int
    high: float

    def ends(self, text: str, starts: set[int], effort: Effort) -> set[int]:
        for _ in range(self.low):
            effort.spend()
            starts = self.part.ends(text, starts, effort)
        found, fresh, times = set(starts), starts, self.low
        while fresh and times < self.high:
            fresh = self.part.ends(text, fresh, effort) - found
            found |= fresh
            times += 1
        return found

    def longest(self, more: int) -> int:
        return self.part.longest(more) * self._times(more)

    def texts(self, more: int, *, wide: bool) -> Iterator[str]:
        times = self._times(more)
        return (text * times for text in self.part.texts(more, wide=wide)) if times else iter([""])

    def _times(self, more: int) -> int:
        return int(min(self.low + more, self.high))


@lru_cache(maxsize=128)
def _parsed(pattern: str) -> _Node:
    if len(pattern) > _LONGEST_PATTERN:
        raise ValueError(f"got a pattern of {len(pattern)} characters, expected {_LONGEST_PATTERN} at most")
    reader = _Reader(pattern)
    try:
        whole = reader.alternatives()
    except re.error as error:
        raise ValueError(f"got the pattern {pattern!r}, which is none: {error}") from None
    if reader.at != len(pattern):
        raise ValueError(f"got the pattern {pattern!r}, expected no ')' that closes nothing")
    return whole


@lru_cache(maxsize=128)
def _class(raw: str) -> _One:
    takes = re.compile(raw)
    codes = "".join(chr(int(short or long, 16)) for short, long in _CODE.findall(raw))
    found = [sign for sign in dict.fromkeys(_PRINTABLE + raw + codes) if takes.fullmatch(sign)]
    if not found:
        raise ValueError(f"got the class {raw!r} in a pattern, and found no character for it")
    return _One(takes, "".join(found[:_MOST_CHOICES]))


class _Reader:
    """Reads a pattern once, from left to right."""

    def __init__(self, pattern: str) -> None:
        self.at = 0
        self._pattern = pattern

    def alternatives(self) -> _Node:
        branches = [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else _Either(branches)

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self.at < len(self._pattern) and self._pattern[self.at] not in "|)":
            parts.append(self._repeated(self._atom()))
        return _Sequence(parts)

    def _take(self, what: str) -> bool:
        found = self._pattern.startswith(what, self.at)
        self.at += len(what) if found else 0
        return found

    def _next(self) -> str:
        if self.at >= len(self._pattern):
            raise ValueError(f"got the pattern {self._pattern!r}, which ends too early")
        self.at += 1
        return self._pattern[self.at - 1]

    def _atom(self) -> _Node:
        sign = self._next()
        if sign == "(":
            return self._group()
        if sign == "[":
            return self._set()
        if sign == "\\":
            return self._escaped()
        if sign in "*+?":
            raise ValueError(f"got the pattern {self._pattern!r}, where {sign!r} repeats nothing")
        if sign in "^$":
            return _Place(re.compile(r"\A" if sign == "^" else r"\Z"))
        return _class(".") if sign == "." else _literal(sign)

    def _group(self) -> _Node:
        if self._take("?") and not self._take(":"):
            if not self._take("P<") and not self._take("<"):
                raise self._beyond("looks around, or sets flags")
            if self._pattern[self.at : self.at + 1] in ("=", "!"):
                raise self._beyond("looks behind")
            while self._next() != ">":
                pass
        inner = self.alternatives()
        if not self._take(")"):
            raise ValueError(f"got the pattern {self._pattern!r}, where a group is left open")
        return inner

    def _set(self) -> _Node:
        start = self.at
        self._take("^")
        self._take("]")
        while (sign := self._next()) != "]":
            if sign == "\\":
                self._next()
        return _class(f"[{self._pattern[start : self.at]}")

    def _escaped(self) -> _Node:
        sign = self._next()
        if sign in "bB":
            return _Place(re.compile(f"\\{sign}"))
        if sign in "dDwWsS":
            return _class(f"\\{sign}")
        if sign in "xu":
            found = _CODE.match(self._pattern, self.at - 2)
            if found is None:
                raise ValueError(f"got the pattern {self._pattern!r}, where {sign!r} has no number behind it")
            self.at = found.end()
            return _literal(chr(int(found[1] or found[2], 16)))
        if sign in _CONTROLS:
            return _literal(_CONTROLS[sign])
        if sign.isalnum():
            raise self._beyond(f"has \\{sign}")
        return _literal(sign)

    def _repeated(self, part: _Node) -> _Node:
        low, high = 1, 1.0
        if self._take("*"):
            low, high = 0, math.inf
        elif self._take("+"):
            low, high = 1, math.inf
        elif self._take("?"):
            low, high = 0, 1
        elif found := _REPEAT.match(self._pattern, self.at):
            self.at = found.end()
            low = int(found[1])
            high = float(found[3]) if found[3] else (math.inf if found[2] else low)
        else:
            return part
        if high < low:
            raise ValueError(f"got the pattern {self._pattern!r}, where the most is less than the least")
        self._take("?")
        return _Repeated(part, low, high)

    def _beyond(self, what: str) -> ValueError:
        return ValueError(f"got the pattern {self._pattern!r}, which {what}; expected a simpler one")


def _literal(sign: str) -> _One:
    return _One(re.compile(re.escape(sign)), sign)
