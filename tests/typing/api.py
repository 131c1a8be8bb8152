"""What the checkers must infer of the public surface. Never run: read by mypy and pyright."""

from __future__ import annotations

from typing import assert_type

import azure.identity.aio
from azure.core.credentials import AzureKeyCredential

from inference_async import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    ChatStream,
    Endpoint,
    InferenceClient,
    SystemMessage,
    Timeouts,
    ToolCall,
    Usage,
    UserMessage,
)
from inference_async.emulator import Emulator


async def calls(client: InferenceClient) -> None:
    completion = await client.complete("hi", model="m", temperature=0, stop=["a"], extra={"x": 1}, extra_mode="drop")
    assert_type(completion, ChatCompletion)
    assert_type(completion.text, str)
    assert_type(completion.message, AssistantMessage)
    assert_type(completion.usage, Usage | None)
    assert_type(completion.tool_calls, list[ToolCall])
    assert_type(completion.finish_reason, str | None)
    await client.complete([SystemMessage("s"), UserMessage("u"), {"role": "user", "content": "x"}, "y"])
    await client.complete([UserMessage("u"), completion.message])
    await client.complete(UserMessage([{"type": "text", "text": "x"}]))


async def streams(client: InferenceClient) -> None:
    async with client.stream("hi", max_tokens=5) as stream:
        assert_type(stream, ChatStream)
        async for chunk in stream:
            assert_type(chunk, ChatCompletionChunk)
            assert_type(chunk.text, str)
        async for text in stream.text():
            assert_type(text, str)
    assert_type(await stream.final(), ChatCompletion)
    assert_type(stream.usage, Usage | None)


async def clients() -> None:
    async with InferenceClient("https://x.services.ai.azure.com/models", "key") as client:
        assert_type(client, InferenceClient)
        assert_type(client.with_options(timeouts=Timeouts(total=None)), InferenceClient)
        assert_type(client.endpoint, Endpoint)
    InferenceClient(credential="default")
    InferenceClient(credential=AzureKeyCredential("key"))
    InferenceClient(credential=lambda: "token")
    InferenceClient(credential=azure.identity.ManagedIdentityCredential())
    InferenceClient(credential=azure.identity.aio.ManagedIdentityCredential())
    async with Emulator() as emulator:
        assert_type(emulator.models_url, str)


async def refused(client: InferenceClient) -> None:
    """Each of these must be an error to both checkers; an unused suppression is one too."""
    await client.complete("hi", temprature=1)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]
    await client.complete(5)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    await client.complete("hi", max_tokens="5")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    await client.complete("hi", extra_mode="maybe")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    from inference_async import InferenceCleint  # type: ignore[attr-defined] # pyright: ignore # noqa: F401
