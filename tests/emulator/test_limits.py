"""What a deployment takes, by a clock of our own; and the refusal over HTTP, as a client reads it."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from inference_async import ConfigurationError, InferenceClient, RateLimitError
from inference_async.emulator import Emulator, RateLimit, Script
from inference_async.emulator.limits import DEFAULT_MAX_TOKENS, IMAGE_TOKENS, Quota, tokens_at_most
from inference_async.types.meta import RateLimits
from tests.emulator.asking import DIALECTS, LIKE_MODELS, ask, url_of, user


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rpm=60,tpm=10000", RateLimit(requests=60, tokens=10_000)),
        ("rpm=6", RateLimit(requests=6)),
        ("tpm=5, window=1s", RateLimit(tokens=5, window=1.0)),
    ],
)
def test_as_it_is_written(text: str, expected: RateLimit) -> None:
    assert RateLimit.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected the form rpm=60,tpm=10000"),
        ("60", "expected the form rpm=60,tpm=10000"),
        ("rps=1", "got 'rps=1', expected the form"),
        ("rpm=6.5", "got '6.5', expected a whole number"),
        ("rpm=0", "got 0 requests per minute, expected 1 or more"),
        ("tpm=0", "got 0 tokens per minute, expected 1 or more"),
        ("window=1s", "limits nothing"),
        ("rpm=1,window=61s", "got a window of 61 s"),
        ("rpm=1,window=0s", "got a window of 0 s"),
    ],
)
def test_what_is_written_otherwise(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RateLimit.parse(text)
    assert words in str(caught.value)


def quota(**limit: Any) -> Quota:
    return Quota(RateLimit(**limit), 1000.0)


Step = tuple[float, int, str | None, float]
"""Seconds after the start, tokens, which limit refuses, and for how long."""

RUNS: dict[str, tuple[Quota, list[Step]]] = {
    "a burst is as large as the window": (
        quota(requests=60),
        [*[(0.0, 1, None, 0.0)] * 10, (0, 1, "requests", 1.0), (0.25, 1, "requests", 0.75), (1.0, 1, None, 0.0)],
    ),
    "a short window takes no burst": (
        quota(requests=60, window=1.0),
        [(0, 1, None, 0), (0.5, 1, "requests", 0.5), (1, 1, None, 0), (61, 1, None, 0), (61, 1, "requests", 1)],
    ),
    "a limit below one a window lets one in": (
        quota(requests=3),
        [(0, 1, None, 0), (10, 1, "requests", 10), (20, 1, None, 0)],
    ),
    "tokens are those of a minute": (
        quota(tokens=600),
        [(0, 500, None, 0), (0, 101, "tokens", 0.1), (0, 100, None, 0), (0, 1, "tokens", 0.1), (6, 60, None, 0)],
    ),
    "a minute later all is there, and no more": (
        quota(tokens=600),
        [(0, 600, None, 0), (600, 600, None, 0), (600, 1, "tokens", 0.1)],
    ),
    "more than a minute's tokens never come in": (
        quota(tokens=600),
        [(0, 601, "tokens", 60), (900, 601, "tokens", 60)],
    ),
    "what is refused takes nothing of the other limit": (
        quota(requests=6, tokens=600),
        [(0, 601, "tokens", 60), (0, 600, None, 0), (10, 50, None, 0)],
    ),
    "the limit that lasts longer is named": (
        quota(requests=6, tokens=60),
        [(0, 60, None, 0), (0, 60, "tokens", 60), (0, 1, "requests", 10), (9, 60, "tokens", 51)],
    ),
    "no tokens are asked for": (quota(tokens=1), [(0, 1, None, 0), (0, 0, None, 0)]),
    "a clock that goes back": (quota(requests=6), [(0, 1, None, 0), (-5, 1, "requests", 10)]),
}


@pytest.mark.parametrize("name", RUNS)
def test_who_is_let_in_when(name: str) -> None:
    tested, steps = RUNS[name]
    for at, tokens, refused, wait in steps:
        admission = tested.admit(tokens, 1000.0 + at)
        assert admission.refused == refused, f"after {at} s"
        assert admission.wait == pytest.approx(wait), f"after {at} s"


def test_headers() -> None:
    tested = quota(requests=60, tokens=1000)
    assert tested.admit(300, 1000).headers == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "700",
    }
    assert tested.admit(701, 1000).headers == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "700",
        "retry-after": "1",
        "retry-after-ms": "60",
    }


def test_headers_say_nothing_of_what_has_no_limit() -> None:
    assert set(quota(tokens=5).admit(1, 1000).headers) == {"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"}


def test_whoever_waits_as_told_is_let_in() -> None:
    tested = quota(requests=7, tokens=977, window=3.0)
    now = 1000.0
    for tokens in (977, 13, 500, 1, 976, 333):
        refused = tested.admit(tokens, now)
        if refused.refused is not None:
            now += int(refused.headers["retry-after-ms"]) / 1000
            assert tested.admit(tokens, now).refused is None


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (user("", max_tokens=0), 0),
        (user("abcd", max_tokens=0), 1),
        (user("abcde", max_tokens=0), 2),
        (user("abcd"), 1 + 50),
        (user("abcd", max_tokens=7), 1 + 7),
        (user("abcd", max_tokens=7, max_completion_tokens=9), 1 + 9),
        (user("abcd", max_tokens=None), 1 + 50),
        (user("abcd", max_tokens=7, n=3), 1 + 21),
        (user([{"type": "text", "text": "abcd"}, PICTURE, PICTURE], max_tokens=0), 1 + 2 * IMAGE_TOKENS),
        ({"messages": [{"role": "assistant", "content": None, "tool_calls": [CALL]}], "max_tokens": 0}, 2),
        (user("ab", max_tokens=0, tools=[{"a": "ü"}]), 4),
        ({"input": ["abcd", "a", [1, 2, 3]]}, 1 + 1 + 3),
        ({"input": [{"image": "data:...", "text": "abcde"}, {"image": "data:..."}]}, 2 + 2 * IMAGE_TOKENS),
    ],
)
def test_what_a_request_is_counted_as(body: dict[str, Any], tokens: int) -> None:
    assert tokens_at_most(body, 50) == tokens


@pytest.mark.parametrize("kind", ["requests", "tokens"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_refusal(http: aiohttp.ClientSession, dialect: str, kind: str) -> None:
    limit = RateLimit(requests=6) if kind == "requests" else RateLimit(tokens=100)
    async with Emulator(pace=0, rate_limit=limit) as emulator:
        body = user("hi", max_tokens=90)
        status, _, headers = await ask(http, emulator, body, dialect)
        assert (status, headers[f"x-ratelimit-remaining-{kind}"]) == (200, "0" if kind == "requests" else "9")
        status, answer, headers = await ask(http, emulator, body, dialect)
        assert status == 429
        assert 0 < int(headers["retry-after-ms"]) <= int(headers["retry-after"]) * 1000 <= 60_000
        error = answer["error"]
        if dialect == "generic":
            assert (error["code"], error["type"]) == ("rate_limit_exceeded", kind)
        else:
            assert error["code"] == ("RateLimitReached" if dialect in LIKE_MODELS else "429")
            assert ("token rate limit" in error["message"]) is (kind == "tokens")
            assert headers["x-ms-error-code"] == error["code"]
        assert f"{headers['retry-after']}" in error["message"]
        url = emulator.deployment_url("other") if dialect == "deployment" else url_of(emulator, dialect)
        async with InferenceClient(url, emulator.key, model="other", **_options(dialect)) as client:
            assert (await client.complete("hi", max_tokens=90)).text == "hi", "another model has a limit of its own"
            with pytest.raises(RateLimitError) as caught:
                await client.complete("hi", max_tokens=90)
        assert caught.value.retry_after is not None
        assert RateLimits.from_headers(caught.value.headers).limit_requests == limit.requests
        assert emulator.status.throttled == 2


def _options(dialect: str) -> dict[str, Any]:
    names = {"serverless": {"dialect": "serverless"}, "managed": {"dialect": "managed"}}
    front = {"key_header": "Ocp-Apim-Subscription-Key"} if dialect == "front" else {}
    return {"retries": 0, **names.get(dialect, {}), **front}


async def test_a_client_that_waits_as_told_gets_its_answer() -> None:
    async with (
        Emulator(pace=0, rate_limit=RateLimit(requests=1200, window=0.05)) as emulator,
        InferenceClient(emulator.openai_url, emulator.key, model="m") as client,
    ):
        assert [(await client.complete("hi")).text for _ in range(3)] == ["hi"] * 3
        assert emulator.status.throttled > 0


async def test_embeddings_count_and_information_does_not(http: aiohttp.ClientSession) -> None:
    async with Emulator(pace=0, rate_limit=RateLimit(tokens=3)) as emulator:
        for status in (200, 429):
            body = {"model": "m", "input": ["abcde", "a"]}
            assert (await ask(http, emulator, body, operation="embeddings"))[0] == status
            assert (await ask(http, emulator, None, "serverless", "info"))[0] == 200


async def test_who_is_not_let_in_or_asks_nonsense_uses_nothing_up(http: aiohttp.ClientSession) -> None:
    async with Emulator(pace=0, rate_limit=RateLimit(requests=6)) as emulator:
        assert (await ask(http, emulator, user("hi"), headers={"api-key": "wrong"}))[0] == 401
        assert (await ask(http, emulator, user("hi", temperature=9)))[0] == 422
        assert (await ask(http, emulator, user("hi")))[0] == 200


async def test_a_request_that_names_no_limit_is_counted_as_its_model_has_it(http: aiohttp.ClientSession) -> None:
    script = Script.from_json(b'{"models": {"large": {"max_tokens": 900}}}')
    async with Emulator(script, pace=0, rate_limit=RateLimit(tokens=1000)) as emulator:
        for model, left in (("large", 1000 - 900 - 1), ("other", 1000 - DEFAULT_MAX_TOKENS - 1)):
            _, _, headers = await ask(http, emulator, user("hi", model=model))
            assert int(headers["x-ratelimit-remaining-tokens"]) == left
