"""`python -m benchmarks.hold`: for how long one event of the maximal size keeps the event loop from its other work.

A server in a process of its own sends a stream of one event of 16 MiB, of each shape in turn. While it is read, a task
sleeps for a millisecond at a time: where it sleeps longer, something has held the loop. The most of each of three
readings is printed. Other work on the machine holds the loop too: nothing should run beside this.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable

from inference_async import InferenceClient, InferenceError

SIZE = 16 * 1024 * 1024 - 1000  # with all around it below the bound on an event
READINGS = 3


def chunk(content: bytes, more: bytes = b"") -> bytes:
    """An event of one chunk."""
    delta = b'{"index":0,"delta":{"content":%b},"finish_reason":"stop"}' % content
    return b'data: {"id":"c","model":"m","created":1,"choices":[%b]%b}\n\n' % (delta, more)


def text(piece: bytes) -> bytes:
    return chunk(b'"' + piece * (SIZE // len(piece)) + b'"')


def numbers(number: bytes) -> bytes:
    return chunk(b'"x"', b',"unknown":[%b]' % b",".join([number] * 1_000_000))


def lines(line: bytes) -> bytes:
    return line * (SIZE // len(line)) + b"\n"


SHAPES: dict[str, Callable[[], bytes]] = {
    "text": lambda: text(b"x"),
    "bytes that are no UTF-8": lambda: text(b"\xff"),
    "text between such bytes": lambda: text(b"abc\xff\xc3\xa4"),
    "one such byte, at the end": lambda: chunk(b'"' + b"x" * SIZE + b'\xff"'),
    "escapes": lambda: text(b"\\u00e4"),
    "a million whole numbers": lambda: numbers(b"1234567"),
    "a million numbers": lambda: numbers(b"0.1234567890123"),
    "short data lines": lambda: lines(b"data:1\n"),
    "empty data lines": lambda: lines(b"data\n"),
}


async def serve(name: str) -> None:
    """Answer every request with the event; the first line of the output is the port."""
    data = SHAPES[name]() + b"data: [DONE]\n\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        writer.write(data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def held(port: int) -> tuple[float, str]:
    """For how many milliseconds the loop was held at most while the answer was read, and what came of it."""
    worst, over = 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal worst
        while not over.is_set():
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - began - 0.001)

    async with InferenceClient(f"http://127.0.0.1:{port}/v1", "key", model="m", retries=0) as client:
        watching = asyncio.create_task(watch())
        try:
            async with client.stream("hi") as stream:
                said = f"{len([chunk async for chunk in stream])} chunk"
        except InferenceError as error:
            said = type(error).__name__
        over.set()
        await watching
    return worst * 1000, said


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(sys.argv[2]))
        return
    for name in SHAPES:
        command = [sys.executable, "-m", "benchmarks.hold", "--serve", name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            found = [asyncio.run(held(port)) for _ in range(READINGS)]
            server.kill()
        print(f"{name:28}" + "".join(f"{worst:8.0f} ms" for worst, _ in found) + f"   {found[0][1]}", flush=True)


if __name__ == "__main__":
    main()
