"""The limits on the waits of all calls of a client: one timer for all of them.

Nearly every wait ends long before its limit, so what counts is what it costs to set one. Here it costs a number: the
timer strikes when the first of them would be over, looks at each, and goes to sleep until the next. `asyncio.timeout`
would arm and cancel a timer of its own for each wait, and for each move of its end.

There are two ways to end a wait that is over. Around the sending of a request, `Watch` is a context manager like
`asyncio.timeout`: it cancels the task that has entered it, and turns that into a `TimeoutError`. While a body is read,
nothing is entered: `strike` cuts the connection, and the read raises what it was cut with.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

from ..errors import WrongEventLoopError

__all__ = ["TICK", "Guard", "Watch"]

TICK: Final = 0.001
"""Seconds that a timer may strike too early."""

_PAUSE: Final = 0.01
"""Seconds between two looks, at least: each goes through all waits, and their ends may be as many."""


def _clock(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """What `loop.time` returns, without the call of Python that it is around this clock in asyncio's own loops."""
    is_plain = getattr(loop.time, "__func__", None) is asyncio.BaseEventLoop.time
    return time.monotonic if is_plain else loop.time


class Guard:
    """The timer that the watches of a client share.

    Attributes:
        loop: the event loop of the client.
        now: its clock.
        strikes_at: the moment the timer strikes.
        watches: those that may have a wait under way.
    """

    __slots__ = ("_timer", "loop", "now", "strikes_at", "watches")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.now = _clock(loop)
        self.watches: set[Watch] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.strikes_at = math.inf

    def expect(self, until: float) -> None:
        """A wait may end at this moment."""
        if until < self.strikes_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_at(until, self._look)
            self.strikes_at = until

    def stop(self) -> None:
        """There will be no other wait."""
        self.watches.clear()
        self._rest()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.strikes_at = None, math.inf

    def _strike(self, watch: Watch) -> None:
        try:
            watch.expire()
        except Exception as error:  # of a transport of another make: the other calls are still watched over
            self.loop.call_exception_handler({"message": "a connection could not be cut", "exception": error})

    def _look(self) -> None:
        self._rest()
        now = self.now()
        soonest = math.inf
        for watch in list(self.watches):
            until = watch.until
            if until is None:
                continue
            if until <= now + TICK:
                self._strike(watch)
            elif until < soonest:
                soonest = until
        if soonest < math.inf:
            self.expect(max(soonest, now + _PAUSE))


class Watch:
    """Watches over the waits of one call, one after the other.

    Args:
        guard: the timer.

    Attributes:
        loop: the event loop of the call.
        now: its clock.
        until: the moment the current wait ends; None if it may last, or if there is none.
        struck: whether a wait inside of the context was ended.
    """

    __slots__ = ("_cancelling", "_guard", "_task", "loop", "now", "struck", "until")

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.loop = guard.loop
        self.now = guard.now
        self.until: float | None = None
        self.struck = False
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        guard.watches.add(self)

    def watch(self, until: float | None) -> None:
        """Another wait begins, or the end of this one moves."""
        self.until = until
        if until is not None and until < self._guard.strikes_at:
            self._guard.expect(until)

    def end(self) -> None:
        """End the wait of the task that has entered the context, if there is one, with the next pass of the loop."""
        if self._task is not None:
            self._guard.loop.call_soon(self._cancel)

    def stop(self) -> None:
        """There will be no other wait."""
        self.until = None
        self._guard.watches.discard(self)

    def expire(self) -> None:
        """The wait is over its limit."""
        if self._task is not None:
            self._cancel()
        else:
            try:
                self.strike()
            finally:
                self.until = None

    def strike(self) -> None:
        """End a wait outside of the context."""

    def __enter__(self) -> None:
        """Watch over the current task.

        Raises:
            WrongEventLoopError: this runs in none.
        """
        task = asyncio.current_task()
        if task is None:
            raise WrongEventLoopError("a call must be made in a task, such as asyncio.run() and create_task() make")
        self._task = task
        self._cancelling = task.cancelling()
        self.struck = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        self.until = None
        if task is None or not self.struck:
            return
        # Who else has cancelled the task meanwhile must hear of it, as in asyncio.timeout.
        if task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def _cancel(self) -> None:
        if self._task is not None and not self.struck:
            self.struck = True
            self._task.cancel()
