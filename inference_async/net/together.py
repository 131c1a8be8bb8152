"""Several calls at once, their results in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

from ..errors import ConfigurationError

__all__ = ["in_order"]

T = TypeVar("T")


async def in_order(steps: Sequence[Callable[[], Awaitable[T]]], *, limit: int) -> list[T]:
    """What the steps return, in their order; at most `limit` of them run at once.

    Raises:
        ConfigurationError: the limit is no number above 0.
        Exception: the first error of a step, as it is; the other steps are cancelled and have ended by then.
    """
    if isinstance(limit, bool) or not isinstance(cast("object", limit), int) or limit < 1:
        raise ConfigurationError(f"got a limit of {limit!r} at once, expected a number above 0")
    if len(steps) == 1:
        return [await steps[0]()]
    slots = asyncio.Semaphore(limit)

    async def run(step: Callable[[], Awaitable[T]]) -> T:
        async with slots:
            return await step()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(step)) for step in steps]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
