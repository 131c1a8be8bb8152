"""What the emulator counts of what it did, and what it keeps."""

from __future__ import annotations

import asyncio
from typing import Literal

import aiohttp
import pytest

from inference_async.emulator import Emulator, Script
from inference_async.emulator.tally import Count, Entry, Status, Tally
from tests.emulator.asking import ask, user

SECRET = "a prompt that nobody else should see"


def seen(tally: Tally) -> Status:
    return tally.status(version="1", uptime=2.0, answers="", limits=[], faults=[])


def test_from_the_coming_to_the_end() -> None:
    tally = Tally()
    one = Entry(at=5.0, operation="embeddings")
    tally.begin(one)
    assert (seen(tally).requests, seen(tally).open_requests, seen(tally).open_streams) == (1, 1, 0)
    assert seen(tally).counts == []
    one.streamed, one.status = True, 200
    one.used({"prompt_tokens": 3, "completion_tokens": 4})
    assert (seen(tally).open_streams, seen(tally).tokens_in) == (1, 0), "counted when it is over"
    tally.end(one, 0.12345)
    status = seen(tally)
    assert (status.open_requests, status.open_streams, status.tokens_in, status.tokens_out) == (0, 0, 3, 4)
    assert status.counts == [Count("embeddings", 200, 1)]
    assert (status.last[0].ended, status.last[0].seconds) == ("done", 0.123)


def test_how_it_ended() -> None:
    tally = Tally()
    ends: list[tuple[int, Literal["open", "cut", "left"]]] = [
        (429, "open"),
        (200, "cut"),
        (200, "left"),
        (200, "open"),
        (429, "open"),
    ]
    for status, ended in ends:
        entry = Entry(at=0, operation="x", status=status, ended=ended)
        tally.begin(entry)
        tally.end(entry, 1)
    assert (seen(tally).throttled, seen(tally).cut, seen(tally).requests) == (2, 1, 5)
    assert [entry.ended for entry in seen(tally).last] == ["done", "done", "left", "cut", "done"], "the newest first"
    assert seen(tally).counts == [Count("x", 200, 3), Count("x", 429, 2)]


def test_the_last_twenty_are_kept() -> None:
    tally = Tally()
    for at in range(30):
        entry = Entry(at=at, operation="x")
        tally.begin(entry)
        tally.end(entry, 0)
    assert [entry.at for entry in seen(tally).last] == list(range(29, 9, -1))
    assert seen(tally).requests == 30


@pytest.mark.parametrize(
    "usage", [None, [], "5", {"prompt_tokens": "5"}, {"prompt_tokens": -1}, {"prompt_tokens": None}]
)
def test_usage_that_is_none(usage: object) -> None:
    entry = Entry(at=0, operation="x")
    entry.used(usage)
    assert (entry.tokens_in, entry.tokens_out) == (0, 0)


def test_what_callers_say_is_kept_short() -> None:
    entry = Entry(at=0, operation="x")
    entry.told(user("p" * 5000, model="m" * 5000), prompts=True)
    assert (len(entry.model), len(entry.prompt or "")) == (2000, 2000)


@pytest.mark.parametrize("show", [False, True])
async def test_prompts_are_kept_only_if_wanted_and_keys_never(http: aiohttp.ClientSession, show: bool) -> None:
    told: list[str] = []
    async with Emulator(pace=0, show_prompts=show, key="the-secret-key", log=told.append) as emulator:
        await ask(http, emulator, user(SECRET))
        await ask(http, emulator, user(SECRET), headers={"api-key": "another-key"})
        await ask(http, emulator, {"model": "e", "input": [SECRET, [1]]}, operation="embeddings")
        pages = []
        for path in ("/", "/status.json"):
            async with http.get(emulator.url + path) as response:
                pages.append(await response.text())
        assert emulator.status.last[0].prompt == (f"{SECRET} | ..." if show else None)
    for page in (*pages, str(told)):
        assert "-key" not in page
    assert all((SECRET in page) is show for page in pages)
    assert SECRET not in str(told)


async def test_by_operation_and_status(http: aiohttp.ClientSession) -> None:
    async with Emulator(pace=0) as emulator:
        await ask(http, emulator, user("one two", stream=True))
        await ask(http, emulator, user("one"), "openai-v1")
        await ask(http, emulator, user("one", temperature=9))
        await ask(http, emulator, {"model": "e", "input": ["x"]}, operation="embeddings")
        await ask(http, emulator, None, "serverless", "info")
        await (await http.get(f"{emulator.url}/nowhere")).read()
        status = emulator.status
        assert status.counts == [
            Count("chat/completions", 200, 2),
            Count("chat/completions", 422, 1),
            Count("embeddings", 200, 1),
            Count("info", 200, 1),
            Count("no such route", 404, 1),
        ]
        assert (status.tokens_in, status.tokens_out, status.requests) == (2 + 1 + 1, 2 + 1, 6)
        assert emulator.requests == 5, "as ever: those of its routes"
        assert [entry.streamed for entry in status.last] == [False] * 5 + [True]


async def test_who_leaves(http: aiohttp.ClientSession) -> None:
    script = Script.from_json(b'{"pace": {"first": 0, "token": 60}}')
    async with Emulator(script) as emulator:
        url = f"{emulator.openai_url}/chat/completions"
        headers = {"api-key": str(emulator.key)}
        response = await http.post(url, headers=headers, json=user("hi", stream=True))
        await response.content.readany()
        assert emulator.status.open_streams == 1
        response.close()
        while emulator.status.open_streams:  # noqa: ASYNC110  (nobody else has to be told)
            await asyncio.sleep(0.001)
        assert emulator.status.last[0].ended == "left"
