"""Other clients read what `stream.sse()` sends as they read the service itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import openai
import pytest
from aiohttp import web

from inference_async import InferenceClient
from inference_async.emulator import Emulator
from tests.examples.serving import serving

CALLS: dict[str, dict[str, Any]] = {
    "text": {"messages": [{"role": "user", "content": "How many languages are in the world?"}]},
    "tools": {
        "messages": [{"role": "user", "content": "When does the next flight leave from Miami to Seattle?"}],
        "tools": [{"type": "function", "function": {"name": "get_flight_info", "parameters": {"type": "object"}}}],
    },
}


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(pace=0) as server:
        yield server


def relay(client: InferenceClient) -> web.Application:
    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        options = {name: body[name] for name in ("messages", "tools") if name in body}
        async with aclosing(client.stream(**options).sse()) as events:
            response = web.StreamResponse(headers={"content-type": events.media_type, **events.headers})
            await response.prepare(request)
            async for data in events:
                await response.write(data)
        return response

    app = web.Application()
    app.router.add_post("/chat/completions", chat)
    return app


async def read(url: str, call: dict[str, Any]) -> tuple[str, list[Any], Any, Any]:
    text, calls, reason, usage = "", [], None, None
    async with openai.AsyncOpenAI(base_url=url, api_key="emulator-key", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="demo", stream=True, stream_options={"include_usage": True}, **call
        )
        async with stream:
            async for chunk in stream:
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    assert choice.index == 0
                    text += choice.delta.content or ""
                    reason = choice.finish_reason or reason
                    for made in choice.delta.tool_calls or []:
                        assert made.function is not None
                        calls.append((made.index, made.function.name, made.function.arguments))
    return text, calls, reason, usage.to_dict() if usage is not None else None


@pytest.mark.parametrize("name", CALLS)
async def test_openai(emulator: Emulator, name: str) -> None:
    async with (
        InferenceClient(emulator.openai_url, emulator.key, model="demo") as client,
        serving(relay(client)) as url,
    ):
        assert await read(url, CALLS[name]) == await read(emulator.openai_url, CALLS[name])


async def test_openai_raises_the_error(emulator: Emulator) -> None:
    async with InferenceClient(emulator.openai_url, "wrong", model="demo") as client, serving(relay(client)) as url:
        with pytest.raises(openai.APIError, match="the request failed") as caught:
            await read(url, CALLS["text"])
    assert caught.value.type == "AuthenticationError"
