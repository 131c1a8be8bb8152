"""Reasoning between tags: told apart wherever servers cut the text, and nothing of it lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_async.wire.think import Piece, ThinkSplitter, split_think

OPEN, CLOSE = "<think>", "</think>"

# Text that is rich in tags, and in what looks like one.
TEXTS = st.lists(
    st.sampled_from([OPEN, CLOSE, "<", "<t", "<thin", "</", "</think", "think>", ">", "/", "a", " b\n", "é", "𝄞"])
    | st.text(max_size=5),
    max_size=20,
).map("".join)


def cut(text: str, places: list[int]) -> list[str]:
    stops = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:stop] for start, stop in pairwise(stops)]


def pieces(*texts: str, inside: bool = False) -> list[Piece]:
    splitter = ThinkSplitter(inside=inside)
    return [piece for text in texts for piece in splitter.feed(text)] + splitter.close()


def runs(found: list[Piece]) -> list[Piece]:
    """Pieces of one kind in a row, joined."""
    out: list[Piece] = []
    for piece in found:
        if out and out[-1].kind == piece.kind:
            out[-1] = Piece(piece.kind, out[-1].text + piece.text)
        else:
            out.append(piece)
    return out


def said(found: list[Piece], kind: str) -> str:
    return "".join(piece.text for piece in found if piece.kind == kind)


ROWS: dict[str, tuple[str, bool, list[tuple[str, str]]]] = {
    "nothing": ("", False, []),
    "text alone": ("Hello", False, [("text", "Hello")]),
    "reasoning and text": ("<think>hm</think>Hello", False, [("reasoning", "hm"), ("text", "Hello")]),
    "white space is kept": (
        " <think>\nhm\n</think>\n\nHi",
        False,
        [*zip(("text", "reasoning", "text"), (" ", "\nhm\n", "\n\nHi"), strict=True)],
    ),
    "text before": ("So: <think>hm</think>!", False, [("text", "So: "), ("reasoning", "hm"), ("text", "!")]),
    "empty reasoning": ("<think></think>Hello", False, [("text", "Hello")]),
    "begins inside": ("hm</think>Hello", True, [("reasoning", "hm"), ("text", "Hello")]),
    "begins inside with a tag all the same": (
        "<think>hm</think>Hello",
        True,
        [("reasoning", "<think>hm"), ("text", "Hello")],
    ),
    "never closed": ("<think>hm", False, [("reasoning", "hm")]),
    "never closed, begins inside": ("hm", True, [("reasoning", "hm")]),
    "closed without an opening": ("a</think>b", False, [("text", "a</think>b")]),
    "twice": (
        "<think>a</think>b<think>c</think>d",
        False,
        [("reasoning", "a"), ("text", "b"), ("reasoning", "c"), ("text", "d")],
    ),
    "an opening within": ("<think>a<think>b</think>c", False, [("reasoning", "a<think>b"), ("text", "c")]),
    "upper case is no tag": ("<THINK>a</THINK>", False, [("text", "<THINK>a</THINK>")]),
    "an unfinished opening": ("a<thin", False, [("text", "a<thin")]),
    "an unfinished closing": ("<think>a</thin", False, [("reasoning", "a</thin")]),
    "a doubled beginning": ("<<think>a<</think>b", False, [("text", "<"), ("reasoning", "a<"), ("text", "b")]),
    "a beginning that restarts": (
        "<thi<think>a</th</think>b",
        False,
        [("text", "<thi"), ("reasoning", "a</th"), ("text", "b")],
    ),
    "other tags": ("<b>x</b> 1 < 2", False, [("text", "<b>x</b> 1 < 2")]),
}


@pytest.mark.parametrize(("text", "inside", "expected"), ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 1000])
def test_split(text: str, inside: bool, expected: list[tuple[str, str]], size: int) -> None:
    slices = [text[at : at + size] for at in range(0, len(text), size)]
    assert runs(pieces(*slices, inside=inside)) == expected


@given(text=TEXTS, places=st.lists(st.integers(0, 200), max_size=10), inside=st.booleans())
def test_the_cutting_changes_nothing(text: str, places: list[int], *, inside: bool) -> None:
    assert runs(pieces(*cut(text, places), inside=inside)) == runs(pieces(text, inside=inside))


@given(text=TEXTS, inside=st.booleans())
def test_nothing_is_lost_but_the_tags_between_the_kinds(text: str, *, inside: bool) -> None:
    """Written anew, every change of kind as its tag, the text is itself: but for tags with nothing between them."""
    expected = ""
    kind, rest = inside, text
    while True:
        before, tag, rest = rest.partition(CLOSE if kind else OPEN)
        expected += before
        if not tag:
            break
        kind = not kind
    assert "".join(piece.text for piece in pieces(text, inside=inside)) == expected


@given(text=TEXTS, places=st.lists(st.integers(0, 200), max_size=10), inside=st.booleans())
def test_at_most_seven_characters_are_held_back(text: str, places: list[int], *, inside: bool) -> None:
    splitter = ThinkSplitter(inside=inside)
    so_far, told = "", 0
    for piece in cut(text, places):
        so_far += piece
        told += sum(len(found.text) for found in splitter.feed(piece))
        whole = ThinkSplitter(inside=inside)
        known = whole.feed(so_far)
        assert told == sum(len(found.text) for found in known)  # as much as the text at once would have told
        held = "".join(found.text for found in whole.close())
        assert len(held) <= 7
        assert OPEN.startswith(held) or CLOSE.startswith(held)


@given(text=TEXTS, places=st.lists(st.integers(0, 200), max_size=10))
def test_no_piece_is_empty(text: str, places: list[int]) -> None:
    assert all(piece.text for piece in pieces(*cut(text, places)))


@pytest.mark.parametrize(
    ("text", "held"),
    [("a", 0), ("a<", 1), ("a<think", 6), ("a<thinx", 0), ("a</think", 0), ("<<", 1)],
)
def test_only_what_may_begin_a_tag_is_held_back(text: str, held: int) -> None:
    found = ThinkSplitter().feed(text)
    assert said(found, "text") == text[: len(text) - held]


def test_within_the_reasoning_the_closing_tag_is_waited_for() -> None:
    splitter = ThinkSplitter(inside=True)
    assert splitter.feed("a</think") == [Piece("reasoning", "a")]  # seven characters are held
    assert splitter.feed("<think") == [Piece("reasoning", "</think<think")]
    assert splitter.close() == []


def test_text_is_told_at_once_where_no_tag_can_begin() -> None:
    splitter = ThinkSplitter()
    assert [splitter.feed(char) for char in "Hi!"] == [[Piece("text", char)] for char in "Hi!"]


def test_empty_pieces_change_nothing() -> None:
    splitter = ThinkSplitter()
    assert splitter.feed("") == []
    assert splitter.feed("<th") == []
    assert splitter.feed("") == []
    assert splitter.feed("ink>a") == [Piece("reasoning", "a")]


def test_close_tells_what_was_held_once() -> None:
    splitter = ThinkSplitter()
    assert splitter.feed("a <thi") == [Piece("text", "a ")]
    assert splitter.close() == [Piece("text", "<thi")]
    assert splitter.close() == []
    assert splitter.feed("nk>") == [Piece("text", "nk>")]


def test_a_long_text_in_small_pieces_costs_its_length() -> None:
    """A splitter that kept more than it needs would never end here."""
    splitter = ThinkSplitter(inside=True)
    length = sum(len(piece.text) for _ in range(200_000) for piece in splitter.feed("</thin"))
    assert length == 200_000 * 6 - 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", ("", ""), id="nothing"),
        pytest.param("  ", ("", ""), id="blanks"),
        pytest.param("Hello", ("", "Hello"), id="no reasoning"),
        pytest.param("<think>hm</think>Hello", ("hm", "Hello"), id="both"),
        pytest.param("<think>\nhm\n</think>\n\nHello\n", ("hm", "Hello"), id="white space around"),
        pytest.param("hm</think>Hello", ("hm", "Hello"), id="the opening is missing"),
        pytest.param("</think>Hello", ("", "Hello"), id="nothing thought, and the opening is missing"),
        pytest.param("\nhm\n</think>\n", ("hm", ""), id="the opening and the answer are missing"),
        pytest.param("<think>hm", ("hm", ""), id="the closing is missing"),
        pytest.param("<think></think>Hello", ("", "Hello"), id="empty reasoning"),
        pytest.param("a<think>b</think>c<think>d</think>e", ("bd", "ace"), id="twice"),
        pytest.param("a</think>b<think>c</think>d", ("ac", "bd"), id="the first opening is missing"),
        pytest.param("a</think>b</think>c", ("a", "b</think>c"), id="closed twice"),
        pytest.param("1 < 2 <thin", ("", "1 < 2 <thin"), id="no tag"),
    ],
)
def test_split_think(text: str, expected: tuple[str, str]) -> None:
    assert split_think(text) == expected
