"""A server that is a list."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from inference_async import (
    APIConnectionError,
    BetweenTokensTimeoutError,
    ClientClosedError,
    ConfigurationError,
    IncompleteStreamError,
    InferenceClient,
    InvalidResponseError,
    RateLimitError,
    RetryPolicy,
    Timeouts,
)
from inference_async.testing import NoAnswerError, ScriptedTransport, chunks, completion, sse
from inference_async.testing.transport import ScriptedReply


def client_of(transport: ScriptedTransport, **options: Any) -> InferenceClient:
    return InferenceClient("http://localhost/v1", model="m", transport=transport, **{"retries": 0, **options})


async def test_each_call_gets_the_next_answer() -> None:
    transport = ScriptedTransport(completion("one"), b"no answer")
    transport.answer(completion("three"))
    async with client_of(transport) as client:
        assert (await client.complete("hi")).text == "one"
        with pytest.raises(InvalidResponseError):
            await client.complete("hi")
        assert (await client.stream("hi").final()).text == "three"
        with pytest.raises(NoAnswerError, match=r"POST /v1/chat/completions: the script has 3, and this is call 4"):
            await client.complete("hi")
    assert [call.url for call in transport.calls] == ["http://localhost/v1/chat/completions"] * 4
    assert b'"hi"' in transport.calls[0].body
    assert transport.closed


async def test_pieces_arrive_as_they_were_cut() -> None:
    events = b"".join(sse(chunks("Grüße", n=5)))
    transport = ScriptedTransport([events[:150], b"", 0, events[150:152], 0.001, events[152:]])
    async with client_of(transport) as client, client.stream("hi") as stream:
        assert [text async for text in stream.text()] == list("Grüße")


async def test_an_error_where_it_stands() -> None:
    events = sse(chunks("one two", n=2))
    transport = ScriptedTransport([events[0], APIConnectionError("cut", kind="cut")], APIConnectionError("refused"))
    async with client_of(transport) as client:
        with pytest.raises(IncompleteStreamError) as caught:
            await client.stream("hi").final()
        assert caught.value.partial is not None
        assert caught.value.partial.text == "one"
        with pytest.raises(APIConnectionError, match="refused"):
            await client.complete("hi")


async def test_a_status_with_headers_and_what_a_retry_makes_of_it() -> None:
    transport = ScriptedTransport()
    for _ in range(2):
        transport.answer(b'{"error": {"message": "slowly"}}', status=429, headers={"retry-after": "0"})
    transport.answer(completion("at last"))
    async with client_of(transport) as client:
        with pytest.raises(RateLimitError, match="slowly") as caught:
            await client.complete("hi")
        assert caught.value.retry_after == 0
        policy = RetryPolicy(retries=1, backoff=0.0)
        assert (await client.with_options(retries=policy).complete("hi")).text == "at last"


async def test_a_delay_meets_the_limits_of_the_client() -> None:
    transport = ScriptedTransport([sse(chunks("one two", n=2))[0], 60.0])
    async with client_of(transport, timeouts=Timeouts(between_tokens=0.01)) as client:
        with pytest.raises(BetweenTokensTimeoutError):
            await client.stream("hi").final()


async def test_closing_cuts_a_delay() -> None:
    transport = ScriptedTransport([sse(chunks("one two", n=2))[0], 60.0])
    async with client_of(transport) as client:
        stream = client.stream("hi")
        await anext(stream)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await client.aclose()
        with pytest.raises((ClientClosedError, StopAsyncIteration)):
            await waiting


async def test_a_reply_that_was_closed_says_why() -> None:
    reply = ScriptedReply([b"one", b"two"], status=200, headers={})
    assert await reply.read() == b"one"
    reply.close(APIConnectionError("the reason"))
    reply.close()
    with pytest.raises(APIConnectionError, match="the reason"):
        await reply.read()


async def test_closed_it_sends_nothing() -> None:
    transport = ScriptedTransport(completion("one"))
    async with client_of(transport) as client:
        pass
    with pytest.raises(ClientClosedError):
        await client.complete("hi")
    assert transport.calls == []


@pytest.mark.parametrize("answer", ["text", [b"bytes", "text"], [ValueError("of others")]], ids=repr)
def test_what_is_no_answer(answer: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        ScriptedTransport(answer)
