"""What the emulator has seen: counts, and the last requests. It holds no key, and no prompt unless it is told to."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from ..types.base import is_object
from ..types.messages import text_of

__all__ = ["Count", "Entry", "Status", "Tally"]

_LAST: Final = 20
_LONGEST: Final = 2_000  # characters of a prompt, or of a name, that are kept


class Entry(msgspec.Struct, kw_only=True):
    """One request.

    Attributes:
        at: when it came, in seconds since 1970.
        operation: what it asked for; the path where there is no such thing.
        status: the status of its answer; 0 until there is one.
        ended: how it ended: ``open`` is still on its way, ``cut`` was broken off by the upstream, ``left`` is one whose
            caller has gone.
        model: the model asked for.
        streamed: the answer is a stream.
        seconds: how long it took.
        tokens_in, tokens_out: what the answer says that it used.
        prompt: the last message, if prompts are kept.
    """

    at: float
    operation: str
    status: int = 0
    ended: Literal["open", "done", "cut", "left"] = "open"
    model: str = ""
    streamed: bool = False
    seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    prompt: str | None = None

    @property
    def about(self) -> str:
        """What a log says of it."""
        return ", ".join(filter(None, (self.model, "streamed" if self.streamed else "")))

    def told(self, body: Mapping[str, Any], *, prompts: bool) -> None:
        """What a checked body says of it."""
        self.model = str(body.get("model", ""))[:_LONGEST]
        if prompts:
            self.prompt = _prompt(body)[:_LONGEST]

    def used(self, usage: Any) -> None:
        """Take the tokens from the usage of an answer, as far as it has some."""
        if is_object(usage):
            self.tokens_in, self.tokens_out = (_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))


class Count(msgspec.Struct, frozen=True):
    """How many requests for an operation were answered with a status."""

    operation: str
    status: int
    requests: int


class Status(msgspec.Struct, kw_only=True, frozen=True):
    """All there is to be seen at a moment.

    Attributes:
        version: of the package.
        uptime: seconds since the start.
        answers: where answers come from.
        limits: how fast, and how many requests and tokens; a line each.
        faults: what goes wrong on purpose, in the order in which it does.
        requests: how many requests came.
        open_requests, open_streams: how many requests, and how many streams among them, are on their way.
        throttled: how many were answered with 429.
        cut: how many streams an upstream broke off.
        tokens_in, tokens_out: what all answers used.
        counts: the requests by operation and status.
        last: the last requests, the newest first.
    """

    version: str
    uptime: float
    answers: str
    limits: list[str]
    faults: list[str]
    requests: int
    open_requests: int
    open_streams: int
    throttled: int
    cut: int
    tokens_in: int
    tokens_out: int
    counts: list[Count]
    last: list[Entry]


class Tally:
    """Counts requests from their coming to their end."""

    def __init__(self) -> None:
        self.requests = 0
        self._open: dict[int, Entry] = {}
        self._last: deque[Entry] = deque(maxlen=_LAST)
        self._counts: Counter[tuple[str, int]] = Counter()
        self._cut = 0
        self._tokens_in = 0
        self._tokens_out = 0

    def begin(self, entry: Entry) -> None:
        """A request has come."""
        self.requests += 1
        self._open[id(entry)] = entry
        self._last.append(entry)

    def end(self, entry: Entry, seconds: float) -> None:
        """It is over, so many seconds after it came."""
        del self._open[id(entry)]
        entry.seconds = round(seconds, 3)
        if entry.ended == "open":
            entry.ended = "done"
        self._cut += entry.ended == "cut"
        self._counts[entry.operation, entry.status] += 1
        self._tokens_in += entry.tokens_in
        self._tokens_out += entry.tokens_out

    def status(self, *, version: str, uptime: float, answers: str, limits: list[str], faults: list[str]) -> Status:
        """All there is to be seen now; see `Status` for what it is told."""
        return Status(
            version=version,
            uptime=uptime,
            answers=answers,
            limits=limits,
            faults=faults,
            requests=self.requests,
            open_requests=len(self._open),
            open_streams=sum(entry.streamed for entry in self._open.values()),
            throttled=sum(count for (_, status), count in self._counts.items() if status == 429),
            cut=self._cut,
            tokens_in=self._tokens_in,
            tokens_out=self._tokens_out,
            counts=[Count(*row, count) for row, count in sorted(self._counts.items())],
            last=list(reversed(self._last)),
        )


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and value >= 0 else 0


def _prompt(body: Mapping[str, Any]) -> str:
    """The text of the last message, or what is embedded."""
    if "messages" in body:
        return text_of(body["messages"][-1].get("content"))
    return " | ".join(one if isinstance(one, str) else "..." for one in body.get("input", []))
