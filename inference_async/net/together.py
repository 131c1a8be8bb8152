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
    return [results[index] for index in range(len(steps))]
