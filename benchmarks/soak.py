"""`python -m benchmarks.soak`: minutes of random use of a client whose server misbehaves at random.

Workers share a few clients, which are replaced now and then under them. Every call must end in the golden answer or in
an error of ours, and within its deadline; nothing may be left at the end, and the memory must not grow. The dice of
each worker follow from the seed that is printed; ``--seed`` throws them again, though the clock is never the same.

Exits with 1 if anything went wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TextIO

import anyio

from inference_async import (
    APITimeoutError,
    ChatCompletion,
    ChatStream,
    ClientClosedError,
    InferenceClient,
    InferenceError,
    Timeouts,
)

from .misbehaving import BEHAVIOURS, TEXT, USAGE, Behaviour
from .scale import open_files, rss

MOST_LATE = 0.1  # seconds that a call may last beyond its deadline
MOST_KIB_SLOPE = 256.0  # a minute, of a line through the last two thirds
MOST_BLOCK_SLOPE = 2000.0  # the same of Python's blocks of memory, which know nothing of fragments
CLIENTS = 4
LONG = 300.0  # seconds; in less, a process is still finding its size
TICK = 0.01


class WrongAnswerError(Exception):
    """A call returned what the server never said."""


class Case:
    """One call: what is done to whom, and when it must be over.

    Attributes:
        until: the moment by which it must have ended.
        dropped: whether a stream was dropped without being closed, which warns.
    """

    def __init__(self, client: InferenceClient, name: str, behaviour: Behaviour, dice: random.Random) -> None:
        self.client = client
        self.name = name
        self.behaviour = behaviour
        self.dice = dice
        total = dice.uniform(0.05, 0.6)
        self.timeouts = Timeouts(
            connect=1.0,
            first_token=dice.choice([None, dice.uniform(0.05, 0.4)]),
            between_tokens=dice.choice([None, dice.uniform(0.03, 0.2)]),
            total=total,
        )
        self.until = time.monotonic() + total
        self.dropped = False
        self._headers = {"x-behaviour": name, "x-seed": str(dice.getrandbits(32))}

    def complete(self) -> Awaitable[ChatCompletion]:
        return self.client.complete("hi", headers=self._headers, timeouts=self.timeouts)

    def stream(self) -> ChatStream:
        return self.client.stream("hi", headers=self._headers, timeouts=self.timeouts)

    def moment(self) -> float:
        """Some seconds from now, most often while the call is under way."""
        return self.dice.choice([0.0, self.dice.uniform(0, 0.02), self.dice.uniform(0, 0.3)])

    def ends_now(self) -> None:
        """Whatever was to come, the call is to end at once."""
        self.until = min(self.until, time.monotonic())

    def right(self, completion: ChatCompletion) -> None:
        usage = completion.usage
        said = (completion.text, completion.finish_reason, None if usage is None else usage.total_tokens)
        if not self.behaviour.whole or said != (TEXT, "stop", USAGE["total_tokens"]):
            raise WrongAnswerError(f"got {said}")

    @staticmethod
    def began(text: str) -> None:
        if not TEXT.startswith(text):
            raise WrongAnswerError(f"got {text!r}")


# What users do


async def complete(case: Case) -> None:
    case.right(await case.complete())


async def complete_by_copy(case: Case) -> None:
    case.client = case.client.with_options(model="other", headers={"x-more": "1"}, defaults={"temperature": 0})
    case.right(await case.complete())


async def to_the_end(case: Case) -> None:
    async with case.stream() as stream:
        text = "".join([chunk.text async for chunk in stream])
    case.right(stream.completion)
    case.began(text)


async def final(case: Case) -> None:
    case.right(await case.stream().final())


async def text_only(case: Case) -> None:
    async with case.stream() as stream:
        case.began("".join([piece async for piece in stream.text()]))
    case.right(stream.completion)


async def leaves_the_loop(case: Case) -> None:
    left = case.dice.randrange(1, 8)
    async with case.stream() as stream:
        async for _ in stream:
            left -= 1
            if not left:
                break
    case.began(stream.completion.text)


async def drops(case: Case) -> None:
    stream = case.stream()
    case.dropped = True
    for _ in range(case.dice.randrange(4)):
        case.began((await anext(stream)).text and stream.completion.text)
    del stream
    if case.dice.random() < 0.05:
        gc.collect(1)


async def cancelled(case: Case) -> None:
    task = asyncio.create_task(case.dice.choice([complete, to_the_end, final])(case))
    await asyncio.wait({task}, timeout=case.moment())
    if task.cancel():
        case.ends_now()
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


async def cancelled_after_steps(case: Case) -> None:
    task = asyncio.create_task(case.dice.choice([complete, to_the_end, final])(case))
    for _ in range(case.dice.randrange(40)):
        await asyncio.sleep(0)
    if task.cancel():
        case.ends_now()
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


async def closed_by_another(case: Case) -> None:
    stream = case.stream()

    async def read() -> None:
        async for _ in stream:
            pass
        case.right(stream.completion)

    task = asyncio.create_task(read())
    await asyncio.wait({task}, timeout=case.moment())
    await stream.aclose()
    case.ends_now()
    await task


async def timeout_of_asyncio(case: Case) -> None:
    scope = asyncio.timeout(case.moment())
    try:
        async with scope:
            await case.dice.choice([complete, to_the_end])(case)
    except TimeoutError as error:
        if isinstance(error, InferenceError) or not scope.expired():
            raise
    if scope.expired():
        case.until = min(case.until, scope.when() or 0)


async def scope_of_anyio(case: Case) -> None:
    with anyio.move_on_after(case.moment()) as scope:
        await case.dice.choice([complete, to_the_end])(case)
    if scope.cancelled_caught:
        case.until = min(case.until, scope.deadline)


OPERATIONS: list[Callable[[Case], Awaitable[None]]] = [
    complete,
    complete_by_copy,
    to_the_end,
    final,
    text_only,
    leaves_the_loop,
    drops,
    cancelled,
    cancelled_after_steps,
    closed_by_another,
    timeout_of_asyncio,
    scope_of_anyio,
]
WHOLE_BODIES = (complete, complete_by_copy)
EITHER = (cancelled, cancelled_after_steps, timeout_of_asyncio, scope_of_anyio)


# The soak


class Soak:
    """One run.

    Attributes:
        outcomes: how calls ended, counted.
        wrong: what went wrong, in words.
    """

    def __init__(self, url: str, seed: int, behaviours: dict[str, Behaviour]) -> None:
        self.url = url
        self.seed = seed
        self.outcomes: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.warned = 0
        self.dropped = 0
        self.spurious = 0
        self.worst = self.worst_lag = 0.0
        self.worst_at = ""
        self.memory: list[tuple[float, float, float]] = []  # when, KiB, blocks
        self.most_files = 0
        self._behaviours = list(behaviours.items())
        self._lags: deque[tuple[float, float]] = deque(maxlen=500)
        self._clients: list[InferenceClient] = []

    def new_client(self) -> InferenceClient:
        return InferenceClient(self.url, "some-key", model="m")

    async def run(self, seconds: float, workers: int) -> None:
        self._clients = [self.new_client() for _ in range(CLIENTS)]
        end = time.monotonic() + seconds
        watching = [asyncio.create_task(self._measure_lag()), asyncio.create_task(self._measure_memory())]
        await asyncio.gather(*(self._work(index, end) for index in range(workers)))
        acquired = sum(_acquired(client) for client in self._clients)
        if acquired:
            self.wrong.append(f"{acquired} connections are still held after the last call")
        for client in self._clients:
            await client.aclose()
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)

    async def _work(self, index: int, end: float) -> None:
        dice = random.Random(f"{self.seed}/{index}")
        count = 0
        while time.monotonic() < end:
            count += 1
            if dice.random() < 0.0005:
                at = dice.randrange(CLIENTS)
                old, self._clients[at] = self._clients[at], self.new_client()
                await old.aclose()
            operation = dice.choice(OPERATIONS)
            name, behaviour = dice.choice(self._behaviours)
            while behaviour.streams_only and operation in (*WHOLE_BODIES, *EITHER):
                name, behaviour = dice.choice(self._behaviours)
            case = Case(dice.choice(self._clients), name, behaviour, dice)
            where = f"seed {self.seed}, worker {index}, call {count}: {operation.__name__} of {name!r}"
            await self._call(operation, case, where)
            await asyncio.sleep(dice.uniform(0, 0.3))

    async def _call(self, operation: Callable[[Case], Awaitable[None]], case: Case, where: str) -> None:
        try:
            await operation(case)
            outcome = "as asked"
        except InferenceError as error:
            outcome = type(error).__name__
            partial: ChatCompletion | None = getattr(error, "partial", None)
            if partial is not None and not TEXT.startswith(partial.text):
                self.wrong.append(f"{where}: the partial answer is {partial.text!r}")
            if case.name.startswith("fine") and not isinstance(error, APITimeoutError | ClientClosedError):
                self.spurious += 1
                if self.spurious <= 5:
                    print(f"{where}: {error!r}", flush=True)
        except (Exception, asyncio.CancelledError):
            outcome = "foreign"
            self.wrong.append(f"{where}:\n{traceback.format_exc()}")
        self.outcomes[outcome] += 1
        self.seen[case.name] += 1
        self.dropped += case.dropped
        ended = time.monotonic()
        if ended > case.until:
            # The part of it in which the loop, and not the client, kept the call waiting.
            await asyncio.sleep(TICK)
            lag = sum(late for at, late in self._lags if at > case.until)
            late = ended - case.until - lag
            if late > self.worst:
                self.worst, self.worst_at = late, where
            if late > MOST_LATE:
                self.wrong.append(
                    f"{where}: {ended - case.until:.3f} s beyond its deadline, the loop's lag was {lag:.3f} s"
                )

    async def _measure_lag(self) -> None:
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            now = time.monotonic()
            late = now - due
            self.worst_lag = max(self.worst_lag, late)
            self._lags.append((now, late + TICK if late > TICK else late))  # a tick so late was never idle

    async def _measure_memory(self) -> None:
        libc = ctypes.CDLL(None)
        give_back = getattr(libc, "malloc_trim", lambda pad: 0)  # of glibc: pages that are free and are kept
        while True:
            await asyncio.sleep(5)
            give_back(0)
            self.memory.append((time.monotonic(), rss(), sys.getallocatedblocks()))
            self.most_files = max(self.most_files, open_files())

    def slopes(self) -> tuple[float, float]:
        """KiB and blocks a minute, each of a line through the last two thirds of the run."""
        last = self.memory[len(self.memory) // 3 :]
        if len(last) < 3:
            return 0.0, 0.0
        at, held, blocks = zip(*last, strict=True)
        return (
            statistics.linear_regression(at, held).slope * 60,
            statistics.linear_regression(at, blocks).slope * 60,
        )


def _acquired(client: InferenceClient) -> int:
    transport: Any = client._session._transport  # noqa: SLF001  (what is left must be seen before closing hides it)
    return 0 if transport._own is None else len(transport._own.session.connector._acquired)  # noqa: SLF001


async def soak(url: str, given: argparse.Namespace) -> dict[str, Any]:
    """Run, and look at what is left."""
    loop = asyncio.get_running_loop()
    warm_up = Soak(url, given.seed + 1, BEHAVIOURS)
    await warm_up.run(1.0, 5)
    gc.collect()
    await asyncio.sleep(0.2)
    files = open_files()
    run = Soak(url, given.seed, BEHAVIOURS)

    def warned(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if "a ChatStream was dropped" in str(message):
            run.warned += 1
        else:
            run.wrong.append(f"seed {run.seed}: {category.__name__}: {message} ({filename}:{lineno})")

    def told(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        text = "".join(traceback.format_exception(error)) if error else ""
        run.wrong.append(f"seed {run.seed}: the loop was told: {context['message']} {context}\n{text}")

    def unraisable(what: Any) -> None:
        run.wrong.append(f"seed {run.seed}: unraisable: {what.exc_value!r} in {what.object!r}")

    warnings.simplefilter("always")
    warnings.showwarning = warned
    sys.unraisablehook = unraisable
    loop.set_exception_handler(told)
    cpu, started = time.process_time(), time.monotonic()
    await run.run(given.seconds, given.workers)
    cpu = time.process_time() - cpu
    gc.collect()
    await asyncio.sleep(0.3)
    left, tasks = open_files() - files, asyncio.all_tasks() - {asyncio.current_task()}
    (slope, blocks), calls = run.slopes(), run.outcomes.total()
    if left:
        run.wrong.append(f"{left} files are left open")
    if tasks:
        run.wrong.append(f"tasks are left: {tasks}")
    if run.warned > run.dropped:
        run.wrong.append(f"{run.warned} streams warned that they were dropped, and {run.dropped} were")
    if given.seconds >= LONG:
        if slope > MOST_KIB_SLOPE:
            run.wrong.append(f"the memory grows by {slope:.0f} KiB a minute, expected at most {MOST_KIB_SLOPE:.0f}")
        if blocks > MOST_BLOCK_SLOPE:
            run.wrong.append(f"Python holds {blocks:.0f} blocks more a minute, expected at most {MOST_BLOCK_SLOPE:.0f}")
    return {
        "seed": given.seed,
        "seconds": time.monotonic() - started,
        "workers": given.workers,
        "calls": calls,
        "outcomes": dict(run.outcomes.most_common()),
        "behaviours seen": len(run.seen),
        "errors where the server was fine": run.spurious,
        "dropped streams, warned of": [run.dropped, run.warned],
        "worst ms beyond a deadline": run.worst * 1000,
        "which was": run.worst_at,
        "worst lag of the loop ms": run.worst_lag * 1000,
        "CPU ms a call": cpu / calls * 1000,
        "most files open": run.most_files,
        "files left": left,
        "tasks left": len(tasks),
        "MiB at a third, at the end": [run.memory[at][1] / 1024 for at in (len(run.memory) // 3, -1) if run.memory],
        "KiB a minute": slope,
        "blocks a minute": blocks,
        "KiB, blocks by time": [(round(at - started), held, count) for at, held, count in run.memory],
        "wrong": run.wrong,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Random use of a client whose server misbehaves at random.")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--json", type=Path, help="a file for the figures")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.misbehaving"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        figures = asyncio.run(soak(f"http://127.0.0.1:{server.stdout.readline().strip()}/v1", given))
    finally:
        server.terminate()
        server.wait()
    if given.json:
        given.json.write_text(json.dumps(figures))
    wrong: list[str] = figures.pop("wrong")
    del figures["KiB, blocks by time"]  # which is for the file
    for name, figure in figures.items():
        print(f"{name:36}{figure}")
    for what in wrong[:20]:
        print("wrong:", what)
    print(f"{len(wrong)} things went wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
