"""Texts for patterns."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_async.emulator.patterns import text_for


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


@pytest.mark.parametrize(
    ("pattern", "options"),
    [
        ("(?=a)b", {}),
        ("(a)\\1", {}),
        ("^ab$", {"at_least": 3}),
        ("^abc$", {"at_most": 2}),
        ("(", {}),
        ("^a$b", {}),
        ("^((a{999}){999}){999}$", {}),
    ],
)
def test_what_is_not_simple_or_has_no_text(pattern: str, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"got the pattern|got a pattern|found no text"):
        text_for(pattern, **options)


PIECES = st.sampled_from(["a", "\\d", "\\w", "[a-c]", "[^a]", ".", "(?:x|y)", "\\."])
COUNTS = st.sampled_from(["", "?", "*", "+", "{2}", "{1,3}", "{2,}"])


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
