"""The emulator over HTTP, asked by bare aiohttp: it must be right even where our own client would forgive it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from inference_async import ConfigurationError
from inference_async.emulator import Emulator, Script
from tests.support import CONVERSATIONS

VERSION = {"api-version": "2024-05-01-preview"}
HI = {"model": "m", "messages": [{"role": "user", "content": "hi there"}]}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def ask(
    http: aiohttp.ClientSession,
    emulator: Emulator,
    body: Any = HI,
    *,
    v1: bool = False,
    key: str | None = None,
    headers: dict[str, str] | None = None,
    params: dict[str, str] | None = None,
) -> tuple[int, Any]:
    url = emulator.openai_url if v1 else emulator.models_url
    async with http.post(
        f"{url}/chat/completions",
        params=({} if v1 else VERSION) if params is None else params,
        headers={"api-key": key or str(emulator.key), **(headers or {})},
        data=body if isinstance(body, bytes) else json.dumps(body),
    ) as response:
        text = await response.text()
        if response.content_type == "text/event-stream":
            lines = [line for line in text.split("\n\n") if line]
            assert all(line.startswith("data: ") for line in lines)
            assert lines[-1] == "data: [DONE]"
            return response.status, [json.loads(line[6:]) for line in lines[:-1]]
        return response.status, json.loads(text)


@pytest.mark.parametrize("v1", [False, True])
async def test_keys(http: aiohttp.ClientSession, emulator: Emulator, *, v1: bool) -> None:
    assert (await ask(http, emulator, v1=v1))[0] == 200
    status, body = await ask(http, emulator, v1=v1, key="wrong")
    assert (status, body["error"]["code"]) == (401, "401")
    assert body["error"]["message"].startswith("Access denied due to invalid subscription key or wrong API endpoint.")
    bearer = {"api-key": "", "Authorization": f"Bearer {emulator.key}"}
    assert (await ask(http, emulator, v1=v1, headers=bearer))[0] == 200


async def test_a_wrong_bearer_on_models_is_refused_by_the_gateway(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    url = f"{emulator.models_url}/chat/completions"
    async with http.post(url, params=VERSION, json=HI, headers={"Authorization": "Bearer no"}) as response:
        assert response.status == 401
        body = await response.json()
    assert body["statusCode"] == 401
    assert "audience is incorrect" in body["message"]


async def test_without_a_key_everybody_may_ask(http: aiohttp.ClientSession) -> None:
    async with Emulator(key=None, pace=0) as emulator:
        assert (await ask(http, emulator, key="anything"))[0] == 200


@pytest.mark.parametrize(
    ("v1", "params", "status"),
    [
        (False, {}, 400),
        (False, {"api-version": "2024-05-01-preview"}, 200),
        (False, {"api-version": "2023-01-01"}, 400),
        (True, {}, 200),
        (True, {"api-version": "preview"}, 200),
        (True, {"api-version": "v1"}, 200),
        (True, {"api-version": "2024-05-01-preview"}, 400),
    ],
)
async def test_api_version(
    http: aiohttp.ClientSession, emulator: Emulator, v1: bool, params: dict[str, str], status: int
) -> None:
    assert (await ask(http, emulator, v1=v1, params=params))[0] == status


async def test_unknown_fields_on_models(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    row = CONVERSATIONS["extra-parameter"]
    body = row["request"]
    for headers in ({}, {"extra-parameters": "error"}):
        assert await ask(http, emulator, body, headers=headers) == (400, row["without_the_header"]["body"])
    status, answer = await ask(http, emulator, body, headers={"extra-parameters": "pass-through"})
    assert (status, len(answer["choices"][0]["logprobs"]["content"])) == (200, answer["usage"]["completion_tokens"])
    status, answer = await ask(http, emulator, body, headers={"extra-parameters": "drop"})
    assert (status, answer["choices"][0]["logprobs"]) == (200, None)


async def test_unknown_fields_on_v1(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    assert (await ask(http, emulator, {**HI, "logprobs": True}, v1=True))[0] == 200
    status, body = await ask(http, emulator, {**HI, "frob": 1}, v1=True)
    assert (status, body["error"]["message"]) == (400, "Unrecognized request argument supplied: frob")


async def test_a_parameter_the_model_does_not_support(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    asked = {**HI, "model": "no-json-mode", "response_format": {"type": "json_object"}}
    status, body = await ask(http, emulator, asked)
    assert status == 422
    assert body == {
        "status": 422,
        "code": "parameter_not_supported",
        "detail": {"loc": ["body", "response_format"], "input": "json_object"},
        "message": "One of the parameters contain invalid values.",
    }
    assert (await ask(http, emulator, {**asked, "response_format": {"type": "text"}}))[0] == 200
    assert (await ask(http, emulator, {**HI, "model": "no-tools", "tools": [{}]}))[0] == 422


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "could not parse"),
        (b"[]", "could not parse"),
        ({"model": "m"}, "'messages' must be a list"),
        ({"model": "m", "messages": []}, "'messages' must be a list"),
        ({"model": "m", "messages": ["x"]}, "Invalid value"),
        ({"model": "m", "messages": [{"role": "wizard"}]}, "Invalid value: 'wizard'"),
        ({"model": "m", "messages": [{"role": "tool", "content": "x"}]}, "Missing parameter 'tool_call_id'"),
        ({"model": "m", "messages": [{"role": "user", "content": 5}]}, "Invalid content"),
        ({"model": "m", "messages": [{"role": "user", "content": ["hi"]}]}, "Invalid content"),
        ({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "Invalid content"),
        ({"messages": HI["messages"]}, "No model specified"),
    ],
)
async def test_bad_bodies(http: aiohttp.ClientSession, emulator: Emulator, body: Any, words: str) -> None:
    status, answer = await ask(http, emulator, body)
    assert status == 400
    assert words in answer["error"]["message"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("temperature", ["0.5", True, 9, -1, [1]]),
        ("max_tokens", ["5", -1, 1.5]),
        ("top_p", [2]),
        ("seed", ["x", 1.5]),
        ("stop", [5, [5], {}]),
        ("tools", [5, [], [{"name": "x"}], [{"type": "function", "function": {}}], {"type": "function"}]),
        ("tool_choice", ["any", 5]),
        ("response_format", ["json", {}, {"type": "json_schema"}]),
        ("model", [["x"], 3]),
        ("stream", ["yes"]),
    ],
)
async def test_values_of_the_wrong_kind(
    http: aiohttp.ClientSession, emulator: Emulator, name: str, values: list[Any]
) -> None:
    for value in values:
        status, body = await ask(http, emulator, {**HI, name: value})
        assert (status, body["detail"]["loc"]) == (422, ["body", name]), f"{name}={value!r}"
        status, body = await ask(http, emulator, {**HI, name: value}, v1=True)
        assert (status, body["error"]["param"]) == (400, name), f"{name}={value!r}"


async def test_another_route_names_those_it_has(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    for method, path in (("POST", "/chat/completions"), ("GET", "/index.html"), ("GET", "/models/chat/completions")):
        async with http.request(method, f"{emulator.url}{path}") as response:
            assert response.status == 404
            body = await response.json()
        assert f"{emulator.models_url}/chat/completions" in body["error"]["message"]
        assert f"{emulator.openai_url}/chat/completions" in body["error"]["message"]


async def test_it_never_pretends_to_be_a_model(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    _, answer = await ask(http, emulator, {**HI, "model": "gpt-9"})
    assert answer["model"] == "emulator/gpt-9"
    assert answer["choices"][0]["message"]["content"] == "hi there"


async def test_stream_on_models_has_usage_with_the_finish_reason(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    _, chunks = await ask(http, emulator, CONVERSATIONS["streamed-with-options"]["request"])
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert len(chunks) == 48 + 2, "the role, a token each, the end"
    assert all("usage" not in chunk for chunk in chunks[:-1])
    last = chunks[-1]
    assert last["choices"] == [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]
    assert last["usage"] == {"prompt_tokens": 19, "completion_tokens": 48, "total_tokens": 67}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


async def test_stream_on_v1_has_usage_alone_and_only_if_asked(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    asked = {**HI, "stream": True, "stream_options": {"include_usage": True}}
    _, chunks = await ask(http, emulator, asked, v1=True)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 4
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-2]["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"}
    _, chunks = await ask(http, emulator, {**HI, "stream": True}, v1=True)
    assert all("usage" not in chunk for chunk in chunks)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("options", "text", "reason", "tokens"),
    [
        ({"max_tokens": 1}, "hi", "length", 1),
        ({"max_tokens": 2}, "hi there", "stop", 2),
        ({"stop": [" there"]}, "hi", "stop", 1),
        ({"stop": "th"}, "hi ", "stop", 2),
        ({"stop": ["nowhere"]}, "hi there", "stop", 2),
    ],
)
async def test_limits_of_the_request(
    http: aiohttp.ClientSession,
    emulator: Emulator,
    options: dict[str, Any],
    text: str,
    reason: str,
    tokens: int,
    *,
    stream: bool,
) -> None:
    _, answer = await ask(http, emulator, {**HI, **options, "stream": stream})
    if stream:
        assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in answer) == text
        answer = {**answer[-1], "choices": answer[-1]["choices"]}
    else:
        assert answer["choices"][0]["message"]["content"] == text
    assert answer["choices"][0]["finish_reason"] == reason
    assert answer["usage"]["completion_tokens"] == tokens


async def test_a_filtered_answer(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "[answer-filter]"}]}
    _, whole = await ask(http, emulator, body)
    choice = whole["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("content_filter", "")
    assert choice["content_filter_results"]["violence"]["filtered"] is True
    _, chunks = await ask(http, emulator, {**body, "stream": True})
    assert chunks[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert chunks[-1]["choices"][0]["content_filter_results"]["violence"]["filtered"] is True


async def test_tool_calls_are_streamed_in_pieces(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    request = CONVERSATIONS["tool-call"]["request"]
    _, chunks = await ask(http, emulator, {**request, "stream": True})
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls") or []]
    assert len(calls) > 3
    assert calls[0]["id"] == "abc0dF1gh"
    assert calls[0]["function"]["name"] == "get_flight_info"
    assert all(set(call) == {"index", "function"} for call in calls[1:])
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {
        "origin_city": "Miami",
        "destination_city": "Seattle",
    }


async def test_a_port_that_is_taken(emulator: Emulator) -> None:
    port = int(emulator.url.rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=f"cannot listen on port {port}"):
        await Emulator(port=port).start()


async def test_it_echoes_the_callers_id(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    url = f"{emulator.openai_url}/chat/completions"
    headers = {"api-key": str(emulator.key), "x-ms-client-request-id": "mine"}
    async with http.post(url, json=HI, headers=headers) as response:
        assert response.headers["x-ms-client-request-id"] == "mine"
        assert response.headers["x-request-id"]
    assert emulator.requests == 1


async def test_it_stops_with_a_stream_open(http: aiohttp.ClientSession) -> None:
    script = Script.from_json(b'{"pace": {"first": 0, "token": 60}, "rules": []}')
    emulator = Emulator(script)
    await emulator.start()
    url = f"{emulator.openai_url}/chat/completions"
    async with http.post(url, json={**HI, "stream": True}, headers={"api-key": str(emulator.key)}) as response:
        assert (await response.content.readany()).startswith(b"data: ")
        await emulator.aclose()
