"""What is cancelled and closed under: each operation of a client, and what a service says to it, piece by piece."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from inference_async import InferenceClient, RetryPolicy
from inference_async.wire.codec import LARGE
from tests.faults.stepping import Answer, Request, StepServer, turn
from tests.support import DONE, STREAM_HEAD, chunk, event, json_reply

ASKS_FOR_TOOLS = {
    "tool_calls": [
        {"index": 0, "id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}},
        {"index": 1, "id": "2", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bergen"}'}},
    ]
}


# What the server says


def in_pieces(reply: bytes) -> list[bytes]:
    """A reply whose head comes in two pieces, and its body in two more."""
    head, blank, body = reply.partition(b"\r\n\r\n")
    half = len(body) // 2
    return [head[:20], head[20:] + blank, body[:half], body[half:]]


def chunked(*pieces: bytes) -> list[bytes]:
    return [b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b"" for piece in pieces]


def streamed(*events: bytes) -> list[bytes]:
    """A stream whose second event comes in halves, and whose last HTTP chunk comes late, as from real servers."""
    first, second, *rest = events
    half = len(second) // 2
    return [STREAM_HEAD, *chunked(first, second[:half], b"", second[half:], *rest, DONE), b"", b"", b"0\r\n\r\n"]


def completion(message: dict[str, Any], finish: str = "stop") -> bytes:
    message = {"role": "assistant", "content": None} | message
    return json_reply({"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish}]})


def usual(request: Request) -> Answer:
    """What a service says to whatever is asked here."""
    asked = json.loads(request.body or b"{}")
    if b"/embeddings" in request.head:
        data = [{"index": index, "embedding": [float(index)]} for index in range(len(asked["input"]))]
        return in_pieces(json_reply({"model": "m", "data": data}))
    if b"next" in request.body:
        return [completion({"content": "next"})]
    asks = "tools" in asked and asked["messages"][-1]["role"] == "user"
    if not asked.get("stream"):
        return in_pieces(completion(ASKS_FOR_TOOLS, "tool_calls") if asks else completion({"content": "Hello"}))
    if asks:
        delta = {"index": 0, "delta": ASKS_FOR_TOOLS, "finish_reason": None}
        return streamed(event(chunk() | {"choices": [delta]}), event(chunk(finish="tool_calls")))
    return streamed(event(chunk("Hel")), event(chunk("lo")), event(chunk("", "stop")))


HALF = b"content-type: application/json\r\ncontent-length: 99\r\n\r\n{"
"""The end of a head, and half of its body."""


def half_an_answer(request: Request) -> Answer:
    return [b"HTTP/1.1 200 OK\r\n" + HALF, None]


LONG = "a" * LARGE
"""Text that is decoded beside the loop."""


def large(request: Request) -> Answer:
    if b"next" in request.body:
        return usual(request)
    if b'"stream":true' in request.body:
        return streamed(event(chunk("a")), event(chunk(LONG)), event(chunk("", "stop")))
    return in_pieces(completion({"content": LONG}))


def busy_once(request: Request) -> Answer:
    if request.number == 0:
        return in_pieces(json_reply({"error": {"message": "busy"}}, "503 Service Unavailable"))
    return usual(request)


def refusing_the_first_token(request: Request) -> Answer:
    if b"token-1\r\n" in request.head:
        return in_pieces(json_reply({"error": {"message": "expired"}}, "401 Unauthorized"))
    return usual(request)


def slowly(request: Request) -> Answer:
    return [*[b""] * 8, *usual(request)] if b"first" in request.body else usual(request)


# What is asked


class AsyncCredential:
    """A credential of azure-identity's shape whose tokens take some turns, and are numbered."""

    def __init__(self) -> None:
        self.asked = 0

    async def get_token(self, *scopes: str) -> Any:
        self.asked += 1
        number = self.asked
        await turn(4)
        return type("AccessToken", (), {"token": f"token-{number}", "expires_on": 2e9})


async def token() -> str:
    await turn(4)
    return "token"


def token_from_a_thread() -> str:
    return "token"


async def weather(city: str) -> str:
    """The weather in a city."""
    await turn(2 if city == "Oslo" else 4)
    return f"rain in {city}"


def weather_from_a_thread(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


weather_from_a_thread.__name__ = "weather"


async def complete(client: InferenceClient) -> None:
    assert (await client.complete("hi")).text == "Hello"


async def iterate(client: InferenceClient) -> None:
    async with client.stream("hi") as stream:
        assert "".join([chunk.text async for chunk in stream]) == "Hello"


async def final(client: InferenceClient) -> None:
    stream = client.stream("hi")
    kept.append(stream)
    assert (await stream.final()).text == "Hello"


async def text(client: InferenceClient) -> None:
    async with client.stream("hi") as stream:
        assert [piece async for piece in stream.text()] == ["Hel", "lo"]


async def complete_large(client: InferenceClient) -> None:
    assert (await client.complete("hi")).text == LONG


async def stream_large(client: InferenceClient) -> None:
    async with client.stream("hi") as stream:
        assert (await stream.final()).text == "a" + LONG


async def embed(client: InferenceClient) -> None:
    result = await client.embed(["a", "b", "c", "d"], batch_size=1, max_concurrency=3)
    assert len(result.vectors) == 4


async def request(client: InferenceClient) -> None:
    assert (await client.request("GET", "anything")).status == 200


async def run_whole(client: InferenceClient) -> None:
    run = client.run_tools("tools", tools=[weather])
    kept.append(run)
    assert (await run).text == "Hello"


async def run_threads(client: InferenceClient) -> None:
    assert (await client.run_tools("tools", tools=[weather_from_a_thread])).text == "Hello"


async def run_streamed(client: InferenceClient) -> None:
    async with client.run_tools("tools", tools=[weather], stream=True) as run:
        async for _ in run:
            pass
    assert run.completion.text == "Hello"


async def run_streamed_and_kept(client: InferenceClient) -> None:
    run = client.run_tools("tools", tools=[weather], stream=True)
    kept.append(run)
    assert (await run).text == "Hello"


async def run_streamed_threads(client: InferenceClient) -> None:
    async with client.run_tools("tools", tools=[weather_from_a_thread], stream=True) as run:
        async for _ in run:
            pass
    assert run.completion.text == "Hello"


async def wait_for_a_place(client: InferenceClient) -> None:
    """A call that must wait for another; if it is cancelled, the other goes on, and is not waited for."""
    others.append(asyncio.create_task(client.complete("first")))
    await turn()
    await complete(client)


others: list[asyncio.Task[Any]] = []
"""Tasks that a cancellation must not harm."""
kept: list[object] = []
"""What the caller holds on to: the connection must not need the collector, nor the end of a reference, to go."""


class Operation(NamedTuple):
    """Something to cancel.

    Attributes:
        work: what is done with a client.
        least: turns that it takes at least; were it over sooner, the server would not answer in pieces.
        answer: what the server says.
        credential: makes the client's.
        threads: whether a thread takes part, which needs real time.
        waits: whether it waits for the clock, which must go on with the turns.
    """

    work: Callable[[InferenceClient], Awaitable[None]]
    least: int
    answer: Callable[[Request], Answer] = usual
    credential: Callable[[], Any] = lambda: None
    threads: bool = False
    waits: bool = False


OPERATIONS = {
    "complete": Operation(complete, 7),
    "stream": Operation(iterate, 12),
    "final": Operation(final, 12),
    "text": Operation(text, 12),
    "embed": Operation(embed, 10),
    "request": Operation(request, 7),
    "run_tools": Operation(run_whole, 30),
    "run_tools, streamed": Operation(run_streamed, 36),
    "run_tools, streamed and kept": Operation(run_streamed_and_kept, 36),
    "run_tools, threads": Operation(run_threads, 28, threads=True),
    "run_tools, streamed, threads": Operation(run_streamed_threads, 34, threads=True),
    "backoff": Operation(complete, 20, busy_once, waits=True),
    "backoff of a stream": Operation(iterate, 26, busy_once, waits=True),
    "a token": Operation(complete, 12, credential=AsyncCredential),
    "a token from a callable": Operation(complete, 12, credential=lambda: token),
    "a token from a thread": Operation(complete, 8, credential=lambda: token_from_a_thread, threads=True),
    "another token": Operation(complete, 20, refusing_the_first_token, AsyncCredential),
    "a large answer": Operation(complete_large, 7, large, threads=True),
    "a large event": Operation(stream_large, 16, large, threads=True),
    "a place": Operation(wait_for_a_place, 16, slowly),
}


def client_of(server: StepServer, operation: Operation, *, places: int | None, **options: Any) -> InferenceClient:
    return InferenceClient(
        server.url,
        operation.credential(),
        scope="https://scope/.default",
        model="m",
        max_connections=places,
        retries=RetryPolicy(retries=1, hook=lambda attempt: None if attempt.delay is None else 0.05),
        **options,
    )


async def is_well(client: InferenceClient, server: StepServer, *, places: int | None, most: int) -> None:
    """The client serves calls at once, on all its places, and holds no connection more than there can be use for."""
    calls = places or 1
    came: list[Request] = []

    def answer(request: Request) -> Answer:
        came.append(request)
        while len(came) < calls:
            yield b""
        yield from usual(request)

    server.answer = answer
    async with asyncio.timeout(2):
        for completion in await asyncio.gather(*(client.complete("next") for _ in range(calls))):
            assert completion.text == "next"
    await server.until(
        lambda: len(server.open) <= most and not any(wire.is_owing for wire in server.open),
        "a connection is neither closed nor in the pool",
    )
