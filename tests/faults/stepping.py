"""Time in turns of the event loop: a server without tasks, ways to strike at a turn, and what must not be left behind.

Client and server share one loop. The server answers a piece per turn, so a call makes the same way each time, and a
test can strike after each single turn of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, cast

import aiohttp
import anyio
import pytest

PATIENCE: Final = 200
"""Turns after which something is said to hang; the longest of what is tested here takes a quarter of them."""
SOON: Final = 12
"""Turns within which what was struck has ended: a run of tools ends its tools first."""
SECONDS_OF_A_TURN: Final = 0.01


async def turn(times: int = 1) -> None:
    """Let everybody else go on by so many turns of the loop."""
    for _ in range(times):
        await asyncio.sleep(0)


def tasks() -> set[asyncio.Task[Any]]:
    """All tasks but this one, and those in which asyncio's own server accepts a connection."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return {task for task in others if "_accept_connection2" not in repr(task.get_coro())}


class Request(NamedTuple):
    """What the server was asked."""

    number: int
    head: bytes
    body: bytes


Answer = Iterable[bytes | None]
"""Bytes to send, one piece a turn; nothing is sent in the turn of an empty one, and nothing ever again after None."""


_END: Final = b"the end"


class Wire(asyncio.Protocol):
    """The server's end of a connection.

    Attributes:
        is_open: whether the client has not closed it.
        is_owing: whether an answer is under way.
    """

    def __init__(self, server: StepServer) -> None:
        self.is_open = True
        self.is_owing = False
        self._server = server
        self._came = b""
        self._pieces: Iterator[bytes | None] = iter(())
        self._piece: bytes | None = None  # the next one: the client may ask again as soon as it has the last

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods alone
        self._server.wires.append(self)

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, blank, body = self._came.partition(b"\r\n\r\n")
        if not blank:
            return
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) < int(fields.get(b"content-length", 0)):
            return
        assert not self.is_owing, "a request came before the last one was answered"
        self._came = b""
        request = Request(len(self._server.requests), head, body)
        self._server.requests.append(request)
        self.is_owing = True
        self._pieces = iter(self._server.answer(request))
        self._piece = next(self._pieces)
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False

    def close(self) -> None:
        self._transport.abort()

    def _go_on(self) -> None:
        if not self.is_open:
            return
        piece, self._piece = self._piece, next(self._pieces, _END)
        if piece is None:
            return
        self._transport.write(piece)
        if self._piece is _END:
            self.is_owing = False
        else:
            asyncio.get_running_loop().call_soon(self._go_on)


class StepServer:
    """An HTTP server of callbacks, which leaves no task of its own among those of the client.

    Args:
        answer: what it says to a request. It may be replaced at any time.
    """

    def __init__(self, answer: Callable[[Request], Answer], *, ssl: Any = None) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.wires: list[Wire] = []
        self._ssl = ssl

    @property
    def url(self) -> str:
        scheme = "http" if self._ssl is None else "https"
        return f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    @property
    def open(self) -> list[Wire]:
        """The connections that the client has not closed."""
        return [wire for wire in self.wires if wire.is_open]

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait for something to be so; turns may not suffice, for the kernel has its own time."""
        for count in range(PATIENCE):
            if is_so():
                return
            await asyncio.sleep(0 if count < PATIENCE // 2 else 0.002)
        raise AssertionError(f"{what}: {len(self.open)} connections are open, {[w.is_owing for w in self.open]}")

    def forget(self) -> None:
        """Begin anew: no request was ever sent."""
        self.requests.clear()
        self.wires = self.open

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Wire(self), "127.0.0.1", 0, ssl=self._ssl)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for wire in self.open:
            wire.close()
        await turn(3)


@contextlib.contextmanager
def complaints() -> Iterator[list[str]]:
    """What nobody would raise: warnings, errors in finalisers, what a loop is told of forgotten tasks, and responses
    that only aiohttp's own finaliser gave back.
    """
    heard: list[str] = []
    drop = aiohttp.ClientResponse.__del__

    def dropped(response: aiohttp.ClientResponse) -> None:
        if response.connection is not None:
            heard.append(f"{response!r} was dropped, and not closed")
        drop(response)

    loop = asyncio.get_running_loop()
    unraisable = sys.unraisablehook
    loop.set_exception_handler(lambda _, context: heard.append(f"the loop: {context}"))
    sys.unraisablehook = lambda args: heard.append(f"unraisable: {args.exc_value!r} in {args.object!r}")
    try:
        with warnings.catch_warnings(record=True) as warned, pytest.MonkeyPatch.context() as patch:
            patch.setattr(aiohttp.ClientResponse, "__del__", dropped)
            warnings.simplefilter("always")
            yield heard
            gc.collect()
        heard += [f"{warning.category.__name__}: {warning.message}" for warning in warned]
    finally:
        loop.set_exception_handler(None)
        sys.unraisablehook = unraisable


@contextlib.contextmanager
def frozen() -> Iterator[None]:
    """What is there now is of no interest to the collector: it makes a collection a matter of microseconds."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Clock:
    """The clock of a loop, which goes on by 10 ms with each turn that is counted, beside what really passes.

    So a wait takes as many turns each time. The clock of uvloop cannot be set, and goes as it goes.
    """

    def __init__(self) -> None:
        self._turns = 0

    def wind(self, loop: asyncio.AbstractEventLoop, *, needed: bool = False) -> None:
        """Set the clock of a loop; a test that needs it is skipped where that cannot be."""
        if not isinstance(loop, asyncio.BaseEventLoop):  # uvloop's timers have a clock of their own
            if needed:
                pytest.skip("the clock of this loop cannot be set")
            return
        real = loop.time
        loop.time = lambda: real() + self._turns * SECONDS_OF_A_TURN  # type: ignore[method-assign]  # that is it

    async def turns(self, count: int, *, pause: float = 0) -> None:
        """So many turns, each with a pause of the whole loop in which threads get on."""
        for _ in range(count):
            self._turns += 1
            if pause:
                time.sleep(pause)  # noqa: ASYNC251  (that is what it is for)
            await asyncio.sleep(0)


Work = Callable[[], Awaitable[object]]
Way = Callable[[Work, Awaitable[None]], Awaitable[bool]]
"""Does the work, and strikes when the second argument is over; says whether the work was done by then."""


class Boom(Exception):  # noqa: N818  (it is none of ours, and goes as it came)
    pass


async def _ended(task: asyncio.Task[Any]) -> None:
    for _ in range(SOON):
        if task.done():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{task} goes on after it was struck")


async def by_task(work: Work, wait: Awaitable[None], *, times: int = 1) -> bool:
    """`Task.cancel`: nothing may come of it but a CancelledError."""
    task = asyncio.ensure_future(work())
    await wait
    if task.done():
        task.result()
        return True
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    await _ended(task)
    assert task.cancelled(), f"a cancelled task ended as {task}"
    return False


async def by_task_twice(work: Work, wait: Awaitable[None]) -> bool:
    """`Task.cancel`, and again in the next turn."""
    return await by_task(work, wait, times=2)


async def by_timeout(work: Work, wait: Awaitable[None]) -> bool:
    """`asyncio.timeout` around it, of the caller's."""
    scope = asyncio.timeout(None)

    async def limited() -> None:
        async with scope:
            await work()

    task = asyncio.ensure_future(limited())
    await asyncio.sleep(0)  # the scope is to be entered
    await wait
    if task.done():
        task.result()
        return True
    scope.reschedule(asyncio.get_running_loop().time())
    await _ended(task)
    if not task.cancelled() and task.exception() is None:  # the timer rings in the next turn
        assert not scope.expired()
        return True
    error = task.exception()
    assert type(error) is TimeoutError, f"the caller's own timeout came out as {error!r}"
    assert scope.expired()
    assert not task.cancelling()
    return False


async def by_anyio(work: Work, wait: Awaitable[None]) -> bool:
    """A cancel scope of anyio's, which cancels each further step too."""
    scope = anyio.CancelScope()
    done = False

    async def scoped() -> None:
        nonlocal done
        with scope:
            await work()
            done = True
        await asyncio.sleep(0)  # nothing of it may be left for the caller's next step

    task = asyncio.ensure_future(scoped())
    await wait
    if not done:
        scope.cancel()
    await _ended(task)
    task.result()
    assert scope.cancelled_caught is not done
    return done


async def by_deadline(work: Work, wait: Awaitable[None]) -> bool:
    """`anyio.fail_after`, whose time has come."""
    done = False

    async def scoped() -> None:
        nonlocal done
        with anyio.fail_after(None) as scope:
            scopes.append(scope)
            await work()
            done = True

    scopes: list[anyio.CancelScope] = []
    task = asyncio.ensure_future(scoped())
    await asyncio.sleep(0)  # the scope is to be entered
    await wait
    if not done:
        scopes[0].deadline = anyio.current_time()
    await _ended(task)
    error = task.exception()
    assert error is None if done else type(error) is TimeoutError, f"the caller's own deadline came out as {error!r}"
    return done


async def by_group(work: Work, wait: Awaitable[None]) -> bool:
    """A task group with another task that fails."""
    done = False

    async def fails() -> None:
        await wait
        raise Boom

    async def works() -> None:
        nonlocal done
        await work()
        done = True

    async def grouped() -> None:
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(works())
            group.create_task(fails())

    try:
        await grouped()
    except BaseExceptionGroup as errors:
        raised = errors.exceptions
    else:
        raise AssertionError("the error of the other task was lost")
    assert [type(error) for error in raised] == [Boom], raised
    return done


WAYS: dict[str, Way] = {
    "task": by_task,
    "task twice": by_task_twice,
    "asyncio.timeout": by_timeout,
    "anyio scope": by_anyio,
    "anyio deadline": by_deadline,
    "task group": by_group,
}
