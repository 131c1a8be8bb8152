"""Several calls at once, their results in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from ..errors import ConfigurationError
from ..types.base import is_whole

__all__ = ["in_order", "until_done"]

T = TypeVar("T")


async def in_order(steps: Sequence[Callable[[], Awaitable[T]]], *, limit: int) -> list[T]:
    """What the steps return, in their order; at most `limit` of them run at once.

    Raises:
        ConfigurationError: the limit is no number above 0.
        Exception: the first error of a step, as it is; the other steps are cancelled and have ended by then.
    """
    if not is_whole(limit) or limit < 1:
        raise ConfigurationError(f"got a limit of {limit!r} at once, expected a number above 0")
    if len(steps) == 1:
        return [await steps[0]()]
    results: dict[int, T] = {}
    left = iter(enumerate(steps))

    async def work() -> None:
        for index, step in left:  # shared: a worker that fails begins no other step
            results[index] = await step()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(limit, len(steps))):
                group.create_task(work())
    except BaseExceptionGroup as errors:
        first = errors.exceptions[0]
        raise first from first.__cause__  # `from None` would take its cause from it
    if len(results) < len(steps):
        raise asyncio.CancelledError  # somebody cancelled one of the workers, and not this task
    return [results[index] for index in range(len(steps))]


async def until_done(task: asyncio.Task[Any]) -> None:
    """Wait until a task has ended, well or not, however often the wait is cancelled; raise that cancellation then."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # or asyncio would complain that nobody has asked for it
        raise cancelled
