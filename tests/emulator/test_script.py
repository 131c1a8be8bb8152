"""Scripts: matching, loading, and what is wrong with a bad one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_async import ConfigurationError
from inference_async.emulator import Script
from inference_async.emulator.script import Match, tokens_of

BODY: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "say hello now"}],
    "response_format": {"type": "json_object"},
    "tools": [{"type": "function", "function": {"name": "look"}}],
}


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        (Match(), True),
        (Match(role="user", contains="hello", response_format="json_object", tool="look", model="m"), True),
        (Match(role="tool"), False),
        (Match(content="say hello"), False),
        (Match(content="say hello now"), True),
        (Match(contains="bye"), False),
        (Match(response_format="text"), False),
        (Match(tool="hear"), False),
        (Match(model="n"), False),
    ],
)
def test_match(match: Match, *, fits: bool) -> None:
    assert match.fits(BODY) is fits


def test_parts_are_matched_by_their_text() -> None:
    parts = [
        {"type": "text", "text": "say "},
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": "hello"},
    ]
    assert Match(content="say hello").fits({"messages": [{"role": "user", "content": parts}]})


def test_the_first_rule_that_fits_answers() -> None:
    script = Script.from_json(
        b'{"rules": [{"match": {"contains": "x"}, "answer": {"content": "1"}}, {"answer": {"content": "2"}}]}'
    )
    assert script.answer_to({"messages": [{"role": "user", "content": "x"}]}).content == "1"
    assert script.answer_to({"messages": [{"role": "user", "content": "y"}]}).content == "2"


def test_what_no_rule_fits_is_said_back() -> None:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "é\n"}, {"role": "assistant", "content": "no"}]}
    assert Script().answer_to(body).content == "é\n"
    assert Script().answer_to({**body, "response_format": {"type": "json_object"}}).content == '{"echo": "é\\n"}'
    assert Script().answer_to({"messages": [{"role": "system", "content": "s"}]}).content == ""


@given(st.text())
def test_tokens_join_to_the_text(text: str) -> None:
    assert "".join(tokens_of(text)) == text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "got what is no script"),
        (b"[]", "Expected `object`"),
        (b'{"rules": [{"match": {}}]}', r"missing required field `answer`.*rules\[0\]"),
        (b'{"rules": [{"answer": {"contnt": ""}}]}', "unknown field `contnt`"),
        (b'{"rules": [{"answer": {"content": 5}}]}', r"rules\[0\].answer.content"),
    ],
)
def test_a_bad_script_names_the_place(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Script.from_json(data)
    path = tmp_path / "script.json"
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match=rf"script\.json.*{words}"):
        Script.load(path)


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        Script.load(tmp_path / "none.json")


def test_a_script_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text('{"pace": {"first": 1}, "rules": [{"answer": {"content": "a b", "tokens": ["a", " b"]}}]}')
    script = Script.load(path)
    assert script.pace.first == 1
    assert script.answer_to(BODY).tokens == ["a", " b"]
