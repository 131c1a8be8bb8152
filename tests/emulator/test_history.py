"""Conversations that are none, refused as the service does, on every dialect."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from inference_async.emulator import Emulator
from tests.emulator.asking import DIALECTS, ask

USER = {"role": "user", "content": "x"}


def asked(*ids: str) -> dict[str, Any]:
    calls = [{"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id_ in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(id_: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id_, "content": "r"}


@pytest.mark.parametrize(
    "messages",
    [
        [USER, asked("a"), result("a")],
        [USER, asked("a", "b"), result("b"), result("a"), {"role": "assistant", "content": "y"}, USER],
        [USER, asked("a"), result("a"), asked("a"), result("a")],
        [USER, {"role": "assistant", "content": "y", "tool_calls": None}, USER],
    ],
    ids=["one", "out of order", "an id again", "none"],
)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_is_taken(http: aiohttp.ClientSession, emulator: Emulator, dialect: str, messages: Any) -> None:
    assert (await ask(http, emulator, {"model": "m", "messages": messages}, dialect)).status == 200


@pytest.mark.parametrize(
    ("messages", "param", "words"),
    [
        ([USER, asked("a", "b"), result("a")], "messages[1].role", "did not have response messages: b"),
        ([USER, asked("a", "b"), USER], "messages[1].role", "did not have response messages: a, b"),
        ([USER, asked("a")], "messages[1].role", "must be followed by tool messages"),
        ([USER, result("a")], "messages[1].role", "must be a response to a preceeding message"),
        ([USER, asked("a"), result("a"), result("a")], "messages[3].role", "must be a response"),
        ([USER, asked("a"), result("b")], "messages[2].role", "must be a response"),
        ([USER, asked("a"), result("a"), USER, result("a")], "messages[4].role", "must be a response"),
        ([USER, asked()], "messages[1].tool_calls", "empty array"),
        ([USER, {"role": "assistant", "tool_calls": 5}], "messages[1].tool_calls", "array of objects"),
        ([USER, {"role": "assistant", "tool_calls": [{"id": 5}]}], "messages[1].tool_calls[0]", "'arguments' as text"),
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_is_refused(
    http: aiohttp.ClientSession, emulator: Emulator, dialect: str, messages: Any, param: str, words: str
) -> None:
    status, body, _ = await ask(http, emulator, {"model": "m", "messages": messages}, dialect)
    assert (status, body["error"]["param"]) == (400, param)
    assert words in body["error"]["message"]
