"""What the checkers must infer of the names of the retired SDK. Never run: read by mypy and pyright."""

from __future__ import annotations

from datetime import datetime
from typing import assert_type

import azure.identity.aio
from azure.core.credentials import AzureKeyCredential

from inference_async.compat.azure_ai_inference.aio import ChatCompletionsClient, EmbeddingsClient, ImageEmbeddingsClient
from inference_async.compat.azure_ai_inference.models import (
    AssistantMessage,
    AsyncStreamingChatCompletions,
    ChatChoice,
    ChatCompletions,
    ChatCompletionsToolCall,
    ChatRequestMessage,
    ChatRole,
    CompletionsFinishReason,
    EmbeddingsResult,
    ImageEmbeddingInput,
    ImageUrl,
    StreamingChatCompletionsUpdate,
    SystemMessage,
    UserMessage,
)


async def chats() -> None:
    key = ChatCompletionsClient("https://x", AzureKeyCredential("k"), model="m", temperature=0.1, read_timeout=3)
    identity = azure.identity.aio.DefaultAzureCredential()
    async with key, ChatCompletionsClient("https://x", identity, credential_scopes=["s"]) as client:
        assert_type(client, ChatCompletionsClient)
        messages: list[ChatRequestMessage] = [SystemMessage("s"), UserMessage("u"), AssistantMessage("a")]
        answer = await client.complete(messages=messages, max_tokens=3, headers={"a": "b"})
        assert_type(answer, ChatCompletions)
        assert_type(answer.choices, list[ChatChoice])
        assert_type(answer.choices[0].message.content, str)
        assert_type(answer.choices[0].message.role, ChatRole | str)
        assert_type(answer.choices[0].message.tool_calls, list[ChatCompletionsToolCall] | None)
        assert_type(answer.choices[0].finish_reason, CompletionsFinishReason | str | None)
        assert_type(answer.usage.total_tokens, int)
        assert_type(answer.created, datetime)
        stream = await client.complete(messages=messages, stream=True)
        assert_type(stream, AsyncStreamingChatCompletions)
        async for update in stream:
            assert_type(update, StreamingChatCompletionsUpdate)
            assert_type(update.choices[0].delta.content, str | None)
        body = await client.complete({"messages": []})
        assert_type(body, ChatCompletions | AsyncStreamingChatCompletions)


async def vectors(texts: EmbeddingsClient, images: ImageEmbeddingsClient) -> None:
    result = await texts.embed(input=["a"], dimensions=3)
    assert_type(result, EmbeddingsResult)
    assert_type(result.data[0].embedding, str | list[float])
    seen = await images.embed(input=[ImageEmbeddingInput.load(image_file="a.png", image_format="png")])
    assert_type(seen.usage.prompt_tokens, int)
    assert_type(ImageUrl.load(image_file="a.png", image_format="png"), ImageUrl)
