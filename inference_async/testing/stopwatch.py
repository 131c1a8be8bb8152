"""How long something took, in the time of the running event loop."""

from __future__ import annotations

import asyncio

__all__ = ["Stopwatch"]


class Stopwatch:
    """Runs from the moment it is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()

    @property
    def seconds(self) -> float:
        """Seconds so far, to a tenth of a millisecond."""
        return round(self._loop.time() - self._started, 4)
