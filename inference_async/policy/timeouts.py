"""How long a call may take: limits with one meaning each, and when each of them strikes."""

from __future__ import annotations

import math
from typing import Final, Literal, TypeAlias

import msgspec

from ..errors import APITimeoutError, ConfigurationError

__all__ = ["Deadlines", "Timeouts", "Wait", "short"]

_MOST: Final = 1e9  # seconds, which is thirty years; a clock cannot count much more

Wait: TypeAlias = Literal["pool", "first_token", "between_tokens", "total"]


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Limits in seconds; None switches one off. Each has an error of its own, such as `FirstTokenTimeoutError`.

    Attributes:
        connect: to open a connection: name, TCP and TLS. A client opens 128 at once; the wait for a turn does not
            count, unless no connection is made meanwhile.
        pool: of a client with ``max_connections``, the wait for one of them to become free.
        first_token: of a stream, from sending the request to the first piece of the answer.
        between_tokens: of a stream, from one piece of the answer to the next. Only text, calls and finish reasons
            count: comments and empty chunks, which servers send to look alive, do not.
        total: the whole call, from its start to its last byte: retries, and the waits between them, included.
    """

    connect: float | None = 10.0
    pool: float | None = 60.0
    first_token: float | None = 120.0
    between_tokens: float | None = 60.0
    total: float | None = 600.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 < value <= _MOST):
                raise ConfigurationError(f"got {name}={short(value)} as a timeout, expected seconds above 0, or None")


def short(value: object) -> str:
    """A value of the caller's, fit to stand in a message."""
    try:
        return repr(value)[:40]
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "a number"


class Deadlines:
    """When the current wait of one call ends. Moments are seconds on any monotonic clock, given by the caller.

    Attributes:
        started: the moment the call began.
        until: the moment the current wait ends; None if it may last.
        phase: which limit that moment comes from.
        ends: the moment the total ends; infinity if it is off.
    """

    __slots__ = ("_between_tokens", "_timeouts", "ends", "phase", "started", "until")

    def __init__(self, timeouts: Timeouts, *, now: float) -> None:
        self.started = now
        self._timeouts = timeouts
        self._between_tokens = math.inf if timeouts.between_tokens is None else timeouts.between_tokens
        self.ends = math.inf if timeouts.total is None else now + timeouts.total
        self.phase: Wait = "total"
        self.until = None if timeouts.total is None else self.ends

    def wait_for(self, phase: Wait, *, now: float) -> None:
        """Begin a wait at this moment; the total still counts if it ends sooner."""
        seconds: float | None = None if phase == "total" else getattr(self._timeouts, phase)
        ends = self.ends
        if seconds is not None and now + seconds < ends:
            self.phase, self.until = phase, now + seconds
        else:
            self.phase, self.until = "total", None if ends == math.inf else ends

    def wait_for_token(self, now: float) -> None:
        """As `wait_for` between tokens, which begins with every read of a stream, and so is spelled out."""
        until = now + self._between_tokens
        if until < self.ends:
            self.phase, self.until = "between_tokens", until
        else:
            self.phase, self.until = "total", None if self.ends == math.inf else self.ends

    def left(self, *, now: float) -> float | None:
        """Seconds until the end of the total; None if it is off."""
        return None if self.ends == math.inf else self.ends - now

    def error(self, *, now: float) -> APITimeoutError:
        """The error of the current wait."""
        limit = getattr(self._timeouts, self.phase)
        elapsed = now - self.started
        what = {
            "pool": "none of the client's max_connections became free",
            "first_token": "no piece of the answer came",
            "between_tokens": "the answer stopped growing",
            "total": "the call was not finished",
        }[self.phase]
        return APITimeoutError.for_phase(self.phase)(
            f"{what} within {limit:g} s (timeout {self.phase!r}, {elapsed:.3g} s after the call began)",
            phase=self.phase,
            elapsed=elapsed,
        )
