"""Texts for patterns."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_async.emulator.effort import Effort, SpentError
from inference_async.emulator.patterns import matches, texts_for


def text_for(pattern: str, *, at_least: int = 0, at_most: int | None = None) -> str:
    """The first text; ValueError if there is none."""
    found = next(texts_for(pattern, Effort(), at_least=at_least, at_most=at_most), None)
    if found is None:
        raise ValueError("found no text")
    return found


PIECES = st.sampled_from(["a", "\\d", "\\w", "[a-c]", "[^a]", ".", "(?:x|y)", "\\."])
COUNTS = st.sampled_from(["", "?", "*", "+", "{2}", "{1,3}", "{2,}"])


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("", ""),
        ("^$", ""),
        ("abc", "abc"),
        ("^a{2,4}b?c*d+$", "aad"),
        ("^(?:foo|bar){2}$", "foofoo"),
        ("^(?P<year>\\d{4})-\\d\\d$", "0000-00"),
        ("^[^a-z]+$", "0"),
        ("^[]x]$", "]"),
        ("^[é]$", "é"),
        ("^\\x41\\u00e9\\n$", "Aé\n"),
        ("^\\.\\\\$", ".\\"),
        ("^\\bword\\b$", "word"),
        ("^a+?$", "a"),
        ("^\\S\\D\\W$", "aa-"),
        ("{", "{"),
    ],
)
def test_the_text_for(pattern: str, text: str) -> None:
    assert text_for(pattern) == text
    assert re.search(pattern, text)


def test_lengths() -> None:
    assert text_for("^[ab]+$", at_least=3) == "aaa"
    assert text_for("^x", at_least=3) == "xaa"
    assert text_for("^(ab)*$", at_least=3, at_most=4) == "abab"
    assert text_for("^[ab]+$", at_least=1000) == "a" * 1000


def test_every_alternative_is_tried() -> None:
    assert text_for("^(a|bb|ccc)$", at_least=2, at_most=2) == "bb"
    assert set(texts_for("^(foo|bar)$", Effort())) == {"foo", "bar"}
    assert len(set(texts_for("^x[0-9]$", Effort()))) == 10


@pytest.mark.parametrize("pattern", ["^(a+)+b$", "^(a*)*(a*)*(a*)*b$", "^(a|a)*b$", "^a*a*a*a*a*a*b$"])
def test_matching_does_not_go_back(pattern: str) -> None:
    effort = Effort(20_000)
    assert not matches(pattern, "a" * 60, effort)
    assert matches(pattern, "a" * 60 + "b", effort)
    assert effort.left > 0


@pytest.mark.parametrize("pattern", ["^((a{999}){999}){999}$", "^(a?){999999999}$", "^(.*.*)*x$"])
def test_what_takes_too_long_is_given_up(pattern: str) -> None:
    with pytest.raises(SpentError):
        matches(pattern, "a" * 2_000, Effort(1_000))


def test_a_text_that_is_too_long_is_not_made() -> None:
    with pytest.raises(SpentError):
        next(texts_for("^((a{999}){999}){999}$", Effort()))


@settings(deadline=None)
@given(st.lists(st.tuples(PIECES, COUNTS).map("".join)).map("".join), st.text("abxy0. ", max_size=8))
def test_matching_is_that_of_the_standard_library(pattern: str, text: str) -> None:
    for whole in (pattern, f"^{pattern}$", f"^(?:{pattern}|y)*$", f"\\b{pattern}"):
        assert matches(whole, text, Effort()) is (re.search(whole, text) is not None)


@pytest.mark.parametrize(
    ("pattern", "options"),
    [
        ("(?=a)b", {}),
        ("(a)\\1", {}),
        ("^ab$", {"at_least": 3}),
        ("^abc$", {"at_most": 2}),
        ("(", {}),
        ("a)", {}),
        ("a++", {}),
        ("(?<=a)b", {}),
        ("(?i)b", {}),
        ("[b-a]", {}),
        ("a{2,1}", {}),
        ("\\p", {}),
        ("\\u12", {}),
        ("^a$b", {}),
        ("a" * 2000, {}),
    ],
)
def test_what_is_not_simple_or_has_no_text(pattern: str, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"got the pattern|got a pattern|got the class|found no text"):
        text_for(pattern, **options)


@settings(deadline=None)
@given(st.lists(st.tuples(PIECES, COUNTS).map("".join)).map("".join), st.integers(0, 4))
def test_every_text_matches(pattern: str, at_least: int) -> None:
    try:
        text = text_for(f"^{pattern}$", at_least=at_least)
    except ValueError:
        assert at_least, "only a length can be too much for these"
        return
    assert re.search(f"^{pattern}$", text)
    assert len(text) >= at_least
