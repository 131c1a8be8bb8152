"""The limit on the current wait of a call: one timer, whatever the number of waits.

Nearly every wait ends long before its limit, so what counts is what it costs to set one. Here it costs a number: a
timer that strikes looks whether that moment has come, and if not, goes to sleep until then. `asyncio.timeout` would arm
and cancel a timer of its own for each wait, and for each move of its end.

There are two ways to end a wait that is over. Around the sending of a request, `Watch` is a context manager like
`asyncio.timeout`: it cancels the task that has entered it, and turns that into a `TimeoutError`. While a body is read,
nothing is entered: `strike` cuts the connection, and the read raises what it was cut with.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

from ..errors import WrongEventLoopError

__all__ = ["Watch"]

_TICK: Final = 0.001  # seconds; a timer may strike that much too early


class Watch:
    """Watches over the waits of one call, one after the other.

    Args:
        loop: the event loop of the call.

    Attributes:
        loop: the same.
        until: the moment the current wait ends; None if it may last, or if there is none.
        struck: whether a wait inside of the context was ended.
    """

    __slots__ = ("_cancelling", "_strikes_at", "_task", "_timer", "loop", "struck", "until")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.until: float | None = None
        self.struck = False
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._timer: asyncio.TimerHandle | None = None
        self._strikes_at = 0.0  # which not every event loop's timer can be asked for

    def watch(self, until: float | None) -> None:
        """Another wait begins, or the end of this one moves."""
        self.until = until
        if until is not None and (self._timer is None or self._strikes_at > until):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_at(until, self._look)
            self._strikes_at = until

    def end(self) -> None:
        """End the wait of the task that has entered the context, if there is one, with the next pass of the loop."""
        if self._task is not None:
            self.loop.call_soon(self._cancel)

    def stop(self) -> None:
        """There will be no other wait."""
        self.until = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

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

    def _look(self) -> None:
        self._timer = None
        if self.until is None:
            return
        if self.until > self.loop.time() + _TICK:
            self.watch(self.until)
        elif self._task is not None:
            self._cancel()
        else:
            self.strike()

    def _cancel(self) -> None:
        if self._task is not None and not self.struck:
            self.struck = True
            self._task.cancel()
