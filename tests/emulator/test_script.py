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


def typed(of: Any, text: str = "The largest city of Norway?") -> dict[str, Any]:
    asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": of}}
    return {"model": "m", "messages": [{"role": "user", "content": text}], "response_format": asked}


CITY = {"type": "object", "properties": {"name": {"type": "string"}, "people": {"type": "integer"}}}
RIVER = {"type": "object", "properties": {"length": {"type": "integer"}}, "required": ["length"]}
TOOL = {"type": "function", "function": {"name": "look"}}


def test_the_shipped_script_says_nothing_that_the_schema_rules_out() -> None:
    script = Script.shipped()
    assert script.answer_to(typed(CITY)).content == '{"name": "Oslo", "people": 717000}'
    assert script.answer_to(typed(RIVER)).content == '{"length": 0}'
    for text in ("How many languages are in the world?", "[reasoning]", "[late-filter]"):
        told = script.answer_to(typed(RIVER, text))
        assert told.filtered is not None or told.content == '{"length": 0}'
    plain: dict[str, Any] = {"messages": [{"role": "user", "content": "[reasoning]"}]}
    assert script.answer_to(plain).reasoning
    assert not script.answer_to({**plain, "response_format": {"type": "json_object"}}).reasoning
    called = script.answer_to({**plain, "tools": [TOOL], "tool_choice": "required"})
    assert [call.function.name for call in called.tool_calls] == ["look"]


def test_a_script_of_ones_own_may_say_nonsense() -> None:
    rules = b'"rules": [{"answer": {"content": "{broken"}}]'
    assert Script.from_json(b"{%s}" % rules).answer_to(typed(RIVER)).content == "{broken"
    assert Script.from_json(b'{"fitting": true, %s}' % rules).answer_to(typed(RIVER)).content == '{"length": 0}'


def test_a_call_fits_where_it_may_be_made() -> None:
    call = b'{"id": "1", "function": {"name": "look", "arguments": "{}"}}'
    script = Script.from_json(b'{"fitting": true, "rules": [{"answer": {"tool_calls": [%s]}}]}' % call)
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}], "tools": [TOOL]}
    assert script.answer_to(asked).tool_calls[0].id == "1"
    assert script.answer_to({**asked, "tool_choice": "none"}).content == "x"
    assert script.answer_to({**asked, "tools": []}).content == "x"


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
        (b"{", "got no script"),
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
