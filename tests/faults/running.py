"""Calls against faults: each with a server and a client of its own, many at once, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from inference_async import InferenceClient, InferenceError, Limits, Timeouts
from inference_async.emulator import FAULTS, Fault, FaultServer
from inference_async.errors import (
    APIConnectionError,
    APIStatusError,
    BetweenTokensTimeoutError,
    FirstTokenTimeoutError,
    StreamError,
    TotalTimeoutError,
)
from inference_async.types import ChatCompletion

from .expected import EXPECTED, Expected, Kind, Right, Wrong, acceptable

__all__ = [
    "KEY",
    "LIMITS",
    "PROMPT",
    "Ended",
    "Remains",
    "batch",
    "mismatch",
    "one_call",
    "remains",
    "sightings",
    "timeouts_for",
]

KEY: Final = "key-2b7e151628aed2a6abf7158809cf4f3c"
PROMPT: Final = "prompt-6bc1bee22e409f96e93d7e117393172a"
LIMITS: Final = Limits(max_event_bytes=1024 * 1024, max_body_bytes=8 * 1024 * 1024)

SHORT: Final = 0.4  # seconds, for the limit that is to strike
LONG: Final = 30.0  # seconds, for the others: what is not to be waited for is not, however slow the machine
PAUSE: Final = 0.002
HUNG: Final = 40.0
AT_ONCE: Final = 40
AT_ONCE_LARGE: Final = 4

_LIMITS_OF: Final[Mapping[type[InferenceError], str]] = {
    TotalTimeoutError: "total",
    FirstTokenTimeoutError: "first_token",
    BetweenTokensTimeoutError: "between_tokens",
}


@dataclass
class Ended:
    """How a call ended.

    Attributes:
        completion: the answer; None if it failed.
        error: why it failed.
        requests: how many requests the server saw.
        connections: how many connections it accepted.
        left: connections that were open after the client was closed.
        seconds: how long the call took.
        limit: the shortest limit on its time.
    """

    completion: ChatCompletion | None = None
    error: BaseException | None = None
    requests: int = 0
    connections: int = 0
    left: int = 0
    seconds: float = 0.0
    limit: float = LONG

    def __str__(self) -> str:
        error = self.error
        if error is None:
            completion = self.completion
            said = f"text={completion.text[:60]!r} finish={completion.finish_reason!r}" if completion else "nothing"
            return f"{said} usage={completion and completion.usage is not None} requests={self.requests}"
        names = ("status", "phase", "kind", "retryable", "code", "retry_after", "attempts", "request_id")
        facts = " ".join(f"{name}={getattr(error, name)!r}" for name in names if hasattr(error, name))
        partial = getattr(error, "partial", None)
        text = None if partial is None else partial.text[:60]
        return f"{type(error).__name__} {facts} partial={text!r} requests={self.requests}: {str(error)[:300]}"


def timeouts_for(expected: Expected | None, *, short: float = SHORT) -> Timeouts:
    """Long ones, but for the limit that a row expects to strike."""
    chosen = {
        _LIMITS_OF[row.error]: short
        for row in acceptable(expected or ())
        if isinstance(row, Wrong) and row.error in _LIMITS_OF
    }
    return Timeouts(**{**dict.fromkeys(("connect", "pool", "first_token", "between_tokens", "total"), LONG), **chosen})


async def one_call(
    fault: Fault | str,
    kind: Kind,
    *,
    timeouts: Timeouts | None = None,
    limits: Limits = LIMITS,
    pause: float = PAUSE,
) -> Ended:
    """Make one call, and close its client."""
    timeouts = timeouts or timeouts_for(EXPECTED.get((fault if isinstance(fault, str) else fault.name, kind)))
    chosen = [seconds for seconds in (timeouts.first_token, timeouts.between_tokens, timeouts.total) if seconds]
    ended = Ended(limit=min(chosen))
    now = asyncio.get_running_loop().time
    async with FaultServer(fault, pause=pause) as server:
        client = InferenceClient(server.url, KEY, model="any", timeouts=timeouts, limits=limits, retries=0)
        began = now()
        try:
            async with asyncio.timeout(HUNG):
                if kind == "complete":
                    ended.completion = await client.complete(PROMPT)
                else:
                    async with client.stream(PROMPT) as stream:
                        ended.completion = await stream.final()
        except Exception as error:
            ended.error = error
        ended.seconds = now() - began
        await client.aclose()
        try:
            await asyncio.wait_for(server.all_closed(), LONG)
        except TimeoutError:
            ended.left = server.open
        ended.requests, ended.connections = len(server.requests), server.connections
    return ended


async def batch(rows: Iterable[tuple[str, Kind]]) -> dict[tuple[str, Kind], Ended]:
    """Make all these calls, as many at once as do not stand in each other's way."""
    places = {True: asyncio.Semaphore(AT_ONCE_LARGE), False: asyncio.Semaphore(AT_ONCE)}

    async def call(name: str, kind: Kind) -> Ended:
        async with places[FAULTS[name].group == "size"]:
            return await one_call(name, kind)

    chosen = list(rows)
    return dict(zip(chosen, await asyncio.gather(*(call(*row) for row in chosen)), strict=True))


@dataclass
class Remains:
    """What is left of something, and what was said meanwhile.

    Attributes:
        tasks: tasks that have not ended.
        complaints: what the event loop was told of exceptions that nobody took, and what could not be raised.
        warnings: warnings of any kind.
        logged: each record of a log.
    """

    tasks: list[str] = field(default_factory=list[str])
    complaints: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    logged: list[str] = field(default_factory=list[str])


class _Log(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._lines = lines
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


@contextmanager
def remains(loop: asyncio.AbstractEventLoop | None = None) -> Iterator[Remains]:
    """See what is left of what happens in this context, on the running loop or on one that runs now and then."""
    found = Remains()
    watched = loop or asyncio.get_running_loop()
    root, level, handler = logging.getLogger(), logging.getLogger().level, _Log(found.logged)
    before = watched.get_exception_handler()
    watched.set_exception_handler(lambda _, context: found.complaints.append(repr(context)))
    unraisable = sys.unraisablehook
    sys.unraisablehook = lambda told: found.complaints.append(repr((told.err_msg, told.exc_value, told.object)))
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield found
            gc.collect()
        found.warnings = [str(warning) for warning in warned]
        mine = None if loop is not None else asyncio.current_task()
        found.tasks = [repr(task) for task in asyncio.all_tasks(watched) if task is not mine]
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        sys.unraisablehook = unraisable
        watched.set_exception_handler(before)


def sightings(error: BaseException) -> list[str]:
    """Where a key or a prompt can be seen in an error and all that it hangs together with."""
    found: list[str] = []
    chain: list[BaseException] = [error]
    for one in chain:
        chain.extend(more for more in (one.__cause__, one.__context__) if more is not None and more not in chain)
        said = {"str": str(one), "repr": repr(one), "args": repr(one.args), "fields": repr(vars(one))}
        found += [f"{type(one).__name__} {name}" for name, text in said.items() if KEY in text or PROMPT in text]
    plain = "".join(traceback.format_exception(error))
    if KEY in plain or PROMPT in plain:
        found.append("traceback")
    if KEY in "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()):
        found.append("locals of frames")
    return found


def mismatch(ended: Ended, expected: Expected) -> str | None:
    """What is not as expected; None if all is."""
    told = [_differences(ended, row) for row in acceptable(expected)]
    if not all(told):
        return None
    return " -- or -- ".join("; ".join(differences) for differences in told) + f"\ngot {ended}"


def _differences(ended: Ended, row: Right | Wrong) -> list[str]:
    if isinstance(row, Right):
        return list(_from_answer(ended, row))
    return list(_from_error(ended, row))


def _from_answer(ended: Ended, row: Right) -> Iterator[str]:
    completion = ended.completion
    if completion is None:
        yield "expected an answer"
        return
    found: dict[str, Any] = {
        "text": completion.text,
        "id": completion.id,
        "finish": completion.finish_reason,
        "usage": completion.usage is not None,
        "choices": len(completion.choices),
        "requests": ended.requests,
    }
    yield from (f"expected {name}={getattr(row, name)!r}" for name, got in found.items() if got != getattr(row, name))
    if completion.meta.attempts != 1:
        yield "expected attempts=1"
    completion.text.encode()


def _from_error(ended: Ended, row: Wrong) -> Iterator[str]:
    error = ended.error
    if type(error) is not row.error or not isinstance(error, InferenceError):
        yield f"expected {row.error.__name__}"
        return
    names = ["status", "phase", "retryable"]
    names += ["kind"] if isinstance(error, APIConnectionError) else []
    names += ["code"] if isinstance(error, APIStatusError | StreamError) else []
    for name in names:
        if getattr(error, name) != getattr(row, name):
            yield f"expected {name}={getattr(row, name)!r}"
    if isinstance(error, APIStatusError) and not _near(error.retry_after, row.retry_after):
        yield f"expected retry_after={row.retry_after!r}"
    text = error.partial.text if error.partial is not None else ""
    if text != row.partial and not (row.partial.endswith("...") and text.startswith(row.partial[:-3])):
        yield f"expected partial={row.partial!r}"
    if ended.requests != row.requests:
        yield f"expected requests={row.requests}"
    if error.attempts != 1:
        yield "expected attempts=1"
    if row.says not in str(error):
        yield f"expected {row.says!r} in the message"
    if row.status is not None and error.request_id != "request-golden":
        yield "expected the request id of the server"
    if not error.request_id:
        yield "expected a request id"


def _near(got: float | None, row: float | tuple[float, float] | None) -> bool:
    if isinstance(row, tuple):
        return got is not None and row[0] <= got <= row[1]
    return got == row
