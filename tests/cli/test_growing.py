"""Markdown that grows on a terminal: nothing is lost, nothing is drawn twice, nothing drives the terminal."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from rich.console import Console

from inference_async.cli.growing import Growing, _paragraphs, finished
from tests.cli.screen import Screen

ALL = """\
# Title

Some **bold** text with `code`, a Vec<T>, and
a second line.

```python
x = 1


y = 2
```

| a | b |
|---|---|
| 1 | 2 |

1. one
2. two
   - nested

> a quote

See [there](https://example.org/a), <https://example.org/b>, ![a picture](https://example.org/c) and [1].

[1]: https://example.org/d
"""
DRAWN = """\
                 Title

Some bold text with code, a Vec<T>, and
a second line.

 x = 1


 y = 2

 a   b
 ─────
 1   2

 1 one
 2 two
    • nested

▌ a quote

See there (https://example.org/a),
https://example.org/b, a picture
(https://example.org/c) and [1].

[1]: https://example.org/d"""


def drawn(text: str, *, step: int = 1, height: int = 12, width: int = 40) -> Screen:
    """What a terminal shows of a text that comes in steps, with a drawing after each of them."""

    async def run() -> Screen:
        screen = Screen(height)
        console = Console(file=screen, force_terminal=True, width=width, height=height, highlight=False, markup=False)
        growing = Growing(console)
        for start in range(0, len(text), step):
            growing.show(text[start : start + step])
            growing._draw(finished(growing._text))
        growing.end(whole=True)
        return screen

    screen = asyncio.run(run())
    assert screen.unknown == []
    return screen


def words(text: str) -> list[str]:
    """The words, whatever rich thinks of margins, rules and frames in its releases."""
    return text.translate(dict.fromkeys(map(ord, "─━┏┓┗┛┃"))).split()


@pytest.mark.parametrize("step", [3, 10_000])
@pytest.mark.parametrize("height", [8, 60])
def test_what_is_left_is_the_whole_text_however_it_came(step: int, height: int) -> None:
    screen = drawn(ALL, step=step, height=height)
    assert words(screen.text) == words(DRAWN)


def test_blocks_are_apart_by_one_line() -> None:
    assert drawn("one\n\n- two\n\n```\nthree\n```\nfour\n").text == "one\n\n • two\n\n three\n\nfour"


def test_no_frame_shows_anything_twice() -> None:
    text = "".join(f"Paragraph {number}.\n\n```\ncode {number}\n```\n\n" for number in range(8))
    screen = drawn(text, step=5, height=10)
    assert len(screen.frames) > 30
    for frame in screen.frames:
        shown = [line for line in frame if line]
        assert len(shown) == len(set(shown)), frame


def test_a_block_that_is_higher_than_the_terminal_shows_its_end_and_keeps_its_top() -> None:
    code = "\n".join(f"line {number}" for number in range(40))
    screen = drawn(f"```\n{code}\n", step=20, height=10)
    seen = [line.strip() for frame in screen.frames[:-3] for line in frame]
    assert "line 35" in seen, "what came last is seen while it grows"
    assert [line.strip() for line in screen.text.splitlines()] == code.splitlines()


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("", ""),
        ("one", ""),
        ("one\n\n", ""),
        ("one\n\ntwo", ""),
        ("one\n\ntwo\n", "one\n\n"),
        ("one\n#", ""),
        ("one\n# two\n", "one\n"),
        ("one\n-", ""),
        ("one\n---\n", ""),
        ("- one\n\n  two\n- three\n", ""),
        ("- one\n\ntwo\n", "- one\n\n"),
        ("```\none\n\ntwo\n", ""),
        ("one\n\n    code\n\n\n    code\n", "one\n\n"),
        ("a\u2028b\n\ntwo\n", "a\u2028b\n\n"),
        ("\n\none\n\ntwo\n", "\n\none\n\n"),
        ("| a |\n|---|\n| 1 |\n", ""),
    ],
)
def test_what_is_finished(text: str, done: str) -> None:
    assert text[: finished(text)] == done


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J\x1b]0;title\x07",
        "&#27;[2J",
        "`\x1b[31m`",
        "```\n\x1b[31m\x9b31m\n```",
        "[a](http://x/\x1b[2J)",
        "[a](http://x/&#27;[2J)",
        "<http://x/\x1b]8;;y>",
        "![\x1b[2J](x)",
        "| \x1b[A |\n|---|\n| \x7f |",
        "```\x1b[A\nx\n```",
        "a\r\x08b",
    ],
    ids=repr,
)
def test_nothing_drives_the_terminal(text: str) -> None:
    screen = drawn(text + "\n", step=10_000)
    assert not any(
        ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in screen.text.replace("\n", "")
    )


@pytest.mark.parametrize("step", [1, 10_000])
async def test_reasoning_stands_above_the_answer(step: int) -> None:
    screen = Screen(8)
    growing = Growing(Console(file=screen, force_terminal=True, width=20, height=8, highlight=False, markup=False))
    said = "Six *sevens* are, as far as I know,\n\n\x1b[2Jforty-two."
    for start in range(0, len(said), step):
        growing.think(said[start : start + step])
        growing._draw(_paragraphs(growing._text))
    growing.show("It is **42**.")
    growing.end(whole=True)
    assert screen.text == "Six *sevens* are, as\nfar as I know,\n\n[2Jforty-two.\n\nIt is 42."
    assert screen.unknown == []


async def test_only_reasoning_is_dimmed() -> None:
    file = io.StringIO()
    growing = Growing(Console(file=file, force_terminal=True, width=40, height=10, color_system="standard"))
    growing.think("thought")
    growing.show("said")
    growing.end(whole=True)
    assert "\x1b[2mthought\x1b[0m" in file.getvalue()
    assert "\x1b[2msaid" not in file.getvalue()


async def test_it_draws_by_itself_a_moment_after_text_came() -> None:
    screen = Screen(10)
    growing = Growing(Console(file=screen, force_terminal=True, width=40, height=10))
    assert screen.text == "..."
    assert screen.has_cursor, "or a process that is killed would leave none"
    growing.show("Hel")
    growing.show("lo")
    while "Hello" not in screen.text:  # noqa: ASYNC110  (drawing sets no event)
        await asyncio.sleep(0.005)
    growing.end(whole=False)
    assert screen.text == "Hello"


async def test_a_terminal_that_is_gone_is_told_with_the_next_text(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(10)
    growing = Growing(Console(file=screen, force_terminal=True, width=40, height=10))

    def fail(*_: Any) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(screen, "write", fail)
    growing.show("a")
    while growing._failure is None:  # noqa: ASYNC110  (as above)
        await asyncio.sleep(0.005)
    with pytest.raises(OSError, match="Input/output"):
        growing.show("b")
    with pytest.raises(OSError, match="Input/output"):
        growing.end(whole=False)
