"""Every operation, cancelled after each turn of the loop that it takes, in every way there is to cancel.

Whenever it strikes: the cancellation comes out as itself; no task, connection or place among `max_connections` is left
behind; nothing is warned of; and the same client serves the next call at once.
"""

from __future__ import annotations

import asyncio
import gc
import random
import ssl
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import aiohttp
import pytest
import trustme

from inference_async import ClientClosedError, ContentFilterError, InferenceClient, InferenceError
from tests.faults.operations import (
    HALF,
    OPERATIONS,
    Operation,
    chunked,
    client_of,
    complete,
    embed,
    final,
    half_an_answer,
    is_well,
    kept,
    others,
    streamed,
    text,
    usual,
)
from tests.faults.stepping import (
    PATIENCE,
    WAYS,
    Answer,
    Clock,
    Request,
    StepServer,
    Way,
    by_task,
    complaints,
    frozen,
    tasks,
    turn,
)
from tests.support import HELLO, STREAM_HEAD, chunk, event


@pytest.fixture(autouse=True, scope="module")
def _quick_collections() -> Iterator[None]:
    with frozen():
        yield


async def point(
    operation: Operation, way: Way, steps: int, server: StepServer, clock: Clock, *, warm: bool, places: int | None
) -> bool:
    """Strike after so many turns, and look at what is left; say whether the operation was over by then."""
    server.forget()
    server.answer = usual
    before = tasks()
    client = client_of(server, operation, places=places)
    if warm:
        await client.complete("next")
        server.requests.clear()
    server.answer = operation.answer
    done = await way(partial(operation.work, client), clock.turns(steps, pause=0.0004 if operation.threads else 0))
    while others:
        assert (await others.pop()).text == "Hello", "another call was harmed"
    left = tasks() - before
    assert not left, f"after {steps} turns: {left}"
    await is_well(client, server, places=places, most=3 if operation.work is embed else places or 1)
    await client.aclose()
    await server.until(lambda: not server.open, "a connection outlived the client")
    assert not tasks() - before
    kept.clear()
    del client
    gc.collect()
    return done


async def sweep(name: str, way: Way, *, warm: bool = False, places: int | None = 1) -> int:
    """Strike after each turn until the operation is over before; return how many turns that were."""
    operation = OPERATIONS[name]
    clock = Clock()
    clock.wind(asyncio.get_running_loop(), needed=operation.waits)
    async with StepServer(usual) as server:
        for steps in range(PATIENCE):
            with complaints() as heard:
                done = await point(operation, way, steps, server, clock, warm=warm, places=places)
            assert heard == [], f"after {steps} turns"
            if done:
                # Two less than seen: loops and versions of Python differ by a turn or so.
                assert steps >= operation.least - 4 * warm - 2, "it was over before it could be struck everywhere"
                return steps
    raise AssertionError(f"{name} takes more than {PATIENCE} turns")


STRUCK = [
    pytest.param(name, way, id=f"{name}-{way}")
    for name, operation in OPERATIONS.items()
    for way in (WAYS if not operation.threads else ("task", "anyio scope"))
]


@pytest.mark.parametrize(("name", "way"), STRUCK)
async def test_cancelled_after_each_turn(name: str, way: str) -> None:
    await sweep(name, WAYS[way])


async def run_forever(client: InferenceClient) -> None:
    async def weather(city: str) -> None:
        """The weather in a city."""
        await asyncio.Event().wait()

    run = client.run_tools("tools", tools=[weather])
    kept.append(run)
    await run


def silent(request: Request) -> Answer:
    return [None]


HANGING = {
    "half an answer": Operation(complete, 0, half_an_answer),
    "half a refusal": Operation(complete, 0, lambda request: [b"HTTP/1.1 503 Oops\r\n" + HALF, None]),
    "half a stream": Operation(final, 0, lambda request: [STREAM_HEAD, *chunked(event(chunk("Hel"))), None]),
    "a stream whose body stays open": Operation(final, 0, lambda request: [STREAM_HEAD, *chunked(HELLO), None]),
    **{name: operation._replace(answer=silent) for name, operation in OPERATIONS.items() if name != "a place"},
    "a tool": Operation(run_forever, 0),
}


@pytest.mark.parametrize("way", ["task", "anyio scope"])
@pytest.mark.parametrize("operation", HANGING.values(), ids=HANGING)
async def test_cancelled_while_nothing_goes_on(operation: Operation, way: str) -> None:
    """What is cancelled ends by that, and not because its time would have come."""
    with complaints() as heard:
        async with StepServer(usual) as server:
            assert not await point(operation, WAYS[way], 50, server, Clock(), warm=False, places=None)
    assert heard == []


@pytest.mark.parametrize("name", ["complete", "stream", "embed", "run_tools", "backoff"])
@pytest.mark.parametrize("places", [None, 3], ids=["without a bound", "three places"])
async def test_cancelled_while_its_connection_is_a_used_one(name: str, places: int | None) -> None:
    await sweep(name, by_task, warm=True, places=places)


@pytest.mark.parametrize("name", ["complete", "stream", "embed", "run_tools, streamed", "a token", "a place"])
@pytest.mark.parametrize("way", ["task", "anyio scope"])
@pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop")
def test_cancelled_under_uvloop(name: str, way: str) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(sweep(name, WAYS[way]))


async def test_cancelled_while_tls_shakes_hands() -> None:
    authority = trustme.CA()
    trusting, speaking = ssl.create_default_context(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.configure_trust(trusting)
    authority.issue_cert("127.0.0.1").configure_cert(speaking)
    clock = Clock()
    clock.wind(asyncio.get_running_loop())
    async with StepServer(usual, ssl=speaking) as server:
        for steps in range(PATIENCE):
            with complaints() as heard:
                async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as session:
                    server.forget()
                    before = tasks()
                    client = client_of(server, OPERATIONS["complete"], places=1, session=session)
                    done = await by_task(partial(complete, client), clock.turns(steps))
                    assert not tasks() - before
                    await is_well(client, server, places=1, most=1)
                    await client.aclose()
                await server.until(lambda: not server.open, "a connection outlived its session")
            assert heard == [], f"after {steps} turns"
            if done:
                assert steps >= 10
                return
    pytest.fail("it takes too long")


async def test_a_filtered_answer_is_refused_also_if_its_end_was_cancelled() -> None:
    """The last turns of a stream give its connection back; whoever is cancelled there and reads on is told the same."""
    told: list[type[BaseException]] = []
    *said, end = streamed(event(chunk("Hel")), event(chunk("lo")), event(chunk("", "content_filter")))
    said += [b""] * 8  # uvloop lets the server get further ahead before it reads
    async with (
        StepServer(lambda request: [*said, end]) as server,
        client_of(server, OPERATIONS["stream"], places=1) as client,
    ):
        for steps in range(1, PATIENCE):
            stream = client.stream("hi", raise_on_filter=True)
            reader = asyncio.create_task(stream.final())
            await turn(steps)
            if reader.done():
                assert isinstance(reader.exception(), ContentFilterError)
                break
            reader.cancel()
            await asyncio.wait([reader])
            assert reader.cancelled()
            with pytest.raises(InferenceError) as caught:
                await stream.final()
            told.append(type(caught.value))
    assert set(told) == {ClientClosedError, ContentFilterError}


# Closing, cancelled


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with a stream and a call under way"])
async def test_closing_the_client_is_cancelled_after_each_turn(way: str, *, busy: bool) -> None:
    """However it is cancelled, what was begun is finished: the client is closed, and so are its connections."""

    def answer(request: Request) -> Answer:
        return usual(request) if b"next" in request.body else [STREAM_HEAD, *chunked(event(chunk("Hel"))), None]

    clock = Clock()
    async with StepServer(answer) as server:
        for steps in range(PATIENCE):
            with complaints() as heard:
                server.forget()
                before = tasks()
                client = client_of(server, OPERATIONS["complete"], places=None)
                await client.complete("next")
                readers: list[asyncio.Task[Any]] = []
                if busy:
                    readers = [asyncio.create_task(text(client)), asyncio.create_task(complete(client))]
                    await turn(9)
                done = await WAYS[way](client.aclose, clock.turns(steps))
                if done or steps > 0:  # else it had not begun
                    with pytest.raises(ClientClosedError):
                        await client.complete("next")
                    await server.until(lambda: not server.open, "a connection outlived the client")
                await client.aclose()
                for ended in await asyncio.gather(*readers, return_exceptions=True):
                    assert isinstance(ended, ClientClosedError)
                assert not tasks() - before
                await server.until(lambda: not server.open, "a connection outlived the client")
                del client, readers
            assert heard == [], f"after {steps} turns"
            if done:
                assert steps >= 1
                return
    pytest.fail("it takes too long")


# At random


async def test_cancelled_at_random_in_company() -> None:
    """Some operations at once on one client, one of which is cancelled: the others end as if nothing had been."""
    dice = random.Random(20)
    names = [name for name, operation in OPERATIONS.items() if operation.answer is usual and not operation.threads]
    loop = asyncio.get_running_loop()
    Clock().wind(loop)
    struck = 0
    async with StepServer(usual) as server:
        for _ in range(150):
            server.forget()
            places = dice.choice([None, 1, 2])
            client = client_of(server, OPERATIONS[dice.choice(["complete", "a token"])], places=places)
            chosen = [OPERATIONS[dice.choice(names)] for _ in range(3)]
            with complaints() as heard:
                before = tasks()
                company = [asyncio.ensure_future(each.work(client)) for each in chosen[1:]]
                way = dice.choice(list(WAYS.values()))
                done = await way(partial(chosen[0].work, client), turn(dice.randrange(60)))
                struck += not done
                async with asyncio.timeout(5):
                    await asyncio.gather(*company)
                await is_well(client, server, places=places, most=places or 9)
                assert not tasks() - before
                await client.aclose()
                await server.until(lambda: not server.open, "a connection outlived the client")
                del client, company
            assert heard == [], chosen
    assert struck > 50
