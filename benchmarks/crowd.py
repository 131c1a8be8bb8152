"""Many streams at once: CPU, memory, and how late a chunk is handed out.

``python -m benchmarks.crowd CLIENT URL PIPE STREAMS CHUNKS SECONDS`` opens all streams, notes what they hold once each
has had its first chunk, has the server write the others evenly over some seconds, and prints the figures as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import sys
import time
from array import array
from typing import Any

from .clients import CLIENTS, READ_BYTES
from .marks import cpu_seconds
from .measure import run_json
from .scale import raise_limit, rss
from .server import GO, STAMP, Running

WARM_UP = 20
WAVE = 50  # streams that are opened at once
STAMPS = re.compile(rb'"content": "(\d{%d})' % STAMP)

Figures = dict[str, float]


class Arrivals:
    """What arrived of all streams, and how long after it was written.

    Args:
        most: chunks at most, in all streams together.
        reads_bytes: whether what arrives are bytes of the stream, or the texts of its chunks.
    """

    def __init__(self, most: int, *, reads_bytes: bool) -> None:
        self.count = 0
        self._late = array("d", bytes(8 * most))
        self._add = self._add_bytes if reads_bytes else self._add_text

    def arrived(self, text: Any) -> None:
        self._add(text)

    def figures(self) -> dict[str, float]:
        """By how much chunks were late."""
        late = sorted(self._late[: self.count])
        return {
            "late ms, p50": late[len(late) // 2],
            "late ms, p99": late[len(late) * 99 // 100],
            "late ms, most": late[-1],
        }

    def _add_text(self, text: str | None) -> None:
        if text:
            self._note(int(text[:STAMP]))

    def _add_bytes(self, data: bytes) -> None:
        for stamp in STAMPS.findall(data):
            self._note(int(stamp))

    def _note(self, written: int) -> None:
        self._late[self.count] = (time.monotonic_ns() - written) / 1e6
        self.count += 1


async def measure(name: str, url: str, pipe: int, streams: int, chunks: int, seconds: float) -> Figures:
    raise_limit(streams)
    model = f"timed-{chunks}"
    async with CLIENTS[name].open(url) as calls:
        for _ in range(WARM_UP):
            await calls.stream("coalesced-5", lambda text: None)
        gc.collect()
        opening = Arrivals(streams, reads_bytes=name in READ_BYTES)
        arrivals = Arrivals(streams * chunks, reads_bytes=name in READ_BYTES)
        arrived = opening.arrived

        async def read() -> None:
            await calls.stream(model, lambda text: arrived(text))

        memory, cpu, clock = rss(), cpu_seconds(), time.monotonic()
        tasks: list[asyncio.Task[None]] = []
        while len(tasks) < streams:  # at once, some clients' own limits on connecting would strike
            tasks += [asyncio.create_task(read()) for _ in range(min(WAVE, streams - len(tasks)))]
            while opening.count < len(tasks):
                assert not any(task.done() for task in tasks), next(task.exception() for task in tasks if task.done())
                await asyncio.sleep(0.01)
        open_seconds = time.monotonic() - clock
        await asyncio.sleep(0.5)
        held = rss()
        arrived = arrivals.arrived
        os.write(pipe, GO + str(seconds).encode())
        failures = [error for error in await asyncio.gather(*tasks, return_exceptions=True) if error is not None]
        cpu = cpu_seconds() - cpu
    return {
        "chunks lost": streams * (chunks - 1) - arrivals.count,
        "streams failed": len(failures),
        "seconds to open": open_seconds,
        "KiB per stream": (held - memory) / streams,
        "CPU us per chunk": cpu / streams / chunks * 1e6,
        **arrivals.figures(),
    }


def figures(client: str, server: Running, streams: int, chunks: int, seconds: float) -> Figures:
    """The same in a process of its own."""
    shape = [str(streams), str(chunks), str(seconds)]
    command = [sys.executable, "-m", "benchmarks.crowd", client, server.url, str(server.pipe), *shape]
    found: Figures = run_json(command, pipe=server.pipe)
    return found


if __name__ == "__main__":
    client, url, pipe, streams, chunks, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(measure(client, url, int(pipe), int(streams), int(chunks), float(seconds)))))
