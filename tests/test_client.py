"""`InferenceClient`: what it takes, where it goes, when it refuses."""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
import struct
from array import array
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypedDict

import aiohttp
import anyio
import anyio.to_thread
import msgspec
import pytest

from inference_async import (
    UNSET,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    ContentFilterError,
    CredentialError,
    Endpoint,
    ImageEmbeddingInput,
    InferenceClient,
    InferenceError,
    InvalidResponseError,
    Limits,
    NotFoundError,
    ParsedCompletion,
    RateLimitError,
    ResponseTypeError,
    SystemMessage,
    Timeouts,
    TotalTimeoutError,
    UnknownOptionError,
    UserMessage,
    WrongEventLoopError,
    tool,
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
    assert meta.elapsed > 0


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


def test_a_dated_version_of_v1_is_dropped_with_one_warning() -> None:
    with pytest.warns(UserWarning, match="api-version=2024-10-21") as caught:
        client = InferenceClient("https://x.services.ai.azure.com/openai/v1?api-version=2024-10-21", KEY)
    assert (len(caught), client.endpoint.dropped_api_version) == (1, "2024-10-21")


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
        (b"[" * 100_000, "nested over 64 levels"),
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


async def test_a_redirect_takes_no_token_along() -> None:
    class Entra:
        async def get_token(self, *scopes: str) -> Any:
            return SimpleNamespace(token="secret-token", expires_on=2**33)

    async with RawServer(lambda connection: connection.send(json_reply(HELLO))) as other:
        location = f"location: {other.url}/v1/chat/completions"

        async def answer(connection: Connection) -> None:
            await connection.send(json_reply({}, "308 Permanent Redirect", [location]))

        async with RawServer(answer) as server, InferenceClient(f"{server.url}/models", Entra(), model="m") as client:
            with pytest.raises(APIStatusError, match="redirects are not followed"):
                await client.complete("hi")
        assert other.requests == []


async def test_a_redirect_is_an_error_and_takes_nothing_along() -> None:
    async with RawServer(lambda connection: connection.send(json_reply(HELLO))) as other:
        location = f"location: {other.url}/v1/chat/completions"
        client, server = await once(json_reply({}, "307 Temporary Redirect", [location]))
        async with server, client:
            with pytest.raises(APIStatusError, match=f"a redirect to {other.url[7:]}; redirects are not") as caught:
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


async def test_a_closed_client_is_not_entered() -> None:
    client, _ = with_transport()
    await client.aclose()
    with pytest.raises(ClientClosedError, match="the client is closed"):
        async with client:
            pass


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
    client = scripted(reply(), reply(), reply(), max_connections=1)

    async def call() -> None:
        await client.complete("hi")

    async def call_here_and_there() -> None:
        await client.complete("hi")
        with pytest.raises(WrongEventLoopError, match="one client per loop"):
            await asyncio.to_thread(asyncio.run, call())
        with pytest.raises(WrongEventLoopError):
            await asyncio.to_thread(asyncio.run, client.aclose())

    asyncio.run(call_here_and_there())
    asyncio.run(call())  # the first loop is closed: the client goes on in the next one
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


# ---------------------------------------------------------------------------------------------------------------------
# Defaults, extra, and what a call makes of them


def asked(transport: ScriptedTransport, at: int = 0) -> dict[str, Any]:
    body = json.loads(transport.calls[at].body)
    assert isinstance(body, dict)
    return {name: value for name, value in body.items() if name not in ("messages", "stream", "stream_options")}


def with_transport(
    *replies: ScriptedReply, url: str = "http://localhost/v1", **options: Any
) -> tuple[InferenceClient, ScriptedTransport]:
    transport = ScriptedTransport(*(replies or (reply(),)))
    options = {"retries": 0} | options
    return InferenceClient(url, model="m", transport=transport, **options), transport


DEFAULTS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # what the client has, what the copy adds, what the call says: what is sent
    "none": ({}, {}, {}, {"model": "m"}),
    "of the client": ({"defaults": {"temperature": 0, "seed": 1}}, {}, {}, {"model": "m", "temperature": 0, "seed": 1}),
    "the call is stronger": ({"defaults": {"seed": 1}}, {}, {"seed": 2}, {"model": "m", "seed": 2}),
    "UNSET drops one for the call": (
        {"defaults": {"seed": 1, "top_p": 1}},
        {},
        {"seed": UNSET},
        {"model": "m", "top_p": 1},
    ),
    "None sends null": ({"defaults": {"max_tokens": 5}}, {}, {"max_tokens": None}, {"model": "m", "max_tokens": None}),
    "a default that is null": ({"defaults": {"max_tokens": None}}, {}, {}, {"model": "m", "max_tokens": None}),
    "the copy adds": ({"defaults": {"seed": 1}}, {"defaults": {"top_p": 1}}, {}, {"model": "m", "seed": 1, "top_p": 1}),
    "the copy is stronger": ({"defaults": {"seed": 1}}, {"defaults": {"seed": 2}}, {}, {"model": "m", "seed": 2}),
    "the copy drops one": ({"defaults": {"seed": 1}}, {"defaults": {"seed": UNSET}}, {}, {"model": "m"}),
    "the call brings back what the copy dropped": (
        {"defaults": {"seed": 1}},
        {"defaults": {"seed": UNSET}},
        {"seed": 3},
        {"model": "m", "seed": 3},
    ),
    "a model for the call": ({}, {}, {"model": "x"}, {"model": "x"}),
    "no model for the call": ({}, {}, {"model": UNSET}, {}),
    "a model of the copy": ({}, {"model": "x"}, {}, {"model": "x"}),
    "no model of the copy": ({}, {"model": None}, {}, {}),
    "extra of the client": ({"extra": {"a": 1}}, {}, {}, {"model": "m", "a": 1}),
    "extra is overruled one by one": (
        {"extra": {"a": 1, "b": 2}},
        {},
        {"extra": {"b": 3, "c": 4}},
        {"model": "m", "a": 1, "b": 3, "c": 4},
    ),
    "extra dropped for the call": ({"extra": {"a": 1, "b": 2}}, {}, {"extra": {"a": UNSET}}, {"model": "m", "b": 2}),
    "extra that is null": ({"extra": {"a": 1}}, {}, {"extra": {"a": None}}, {"model": "m", "a": None}),
    "no extra for the call keeps the client's": ({"extra": {"a": 1}}, {}, {"extra": {}}, {"model": "m", "a": 1}),
    "extra of the copy": ({"extra": {"a": 1}}, {"extra": {"a": UNSET, "b": 2}}, {}, {"model": "m", "b": 2}),
    "extra beats a default of its name": (
        {"defaults": {"seed": 1}},
        {},
        {"extra": {"seed": 2}},
        {"model": "m", "seed": 2},
    ),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["complete", "stream"])
@pytest.mark.parametrize(("own", "of_copy", "of_call", "expected"), DEFAULTS.values(), ids=DEFAULTS)
async def test_defaults(own: Any, of_copy: Any, of_call: Any, expected: dict[str, Any], *, streamed: bool) -> None:
    client, transport = with_transport(**own)
    client = client.with_options(**of_copy)
    if streamed:
        await client.stream("hi", **of_call).final()
    else:
        await client.complete("hi", **of_call)
    assert asked(transport) == expected


async def test_a_call_and_a_copy_leave_the_client_as_it_is() -> None:
    defaults: Any = {"seed": 1}
    extra = {"a": 1}
    client, transport = with_transport(reply(), reply(), defaults=defaults, extra=extra)
    client.with_options(defaults={"seed": 2, "top_p": 1}, extra={"a": 2, "b": 2})
    await client.complete("hi", seed=3, extra={"a": 3})
    defaults["seed"] = 4
    extra["a"] = 4
    await client.complete("hi")
    assert asked(transport, 1) == {"model": "m", "seed": 1, "a": 1}


@pytest.mark.parametrize(
    ("own", "of_call", "expected"),
    [
        ({}, {}, None),
        ({"extra": {"a": 1}}, {}, "pass-through"),
        ({"extra": {"a": 1}}, {"extra": {"a": UNSET}}, None),
        ({"defaults": {"n": 2}}, {}, "pass-through"),
        ({"defaults": {"n": 2}}, {"n": UNSET}, None),
        ({"extra_mode": "drop"}, {"extra": {"a": 1}}, "drop"),
        ({"extra_mode": "drop"}, {"extra_mode": "error"}, "error"),
    ],
)
async def test_the_header_for_extra_goes_by_what_is_sent(own: Any, of_call: Any, expected: str | None) -> None:
    client, transport = with_transport(url="http://localhost/models", **own)
    await client.complete("hi", **of_call)
    assert transport.calls[0].headers.get("extra-parameters") == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"defaults": {"temprature": 0}}, "did you mean 'temperature'"),
        ({"defaults": {"model": "m"}}, "takes as model="),
        ({"defaults": [("seed", 1)]}, "defaults of type list"),
        ({"defaults": {"temperature": float("nan")}}, "got nan in temperature"),
        ({"extra": [("seed", 1)]}, "extra= of type list"),
        ({"extra": {"a": float("inf")}}, "got inf in extra.a"),
        ({"raise_on_filter": 1}, "raise_on_filter= of type int"),
    ],
)
def test_bad_defaults_are_refused_at_once(options: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        InferenceClient("http://localhost/v1", **options)
    with pytest.raises(ConfigurationError, match=words):
        InferenceClient("http://localhost/v1").with_options(**options)


# ---------------------------------------------------------------------------------------------------------------------
# raise_on_filter


def answer(content: str | list[Any] | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "message": {"content": content, **message}, "finish_reason": finish}]}


CUT = answer("He", "content_filter")
CUT["choices"][0]["content_filter_results"] = {"hate": {"filtered": True, "severity": "high"}}


@pytest.mark.parametrize(
    ("of_client", "of_copy", "of_call", "raises"),
    [
        (False, UNSET, None, False),
        (False, UNSET, True, True),
        (True, UNSET, None, True),
        (True, UNSET, False, False),
        (True, False, None, False),
        (False, True, None, True),
        (True, False, True, True),
    ],
)
async def test_raise_on_filter(*, of_client: bool, of_copy: Any, of_call: bool | None, raises: bool) -> None:
    client, _ = with_transport(reply(CUT), raise_on_filter=of_client)
    client = client.with_options(raise_on_filter=of_copy)
    if not raises:
        completion = await client.complete("hi", raise_on_filter=of_call)
        assert (completion.text, completion.finish_reason) == ("He", "content_filter")
        assert completion.content_filter.filtered == ("hate",)
        return
    with pytest.raises(
        ContentFilterError, match="cut the answer of http://localhost/v1/chat/completions for hate"
    ) as caught:
        await client.complete("hi", raise_on_filter=of_call)
    error = caught.value
    assert error.completion is not None
    assert (error.completion.text, error.status, error.request_id) == ("He", 200, "request-1")
    assert error.content_filter.filtered == ("hate",)
    assert error.completion.meta.request_id == "request-1"


async def test_an_answer_that_was_not_cut_is_returned() -> None:
    client, _ = with_transport(raise_on_filter=True)
    assert (await client.complete("hi")).text == "Hello"


# ---------------------------------------------------------------------------------------------------------------------
# Embeddings


def vectors(*numbers: float, tokens: int = 1, first: int = 0) -> dict[str, Any]:
    data = [{"object": "embedding", "index": first + at, "embedding": [number]} for at, number in enumerate(numbers)]
    return {"object": "list", "model": "e", "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


async def test_embed() -> None:
    answered = vectors(1, 2, tokens=7)
    answered["data"].reverse()
    client, transport = with_transport(reply(answered))
    result = await client.embed(["a", "b"], dimensions=1)
    assert result.vectors == [[1], [2]]
    assert [item.index for item in result.data] == [0, 1]
    assert result.usage is not None
    assert (result.usage.prompt_tokens, result.requests, result.meta.request_id) == (7, 1, "request-1")
    assert asked(transport) == {"model": "m", "input": ["a", "b"], "dimensions": 1}
    assert transport.calls[0].url == "http://localhost/v1/embeddings"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({}, {"model": "m"}),
        ({"model": "e"}, {"model": "e"}),
        ({"model": UNSET}, {}),
        ({"model": None}, {"model": None}),
    ],
)
async def test_the_model_of_embeddings(model: Any, expected: dict[str, Any]) -> None:
    client, transport = with_transport(reply(vectors(1)))
    await client.embed("a", **model)
    assert asked(transport) == {"input": ["a"], **expected}


async def test_defaults_and_extra_of_chats_do_not_go_out_with_embeddings() -> None:
    client, transport = with_transport(reply(vectors(1)), defaults={"seed": 1}, extra={"a": 1}, headers={"x-a": "1"})
    await client.embed("a", extra={"truncate": "END"})
    assert asked(transport) == {"model": "m", "input": ["a"], "truncate": "END"}
    assert transport.calls[0].headers["x-a"] == "1"


@pytest.mark.parametrize("typed", [{"encoding_format": "base64"}, {}])
async def test_embed_base64(typed: Any) -> None:
    data = base64.b64encode(struct.pack("<2f", 0.5, -1)).decode()
    client, _ = with_transport(reply({"data": [{"index": 0, "embedding": data}]}))
    assert (await client.embed("a", **typed)).vectors == [array("f", [0.5, -1])]


async def test_embed_over_several_requests_at_once_in_order() -> None:
    waiting: list[asyncio.Event] = []
    all_came = asyncio.Event()

    async def slow(connection: Connection) -> None:
        texts = json.loads(connection.body)["input"]
        mine = asyncio.Event()
        waiting.append(mine)
        if len(waiting) == 3:
            all_came.set()
        await mine.wait()
        await connection.send(json_reply(vectors(*(float(text) for text in texts), tokens=len(texts))))

    async with RawServer(slow) as server, InferenceClient(f"{server.url}/v1", KEY, model="m") as client:
        asking = asyncio.ensure_future(client.embed([str(number) for number in range(5)], batch_size=2))
        await all_came.wait()  # all three are under way at once
        for mine in reversed(waiting):
            mine.set()
            await asyncio.sleep(0)
        result = await asking
    assert result.vectors == [[0], [1], [2], [3], [4]]
    assert [item.index for item in result.data] == [0, 1, 2, 3, 4]
    assert result.usage is not None
    assert (result.usage.prompt_tokens, result.requests) == (5, 3)


async def test_embed_keeps_to_max_concurrency() -> None:
    running = most = 0

    async def counted(connection: Connection) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)  # so that requests would meet, were they let
        running -= 1
        await connection.send(json_reply(vectors(1)))

    async with RawServer(counted) as server, InferenceClient(f"{server.url}/v1", KEY) as client:
        assert len((await client.embed(["a"] * 6, batch_size=1, max_concurrency=2)).vectors) == 6
    assert most == 2
    assert server.connections == 2


async def test_the_first_request_that_fails_ends_the_others() -> None:
    others: list[Connection] = []
    two_wait = asyncio.Event()

    async def failing(connection: Connection) -> None:
        if json.loads(connection.body)["input"] != ["bad"]:
            others.append(connection)
            if len(others) == 2:
                two_wait.set()
            await asyncio.Event().wait()
        await two_wait.wait()
        await connection.send(json_reply({"error": {"message": "too fast"}}, "429 Too Many Requests"))

    async with RawServer(failing) as server, InferenceClient(f"{server.url}/v1", KEY, retries=0) as client:
        with pytest.raises(RateLimitError, match="too fast"):
            await client.embed(["a", "bad", "b"], batch_size=1)
        for connection in others:
            await asyncio.wait_for(connection.gone.wait(), 5)
        await asyncio.sleep(0)
        assert not [task for task in asyncio.all_tasks() if "in_order" in repr(task)]


async def test_the_error_of_one_request_of_many_keeps_its_cause() -> None:
    cause = RuntimeError("the vault is locked")

    async def token() -> str:
        raise cause

    client = InferenceClient("http://localhost/v1", token, transport=ScriptedTransport())
    with pytest.raises(CredentialError) as one:
        await client.embed(["a"])
    with pytest.raises(CredentialError) as many:
        await client.embed(["a", "b"], batch_size=1)
    assert one.value.__cause__ is cause
    assert many.value.__cause__ is cause


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (vectors(1), "1 vectors for 2 inputs"),
        (vectors(1, 2, first=1), "indices that are not those of 2 inputs"),
        ({"data": [{"index": 0, "embedding": "!"}, {"index": 1, "embedding": [1]}]}, "neither numbers nor base64"),
        ({"choices": []}, "no list of embeddings"),
        (b"<html>", "not JSON"),
    ],
)
async def test_embeddings_that_are_none(body: Any, words: str) -> None:
    client, _ = with_transport(reply(body))
    with pytest.raises(InvalidResponseError, match=words) as caught:
        await client.embed(["a", "b"])
    assert caught.value.request_id == "request-1"


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        ([], {}, "empty list of inputs"),
        (["a"], {"batch_size": 0}, "batch_size=0"),
        (["a", "b"], {"batch_size": 1, "split": False}, "split=False"),
        (["a"], {"max_concurrency": 0}, "limit of 0 at once"),
        (["a"], {"temperature": 0}, "unknown option 'temperature'"),
        (["a"], {"timeouts": 5}, "timeouts= of type int"),
    ],
)
async def test_embed_refuses_before_anything_is_sent(given: Any, options: Any, words: str) -> None:
    client, transport = with_transport()
    with pytest.raises(ConfigurationError, match=words):
        await client.embed(given, **options)
    assert transport.calls == []


async def test_embed_images() -> None:
    answered = vectors(1, 2)
    answered["usage"]["prompt_patches"] = 4
    client, transport = with_transport(reply(answered), url="http://localhost/models")
    image = ImageEmbeddingInput("data:image/png;base64,AA==", "a cat")
    result = await client.embed_images([image, "data:image/png;base64,BB=="], dimensions=1)
    assert result.vectors == [[1], [2]]
    assert result.usage is not None
    assert result.usage.extra == {"prompt_patches": 4}
    assert asked(transport) == {
        "model": "m",
        "dimensions": 1,
        "input": [{"image": "data:image/png;base64,AA==", "text": "a cat"}, {"image": "data:image/png;base64,BB=="}],
    }
    assert transport.calls[0].url.startswith("http://localhost/models/images/embeddings?")


async def test_embed_images_where_there_is_no_such_route() -> None:
    client, _ = with_transport(reply({}, 404))
    with pytest.raises(NotFoundError, match="only /models, serverless endpoints and managed compute embed images"):
        await client.embed_images("data:image/png;base64,AA==")


# ---------------------------------------------------------------------------------------------------------------------
# model_info and request


async def test_model_info() -> None:
    client, transport = with_transport(
        reply({"model_name": "Phi-4", "model_type": "chat-completion", "model_provider_name": "Microsoft", "v": 1}),
        url="http://localhost/models",
    )
    info = await client.model_info(headers={"azureml-model-deployment": "d"})
    assert (info.model_name, info.kind, info.model_provider_name, info.extra) == (
        "Phi-4",
        "chat_completion",
        "Microsoft",
        {"v": 1},
    )
    assert (info.meta.status, info.meta.request_id) == (200, "request-1")
    [call] = transport.calls
    assert (call.method, call.body) == ("GET", b"")
    assert call.url.startswith("http://localhost/models/info?api-version=")
    assert call.headers["azureml-model-deployment"] == "d"
    assert "content-type" not in call.headers


async def test_model_info_where_there_is_none() -> None:
    client, _ = with_transport(reply({"error": {"code": "404", "message": "Resource not found"}}, 404))
    with pytest.raises(NotFoundError, match="only serverless endpoints and managed compute say which model they hold"):
        await client.model_info()


async def test_request() -> None:
    async def answered(connection: Connection) -> None:
        await connection.send(json_reply({"data": [1]}, headers=["x-request-id: r7", "x-ms-region: north"]))

    async with RawServer(answered) as server:
        async with InferenceClient(f"{server.url}/v1", KEY, headers={"X-A": "1"}) as client:
            found = await client.request("post", "images/generations", json={"prompt": "a cat"}, params={"n": "2"})
        [(head, body)] = server.requests
    assert json.loads(body) == {"prompt": "a cat"}
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /v1/images/generations?n=2 http/1.1"
    assert f"authorization: bearer {KEY}" in lines
    assert "x-a: 1" in lines
    assert (found.status, found.json(), found.meta.request_id, found.meta.region) == (200, {"data": [1]}, "r7", "north")


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
async def test_request_takes_any_success(status: int) -> None:
    client, _ = with_transport(reply(b"", status))
    found = await client.request("DELETE", "files/f1")
    assert (found.status, found.body) == (status, b"")


@pytest.mark.parametrize("credential", [None, KEY], ids=["no key", "key"])
async def test_only_200_is_a_success_of_the_services_own_calls(credential: str | None) -> None:
    client = InferenceClient("http://localhost/v1", credential, transport=ScriptedTransport(reply(HELLO, 201)))
    with pytest.raises(APIStatusError) as caught:
        await client.complete("hi")
    assert caught.value.status == 201


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (302, APIStatusError),
        (401, AuthenticationError),
        (404, NotFoundError),
        (429, RateLimitError),
        (500, APIStatusError),
    ],
)
async def test_request_maps_errors(status: int, cls: type[APIStatusError]) -> None:
    client, _ = with_transport(reply({"error": {"message": "no"}}, status))
    with pytest.raises(cls) as caught:
        await client.request("GET", "models")
    assert (caught.value.status, caught.value.url) == (status, "http://localhost/v1/models")


@pytest.mark.parametrize("path", ["https://other.example/x", "//other.example/x", "../x", "a?b=c", "", "%2e%2e/x"])
async def test_request_reaches_nothing_but_the_endpoint(path: str) -> None:
    client, transport = with_transport(credential=KEY)
    with pytest.raises(ConfigurationError, match="got path="):
        await client.request("GET", path)
    assert transport.calls == []


async def test_request_keeps_to_the_bound() -> None:
    client, _ = with_transport(reply(b"x" * 101), limits=Limits(max_body_bytes=100))
    with pytest.raises(InvalidResponseError, match="over 100 bytes"):
        await client.request("GET", "models")


# ---------------------------------------------------------------------------------------------------------------------
# response_type


class City(msgspec.Struct):
    name: str
    size: int


@dataclass
class Town:
    name: str


class Village(TypedDict):
    name: str


@pytest.mark.parametrize(
    ("response_type", "text", "expected", "name", "properties"),
    [
        pytest.param(City, '{"name": "Rome", "size": 3}', City("Rome", 3), "City", ["name", "size"], id="Struct"),
        pytest.param(Town, '{"name": "Bray"}', Town("Bray"), "Town", ["name"], id="dataclass"),
        pytest.param(Village, '{"name": "Giverny"}', {"name": "Giverny"}, "Village", ["name"], id="TypedDict"),
        pytest.param(
            list[City], '{"value": [{"name": "Rome", "size": 3}]}', [City("Rome", 3)], "list_City", ["value"], id="list"
        ),
        pytest.param(int, '{"value": 42}', 42, "int", ["value"], id="int"),
    ],
)
async def test_response_type(response_type: Any, text: str, expected: Any, name: str, properties: list[str]) -> None:
    client, transport = with_transport(reply(answer(text)))
    completion = await client.complete("hi", response_type=response_type)
    assert isinstance(completion, ParsedCompletion)
    assert (completion.parsed, completion.repaired, completion.text) == (expected, [], text)
    assert completion.meta.request_id == "request-1"
    [call] = transport.calls
    said = json.loads(call.body)["response_format"]
    assert (said["type"], said["json_schema"]["name"], said["json_schema"]["strict"]) == ("json_schema", name, True)
    schema = said["json_schema"]["schema"]
    assert (schema["type"], schema["additionalProperties"]) == ("object", False)
    assert list(schema["properties"]) == schema["required"] == properties


async def test_response_type_is_stronger_than_a_default_format() -> None:
    client, transport = with_transport(
        reply(answer('{"name": "a", "size": 1}')), defaults={"response_format": "json_object"}
    )
    assert (await client.complete("hi", response_type=City)).parsed == City("a", 1)
    assert asked(transport)["response_format"]["type"] == "json_schema"


CALLS = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
NO_VALUE: dict[str, tuple[dict[str, Any], str, str, str | None]] = {  # the answer, then reason, text and position
    "a wrong type": (answer('{"name": "a", "size": "big"}'), "mismatch", '{"name": "a", "size": "big"}', "$.size"),
    "a field is missing": (answer('{"name": "a"}'), "mismatch", '{"name": "a"}', "$"),
    "no JSON": (answer("Rome"), "mismatch", "Rome", "char 0"),
    "half a JSON": (answer('{"name": "a"'), "mismatch", '{"name": "a"', "char 12"),
    "cut": (answer('{"name": "Ro', "length"), "length", '{"name": "Ro', None),
    "cut although whole": (answer('{"name": "a", "size": 1}', "length"), "length", '{"name": "a", "size": 1}', None),
    "filtered": (answer(None, "content_filter"), "content_filter", "", None),
    "refused": (answer(None, refusal="I will not."), "refusal", "I will not.", None),
    "tools": (answer(None, "tool_calls", tool_calls=CALLS), "tool_calls", "", None),
    "tools under another reason": (answer(None, "stop", tool_calls=CALLS), "tool_calls", "", None),
    "empty": (answer(""), "empty", "", None),
    "null": (answer(None), "empty", "", None),
    "blank": (answer(" \n"), "empty", " \n", None),
}


@pytest.mark.parametrize(("body", "reason", "text", "position"), NO_VALUE.values(), ids=NO_VALUE)
async def test_no_value(body: dict[str, Any], reason: str, text: str, position: str | None) -> None:
    client, transport = with_transport(reply(body))
    with pytest.raises(ResponseTypeError, match="City") as caught:
        await client.complete("hi", response_type=City)
    error = caught.value
    assert (error.reason, error.text, error.position) == (reason, text, position)
    assert error.completion.id == "c"
    assert (error.request_id, error.completion.meta.request_id) == ("request-1", "request-1")
    assert pickle.loads(pickle.dumps(error)).completion == error.completion
    assert len(transport.calls) == 1


async def test_a_filter_that_raises_goes_before_the_type() -> None:
    client, _ = with_transport(reply(CUT))
    with pytest.raises(ContentFilterError):
        await client.complete("hi", response_type=City, raise_on_filter=True)


GOOD, BAD, WORSE = '{"name": "Rome", "size": 3}', '{"name": "Rome", "size": "big"}', "Rome"


async def test_repair() -> None:
    client, transport = with_transport(reply(answer(BAD)), reply(answer(WORSE)), reply(answer(GOOD)))
    completion = await client.complete([SystemMessage("Be brief."), "hi"], response_type=City, repair=2, seed=1)
    assert completion.parsed == City("Rome", 3)
    assert [one.text for one in completion.repaired] == [BAD, WORSE]
    assert all(one.meta.request_id == "request-1" for one in completion.repaired)
    first, second, third = (json.loads(call.body) for call in transport.calls)
    assert first["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    assert second["messages"][:3] == [*first["messages"], {"role": "assistant", "content": BAD}]
    assert third["messages"][:5] == [*second["messages"], {"role": "assistant", "content": WORSE}]
    assert [len(body["messages"]) for body in (first, second, third)] == [2, 4, 6]
    complaint = second["messages"][3]
    assert complaint["role"] == "user"
    assert "$.size" in complaint["content"]
    assert "Answer again" in complaint["content"]
    assert third["messages"][5] != complaint
    for body in (second, third):
        assert {name: body[name] for name in body if name != "messages"} == {
            name: first[name] for name in first if name != "messages"
        }


@pytest.mark.parametrize("repair", [0, 1, 3])
async def test_repair_stops(repair: int) -> None:
    client, transport = with_transport(*(reply(answer(f"{BAD}{' ' * at}")) for at in range(5)))
    with pytest.raises(ResponseTypeError) as caught:
        await client.complete("hi", response_type=City, repair=repair)
    assert len(transport.calls) == repair + 1
    assert caught.value.text == f"{BAD}{' ' * repair}"  # the last answer


async def test_what_was_paid_for_is_not_lost_when_repair_fails() -> None:
    client, _ = with_transport(reply(answer(BAD)), reply(answer(WORSE)))
    with pytest.raises(ResponseTypeError) as caught:
        await client.complete("hi", response_type=City, repair=1)
    assert [completion.text for completion in caught.value.repaired] == [BAD]
    assert caught.value.completion.text == WORSE

    client, _ = with_transport(reply(answer(BAD)), reply({"error": {"message": "slow down"}}, status=429))
    with pytest.raises(RateLimitError) as limited:
        await client.complete("hi", response_type=City, repair=1)
    cause = limited.value.__cause__
    assert isinstance(cause, ResponseTypeError)
    assert cause.completion.text == BAD


@pytest.mark.parametrize("reason", ["LENGTH", "MAX_TOKENS", "model_length"])
async def test_a_cut_is_a_cut_however_it_is_spelled(reason: str) -> None:
    cut = answer('{"name":')
    cut["choices"][0]["finish_reason"] = reason
    client, transport = with_transport(reply(cut))
    with pytest.raises(ResponseTypeError) as caught:
        await client.complete("hi", response_type=City, repair=3)
    assert caught.value.reason == "length"
    assert len(transport.calls) == 1, "what is cut is not repaired"


async def test_a_refusal_in_a_part_is_a_refusal() -> None:
    client, _ = with_transport(reply(answer([{"type": "refusal", "refusal": "I would rather not."}])))
    with pytest.raises(ResponseTypeError) as caught:
        await client.complete("hi", response_type=City)
    assert (caught.value.reason, caught.value.text) == ("refusal", "I would rather not.")


@pytest.mark.parametrize("given", [UNSET, 1, "yes"], ids=repr)
async def test_raise_on_filter_of_no_kind(given: Any) -> None:
    client, transport = with_transport()
    with pytest.raises(ConfigurationError, match="raise_on_filter"):
        await client.complete("hi", raise_on_filter=given)
    with pytest.raises(ConfigurationError, match="raise_on_filter"):
        client.stream("hi", raise_on_filter=given)
    assert not transport.calls


@pytest.mark.parametrize("name", ["timeouts", "limits", "model"])
@pytest.mark.parametrize("given", [0, False, []], ids=repr)
def test_what_is_nothing_and_not_none(name: str, given: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"got {name}="):
        InferenceClient("https://h.example/v1", "k", **{name: given})


async def test_a_forced_choice_in_the_defaults_is_sent_once() -> None:
    called = {"id": "c", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    asks = answer(None)
    asks["choices"][0]["message"]["tool_calls"] = [called]
    client, transport = with_transport(reply(asks), reply(answer("noon")), defaults={"tool_choice": "required"})

    async def now() -> str:
        return "12:00"

    assert (await client.run_tools("hi", tools=[now])).text == "noon"
    assert [json.loads(call.body)["tool_choice"] for call in transport.calls] == ["required", "auto"]


async def test_a_tool_may_be_offered_as_it_is() -> None:
    client, transport = with_transport(reply(answer("hi")))

    @tool
    def now() -> str:
        """Tells the time."""
        return "12:00"

    await client.complete("hi", tools=[now])
    function = {"name": "now", "description": "Tells the time."}
    assert json.loads(transport.calls[0].body)["tools"] == [{"type": "function", "function": function}]


async def test_what_needs_no_repair_gets_none() -> None:
    client, transport = with_transport(reply(answer(GOOD)))
    assert (await client.complete("hi", response_type=City, repair=5)).repaired == []
    assert len(transport.calls) == 1


@pytest.mark.parametrize("name", [name for name, row in NO_VALUE.items() if row[1] != "mismatch"])
async def test_only_a_mismatch_is_repaired(name: str) -> None:
    client, transport = with_transport(reply(NO_VALUE[name][0]))
    with pytest.raises(ResponseTypeError):
        await client.complete("hi", response_type=City, repair=3)
    assert len(transport.calls) == 1


async def test_repair_leaves_the_callers_messages_alone() -> None:
    messages: list[Any] = [{"role": "user", "content": "hi"}]
    client, _ = with_transport(reply(answer(BAD)), reply(answer(GOOD)))
    await client.complete(messages, response_type=City, repair=1)
    assert messages == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    "messages",
    ["hi", {"role": "user", "content": "hi"}, UserMessage("hi"), ("hi",)],
    ids=["text", "dict", "Struct", "tuple"],
)
async def test_repair_of_every_form_of_messages(messages: Any) -> None:
    client, transport = with_transport(reply(answer(BAD)), reply(answer(GOOD)))
    await client.complete(messages, response_type=City, repair=1)
    assert json.loads(transport.calls[1].body)["messages"][:2] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": BAD},
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"repair": 1}, "got repair= without response_type="),
        ({"response_type": City, "repair": -1}, "got repair=-1"),
        ({"response_type": City, "repair": True}, "got repair=True"),
        ({"response_type": City, "repair": 1.5}, "got repair=1.5"),
        ({"response_type": City, "response_format": "json_object"}, "both response_type= and response_format="),
        ({"response_type": City, "response_format": None}, "both response_type= and response_format="),
        ({"response_format": City}, "say response_type=City"),
    ],
)
async def test_misuse_of_response_type(options: Any, words: str) -> None:
    client, transport = with_transport()
    with pytest.raises(ConfigurationError, match=words):
        await client.complete("hi", **options)
    assert transport.calls == []


async def test_an_unset_format_beside_a_type_is_no_misuse() -> None:
    client, _ = with_transport(reply(answer(GOOD)))
    completion = await client.complete("hi", response_type=City, response_format=UNSET)
    assert completion.parsed == City("Rome", 3)


async def test_closing_under_a_scope_that_has_expired_closes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    class Default:
        async def get_token_info(self, *scopes: str, **options: Any) -> Any:
            return SimpleNamespace(token="secret-token", expires_on=2**33)

        async def close(self) -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            closed.append(True)

    monkeypatch.setattr("azure.identity.aio.DefaultAzureCredential", Default)
    transport = ScriptedTransport(reply())
    with anyio.CancelScope() as scope:
        async with InferenceClient("http://localhost/models", "default", model="m", transport=transport) as client:
            await client.complete("hi")
            scope.cancel()
    assert closed == [True]


@pytest.mark.parametrize("several", [False, True], ids=["complete", "embed"])
async def test_a_credential_that_gives_up_is_no_cancellation_of_ours(several: bool) -> None:
    async def provider() -> str:
        sleeper = asyncio.ensure_future(asyncio.sleep(9))
        sleeper.cancel()
        await sleeper
        return "never"

    client = InferenceClient("http://localhost/v1", provider, model="m", transport=ScriptedTransport(reply()))
    with pytest.raises(CredentialError, match="gave up: something that it waited for was cancelled"):
        await (client.embed(["a", "b"], batch_size=1) if several else client.complete("hi"))


@pytest.mark.parametrize(
    ("url", "options", "header"),
    [
        ("https://r.services.ai.azure.com/models", {}, "api-key"),
        ("https://r.services.ai.azure.com/openai/v1", {}, "api-key"),
        ("https://r.openai.azure.com/openai/deployments/d", {}, "api-key"),
        ("https://d.westus.models.ai.azure.com", {}, "authorization"),
        ("https://e.westus.inference.ml.azure.com", {}, "authorization"),
        ("https://h.example/v1", {}, "authorization"),
        (
            "https://h.azure-api.net/x/openai/v1",
            {"key_header": "Ocp-Apim-Subscription-Key"},
            "ocp-apim-subscription-key",
        ),
    ],
)
async def test_a_key_goes_in_one_header_and_no_other(url: str, options: dict[str, Any], header: str) -> None:
    transport = ScriptedTransport(reply())
    await InferenceClient(url, KEY, model="m", transport=transport, **options).complete("hi")
    holding = {name for name, value in transport.calls[0].headers.items() if KEY in value}
    assert holding == {header}


@pytest.mark.parametrize("where", ["client", "call"])
async def test_a_format_in_extra_is_no_type(where: str) -> None:
    extra = {"response_format": {"type": "text"}}
    client, transport = with_transport(extra=extra if where == "client" else None)
    with pytest.raises(ConfigurationError, match="both response_type= and response_format="):
        await client.complete("hi", response_type=City, extra=extra if where == "call" else None)
    assert not transport.calls


@pytest.mark.parametrize("extra", [5, "x", [("a", 1)]], ids=repr)
async def test_extra_that_is_no_mapping(extra: Any) -> None:
    client, _ = with_transport()
    for call in (
        client.complete("hi", extra=extra),
        client.complete("hi", response_type=City, extra=extra),
        client.embed("hi", extra=extra),
        client.embed_images("data:x", extra=extra),
    ):
        with pytest.raises(ConfigurationError, match="expected a mapping"):
            await call
    with pytest.raises(ConfigurationError, match="expected a mapping"):
        client.stream("hi", response_type=City, extra=extra)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"key_header": 5}, "got key_header=5"),
        ({"dialect": ["models"]}, "got dialect="),
        ({"defaults": {1: 2}}, "got an option named 1"),
    ],
    ids=str,
)
def test_arguments_that_are_no_text(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        InferenceClient("http://localhost/v1", **options)


LARGE = "x" * 300_000


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda client: client.complete("hi"), HELLO | {"system_fingerprint": LARGE}),
        (lambda client: client.embed("hi"), {"data": [{"index": 0, "embedding": [0.5]}], "model": LARGE}),
        (lambda client: client.model_info(), {"model_name": "m", "model_provider_name": LARGE}),
    ],
    ids=["complete", "embed", "model_info"],
)
async def test_the_total_covers_the_wait_for_a_thread_to_read_a_large_body(ask: Any, answer: Any) -> None:
    """The program's own work holds all threads that there are."""
    limiter = anyio.to_thread.current_default_thread_limiter()
    holders = [object() for _ in range(int(limiter.available_tokens))]
    for holder in holders:
        limiter.acquire_on_behalf_of_nowait(holder)
    try:
        with pytest.raises(TotalTimeoutError, match=r"within 0\.1 s") as caught:
            await ask(scripted(reply(answer), timeouts=Timeouts(total=0.1)))
    finally:
        for holder in holders:
            limiter.release_on_behalf_of(holder)
    assert (caught.value.status, caught.value.request_id, caught.value.attempts) == (200, "request-1", 1)
    assert await ask(scripted(reply(answer), timeouts=Timeouts(total=5)))
