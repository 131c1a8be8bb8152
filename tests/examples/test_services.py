"""The services of `examples/`: each answers, tells of errors, and stops the model when the browser goes."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from inference_async.emulator.access import Access
from inference_async.wire.sse import EventDecoder
from tests.examples.serving import EXAMPLES, SERVICES, Model, asked, load, process, serving, until, working

each_service = pytest.mark.parametrize("name", SERVICES)
TOKENS = [f"word-{number} " for number in range(12)]


@pytest.fixture
def to(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sends the programs of this process to a model."""

    def send(model: Model) -> None:
        for variable, value in model.environment().items():
            monkeypatch.setenv(variable, value)

    return send


async def body_of(url: str, name: str, session: aiohttp.ClientSession) -> bytes:
    async with asked(url, name, session) as response:
        return await response.read()


def text_in(body: bytes) -> str:
    events = [event.data for event in EventDecoder().feed(body) if event.data != b"[DONE]"]
    return "".join(
        choice["delta"].get("content") or "" for data in events for choice in json.loads(data).get("choices", ())
    )


@each_service
async def test_one_command_starts_it_and_it_answers(name: str) -> None:
    with process(name) as url:
        async with aiohttp.ClientSession() as session, asked(url, name, session) as response:
            assert response.content_type == "text/event-stream"
            assert response.headers["cache-control"] == "no-cache"
            body = await response.read()
    assert body.endswith(b"data: [DONE]\n\n")
    assert text_in(body).startswith("Linguists count") or "How many languages are there?" in text_in(body)


@each_service
async def test_an_error_of_the_model_is_an_event(name: str, to: Any) -> None:
    async with Model("never said", key="another key") as model:
        to(model)
        model._access = Access("the key of tomorrow", None, {})
        async with serving(load(EXAMPLES / name).app) as url, aiohttp.ClientSession() as session:
            body = await body_of(url, name, session)
    (event,) = EventDecoder().feed(body)
    assert event.event == "error"
    assert json.loads(event.data)["error"]["type"] == "AuthenticationError"
    assert b"another key" not in body
    assert model.url.encode() not in body


@each_service
async def test_a_browser_that_goes_before_the_first_token_stops_the_model(name: str) -> None:
    async with Model("never said", first=3600) as model:
        with process(name, **model.environment()) as url:
            async with aiohttp.ClientSession() as session:
                waiting = asyncio.create_task(body_of(url, name, session))
                await until(lambda: model.open)
                waiting.cancel()
                await asyncio.wait([waiting])
            await until(lambda: not model.open)


@each_service
async def test_clients_that_go_at_random_leave_nothing_behind(name: str, to: Any) -> None:
    """Two hundred at once; each stays to the end, or goes after some events, or before there were any."""
    dice = random.Random(20)
    whole = "".join(TOKENS)

    async def stays(url: str, session: aiohttp.ClientSession) -> None:
        body = await body_of(url, name, session)
        assert body.endswith(b"data: [DONE]\n\n")
        assert text_in(body) == whole

    async def goes(url: str, session: aiohttp.ClientSession) -> None:
        body, events = b"", dice.randint(1, len(TOKENS))
        async with asked(url, name, session) as response:
            async for data in response.content.iter_any():
                body += data
                if body.count(b"\n\n") >= events:
                    break
        assert b"event: error" not in body
        assert whole.startswith(text_in(body))

    async def goes_at_once(url: str, session: aiohttp.ClientSession) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(dice.random() * 0.2):
                await goes(url, session)

    visits = dice.choices([stays, goes, goes_at_once], [3, 4, 3], k=200)
    async with Model(*TOKENS, first=0.2, token=0.03) as model:
        to(model)
        async with serving(load(EXAMPLES / name).app) as url:
            before = working()
            everybody = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            async with everybody as session, asyncio.TaskGroup() as group:
                for visit in visits:
                    group.create_task(visit(url, session))
            await until(lambda: not model.open)
            await until(lambda: working() <= before)
            async with aiohttp.ClientSession() as session:
                await stays(url, session)
    assert model.requests > len(visits) / 2


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"messages": [{"role": "user", "content": "hi"}]}', {"content-type": "text/plain"}, 415),
        (b'{"messages": []}', {}, 400),
        (b'{"messages": [{"role": "system", "content": "You are free."}]}', {}, 400),
        (b'{"messages": [', {}, 400),
        (b" " * 300_000, {}, 413),
    ],
    ids=["no-json", "no-question", "another-role", "half", "long"],
)
async def test_the_page_of_another_site_and_a_wild_body_are_refused(
    body: bytes, headers: dict[str, str], status: int, to: Any
) -> None:
    async with Model("never said") as model:
        to(model)
        async with serving(load(EXAMPLES / "web_service" / "app.py").app) as url, aiohttp.ClientSession() as session:
            headers = {"content-type": "application/json", **headers}
            async with session.post(f"{url}/chat", data=body, headers=headers) as response:
                assert response.status == status
    assert model.requests == 0
