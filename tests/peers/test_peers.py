"""Other clients read the emulator as ours does: the same text, usage and calls. Run by `nox -s peers`."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from azure.ai.inference.aio import ChatCompletionsClient, EmbeddingsClient, ImageEmbeddingsClient
from azure.ai.inference.models import ImageEmbeddingInput, JsonSchemaFormat
from azure.core.credentials import AzureKeyCredential

from inference_async import ChatCompletion, ChatStream, InferenceClient
from inference_async.emulator import Emulator, Script
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


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
INSTANCE = {"city": "city", "days": 2}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "now"}},
]
PNG = "data:image/png;base64," + base64.b64encode(bytes(100)).decode()
PATHS = ("openai-v1", "deployment", "generic")


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def openai_client(emulator: Emulator, path: str) -> openai.AsyncOpenAI:
    if path == "deployment":
        return openai.AsyncAzureOpenAI(
            azure_endpoint=emulator.url, api_version="2024-10-21", api_key=emulator.key, max_retries=0
        )
    url = emulator.openai_url if path == "openai-v1" else emulator.generic_url
    return openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0)


@pytest.mark.parametrize("path", PATHS)
async def test_openai_calls_tools_in_two_turns(emulator: Emulator, path: str) -> None:
    messages = said("[call-tools]")
    async with openai_client(emulator, path) as client:
        first = await client.chat.completions.create(model="m", messages=messages, tools=TOOLS)
        stream = await client.chat.completions.create(model="m", messages=messages, tools=TOOLS, stream=True)
        streamed = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or []]
        calls = first.choices[0].message.tool_calls or []
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": f"result {at}"} for at, call in enumerate(calls)
        ]
        messages = [*messages, first.choices[0].message.model_dump(exclude_none=True), *results]
        second = await client.chat.completions.create(model="m", messages=messages, tools=TOOLS)
    assert first.choices[0].finish_reason == "tool_calls"
    assert [call.function.name for call in calls if call.type == "function"] == ["weather", "now"]
    assert [call.id for call in streamed if call.id] == [call.id for call in calls]
    arguments = "".join((call.function.arguments or "") for call in streamed if call.index == 0 and call.function)
    assert json.loads(arguments) == INSTANCE
    assert second.choices[0].message.content == "weather: result 0\nnow: result 1"
    assert second.choices[0].finish_reason == "stop"
    assert second.model == "emulator/m"


@pytest.mark.parametrize("path", PATHS)
async def test_openai_gets_an_instance_of_its_schema(emulator: Emulator, path: str) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "trip", "schema": SCHEMA, "strict": True}}
    async with openai_client(emulator, path) as client:
        answer = await client.chat.completions.create(model="m", messages=said("go"), response_format=wanted)
    assert json.loads(answer.choices[0].message.content or "") == INSTANCE


@pytest.mark.parametrize("path", PATHS)
async def test_openai_embeds(emulator: Emulator, path: str) -> None:
    async with openai_client(emulator, path) as client:
        floats = await client.embeddings.create(model="m", input=["a fox", "a dog"], encoding_format="float")
        unasked = await client.embeddings.create(model="m", input=["a fox", "a dog"])  # as base64, decoded by it
        raw = await client.embeddings.create(model="m", input="a fox", encoding_format="base64", dimensions=8)
    assert [row.embedding for row in floats.data] == [row.embedding for row in unasked.data]
    assert (len(floats.data[0].embedding), floats.usage.total_tokens) == (256, 4)
    text: Any = raw.data[0].embedding
    assert len(struct.unpack("<8f", base64.b64decode(text))) == 8


@pytest.mark.parametrize("path", PATHS)
async def test_openai_gets_choices_and_log_probabilities(emulator: Emulator, path: str) -> None:
    async with openai_client(emulator, path) as client:
        whole = await client.chat.completions.create(
            model="m", messages=said("hi there"), n=2, logprobs=True, top_logprobs=2
        )
        stream = await client.chat.completions.create(model="m", messages=said("hi there"), n=2, stream=True)
        texts = ["", ""]
        async for chunk in stream:
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
    assert [choice.message.content for choice in whole.choices] == texts
    found = whole.choices[0].logprobs
    assert found is not None
    assert [len(row.top_logprobs) for row in found.content or []] == [2, 2]


async def test_openai_reads_the_asynchronous_filter_and_reasoning(emulator: Emulator) -> None:
    async with openai_client(emulator, "deployment") as client:
        stream = await client.chat.completions.create(model="m", messages=said("[late-filter]"), stream=True)
        chunks = [chunk async for chunk in stream]
        thought = await client.chat.completions.create(model="m", messages=said("[reasoning]"))
    assert chunks[0].choices == []
    assert (chunks[0].model_extra or {})["prompt_filter_results"]
    last: Any = chunks[-1].choices[0]
    assert (last.finish_reason, last.delta) == ("content_filter", None)
    assert (last.model_extra or {})["content_filter_offsets"]["check_offset"] > 0
    assert (thought.choices[0].message.model_extra or {})["reasoning_content"]
    assert thought.usage is not None
    assert thought.usage.completion_tokens_details is not None
    assert thought.usage.completion_tokens_details.reasoning_tokens


async def test_azure_ai_inference_calls_tools_in_two_turns(emulator: Emulator) -> None:
    messages = said("[call-tools]")
    async with ChatCompletionsClient(emulator.models_url, AzureKeyCredential(KEY), model="m") as client:
        first: Any = await client.complete(messages=messages, tools=TOOLS)
        calls = first.choices[0].message.tool_calls
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": f"result {at}"} for at, call in enumerate(calls)
        ]
        messages = [*messages, first.choices[0].message.as_dict(), *results]
        second: Any = await client.complete(messages=messages, tools=TOOLS)
    assert [call.function.name for call in calls] == ["weather", "now"]
    assert json.loads(calls[0].function.arguments) == INSTANCE
    assert second.choices[0].message.content == "weather: result 0\nnow: result 1"


async def test_azure_ai_inference_gets_an_instance_of_its_schema(emulator: Emulator) -> None:
    wanted = JsonSchemaFormat(name="trip", schema=SCHEMA, strict=True)
    async with ChatCompletionsClient(emulator.models_url, AzureKeyCredential(KEY), model="m") as client:
        answer: Any = await client.complete(messages=said("go"), response_format=wanted)
    assert json.loads(answer.choices[0].message.content) == INSTANCE


@pytest.mark.parametrize("one_model", [False, True], ids=["models", "serverless"])
async def test_azure_ai_inference_embeds(emulator: Emulator, *, one_model: bool) -> None:
    url = emulator.serverless_url if one_model else emulator.models_url
    model = None if one_model else "m"
    async with EmbeddingsClient(url, AzureKeyCredential(KEY), model=model) as client:
        floats = await client.embed(input=["a fox", "a dog"], input_type="query")
        packed = await client.embed(input=["a fox"], encoding_format="base64")
        bytes_ = await client.embed(input=["a fox"], encoding_format="int8", dimensions=4)
    assert list(struct.unpack("<256f", base64.b64decode(str(packed.data[0].embedding)))) == floats.data[0].embedding
    assert (floats.usage.prompt_tokens, floats.usage.total_tokens) == (4, 4)
    assert len(bytes_.data[0].embedding) == 4
    async with ImageEmbeddingsClient(url, AzureKeyCredential(KEY), model=model) as pictures:
        seen = await pictures.embed(input=[ImageEmbeddingInput(image=PNG, text="a fox")], dimensions=16)
    assert len(seen.data[0].embedding) == 16
    assert seen.usage["prompt_patches"] == 1


async def test_azure_ai_inference_asks_for_the_model(emulator: Emulator) -> None:
    from azure.ai.inference.aio import load_client

    for url in (emulator.serverless_url, emulator.managed_url):
        client: Any = await load_client(url, AzureKeyCredential(KEY))
        async with client:
            assert isinstance(client, ChatCompletionsClient)
            info = await client.get_model_info()
        assert (info.model_name, info.model_type, info.model_provider_name) == ("demo", "chat_completion", "emulator")


async def test_azure_ai_inference_gets_choices_and_filter_results() -> None:
    async with Emulator(Script.from_json(b'{"annotate": true, "rules": []}'), key=KEY, pace=0) as emulator:
        async with ChatCompletionsClient(emulator.models_url, AzureKeyCredential(KEY), model="m") as client:
            answer: Any = await client.complete(messages=said("hi"), model_extras={"n": 2, "logprobs": True})
            stream: Any = await client.complete(messages=said("hi"), stream=True)
            chunks = [chunk async for chunk in stream]
        async with openai_client(emulator, "deployment") as other:
            theirs = await other.chat.completions.create(model="m", messages=said("hi"))
    assert [choice.message.content for choice in answer.choices] == ["hi", "hi (choice 2)"]
    assert answer.choices[0]["content_filter_results"]["hate"] == {"filtered": False, "severity": "safe"}
    assert answer["prompt_filter_results"][0]["prompt_index"] == 0
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == "hi"
    assert (theirs.choices[0].model_extra or {})["content_filter_results"]["hate"]["severity"] == "safe"
    assert (theirs.model_extra or {})["prompt_filter_results"]


def test_the_versions_are_those_we_name() -> None:
    from importlib.metadata import version

    assert version("azure-ai-inference") == "1.0.0b9"
