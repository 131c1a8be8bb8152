"""Bare requests to the emulator, in each dialect as it wants to be asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp

from inference_async.emulator import Emulator

VERSION = {"api-version": "2024-05-01-preview"}
DIALECTS = ("models", "openai-v1", "deployment", "serverless", "managed", "generic", "front")
AZURE = tuple(name for name in DIALECTS if name != "generic")
LIKE_MODELS = ("models", "serverless", "managed")


class Answer(NamedTuple):
    """What came back; `body` is a list of chunks where it was a stream."""

    status: int
    body: Any
    headers: Mapping[str, str]


def user(content: Any, **more: Any) -> dict[str, Any]:
    """A request with one user message."""
    return {"model": "m", "messages": [{"role": "user", "content": content}], **more}


def url_of(emulator: Emulator, dialect: str) -> str:
    return {
        "models": emulator.models_url,
        "openai-v1": emulator.openai_url,
        "deployment": emulator.deployment_url("my.one"),
        "serverless": emulator.serverless_url,
        "managed": emulator.managed_url,
        "generic": emulator.generic_url,
        "front": emulator.front_url,
    }[dialect]


def params_of(dialect: str) -> dict[str, str]:
    return {"models": VERSION, "deployment": {"api-version": "2024-10-21"}}.get(dialect, {})


def key_of(dialect: str, key: str | None) -> dict[str, str]:
    """The header in which the dialect has its key."""
    if dialect == "front":
        return {"Ocp-Apim-Subscription-Key": str(key)}
    if dialect in ("serverless", "managed", "generic"):
        return {"Authorization": f"Bearer {key}"}
    return {"api-key": str(key)}


async def ask(
    http: aiohttp.ClientSession,
    emulator: Emulator,
    body: Any = None,
    dialect: str = "models",
    operation: str = "chat/completions",
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
) -> Answer:
    """One request; `headers` stand in the place of the key."""
    async with http.request(
        "GET" if operation == "info" else "POST",
        f"{url_of(emulator, dialect)}/{operation}",
        params=params_of(dialect) if params is None else params,
        headers=key_of(dialect, emulator.key) if headers is None else headers,
        json=body,
    ) as response:
        text = await response.text()
        if response.content_type != "text/event-stream":
            return Answer(response.status, json.loads(text), response.headers)
        events = text.split("\n\n")
        assert events[-2:] == ["data: [DONE]", ""]
        return Answer(
            response.status, [json.loads(event.removeprefix("data: ")) for event in events[:-2]], response.headers
        )


async def choice_of(http: aiohttp.ClientSession, emulator: Emulator, body: Any, dialect: str = "openai-v1") -> Any:
    """The first choice of an answer that must be one."""
    status, answer, _ = await ask(http, emulator, body, dialect)
    assert status == 200, answer
    return answer["choices"][0]


def deltas(chunks: list[Any], index: int = 0) -> list[Any]:
    """The deltas of a choice."""
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return [choice["delta"] for choice in choices if choice["index"] == index and "delta" in choice]


def text_of(chunks: list[Any], index: int = 0) -> str:
    """The text of a choice."""
    return "".join(delta.get("content") or "" for delta in deltas(chunks, index))
