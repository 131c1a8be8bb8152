"""Other clients read the emulator as ours does: the same text, usage and calls. Run by `nox -s peers`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from azure.ai.inference.aio import ChatCompletionsClient
from azure.core.credentials import AzureKeyCredential

from inference_async import ChatCompletion, ChatStream, InferenceClient
from inference_async.emulator import Emulator
from tests.support import CONVERSATIONS

KEY = "emulator-key"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(key=KEY, pace=0) as server:
        yield server


def request(name: str) -> dict[str, Any]:
    return {name: value for name, value in CONVERSATIONS[name]["request"].items() if name != "stream"}


async def ours(url: str, name: str) -> ChatCompletion:
    async with InferenceClient(url, KEY) as client:
        stream: ChatStream = client.stream(**request(name))
        return await stream.final()


STREAMED = ("basic", "sampling-parameters", "json-mode", "json-mode-cut", "tool-call")


@pytest.mark.parametrize("name", STREAMED)
async def test_openai(emulator: Emulator, name: str) -> None:
    expected = await ours(emulator.openai_url, name)
    text, arguments, usage, reason = "", "", None, None
    async with openai.AsyncOpenAI(base_url=emulator.openai_url, api_key=KEY, max_retries=0) as client:
        stream = await client.chat.completions.create(
            **request(name), stream=True, stream_options={"include_usage": True}
        )
        async with stream:
            async for chunk in stream:
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    reason = choice.finish_reason or reason
                    for call in choice.delta.tool_calls or []:
                        arguments += (call.function.arguments or "") if call.function else ""
        whole = await client.chat.completions.create(**request(name))
    assert (text, reason) == (expected.text, expected.finish_reason)
    assert arguments == "".join(call.function.arguments for call in expected.tool_calls)
    assert usage is not None
    assert expected.usage is not None
    assert usage.model_dump(exclude_none=True) == {
        "prompt_tokens": expected.usage.prompt_tokens,
        "completion_tokens": expected.usage.completion_tokens,
        "total_tokens": expected.usage.total_tokens,
    }
    assert (whole.choices[0].message.content, whole.usage) == (expected.message.content, usage)


@pytest.mark.parametrize("name", STREAMED)
async def test_azure_ai_inference(emulator: Emulator, name: str) -> None:
    expected = await ours(emulator.models_url, name)
    text, arguments, usage, reason = "", "", None, None
    asked = request(name)
    asked["response_format"] = asked.get("response_format", {}).get("type")  # a dict is refused by that client
    client = ChatCompletionsClient(emulator.models_url, AzureKeyCredential(KEY))
    # azure-core asks for TLS where a bearer token is sent; a key may go over loopback.
    async with client:
        stream: Any = await client.complete(**asked, stream=True)
        async for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reason = choice.finish_reason or reason
                for call in choice.delta.tool_calls or []:
                    arguments += call.function.arguments or ""
        whole: Any = await client.complete(**asked)
    assert (text, reason) == (expected.text, expected.finish_reason)
    assert arguments == "".join(call.function.arguments for call in expected.tool_calls)
    assert usage is not None
    assert expected.usage is not None
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert usage[name] == whole.usage[name] == getattr(expected.usage, name)
    assert whole.choices[0].message.content == expected.message.content


async def test_both_see_a_refused_prompt_as_a_400(emulator: Emulator) -> None:
    from azure.core.exceptions import HttpResponseError

    asked = request("content-filter")
    async with openai.AsyncOpenAI(base_url=emulator.openai_url, api_key=KEY, max_retries=0) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(**asked)
    assert caught.value.code == "content_filter"
    async with ChatCompletionsClient(emulator.models_url, AzureKeyCredential(KEY)) as other:
        with pytest.raises(HttpResponseError) as refused:
            await other.complete(**asked)
    assert refused.value.status_code == 400


async def test_model_extras_go_through(emulator: Emulator) -> None:
    async with ChatCompletionsClient(emulator.models_url, AzureKeyCredential(KEY)) as client:
        answer: Any = await client.complete(**request("basic"), model_extras={"logprobs": True})
    assert len(answer.choices[0]["logprobs"]["content"]) == 48


def test_the_versions_are_those_we_name() -> None:
    from importlib.metadata import version

    assert version("azure-ai-inference") == "1.0.0b9"
