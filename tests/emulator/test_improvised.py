"""What is answered when no rule fits: schemas, calls and their results."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from jsonschema import Draft202012Validator

from inference_async.emulator import Emulator, Script
from tests.emulator.asking import ask, choice_of, deltas, text_of, user

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "now"}},
]
ASKED = user("look", tools=TOOLS)
NAMED = {"type": "function", "function": {"name": "now"}}
CALL_ALL = user("[call-tools]", tools=TOOLS)


def schema(of: Any, *, strict: bool = True) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "n", "schema": of, "strict": strict}}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}}


@pytest.mark.parametrize("stream", [False, True])
async def test_an_instance_of_the_schema(http: aiohttp.ClientSession, emulator: Emulator, *, stream: bool) -> None:
    asked = user("go", response_format=schema(WEATHER), stream=stream)
    _, answer, _ = await ask(http, emulator, asked, "openai-v1")
    text = text_of(answer) if stream else answer["choices"][0]["message"]["content"]
    assert Draft202012Validator(WEATHER).is_valid(json.loads(text))


async def test_a_schema_that_nothing_fits(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    status, body, _ = await ask(http, emulator, user("go", response_format=schema({"$ref": "#/gone"}, strict=False)))
    assert status == 400
    assert body["error"]["message"].startswith("Invalid schema for 'response_format': got $ref")


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({}, []),
        ({"tool_choice": "auto"}, []),
        ({"tool_choice": "none"}, []),
        ({"tool_choice": "required"}, ["weather"]),
        ({"tool_choice": NAMED}, ["now"]),
        (allowed("auto", "now"), []),
        (allowed("required", "now"), ["now"]),
        (allowed("required", "now", "weather"), ["weather"]),
    ],
)
async def test_a_call_is_made_where_it_is_demanded(
    http: aiohttp.ClientSession, emulator: Emulator, more: dict[str, Any], names: list[str]
) -> None:
    choice = await choice_of(http, emulator, {**ASKED, **more})
    calls = choice["message"]["tool_calls"] or []
    assert [call["function"]["name"] for call in calls] == names
    assert choice["finish_reason"] == ("tool_calls" if names else "stop")
    assert choice["message"]["content"] == ("" if names else "look")


async def test_a_function_that_is_not_offered_cannot_be_demanded(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    gone = {"type": "function", "function": {"name": "gone"}}
    for body in ({**ASKED, "tool_choice": gone}, user("look", tool_choice=gone)):
        status, answer, _ = await ask(http, emulator, body)
        assert (status, answer["error"]["param"]) == (400, "tool_choice")


async def test_a_script_calls_every_tool(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    choice = await choice_of(http, emulator, CALL_ALL)
    first, second = choice["message"]["tool_calls"]
    assert Draft202012Validator(WEATHER).is_valid(json.loads(first["function"]["arguments"]))
    assert (second["function"]["name"], second["function"]["arguments"]) == ("now", "{}")
    assert first["id"] != second["id"]
    assert max(len(first["id"]), len(second["id"])) <= 40
    assert (await choice_of(http, emulator, CALL_ALL))["message"]["tool_calls"][0]["id"] == first["id"]


async def test_parallel_calls_are_streamed_one_after_the_other(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    whole = (await choice_of(http, emulator, CALL_ALL))["message"]["tool_calls"]
    _, chunks, _ = await ask(http, emulator, {**CALL_ALL, "stream": True}, "openai-v1")
    made: dict[int, dict[str, Any]] = {}
    for delta in deltas(chunks):
        for piece in delta.get("tool_calls") or []:
            call = made.setdefault(piece["index"], {"arguments": ""})
            call["arguments"] += piece["function"]["arguments"]
            call.update({name: piece[name] for name in ("id", "type") if name in piece})
    assert [call["id"] for call in made.values()] == [call["id"] for call in whole]
    assert [call["arguments"] for call in made.values()] == [call["function"]["arguments"] for call in whole]


async def test_one_call_where_parallel_ones_are_not_wanted(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    choice = await choice_of(http, emulator, {**CALL_ALL, "parallel_tool_calls": False})
    assert len(choice["message"]["tool_calls"]) == 1
    choice = await choice_of(http, emulator, {**CALL_ALL, "tool_choice": "none"})
    assert (choice["message"]["tool_calls"], choice["message"]["content"]) == (None, "[call-tools]")


@pytest.mark.parametrize("stream", [False, True])
async def test_the_results_are_said_back_and_the_turn_ends(
    http: aiohttp.ClientSession, emulator: Emulator, *, stream: bool
) -> None:
    message = (await choice_of(http, emulator, CALL_ALL))["message"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": text}
        for call, text in zip(message["tool_calls"], ('{"sky": "grey"}', "noon"), strict=True)
    ]
    asked = {**CALL_ALL, "messages": [*CALL_ALL["messages"], message, *results], "tool_choice": "required"}
    _, answer, _ = await ask(http, emulator, {**asked, "stream": stream}, "openai-v1")
    text = text_of(answer) if stream else answer["choices"][0]["message"]["content"]
    assert text == 'weather: {"sky": "grey"}\nnow: noon'
    last = answer[-1] if stream else answer
    assert last["choices"][0]["finish_reason"] == "stop"


async def test_only_allowed_tools_are_called(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    choice = await choice_of(http, emulator, {**CALL_ALL, **allowed("auto", "now")})
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["now"]


async def test_a_script_names_the_calls(http: aiohttp.ClientSession) -> None:
    script = Script.from_json(b'{"rules": [{"answer": {"call_tools": ["now", "made-up"]}}]}')
    async with Emulator(script, pace=0) as emulator:
        calls = (await choice_of(http, emulator, ASKED))["message"]["tool_calls"]
        assert [(call["function"]["name"], call["function"]["arguments"]) for call in calls] == [
            ("now", "{}"),
            ("made-up", "{}"),
        ]
        asked = {"role": "assistant", "tool_calls": calls[:1]}
        messages = [*ASKED["messages"], asked, {"role": "tool", "tool_call_id": calls[0]["id"], "content": "b"}]
        choice = await choice_of(http, emulator, {**ASKED, "messages": messages})
        assert (choice["message"]["content"], choice["message"]["tool_calls"]) == ("now: b", None)


async def test_a_tool_with_a_schema_that_is_none(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    tools = [{"type": "function", "function": {"name": "odd", "parameters": {"type": 5}}}]
    status, body, _ = await ask(http, emulator, user("[call-tools]", tools=tools))
    assert (status, body["error"]["param"]) == (400, "tools.odd")
