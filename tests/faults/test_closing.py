"""Streams and clients that are closed, left or forgotten: the connection goes, and whoever waits is told at once."""

from __future__ import annotations

import asyncio
import functools
import gc
import re
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from inference_async import (
    ChatStream,
    ClientClosedError,
    ClientStateError,
    InferenceClient,
    WrongEventLoopError,
)
from inference_async.emulator import FaultServer
from tests.faults.operations import (
    OPERATIONS,
    Operation,
    chunked,
    client_of,
    complete,
    half_an_answer,
    is_well,
    kept,
    others,
    usual,
    weather,
)
from tests.faults.stepping import PATIENCE, Answer, Boom, Clock, Request, StepServer, complaints, frozen, tasks, turn
from tests.support import HELLO, STREAM_HEAD, chunk, event


def unfinished(request: Request) -> Answer:
    """A stream that stops in the middle; other calls are answered as usual."""
    return usual(request) if b"next" in request.body else [STREAM_HEAD, *chunked(event(chunk("Hel"))), None]


@pytest.fixture(autouse=True, scope="module")
def _quick_collections() -> Iterator[None]:
    with frozen():
        yield


@pytest.fixture
async def server() -> AsyncIterator[StepServer]:
    async with StepServer(unfinished) as server:
        with complaints() as heard:
            before = tasks()
            yield server
            await server.until(lambda: not server.open, "a connection outlived the client")
            assert not tasks() - before
        assert heard == []


def one_place(server: StepServer, **options: Any) -> InferenceClient:
    return InferenceClient(server.url, model="m", max_connections=1, **options)


# Left by its reader


async def breaks(stream: ChatStream) -> None:
    async with stream:
        async for _ in stream:
            break


async def fails(stream: ChatStream) -> None:
    with pytest.raises(Boom):  # noqa: PT012  (the loop is what raises)
        async with stream:
            async for _ in stream:
                raise Boom


async def interrupts(stream: ChatStream) -> None:
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  (the loop is what raises)
        async with stream:
            async for _ in stream:
                raise KeyboardInterrupt


async def enters(stream: ChatStream) -> None:
    async with stream:
        pass


async def breaks_a_lens(stream: ChatStream) -> None:
    async with stream:
        async for _ in stream.text():
            break


@pytest.mark.parametrize("leaves", [breaks, fails, interrupts, enters, breaks_a_lens])
async def test_a_stream_that_is_left_frees_its_connection_and_its_place(
    server: StepServer, leaves: Callable[[ChatStream], Awaitable[None]]
) -> None:
    async with one_place(server) as client:
        for _ in range(3):
            await leaves(client.stream("hi"))
            await is_well(client, server, places=1, most=1)
            server.answer = unfinished


# Closed by another task, after each turn


async def reads(stream: ChatStream) -> None:
    async with stream:
        async for _ in stream:
            pass


async def reads_text(stream: ChatStream) -> None:
    async for _ in stream.text():
        pass


async def reads_all(stream: ChatStream) -> None:
    await stream.final()


@pytest.mark.parametrize("answer", [unfinished, usual], ids=["a stream without an end", "a stream with an end"])
@pytest.mark.parametrize("read", [reads, reads_text, reads_all])
async def test_a_stream_is_closed_by_another_task_after_each_turn(
    server: StepServer, read: Callable[[ChatStream], Awaitable[None]], answer: Callable[[Request], Answer]
) -> None:
    for steps in range(PATIENCE):
        server.answer = answer
        async with one_place(server) as client:
            stream = client.stream("hi")
            reader = asyncio.ensure_future(read(stream))
            await turn(steps)
            if reader.done():
                assert steps >= 14
                return
            await stream.aclose()
            ended = await told(reader)
            assert ended is None or type(ended) is ClientClosedError, f"after {steps} turns: {ended!r}"
            if ended is None:  # it had its end, and was giving its connection back
                assert stream.completion.text == "Hello"
            else:
                with pytest.raises(ClientClosedError):
                    await stream.final()
            await is_well(client, server, places=1, most=1)
        if answer is unfinished and steps > 30:
            return
    pytest.fail("it takes too long")


async def told(reader: asyncio.Future[Any]) -> BaseException | None:
    """How a reader ends, which it does within a few turns."""
    for _ in range(20):
        if reader.done():
            return reader.exception()
        await asyncio.sleep(0)
    raise AssertionError("the reader was not told at once")


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_client_is_closed_after_each_turn_of_a_call(name: str) -> None:
    operation = OPERATIONS[name]
    clock = Clock()
    clock.wind(asyncio.get_running_loop(), needed=operation.waits)
    async with StepServer(operation.answer) as server:
        for steps in range(PATIENCE):
            with complaints() as heard:
                server.forget()
                before = tasks()
                client = client_of(server, operation, places=3 if name == "embed" else 1)
                call = asyncio.ensure_future(operation.work(client))
                await clock.turns(steps, pause=0.0004 if operation.threads else 0)
                done = call.done()
                await client.aclose()
                if not done:
                    if operation.threads or "run_tools" in name:  # a tool is the user's, and goes on to its end
                        await asyncio.wait([call], timeout=5)
                    error = await told(call)
                    assert error is None or type(error) is ClientClosedError, f"after {steps} turns: {error!r}"
                    assert error is not None or steps > operation.least // 2  # its end had come
                while others:
                    assert isinstance(await told(others.pop()), ClientClosedError | None)
                assert not tasks() - before
                await server.until(lambda: not server.open, "a connection outlived the client")
                kept.clear()
                del client, call
            assert heard == [], f"after {steps} turns"
            if done:
                assert steps >= operation.least
                return
    pytest.fail("it takes too long")


@pytest.mark.parametrize(
    "name", ["complete", "stream", "final", "embed", "run_tools, streamed and kept", "backoff", "half an answer"]
)
async def test_a_client_of_a_callers_session_is_closed_after_each_turn(name: str) -> None:
    """The session stays open, so each connection must be given back, or cut, by the call itself."""
    operation = OPERATIONS.get(name) or Operation(complete, 0, half_an_answer)
    clock = Clock()
    clock.wind(asyncio.get_running_loop(), needed=operation.waits)
    async with StepServer(operation.answer) as server:
        for steps in range(PATIENCE):
            server.forget()
            with complaints() as heard:
                async with aiohttp.ClientSession() as session:
                    server.answer = operation.answer
                    client = client_of(server, operation, places=None, session=session)
                    call = asyncio.ensure_future(operation.work(client))
                    await clock.turns(steps)
                    done = call.done()
                    await client.aclose()
                    if "run_tools" in name:
                        await asyncio.wait([call], timeout=5)
                    assert isinstance(await told(call), ClientClosedError | None)
                    another = client_of(server, operation, places=None, session=session)
                    await is_well(another, server, places=1, most=3 if name == "embed" else 1)
                    await another.aclose()
                kept.clear()
                del client, call
            assert heard == [], f"after {steps} turns"
            if done or (steps == 30 and name == "half an answer"):
                return
    pytest.fail("it takes too long")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_run_is_closed_by_another_task_after_each_turn(server: StepServer, *, stream: bool) -> None:
    for steps in range(PATIENCE):
        server.answer = usual
        async with one_place(server) as client:
            run = client.run_tools("tools", tools=[weather], stream=stream)
            reader = asyncio.ensure_future(reads_run(run))
            await turn(steps)
            done = reader.done()
            await run.aclose()
            ended = await told(reader)  # it may be about to give a connection back
            assert ended is None if done else type(ended) is ClientClosedError, f"after {steps} turns: {ended!r}"
            await is_well(client, server, places=1, most=1)
        if done:
            assert steps >= 28
            return
    pytest.fail("it takes too long")


async def reads_run(run: Any) -> None:
    async for _ in run:
        pass


@pytest.mark.parametrize("events", range(8))
async def test_a_run_that_is_left_closes_its_stream(server: StepServer, events: int) -> None:
    server.answer = usual
    async with one_place(server) as client:
        run = client.run_tools("tools", tools=[weather], stream=True)
        for _ in range(events):
            await anext(run)
        await run.aclose()
        await is_well(client, server, places=1, most=1)


async def test_closing_from_many_tasks_at_once(server: StepServer) -> None:
    client = one_place(server)
    stream = client.stream("hi")
    reader = asyncio.ensure_future(stream.final())
    await turn(20)
    await asyncio.gather(*(close() for close in [stream.aclose, client.aclose] * 5))
    assert isinstance(await told(reader), ClientClosedError)


async def test_a_callers_session_is_closed_under_a_stream(server: StepServer) -> None:
    """aiohttp does not wake a reader then."""
    async with aiohttp.ClientSession() as session:
        client = one_place(server, session=session, retries=0)
        stream = client.stream("hi")
        await anext(stream)
        reader = asyncio.ensure_future(anext(stream))
        await turn(5)
        await session.close()
        with pytest.raises(ClientClosedError, match="the session was closed"):
            await asyncio.wait_for(reader, 2)
        with pytest.raises(ClientClosedError, match="the aiohttp session that was given to this client is closed"):
            await client.complete("next")
        await client.aclose()


async def test_a_callers_session_is_closed_under_a_call(server: StepServer) -> None:
    server.answer = lambda request: [None]
    async with aiohttp.ClientSession() as session:
        client = one_place(server, session=session, retries=0)
        call = asyncio.ensure_future(client.complete("hi"))
        await turn(20)
        await session.close()
        assert isinstance(await told(call), ClientClosedError)
        await client.aclose()


# Forgotten


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


async def reads_one(client: InferenceClient) -> None:
    async for _ in client.stream("hi"):
        break


async def reads_one_text(client: InferenceClient) -> None:
    async for _ in client.stream("hi").text():
        break


async def begins(client: InferenceClient) -> None:
    await client.stream("hi").__aenter__()


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("forgets", [reads_one, reads_one_text, begins])
async def test_a_forgotten_stream_warns_once_and_frees_its_connection_by_itself(
    server: StepServer, forgets: Callable[[InferenceClient], Awaitable[None]]
) -> None:
    async with one_place(server) as client:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            await forgets(client)
            assert [str(warning.message).partition(";")[0] for warning in warned] == [
                "a ChatStream was dropped before its end"
            ]
            assert warned[0].category is ResourceWarning
            warned.clear()  # which holds the stream
            await turn(4)
            assert not server.open
            assert warned == []
        await is_well(client, server, places=1, most=1)


@pytest.mark.usefixtures("_no_collector")
async def test_streams_that_need_no_closing_do_not_warn(server: StepServer) -> None:
    async with one_place(server) as client:
        client.stream("hi")  # nothing was sent
        stream = client.stream("next")
        server.answer = lambda request: [STREAM_HEAD, *chunked(HELLO), b"0\r\n\r\n"]
        await stream.final()
        del stream


@pytest.mark.usefixtures("_no_collector")
async def test_a_forgotten_client_warns_and_closes_its_connections_by_itself() -> None:
    async with StepServer(unfinished) as server:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        client = one_place(server)
        await client.complete("next")
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            del client
            told.clear()
            words = [re.sub(" <.*", "", str(warning.message)) for warning in warned]
            kinds = {warning.category for warning in warned}
            warned.clear()  # which holds the session, and that its connections
            told.clear()
        await turn(4)
        assert not server.open
    assert words == ["an InferenceClient was dropped without being closed; use `async with` or call aclose()"]
    assert kinds == {ResourceWarning}


# Loops, threads, processes


async def use(client: InferenceClient) -> None:
    await client.complete("next")


async def use_stream(client: InferenceClient) -> None:
    await client.stream("hi").final()


async def use_tools(client: InferenceClient) -> None:
    await client.run_tools("next", tools=[str.upper])


async def use_embed(client: InferenceClient) -> None:
    await client.embed(["a", "b"], batch_size=1)


async def enter(client: InferenceClient) -> None:
    async with client:
        pytest.fail("it was entered")


USES = [use, use_stream, use_embed]


@pytest.mark.parametrize("use_it", [*USES, enter])
async def test_a_client_is_used_after_it_was_closed(
    server: StepServer, use_it: Callable[[InferenceClient], Awaitable[None]]
) -> None:
    client = one_place(server)
    await client.complete("next")
    await client.aclose()
    with pytest.raises(ClientClosedError, match="the client is closed; make a new one") as caught:
        await use_it(client)
    assert isinstance(caught.value, ClientStateError)


@pytest.mark.parametrize("use_it", [*USES, InferenceClient.aclose])
async def test_a_client_is_used_in_the_loop_of_another_thread(
    server: StepServer, use_it: Callable[[InferenceClient], Awaitable[None]]
) -> None:
    async with one_place(server) as client:
        await client.complete("next")
        with pytest.raises(WrongEventLoopError, match=r"belong|bound to the event loop") as caught:
            await asyncio.to_thread(asyncio.run, use_it(client))  # type: ignore[arg-type]  # coroutines all of them
        assert isinstance(caught.value, ClientStateError)
        await is_well(client, server, places=1, most=1)


@pytest.mark.parametrize("use_it", USES)
def test_a_client_is_used_in_another_asyncio_run(use_it: Callable[[InferenceClient], Awaitable[None]]) -> None:
    kept: list[InferenceClient] = []

    async def first() -> None:
        async with StepServer(unfinished) as server, aiohttp.ClientSession() as session:
            kept.append(one_place(server, session=session))
            await kept[0].complete("next")

    asyncio.run(first())
    with pytest.raises(ClientClosedError, match="the aiohttp session that was given to this client is closed"):
        asyncio.run(use_it(kept[0]))  # type: ignore[arg-type]  # coroutines all of them


def test_a_client_moves_on_to_the_next_asyncio_run() -> None:
    """Its connections are gone with the loop; its places and its locks must not be."""
    kept: list[InferenceClient] = []

    async def run(port: int) -> int:
        async with FaultServer("fine", port=port) as server:
            kept.append(InferenceClient(server.url, model="m", max_connections=1))
            texts = await asyncio.gather(*(kept[0].complete("hi") for _ in range(3)))
            assert len({completion.text for completion in texts}) == 1
            assert server.connections == 1
            if port:
                await kept[0].aclose()
                await server.all_closed()
            return urlsplit(server.url).port or 0

    asyncio.run(run(asyncio.run(run(0))))


async def test_two_threads_with_loops_of_their_own_ask_for_the_first_time() -> None:
    """One of them gets the client, the other is told so."""
    async with StepServer(usual) as server:
        client = one_place(server)
        both = threading.Barrier(2)
        ended: list[object] = []

        def run() -> None:
            async def ask() -> None:
                both.wait(5)
                try:
                    ended.append((await client.complete("next")).text)
                except ClientStateError as error:
                    ended.append(type(error))
                else:
                    both.wait(5)
                    await client.aclose()
                    return
                both.wait(5)

            asyncio.run(ask())

        await asyncio.gather(*(asyncio.to_thread(run) for _ in range(2)))
        assert sorted(ended, key=str) == [WrongEventLoopError, "next"]


PROGRAM = """
import asyncio, sys
from inference_async import InferenceClient

async def main():
    client = InferenceClient(sys.argv[1], model="m")
    stream = client.stream("hi")

    async def read():
        async with client, stream:
            async for chunk in stream:
                print(chunk.text, flush=True)
                %s

    %s

asyncio.run(main())
"""
ENDS = {
    "SIGINT while it waits": ("pass", "await read()", "KeyboardInterrupt"),
    "KeyboardInterrupt in the consumer": ("raise KeyboardInterrupt", "await read()", "KeyboardInterrupt"),
    "SystemExit in the consumer": ("sys.exit(3)", "await read()", ""),
    "the end, with a reader at work": (
        "read_one.set()",
        "read_one = asyncio.Event(); task = asyncio.create_task(read()); await read_one.wait()",
        "",
    ),
    "the end, with a stream open": ("pass", "print((await anext(stream)).text, flush=True)", "ResourceWarning"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
@pytest.mark.parametrize(("consumer", "main", "last"), ENDS.values(), ids=ENDS)
async def test_a_program_ends_in_the_middle_of_a_stream(
    server: StepServer, consumer: str, main: str, last: str
) -> None:
    python = (sys.executable, "-X", "dev", "-W", "always", "-c", PROGRAM % (consumer, main), server.url)
    run = await asyncio.create_subprocess_exec(
        *python,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A runner in the background of a shell ignores SIGINT, and so would its children.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert run.stdout is not None
        assert await run.stdout.readline() == b"Hel\n"
        if consumer == "pass" and last == "KeyboardInterrupt":
            await asyncio.sleep(0.02)  # it is to wait for more by then
            run.send_signal(signal.SIGINT)
        async with asyncio.timeout(5):
            complaint = (await run.communicate())[1].decode()
    finally:
        if run.returncode is None:
            run.kill()
            await run.wait()
    if last == "ResourceWarning":
        assert "ResourceWarning: a ChatStream was dropped before its end" in complaint
    else:
        assert (complaint.splitlines() or [""])[-1] == last, complaint
        assert "Warning" not in complaint
        assert "Unclosed" not in complaint
    for word in (
        "was destroyed",
        "never retrieved",
        "never awaited",
        "Exception in",
        "Exception ignored",
        "inference_async.errors",
    ):
        assert word not in complaint


# At the end


@pytest.mark.parametrize(
    "rest",
    [[b"0\r\n\r\n"], [b"", b"", b"0\r\n\r\n"], [*chunked(b": bye\n\n"), b"0\r\n\r\n"]],
    ids=["the body ends", "it ends late", "something more is said"],
)
async def test_twenty_streams_in_a_row_use_one_connection(server: StepServer, rest: list[bytes]) -> None:
    server.answer = lambda request: [STREAM_HEAD, *chunked(HELLO), *rest]
    async with one_place(server) as client:
        for _ in range(20):
            async with client.stream("hi") as stream:
                assert (await stream.final()).text == "Hello"
        assert len(server.wires) == 1


def talks_on(request: Request) -> Answer:
    yield STREAM_HEAD
    yield from chunked(HELLO)
    while True:
        yield from chunked(b": and another thing" * 1000)


@pytest.mark.parametrize(
    "answer", [lambda request: [STREAM_HEAD, *chunked(HELLO), None], talks_on], ids=["keeps quiet", "talks on"]
)
async def test_a_body_without_an_end_is_cut_soon_after_the_end_of_the_stream(
    server: StepServer, answer: Callable[[Request], Answer]
) -> None:
    server.answer = answer
    async with one_place(server) as client:
        async with asyncio.timeout(5):
            assert (await client.stream("hi").final()).text == "Hello"
        await server.until(lambda: not server.open, "the connection is kept")
        await is_well(client, server, places=1, most=1)
