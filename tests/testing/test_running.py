"""The emulator in a thread."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from inference_async import (
    ClientStateError,
    ConfigurationError,
    IncompleteStreamError,
    InferenceClient,
    InternalServerError,
)
from inference_async.emulator import Answer, Script
from inference_async.emulator.script import Pace
from inference_async.testing import RunningEmulator, completion, tool_call
from inference_async.testing.running import BoundTransport, close_from_outside


@pytest.fixture
def running() -> Iterator[RunningEmulator]:
    with RunningEmulator() as emulator:
        yield emulator


@pytest.fixture
async def client(running: RunningEmulator) -> AsyncIterator[InferenceClient]:
    async with InferenceClient(running.models_url, running.key, model="m", retries=0) as made:
        yield made


async def test_answers_in_turn_and_the_last_again(running: RunningEmulator, client: InferenceClient) -> None:
    call = tool_call("forecast", city="Oslo")
    running.script("Rain.", call, completion("Sun.", usage=(9, 2)), Answer(content="No more.", finish_reason="length"))
    assert (await client.complete("hi")).text == "Rain."
    assert (await client.stream("hi").final()).tool_calls == [call]
    third = await client.complete("hi")
    assert (third.text, third.usage and third.usage.total_tokens) == ("Sun.", 11)
    assert [(await client.complete("hi")).finish_reason for _ in range(2)] == ["length"] * 2


async def test_reasoning_comes_along(running: RunningEmulator, client: InferenceClient) -> None:
    made = completion("Rain.")
    made.choices[0].message.reasoning_content = "Clouds."
    running.script(made)
    assert (await client.complete("hi")).reasoning == "Clouds."


async def test_it_does_not_keep_tests_waiting(running: RunningEmulator, client: InferenceClient) -> None:
    running.script(Answer(content="Rain.", pace=Pace(first=3600, token=3600)))
    assert (await client.stream("hi").final()).text == "Rain."


async def test_a_script_of_rules_and_the_one_that_ships(running: RunningEmulator, client: InferenceClient) -> None:
    running.script(Script.from_json(b'{"rules": [{"match": {"contains": "rain"}, "answer": {"content": "Yes."}}]}'))
    assert (await client.complete("Will it rain?")).text == "Yes."
    running.script()
    assert (await client.complete("said back")).text == "said back"


async def test_what_was_asked(running: RunningEmulator, client: InferenceClient) -> None:
    assert running.requests == []
    await client.complete("Grüße")
    (request,) = running.requests
    assert (request.method, request.path.partition("?")[0]) == ("POST", "/models/chat/completions")
    assert request.headers["api-key"] == running.key
    assert json.loads(request.body)["messages"] == [{"role": "user", "content": "Grüße"}]


async def test_faults_come_once_each(running: RunningEmulator, client: InferenceClient) -> None:
    running.fault("status-503", "cut-between-events")
    with pytest.raises(InternalServerError):
        await client.complete("hi")
    with pytest.raises(IncompleteStreamError):
        await client.stream("hi").final()
    assert (await client.complete("said back")).text == "said back"
    running.fault("status-503")
    with pytest.raises(InternalServerError):
        await client.complete("hi")


async def test_every_dialect_and_operation_is_behind_it(running: RunningEmulator) -> None:
    for url in (running.openai_url, running.deployment_url("gpt-4o.mini"), running.generic_url):
        async with InferenceClient(url, running.key, model="m") as client:
            assert (await client.complete("said back")).text == "said back"
            assert len((await client.embed(["a", "b"], dimensions=4)).vectors) == 2


@pytest.mark.parametrize("wrong", [7, None, [completion("hi")]], ids=repr)
def test_what_is_no_answer(running: RunningEmulator, wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="got an answer of type"):
        running.script(wrong)  # type: ignore[arg-type]  # (which is the point)


def test_what_is_no_fault(running: RunningEmulator) -> None:
    with pytest.raises(ConfigurationError, match="expected the name of a fault"):
        running.fault("status-999")


def test_it_must_run_to_misbehave() -> None:
    with pytest.raises(ClientStateError, match="does not run"):
        RunningEmulator().fault("status-503")


def test_no_thread_is_left() -> None:
    with RunningEmulator():
        assert [thread.name for thread in threading.enumerate()].count("inference-emulator") == 1
    assert "inference-emulator" not in [thread.name for thread in threading.enumerate()]


def bound(running: RunningEmulator) -> tuple[InferenceClient, BoundTransport]:
    transport = BoundTransport()
    return InferenceClient(running.models_url, running.key, model="m", transport=transport), transport


def test_closing_in_a_loop_that_stands(running: RunningEmulator) -> None:
    loop = asyncio.new_event_loop()
    client, transport = bound(running)
    loop.run_until_complete(client.complete("hi"))
    close_from_outside(client, transport)
    loop.close()


def test_closing_when_the_loop_is_closed(running: RunningEmulator) -> None:
    client, transport = bound(running)
    asyncio.run(client.complete("hi"))
    close_from_outside(client, transport)


def test_closing_what_made_no_call(running: RunningEmulator) -> None:
    close_from_outside(*bound(running))


async def test_closing_in_a_loop_that_runs(running: RunningEmulator) -> None:
    client, transport = bound(running)
    await client.complete("hi")
    close_from_outside(client, transport)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.sleep(0)  # for the task to be made
    await asyncio.wait((asyncio.all_tasks() - {asyncio.current_task()}) - others)
    assert client._session.closed
