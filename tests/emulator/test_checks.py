"""Requests that the service refuses: options that need others, formats, choices, and models that are not there."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from inference_async.emulator import Emulator
from tests.emulator.asking import DIALECTS, LIKE_MODELS, ask, key_of, user

TOOLS = [{"type": "function", "function": {"name": "now"}}]
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
FUNCTION = {"type": "function", "function": {"name": "now"}}
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)


def format_of(**more: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": OPEN, **more}}}


def tool_of(**more: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "now", **more}}]}


def allowed(**more: Any) -> dict[str, Any]:
    return {"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "allowed_tools": more}}


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"top_logprobs": 2}, "top_logprobs", "only allowed when 'logprobs' is enabled"),
        ({"top_logprobs": 0, "logprobs": False}, "top_logprobs", "only allowed when 'logprobs' is enabled"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "only allowed when 'stream' is enabled"),
        ({"tool_choice": "required"}, "tool_choice", "only allowed when 'tools' are specified"),
        ({"tool_choice": FUNCTION}, "tool_choice", "only allowed when 'tools' are specified"),
        ({"tools": TOOLS, "tool_choice": {"type": "odd"}}, "tool_choice.type", "Supported values"),
        ({"tools": TOOLS, "tool_choice": {"type": "function"}}, "tool_choice", "function.name"),
        (allowed(), "tool_choice.allowed_tools.tools", "Missing"),
        (allowed(mode="auto", tools=[]), "tool_choice.allowed_tools.tools", "Missing"),
        (allowed(mode="never", tools=TOOLS), "tool_choice.allowed_tools.mode", "'never'"),
        (allowed(mode="auto", tools=[5]), "tool_choice", "function.name"),
        (
            allowed(mode="auto", tools=[{"type": "function", "function": {"name": "gone"}}]),
            "tool_choice",
            "'gone', which is not in 'tools'",
        ),
        (format_of(name=None), "response_format.json_schema.name", "Missing required parameter"),
        (format_of(name=5), "response_format.json_schema.name", "expected a string"),
        (format_of(name="a b"), "response_format.json_schema.name", "does not match pattern"),
        (format_of(name=""), "response_format.json_schema.name", "does not match pattern"),
        (format_of(name="a" * 65), "response_format.json_schema.name", "length 65"),
        (format_of(schema=None), "response_format.json_schema.schema", "Missing required parameter"),
        (format_of(schema=True), "response_format.json_schema.schema", "expected an object"),
        (
            format_of(strict=True),
            "response_format",
            "Invalid schema for response_format 'n': In context=(), 'additionalProperties' is required to be supplied",
        ),
        (
            tool_of(strict=True, parameters=OPEN),
            "tools[0].function.parameters",
            "Invalid schema for function 'now': In context=(), 'additionalProperties' is required",
        ),
        (tool_of(name="a.b"), "tools[0].function.name", "does not match pattern"),
        ({"tools": TOOLS * 129}, "tools", "maximum length 128"),
        (format_of(schema={"contains": {}}), "response_format", "got the keyword 'contains'"),
    ],
)
@each_dialect
async def test_what_is_refused_with_400(
    http: aiohttp.ClientSession, emulator: Emulator, dialect: str, more: dict[str, Any], param: str, words: str
) -> None:
    headers = {**key_of(dialect, emulator.key), "extra-parameters": "pass-through"}
    status, body, _ = await ask(http, emulator, user("hi", **more), dialect, headers=headers)
    assert (status, body["error"]["param"]) == (400, param)
    assert words in body["error"]["message"]


@pytest.mark.parametrize(
    "more",
    [
        {"top_logprobs": 0, "logprobs": True},
        {"stream_options": {}, "stream": True},
        {"tool_choice": "none"},
        {"tool_choice": "auto"},
        format_of(strict=False),
        tool_of(strict=False, parameters=OPEN),
        format_of(strict=True, schema={**OPEN, "additionalProperties": False}),
    ],
)
@each_dialect
async def test_what_is_taken(
    http: aiohttp.ClientSession, emulator: Emulator, dialect: str, more: dict[str, Any]
) -> None:
    headers = {**key_of(dialect, emulator.key), "extra-parameters": "pass-through"}
    assert (await ask(http, emulator, user("hi", **more), dialect, headers=headers)).status == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [("n", 0), ("n", 1000), ("n", "2"), ("n", True), ("tools", []), ("stream_options", 5), ("stream_options", [])],
)
@each_dialect
async def test_values_of_the_wrong_kind(
    http: aiohttp.ClientSession, emulator: Emulator, dialect: str, name: str, value: Any
) -> None:
    headers = {**key_of(dialect, emulator.key), "extra-parameters": "pass-through"}
    status, body, _ = await ask(http, emulator, user("hi", stream=True, **{name: value}), dialect, headers=headers)
    if dialect in LIKE_MODELS:
        assert (status, body["detail"]["loc"]) == (422, ["body", name])
    else:
        assert (status, body["error"]["param"]) == (400, name)


@pytest.mark.parametrize("operation", ["chat/completions", "embeddings"])
@each_dialect
async def test_a_model_that_is_not_there(
    http: aiohttp.ClientSession, emulator: Emulator, dialect: str, operation: str
) -> None:
    if dialect == "deployment":
        async with http.post(
            f"{emulator.deployment_url('no-such-name')}/{operation}",
            params={"api-version": "2024-10-21"},
            headers=key_of(dialect, emulator.key),
            json={},
        ) as response:
            status, body = response.status, await response.json()
    else:
        asked = {"model": "no-such-name", "frob": 1}
        status, body, _ = await ask(http, emulator, asked, dialect, operation)
    expected = "unknown_model" if dialect in LIKE_MODELS else "DeploymentNotFound"
    assert (status, body["error"]["code"]) == (404, "model_not_found" if dialect == "generic" else expected)
