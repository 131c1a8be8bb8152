"""How many requests and tokens a deployment takes: the service's two limits, and how it counts. No clock here.

A request is counted when it comes in, before anything is known of its answer: as one request, and as the tokens that it
may cost at most. That is an estimate of its prompt and the most it may generate, so a request with a large
``max_tokens`` is refused although its answer would have been short, and what it does not use is not given back.

Each limit is a bucket that fills up evenly. That of the tokens holds a minute's worth; that of the requests only the
worth of a short window, because the service looks at seconds, and refuses a burst that the minute as a whole would have
room for. What is refused takes nothing out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias

import msgspec

from ..errors import ConfigurationError
from ..types.base import is_array, is_object
from ..types.messages import text_of
from .media import media_in
from .written import pairs, seconds_of, whole_of

__all__ = ["DEFAULT_MAX_TOKENS", "IMAGE_TOKENS", "Admission", "Quota", "RateLimit", "tokens_at_most"]

DEFAULT_MAX_TOKENS: Final = 256
"""What a request is counted as generating that names no limit, of a model that the script names no limit of."""

IMAGE_TOKENS: Final = 765
"""What a picture or a sound is counted as, whatever its size: a picture of 1024 by 1024 in detail costs that."""

_MINUTE: Final = 60.0
_CHARACTERS: Final = 4  # of a token

_Kind: TypeAlias = Literal["requests", "tokens"]


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests and tokens a deployment accepts. Each model that is asked for has a limit of its own.

    Attributes:
        requests: requests per minute; None for no limit.
        tokens: tokens per minute; None for no limit.
        window: seconds over which requests are counted. A burst may hold the requests of that time, and always one.

    Raises:
        ConfigurationError: a limit is not above 0, or the window is longer than a minute.
    """

    requests: int | None = None
    tokens: int | None = None
    window: float = 10.0

    def __post_init__(self) -> None:
        for name, value in (("requests", self.requests), ("tokens", self.tokens)):
            if value is not None and value < 1:
                raise ConfigurationError(f"got {value} {name} per minute, expected 1 or more, or none for any number")
        if not 0 < self.window <= _MINUTE:
            raise ConfigurationError(f"got a window of {self.window:g} s, expected more than 0 and at most 60")

    @classmethod
    def parse(cls, text: str) -> Self:
        """A limit as it is written: ``rpm=60,tpm=10000``, either or both, and ``window=1s`` beside them.

        Raises:
            ConfigurationError: the text is none.
        """
        given = pairs(text, ("rpm", "tpm", "window"), "rpm=60,tpm=10000")
        requests, tokens = (whole_of(given[name]) if name in given else None for name in ("rpm", "tpm"))
        if requests is None and tokens is None:
            raise ConfigurationError(
                f"got {text[:80]!r}, which limits nothing; expected rpm=60,tpm=10000, or one of them"
            )
        window = {"window": seconds_of(given["window"])} if "window" in given else {}
        return cls(requests=requests, tokens=tokens, **window)


class Admission(NamedTuple):
    """What became of a request.

    Attributes:
        refused: the limit that is reached, of both the one that lasts longer; None if the request was let in.
        wait: seconds until it would be let in, if nobody else came.
        headers: what the answer says of the limits.
    """

    refused: _Kind | None
    wait: float
    headers: dict[str, str]


class Quota:
    """What is left of a limit.

    Args:
        limit: how much it is.
        now: the moment it begins, full; seconds on any clock that only moves forward, as in `admit`.
    """

    def __init__(self, limit: RateLimit, now: float) -> None:
        self._buckets: dict[_Kind, _Bucket] = {}
        if limit.requests is not None:
            burst = max(limit.requests * limit.window / _MINUTE, 1)
            self._buckets["requests"] = _Bucket(limit.requests, burst, now)
        if limit.tokens is not None:
            self._buckets["tokens"] = _Bucket(limit.tokens, limit.tokens, now)

    def admit(self, tokens: int, now: float) -> Admission:
        """Let a request in, or not.

        A request that is counted as more than a minute's tokens is never let in, and told to wait for a minute.

        Args:
            tokens: what it may cost at most.
            now: the moment it comes.
        """
        wanted: dict[_Kind, int] = {"requests": 1, "tokens": tokens}
        waits = {kind: bucket.wait_for(wanted[kind], now) for kind, bucket in self._buckets.items()}
        last = max(self._buckets, key=lambda kind: waits[kind], default=None)
        wait = 0.0 if last is None else waits[last]
        refused = last if wait > 0 else None
        if refused is None:
            for kind, bucket in self._buckets.items():
                bucket.level -= wanted[kind]
        headers: dict[str, str] = {}
        for kind, bucket in self._buckets.items():
            headers[f"x-ratelimit-limit-{kind}"] = str(bucket.per_minute)
            headers[f"x-ratelimit-remaining-{kind}"] = str(int(bucket.level + _CRUMB))
        if refused is not None:
            headers["retry-after"] = str(math.ceil(wait))
            headers["retry-after-ms"] = str(math.ceil(wait * 1000))
        return Admission(refused, wait, headers)


_CRUMB: Final = 1e-6  # what adding up fractions may lose


class _Bucket:
    __slots__ = ("_at", "_most", "level", "per_minute")

    def __init__(self, per_minute: int, most: float, now: float) -> None:
        self.per_minute = per_minute
        self.level = self._most = most
        self._at = now

    def wait_for(self, wanted: int, now: float) -> float:
        """Fill up to this moment; return the seconds until so much is there."""
        passed = max(now - self._at, 0.0)
        self._at = now
        self.level = min(self.level + passed * self.per_minute / _MINUTE, self._most)
        if wanted > self._most:
            return _MINUTE
        missing = wanted - self.level
        return missing * _MINUTE / self.per_minute if missing > _CRUMB else 0.0


def tokens_at_most(body: Mapping[str, Any], default: int) -> int:
    """The tokens that a request is counted as when it comes in; its body was checked.

    The prompt is a quarter of its characters, rounded up: the texts of messages, the arguments of calls in them, and
    the definitions of tools as JSON; a picture or a sound is `IMAGE_TOKENS`. To that comes what may be generated:
    ``max_completion_tokens`` or ``max_tokens``, else the default, as often as ``n`` asks for. Of embeddings, only what
    goes in is counted.

    Args:
        body: the request.
        default: what is counted where it names no limit.
    """
    if "messages" not in body:
        return _inputs(body.get("input"))
    characters, media = 0, 0
    for message in body["messages"]:
        characters += len(text_of(message.get("content")))
        calls: list[Any] = message.get("tool_calls") or []
        characters += sum(len(call["function"]["arguments"]) for call in calls)
        media += len(media_in(message))
    if body.get("tools"):
        characters += len(json.dumps(body["tools"], ensure_ascii=False, separators=(",", ":")))
    most: int | None = next(
        (body[name] for name in ("max_completion_tokens", "max_tokens") if body.get(name) is not None), None
    )
    count: int = body.get("n") or 1
    return _quarter(characters) + media * IMAGE_TOKENS + (default if most is None else most) * count


def _inputs(given: Any) -> int:
    """Each text by itself, for each is embedded by itself; tokens that come as numbers are what they are."""
    return sum(_input(one) for one in given)


def _input(given: Any) -> int:
    if is_array(given):
        return len(given)
    return _quarter(len(given.get("text") or "")) + IMAGE_TOKENS if is_object(given) else _quarter(len(given))


def _quarter(characters: int) -> int:
    return -(-characters // _CHARACTERS)
