"""Whether a failed attempt is worth another, and after how long a wait.

Numbers in, decisions out: the clock and the dice are the caller's. Nothing here knows of HTTP or of a loop; the one
place that waits is `net/session.py`.

Two things keep retries from doing harm. A wait that the service asks for, and that is longer than the caller would
care to wait, is not slept: the error is raised at once and says so. And the retries of a client are paid from one
`Budget`, so that an outage is not doubled by everyone who knocks again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from ..errors import APIConnectionError, APIStatusError, APITimeoutError, ConfigurationError, InferenceError
from ..types.base import is_whole
from .timeouts import short

__all__ = ["Budget", "FailedAttempt", "RetryHook", "RetryPolicy", "Retrying"]

_MOST: Final = 1000
_LONGEST: Final = 1e9  # seconds
_BUDGET: Final = 500
_COST: Final = 14
_COST_WHEN_THROTTLED: Final = 5  # the service is well and says so; less caution is due


class FailedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """What a hook is told of an attempt that failed.

    Attributes:
        error: why; its class and `retryable` say most of it.
        attempt: which one it was, counted from 1.
        elapsed: seconds since the call began.
        delay: seconds the policy would wait before the next; None if it would give up.
    """

    error: InferenceError
    attempt: int
    elapsed: float
    delay: float | None


RetryHook: TypeAlias = Callable[[FailedAttempt], float | None]
"""Returns seconds to wait before the next attempt, or None to give up."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often, and when, a call that failed is sent again by itself.

    Only calls of which no answer had begun are: those that got no connection, or whose connection was cut before the
    first byte of an answer, and those that were refused with 408, 409, 429 or 500 and above, or with the header
    ``x-should-retry: true``. A stream that has begun is never begun anew.

    A call that is sent again may be counted, and charged, twice: ``retries=0`` is for those who cannot have that. Even
    then a request is sent once more where that is safe: over a connection from the pool that had been closed by the
    other side, and with a new token where the old one was refused.

    Attributes:
        retries: the most attempts after the first.
        backoff: seconds; the wait before the n-th retry is random between 0 and ``backoff * 2 ** (n - 1)``.
        max_backoff: the most seconds of such a wait.
        max_retry_after: the most seconds to wait where the service says how long, as ``Retry-After`` does; where it
            asks for more the error is raised at once, with its `retry_after`.
        budgeted: whether retries are paid from the budget of the client: 500 tokens, 14 for a retry, 5 for one after a
            429, given back by calls that succeed. In an outage 1,000 calls then send 1,035 requests, not 3,000.
        hook: has the last word on each failed attempt that `retries` leaves another after, see `FailedAttempt`; budget
            and deadline still count. What it raises comes out of the call.
    """

    retries: int = 2
    backoff: float = 0.5
    max_backoff: float = 8.0
    max_retry_after: float = 60.0
    budgeted: bool = True
    hook: RetryHook | None = None

    def __post_init__(self) -> None:
        if not is_whole(self.retries) or not 0 <= self.retries <= _MOST:
            raise ConfigurationError(f"got retries={short(self.retries)}, expected how often a call may be sent again")
        for name in ("backoff", "max_backoff", "max_retry_after"):
            value = getattr(self, name)
            if not _is_seconds(value):
                raise ConfigurationError(f"got {name}={short(value)}, expected seconds, 0 or more")
        if type(self.budgeted) is not bool:
            raise ConfigurationError(f"got budgeted={short(self.budgeted)}, expected True or False")
        if self.hook is not None and not callable(self.hook):
            raise ConfigurationError(f"got a hook of type {type(self.hook).__name__}, expected a function, or None")


class Budget:
    """The retries that a client has left: a bucket of tokens, full at first.

    Attributes:
        tokens: what is in it now.
    """

    __slots__ = ("_capacity", "tokens")

    def __init__(self, capacity: int = _BUDGET) -> None:
        self._capacity = capacity
        self.tokens = capacity

    def take(self, cost: int) -> bool:
        """Take tokens out, if there are as many."""
        if cost > self.tokens:
            return False
        self.tokens -= cost
        return True

    def give(self, tokens: int) -> None:
        """Put tokens in; what does not fit is lost."""
        self.tokens = min(self._capacity, self.tokens + tokens)


class Retrying:
    """The retries of one call.

    Args:
        policy: see `RetryPolicy`.
        budget: that of the client.
        dice: random numbers from 0 to 1.

    Attributes:
        attempts: how many requests were sent; the caller counts.
    """

    __slots__ = ("_budget", "_dice", "_paid", "_policy", "_resent", "_retries", "attempts")

    def __init__(self, policy: RetryPolicy, budget: Budget, *, dice: Callable[[], float] = random.random) -> None:
        self.attempts = 0
        self._policy = policy
        self._budget = budget
        self._dice = dice
        self._retries = 0
        self._paid = 0  # for the last retry
        self._resent = False

    def delay(self, error: InferenceError, *, elapsed: float, left: float | None) -> float | None:
        """Seconds to wait before the call is sent again; None if it is not to be.

        An error whose service asks for too long a wait is reworded, and says so.

        Args:
            error: how the last attempt ended.
            elapsed: seconds since the call began.
            left: seconds until its deadline; None if it has none.
        """
        if isinstance(error, APIConnectionError) and error.stale and not self._resent:
            self._resent = True
            return 0.0
        policy = self._policy
        if self._retries >= policy.retries:
            return None
        delay = self._decide(error)
        if policy.hook is not None:
            delay = policy.hook(FailedAttempt(error=error, attempt=self.attempts, elapsed=elapsed, delay=delay))
            if delay is not None and not _is_seconds(delay):
                raise ConfigurationError(
                    f"got {short(delay)} from the hook of retries, expected seconds, 0 or more, or None"
                )
        asked = _asked(error)
        if delay is None:
            if asked is not None and asked > policy.max_retry_after and _may_be_sent_again(error):
                _explain(error, asked, f"above max_retry_after ({policy.max_retry_after:g} s)")
            return None
        if left is not None and delay >= left:
            if delay == asked:
                _explain(error, delay, "which would not end within timeout 'total'")
            return None
        if policy.budgeted:
            cost = _COST_WHEN_THROTTLED if error.status == 429 else _COST
            if not self._budget.take(cost):
                return None
            self._paid = cost
        self._retries += 1
        return delay

    def succeeded(self) -> None:
        """The last attempt did: the budget gets back what it had cost, or a token where it had cost nothing."""
        self._budget.give(self._paid or 1)

    def _decide(self, error: InferenceError) -> float | None:
        if not _may_be_sent_again(error):
            return None
        policy = self._policy
        asked = _asked(error)
        if asked is not None and asked > policy.max_retry_after:
            return None
        # Who asks for no wait at all gets the usual one.
        return asked or self._dice() * min(policy.max_backoff, policy.backoff * 2.0 ** min(self._retries, 60))


def _asked(error: InferenceError) -> float | None:
    """Seconds that the service asks to wait."""
    return error.retry_after if isinstance(error, APIStatusError) else None


def _explain(error: InferenceError, asked: float, reason: str) -> None:
    """Let the error say why its call was not sent again; some say already how long a wait was asked for."""
    said = f"the service asks to wait {asked:g} s"
    message = error.message if error.message.endswith(said) else f"{error.message}; {said}"
    error.reword(f"{message}, {reason}, so it was not sent again")


def _may_be_sent_again(error: InferenceError) -> bool:
    """Whether no answer had begun, and another attempt may get one."""
    if isinstance(error, APIStatusError):
        return error.retryable
    if isinstance(error, APITimeoutError):
        return error.phase == "connect"
    if not isinstance(error, APIConnectionError) or error.begun:
        return False
    return error.retryable and error.phase in ("connect", "headers")


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LONGEST
