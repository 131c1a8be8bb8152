"""The emulator in front of another server: what that one is asked, and what comes back, as it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from inference_async import (
    AuthenticationError,
    ConfigurationError,
    ContentFilterError,
    IncompleteStreamError,
    InferenceClient,
    InternalServerError,
)
from inference_async.emulator import Emulator, FaultServer, Latency, RateLimit, Script, refusing
from tests.emulator.asking import DIALECTS, LIKE_MODELS, ask, choice_of, key_of, params_of, text_of, url_of, user
from tests.support import DONE, STREAM_HEAD, Connection, RawServer, chunk, event, json_reply

KEY = "Upstream/Key+4711"
HI = user("hi there")


@asynccontextmanager
async def front(server: RawServer | FaultServer, **options: Any) -> AsyncIterator[Emulator]:
    """An emulator in front of a server that speaks OpenAI's API."""
    async with server, Emulator(pace=0, upstream=f"{server.url}/v1", **options) as emulator:
        yield emulator


def answering(*pieces: bytes, end: bool = True) -> RawServer:
    """A server whose answers are streams of these pieces."""

    async def answer(connection: Connection) -> bool:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(*pieces, end=end)
        return end

    return RawServer(answer)


def refusing_with(reply: bytes) -> RawServer:
    async def answer(connection: Connection) -> None:
        await connection.send(reply)

    return RawServer(answer)


async def read(http: aiohttp.ClientSession, emulator: Emulator, body: Any, dialect: str = "openai-v1") -> bytes:
    """The bytes of a streamed answer."""
    url = f"{url_of(emulator, dialect)}/chat/completions"
    headers = key_of(dialect, emulator.key)
    async with http.post(url, params=params_of(dialect), headers=headers, json=body) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        return await response.read()


@pytest.mark.parametrize("behind", ["models", "openai-v1", "deployment", "generic", "front"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_any_dialect_in_front_of_any(http: aiohttp.ClientSession, dialect: str, behind: str) -> None:
    key = None if behind == "front" else KEY  # whose header an address does not tell
    async with (
        Emulator(pace=0, key=key) as one,
        Emulator(pace=0, upstream=url_of(one, behind), upstream_key=key) as two,
    ):
        expected = "emulator/my.one" if "deployment" in (dialect, behind) else "emulator/m"
        for body in (HI, user("hi there", stream=True)):
            status, answer, headers = await ask(http, two, body, dialect)
            assert status == 200, answer
            last = answer[-1] if isinstance(answer, list) else answer
            assert last["model"] == expected
            assert headers["x-ms-region"] == "loopback"
            said = text_of(answer) if isinstance(answer, list) else answer["choices"][0]["message"]["content"]
            assert said == "hi there"
            if dialect in LIKE_MODELS or body is HI:
                assert last["usage"]["total_tokens"] == 4, "unasked"
        assert (one.requests, two.requests) == (2, 2)
        seen = two.status
        unasked = dialect in LIKE_MODELS or behind == "models"
        assert (seen.tokens_in, seen.counts[0].requests) == (4 if unasked else 2, 2)


async def test_what_the_upstream_is_asked(http: aiohttp.ClientSession) -> None:
    server = refusing_with(json_reply({"choices": []}))
    async with front(server, upstream_key=KEY) as emulator:
        headers = {
            "api-key": str(emulator.key),
            "extra-parameters": "pass-through",
            "x-mine": "secret",
            "cookie": "a=b",
        }
        await ask(http, emulator, user("ü", top_k=5, n=None), "models", headers=headers)
        head, body = server.requests[0]
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert f"authorization: bearer {KEY}".lower().encode() in head.lower()
    for of_the_caller in (str(emulator.key).encode(), b"secret", b"api-key", b"cookie", b"api-version"):
        assert of_the_caller not in head.lower()
    assert json.loads(body) == {"model": "m", "messages": [{"role": "user", "content": "ü"}], "top_k": 5, "n": None}


@pytest.mark.parametrize(
    ("dialect", "options", "sent"),
    [
        ("models", {}, {"include_usage": True}),
        ("openai-v1", {}, None),
        ("openai-v1", {"stream_options": {"include_usage": False}}, {"include_usage": False}),
    ],
)
async def test_usage_is_asked_for_where_it_comes_unasked(
    http: aiohttp.ClientSession, dialect: str, options: dict[str, Any], sent: Any
) -> None:
    server = answering(DONE)
    async with front(server) as emulator:
        await read(http, emulator, user("hi", stream=True, **options), dialect)
        assert json.loads(server.requests[0][1]).get("stream_options") == sent


USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
ALONE = event({"choices": [], "usage": USAGE})
ONE, TWO = event(chunk("x", "stop", usage=None)), event(chunk("y", "stop", id="c2"))
BOTH = event(json.dumps(chunk("x", "stop", usage=USAGE), separators=(",", ":")).encode())


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([event(chunk("a")), ONE, ALONE, DONE], [event(chunk("a")), BOTH, DONE]),
        ([TWO, ONE, ALONE], [TWO, BOTH]),
        ([ONE, DONE], [ONE, DONE]),
        ([ONE], [ONE]),
        ([ONE, event(chunk("a")), ALONE], [ONE, event(chunk("a")), ALONE]),
        ([ONE, event(chunk("b", "stop", usage=USAGE))],) * 2,
        ([ALONE, ONE, b"data: [DONE]"], [ALONE, ONE, b"data: [DONE]"]),
        (
            [ONE, event({"choices": [], "usage": None}), event(b"x")],
            [ONE, event({"choices": [], "usage": None}), event(b"x")],
        ),
        ([event({"choices": 5}), event([1]), event({"choices": [5]})],) * 2,
    ],
    ids=["behind", "two choices", "none", "the end", "later", "in every chunk", "before", "empty", "nonsense"],
)
async def test_usage_is_put_where_models_has_it(
    http: aiohttp.ClientSession, sent: list[bytes], expected: list[bytes]
) -> None:
    async with front(answering(*sent)) as emulator:
        assert await read(http, emulator, user("hi", stream=True), "models") == b"".join(expected)
        assert await read(http, emulator, user("hi", stream=True), "openai-v1") == b"".join(sent), "as it came"


async def test_an_end_that_waits_for_usage_is_not_lost_in_a_cut(http: aiohttp.ClientSession) -> None:
    async with front(answering(ONE, end=False)) as emulator:
        url = f"{emulator.models_url}/chat/completions"
        headers = {"api-key": str(emulator.key)}
        asked = user("hi", stream=True)
        async with http.post(url, params=params_of("models"), headers=headers, json=asked) as response:
            assert await response.content.readany() == ONE
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.content.readany()


async def test_usage_is_not_asked_for_where_it_comes_unasked_behind(http: aiohttp.ClientSession) -> None:
    async with answering(DONE) as server, Emulator(upstream=f"{server.url}/models") as emulator:
        await read(http, emulator, user("hi", stream=True, stream_options={"include_usage": True}))
        head, body = server.requests[0]
    assert head.startswith(b"POST /models/chat/completions?api-version=2024-05-01-preview HTTP/1.1\r\n")
    assert b"extra-parameters: pass-through\r\n" in head
    assert json.loads(body) == user("hi", stream=True)


async def test_what_comes_in_is_checked_as_ever(http: aiohttp.ClientSession) -> None:
    server = answering(DONE)
    async with front(server) as emulator:
        assert (await ask(http, emulator, HI, headers={"api-key": "wrong"}))[0] == 401
        assert (await ask(http, emulator, user("hi", frob=1)))[0] == 400
        assert (await ask(http, emulator, user("hi", temperature=9), "openai-v1"))[0] == 400
        assert (await ask(http, emulator, None, "serverless", "info"))[1] == {
            "model_name": "demo",
            "model_type": "chat_completion",
            "model_provider_name": "emulator",
        }
        assert not server.requests


async def test_what_the_upstream_says_of_its_limits_is_passed_on(http: aiohttp.ClientSession) -> None:
    reply = json_reply({"choices": []}, headers=["x-ratelimit-remaining-tokens: 5", "x-other: 1"])
    async with front(refusing_with(reply)) as emulator:
        _, _, headers = await ask(http, emulator, HI)
    assert headers["x-ratelimit-remaining-tokens"] == "5"
    assert "x-other" not in headers
    async with front(refusing_with(reply), rate_limit=RateLimit(tokens=1000)) as emulator:
        _, _, headers = await ask(http, emulator, user("hi", max_tokens=99))
    assert headers["x-ratelimit-remaining-tokens"] == "900", "unless it has limits of its own"


async def test_embeddings(http: aiohttp.ClientSession) -> None:
    async with Emulator(pace=0, key=None) as one, Emulator(pace=0, upstream=one.generic_url) as two:
        body = {"model": "e", "input": "one text"}
        status, answer, _ = await ask(http, two, body, "openai-v1", "embeddings")
        assert (status, answer) == (200, (await ask(http, one, body, "generic", "embeddings"))[1])
        assert (two.status.tokens_in, two.status.last[0].operation) == (2, "embeddings")


async def test_events_go_back_as_they_are(http: aiohttp.ClientSession) -> None:
    sent = (
        b'data: {"x": 1.0, "y":"\xc3\xbc\xff"}\n\n',
        b"event: thought\nid: 7\ndata: a\ndata: b\n\n",
        b"data: c\n\n",
        b"data: [DONE]\n\n",
    )
    async with front(answering(*sent)) as emulator:
        assert await read(http, emulator, user("hi", stream=True)) == b"".join(sent)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"\xef\xbb\xbf: a comment\r\n\r\ndata: a\r\n\r\ndata:b\r\r", b"data: a\n\ndata: b\n\n"),
        (b"data: a\n\n", b"data: a\n\n"),
        (b"data: a\n\ndata: [DONE]", b"data: a\n\ndata: [DONE]"),
        (b"data: a\n\ndata: [DONE]\n", b"data: a\n\ndata: [DONE]"),
        (b"", b""),
    ],
    ids=["other line ends", "no end mark", "unfinished", "no blank line", "nothing"],
)
async def test_an_end_is_neither_added_nor_taken_away(
    http: aiohttp.ClientSession, sent: bytes, expected: bytes
) -> None:
    async with front(answering(*([sent] if sent else []))) as emulator:
        assert await read(http, emulator, user("hi", stream=True)) == expected
        assert emulator.status.cut == 0


async def test_each_event_goes_on_when_it_comes(http: aiohttp.ClientSession) -> None:
    more = asyncio.Event()

    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(event(b"1") + event(b"2") + b"data: 3", end=False)
        await more.wait()
        await connection.send_chunks(b"\n\n")

    async with front(RawServer(answer)) as emulator:
        url = f"{emulator.openai_url}/chat/completions"
        async with http.post(url, headers={"api-key": str(emulator.key)}, json=user("hi", stream=True)) as response:
            chunks = response.content.iter_chunks()
            got = [await anext(chunks), await anext(chunks)]
            assert b"".join(data for data, _ in got) == b"data: 1\n\ndata: 2\n\n"
            assert all(end for _, end in got), "each in an HTTP chunk of its own"
            assert emulator.status.open_streams == 1
            more.set()
            assert await response.read() == b"data: 3\n\n"


@pytest.mark.parametrize("fault", ["cut-between-events", "reset-between-events", "cut-in-event", "cut-before-end"])
async def test_what_is_cut_behind_is_cut_in_front(http: aiohttp.ClientSession, fault: str) -> None:
    told: list[str] = []
    async with front(FaultServer(fault), log=told.append) as emulator:
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError)):
            await read(http, emulator, user("hi", stream=True))
        assert emulator.status.cut == 1
        assert emulator.status.last[0].ended == "cut"
    assert told[0] == "200 POST /openai/v1/chat/completions m, streamed"
    assert told[1].startswith("cut POST /openai/v1/chat/completions m: the upstream broke off (")


async def test_a_client_sees_that_it_is_cut() -> None:
    async with (
        front(FaultServer("cut-between-events")) as emulator,
        InferenceClient(emulator.openai_url, emulator.key, model="m", retries=0) as client,
    ):
        with pytest.raises(IncompleteStreamError):
            await client.stream("hello").final()


async def test_an_event_too_large_is_a_cut(http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference_async.emulator.upstream._MAX_EVENT", 100)
    async with front(answering(event(b"1") + event(b"2" * 101))) as emulator:
        url = f"{emulator.openai_url}/chat/completions"
        async with http.post(url, headers={"api-key": str(emulator.key)}, json=user("hi", stream=True)) as response:
            assert await response.content.readany() == event(b"1"), "what came before it goes on"
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        assert emulator.status.cut == 1


async def test_who_leaves_ends_the_request_behind(http: aiohttp.ClientSession) -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(event(b"1"), end=False)
        await connection.gone.wait()

    async def silence(connection: Connection) -> None:
        await connection.gone.wait()

    for server in (RawServer(answer), RawServer(silence)):
        async with front(server) as emulator:
            url = f"{emulator.openai_url}/chat/completions"
            headers = {"api-key": str(emulator.key)}
            asking = asyncio.ensure_future(http.post(url, headers=headers, json=user("hi", stream=True)))
            await server.asked.wait()
            if server._answer is answer:
                response = await asking
                await response.content.readany()
                response.close()
            else:
                asking.cancel()
            await asyncio.wait_for(server.gone.wait(), 5)
            assert emulator.status.last[0].ended == "left"
            assert emulator.status.open_requests == 0


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_refusals_are_worded_as_the_dialect_has_them(http: aiohttp.ClientSession, dialect: str) -> None:
    told: list[str] = []
    reply = json_reply({"detail": "the model is loading"}, "503 Unavailable", ["retry-after: 7", "server: x"])
    async with front(refusing_with(reply), log=told.append) as emulator:
        status, body, headers = await ask(http, emulator, HI, dialect)
    assert told[0].endswith(": the upstream refuses"), "and not its words, which may repeat the prompt"
    error = body["error"]
    assert (status, error["message"], headers["retry-after"]) == (503, "the model is loading", "7")
    assert error["code"] == (None if dialect == "generic" else "503")
    assert headers.get("x-ms-error-code") == (None if dialect == "generic" else "503")
    assert headers["server"] != "x"


@pytest.mark.parametrize(
    ("reply", "status", "words"),
    [
        (json_reply(b"<html>busy</html>", "502 Bad Gateway"), 502, "busy"),
        (json_reply(b"", "500 Oops"), 500, "the upstream answered 500 without a reason"),
        (json_reply({"error": {"message": "no", "code": 429}}, "429 Slow"), 429, "no"),
        (json_reply({}, "401 No"), 401, "the upstream refuses the emulator's own credential"),
        (json_reply(b"[]"), 502, "no JSON object in it"),
        (json_reply(b"{"), 502, "no JSON object in it"),
        (json_reply(b"", "302 Found", ["location: http://127.0.0.1:1/"]), 502, "redirects are not followed"),
        (b"nonsense\r\n\r\n", 502, "gives no answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\ncontent-type: application/json\r\n\r\n{", 502, "broke off"),
    ],
)
async def test_what_is_no_answer(http: aiohttp.ClientSession, reply: bytes, status: int, words: str) -> None:
    async def answer(connection: Connection) -> bool:
        await connection.send(reply)
        return False

    async with front(RawServer(answer)) as emulator:
        got, body, _ = await ask(http, emulator, HI)
        assert got == status
        assert words in body["error"]["message"]


async def test_nobody_is_there(http: aiohttp.ClientSession) -> None:
    told: list[str] = []
    async with refusing() as url, Emulator(pace=0, upstream=f"{url}/v1", log=told.append) as emulator:
        status, body, _ = await ask(http, emulator, HI)
    assert told[0].startswith("502 POST /models/chat/completions m: the upstream gives no answer (ClientConnector")
    assert (status, body["error"]["code"]) == (502, "502")
    assert body["error"]["message"].startswith(f"the upstream {url}/v1 gives no answer (ClientConnector")


async def test_nobody_answers_in_time(http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(*args: object, **options: object) -> None:
        raise aiohttp.ConnectionTimeoutError

    async with Emulator(pace=0, upstream="http://127.0.0.1:9/v1") as emulator:
        assert emulator._upstream is not None
        monkeypatch.setattr(emulator._upstream._opened().connector, "connect", connect)
        status, body, _ = await ask(http, emulator, HI)
    assert (status, body["error"]["code"]) == (504, "504")


async def test_what_was_filtered_stays_known() -> None:
    async with (
        Emulator(pace=0, key=None) as one,
        Emulator(pace=0, upstream=one.openai_url) as two,
        InferenceClient(two.models_url, two.key, model="m") as client,
    ):
        with pytest.raises(ContentFilterError) as caught:
            await client.complete("[content-filter]")
    assert caught.value.content_filter["violence"].filtered


@pytest.mark.parametrize("status", ["401 Unauthorized", "500 Oops"])
async def test_its_key_is_told_to_nobody(http: aiohttp.ClientSession, status: str) -> None:
    told: list[str] = []
    reply = json_reply({"error": {"message": f"got {KEY} as the key", "param": KEY}}, status, [f"x-ratelimit-x: {KEY}"])
    async with front(refusing_with(reply), upstream_key=KEY, log=told.append) as emulator:
        _, body, headers = await ask(http, emulator, HI)
        seen = json.dumps([body, dict(headers), told]) + str(emulator.status) + repr(emulator._upstream)
    assert "[secret]" in body["error"]["message"]
    assert KEY not in seen
    assert KEY not in seen.replace("\\/", "/")
    async with front(answering(event({"error": {"message": KEY}})), upstream_key=KEY) as emulator:
        assert await read(http, emulator, user("hi", stream=True)) == event({"error": {"message": "[secret]"}})


async def test_its_key_is_not_sent_where_it_is_redirected() -> None:
    other = answering(DONE)
    async with other:
        there = json_reply(b"", "307 Elsewhere", [f"location: {other.url}/v1/chat/completions"])
        async with (
            front(refusing_with(there), upstream_key=KEY) as emulator,
            InferenceClient(emulator.openai_url, emulator.key, model="m", retries=0) as client,
        ):
            with pytest.raises(InternalServerError, match="redirects are not followed"):
                await client.complete("hi")
    assert other.connections == 0


def test_its_key_goes_nowhere_in_the_clear() -> None:
    with pytest.raises(ConfigurationError, match="would travel in the clear") as caught:
        Emulator(upstream="http://models.example/v1", upstream_key=KEY)
    assert KEY not in str(caught.value)
    Emulator(upstream="http://models.example/v1")
    Emulator(upstream="https://models.example/v1", upstream_key=KEY)


def test_an_upstream_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match="without http"):
        Emulator(upstream="localhost:8080")


async def test_a_wrong_key_is_the_emulators_fault_and_not_the_callers() -> None:
    async with (
        Emulator(pace=0) as one,
        Emulator(pace=0, upstream=one.openai_url, upstream_key="wrong-key") as two,
        InferenceClient(two.openai_url, two.key, model="m") as client,
    ):
        with pytest.raises(AuthenticationError, match="the upstream refuses the emulator's own credential"):
            await client.complete("hi")


async def test_latency_comes_on_top(http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    latency = Latency(first=2, token=1)
    async with Emulator(pace=0, key=None) as one, Emulator(upstream=one.generic_url, latency=latency) as two:
        monkeypatch.setattr("inference_async.emulator.server.asyncio.sleep", sleep)
        await ask(http, two, user("hi", stream=True))
        assert waits == [2, *[1] * (len(waits) - 1)]
        waits.clear()
        await ask(http, two, user("hi"))
        assert waits == [2]


async def test_an_upstream_that_streams_or_not_as_it_likes(http: aiohttp.ClientSession) -> None:
    async with front(refusing_with(json_reply({"choices": [{"message": {"content": "x"}}]}))) as emulator:
        assert (await choice_of(http, emulator, user("hi", stream=True)))["message"]["content"] == "x"


async def test_a_script_still_says_what_models_cannot_do(http: aiohttp.ClientSession) -> None:
    server = answering(event(chunk("x", "stop")), DONE)
    script = Script.from_json(b'{"models": {"m": {"unsupported": ["seed"]}}}')
    async with front(server, script=script) as emulator:
        assert (await ask(http, emulator, user("hi", seed=1)))[0] == 422
        assert not server.requests
