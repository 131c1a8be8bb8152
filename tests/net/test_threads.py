"""Threads for functions that may block: bounded, left behind, and never waited for in vain."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable
from functools import partial
from typing import Any

import pytest

from inference_async.net.threads import Threads, in_thread, is_async


async def answer(value: int) -> int:
    await asyncio.sleep(0)
    return value


class Called:
    async def __call__(self, value: int) -> int:
        return await answer(value)


def wrapped(value: int) -> Awaitable[int]:
    return answer(value)


@pytest.mark.parametrize(
    ("function", "expected"),
    [(answer, True), (Called(), True), (partial(answer, 1), True), (wrapped, False), (len, False), (int, False)],
    ids=["async def", "async __call__", "partial", "a wrapper", "builtin", "class"],
)
def test_is_async(function: Any, expected: bool) -> None:
    assert is_async(function) is expected


@pytest.mark.parametrize(
    "function", [answer, Called(), wrapped, partial(wrapped)], ids=["async", "object", "sync", "p"]
)
async def test_what_is_to_be_awaited_is_awaited(function: Any) -> None:
    assert await Threads(1).call(function, 5) == 5


async def test_what_is_async_needs_no_thread() -> None:
    async def where() -> int:
        return threading.get_ident()

    assert await Threads(1).call(where) == threading.get_ident()
    assert await Threads(1).call(threading.get_ident) != threading.get_ident()


async def test_a_coroutine_of_a_call_that_was_given_up_is_closed() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def slow() -> Awaitable[int]:
        begun.set()
        go_on.wait(5)
        return answer(1)

    task = asyncio.create_task(in_thread(slow, ended=done.set))
    await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await asyncio.to_thread(done.wait, 5)
    await asyncio.sleep(0.01)  # the thread has a line left; a warning would be an error
    gc.collect()


async def test_a_thread_that_is_left_behind_counts_until_it_ends() -> None:
    threads = Threads(1)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go_on.wait(5)

    task = asyncio.create_task(threads.call(slow))
    await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    following = asyncio.create_task(threads.call(int, "7"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not following.done()
    go_on.set()
    assert await asyncio.wait_for(following, 5) == 7


async def test_a_call_that_was_cancelled_while_it_waited_takes_no_place() -> None:
    threads = Threads(1)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go_on.wait(5)

    first = asyncio.create_task(threads.call(slow))
    await asyncio.to_thread(begun.wait, 5)
    second = asyncio.create_task(threads.call(int, "1"))
    await asyncio.sleep(0)
    second.cancel()
    go_on.set()
    await first
    assert await asyncio.wait_for(threads.call(int, "2"), 5) == 2


async def test_what_a_function_raises_comes_out_and_frees_its_place() -> None:
    threads = Threads(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="invalid literal"):
            await threads.call(int, "x")
    assert await threads.call(int, "3") == 3
