"""What the checkers must infer of the public surface. Never run: read by mypy and pyright."""

from __future__ import annotations

from typing import Any, assert_type

import azure.identity.aio
from azure.core.credentials import AzureKeyCredential

from inference_async import (
    AssistantMessage,
    ChatCompletion,
    ChatCompletionChunk,
    ChatStream,
    Endpoint,
    InferenceClient,
    ParsedCompletion,
    SystemMessage,
    Timeouts,
    Tool,
    ToolCall,
    ToolDefinition,
    ToolMessage,
    ToolRun,
    Usage,
    UserMessage,
    tool,
)
from inference_async.emulator import Emulator
from inference_async.tools import (
    AnswerChunk,
    AnswerFinished,
    RunFinished,
    ToolFinished,
    ToolRunEvent,
    ToolStarted,
)


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


@tool
async def weather(city: str, days: int = 1) -> float:
    """Looks up the weather."""
    return days * 1.5


@tool(name="plus", timeout=None)
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


async def tools(client: InferenceClient, definition: ToolDefinition) -> None:
    assert_type(await weather("Paris", days=2), float)
    assert_type(add(1, 2), int)
    assert_type(weather.definition, ToolDefinition)
    made: Tool[..., Any] = weather
    mixed = client.run_tools("hi", tools=[add, made, len, definition, {"type": "x"}], temperature=0, extra={"x": 1})
    assert_type(await mixed, ChatCompletion)
    async with client.run_tools(["hi"], tools=[weather], stream=True) as run:
        assert_type(run, ToolRun[ChatCompletion])
        async for event in run:
            assert_type(event, ToolRunEvent)
            match event:
                case AnswerChunk(turn, chunk):
                    assert_type(turn, int)
                    assert_type(chunk, ChatCompletionChunk)
                case AnswerFinished(_, completion) | RunFinished(completion, _):
                    assert_type(completion, ChatCompletion)
                case ToolStarted(_, call):
                    assert_type(call, ToolCall)
                case ToolFinished(_, _, message, error):
                    assert_type(message, ToolMessage)
                    assert_type(error, str | None)
    assert_type(run.usage, Usage | None)
    typed = client.run_tools("hi", tools=[weather], response_type=Usage)
    assert_type(typed, ToolRun[ParsedCompletion[Usage]])
    assert_type((await typed).parsed, Usage)


async def refused(client: InferenceClient) -> None:
    """Each of these must be an error to both checkers; an unused suppression is one too."""
    await client.complete("hi", temprature=1)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]
    await client.complete(5)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    await client.complete("hi", max_tokens="5")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    await client.complete("hi", extra_mode="maybe")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    client.run_tools("hi", tools=[], temprature=1)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    client.run_tools("hi", tools=[], on_error="x")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    add("1", 2)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    from inference_async import InferenceCleint  # type: ignore[attr-defined] # pyright: ignore # noqa: F401
