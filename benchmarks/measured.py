"""The process that is measured: one client, and the tasks it is given.

``python -m benchmarks.measured CLIENT URL PIPE TASK...`` prints the seconds of CPU and of the clock that each task took
as JSON. A task is ``stream:MODEL:TIMES`` or ``request:MODEL:TIMES``. Each kind is done once before, and its answer
looked at; what exists by then is set aside, for else a full pass of the garbage collector, which goes through all that
start-up left, would fall into some tasks and not into others.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time

from .clients import CLIENTS, FLOOR, Arrived, Calls
from .server import ACK, WORDS, text_of

WARM_UP = 4  # chunks


def mark() -> None:
    """Enter a function of libc that nothing else enters: callgrind is told to begin a new part of its count there."""
    os.getsid(0)


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


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
            await warm_up(calls, kind, acknowledge, is_floor=name == FLOOR)
        gc.collect()
        gc.freeze()
        gc.collect()
        for task in tasks:
            what, model, times = task.split(":")
            arrived = acknowledge if model.startswith("paced") else ignored
            mark()
            cpu, clock = cpu_seconds(), time.perf_counter()
            for _ in range(int(times)):
                await (calls.request(model) if what == "request" else calls.stream(model, arrived))
            taken.append((cpu_seconds() - cpu, time.perf_counter() - clock))
        mark()
    return taken


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]))))
