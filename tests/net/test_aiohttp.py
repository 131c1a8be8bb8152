"""The aiohttp transport: the seam's contract on real sockets, and on aioresponses where one canned reply is enough."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
import trustme
from aioresponses import aioresponses

from inference_async import APIConnectionError, APITimeoutError, ClientClosedError, InferenceClient
from inference_async.net.aiohttp import AiohttpTransport
from inference_async.wire.request import Call
from tests.support import STREAM_HEAD, Connection, RawServer, json_reply

COMPLETION = {"choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]}


def call(url: str) -> Call:
    return Call(method="POST", url=url, headers={"content-type": "application/json"}, body=b"{}")


class _Response(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not know that aiohttp 3.14 wants the stream writer; upstream has the fix under review."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters:
            kwargs.setdefault("stream_writer", Mock())
        super().__init__(*args, **kwargs)


@pytest.fixture
def canned() -> Iterator[aioresponses]:
    with aioresponses() as mocked:
        yield mocked


async def test_a_canned_reply(canned: aioresponses) -> None:
    url = "https://example.test/v1/chat/completions"
    canned.post(url, payload=COMPLETION, headers={"x-request-id": "r-1"}, response_class=_Response)
    async with InferenceClient("https://example.test/v1", "some-key") as client:
        completion = await client.complete("hi")
    assert completion.text == "Hello"
    assert completion.meta.request_id == "r-1"
    sent = next(iter(canned.requests.values()))[0].kwargs
    assert sent["headers"]["authorization"] == "Bearer some-key"
    assert "some-key" not in repr(sent["headers"])
    assert sent["allow_redirects"] is False


async def test_a_canned_fault(canned: aioresponses) -> None:
    canned.post("https://example.test/v1/chat/completions", exception=aiohttp.ServerDisconnectedError())
    async with InferenceClient("https://example.test/v1", retries=0) as client:
        with pytest.raises(APIConnectionError, match=r"no answer from example\.test") as caught:
            await client.complete("hi")
    assert isinstance(caught.value.__cause__, aiohttp.ServerDisconnectedError)


async def test_headers_are_in_lower_case_and_repeated_ones_joined() -> None:
    raw = json_reply(COMPLETION, headers=["X-One: 1", "x-one: 2"])
    transport = AiohttpTransport()
    async with RawServer(lambda connection: connection.send(raw)) as server:
        reply = await transport.send(call(server.url), connect_timeout=None)
        assert reply.status == 200
        assert reply.headers["x-one"] == "1, 2"
        await transport.aclose()


async def test_bytes_come_as_they_arrive_and_end_with_nothing() -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(b"one", end=False)
        await asyncio.sleep(0.02)
        await connection.send_chunks(b"two")

    transport = AiohttpTransport()
    async with RawServer(answer) as server:
        reply = await transport.send(call(server.url), connect_timeout=None)
        assert [await reply.read() for _ in range(4)] == [b"one", b"two", b"", b""]
        await transport.aclose()


async def test_closing_a_reply_wakes_its_reader() -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        await connection.gone.wait()

    transport = AiohttpTransport()
    async with RawServer(answer) as server:
        reply = await transport.send(call(server.url), connect_timeout=None)
        reader = asyncio.create_task(reply.read())
        await asyncio.sleep(0)
        reply.close(ClientClosedError("because"))
        reply.close()
        with pytest.raises(ClientClosedError, match="because"):
            await asyncio.wait_for(reader, 5)
        await asyncio.wait_for(server.gone.wait(), 5)
        await transport.aclose()


@pytest.mark.parametrize("late", [0.0, 0.03])
async def test_finish_lets_the_connection_be_used_again(late: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference_async.net.aiohttp.FINISH_SECONDS", 5)  # a busy machine may stall for longer

    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(b"data", end=False)
        await asyncio.sleep(late)
        await connection.send_chunks(b"trailing")

    transport = AiohttpTransport()
    async with RawServer(answer) as server:
        for _ in range(2):
            reply = await transport.send(call(server.url), connect_timeout=None)
            await reply.read()
            await reply.finish()
        assert server.connections == 1
        await transport.aclose()


async def test_finish_gives_up_on_a_server_that_goes_on() -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        while not connection.gone.is_set():
            await connection.send_chunks(b"x" * 4096, end=False)

    transport = AiohttpTransport()
    async with RawServer(answer) as server:
        reply = await transport.send(call(server.url), connect_timeout=None)
        await reply.read()
        await asyncio.wait_for(reply.finish(), 5)
        await asyncio.wait_for(server.gone.wait(), 5)
        await transport.aclose()


async def test_connect_timeout() -> None:
    """A listener whose backlog is full accepts no more: connecting hangs, as to a host that drops packets."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = []
        try:
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
                fillers.append(filler)
            await asyncio.sleep(0.05)
            transport = AiohttpTransport()
            with pytest.raises(APITimeoutError, match=r"no connection to 127\.0\.0\.1:\d+ within 0\.1 s") as caught:
                await transport.send(call(f"http://127.0.0.1:{port}/"), connect_timeout=0.1)
            assert caught.value.phase == "connect"
            await transport.aclose()
        finally:
            for filler in fillers:
                filler.close()


def trusted_by(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_tls_trusted_and_not() -> None:
    authority = trustme.CA()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_side)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(json_reply(COMPLETION, headers=["connection: close"]))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "localhost", 0, ssl=server_side)
    async with server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}/v1"
        async with InferenceClient(url, "k") as client:
            with pytest.raises(APIConnectionError, match=r"certificate of localhost:.*not trusted") as caught:
                await client.complete("hi")
        assert str(caught.value).endswith(
            "; for an authority of your own, make the client with ssl=ssl.create_default_context(cafile=...)"
        )
        async with InferenceClient(url.replace("localhost", "127.0.0.1"), "k", ssl=trusted_by(authority)) as client:
            with pytest.raises(APIConnectionError, match=r"certificate of 127\.0\.0\.1:.*not trusted") as caught:
                await client.complete("hi")
        assert "authority" not in str(caught.value), "it is the name that is wrong"
        connector = aiohttp.TCPConnector(ssl=trusted_by(authority))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            InferenceClient(url, "k", session=session) as client,
        ):
            assert (await client.complete("hi")).text == "Hello"


async def test_the_url_goes_out_as_it_is() -> None:
    async with RawServer(lambda connection: connection.send(json_reply(COMPLETION))) as server:
        async with InferenceClient(f"{server.url}/gate%2Fway/gpt-4.1/v1?tenant=a%20b") as client:
            await client.complete("hi")
        assert server.requests[0][0].startswith(b"POST /gate%2Fway/gpt-4.1/v1/chat/completions?tenant=a%20b HTTP/1.1")
