"""`InferenceClient`: what it takes, where it goes, when it refuses."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

import aiohttp
import pytest

from inference_async import (
    UNSET,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    ClientClosedError,
    ConfigurationError,
    Endpoint,
    InferenceClient,
    InferenceError,
    InvalidResponseError,
    Limits,
    SystemMessage,
    Timeouts,
    UnknownOptionError,
    UserMessage,
    WrongEventLoopError,
)
from tests.support import Connection, RawServer, ScriptedReply, ScriptedTransport, json_reply, scripted

HELLO = {"id": "c", "model": "m", "choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]}
KEY = "key-0123456789-secret"


def reply(obj: Any = HELLO, status: int = 200) -> ScriptedReply:
    body = obj if isinstance(obj, bytes) else json.dumps(obj).encode()
    return ScriptedReply([body], status, {"content-type": "application/json", "x-request-id": "request-1"})


async def once(body: bytes | None = None) -> tuple[InferenceClient, RawServer]:
    async def answer(connection: Connection) -> None:
        await connection.send(body or json_reply(HELLO))

    server = RawServer(answer)
    await server.__aenter__()
    return InferenceClient(f"{server.url}/v1", KEY, model="m"), server


# What it sends


async def test_what_goes_over_the_wire() -> None:
    client, server = await once()
    async with server, client:
        await client.complete(
            [SystemMessage("Be brief."), {"role": "user", "content": "hi"}], temperature=0, seed=UNSET
        )
    head, body = server.requests[0]
    assert json.loads(body) == {
        "model": "m",
        "temperature": 0,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
    }
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /v1/chat/completions http/1.1"
    assert f"authorization: bearer {KEY}" in lines
    assert "content-type: application/json" in lines
    assert any(line.startswith("x-ms-client-request-id: ") for line in lines)
    assert any(line.startswith("user-agent: inference-async/") for line in lines)
    assert not any(line.startswith("cookie") for line in lines)


async def test_headers_of_client_and_call() -> None:
    transport = ScriptedTransport(reply())
    async with InferenceClient(
        "http://localhost/models", KEY, headers={"X-One": "1", "X-Two": "1"}, transport=transport
    ) as client:
        await client.complete("hi", headers={"x-two": "2"}, extra={"n": 2})
    sent = transport.calls[0].headers
    assert (sent["x-one"], sent["x-two"], sent["api-key"], sent["extra-parameters"]) == ("1", "2", KEY, "pass-through")
    assert transport.calls[0].url == "http://localhost/models/chat/completions?api-version=2024-05-01-preview"


async def test_one_request_id_per_call_unless_the_caller_has_one() -> None:
    transport = ScriptedTransport(reply(), reply(), reply())
    async with InferenceClient("http://localhost/v1", transport=transport) as client:
        for headers in (None, None, {"x-ms-client-request-id": "mine"}):
            await client.complete("hi", headers=headers)
    ids = [call.headers["x-ms-client-request-id"] for call in transport.calls]
    assert len(set(ids)) == 3
    assert ids[2] == "mine"


async def test_meta_says_what_the_head_said() -> None:
    async with scripted(reply()) as client:
        meta = (await client.complete("hi")).meta
    assert (meta.status, meta.request_id, meta.headers["content-type"]) == (200, "request-1", "application/json")
    assert meta.client_request_id
    assert meta.elapsed >= 0


# What it refuses before it sends


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temprature": 1}, "unknown option 'temprature': did you mean 'temperature'?.*extra="),
        ({"frobnicate": 1}, "unknown option 'frobnicate'.*extra="),
    ],
)
async def test_unknown_option(options: dict[str, Any], words: str) -> None:
    client = scripted()
    with pytest.raises(UnknownOptionError, match=words):
        await client.complete("hi", **options)
    with pytest.raises(TypeError, match=words):
        client.stream("hi", **options)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "empty list of messages"),
        ([{"role": "sytem", "content": "x"}], "role 'sytem' in messages.0.*did you mean 'system'"),
        ([{"content": "x"}], "no role in messages.0."),
        ([UserMessage("a"), 7], "messages.1. of type int"),
        (None, "messages of type NoneType"),
        (b"hi", "messages of type bytes"),
        ([{"role": "user", "content": {1j}}], "JSON cannot say"),
    ],
)
async def test_bad_messages(messages: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        await scripted().complete(messages)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("q7x9\nq7x9", "line break"),
        ("q7x9\r", "line break"),
        (" q7x9", "white space"),
        ("", "empty key"),
        ("q7x9ü", "non-Latin"),
        ("q7x9\0", "control character"),
        ("q7x9ключ", "non-Latin"),
    ],
)
def test_bad_key_is_refused_and_not_quoted(key: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        InferenceClient("https://x.services.ai.azure.com/models", key)
    assert "q7x9" not in str(caught.value)


def test_no_endpoint() -> None:
    with pytest.raises(ConfigurationError, match=r"no endpoint.*AZURE_INFERENCE_ENDPOINT.*OPENAI_BASE_URL"):
        InferenceClient()


def test_no_credential_for_azure() -> None:
    with pytest.raises(ConfigurationError, match=r"no credential for x\.services\.ai\.azure\.com"):
        InferenceClient("https://x.services.ai.azure.com/models")


def test_credential_over_plain_http() -> None:
    with pytest.raises(ConfigurationError, match="plain http"):
        InferenceClient("http://example.test/v1", KEY)
    InferenceClient("http://example.test/v1", KEY, allow_insecure=True)
    InferenceClient("http://127.0.0.1:1/v1", KEY)
    InferenceClient("http://[::1]:1/v1", KEY)
    InferenceClient("http://localhost:1/v1", KEY)


def test_credential_of_another_kind() -> None:
    bad: Any = 42
    with pytest.raises(ConfigurationError, match="credential of type int"):
        InferenceClient("https://example.test/v1", bad)


def test_repr_has_no_secret() -> None:
    client = InferenceClient("https://example.test/v1", KEY, model="m")
    assert repr(client) == "<InferenceClient generic https://example.test/v1 model='m'>"
    assert KEY not in repr(vars(client))


# The environment


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", "https://x.services.ai.azure.com/models")
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", KEY)
    monkeypatch.setenv("AZURE_INFERENCE_MODEL", "from-env")
    client = InferenceClient()
    assert client.endpoint == Endpoint.parse("https://x.services.ai.azure.com/models")
    assert client.model == "from-env"
    assert InferenceClient(model="mine").model == "mine"


async def test_a_key_of_the_environment_goes_to_no_other_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", "https://x.services.ai.azure.com/models")
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", KEY)
    monkeypatch.setenv("AZURE_INFERENCE_MODEL", "from-env")
    transport = ScriptedTransport(reply(), reply())
    other = InferenceClient("https://example.test/v1", transport=transport)
    await other.complete("hi")
    assert "authorization" not in transport.calls[0].headers
    assert b"from-env" not in transport.calls[0].body
    same = InferenceClient("https://x.services.ai.azure.com/openai/v1", transport=transport)
    await same.complete("hi")
    assert transport.calls[1].headers["api-key"] == KEY


# Answers


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html><h1>Sign in</h1></html>", "not JSON.*Sign in"),
        (b"", "not JSON.*empty"),
        (b"{", "not JSON"),
        (b"[]", "no chat completion"),
        (b"{}", "no chat completion"),
        (b'{"choices": [{"message": 7}]}', "another shape"),
        (b"[" * 100_000, "not JSON"),
    ],
)
async def test_a_200_that_is_no_answer(body: bytes, words: str) -> None:
    async with scripted(reply(body)) as client:
        with pytest.raises(InvalidResponseError, match=words) as caught:
            await client.complete("hi")
    assert caught.value.request_id == "request-1"
    assert len(str(caught.value)) < 600


async def test_an_answer_over_the_bound() -> None:
    async with scripted(reply(b"x" * 2000), limits=Limits(max_body_bytes=1000)) as client:
        with pytest.raises(InvalidResponseError, match="over 1,000 bytes"):
            await client.complete("hi")


async def test_an_error_body_over_the_bound_is_cut() -> None:
    async with scripted(reply(b"x" * 5000, status=500), limits=Limits(max_error_body_bytes=1000)) as client:
        with pytest.raises(APIStatusError) as caught:
            await client.complete("hi")
    assert len(caught.value.body) == 1000


async def test_a_key_the_server_repeats_is_masked() -> None:
    answer = reply({"error": {"message": f"bad key {KEY}"}}, status=401)
    transport = ScriptedTransport(answer)
    async with InferenceClient("http://localhost/v1", KEY, transport=transport) as client:
        with pytest.raises(APIStatusError) as caught:
            await client.complete("hi")
    assert "bad key [secret]" in caught.value.detail
    assert KEY not in repr(caught.value) + str(caught.value) + caught.value.body
    assert KEY.encode() not in pickle.dumps(caught.value)


async def test_a_redirect_is_an_error_and_takes_nothing_along() -> None:
    async with RawServer(lambda connection: connection.send(json_reply(HELLO))) as other:
        location = f"location: {other.url}/v1/chat/completions"
        client, server = await once(json_reply({}, "307 Temporary Redirect", [location]))
        async with server, client:
            with pytest.raises(APIStatusError, match=f"redirects are not followed.*{other.url[7:]}") as caught:
                await client.complete("hi")
        assert caught.value.status == 307
        assert other.requests == []


async def test_a_server_that_closes_early() -> None:
    async def answer(connection: Connection) -> bool:
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
        return False

    async with RawServer(answer) as server, InferenceClient(f"{server.url}/v1") as client:
        with pytest.raises(APIConnectionError, match="cut") as caught:
            await client.complete("hi")
        assert caught.value.request_id


async def test_a_server_that_closes_at_once() -> None:
    async def answer(connection: Connection) -> bool:
        return False

    async with RawServer(answer) as server, InferenceClient(f"{server.url}/v1") as client:
        with pytest.raises(APIConnectionError, match=r"no answer from 127\.0\.0\.1"):
            await client.complete("hi")


async def test_nobody_listens() -> None:
    async with InferenceClient("http://127.0.0.1:9/v1") as client:
        with pytest.raises(APIConnectionError, match=r"no connection to 127\.0\.0\.1:9") as caught:
            await client.complete("hi")
    assert not isinstance(caught.value, APITimeoutError)


async def test_total_timeout() -> None:
    async def answer(connection: Connection) -> None:
        await connection.gone.wait()

    timeouts = Timeouts(total=0.05)
    async with RawServer(answer) as server, InferenceClient(f"{server.url}/v1", timeouts=timeouts) as client:
        with pytest.raises(APITimeoutError, match=r"within 0\.05 s") as caught:
            await client.complete("hi")
        assert caught.value.phase == "total"
        assert isinstance(caught.value, TimeoutError)
        await asyncio.wait_for(server.gone.wait(), 5)


async def test_cancelling_cuts_the_connection() -> None:
    async def answer(connection: Connection) -> None:
        await connection.gone.wait()

    async with RawServer(answer) as server, InferenceClient(f"{server.url}/v1") as client:
        task = asyncio.create_task(client.complete("hi"))
        await asyncio.wait_for(server.asked.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.gone.wait(), 5)


# Its life


async def test_calls_share_one_connection() -> None:
    client, server = await once()
    async with server, client:
        for _ in range(5):
            await client.complete("hi")
        assert server.connections == 1


async def test_copies_share_the_pool_and_have_options_of_their_own() -> None:
    client, server = await once()
    async with server, client:
        await client.complete("hi")
        async with client.with_options(model="other", headers={"x-copy": "1"}) as copy:
            assert (await copy.complete("hi")).text == "Hello"
        assert (await client.complete("hi")).text == "Hello", "closing a copy closes nothing"
        assert server.connections == 1
    assert [json.loads(body)["model"] for _, body in server.requests] == ["m", "other", "m"]
    assert [b"x-copy" in head for head, _ in server.requests] == [False, True, False]
    with pytest.raises(ClientClosedError):
        await copy.complete("hi")


async def test_with_options_keeps_what_is_not_named() -> None:
    client = scripted(timeouts=Timeouts(total=5))
    copy = client.with_options(model=None, extra_mode="drop", limits=Limits(max_body_bytes=9)).with_options()
    assert copy.model is None
    assert client.model == "m"
    assert copy.endpoint is client.endpoint


@pytest.mark.parametrize("name", ["aclose", "close"])
async def test_a_closed_client_says_so(name: str) -> None:
    client, server = await once()
    async with server:
        await client.complete("hi")
        await getattr(client, name)()
        await getattr(client, name)()
        with pytest.raises(ClientClosedError, match="client is closed"):
            await client.complete("hi")
        with pytest.raises(ClientClosedError):
            await client.stream("hi").final()


async def test_a_callers_session_is_used_and_not_closed() -> None:
    client, server = await once()
    async with server, aiohttp.ClientSession(headers={"x-mine": "1"}, raise_for_status=True) as session:
        async with InferenceClient(f"{server.url}/v1", session=session) as client:
            await client.complete("hi")
        assert not session.closed
    assert b"x-mine: 1" in server.requests[0][0]


async def test_a_callers_session_that_is_closed() -> None:
    session = aiohttp.ClientSession()
    await session.close()
    with pytest.raises(ClientClosedError, match="session that was given"):
        await InferenceClient("http://localhost/v1", session=session).complete("hi")


def test_another_event_loop() -> None:
    client = scripted(reply(), reply())

    async def call() -> None:
        await client.complete("hi")

    asyncio.run(call())
    with pytest.raises(WrongEventLoopError, match="one client per loop"):
        asyncio.run(call())
    with pytest.raises(WrongEventLoopError):
        asyncio.run(client.aclose())


def test_trio() -> None:
    import trio

    client = scripted()

    async def complete() -> None:
        await client.complete("hi")

    async def stream() -> None:
        async for _ in client.stream("hi"):
            pass

    for main in (complete, stream):
        with pytest.raises(WrongEventLoopError, match="not on trio"):
            trio.run(main)


async def test_an_error_before_any_answer_carries_the_id_the_client_sent() -> None:
    client = scripted(APIConnectionError("no"))
    with pytest.raises(InferenceError) as caught:
        await client.complete("hi")
    assert caught.value.request_id


@pytest.mark.parametrize("way", ["complete", "stream"])
async def test_closing_the_client_ends_calls_whose_head_is_awaited(way: str) -> None:
    async def answer(connection: Connection) -> None:
        await connection.gone.wait()

    async with RawServer(answer) as server:
        client = InferenceClient(f"{server.url}/v1")
        asked = client.complete("hi") if way == "complete" else client.stream("hi").final()
        task = asyncio.create_task(asked)
        await asyncio.wait_for(server.asked.wait(), 5)
        await client.aclose()
        with pytest.raises(ClientClosedError, match="while this call was under way"):
            await asyncio.wait_for(task, 5)
        await asyncio.wait_for(server.gone.wait(), 5)


async def test_closing_the_client_ends_calls_that_wait_for_a_token() -> None:
    asked = asyncio.Event()

    async def token() -> str:
        asked.set()
        await asyncio.sleep(0.05)
        return "some-token"

    client = InferenceClient("http://localhost/v1", token, transport=(transport := ScriptedTransport()))
    task = asyncio.create_task(client.complete("hi"))
    await asked.wait()
    await client.aclose()
    with pytest.raises(ClientClosedError):
        await asyncio.wait_for(task, 5)
    assert transport.calls == [], "nothing is sent by a client that is closed"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stream": True}, "'stream': to stream, call client.stream"),
        ({"timeout": 3}, "'timeout': limits on time go in timeouts=Timeouts"),
        ({"model_extras": {}}, "'model_extras': fields outside the specification go in extra="),
        ({"extras": {}}, "did you mean 'extra'"),
        ({"header": {}}, "did you mean 'headers'"),
    ],
)
async def test_keywords_of_other_clients(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UnknownOptionError, match=words):
        await scripted().complete("hi", **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"api_key": "k"}, "'api_key' for the client: a key goes in credential="),
        ({"timeout": 3}, "limits on time go in timeouts="),
        ({"temperature": 0}, "options of a request go in complete"),
    ],
)
def test_keywords_of_other_constructors(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UnknownOptionError, match=words):
        InferenceClient("http://localhost/v1", **options)
    with pytest.raises(UnknownOptionError):
        scripted().with_options(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeouts": 5}, r"timeouts= of type int, expected Timeouts, such as Timeouts\(total=30\)"),
        ({"limits": 5}, "limits= of type int, expected Limits"),
        ({"headers": ["x"]}, "headers of type list, expected a mapping"),
        ({"model": 5}, "model= of type int, expected str"),
        ({"extra_mode": "bogus"}, "extra_mode='bogus'"),
    ],
)
def test_arguments_of_another_type(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        InferenceClient("http://localhost/v1", **options)


async def test_timeouts_of_another_type_for_a_call() -> None:
    wrong: Any = 5
    with pytest.raises(ConfigurationError, match="timeouts= of type int"):
        await scripted().complete("hi", timeouts=wrong)


async def test_the_headers_of_a_call_win_however_they_are_written() -> None:
    transport = ScriptedTransport(reply())
    client = InferenceClient("http://localhost/v1", headers={"X-Two": "client"}, transport=transport)
    await client.with_options(headers={"x-two": "copy"}).complete("hi", headers={"X-TWO": "call"})
    assert transport.calls[0].headers["x-two"] == "call"


async def test_a_credential_in_a_header_is_a_credential() -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    with pytest.raises(ConfigurationError, match="plain http"):
        await InferenceClient("http://example.test/v1", headers=headers, transport=ScriptedTransport()).complete("hi")
    answer = reply({"error": {"message": f"bad key {KEY}"}}, status=401)
    client = InferenceClient("http://localhost/v1", headers=headers, transport=ScriptedTransport(answer))
    assert KEY not in repr(vars(client))
    with pytest.raises(APIStatusError) as caught:
        await client.complete("hi")
    assert KEY not in str(caught.value) + caught.value.body


def test_swapped_arguments_and_a_key_as_the_endpoint() -> None:
    with pytest.raises(ConfigurationError, match="in each other's place"):
        InferenceClient(KEY, "https://x.services.ai.azure.com/models")
    with pytest.raises(ConfigurationError) as caught:
        InferenceClient(KEY)
    assert KEY not in str(caught.value)


def test_a_key_without_an_endpoint_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was set for no host in particular: it serves Azure's hosts and this machine, and nobody else."""
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", KEY)
    InferenceClient("https://x.services.ai.azure.com/models")
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", "https://y.services.ai.azure.com/models")
    with pytest.raises(ConfigurationError, match="a key that is set beside another host's endpoint"):
        InferenceClient("https://x.services.ai.azure.com/models")


async def test_an_answer_that_is_not_http() -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(b"garbage\r\n\r\n")

    async with RawServer(answer) as server, InferenceClient(f"{server.url}/v1") as client:
        with pytest.raises(APIConnectionError, match="that is not HTTP") as caught:
            await client.complete("hi")
    assert "that is not HTTP: 400" not in str(caught.value), "a status that nobody sent"
    assert "garbage" in str(caught.value)


async def test_tls_to_a_server_that_speaks_none() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server, InferenceClient(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1") as client:
        with pytest.raises(APIConnectionError, match="is it http:// rather than https://"):
            await client.complete("hi")


async def test_an_answer_as_plain_data() -> None:
    async with scripted(reply({**HELLO, "vendor": {"a": 1}})) as client:
        completion = await client.complete("hi")
    assert json.loads(json.dumps(completion.to_dict())) == {
        "id": "c",
        "model": "m",
        "created": 0,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"},
        ],
        "vendor": {"a": 1},
    }


async def test_a_credential_in_a_header_serves_in_place_of_one() -> None:
    url = "https://x.openai.azure.com/openai/v1"
    transport = ScriptedTransport(reply(), reply())
    await InferenceClient(url, headers={"api-key": KEY}, transport=transport).complete("hi")
    await InferenceClient(url, "other-key", transport=transport).complete("hi", headers={"Authorization": "Bearer t"})
    assert transport.calls[0].headers["api-key"] == KEY
    assert "api-key" not in transport.calls[1].headers


async def test_a_key_header_of_ones_own_is_a_credential_too() -> None:
    client = InferenceClient(
        "http://example.test/models", key_header="x-my-key", headers={"x-my-key": KEY}, transport=ScriptedTransport()
    )
    with pytest.raises(ConfigurationError, match="plain http"):
        await client.complete("hi")
    assert KEY not in repr(vars(client))
