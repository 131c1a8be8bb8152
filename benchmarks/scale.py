"""`python -m benchmarks.scale`: ten thousand streams at once, on the client's defaults, and what each of them costs.

A server in a process of its own answers every request with a first chunk, waits until the reader says that it has all
of these, and then paces the rest over some seconds, round-robin. It stamps each chunk with the time it was written, by
the clock that all processes of a machine share. The same streams are read by aiohttp alone, as bytes that nobody looks
at: what that holds and costs is the floor. Each reader is a process of its own, so that its memory is its own.

Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import resource
import subprocess
import sys
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .server import HEAD, event, http_chunk

MOST_KIB = 20.0  # per stream, above what aiohttp holds for the same connections
MOST_CPU_MS = 1.2  # per stream, all in all
MOST_GROWTH = 0.1  # of the memory of open streams, from a quarter to three quarters of their time
MOST_LATENCY_MS = 1000.0
WARM_UP = 50
GO = b"go"
STAMP = 17  # digits of a time in nanoseconds
READERS = ("aiohttp", "inference_async")

Figures = dict[str, Any]
Arrived = Callable[[int], None]
"""Called by a reader with the moment at which a chunk was written, or 0 if it does not look."""
Read = Callable[[Arrived], Awaitable[bool]]
"""Read one stream to its end; say whether it was the golden answer."""
WARM = {"x-warm": "1"}


def raise_limit(streams: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < streams + 200:
        sys.exit(f"got a limit of {hard} open files, expected {streams + 200} for {streams} streams")


# The server


class Server:
    """Answers all requests together, on the word `GO`; those that are for warming up, at once."""

    def __init__(self, chunks: int, seconds: float) -> None:
        self.chunks = chunks
        self.seconds = seconds
        self.waiting: list[asyncio.Transport] = []
        piece = http_chunk(event({"content": "0" * STAMP + " world"}))
        self._before, _, self._after = piece.partition(b"0" * STAMP)
        self._end = http_chunk(event({}, "stop") + b"data: [DONE]\n\n") + b"0\r\n\r\n"
        self._pacing: asyncio.Task[None] | None = None

    def begin(self, transport: asyncio.Transport, *, warm: bool) -> None:
        transport.write(HEAD + self._piece())
        if warm:
            transport.write(self._piece() * (self.chunks - 1) + self._end)
            return
        self.waiting.append(transport)

    def go(self) -> None:
        self._pacing = asyncio.create_task(self._pace(self.waiting))

    async def _pace(self, streams: list[asyncio.Transport]) -> None:
        now = asyncio.get_running_loop().time
        total, started, sent = len(streams) * self.chunks, now(), 0
        while sent < total:
            due = min(total, int((now() - started) / self.seconds * total))
            for at in range(sent, due):
                turn, index = divmod(at, len(streams))
                streams[index].write(self._piece() if turn < self.chunks - 1 else self._end)
            sent = due
            await asyncio.sleep(0.005)

    def _piece(self) -> bytes:
        return b"%b%0*d%b" % (self._before, STAMP, time.monotonic_ns(), self._after)


class Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._request += data
        if self._request == GO:
            self._server.go()
            return
        head, end, body = self._request.lower().partition(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if end and len(body) >= length:
            self._request = b""
            self._server.begin(self._transport, warm=b"x-warm" in head)


async def serve(streams: int, chunks: int, seconds: float) -> None:
    raise_limit(streams)
    server = Server(chunks, seconds)
    listening = await asyncio.get_running_loop().create_server(
        lambda: Connection(server), "127.0.0.1", 0, backlog=streams
    )
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


# The readers


async def bare(url: str, chunks: int, stack: AsyncExitStack) -> tuple[Read, Read]:
    import aiohttp

    session = await stack.enter_async_context(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        )
    )

    async def read(arrived: Arrived, headers: dict[str, str] | None = None) -> bool:
        async with session.post(f"{url}/chat/completions", data=b"{}", headers=headers) as response:
            while await response.content.readany():
                arrived(0)
        return True

    return read, lambda arrived: read(arrived, WARM)


async def ours(url: str, chunks: int, stack: AsyncExitStack) -> tuple[Read, Read]:
    from inference_async import InferenceClient

    client = await stack.enter_async_context(InferenceClient(url, "some-key", model="m"))
    golden = " world" * chunks
    stamps = re.compile(rf"\d{{{STAMP}}}")

    async def read(arrived: Arrived, headers: dict[str, str] | None = None) -> bool:
        async with client.stream("hi", headers=headers) as stream:
            async for chunk in stream:
                if chunk.text:
                    arrived(int(chunk.text[:STAMP]))
        completion = stream.completion
        return completion.finish_reason == "stop" and stamps.sub("", completion.text) == golden

    return read, lambda arrived: read(arrived, WARM)


async def measure(reader: str, url: str, streams: int, chunks: int, seconds: float) -> Figures:
    """What it costs to read all streams at once."""
    raise_limit(streams)
    sockets, late = open_files(), array("d", bytes(8 * streams * chunks))
    count = opened = 0
    all_open = asyncio.Event()
    failures: Counter[str] = Counter()

    async with AsyncExitStack() as stack:
        read, warm_up = await {"aiohttp": bare, "inference_async": ours}[reader](url, chunks, stack)
        await asyncio.gather(*(warm_up(lambda stamp: None) for _ in range(WARM_UP)))
        gc.collect()
        collector = Collector()
        gc.callbacks.append(collector)
        memory, cpu, started = rss(), cpu_seconds(), time.monotonic()

        def settled() -> None:
            nonlocal opened
            opened += 1
            if opened == streams:
                all_open.set()

        async def one() -> bool:
            first = True

            def arrived(stamp: int) -> None:
                nonlocal first, count
                if first:
                    first = False
                    settled()
                elif stamp:
                    late[count] = (time.monotonic_ns() - stamp) / 1e6
                    count += 1

            try:
                return await read(arrived)
            except Exception as error:
                failures[f"{type(error).__name__}: {error}"] += 1
                if first:
                    settled()
                return False

        tasks = [asyncio.create_task(one()) for _ in range(streams)]
        await all_open.wait()
        seconds_to_open, held, at_once = time.monotonic() - started, [rss()], open_files() - sockets
        _, go = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
        go.write(GO)
        for _ in range(3):
            await asyncio.sleep(seconds / 4)
            held.append(rss())
        whole = sum(await asyncio.gather(*tasks))
        cpu = cpu_seconds() - cpu
        gc.callbacks.remove(collector)
        go.close()
        closing = time.monotonic()
    closing = time.monotonic() - closing
    await asyncio.sleep(0.1)  # sockets are closed in a later step of the loop
    figures: Figures = {
        "whole": whole,
        "failures": dict(failures.most_common(5)),
        "sockets at once": at_once,
        "sockets left": open_files() - sockets,
        "seconds to open": seconds_to_open,
        "seconds to close": closing,
        "KiB": [(after - memory) / streams for after in held],
        "CPU ms": cpu / streams * 1000,
        "collector ms": collector.seconds / streams * 1000,
        "longest pass ms": collector.longest * 1000,
    }
    if count:
        ordered = sorted(late[:count])
        figures["latency ms"] = [ordered[count // 2], ordered[count * 99 // 100], ordered[-1]]
    return figures


class Collector:
    """The CPU that Python's garbage collector took; to be told by it.

    Attributes:
        seconds: in all.
        longest: of its passes, during which the event loop stands still.
    """

    def __init__(self) -> None:
        self.seconds = self.longest = 0.0
        self._began = 0.0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.process_time()
        else:
            taken = time.process_time() - self._began
            self.seconds += taken
            self.longest = max(self.longest, taken)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def rss() -> float:
    """What this process holds now, in KiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1024


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


# Both in processes of their own


def run(reader: str, streams: int, chunks: int, seconds: float) -> Figures:
    shape = [str(streams), str(chunks), str(seconds)]
    command = [sys.executable, "-m", "benchmarks.scale"]
    server = subprocess.Popen([*command, "--serve", *shape], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        said = subprocess.run([*command, "--read", reader, url, *shape], stdout=subprocess.PIPE, check=True).stdout
    finally:
        server.terminate()
        server.wait()
    figures: Figures = json.loads(said)
    return figures


def missed(streams: int, floor: Figures, figures: Figures) -> list[str]:
    """The goals that are."""
    held = figures["KiB"]
    above = max(held) - max(floor["KiB"])
    goals = {
        f"{streams:,} golden answers, got {figures['whole']:,}": figures["whole"] == streams,
        f"0 sockets left, got {figures['sockets left']}": figures["sockets left"] == 0,
        f"{MOST_KIB:g} KiB a stream above aiohttp, got {above:.1f}": above <= MOST_KIB,
        f"{MOST_CPU_MS:g} ms of CPU a stream, got {figures['CPU ms']:.2f}": figures["CPU ms"] <= MOST_CPU_MS,
        f"memory flat within {MOST_GROWTH:.0%}, got {held[1]:.1f} to {held[3]:.1f} KiB a stream": (
            held[3] <= held[1] * (1 + MOST_GROWTH)
        ),
        f"no chunk later than {MOST_LATENCY_MS:g} ms, got {figures['latency ms'][2]:.0f}": (
            figures["latency ms"][2] <= MOST_LATENCY_MS
        ),
    }
    return [goal for goal, reached in goals.items() if not reached]


def show(found: dict[str, Figures]) -> None:
    rows: list[tuple[str, Callable[[Figures], str]]] = [
        ("golden answers", lambda one: f"{one['whole']:,}"),
        ("sockets at once, left", lambda one: f"{one['sockets at once']:,}, {one['sockets left']}"),
        ("seconds to open, close", lambda one: f"{one['seconds to open']:.1f}, {one['seconds to close']:.1f}"),
        ("KiB a stream, all open", lambda one: f"{one['KiB'][0]:.1f}"),
        ("  at 25, 50, 75 %", lambda one: ", ".join(f"{held:.1f}" for held in one["KiB"][1:])),
        ("CPU ms a stream", lambda one: f"{one['CPU ms']:.3f}"),
        ("  in the collector", lambda one: f"{one['collector ms']:.3f}"),
        ("  its longest pass", lambda one: f"{one['longest pass ms']:.0f}"),
        (
            "late ms: p50, p99, most",
            lambda one: ", ".join(f"{late:.1f}" for late in one["latency ms"]) if "latency ms" in one else "-",
        ),
    ]
    print(f"{'':26}" + "".join(f"{name:>22}" for name in found))
    for name, text in rows:
        print(f"{name:26}" + "".join(f"{text(figures):>22}" for figures in found.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Many streams at once, and what each of them costs.")
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--chunks", type=int, default=20, help="of text, in each stream")
    parser.add_argument("--seconds", type=float, default=15.0, help="from the moment all are open to the end")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--read", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(int(given.serve[0]), int(given.serve[1]), float(given.serve[2])))
        return
    if given.read:
        reader, url, streams, chunks, seconds = given.read
        print(json.dumps(asyncio.run(measure(reader, url, int(streams), int(chunks), float(seconds)))))
        return
    raise_limit(given.streams)
    print(f"{given.streams:,} streams of {given.chunks} chunks, {given.seconds:g} s")
    found = {reader: run(reader, given.streams, given.chunks, given.seconds) for reader in READERS}
    show(found)
    goals = missed(given.streams, *found.values())
    if given.json:
        given.json.write_text(json.dumps({"shape": vars(given) | {"json": None}, "found": found, "missed": goals}))
    for failure, count in found["inference_async"]["failures"].items():
        print(f"failed {count:,} times: {failure}")
    for goal in goals:
        print("missed:", goal)
    sys.exit(1 if goals else 0)


if __name__ == "__main__":
    main()
