"""How an answer is shown: as it comes where stdout is piped, as Markdown (`growing.py`) where it is a terminal.

What a model, a server or a tool says never drives the terminal: control characters are taken out.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import msgspec
from rich.console import Console

__all__ = ["Display", "Lines", "Note", "Plain", "noter", "print_json", "without_controls"]

_CONTROL: Final = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {0x09, 0x0A})

Note: TypeAlias = Callable[..., None]
"""Says something beside the answer, on stderr: ``note(text, style)``."""


def without_controls(text: str) -> str:
    """The text without what could drive a terminal; tabs and line ends stay."""
    return text.translate(_CONTROL)


class Display(Protocol):
    """Where the text of one answer goes."""

    def think(self, text: str) -> None:
        """Show a further piece of the model's reasoning, if this is a place for it.

        Raises:
            OSError: it cannot be written.
        """
        ...

    def show(self, text: str) -> None:
        """Show a further piece of the text.

        Raises:
            OSError: it cannot be written.
        """
        ...

    def end(self, *, whole: bool) -> None:
        """Nothing more comes: the answer is whole, or it is cut. Called once, also where nothing was shown.

        Raises:
            OSError: it cannot be written.
        """
        ...


class Plain:
    """Text to stdout at once, as it is; on a terminal without control characters. Reasoning is left out: here it could
    not be told from the answer.
    """

    def __init__(self) -> None:
        self._stdout = sys.stdout
        self._is_terminal = self._stdout.isatty()
        self._begun = False

    def think(self, text: str) -> None:
        """Leave it out."""

    def show(self, text: str) -> None:
        """Write it."""
        self._begun = self._begun or bool(text)
        self._stdout.write(without_controls(text) if self._is_terminal else text)
        self._stdout.flush()

    def end(self, *, whole: bool) -> None:
        """End the line: in a pipe only of a whole answer, so that nothing is added to what came."""
        if self._begun and (whole or self._is_terminal):
            self.show("\n")


class Lines(Plain):
    """Text that is lines already."""

    def end(self, *, whole: bool) -> None:
        """Nothing is left to do."""


def noter() -> Note:
    """Makes notes on stderr; on a terminal they are wrapped at words, elsewhere each stays one line."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=not sys.stderr.isatty())

    def note(text: str, style: str = "dim") -> None:
        with contextlib.suppress(OSError):  # the answer matters more than what is said beside it
            console.print(without_controls(text), style=style)

    return note


def print_json(value: object) -> None:
    """Write a value to stdout as a line of JSON."""
    line = msgspec.json.encode(value).decode() + "\n"
    sys.stdout.write(without_controls(line) if sys.stdout.isatty() else line)
