"""Markdown on a terminal, while it grows.

It is printed block by block: what cannot change any more is printed for good and scrolls away like anything else, and
only the last block, which may still become another thing, is drawn again when more of it comes. Of that block no more
is drawn than the terminal holds, so nothing flickers, and no top is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.text import Text

from .render import without_controls

__all__ = ["Growing", "finished"]

_PAUSE: Final = 0.08  # seconds between two drawings, unless one takes so long that it should pause for longer
_SHARE: Final = 4  # a drawing is followed by a pause at least so many times as long

# Without HTML, and without lines that say where [1] leads: rich would leave out both, and with them the <T> of Vec<T>.
_parse: Final = (
    MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).disable(["reference"]).parse
)


class Growing:
    """Markdown on a terminal, while it grows; above it the model's reasoning, dimmed, as plain text.

    It draws from the running event loop, at most every 80 ms, and less often where drawing is dear.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._loop = asyncio.get_running_loop()
        self._text = ""  # of the blocks that may still change
        self._thinks = False  # that text is reasoning
        self._begun = False  # a block is printed for good
        self._pause = _PAUSE
        self._drawn = -_PAUSE
        self._timer: asyncio.TimerHandle | None = None
        self._failure: OSError | None = None
        self._live = Live(
            Text("...", style="dim"),
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=True)
        console.show_cursor(True)  # a process that is killed leaves a terminal that is fit for use

    def think(self, text: str) -> None:
        """Show it, dimmed, with the next drawing."""
        self._take(text, thinks=True)

    def show(self, text: str) -> None:
        """Show it with the next drawing."""
        self._take(text, thinks=False)

    def _take(self, text: str, *, thinks: bool) -> None:
        if self._failure is not None:
            raise self._failure
        if thinks is not self._thinks:
            if self._text:
                self._draw(len(self._text))  # the other kind of text ends here
            self._thinks = thinks
        self._text += without_controls(text)
        if self._timer is None:
            self._timer = self._loop.call_later(self._drawn + self._pause - time.monotonic(), self._draw_or_fail)

    def end(self, *, whole: bool) -> None:
        """Print what is left for good."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            self._draw(len(self._text))
        finally:
            self._live.stop()

    def _draw_or_fail(self) -> None:
        self._timer = None
        try:
            self._draw(_paragraphs(self._text) if self._thinks else finished(self._text))
        except OSError as error:
            self._failure = error

    def _draw(self, end: int) -> None:
        """Print the blocks up to this character, and draw what comes after them."""
        started = time.monotonic()
        done, self._text = self._text[:end], self._text[end:]
        rows = self._console.height - 2
        has_done = bool(done.strip())
        with self._console:  # one write for all of it
            growing = _Blocks(self._drawn_as(self._text), space=self._begun or has_done, rows=rows)
            self._live.update(growing, refresh=True)
            if has_done:
                self._console.print(_Blocks(self._drawn_as(done), space=self._begun))
        self._begun = self._begun or has_done
        self._drawn = time.monotonic()
        self._pause = max(_PAUSE, _SHARE * (self._drawn - started))

    def _drawn_as(self, text: str) -> Iterable[RenderableType]:
        if self._thinks:
            return (Text(paragraph.strip("\n"), style="dim") for paragraph in text.split("\n\n"))
        return map(_markdown, _blocks(text))


class _Blocks:
    """Blocks of text as clean lines, with one empty line between two of them.

    Args:
        blocks: what to draw.
        space: put an empty line above it, too.
        rows: how many lines to show, the last ones; None for all.
    """

    def __init__(self, blocks: Iterable[RenderableType], *, space: bool, rows: int | None = None) -> None:
        self._blocks = list(blocks)
        self._space = space
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines: list[list[Segment]] = []
        for block in self._blocks:
            drawn = console.render_lines(block, options.update(height=None), pad=False)
            clean = _without_margins([_clean(line) for line in drawn])
            if clean:
                lines += [[], *clean] if lines or self._space else clean
        if self._rows is not None:
            lines = lines[-max(self._rows, 1) :]
        for line in lines:
            yield from line
            yield Segment.line()


def finished(text: str) -> int:
    """How many characters of a growing text are in blocks that nothing can change any more.

    A block is finished where another one begins below it. Only whole lines count: what begins as ``#`` may be a heading
    or a word, and ``-`` an item or the underline of a title.
    """
    return sum(map(len, _blocks(text[: text.rfind("\n") + 1])[:-1]))


def _paragraphs(text: str) -> int:
    """How many characters of a growing plain text are in paragraphs that have ended."""
    return len(text) - len(text.rpartition("\n\n")[2])


def _blocks(text: str) -> list[str]:
    """The text, cut where its blocks begin."""
    begins = [token.map[0] for token in _parse(text) if token.level == 0 and token.map]
    lines = text.split("\n")
    cuts = [0, *begins[1:], len(lines)]
    return ["\n".join([*lines[start:end], *([""] if end < len(lines) else [])]) for start, end in pairwise(cuts)]


def _markdown(text: str) -> Markdown:
    rendered = Markdown("", code_theme="ansi_dark", hyperlinks=False)
    rendered.parsed = _parse(text)
    for token in rendered.parsed:
        if token.children:
            token.children = list(_inline(token.children))
    return rendered


def _inline(tokens: list[Token]) -> Iterator[Token]:
    """Lines stay lines, and addresses are shown: a link that hides where it goes is no help on a terminal."""
    target, label = "", ""
    for token in tokens:
        if token.type == "softbreak":
            yield Token("hardbreak", "br", 0)
        elif token.type == "link_open":
            target, label = str(token.attrs.get("href", "")), ""
        elif token.type == "link_close":
            if target not in (label, f"mailto:{label}"):
                yield Token("text", "", 0, content=f" ({target})")
        elif token.type == "image":
            yield Token("text", "", 0, content=f"{token.content} ({token.attrs.get('src', '')})".lstrip())
        else:
            label += token.content
            yield token


def _without_margins(lines: list[list[Segment]]) -> list[list[Segment]]:
    filled = [index for index, line in enumerate(lines) if line]
    return lines[filled[0] : filled[-1] + 1] if filled else []


def _clean(line: list[Segment]) -> list[Segment]:
    """Without control characters, and without the blanks that fill a line up."""
    segments = [Segment(without_controls(text).replace("\t", " "), style) for text, style, _ in line]
    while segments and not _has_ground(segments[-1]):
        last = segments.pop()
        if text := last.text.rstrip():
            return [*segments, Segment(text, last.style)]
    return segments


def _has_ground(segment: Segment) -> bool:
    return segment.style is not None and segment.style.bgcolor is not None
