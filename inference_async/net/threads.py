"""Functions of the user's: those that may block run in a thread, which nothing can stop and may be left behind."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import anyio
import anyio.to_thread

__all__ = ["Limiter", "Threads", "in_thread", "is_async"]

Limiter: TypeAlias = anyio.CapacityLimiter
"""Bounds how many threads are waited for at a time."""


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine, so that it needs no thread: a function, or an object that is called."""
    called: object = type(function).__call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


class Threads:
    """A bound on threads that counts those left behind too, until they end.

    Args:
        most: how many there may be at a time.
    """

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)

    async def call(self, function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        """What a function returns; if that is to be awaited, what comes of it.

        Cancelling it cancels an async function, and leaves a thread behind.
        """
        if is_async(function):
            return await function(*args, **keywords)
        await self._free.acquire()
        loop = asyncio.get_running_loop()

        def ended() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile, and nobody waits any more
                loop.call_soon_threadsafe(self._free.release)

        return await in_thread(partial(function, *args, **keywords), limiter=Limiter(1), ended=ended)


async def in_thread(
    function: Callable[[], Any], *, limiter: Limiter | None = None, ended: Callable[[], None] | None = None
) -> Any:
    """What a function returns that runs in a thread; if that is to be awaited, what comes of it.

    Cancelling it leaves the thread behind; a coroutine that it returns afterwards is closed.

    Args:
        function: called once, or never if it is given up before it begins.
        limiter: bounds the threads that are waited for; anyio's own, of 40, if left out.
        ended: called once, in any thread, when the function has returned or will never be called.
    """
    work = _Work(function, ended or _nothing)
    try:
        await anyio.to_thread.run_sync(work.run, abandon_on_cancel=True, limiter=limiter)
    except asyncio.CancelledError:
        work.give_up()
        raise
    result = work.take()
    return await result if inspect.isawaitable(result) else result


class _Work:
    """A function on its way through a thread, which the loop may give up at any moment.

    What comes of it is fetched by `take`: what a thread returns is an argument of a callback of the loop's, and asyncio
    logs those in its debug mode, where a token has no business.
    """

    def __init__(self, function: Callable[[], Any], ended: Callable[[], None]) -> None:
        self._function = function
        self._ended = ended
        self._lock = threading.Lock()
        self._begun = False
        self._given_up = False
        self._results: list[Any] = []
        self._error: Exception | None = None

    def run(self) -> None:
        with self._lock:
            if self._given_up:
                return
            self._begun = True
        try:
            result = self._function()
        except Exception as error:
            self._error = error
            return
        finally:
            self._ended()
        self._keep(result)

    def take(self) -> Any:
        """What the function returned, or raises what it raised; once."""
        error, self._error = self._error, None
        if error is None:
            return self._results.pop()
        try:
            raise error
        finally:
            del error  # it holds this frame

    def _keep(self, result: Any) -> None:
        with self._lock:
            self._results.append(result)
            if self._given_up:
                _drop(self._results)

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True
            _drop(self._results)
            is_left_behind = self._begun
        if not is_left_behind:
            self._ended()


def _nothing() -> None:
    pass


def _drop(results: list[Any]) -> None:
    """Forget results that nobody waits for; Python would complain of a coroutine that was never awaited."""
    for result in results:
        if inspect.iscoroutine(result):
            result.close()
    results.clear()
