"""How long the emulator takes: until the first token, and from one to the next."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Self

import msgspec

from ..errors import ConfigurationError
from .script import Pace, Script
from .written import pairs, seconds_of, share_of

__all__ = ["Latency"]


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long answers take, instead of the delays in the script.

    An answer of the script that has a pace of its own keeps it, apart from the jitter. In front of an upstream, these
    delays are added to the time that the upstream takes.

    Attributes:
        first: seconds before the first token; None for those of the script.
        token: seconds between tokens; None for those of the script.
        jitter: the share by which each delay may be shorter or longer: 0.2 is up to a fifth either way.
        seed: makes the n-th request take the same time in every run; None makes each run different.

    Raises:
        ConfigurationError: a delay is none, or the jitter is not within 0 and 1.
    """

    first: float | None = None
    token: float | None = None
    jitter: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("first", self.first), ("token", self.token)):
            if value is not None and not 0 <= value < math.inf:
                raise ConfigurationError(f"got {name}={value!r}, expected seconds, 0 or more")
        if not 0 <= self.jitter <= 1:
            raise ConfigurationError(f"got a jitter of {self.jitter:g}, expected a share from 0 to 1, or 0% to 100%")

    @classmethod
    def parse(cls, text: str = "", *, jitter: str = "", seed: int | None = None) -> Self:
        """A latency as it is written: ``first=400ms,token=25ms``, either of them or both; a jitter such as ``20%``.

        Args:
            text: one delay or both; what is not named stays the script's.
            jitter: the share by which each delay may be shorter or longer.
            seed: makes the n-th request take as long in every run.

        Raises:
            ConfigurationError: the text is none.
        """
        given = pairs(text, ("first", "token"), "first=400ms,token=25ms") if text else {}
        delays = {name: seconds_of(value) for name, value in given.items()}
        return cls(**delays, jitter=share_of(jitter) if jitter else 0.0, seed=seed)

    def over(self, script: Script) -> Script:
        """The script at this pace."""
        first = script.pace.first if self.first is None else self.first
        token = script.pace.token if self.token is None else self.token
        return msgspec.structs.replace(script, pace=Pace(first=first, token=token))

    def dice(self, number: int) -> Callable[[float], float]:
        """What the delays of a request become.

        Args:
            number: which request it is. Each has dice of its own, so that what else goes on does not change them.
        """
        if not self.jitter:
            return lambda seconds: seconds
        draw = random.Random(None if self.seed is None else f"{self.seed}/{number}")  # noqa: S311  (no secret)
        return lambda seconds: seconds * draw.uniform(1 - self.jitter, 1 + self.jitter)
