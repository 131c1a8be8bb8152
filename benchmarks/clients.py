"""The clients that are compared, each as the program would use it that wants an answer's text.

A client reads streams, and asks for whole answers; the model says which the server shall give. The first is the floor:
what aiohttp costs alone, without a limit on time. The second shows what is below that: an event loop, a socket, and a
task that is woken. The others are at their defaults, time limits included, but for
bounds on the number of connections that would keep a thousand streams from being open at once.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

PROMPT = "How many languages are in the world?"
KEY = "some-key"
HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
MESSAGE: Any = {"role": "user", "content": PROMPT}

Arrived = Callable[[Any], object]
"""Called with the text of each chunk; by the floor, with the bytes of each read."""


class Calls(NamedTuple):
    stream: Callable[[str, Arrived], Awaitable[object]]
    request: Callable[[str], Awaitable[str]]


def body_of(model: str, *, stream: bool) -> dict[str, object]:
    return {"model": model, "messages": [MESSAGE], "stream": stream}


@asynccontextmanager
async def floor(url: str) -> AsyncIterator[Calls]:
    """aiohttp hands out bytes that nobody looks at; a whole answer is decoded by msgspec."""
    import aiohttp
    import msgspec

    message = msgspec.defstruct("Message", [("content", str)])
    choice = msgspec.defstruct("Choice", [("message", message)])
    completion: Any = msgspec.defstruct("Completion", [("choices", list[choice])])  # type: ignore[valid-type]
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(completion).decode
    url += "/chat/completions"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:

        async def stream(model: str, arrived: Arrived) -> None:
            body = encode(body_of(model, stream=True))
            async with session.post(url, data=body, headers=HEADERS) as response:
                while data := await response.content.readany():
                    arrived(data)

        async def request(model: str) -> str:
            body = encode(body_of(model, stream=False))
            async with session.post(url, data=body, headers=HEADERS) as response:
                text: str = decode(await response.read()).choices[0].message.content
                return text

        yield Calls(stream, request)


class _Wire(asyncio.Protocol):
    """A connection that keeps what comes until it is taken."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._data = b""
        self._waiter: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> bytes:
        if not self._data:
            self._waiter = self._loop.create_future()
            await self._waiter
        data, self._data = self._data, b""
        return data


@asynccontextmanager
async def bare(url: str) -> AsyncIterator[Calls]:
    """A socket of asyncio's that wakes a task for each read: no HTTP but what is needed to know the end."""
    import msgspec

    where = urlsplit(url)
    host, port = where.hostname or "", where.port or 80
    idle: list[tuple[asyncio.Transport, _Wire]] = []
    encode = msgspec.json.Encoder().encode
    names = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    start = f"POST {where.path}/chat/completions HTTP/1.1\r\nhost: {where.netloc}\r\n{names}content-length: "

    async def sent(model: str, *, stream: bool) -> tuple[asyncio.Transport, _Wire]:
        body = encode(body_of(model, stream=stream))
        loop = asyncio.get_running_loop()
        if idle:
            transport, wire = idle.pop()
        else:
            transport, wire = await loop.create_connection(_Wire, host, port)
        transport.write(f"{start}{len(body)}\r\n\r\n".encode() + body)
        return transport, wire

    async def stream(model: str, arrived: Arrived) -> None:
        connection = await sent(model, stream=True)
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data = await connection[1].take()
            arrived(data)
        idle.append(connection)

    async def request(model: str) -> str:
        connection = await sent(model, stream=False)
        head, _, body = (await connection[1].take()).partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += await connection[1].take()
        idle.append(connection)
        text: str = json.loads(body)["choices"][0]["message"]["content"]
        return text

    yield Calls(stream, request)
    for transport, _ in idle:
        transport.close()


@asynccontextmanager
async def naive(url: str, decode: Callable[[bytes], Any] | None = None) -> AsyncIterator[Calls]:
    """aiohttp line by line, and `json`: what is written first by who has no client."""
    import aiohttp

    url += "/chat/completions"
    loads: Callable[[bytes], Any] = decode or json.loads
    connector = aiohttp.TCPConnector(limit=0)  # or the 101st stream of a crowd would wait for the first to end
    async with aiohttp.ClientSession(connector=connector, headers={"authorization": f"Bearer {KEY}"}) as session:

        async def stream(model: str, arrived: Arrived) -> None:
            async with session.post(url, json=body_of(model, stream=True)) as response:
                async for line in response.content:
                    if line.startswith(b"data: ") and line != b"data: [DONE]\n":
                        arrived(loads(line[6:])["choices"][0]["delta"].get("content"))

        async def request(model: str) -> str:
            async with session.post(url, json=body_of(model, stream=False)) as response:
                text: str = loads(await response.read())["choices"][0]["message"]["content"]
                return text

        yield Calls(stream, request)


def naive_msgspec(url: str) -> AbstractAsyncContextManager[Calls]:
    """aiohttp line by line, and msgspec to plain objects."""
    import msgspec

    return naive(url, msgspec.json.decode)


@asynccontextmanager
async def httpx_sse(url: str) -> AsyncIterator[Calls]:
    import httpx
    from httpx_sse import aconnect_sse

    url += "/chat/completions"
    options: Any = {"timeout": 60, "limits": httpx.Limits(max_connections=None)}
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {KEY}"}, **options) as client:

        async def stream(model: str, arrived: Arrived) -> None:
            async with aconnect_sse(client, "POST", url, json=body_of(model, stream=True)) as source:
                async for event in source.aiter_sse():
                    if event.data != "[DONE]":
                        arrived(event.json()["choices"][0]["delta"].get("content"))

        async def request(model: str) -> str:
            response = await client.post(url, json=body_of(model, stream=False))
            text: str = response.json()["choices"][0]["message"]["content"]
            return text

        yield Calls(stream, request)


@asynccontextmanager
async def azure(url: str) -> AsyncIterator[Calls]:
    import aiohttp
    from azure.ai.inference.aio import ChatCompletionsClient
    from azure.core.credentials import AzureKeyCredential
    from azure.core.pipeline.transport import AioHttpTransport

    session = aiohttp.ClientSession(  # as the transport would make it, but for the bound
        connector=aiohttp.TCPConnector(limit=0),
        trust_env=True,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )
    transport = AioHttpTransport(session=session)
    async with ChatCompletionsClient(url, AzureKeyCredential(KEY), transport=transport) as client:

        async def stream(model: str, arrived: Arrived) -> None:
            chunks: Any = await client.complete(messages=[MESSAGE], model=model, stream=True)
            async for chunk in chunks:
                arrived(chunk.choices[0].delta.content)

        async def request(model: str) -> str:
            completion: Any = await client.complete(messages=[MESSAGE], model=model)
            return str(completion.choices[0].message.content)

        yield Calls(stream, request)


@asynccontextmanager
async def openai(url: str, **options: Any) -> AsyncIterator[Calls]:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=url, api_key=KEY, **options) as client:

        async def stream(model: str, arrived: Arrived) -> None:
            chunks = await client.chat.completions.create(model=model, messages=[MESSAGE], stream=True)
            async for chunk in chunks:
                arrived(chunk.choices[0].delta.content)

        async def request(model: str) -> str:
            completion = await client.chat.completions.create(model=model, messages=[MESSAGE])
            return completion.choices[0].message.content or ""

        yield Calls(stream, request)


def openai_aiohttp(url: str) -> AbstractAsyncContextManager[Calls]:
    from openai import DefaultAioHttpClient

    return openai(url, http_client=DefaultAioHttpClient())


@asynccontextmanager
async def litellm(url: str) -> AsyncIterator[Calls]:
    from litellm import acompletion

    async def complete(model: str, **options: Any) -> Any:
        return await acompletion(model=f"openai/{model}", messages=[MESSAGE], api_base=url, api_key=KEY, **options)

    async def stream(model: str, arrived: Arrived) -> None:
        async for chunk in await complete(model, stream=True):
            arrived(chunk.choices[0].delta.content)

    async def request(model: str) -> str:
        return str((await complete(model)).choices[0].message.content)

    yield Calls(stream, request)


@asynccontextmanager
async def ours(url: str) -> AsyncIterator[Calls]:
    from inference_async import InferenceClient

    async with InferenceClient(url, KEY) as client:

        async def stream(model: str, arrived: Arrived) -> None:
            async with client.stream(PROMPT, model=model) as chunks:
                async for chunk in chunks:
                    arrived(chunk.text)

        async def request(model: str) -> str:
            return (await client.complete(PROMPT, model=model)).text

        yield Calls(stream, request)


class Client(NamedTuple):
    open: Callable[[str], AbstractAsyncContextManager[Calls]]
    needs: tuple[str, ...]


FLOOR = "aiohttp, bytes only"
BARE = "asyncio, bytes only"
READ_BYTES = (FLOOR, BARE)
"""Those that hand out the bytes of reads, and not the texts of chunks."""

OURS = "inference_async"
OPENAI = "openai"
CLIENTS: dict[str, Client] = {
    FLOOR: Client(floor, ("aiohttp", "msgspec")),
    BARE: Client(bare, ("msgspec",)),
    OURS: Client(ours, ("inference_async",)),
    "aiohttp by line, msgspec": Client(naive_msgspec, ("aiohttp", "msgspec")),
    "aiohttp by line, json": Client(naive, ("aiohttp",)),
    "httpx + httpx-sse": Client(httpx_sse, ("httpx", "httpx_sse")),
    "azure-ai-inference": Client(azure, ("azure.ai.inference",)),
    OPENAI: Client(openai, ("openai",)),
    "openai, aiohttp": Client(openai_aiohttp, ("openai", "aiohttp")),
    "litellm": Client(litellm, ("litellm",)),
}


def is_installed(name: str) -> bool:
    """Whether what the client needs is there."""
    try:
        return all(importlib.util.find_spec(module) for module in CLIENTS[name].needs)
    except ModuleNotFoundError:  # the package that a module is in
        return False
