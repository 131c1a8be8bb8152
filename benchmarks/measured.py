"""The process that is measured: one client, and the tasks it is given.

``python -m benchmarks.measured CLIENT URL PIPE TASK...`` prints the seconds of CPU and of the clock that each task took
as JSON. A task is ``stream:MODEL:TIMES``, ``request:MODEL:TIMES``, or ``acknowledge:MODEL:TIMES``, which is what the
program itself does for each chunk of such a stream, and no doing of the client. Each kind of stream and of request is
done once before, and its answer looked at.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from .clients import CLIENTS, READ_BYTES, Arrived, Calls
from .marks import cpu_seconds, mark, settle
from .server import ACK, WORDS, text_of

WARM_UP = 4  # chunks


def acknowledging(pipe: int) -> Arrived:
    write = os.write

    def arrived(text: object) -> None:
        write(pipe, ACK)

    return arrived


def ignored(text: object) -> None:
    pass


async def warm_up(calls: Calls, kind: str, acknowledge: Arrived, *, is_floor: bool) -> None:
    if kind == "whole":
        assert await calls.request(kind) == WORDS, "got another answer"
        return
    texts: list[str] = []

    def arrived(text: str | None) -> None:
        texts.append(text or "")
        acknowledge(text)

    for chunks in (1, WARM_UP):
        texts.clear()
        await calls.stream(f"{kind}-{chunks}", acknowledge if is_floor else arrived)
        assert is_floor or "".join(texts) == text_of(chunks), f"got other texts: {texts}"


async def measure(name: str, url: str, pipe: int, tasks: list[str]) -> list[tuple[float, float]]:
    acknowledge = acknowledging(pipe)
    taken: list[tuple[float, float]] = []
    async with CLIENTS[name].open(url) as calls:
        for kind in dict.fromkeys(task.split(":")[1].partition("-")[0] for task in tasks):
            await warm_up(calls, kind, acknowledge, is_floor=name in READ_BYTES)
        settle()
        for task in tasks:
            what, model, times = task.split(":")
            arrived = acknowledge if model.startswith("paced") else ignored
            mark()
            cpu, clock = cpu_seconds(), time.perf_counter()
            for _ in range(int(times)):
                if what == "request":
                    await calls.request(model)
                elif what == "stream":
                    await calls.stream(model, arrived)
                else:
                    arrived("")
            taken.append((cpu_seconds() - cpu, time.perf_counter() - clock))
            mark()
    return taken


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]))))
