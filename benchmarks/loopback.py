"""`python -m benchmarks.loopback`: client CPU per streamed chunk, over real HTTP, against a floor and other clients.

Every client reads the same stream from a server in another process; each run is a process of its own, the clients take
turns, and the median of five rounds counts (user and system time of the client alone). The floor is aiohttp handing
out bytes that nobody looks at. Clients that are not installed are left out: ``pip install --group peers`` brings them.
"""

from __future__ import annotations

import asyncio
import importlib.util
import resource
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

CHUNKS = 2000
RUNS = 3
ROUNDS = 5
Run = Callable[[], Awaitable[object]]


async def floor(url: str, stack: AsyncExitStack) -> Run:
    import aiohttp

    session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)))

    async def run() -> None:
        async with session.post(f"{url}/chat/completions", data=b"{}") as response:
            while await response.content.readany():
                pass

    return run


async def ours(url: str, stack: AsyncExitStack) -> Run:
    from inference_async import InferenceClient

    client = await stack.enter_async_context(InferenceClient(url, "some-key", model="m"))

    async def run() -> None:
        async with client.stream("hi") as stream:
            async for _ in stream:
                pass

    return run


async def openai(url: str, stack: AsyncExitStack) -> Run:
    import openai

    client = await stack.enter_async_context(openai.AsyncOpenAI(base_url=url, api_key="some-key"))

    async def run() -> None:
        stream: Any = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        async for _ in stream:
            pass

    return run


async def azure(url: str, stack: AsyncExitStack) -> Run:
    from azure.ai.inference.aio import ChatCompletionsClient
    from azure.core.credentials import AzureKeyCredential

    client = await stack.enter_async_context(ChatCompletionsClient(url, AzureKeyCredential("some-key")))

    message: Any = {"role": "user", "content": "hi"}

    async def run() -> None:
        stream: Any = await client.complete(messages=[message], model="m", stream=True)
        async for _ in stream:
            pass

    return run


CLIENTS: dict[str, tuple[str, Callable[[str, AsyncExitStack], Awaitable[Run]]]] = {
    "aiohttp, bytes only": ("aiohttp", floor),
    "inference_async": ("inference_async", ours),
    "azure-ai-inference": ("azure.ai", azure),
    "openai": ("openai", openai),
}


async def measure(name: str, url: str) -> float:
    """Microseconds of CPU per chunk, after one run to warm up."""
    async with AsyncExitStack() as stack:
        run = await CLIENTS[name][1](url, stack)
        await run()
        before = resource.getrusage(resource.RUSAGE_SELF)
        for _ in range(RUNS):
            await run()
        after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / RUNS / CHUNKS * 1e6


def main() -> None:
    names = [name for name, (module, _) in CLIENTS.items() if importlib.util.find_spec(module)]
    for mode in ("coalesced", "paced"):
        server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server", str(CHUNKS), mode], stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
            taken: dict[str, list[float]] = {name: [] for name in names}
            for _ in range(ROUNDS):
                for name in names:
                    command = [sys.executable, "-m", "benchmarks.loopback", name, url]
                    taken[name].append(float(subprocess.run(command, capture_output=True, check=True).stdout))
        finally:
            server.terminate()
            server.wait()
        base = statistics.median(taken[names[0]])
        print(f"\n{mode}: CPU per chunk, median (least to most), and times the floor")
        for name, figures in taken.items():
            middle = statistics.median(figures)
            print(f"  {name:22}{middle:8.2f} us ({min(figures):.2f} to {max(figures):.2f}){middle / base:8.2f}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(asyncio.run(measure(sys.argv[1], sys.argv[2])))
    else:
        main()
