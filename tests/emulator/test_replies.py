"""Choices, log probabilities, reasoning, usage and pace."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from inference_async.emulator import Emulator, Script
from tests.emulator.asking import ask, choice_of, deltas, key_of, text_of, user

THOUGHT = "two and two"
FIELDS = ("reasoning_content", "reasoning")


def thinking(how: str) -> Script:
    answer = {"content": "Four it is.", "reasoning": THOUGHT, "reasoning_as": how}
    return Script.from_json(json.dumps({"rules": [{"answer": answer}]}).encode())


@pytest.mark.parametrize("dialect", ["openai-v1", "deployment", "generic", "front", "models"])
async def test_choices(http: aiohttp.ClientSession, emulator: Emulator, dialect: str) -> None:
    headers = {**key_of(dialect, emulator.key), "extra-parameters": "pass-through"}
    asked = user("hi there", n=3)
    _, one, _ = await ask(http, emulator, {**asked, "n": 1}, dialect, headers=headers)
    _, whole, _ = await ask(http, emulator, asked, dialect, headers=headers)
    texts = [choice["message"]["content"] for choice in whole["choices"]]
    assert texts == ["hi there", "hi there (choice 2)", "hi there (choice 3)"]
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2]
    assert whole["usage"]["completion_tokens"] > 3 * one["usage"]["completion_tokens"]
    _, chunks, _ = await ask(http, emulator, {**asked, "stream": True}, dialect, headers=headers)
    assert [text_of(chunks, index) for index in range(3)] == texts
    order = [chunk["choices"][0]["index"] for chunk in chunks if chunk["choices"]]
    assert order[:6] == [0, 1, 2, 0, 1, 2], "they come by turns"
    ends = [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]]
    assert ends.count("stop") == 3
    assert [("usage" in chunk) for chunk in chunks].count(True) == (1 if dialect == "models" else 0)


async def test_on_models_n_is_an_extra_parameter(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    assert (await ask(http, emulator, user("hi", n=2))).status == 400
    assert (await ask(http, emulator, user("hi", n=0), "openai-v1")).body["error"]["param"] == "n"


async def test_choices_of_json_and_of_calls(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    _, answer, _ = await ask(http, emulator, user("hi", n=2, response_format={"type": "json_object"}), "openai-v1")
    first, second = (choice["message"]["content"] for choice in answer["choices"])
    assert first != second
    assert json.loads(first) == json.loads(second)
    tools = [{"type": "function", "function": {"name": "now"}}]
    _, answer, _ = await ask(http, emulator, user("hi", n=2, tools=tools, tool_choice="required"), "openai-v1")
    assert len({choice["message"]["tool_calls"][0]["id"] for choice in answer["choices"]}) == 2


async def test_log_probabilities(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    asked = user("hé there", logprobs=True, top_logprobs=2)
    rows = (await choice_of(http, emulator, asked))["logprobs"]["content"]
    assert [row["token"] for row in rows] == ["hé", " there"]
    assert rows[0]["bytes"] == list("hé".encode())
    for row in rows:
        top = row["top_logprobs"]
        assert (len(top), top[0]["token"]) == (2, row["token"])
        assert top[0]["logprob"] > top[1]["logprob"]
    _, chunks, _ = await ask(http, emulator, {**asked, "stream": True}, "openai-v1")
    streamed = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    assert [row for part in streamed if part for row in part["content"]] == rows
    assert (await choice_of(http, emulator, user("hi", logprobs=True)))["logprobs"]["content"][0]["top_logprobs"] == []
    assert (await ask(http, emulator, user("hi", logprobs=True, top_logprobs=21), "openai-v1")).status == 400


@pytest.mark.parametrize("how", FIELDS)
async def test_reasoning_in_a_field(http: aiohttp.ClientSession, how: str) -> None:
    async with Emulator(thinking(how), pace=0) as emulator:
        _, answer, _ = await ask(http, emulator, user("?"))
        _, chunks, _ = await ask(http, emulator, user("?", stream=True))
    message = answer["choices"][0]["message"]
    assert (message["content"], message[how]) == ("Four it is.", THOUGHT)
    assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 3}
    assert answer["usage"]["completion_tokens"] == 3 + 4
    assert "".join(delta.get(how) or "" for delta in deltas(chunks)) == THOUGHT
    assert text_of(chunks) == "Four it is."
    assert chunks[-1]["usage"] == answer["usage"]


async def test_reasoning_in_tags(http: aiohttp.ClientSession) -> None:
    async with Emulator(thinking("think_tags"), pace=0) as emulator:
        message = (await choice_of(http, emulator, user("?")))["message"]
        _, chunks, _ = await ask(http, emulator, user("?", stream=True))
    assert message["content"] == f"<think>\n{THOUGHT}\n</think>\n\nFour it is."
    assert text_of(chunks) == message["content"]
    assert not any("<think>" in (delta.get("content") or "") for delta in deltas(chunks)), "a tag may be split"


async def test_reasoning_in_parts(http: aiohttp.ClientSession) -> None:
    async with Emulator(thinking("parts"), pace=0) as emulator:
        message = (await choice_of(http, emulator, user("?")))["message"]
        _, chunks, _ = await ask(http, emulator, user("?", stream=True))
    assert message["content"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]},
        {"type": "text", "text": "Four it is."},
    ]
    thought, said = "", ""
    for delta in deltas(chunks):
        content: Any = delta.get("content") or ""
        if isinstance(content, list):
            thought += content[0]["thinking"][0]["text"]
        else:
            said += content
    assert (thought, said) == (THOUGHT, "Four it is.")


@pytest.mark.parametrize(
    ("limit", "thought", "said"), [(2, "two and", ""), (5, THOUGHT, "Four it"), (7, THOUGHT, "Four it is.")]
)
async def test_a_limit_counts_what_is_thought(http: aiohttp.ClientSession, limit: int, thought: str, said: str) -> None:
    async with Emulator(thinking("reasoning_content"), pace=0) as emulator:
        choice = await choice_of(http, emulator, user("?", max_tokens=limit))
    assert (choice["message"]["reasoning_content"], choice["message"]["content"]) == (thought, said)
    assert choice["finish_reason"] == ("stop" if limit == 7 else "length")


async def test_the_shipped_script_thinks(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    message = (await choice_of(http, emulator, user("[reasoning]")))["message"]
    assert message["reasoning_content"]
    assert message["content"].endswith("42.")


async def test_what_is_left_of_the_minute(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    for stream in (False, True):
        _, _, headers = await ask(http, emulator, user("hi there", stream=stream))
        found = {name: int(headers[f"x-ratelimit-{name}"]) for name in ("limit-requests", "remaining-requests")}
        assert found == {"limit-requests": 1000, "remaining-requests": 999}
        used = int(headers["x-ratelimit-limit-tokens"]) - int(headers["x-ratelimit-remaining-tokens"])
        assert used == 4


async def test_a_whole_answer_takes_as_long_as_its_stream(http: aiohttp.ClientSession) -> None:
    script = Script.from_json(b'{"pace": {"first": 0, "token": 60}, "rules": []}')
    async with Emulator(script) as emulator:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(http, emulator, user("hi")), 0.2)
    async with Emulator(script, pace=0) as emulator:
        assert (await ask(http, emulator, user("hi"))).status == 200


@pytest.mark.parametrize(
    "answer",
    [b'{"call_tools": "all"}', b'{"reasoning_as": "dreams"}', b'{"filtered": -1}', b'{"late_filter": 1}'],
)
def test_a_bad_script(answer: bytes) -> None:
    with pytest.raises(ValueError, match=r"rules\[0\]\.answer"):
        Script.from_json(b'{"rules": [{"answer": %s}]}' % answer)
