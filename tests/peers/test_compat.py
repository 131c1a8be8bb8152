"""The retired SDK, and what stands in for it: the same is printed, the same is sent, and faults have the same class."""

from __future__ import annotations

import contextlib
import importlib
import json
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import AzureError

from inference_async.emulator import FaultServer
from inference_async.emulator.bodies import Asked
from tests.compat.running import KEY, OURS, PROGRAMS, RETIRED, expected, printed, surroundings

both = pytest.mark.parametrize("root", [RETIRED, OURS], ids=["retired", "ours"])


@both
@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_program_prints_the_same(
    program: str, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with surroundings(tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert await printed(program, root) == expected(program)


@contextlib.asynccontextmanager
async def chats(root: str, url: str, settings: Mapping[str, Any]) -> AsyncIterator[Any]:
    aio: Any = importlib.import_module(f"{root}.aio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client = aio.ChatCompletionsClient(url, AzureKeyCredential(KEY), **settings)
    async with client:
        yield client


async def asked(root: str, settings: Mapping[str, Any], call: Callable[[Any], Mapping[str, Any]]) -> Asked:
    """What a call sends."""
    async with FaultServer() as server, chats(root, server.url, settings) as client:
        answer: Any = await client.complete(**call(importlib.import_module(f"{root}.models")))
        if hasattr(answer, "__anext__"):
            async for _ in answer:
                pass
    return server.requests[0]


def tool(models: Any) -> Any:
    return models.ChatCompletionsToolDefinition(
        function=models.FunctionDefinition(name="f", description="d", parameters={"type": "object", "properties": {}})
    )


CALLS: dict[str, tuple[Mapping[str, Any], Callable[[Any], Mapping[str, Any]]]] = {
    "one message": ({}, lambda models: {"messages": [models.UserMessage("hi")]}),
    "every option": (
        {},
        lambda models: {
            "messages": [models.SystemMessage("s"), models.DeveloperMessage("d"), models.UserMessage("hi")],
            "frequency_penalty": 0.1,
            "presence_penalty": -0.1,
            "temperature": 0.0,
            "top_p": 0.5,
            "max_tokens": 10,
            "response_format": "json_object",
            "stop": ["a", "b"],
            "tools": [tool(models)],
            "tool_choice": models.ChatCompletionsToolChoicePreset.REQUIRED,
            "seed": 1,
            "model": "m",
        },
    ),
    "defaults and what a call says": (
        {"temperature": 0.5, "max_tokens": 3, "model": "a", "model_extras": {"n": 2}, "headers": {"x-a": "1"}},
        lambda models: {"messages": [models.UserMessage("hi")], "temperature": 0, "model": "b"},
    ),
    "extras in place of the client's": (
        {"model_extras": {"n": 2, "user": "u"}},
        lambda models: {"messages": [models.UserMessage("hi")], "model_extras": {"logprobs": True, "a": {"b": [None]}}},
    ),
    "a stream": ({"model": "m"}, lambda models: {"messages": [models.UserMessage("hi")], "stream": True}),
    "a schema": (
        {},
        lambda models: {
            "messages": [models.UserMessage("hi")],
            "response_format": models.JsonSchemaFormat(name="n", schema={"type": "object"}, strict=False),
        },
    ),
    "a named tool": (
        {},
        lambda models: {
            "messages": [models.UserMessage("hi")],
            "tools": [tool(models)],
            "tool_choice": models.ChatCompletionsNamedToolChoice(
                function=models.ChatCompletionsNamedToolChoiceFunction(name="f")
            ),
        },
    ),
    "parts": (
        {},
        lambda models: {
            "messages": [
                models.UserMessage(
                    [
                        models.TextContentItem(text="t"),
                        models.ImageContentItem(image_url=models.ImageUrl(url="https://x.org/a.png", detail="low")),
                        models.AudioContentItem(input_audio=models.InputAudio(data="AAAA", format="mp3")),
                        {"type": "text", "text": "as a dict"},
                    ]
                )
            ]
        },
    ),
    "a history with calls": (
        {},
        lambda models: {
            "messages": [
                models.UserMessage("hi"),
                models.AssistantMessage(
                    tool_calls=[
                        models.ChatCompletionsToolCall(id="1", function=models.FunctionCall(name="f", arguments="{}"))
                    ]
                ),
                models.ToolMessage("42", tool_call_id="1"),
                models.AssistantMessage("so"),
                {"role": "user", "content": "and?"},
            ]
        },
    ),
    "a whole body": (
        {"temperature": 1, "model": "m", "model_extras": {"n": 2}},
        lambda models: {"body": {"messages": [{"role": "user", "content": "hi"}], "seed": None, "top_k": 3}},
    ),
    "another version": ({"api_version": "2024-08-01-preview"}, lambda models: {"messages": [models.UserMessage("hi")]}),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_sends_the_same(name: str) -> None:
    settings, call = CALLS[name]
    theirs, ours = [await asked(root, settings, call) for root in (RETIRED, OURS)]
    assert json.loads(ours.body) == json.loads(theirs.body)
    assert (ours.method, ours.path) == (theirs.method, theirs.path)
    for header in ("api-key", "authorization", "content-type", "x-a"):
        assert ours.headers.get(header) == theirs.headers.get(header), header
    # What the service does where nothing is said is what "error" says.
    assert ours.headers.get("extra-parameters", "error") == theirs.headers.get("extra-parameters", "error")


FAULTS = [
    *(
        "close-unanswered",
        "reset-unanswered",
        "cut-in-head",
        "cut-after-head",
        "cut-in-event",
        "mute",
        "stall-in-event",
    ),
    *("half-json", "version-9", "status-400", "status-400-content-filter", "status-401", "status-403", "status-404"),
    *("status-409", "status-422", "status-422-list", "status-429", "status-500", "status-500-empty", "status-503-html"),
]


async def told(root: str, fault: str) -> tuple[type[BaseException], object, object, object]:
    """How a fault is told: the class, and what else programs look at."""
    settings = {"model": "m", "retry_total": 0, "read_timeout": 0.2, "connection_timeout": 2}
    async with FaultServer(fault, pause=0.01) as server, chats(root, server.url, settings) as client:
        with pytest.raises(AzureError) as caught:
            await client.complete(messages=[{"role": "user", "content": "hi"}])
    error: Any = caught.value
    code = getattr(getattr(error, "error", None), "code", None)
    said = error.message if getattr(error, "status_code", None) not in (None, 200) else None  # else in our words
    return type(error), getattr(error, "status_code", None), code, said


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_told_by_the_same_class(fault: str) -> None:
    assert await told(OURS, fault) == await told(RETIRED, fault)


def test_every_name_is_here() -> None:
    for module in ("aio", "models"):
        theirs, ours = [importlib.import_module(f"{root}.{module}") for root in (RETIRED, OURS)]
        assert set(theirs.__all__) - set(ours.__all__) <= {"StreamingChatCompletions"}, "a sync stream is not ours"
        for name in ours.__all__:
            assert isinstance(getattr(ours, name), type) == isinstance(getattr(theirs, name), type)
            members = getattr(getattr(theirs, name), "__members__", None)
            if members is not None:
                assert {name: member.value for name, member in members.items()} == {
                    name: member.value for name, member in getattr(ours, name).__members__.items()
                }
